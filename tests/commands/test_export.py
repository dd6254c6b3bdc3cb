"""`kerasgpt export`: one verified folder, or nothing and a sentence. What is proved: tests/export."""

import pytest

from kerasgpt.artifacts import RUN_CONFIG, sha256_of
from kerasgpt.commands import export
from kerasgpt.export import artifact_writing, pipeline
from kerasgpt.export.parity import Parity
from kerasgpt.export.proof import Proof
from kerasgpt.manifest import Manifest


@pytest.fixture
def proven(monkeypatch):
    """Let every proof hold without its child process, which the tests of the export room start."""
    parity = Parity(1e-6, 2e-6, 10, 0, [])
    monkeypatch.setattr(artifact_writing, "prove", lambda folder, engine, *_: Proof(engine, 0.1, parity))


def test_a_run_becomes_a_bundle(run, model_folder, tmp_path, proven):
    folder = tmp_path / "runs" / "tale"
    folder.mkdir(parents=True)
    (folder / RUN_CONFIG).write_text("")
    (folder / "model").symlink_to(model_folder)
    out = tmp_path / "bundle"
    outcome = run("export", folder, "--out", out, "--formats", "onnx")
    assert outcome.code == 0, outcome.err
    assert outcome.out == f"{out}\n"
    assert "proving onnx/model.onnx in a fresh process" in outcome.err
    manifest = Manifest.read(out)
    assert manifest.formats == ["onnx"]
    assert manifest.provenance["source"] == "tale"
    assert manifest.files["model.safetensors"] == sha256_of(model_folder / "model.safetensors")
    assert not manifest.damaged_files(out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "runs"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--formats", "onnx,save_model"], "unknown format 'save_model': did you mean 'saved_model'?"),
        (["--formats", ","], "nothing to export: name at least one format"),
        (["--precisions", "fp23"], "unknown precision 'fp23': did you mean 'fp32'?"),
        (["--precisions", ""], "nothing to export"),
        (["--writer", "tf2onx"], "unknown writer 'tf2onx': did you mean 'tf2onnx'?"),
        (["--writer", "tf2onnx"], "makes ONNX in fp32 alone: name the formats onnx"),
    ],
)
def test_wrong_usage_is_said_before_anything_is_written(refuses, model_folder, tmp_path, arguments, sentence):
    assert sentence in refuses("export", model_folder, "--out", tmp_path / "b", *arguments, code=2)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("option", ["evaluation-data", "calibration-data", "model-card"])
@pytest.mark.parametrize(
    ("content", "code", "sentence"),
    [
        (None, 1, "cannot read the {} (No such file or directory)\n"),
        (b"\xff", 1, "give UTF-8"),
        (b"", 2, "is empty; give the {}"),
        (b" \n\t\n", 2, "is empty; give the {}"),
    ],
)
def test_a_file_that_cannot_be_read(refuses, model_folder, tmp_path, content, code, sentence, option):
    path = tmp_path / "held_out.txt"
    if content is not None:
        path.write_bytes(content)
    arguments = ("--out", tmp_path / "b", f"--{option}", path)
    said = refuses("export", model_folder, *arguments, code=code)
    assert "held_out.txt: " in said
    assert sentence.format(option.replace("-", " ")) in said
    assert not (tmp_path / "b").exists()


def test_what_is_no_bundle_is_not_replaced(refuses, model_folder, tmp_path):
    out = tmp_path / "mine"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    assert "exists and is no bundle" in refuses("export", model_folder, "--out", out, code=2)
    assert [path.name for path in out.iterdir()] == ["thesis.txt"]
    (tmp_path / "file").write_text("also work")
    assert "exists and is no bundle" in refuses("export", model_folder, "--out", tmp_path / "file", code=2)
    assert (tmp_path / "file").read_text() == "also work"


def test_a_model_is_not_exported_onto_itself(refuses, model_folder):
    before = sorted(path.name for path in model_folder.iterdir())
    assert "exists and is no bundle" in refuses("export", model_folder, "--out", model_folder, code=2)
    assert sorted(path.name for path in model_folder.iterdir()) == before


