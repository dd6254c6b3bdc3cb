"""What a run learns from: running text as windows of ids, or a task's records as examples."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from kerasgpt import artifacts
from kerasgpt.checkpoints.formats import open_tokenizer
from kerasgpt.data.corpus import Corpus
from kerasgpt.data.example_corpus import ExampleCorpus, RecordSplit
from kerasgpt.data.example_dataset import ExampleDataset, require_rows
from kerasgpt.data.packing import PackedCorpus, pack
from kerasgpt.data.pipeline import TokenDataset, require_batch, require_windows
from kerasgpt.data.stepwise import StepwiseDataset
from kerasgpt.errors import KerasGPTError, UsageError
from kerasgpt.tasks.reading import write_records
from kerasgpt.tokenizer.bpe import Tokenizer
from kerasgpt.training.config import DataConfig, Recipe

Material: TypeAlias = PackedCorpus | ExampleCorpus


def open_material(recipe: Recipe, run: Path, say: Callable[[str], None]) -> tuple[Tokenizer, Material]:
    """Read the data of a recipe, with the tokenizer it names or one learned from the part to train on.

    Args:
        recipe: resolved.
        run: its folder, where a resumed run has its tokenizer.
        say: tells how many examples had to be shortened, and that there is no validation part.

    Raises:
        UsageError: a setting does not fit the data, or asks a resumed run for another vocabulary.
        KerasGPTError: the data cannot be read, or is shorter than one batch.
    """
    if recipe.task.name:
        return _open_examples(recipe, run, say)
    data, sizes = recipe.data, recipe.train
    tokenizer = _tokenizer_of(data, run) or Tokenizer.learn(
        _corpus(data).training_texts(), data.vocabulary_size
    )
    corpus = pack(
        data.paths,
        tokenizer,
        data.division(),
        errors=data.errors,
        deduplicate=data.deduplicate,
        separate=bool(data.weights),
    )
    held_out = corpus.num_labels("validation") + corpus.num_labels("test")
    if data.split == "document" and held_out and not len(corpus.ids("train")):
        raise KerasGPTError(
            f"{', '.join(data.paths)}: nothing is left to train on, as all documents fall to the validation"
            " or the test part: give more of them, or take those parts from the end by data.split=tail"
        )
    require_batch(corpus.ids("train"), sizes.sequence_length, sizes.batch_size, data.paths)
    if data.weights:
        require_windows(corpus.ids_by_source("train"), data.weights, sizes.sequence_length, data.paths)
    _tell_of_no_validation(corpus, data, say)
    return tokenizer, corpus


def training_batches(
    material: Material,
    recipe: Recipe,
    tokenizer: Tokenizer,
    first_batch: int,
    num_batches: int,
    rows: tuple[int, int] | None = None,
) -> StepwiseDataset:
    """Batches of the part to train on, from any of them on, or of each the rows that this process reads."""
    settings, weights = recipe.train, recipe.data.weights
    if isinstance(material, ExampleCorpus):
        return ExampleDataset(
            material.examples["train"],
            settings.sequence_length,
            settings.batch_size,
            settings.seed,
            pack=recipe.task.pack,
            prompt_weight=recipe.task.prompt_weight,
            first_step=first_batch,
            num_steps=num_batches,
            rows=rows,
        )
    return TokenDataset(
        material.ids_by_source("train") if weights else material.ids("train"),
        settings.sequence_length,
        settings.batch_size,
        settings.seed,
        first_step=first_batch,
        num_steps=num_batches,
        weights=weights,
        end_of_text_id=_end_of_text_id(recipe, tokenizer),
        rows=rows,
    )


def validation_batches(
    material: Material, recipe: Recipe, tokenizer: Tokenizer, rows: tuple[int, int] | None = None
) -> StepwiseDataset:
    """Every label of the validation part, once."""
    settings = recipe.train
    if isinstance(material, ExampleCorpus):
        return ExampleDataset(
            material.examples["validation"],
            settings.sequence_length,
            settings.batch_size,
            seed=None,
            pack=recipe.task.pack,
            rows=rows,
        )
    return TokenDataset(
        material.ids("validation"),
        settings.sequence_length,
        settings.batch_size,
        seed=None,
        end_of_text_id=_end_of_text_id(recipe, tokenizer),
        rows=rows,
    )


def sample_prompt(material: Material, recipe: Recipe, tokenizer: Tokenizer) -> str:
    """What the sample of text after each evaluation goes on from: of a task, an example held out."""
    if isinstance(material, ExampleCorpus):
        ids, num_prompt_tokens = material.examples["validation"][0]
        return tokenizer.decode(ids[:num_prompt_tokens].tolist())
    return recipe.train.sample_prompt


def keep_test_part(material: Material, recipe: Recipe, run: Path) -> None:
    """Leave the records of a task that nothing is learned from in the run, for `kerasgpt evaluate`."""
    if isinstance(material, ExampleCorpus) and material.test_records:
        write_records(recipe.task.name, material.test_records, run / artifacts.RUN_TEST)


def _open_examples(recipe: Recipe, run: Path, say: Callable[[str], None]) -> tuple[Tokenizer, ExampleCorpus]:
    data, task, template = recipe.data, recipe.task, recipe.task.template()
    split = RecordSplit.read(task.name, data.paths, data.division(), task.validation_paths)
    tokenizer = _tokenizer_of(data, run) or Tokenizer.learn(
        split.training_texts(template), data.vocabulary_size
    )
    corpus = ExampleCorpus.encode(split, template, tokenizer, recipe.train.sequence_length)
    require_rows(training_batches(corpus, recipe, tokenizer, 0, 1), data.paths)
    for part, examples in corpus.examples.items():
        if examples.num_left_out:
            say(
                f"{part}: {examples.num_left_out:,} records do not fit into the window, even with nothing of"
                f" their {template.long_field}: left out"
            )
        if examples.num_shortened:
            say(
                f"{part}: {examples.num_shortened:,} of {len(examples):,} examples have a"
                f" {template.long_field} that is too long for the window: shortened"
            )
    if not task.validation_paths:
        _tell_of_no_validation(corpus, data, say)
    return tokenizer, corpus


def _tell_of_no_validation(corpus: Material, data: DataConfig, say: Callable[[str], None]) -> None:
    """A fraction that takes nothing, as of a single document, is no error and must not go unseen."""
    if data.validation_fraction and not corpus.num_labels("validation"):
        say(
            f"no validation part: data.validation_fraction {data.validation_fraction} takes nothing of this"
            " data; no best model is chosen, and the last one is kept (of a text in one piece"
            " data.split=tail takes the end)"
        )


def _tokenizer_of(data: DataConfig, run: Path) -> Tokenizer | None:
    """The tokenizer that is there; None where it is to be learned."""
    is_begun = (run / artifacts.RUN_CONFIG).is_file() and (
        run / artifacts.RUN_MODEL / artifacts.TOKENIZER
    ).is_file()
    if data.tokenizer != "learn":
        tokenizer = open_tokenizer(data.tokenizer)
        own = Tokenizer.from_preset(run) if is_begun else tokenizer
        if (own.vocabulary, own.merges) != (tokenizer.vocabulary, tokenizer.merges):
            raise UsageError(
                f"{run}: its vocabulary cannot change, and data.tokenizer {data.tokenizer} has another: leave"
                " that setting as it was, or choose another --out"
            )
        return tokenizer
    if (run / artifacts.RUN_MODEL / artifacts.TOKENIZER).is_file():
        _refuse_another_vocabulary(data, run)
        return Tokenizer.from_preset(run)
    return None


def _refuse_another_vocabulary(data: DataConfig, run: Path) -> None:
    """Refuse to go on as if another had been learned: the weights belong to the run's own."""
    if not (run / artifacts.RUN_CONFIG).is_file():
        return
    begun = Recipe.from_toml(run / artifacts.RUN_CONFIG).data
    for name in ("tokenizer", "vocabulary_size"):
        if (before := getattr(begun, name)) != (now := getattr(data, name)):
            raise UsageError(
                f"{run}: its vocabulary cannot change (data.{name}: {before} -> {now}): leave that setting"
                " as it was, or choose another --out"
            )


def _corpus(data: DataConfig) -> Corpus:
    return Corpus.of(data.paths, data.division(), data.errors, data.deduplicate, bool(data.weights))


def _end_of_text_id(recipe: Recipe, tokenizer: Tokenizer) -> int | None:
    """What parts documents, if each is to see itself alone."""
    return tokenizer.end_of_text_id if recipe.data.document_mask else None
