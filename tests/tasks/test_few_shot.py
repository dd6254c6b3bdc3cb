import json

import numpy as np
import pytest

from kerasgpt.errors import KerasGPTError, UsageError
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.protocols import Score
from kerasgpt.tasks.evaluation import evaluate_task
from kerasgpt.tasks.few_shot import CONTENT_FREE, FewShot

REVIEWS = "".join(f"{number % 2} review number {number}\n" for number in range(12))


@pytest.fixture
def reviews(tmp_path):
    path = tmp_path / "sst2.txt"
    path.write_text(REVIEWS)
    return path


@pytest.fixture
def words(tmp_path):
    """A list whose outputs are the inputs backwards, but for one."""
    path = tmp_path / "reversed.json"
    pairs = [{"input": f"word{n}", "output": f"word{n}"[::-1]} for n in range(25)]
    path.write_text(json.dumps([*pairs, {"input": "odd", "output": ["even", "uneven"]}]))
    return path


def result(task: FewShot, lm, path, **settings):
    return evaluate_task(task, lm, task.read([path], lm), **settings)


def naive(lm, prompt: str, label: str) -> float:
    ids, start = list(f"{prompt} {label}".encode()), len(prompt.encode())
    return sum(lm.logprobs(ids[:end])[ids[end]] for end in range(start, len(ids)))


def prompt_of(question, asked: str) -> str:
    shots = "".join(f"Review: {each.input}\nSentiment: {each.outputs[0]}\n\n" for each in question.shots)
    return f"{shots}Review: {asked}\nSentiment:"


@pytest.mark.parametrize("shots", [0, 1, 4])
def test_ranking_takes_the_most_probable_label_and_calibration_divides_by_its_bias(
    reviews, byte_model, shots: int
) -> None:
    lm, task = byte_model(), FewShot(shots=shots, seed=3, calibrate=True)
    labels = ["negative", "positive"]
    right, calibrated = [], []
    for question in task.read([reviews], lm):
        assert question.choices == tuple(labels)
        assert len(question.shots) == shots
        logprobs = np.array([naive(lm, prompt_of(question, question.asked.input), each) for each in labels])
        shares = []
        for free in CONTENT_FREE:
            own = np.exp(
                [naive(lm, prompt_of(question, free).replace(":  \n", ": \n"), each) for each in labels]
            )
            shares.append(own / own.sum())
        gold = labels.index(question.asked.outputs[0])
        right.append(logprobs.argmax() == gold)
        calibrated.append((np.exp(logprobs) / np.mean(shares, axis=0)).argmax() == gold)
    found = result(task, lm, reviews)
    assert [one.counts["acc"] for one in found.outcomes] == right
    assert [one.counts["acc_calibrated"] for one in found.outcomes] == calibrated
    assert right != calibrated or not shots  # the data tells the two apart
    assert found.summary.metrics["acc"] == np.mean(right)


def test_calibration_undoes_a_bias(reviews, byte_model) -> None:
    """A model that knows the answer and says positive all the same is right by chance, until calibrated."""

    class Biased(byte_model):
        def _score(self, prompt, rest):
            text, label = self.tokenizer.decode(prompt), self.tokenizer.decode(rest)
            asked = text.rpartition("Review: ")[2].split("\n")[0]
            knows = asked[-1:].isdigit() and (int(asked[-1]) % 2 == 1) == (label == " positive")
            return Score(5.0 * knows + 50.0 * (label == " positive"), len(rest), False)

    metrics = result(FewShot(shots=2, calibrate=True), Biased(), reviews).summary.metrics
    assert (metrics["acc"], metrics["acc_calibrated"]) == (0.5, 1.0)


def test_writing_must_be_right_to_the_letter(words, byte_model) -> None:
    lm, task = byte_model(), FewShot(shots=3)
    found = result(task, lm, words)
    assert found.summary.metrics["acc"] == 25 / 26
    assert all(prompt.count("Q: ") == 4 for prompt in lm.prompts)
    assert lm.settings[0].stop == ("\n",)
    assert found.baselines["majority"].metrics["acc"] == 1 / 26
    assert found.baselines["copy"].metrics["acc"] == 0


def test_one_answer_without_its_prompt_is_judged_whatever_the_settings(words, byte_model) -> None:
    settings = GenerationConfig(num_beams=3, num_return_sequences=3, echo=True)
    lm, task = byte_model(), FewShot(shots=3, settings=settings)
    result(task, lm, words)
    assert (lm.settings[0].num_beams, lm.settings[0].num_return_sequences, lm.settings[0].echo) == (
        3,
        1,
        False,
    )


