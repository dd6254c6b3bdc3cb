"""Answers are those of one call with all records, whatever is asked together; bad records stand alone."""

import dataclasses
import warnings

import pytest

from kerasgpt import GenerationConfig, load
from kerasgpt.bulk.answers import Answer, Answerer, EngineFailedError
from kerasgpt.bulk.records import Record, Rejected
from kerasgpt.errors import UsageError

PROMPTS = [
    "ROMEO:\nBut soft, what",
    "The",
    "",
    "naïve 北京 🙂",
    "My lord, the king is come",
    "a" * 200,
    "What",
]
PROMPTS = [*PROMPTS, *(f"Scene {number}: {'enter ' * (number % 5)}" for number in range(9))]
CONTINUATIONS = [" light", " king", "The", "", "?"]
SAMPLING = GenerationConfig(max_new_tokens=8, temperature=0.9, top_k=50, seed=7)


def records(texts=PROMPTS) -> list[Record]:
    rest = [CONTINUATIONS[number % 5] for number in range(len(texts))]
    return [Record(f"a:{n + 1}", n, text, rest[n]) for n, text in enumerate(texts)]


@pytest.fixture(scope="module")
def models(bundle):
    return {engine: load(bundle, engine) for engine in ("onnx", "saved_model")}


@pytest.fixture(params=["onnx", "saved_model"])
def lm(request, models):
    return models[request.param]


