"""SignatureDefs as they stand in the file."""

from pathlib import Path

import numpy as np
import pytest

from kerasgpt.artifacts import SAVED_MODEL
from kerasgpt.errors import KerasGPTError
from kerasgpt.export.signatures import TensorSpec, read_signatures
from tests.tf_serving.fake_model import FUNCTIONS, write_fake


def test_a_bundles_signatures(bundle: Path) -> None:
    signatures = read_signatures(bundle / SAVED_MODEL)
    assert next(iter(signatures)) == "serving_default"
    assert {"generate", "generate_tokens", "logits"} < set(signatures)
    default = signatures["serving_default"]
    assert {name: str(spec) for name, spec in default.inputs.items()} == {"prompts": "string (?)"}
    assert list(default.outputs) == ["text"]
    assert str(signatures["logits"].outputs["logits"]) == "float32 (?, ?, 300)"


def test_defaults_are_read(tmp_path: Path) -> None:
    signatures = read_signatures(write_fake(tmp_path / "1"))
    assert set(signatures) == set(FUNCTIONS)
    assert {name: array.tolist() for name, array in signatures["with_defaults"].defaults.items()} == {
        "max_new_tokens": [5],
        "temperature": [0.5],
    }
    assert signatures["generate"].defaults == {}


def test_values_become_arrays_of_the_type() -> None:
    assert TensorSpec("x:0", "string", (None,)).array([b"a\x00"]).tolist() == [b"a\x00"]
    assert TensorSpec("x:0", "int32", (None,)).array([True, False]).dtype == np.int32


@pytest.mark.parametrize("content", [None, b"", b"no protobuf"])
def test_what_is_no_saved_model_is_told(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "saved_model.pb").write_bytes(content)
    with pytest.raises(
        KerasGPTError, match=r"saved_model.pb: no SavedModel that can be read .*export it again"
    ):
        read_signatures(tmp_path)
