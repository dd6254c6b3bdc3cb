"""One model on three engines: Hugging Face's logits, the same greedy text, samples and scores."""

import shutil

import numpy as np
import pytest

from kerasgpt.config import GenerationConfig
from kerasgpt.engines import load
from kerasgpt.export.pipeline import export_folder
from kerasgpt.tokenizer.training import learn

ENGINES = ["keras", "onnx", "saved_model"]
PROMPTS = ["", "ROMEO:", "a café, 北京 🙂", "First Citizen:\nBefore we proceed any further, hear me speak."]


@pytest.fixture(scope="module", params=["base", "variant"])
def exported(request, tmp_path_factory, shakespeare):
    """Hugging Face's golden model with a vocabulary of its size, as a bundle; and its expected numbers."""
    folder = tmp_path_factory.mktemp(request.param)
    source = shutil.copytree(request.path.parents[1] / "data" / request.param, folder / "model")
    with np.load(source / "expected.npz") as arrays:
        golden = dict(arrays)
    tokenizer = learn([shakespeare], golden["logits_float64"].shape[-1])
    tokenizer.save_to_preset(source)
    export_folder(source, folder / "bundle")
    return folder / "bundle", golden


@pytest.fixture(params=ENGINES)
def engine(request, exported):
    return load(exported[0], request.param)


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
    keras, onnx = (load(exported[0], name).generate(PROMPTS, settings) for name in ("keras", "onnx"))
    assert [row.token_ids for row in keras] == [row.token_ids for row in onnx]
    assert len({tuple(row.token_ids) for row in keras}) == len(PROMPTS)  # and not all alike