def quietly(call, *arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call(*arguments)


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_sampled_texts_are_those_of_one_call_with_all(lm, batch_size):
    expected = quietly(lm.generate, PROMPTS, SAMPLING)
    found = Answerer(lm, "generate", SAMPLING, batch_size).answers(records())
    assert [each.record for each in found] == records()
    for answer, (generation,) in zip(found, [(each,) for each in expected], strict=True):
        (own,) = answer.results
        assert dataclasses.replace(own, logprobs=[]) == dataclasses.replace(generation, logprobs=[])
        assert own.logprobs == pytest.approx(generation.logprobs, abs=1e-4)
    assert len({each.results[0].text for each in found}) > 10


def test_a_part_of_the_records_has_the_same_texts(lm):
    together = Answerer(lm, "generate", SAMPLING).answers(records())
    part = [records()[n] for n in (11, 4, 5)]
    alone = Answerer(lm, "generate", SAMPLING).answers(part)
    assert [each.results[0].token_ids for each in alone] == [
        together[n].results[0].token_ids for n in (11, 4, 5)
    ]


def test_several_samples_are_those_of_one_call_with_all(models):
    settings = dataclasses.replace(SAMPLING, num_return_sequences=3)
    expected = [each.token_ids for each in quietly(models["onnx"].generate, PROMPTS, settings)]
    found = Answerer(models["onnx"], "generate", settings, 4).answers(records())
    assert [result.token_ids for each in found for result in each.results] == expected
    assert [row["sample"] for row in found[1].rows()] == [0, 1, 2]
    assert {row["id"] for row in found[1].rows()} == {"a:2"}


def test_beams_are_those_of_one_call_with_all(models, faulty):
    settings = GenerationConfig(max_new_tokens=6, num_beams=3)
    expected = [each.token_ids for each in quietly(models["onnx"].generate, PROMPTS, settings)]
    found = Answerer(models["onnx"], "generate", settings, 4).answers(records())
    assert [each.results[0].token_ids for each in found] == expected


@pytest.mark.parametrize("batch_size", [1, 64])
def test_scores_are_those_of_one_call_with_all(lm, batch_size):
    pairs = [(record.prompt, record.continuation) for record in records()]
    expected = quietly(lm.score, *zip(*pairs, strict=True))
    found = Answerer(lm, "score", None, batch_size).answers(records())
    for answer, score in zip(found, expected, strict=True):
        (own,) = answer.results
        assert (own.num_tokens, own.is_greedy) == (score.num_tokens, score.is_greedy)
        assert own.logprob == pytest.approx(score.logprob, abs=1e-4)


def test_lines_have_the_forms_of_the_commands(models):
    (answer,) = Answerer(models["onnx"]).answers(records(["The"]))
    (row,) = answer.rows()
    assert list(row) == [
        *("id", "prompt", "text", "token_ids", "num_prompt_tokens", "finish_reason", "logprobs")
    ]
    (scored,) = Answerer(models["onnx"], "score").answers(records(["The"]))
    (row,) = scored.rows()
    assert list(row) == ["id", "prompt", "continuation", "logprob", "num_tokens", "is_greedy"]
    assert (row["id"], row["prompt"], row["continuation"]) == ("a:1", "The", " light")
    assert (answer.num_answered_tokens, scored.num_answered_tokens) == (64, row["num_tokens"])


def test_records_of_about_equal_length_are_read_together(models, faulty):
    model = faulty(models["onnx"])
    answerer = Answerer(model, "generate", SAMPLING, 4)
    model.asked.clear()
    found = answerer.answers(records())
    lengths = [[len(model.tokenizer.encode(prompt)) for prompt in batch] for batch in model.asked]
    assert [len(batch) for batch in lengths] == [4, 4, 4, 4]
    joined = [length for batch in lengths for length in batch]
    assert joined == sorted(joined, reverse=True)
    assert [each.record.prompt for each in found] == PROMPTS


def test_a_text_that_does_not_fit_is_told_without_a_warning(lm):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = Answerer(lm, "generate", SAMPLING).answers(records())
        scored = Answerer(lm, "score").answers(records())
    assert [each.id for each in found if each.is_truncated] == ["a:6"]
    assert [each.id for each in scored if each.is_truncated] == ["a:6"]
    assert found[5].num_read_tokens > 96


def test_whether_a_score_is_cut_is_what_its_warning_says(models):
    lm, encode = models["onnx"], models["onnx"].tokenizer.encode
    answerer = Answerer(lm, "score")
    for length in (94, 95, 96, 97, 98):
        prompt = "\u4e00" * 40 + "!" * 100
        prompt = lm.tokenizer.decode(encode(prompt)[-length:]) if length else ""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            lm.score([prompt], ["??"])
        (answer,) = answerer.answers([Record("a:1", 0, prompt, "??")])
        assert answer.is_truncated == bool(caught), length
    assert caught


def test_only_the_bad_record_is_rejected(models):
    asked = records(["The", "x", "What"])
    asked[1] = dataclasses.replace(asked[1], continuation="y" * 500)
    good, bad, other = Answerer(models["onnx"], "score").answers(asked)
    assert (type(good), type(bad), type(other)) == (Answer, Rejected, Answer)
    assert "more than the model's context of 96" in bad.error
    assert bad.rows()[0]["input"] == {"prompt": "x", "continuation": "y" * 500}


def test_a_record_that_breaks_the_engine_is_rejected_and_the_others_answered(models, faulty):
    def fault(prompts):
        if "The" in prompts:
            raise RuntimeError("operator Gemm failed\nat 0x0")

    answerer = Answerer(faulty(models["onnx"], fault), "generate", SAMPLING, 8)
    found = answerer.answers(records())
    expected = Answerer(models["onnx"], "generate", SAMPLING, 8).answers(records())
    assert found[1] == Rejected("a:2", 1, "RuntimeError: operator Gemm failed", {"prompt": "The"})
    for own, other in zip([*found[:1], *found[2:]], [*expected[:1], *expected[2:]], strict=True):
        assert own.results[0].token_ids == other.results[0].token_ids


def test_a_fault_that_passes_leaves_no_trace(models, faulty):
    calls = []

    def fault(prompts):
        calls.append(prompts)
        if len(calls) in (3, 6):
            raise MemoryError

    answerer = Answerer(faulty(models["onnx"], fault), "generate", SAMPLING, 4)
    assert answerer.answers(records()) == Answerer(models["onnx"], "generate", SAMPLING, 4).answers(records())
    assert len(calls) == 1 + 4 + 2


def test_an_engine_that_answers_nothing_any_more_is_no_fault_of_the_records(models, faulty):
    model = faulty(models["onnx"])
    answerer = Answerer(model, "generate", SAMPLING, 4)

    def fault(prompts):
        raise RuntimeError("device lost")

    model.fault = fault
    with pytest.raises(EngineFailedError, match=r"since a:6 \(RuntimeError: device lost\)"):
        answerer.answers(records())


def test_what_an_engine_cannot_do_is_refused_at_once(models):
    settings = dataclasses.replace(SAMPLING, typical_p=0.5)
    with pytest.raises(UsageError, match="typical_p 0.5: this SavedModel cannot do that"):
        Answerer(models["saved_model"], "generate", settings)
    assert Answerer(models["saved_model"], "score", settings).answers([]) == []
