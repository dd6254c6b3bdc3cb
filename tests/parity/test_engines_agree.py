"""One model on three engines: Hugging Face's logits, the same greedy text, samples and scores."""

import shutil

import numpy as np
import pytest

from kerasgpt.engines import load
from kerasgpt.export.pipeline import export_folder
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.runtime.batching import ContinuousBatching
from kerasgpt.tokenizer.bpe import Tokenizer

ENGINES = ["keras", "onnx", "saved_model"]
PROMPTS = ["", "ROMEO:", "a café, 北京 🙂", "First Citizen:\nBefore we proceed any further, hear me speak."]


@pytest.fixture(scope="module", params=["base", "variant"])
def exported(request, tmp_path_factory, shakespeare):
    """Hugging Face's golden model with a vocabulary of its size, as a bundle; and its expected numbers."""
    folder = tmp_path_factory.mktemp(request.param)
    source = shutil.copytree(request.path.parents[1] / "data" / request.param, folder / "model")
    with np.load(source / "expected.npz") as arrays:
        golden = dict(arrays)
    tokenizer = Tokenizer.learn([shakespeare], golden["logits_float64"].shape[-1])
    tokenizer.save_to_preset(source)
    export_folder(source, folder / "bundle")
    return folder / "bundle", golden


@pytest.fixture(params=ENGINES)
def engine(request, exported):
    return load(exported[0], request.param)


@pytest.fixture(scope="module")
def steppers(exported):
    """The engines that take steps."""
    return [load(exported[0], name) for name in ("keras", "onnx")]


def all_logits(engine, ids):
    answer = engine.all_logits if hasattr(engine, "all_logits") else engine.model.all_logits
    return answer(ids, np.full(len(ids), ids.shape[1]))


def test_logits_are_hugging_faces(engine, exported):
    golden = exported[1]
    difference = all_logits(engine, golden["input_ids"]) - golden["logits_float64"]
    assert np.abs(difference).max() < 1e-5


def test_greedy_text_is_the_same(engine, exported):
    expected = load(exported[0], "onnx").generate(PROMPTS)
    for ours, theirs in zip(engine.generate(PROMPTS), expected, strict=True):
        assert (ours.text, ours.token_ids) == (theirs.text, theirs.token_ids)
        assert (ours.finish_reason, ours.num_prompt_tokens) == (
            theirs.finish_reason,
            theirs.num_prompt_tokens,
        )


def test_scores_are_the_same(engine, exported):
    continuations = ["the first", " 北京", "x", " speak"]
    expected = load(exported[0], "onnx").score(PROMPTS, continuations)
    for ours, theirs in zip(engine.score(PROMPTS, continuations), expected, strict=True):
        assert ours.logprob == pytest.approx(theirs.logprob, abs=1e-3)
        assert (ours.num_tokens, ours.is_greedy) == (theirs.num_tokens, theirs.is_greedy)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_samples_are_the_same_for_the_same_seed(exported, seed):
    settings = GenerationConfig(temperature=0.9, top_k=50, top_p=0.95, seed=seed, max_new_tokens=20)
    keras, *others = (
        [row.token_ids for row in load(exported[0], name).generate(PROMPTS, settings)] for name in ENGINES
    )
    assert others == [keras, keras]
    assert len(set(map(tuple, keras))) == len(PROMPTS)  # and not all alike


@pytest.mark.parametrize(
    "settings",
    [
        GenerationConfig(max_new_tokens=20, num_beams=3, num_return_sequences=2),
        GenerationConfig(max_new_tokens=20, num_beams=4, length_penalty=2.0, repetition_penalty=1.2),
        GenerationConfig(max_new_tokens=20, repetition_penalty=1.3, no_repeat_ngram_size=2),
        GenerationConfig(max_new_tokens=20, temperature=1.0, typical_p=0.8, presence_penalty=0.5, seed=4),
        GenerationConfig(max_new_tokens=20, temperature=1.2, min_p=0.05, num_return_sequences=3),
    ],
    ids=lambda settings: "+".join(settings.changes()),
)
def test_every_way_to_write_is_the_same(steppers, settings):
    keras, onnx = (engine.generate(PROMPTS, settings) for engine in steppers)
    assert [row.token_ids for row in keras] == [row.token_ids for row in onnx]


def test_settings_of_each_prompt_are_the_same(steppers):
    settings = [
        GenerationConfig(max_new_tokens=5),
        GenerationConfig(max_new_tokens=12, num_beams=2),
        GenerationConfig(max_new_tokens=20, temperature=1.0, seed=2),
        GenerationConfig(max_new_tokens=9, frequency_penalty=1.0, min_new_tokens=9),
    ]
    keras, onnx = (engine.generate(PROMPTS, settings) for engine in steppers)
    assert [row.token_ids for row in keras] == [row.token_ids for row in onnx]


def test_requests_in_a_running_batch_have_the_same_ids(steppers):
    settings = [
        GenerationConfig(max_new_tokens=5),
        GenerationConfig(max_new_tokens=12, temperature=1.0, seed=2),
        GenerationConfig(max_new_tokens=20, repetition_penalty=1.3),
        GenerationConfig(max_new_tokens=9),
    ]
    for engine in steppers:
        expected = engine.generate(PROMPTS, settings)
        with ContinuousBatching(engine, max_batch_size=2) as batching:
            found = batching.generate(PROMPTS, settings)
        assert [row.token_ids for row in found] == [row.token_ids for row in expected]
