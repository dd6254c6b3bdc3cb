"""In this process where Keras runs on TensorFlow, else in one of its own."""

import shutil
from pathlib import Path

import keras
import pytest

from kerasgpt.artifacts import SERVING_FOLDER
from kerasgpt.errors import KerasGPTError
from kerasgpt.export.serving_folder import model_name, write_serving


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("story", "story"),
        ("My Story: 2", "My-Story-2"),
        ("gpt2_124M", "gpt2_124M"),
        ("物語", "gpt2"),
        ("", "gpt2"),
    ],
)
def test_the_models_name_is_safe_everywhere(folder: str, name: str) -> None:
    assert model_name(folder) == name


def test_a_bundle_is_named_after_its_folder(bundle: Path) -> None:
    assert 'name: "bundle"' in (bundle / SERVING_FOLDER / "models.config").read_text()


@pytest.mark.slow
def test_on_another_backend_a_process_of_its_own_writes(
    bundle: Path, bundle_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    shutil.rmtree(bundle_copy / SERVING_FOLDER)
    write_serving(bundle_copy, "bundle")
    for path in (bundle / SERVING_FOLDER).rglob("*.*"):
        assert (bundle_copy / path.relative_to(bundle)).read_bytes() == path.read_bytes()
    (bundle_copy / "saved_model/1/saved_model.pb").unlink()
    with pytest.raises(
        KerasGPTError, match=r"^serving: could not be written: .*no SavedModel that can be read"
    ):
        write_serving(bundle_copy, "bundle")
