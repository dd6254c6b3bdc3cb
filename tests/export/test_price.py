import math

import pytest

from kerasgpt.errors import KerasGPTError
from kerasgpt.export.parity import Parity
from kerasgpt.export.price import check_prices, measured
from kerasgpt.export.proof import Proof
from kerasgpt.runtime.language_model import open_file
from kerasgpt.tasks.language_modeling import evaluate

PARITY = Parity(0.0, 0.0, 1, 0, [])


def test_onnx_files_are_measured_and_nothing_else(bundle):
    text = "Speak, speak.\n"
    said = []
    keras, onnx = (
        measured(bundle, Proof(name, 1.0, PARITY), text, said.append) for name in ("keras", "onnx")
    )
    assert keras.perplexity is None
    assert onnx.perplexity == evaluate(open_file(bundle, "onnx/model.onnx"), text)["perplexity"]
    assert said == [f"onnx/model.onnx: perplexity {onnx.perplexity:.4f} on the evaluation data"]


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
