import json
import os

import pytest

from kerasgpt.artifacts import MANIFEST
from kerasgpt.errors import KerasGPTError, UsageError
from kerasgpt.tasks.files.fingerprint import OUTCOMES, fingerprint, fingerprints


def test_a_model_is_told_by_what_its_files_hold(tmp_path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        (folder / "model.safetensors").write_bytes(b"weights")
    assert fingerprint(one) == fingerprint(two)
    (two / "model.safetensors").write_bytes(b"weightz")
    assert fingerprint(one) != fingerprint(two)


def test_a_model_is_told_by_what_lies_in_its_folders_too(tmp_path) -> None:
    (tmp_path / "soft_prompt").mkdir()
    (tmp_path / "config.json").write_text("{}")
    prompt = tmp_path / "soft_prompt" / "adapter_model.safetensors"
    prompt.write_bytes(b"vectors")
    before = fingerprint(tmp_path)
    prompt.write_bytes(b"vectorz")
    assert fingerprint(tmp_path) != before
    prompt.write_bytes(b"vectors")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "index").write_bytes(b"what was looked at")
    assert fingerprint(tmp_path) == before
    prompt.rename(tmp_path / prompt.name)
    assert fingerprint(tmp_path) != before


def test_a_bundle_is_told_by_its_manifest(tmp_path) -> None:
    (tmp_path / MANIFEST).write_text(json.dumps({"files": {"a": "1"}}))
    before = fingerprint(tmp_path)
    (tmp_path / "export_report.md").write_text("said")
    assert fingerprint(tmp_path) == before
    (tmp_path / MANIFEST).write_text(json.dumps({"files": {"a": "2"}}))
    assert fingerprint(tmp_path) != before


def test_data_is_told_by_what_it_holds(tmp_path) -> None:
    for name, content in {"a": "x", "b": "x", "c": "y"}.items():
        (tmp_path / name).write_text(content)
    one, two, three = fingerprints([tmp_path / name for name in "abc"])
    assert one == two != three
    with pytest.raises(KerasGPTError, match="none: cannot read"):
        fingerprints([tmp_path / "none"])


def test_what_an_evaluation_writes_into_the_folder_is_no_part_of_the_model(tmp_path) -> None:
    (tmp_path / "config.json").write_text("{}")
    before = fingerprint(tmp_path)
    (tmp_path / f"result.fp32{OUTCOMES}").write_text("{}")
    (tmp_path / "result.json").write_text("{}")
    assert fingerprint(tmp_path, [tmp_path / "result.json"]) == before
    assert fingerprint(tmp_path) != before


def test_a_pipe_is_refused_and_not_read(tmp_path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="pipe: is no file that can be read twice"):
        fingerprints([tmp_path / "pipe"])