def test_guessing_counts_every_choice_that_is_right(tmp_path, byte_model) -> None:
    path = tmp_path / "either.json"
    pairs = [{"input": "x", "output": ["a", "b"]}, {"input": "y", "output": ["b", "c"]}]
    path.write_text(json.dumps([*pairs, {"input": "z", "output": ["c"]}]))
    found = result(FewShot(), byte_model(), path)
    assert found.baselines["random"].metrics["acc"] == pytest.approx((2 / 3 + 2 / 3 + 1 / 3) / 3)


def test_each_question_is_drawn_with_a_seed_of_its_own_however_it_is_batched(words, byte_model) -> None:
    seen = []
    for batch_size in (1, 5, 100):
        lm = byte_model()
        drawn = {}
        generate = lm.generate

        def spy(prompts, settings, generate=generate, drawn=drawn):
            drawn.update(
                {p: own.seed + place for place, (p, own) in enumerate(zip(prompts, settings, strict=True))}
            )
            return generate(prompts, settings)

        lm.generate = spy
        result(FewShot(settings=GenerationConfig(temperature=1.0, seed=9)), lm, words, batch_size=batch_size)
        seen.append(drawn)
    assert seen[0] == seen[1] == seen[2]
    assert sorted(seen[0].values()) == list(range(9, 9 + 26))


def test_many_outputs_are_ranked_among_a_few(words, byte_model) -> None:
    lm, task = byte_model(), FewShot(method="rank", candidates=5)
    questions = task.read([words], lm)
    assert all(len(set(each.choices)) == 5 for each in questions)
    assert all(each.asked.outputs[0] in each.choices for each in questions)
    assert len({each.choices for each in questions}) > 20
    assert result(task, lm, words).baselines["random"].metrics["acc"] == pytest.approx(1 / 5)


def test_shots_come_from_the_pool(reviews, tmp_path, byte_model) -> None:
    pool = tmp_path / "pool.txt"
    pool.write_text("1 from the pool\n0 from the pool too\n")
    questions = FewShot(shots=2, pool=(str(pool),)).read([reviews], byte_model())
    assert {each.input for question in questions for each in question.shots} == {
        "from the pool",
        "from the pool too",
    }
    pool.write_text("1 from the pool\n")
    with pytest.raises(KerasGPTError, match=r"sst2.txt, line 1: label 'negative' is none of positive"):
        FewShot(shots=2, pool=(str(pool),)).read([reviews], byte_model())


def test_long_prompts_lose_shots_and_are_counted(reviews, byte_model) -> None:
    lm, task = byte_model(context=120), FewShot(shots=4)
    metrics = result(task, lm, reviews).summary.metrics
    assert metrics["num_shortened_prompts"] == 12
    assert metrics["num_dropped_shots"] >= 12
    assert metrics["num_unanswered"] == 0
    assert all("Review: review number" in prompt.rpartition("\n\n")[2] for prompt in lm.prompts)


def test_a_question_that_does_not_fit_is_not_answered_and_that_is_wrong(reviews, byte_model) -> None:
    metrics = result(FewShot(), byte_model(context=20), reviews).summary.metrics
    assert (metrics["acc"], metrics["num_unanswered"]) == (0, 12)


def test_the_order_is_the_seeds(reviews, byte_model) -> None:
    lm = byte_model()
    orders = [
        [each.place for each in FewShot(shots=shots, seed=seed).read([reviews], lm)]
        for shots, seed in [(0, 1), (4, 1), (0, 2)]
    ]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == sorted(orders[2])


def test_a_template_and_an_instruction(reviews, byte_model) -> None:
    lm = byte_model()
    task = FewShot(shots=1, template="{input} // {output}\n", instruction="Judge.\n")
    result(task, lm, reviews)
    assert all(prompt.startswith("Judge.\nreview number ") for prompt in lm.prompts)
    assert all(prompt.endswith(" //") for prompt in lm.prompts)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shots": -1}, "shots is -1"),
        ({"method": "ranks"}, "unknown method 'ranks': did you mean 'rank'?"),
        ({"candidates": 1}, "candidates is 1"),
        ({"template": "{input}"}, "must have {input} and then {output}"),
        ({"calibrate": True, "method": "generate"}, "only ranked answers can be calibrated"),
    ],
)
def test_wrong_settings_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        FewShot(**settings)
    assert message in str(caught.value)


def test_what_cannot_be_ranked_is_refused(words, tmp_path, byte_model) -> None:
    with pytest.raises(UsageError, match="the 26 outputs are more than 20 candidates"):
        FewShot(calibrate=True).read([words], byte_model())
    (tmp_path / "one.txt").write_text("1 a\n1 b\n")
    with pytest.raises(UsageError, match="all outputs are the same"):
        FewShot().read([tmp_path / "one.txt"], byte_model())


def test_a_seed_below_zero_and_no_file_are_refused():
    with pytest.raises(UsageError, match="seed is -1: it must be 0 or more"):
        FewShot(seed=-1)
    with pytest.raises(UsageError, match="few_shot: no file of examples"):
        FewShot().read([], None)
