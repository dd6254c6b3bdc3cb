"""The SavedModel engine against the Keras engine on the same folder."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasgpt import artifacts
from kerasgpt.checkpoints.mapping import named_arrays
from kerasgpt.config import GPT2Config
from kerasgpt.errors import KerasGPTError, UsageError
from kerasgpt.export.saved_model import write_saved_model
from kerasgpt.generation.language_model import StepLanguageModel
from kerasgpt.generation.prompts import PromptTruncatedWarning
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.in_graph.language_model import SavedModelLanguageModel, open_bundle
from kerasgpt.models.gpt2 import GPT2CausalLM
from kerasgpt.models.language_model import open_model
from kerasgpt.tokenizer.bpe import Tokenizer, learned_vocabulary

CONTEXT, NEW = 40, 10
MERGES = [("Ġ", "t"), ("h", "e"), ("Ġt", "he"), ("o", "u"), ("l", "l")]
PROMPTS = ["hello", "", "the end of you'll", "naïve 🙂", [5, 6, 7], "a", "b", "c", "d", "e", []]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    keras.utils.set_random_seed(5)
    tokenizer = Tokenizer(learned_vocabulary(MERGES), MERGES)
    shape = {"num_layers": 2, "num_heads": 2, "hidden_dim": 32, "initializer_range": 0.4}
    config = GPT2Config(tokenizer.vocabulary_size, max_sequence_length=CONTEXT, **shape)
    model = GPT2CausalLM(config)
    model.build()
    (table,) = [weight for weight in model.weights if tuple(weight.shape) == (config.vocabulary_size, 32)]
    likelier = np.ones((config.vocabulary_size, 1))
    likelier[tokenizer.end_of_text_id] = 2  # so that some continuations end by themselves
    table.assign(np.asarray(table) * likelier)
    root = tmp_path_factory.mktemp("bundle")
    settings = GenerationConfig(max_new_tokens=NEW)
    model.save_to_preset(root)
    tokenizer.save_to_preset(root)
    artifacts.write_json(root / artifacts.GENERATION_CONFIG, settings.to_huggingface(config))
    write_saved_model(config, named_arrays(model), tokenizer, settings, root / artifacts.SAVED_MODEL)
    return root


@pytest.fixture(scope="module")
def lm(folder: Path) -> SavedModelLanguageModel:
    return open_bundle(folder)


@pytest.fixture(scope="module")
def keras_lm(folder: Path) -> StepLanguageModel:
    return open_model(folder)


def assert_same(mine: list[Any], theirs: list[Any]) -> None:
    assert len(mine) == len(theirs)
    for one, other in zip(mine, theirs, strict=True):
        fields = ("text", "token_ids", "num_prompt_tokens", "finish_reason")
        assert {name: getattr(one, name) for name in fields} == {
            name: getattr(other, name) for name in fields
        }
        np.testing.assert_allclose(one.logprobs, other.logprobs, atol=1e-4)


def test_it_writes_what_keras_writes(lm: SavedModelLanguageModel, keras_lm: StepLanguageModel) -> None:
    theirs = keras_lm.generate(PROMPTS)
    assert {generation.finish_reason for generation in theirs} == {"stop", "length"}
    assert_same(lm.generate(PROMPTS), theirs)
    texts = [prompt for prompt in PROMPTS if isinstance(prompt, str)]
    assert_same(lm.generate(texts), keras_lm.generate(texts))
    assert lm.generate([]) == []


@pytest.mark.parametrize("max_new_tokens", [0, 1, 4])
def test_less_than_the_graphs_length_is_cut(
    lm: SavedModelLanguageModel, keras_lm: StepLanguageModel, max_new_tokens: int
) -> None:
    settings = GenerationConfig(max_new_tokens=max_new_tokens)
    assert_same(lm.generate(PROMPTS, settings), keras_lm.generate(PROMPTS, settings))


def test_drafts_may_be_asked_for_and_change_no_text(
    lm: SavedModelLanguageModel, keras_lm: StepLanguageModel
) -> None:
    plain = GenerationConfig(max_new_tokens=NEW)
    wanted = replace(plain, prompt_lookup_num_tokens=9)
    for prompt in PROMPTS:
        assert_same(lm.generate([prompt], wanted), keras_lm.generate([prompt], plain))


@pytest.mark.parametrize("max_new_tokens", [3, NEW])
def test_a_prompt_longer_than_the_context_keeps_its_end(
    lm: SavedModelLanguageModel, keras_lm: StepLanguageModel, max_new_tokens: int
) -> None:
    settings = GenerationConfig(max_new_tokens=max_new_tokens)
    for prompts in (["xyz" * 20], [list(range(60))], ["z" * CONTEXT], ["z" * (CONTEXT - 1)]):
        if len(prompts[0]) < CONTEXT:
            assert_same(lm.generate(prompts, settings), keras_lm.generate(prompts, settings))
            continue
        with pytest.warns(PromptTruncatedWarning, match="only its last") as mine:
            generations = lm.generate(prompts, settings)
        with pytest.warns(PromptTruncatedWarning) as theirs:
            assert_same(generations, keras_lm.generate(prompts, settings))
        assert str(mine[0].message) == str(theirs[0].message)


def test_special_tokens_are_shown_when_asked_for(
    lm: SavedModelLanguageModel, keras_lm: StepLanguageModel
) -> None:
    settings = GenerationConfig(max_new_tokens=NEW, skip_special_tokens=False)
    mine = lm.generate(PROMPTS, settings)
    assert any("<|endoftext|>" in generation.text for generation in mine)
    assert_same(mine, keras_lm.generate(PROMPTS, settings))


def test_a_stream_joined_is_the_text(lm: SavedModelLanguageModel) -> None:
    for prompt, generation in zip(PROMPTS, lm.generate(PROMPTS), strict=True):
        assert "".join(lm.stream(prompt)) == generation.text
    assert any(len(list(lm.stream(prompt))) > 1 for prompt in PROMPTS)
    sampled = GenerationConfig(max_new_tokens=NEW, temperature=1.0, seed=4, stop=("e",))
    for prompt in PROMPTS[:4]:
        assert "".join(lm.stream(prompt, sampled)) == lm.generate([prompt], sampled)[0].text


def test_scores_are_keras_scores(lm: SavedModelLanguageModel, keras_lm: StepLanguageModel) -> None:
    rest = [*[generation.token_ids for generation in lm.generate(PROMPTS)][:6], "f", " the", "", "x", "y"]
    for mine, theirs in zip(lm.score(PROMPTS, rest), keras_lm.score(PROMPTS, rest), strict=True):
        assert (mine.num_tokens, mine.is_greedy) == (theirs.num_tokens, theirs.is_greedy)
        assert mine.logprob == pytest.approx(theirs.logprob, abs=1e-3)


SETTINGS = [
    GenerationConfig(max_new_tokens=NEW, temperature=1.0, seed=7),
    GenerationConfig(max_new_tokens=NEW, temperature=0.7, top_k=9, seed=2**64 - 2),
    GenerationConfig(max_new_tokens=4, temperature=1.3, top_p=0.8, min_p=0.02),
    GenerationConfig(max_new_tokens=NEW, repetition_penalty=1.5),
    GenerationConfig(max_new_tokens=NEW, temperature=1.0, repetition_penalty=1.2, seed=3, stop=("e",)),
    GenerationConfig(max_new_tokens=0, temperature=1.0),
    GenerationConfig(max_new_tokens=2 * CONTEXT, temperature=1.5, seed=1),
    GenerationConfig(max_new_tokens=NEW, stop=("ll",)),
]


@pytest.mark.parametrize("settings", SETTINGS)
def test_the_same_seed_writes_what_keras_writes(
    lm: SavedModelLanguageModel, keras_lm: StepLanguageModel, settings: GenerationConfig
) -> None:
    assert_same(lm.generate(PROMPTS, settings), keras_lm.generate(PROMPTS, settings))


def test_a_hundred_seeds_write_what_keras_writes(
    lm: SavedModelLanguageModel, keras_lm: StepLanguageModel
) -> None:
    each = [GenerationConfig(max_new_tokens=NEW, temperature=1.0, seed=seed) for seed in range(100)]
    mine = lm.generate(["the"] * 100, each)
    assert_same(mine, keras_lm.generate(["the"] * 100, each))
    assert len({generation.text for generation in mine}) > 50


def test_rows_of_other_settings_change_nothing(
    lm: SavedModelLanguageModel, keras_lm: StepLanguageModel
) -> None:
    prompts = PROMPTS[: len(SETTINGS)]
    together = lm.generate(prompts, SETTINGS)
    assert_same(together, keras_lm.generate(prompts, SETTINGS))
    for row, generation in enumerate(together):
        # A row's seed is the request's and its place in it.
        alone = replace(SETTINGS[row], seed=(SETTINGS[row].seed + row) % 2**64)
        assert_same(lm.generate([prompts[row]], alone), [generation])


def test_a_stop_text_may_cross_tokens_and_is_cut_off(lm: SavedModelLanguageModel) -> None:
    (plain,) = lm.generate(["hello"])
    for start in range(len(plain.text) - 1):
        stop = plain.text[start : start + 2]
        if "\ufffd" in stop:
            continue
        (stopped,) = lm.generate(["hello"], GenerationConfig(max_new_tokens=NEW, stop=(stop,)))
        assert stopped.text == plain.text.split(stop)[0]
        assert stopped.finish_reason == "stop"
        assert stopped.token_ids == plain.token_ids[: len(stopped.token_ids)]


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (GenerationConfig(num_beams=2), "num_beams 2"),
        (GenerationConfig(no_repeat_ngram_size=3), "no_repeat_ngram_size 3"),
        (GenerationConfig(echo=True), "echo True"),
        (GenerationConfig(stop=("x", "y")), "stop 2 texts"),
        (GenerationConfig(temperature=1.0, typical_p=0.5), "typical_p 0.5"),
    ],
)
def test_what_the_graph_cannot_do_is_refused(
    lm: SavedModelLanguageModel, settings: GenerationConfig, named: str
) -> None:
    with pytest.raises(UsageError, match=f"{named}.*use the onnx or the keras engine"):
        lm.generate(["a"], settings)
    with pytest.raises(UsageError, match=named):
        lm.stream("a", settings)
    with pytest.raises(UsageError, match="1 settings for 2 prompts"):
        lm.generate(["a", "b"], [settings])


def test_a_stop_text_among_special_tokens_that_are_shown_is_refused(
    lm: SavedModelLanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = GenerationConfig(stop=("<|user|>",), skip_special_tokens=False)
    lm.generate(["a"], settings)  # the end of text alone is shown where a text ends anyway
    monkeypatch.setattr(lm, "tokenizer", Tokenizer.from_merges(MERGES, ["<|user|>"]))
    with pytest.raises(
        UsageError, match=r"stop '<\|user\|>' where special tokens are shown: .* use the onnx"
    ):
        lm.generate(["a"], settings)


def test_what_the_graph_finds_wrong_with_a_row_is_raised(lm: SavedModelLanguageModel) -> None:
    infinite = GenerationConfig()
    object.__setattr__(infinite, "temperature", 1e39)  # infinite in float32, as another client may send it
    sentence = r"temperature is inf: it must be 0 \(greedy\) or a positive number"
    for prompts in (["a", "b"], [[1], [2]]):
        with pytest.raises(UsageError, match=sentence):
            lm.generate(prompts, [GenerationConfig(), infinite])
        with pytest.raises(UsageError, match=sentence):
            list(lm.stream(prompts[0], infinite))


def test_half_a_surrogate_pair_is_read_as_keras_reads_it(
    lm: SavedModelLanguageModel, keras_lm: StepLanguageModel
) -> None:
    prompts = ["\ud83d", "a\ude42b", "\ud83d\ude42"]
    for stop in ("\ud83d", "e\ud83d", ""):
        settings = GenerationConfig(max_new_tokens=NEW, temperature=1.5, seed=3, stop=(stop,))
        assert_same(lm.generate(prompts, settings), keras_lm.generate(prompts, settings))
        for prompt in prompts:
            assert "".join(lm.stream(prompt, settings)) == "".join(keras_lm.stream(prompt, settings))
    assert lm.score(prompts, prompts) == lm.score(["\ufffd", "a\ufffdb", "🙂"], ["\ufffd", "a\ufffdb", "🙂"])


def test_one_text_is_no_list_of_prompts(lm: SavedModelLanguageModel) -> None:
    with pytest.raises(UsageError, match="a list of prompts is needed"):
        lm.generate("hello")


def test_an_unknown_id_is_refused(lm: SavedModelLanguageModel) -> None:
    with pytest.raises(UsageError, match="the prompt holds id 9999"):
        lm.generate([[1, 9999]])


def test_a_folder_without_a_saved_model_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(KerasGPTError, match="cannot load the SavedModel"):
        open_bundle(tmp_path)


def test_a_load_that_fails_without_a_word_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: str) -> None:
        raise OSError

    monkeypatch.setattr(tf.saved_model, "load", fail)
    with pytest.raises(KerasGPTError, match=r"cannot load the SavedModel \(OSError\)"):
        open_bundle(tmp_path)


@pytest.fixture
def damaged(folder: Path, tmp_path: Path) -> Path:
    """A copy, to be damaged."""
    return Path(shutil.copytree(folder, tmp_path / "bundle"))


def variables(folder: Path) -> Path:
    return folder / artifacts.SAVED_MODEL / "variables" / "variables.data-00000-of-00001"


@pytest.mark.parametrize("share", [0, 0.9])
def test_weights_that_are_cut_off_are_an_error(damaged: Path, share: float) -> None:
    data = variables(damaged).read_bytes()
    variables(damaged).write_bytes(data[: int(share * len(data))])
    with pytest.raises(
        KerasGPTError, match=r"saved_model/1: cannot load the SavedModel \(.*; export it again"
    ):
        open_bundle(damaged)


def test_a_graph_that_is_damaged_is_an_error(damaged: Path) -> None:
    graph = damaged / artifacts.SAVED_MODEL / "saved_model.pb"
    whole = graph.read_bytes()
    name = b"StringSplitV2:values"  # of an output that other nodes read
    assert name in whole
    graph.write_bytes(whole.replace(name, b"StringSplitV3:values", 1))
    with pytest.raises(
        KerasGPTError, match=r"saved_model/1: cannot load the SavedModel \(.*; export it again"
    ):
        open_bundle(damaged)


@pytest.fixture
def altered(lm: SavedModelLanguageModel, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put something else in place of a signature."""

    def alter(name: str, signature: Callable[..., Any]) -> None:
        monkeypatch.setattr(lm.model, "_signatures", {**lm.model._signatures, name: signature})

    return alter


