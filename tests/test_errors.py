"""A missing extra is one sentence; a broken one shows itself."""

import pytest

from kerasgpt.errors import MissingExtraError, UsageError, require, unknown_name


def test_a_missing_module_names_the_extra():
    with pytest.raises(
        MissingExtraError, match=r"training needs nonesuch, .* pip install 'kerasgpt\[train\]'"
    ):
        require("nonesuch", "train", "training")


def test_a_module_broken_inside_is_not_called_missing(tmp_path, monkeypatch):
    (tmp_path / "broken_inside.py").write_text("import nonesuch_dependency")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportError, match="nonesuch_dependency") as caught:
        require("broken_inside", "train", "training")
    assert not isinstance(caught.value, MissingExtraError)


def test_a_name_like_no_other_gets_the_list():
    error = unknown_name("format", "zzz", ["onnx", "saved_model"])
    assert isinstance(error, UsageError)
    assert str(error) == "unknown format 'zzz': Known: onnx, saved_model"
