import math

import numpy as np
import pytest

from kerasgpt.engines import load
from kerasgpt.errors import KerasGPTError
from kerasgpt.export.parity import Parity
from kerasgpt.export.pipeline import export_bundle
from kerasgpt.export.price import all_measured, check_prices
from kerasgpt.export.proof import Proof
from kerasgpt.models.causal_lm import load_model
from kerasgpt.runtime.language_model import open_file
from kerasgpt.tasks.language_modeling import evaluate
from kerasgpt.tokenizer.bpe import Tokenizer

PARITY = Parity(0.0, 0.0, 1, 0, [])


def test_files_are_measured_against_float32_of_their_own(bundle):
    text = "Speak, speak.\n"
    said = []
    proofs = [Proof(name, 1.0, PARITY) for name in ("keras", "onnx")]
    keras, onnx = all_measured(bundle, proofs, text, said.append)
    assert keras.perplexity is None
    assert onnx.perplexity == evaluate(open_file(bundle, "onnx/model.onnx"), text)["perplexity"]
    assert said == [f"onnx/model.onnx: perplexity {onnx.perplexity:.4f} on the evaluation data"]


def test_without_a_file_in_float32_the_model_itself_is_measured(model_folder):
    text = "Speak, speak.\n"
    (found,) = all_measured(model_folder, [Proof("keras", 1.0, PARITY)], text, lambda _: None)
    assert found.perplexity == pytest.approx(evaluate(load(model_folder), text)["perplexity"])
    proofs = [found, Proof("saved_model", 1.0, PARITY, "int8", 1.2 * found.perplexity)]
    with pytest.raises(KerasGPTError, match="int8: raises the perplexity by 20 %"):
        check_prices(proofs, 10)


@pytest.mark.parametrize(
    ("perplexity", "holds"), [(9.0, True), (10.99, True), (11.01, False), (math.nan, False)]
)
def test_more_than_a_tenth_more_is_refused(perplexity, holds):
    proofs = [
        Proof("keras", 1.0, PARITY),
        Proof("onnx", 1.0, PARITY, perplexity=10.0),
        Proof("fast_int4", 1.0, PARITY, "int4", perplexity),
    ]
    if holds:
        check_prices(proofs, 10)
        return
    with pytest.raises(KerasGPTError, match=r"int4: raises the perplexity by .* %, allowed are 10 %"):
        check_prices(proofs, 10)


def test_behind_a_soft_prompt_the_file_that_reads_it_is_measured_with_it(model_folder, tmp_path):
    model, tokenizer = load_model(model_folder), Tokenizer.from_preset(model_folder)
    prompt = np.random.default_rng(0).normal(size=(3, model.config.hidden_dim)).astype("float32")
    text = "Speak, speak.\n"
    out = tmp_path / "bundle"
    proofs = export_bundle(model, tokenizer, out, formats=["onnx"], soft_prompt=prompt, evaluation_text=text)
    measured = {proof.engine: proof.perplexity for proof in proofs if proof.perplexity is not None}
    assert measured == {"onnx_embeds": evaluate(load(out), text)["perplexity"]}
    assert measured["onnx_embeds"] != evaluate(load(model_folder), text)["perplexity"]
