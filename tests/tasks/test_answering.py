"""Written tasks by the contract of `kerasgpt.tasks.base.Task`, on a model that answers by heart."""

import dataclasses
import json
from dataclasses import dataclass, field

import pytest

from kerasgpt.errors import UsageError
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.protocols import Generation
from kerasgpt.tasks import answering
from kerasgpt.tasks.answering import JUDGEMENTS, WrittenTask, written_task
from kerasgpt.tasks.base import totals
from kerasgpt.tasks.templates import DEFAULTS, FIELDS
from kerasgpt.tokenizer.bpe import Tokenizer


@dataclass
class ByHeart:
    """Answers each prompt as it is told to."""

    answers: dict
    tokenizer: Tokenizer = field(default_factory=lambda: Tokenizer.learn(["a"], 257))
    max_sequence_length: int = 200
    seeds: list = field(default_factory=list)

    def generate(self, prompts, settings):
        each = settings if isinstance(settings, list) else [settings] * len(prompts)
        self.seeds += [own.seed + index for index, own in enumerate(each)]
        return [Generation(f" {self.answers[prompt]} ", [], 0, "stop", []) for prompt in prompts]


@pytest.fixture
def data(tmp_path):
    def write(*records):
        (tmp_path / "data.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
        return [tmp_path / "data.jsonl"]

    return write


def test_every_task_has_a_judgement_and_a_function_that_makes_it(tmp_path):
    assert set(JUDGEMENTS) == set(FIELDS) == set(DEFAULTS)
    for name in FIELDS:
        task = getattr(answering, f"{name}_task")(tmp_path)
        assert (task.name, task.template, task.settings) == (name, DEFAULTS[name], None)


def test_one_text_without_its_prompt_is_judged_whatever_the_settings(tmp_path):
    settings = GenerationConfig(num_beams=2, num_return_sequences=2, echo=True, max_new_tokens=7)
    writing = answering.translation_task(tmp_path, settings=settings).writing
    assert writing == GenerationConfig(num_beams=2, max_new_tokens=7)


def test_a_model_that_knows_every_answer_has_the_best_figures_and_baselines_stand_beside(data):
    question = {"context": "The cat slept. It rained.", "answers": ["The cat", "cat"]}
    paths = data({**question, "question": "Who slept?"}, {**question, "question": "It rained where?"})
    task = WrittenTask(DEFAULTS["question_answering"])
    records = task.read(paths, ByHeart({}))
    first, second = (task.template.text(record.fields) for record in records)
    outcomes = task.answer(ByHeart({first: "a cat", second: "the dog"}), records)
    assert [outcome.details for outcome in outcomes] == [{"prediction": "a cat"}, {"prediction": "the dog"}]
    assert task.metrics(totals(outcomes)) == {"exact_match": 50, "f1": 50, "num_shortened": 0}
    baselines = {name: task.metrics(totals(outcomes)) for name, outcomes in task.baselines(records).items()}
    assert baselines["majority"]["f1"] == 100
    assert baselines["nearest sentence"] == {
        "exact_match": 0,
        "f1": pytest.approx(100 * 2 / 3 / 2),
        "num_shortened": 0,
    }
    assert task.size(records[1]) > task.size(records[0])


def test_translations_and_summaries_are_judged_by_their_own_scores(data, tmp_path):
    translation = written_task("translation", tmp_path)
    records = translation.read(
        data({"source": "A dog runs fast.", "target": "Ein Hund rennt schnell."}), None
    )
    lm = ByHeart({"A dog runs fast.\nTranslation:": "Ein Hund rennt schnell."})
    figures = translation.metrics(totals(translation.answer(lm, records)))
    assert figures == {"bleu": pytest.approx(100), "chrf": pytest.approx(100), "num_shortened": 0}
    copied = translation.metrics(totals(translation.baselines(records)["copy"]))
    assert 0 < copied["chrf"] < 30
    summary = written_task("summarization", tmp_path)
    records = summary.read(data({"text": "It rained. All went home.", "summary": "Rain"}), None)
    lm = ByHeart({"It rained. All went home.\nSummary:": "rain"})
    assert summary.metrics(totals(summary.answer(lm, records)))["rouge_l"] == 100
    assert 0 < summary.metrics(totals(summary.baselines(records)["lead"]))["rouge_1"] < 100


def test_a_seed_is_the_records_own_and_shortened_prompts_are_counted(data, tmp_path):
    settings = GenerationConfig(max_new_tokens=10, temperature=1.0, seed=100)
    task = written_task("completion", tmp_path, settings=settings)
    records = task.read(data(*({"prompt": f"p{n}", "answer": "a"} for n in range(4))), None)
    lm = ByHeart({f"p{n}": "a" for n in range(4)})
    task.answer(lm, [records[2], records[0]])
    assert lm.seeds == [102, 100]
    long = dataclasses.replace(records[0], fields={"prompt": "word " * 60})
    lm = ByHeart({" ".join(["word"] * 38): "a"})
    assert task.metrics(totals(task.answer(lm, [long])))["num_shortened"] == 1


def test_a_folders_own_template_is_taken_unless_another_is_given(tmp_path):
    own = dataclasses.replace(DEFAULTS["translation"], prompt="{source} =>", max_new_tokens=7)
    own.write(tmp_path)
    assert written_task("translation", tmp_path).template == own
    assert written_task("translation", tmp_path).writing == GenerationConfig(max_new_tokens=7)
    assert written_task("translation", tmp_path, "> {source}").template.prompt == "> {source}"
    assert written_task("summarization", tmp_path).template == DEFAULTS["summarization"]
    with pytest.raises(UsageError, match="must have {source} in it"):
        written_task("translation", tmp_path, "Translate!")