@pytest.mark.parametrize("name", ["generate", "decode"])
def test_numbers_that_are_none_are_an_error_in_a_stream_too(
    lm: SavedModelLanguageModel, altered: Callable[..., None], name: str
) -> None:
    right = lm.model._signatures[name]

    def wrong(**inputs: Any) -> dict[str, Any]:
        outputs = right(**inputs)
        return {**outputs, "logprobs": outputs["logprobs"] * np.nan}

    altered(name, wrong)
    with pytest.raises(KerasGPTError, match="logits are not finite"):
        list(lm.stream("hello")) if name == "decode" else lm.generate(["hello"])


def test_a_signature_that_fails_is_an_error(
    lm: SavedModelLanguageModel, altered: Callable[..., None]
) -> None:
    altered("logits", lambda **_: tf.debugging.Assert(False, ["a damaged graph"]))
    with pytest.raises(KerasGPTError, match="the SavedModel's logits fails: .*a damaged graph"):
        lm.score(["a"], ["b"])


def test_prompts_may_be_an_array(lm: SavedModelLanguageModel) -> None:
    for prompts in (["hello", "a"], [[1, 2], [3, 4]]):
        assert_same(lm.generate(np.array(prompts)), lm.generate(prompts))
    assert lm.generate(np.array([])) == []


def test_another_saved_model_is_an_error(tmp_path: Path) -> None:
    tf.saved_model.save(tf.Module(), str(tmp_path / artifacts.SAVED_MODEL))
    with pytest.raises(KerasGPTError, match="has no signature generate"):
        open_bundle(tmp_path)


OPEN_AND_GENERATE = """
import sys
sys.modules["keras"] = None  # `import tensorflow` imports Keras where it can; this refuses it
from kerasgpt.in_graph.language_model import open_bundle
print(open_bundle(sys.argv[1]).generate(["hello"])[0].token_ids)
"""


def test_keras_is_never_imported(folder: Path, lm: SavedModelLanguageModel) -> None:
    command = [sys.executable, "-c", OPEN_AND_GENERATE, str(folder)]
    child = subprocess.run(
        command, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False
    )
    assert child.returncode == 0, child.stderr
    assert child.stdout.strip() == str(lm.generate(["hello"])[0].token_ids)


def test_a_path_that_looks_like_a_pattern_is_opened(bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "v[2] x"
    folder.symlink_to(bundle, target_is_directory=True)
    assert open_bundle(folder).generate(["The"], GenerationConfig(max_new_tokens=2))[0].token_ids