def test_missing_and_damaged_sources(refuses, model_folder, tmp_path):
    out = tmp_path / "bundle"
    assert "no such folder" in refuses("export", tmp_path / "no", "--out", out, code=1)
    damaged = tmp_path / "model"
    damaged.mkdir()
    for name in ("config.json", "tokenizer.json"):
        (damaged / name).write_bytes((model_folder / name).read_bytes())
    assert "model.safetensors" in refuses("export", damaged, "--out", out, code=1)
    (damaged / "model.safetensors").write_bytes((model_folder / "model.safetensors").read_bytes()[:-1])
    assert "model.safetensors" in refuses("export", damaged, "--out", out, code=1)
    assert not out.exists()


def test_a_run_without_a_model_yet(refuses, tmp_path):
    (tmp_path / RUN_CONFIG).write_text("")
    sentence = refuses("export", tmp_path, "--out", tmp_path / "bundle", code=1)
    assert "this run has no model yet: the first evaluation makes it; go on with 'kerasgpt train" in sentence


@pytest.mark.parametrize(
    ("module", "formats"), [("keras", "onnx"), ("onnx", "onnx"), ("tensorflow", "saved_model")]
)
def test_a_missing_library_is_asked_for(refuses, without, model_folder, tmp_path, module, formats):
    without(module)
    out = tmp_path / "bundle"
    sentence = refuses("export", model_folder, "--out", out, "--formats", formats, code=1)
    assert f"needs {module}, which is not installed: pip install 'kerasgpt[export]'" in sentence
    assert not out.exists()


@pytest.mark.parametrize("room_bytes", [1000, 40_000, 200_000])
def test_a_full_disk_leaves_no_half_folder(
    run, model_folder, tmp_path, monkeypatch, full_disk, proven, room_bytes
):
    """It fills up at the tokenizer's files, at the weights, and at what is kept aside for the proof."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with full_disk(room_bytes):
        outcome = run("export", model_folder, "--out", tmp_path / "bundle", "--formats", "onnx")
    assert outcome.code == 1
    last = outcome.err.splitlines()[-1]
    assert last.startswith(f"kerasgpt: {tmp_path / 'bundle'}: cannot write (")
    assert last.endswith("); free some space or choose another place")
    assert "Traceback" not in outcome.err
    assert not any(tmp_path.iterdir())


def test_a_place_that_cannot_be_written(refuses, model_folder, tmp_path):
    (tmp_path / "file").write_text("")
    sentence = refuses("export", model_folder, "--out", tmp_path / "file" / "bundle", code=1)
    assert "cannot write" in sentence


def test_interrupted_it_leaves_nothing(run, monkeypatch, model_folder, tmp_path, proven):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(artifact_writing, "_write_onnx", interrupt)
    outcome = run("export", model_folder, "--out", tmp_path / "bundle", "--formats", "onnx")
    assert outcome.code == 130
    assert outcome.err.endswith("kerasgpt: interrupted\n")
    assert not any(tmp_path.iterdir())


def test_tf2onnx_writes_a_folder_that_scores(run, model_folder, tmp_path):
    out = tmp_path / "bundle"
    outcome = run("export", model_folder, "--out", out, "--formats", "onnx", "--writer", "tf2onnx")
    assert (outcome.code, outcome.out) == (0, f"{out}\n"), outcome.err
    assert "the forward pass alone" in outcome.err
    assert "cannot generate" in " ".join(run("export", "--help").out.split())
    line = '{"prompt": "To be", "continuation": " or"}'
    (found,), (expected,) = (run("score", folder, stdin=line).rows for folder in (out, model_folder))
    assert found["logprob"] == pytest.approx(expected["logprob"], abs=1e-3)


def test_line_ends_of_held_out_text_are_left_as_they_are(tmp_path):
    (tmp_path / "text").write_bytes(b"one\r\ntwo\rthree\n")
    assert export._text(str(tmp_path / "text"), "the data") == "one\r\ntwo\rthree\n"


def test_what_appeared_meanwhile_is_not_replaced(run, monkeypatch, model_folder, tmp_path, proven):
    out = tmp_path / "bundle"
    write = pipeline.write_report

    def appear(*arguments):
        out.mkdir()
        (out / "precious").write_text("precious")
        write(*arguments)

    monkeypatch.setattr(pipeline, "write_report", appear)
    outcome = run("export", model_folder, "--out", out, "--formats", "onnx")
    assert outcome.code == 1
    assert "bundle: cannot write (something else has been put there meanwhile)" in outcome.err
    assert [path.name for path in out.iterdir()] == ["precious"]
