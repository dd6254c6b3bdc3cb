"""`kerasgpt demo`: its course and its refusals; the whole of it runs in tests/end_to_end."""

import json
from types import SimpleNamespace

import pytest

from kerasgpt.artifacts import sha256_of
from kerasgpt.commands import demo
from kerasgpt.export.verification import Check, Verification
from kerasgpt.manifest import Manifest

SUMMARY = {"test_bits_per_byte": 2.2951, "seconds": 200.4, "tokens_per_second": 12345.6}


@pytest.fixture
def course(monkeypatch, model_folder, tmp_path):
    """Stand-ins for the four stages: what was asked of each, and what it answered."""
    asked, summary = [], dict(SUMMARY)

    class Recipe(tuple):
        data = SimpleNamespace(test_fraction=0.1)

        @classmethod
        def from_toml(cls, path, overrides):
            return cls((path, overrides))

    def train(recipe, run, *, resume):
        asked.append(("train", recipe, run, resume))
        run.mkdir(parents=True, exist_ok=True)
        if not (run / "model").exists():
            (run / "model").symlink_to(model_folder)
        (run / "summary.json").write_text(json.dumps(summary))

    def export_folder(run, bundle, tell):
        asked.append(("export", run, bundle))
        bundle.mkdir()
        (bundle / "export_report.md").write_text("# Export report\n\nHow.\n\n| table |\n")
        weights = sha256_of(run / "model" / "model.safetensors")
        Manifest({"model.safetensors": weights}, ["onnx"]).write(bundle)

    def verify(bundle):
        asked.append(("verify", bundle))
        return Verification(str(bundle), [Check("onnx/model.onnx", demo_status[0], "as it is")])

    stages = {
        "kerasgpt.training.config:Recipe": Recipe,
        "kerasgpt.training.train:train": train,
        "kerasgpt.export.pipeline:export_folder": export_folder,
        "kerasgpt.export.verification:verify": verify,
    }
    demo_status = ["ok"]
    texts = dict.fromkeys(demo.ENGINES, "What light")
    monkeypatch.setattr(demo, "resolve", stages.__getitem__)
    monkeypatch.setattr(demo, "_generation", lambda bundle, engine: {"text": texts[engine]})
    asked_and_answers = {"asked": asked, "status": demo_status, "texts": texts}
    asked_and_answers |= {"summary": summary, "data": Recipe.data}
    asked_and_answers["arguments"] = ("demo", "--run", tmp_path / "run", "--out", tmp_path / "bundle")
    return asked_and_answers


def test_it_goes_all_the_way_and_says_where_things_lie(run, course, tmp_path):
    outcome = run(*course["arguments"], "--set", "train.steps=3")
    assert (outcome.code, outcome.err) == (0, "")
    assert [stage for stage, *_ in course["asked"]] == ["train", "export", "verify"]
    (path, overrides), folder, resume = course["asked"][0][1:]
    assert path.endswith("assets/demo.toml")
    assert overrides[0].endswith('assets/tinyshakespeare.txt"]')
    assert overrides[1:] == ["train.steps=3"]
    assert (folder, resume) == (tmp_path / "run", True)
    headings = [line for line in outcome.out.splitlines() if line[:3] in ("1. ", "2. ", "3. ", "4. ")]
    assert [line.split()[1] for line in headings] == ["Train:", "Export:", "Verify:", "Generate:"]
    for sentence in (
        "2.295 bits per byte on the last 10 % of the text",
        "| table |",
        "ok           onnx/model.onnx: as it is",
        "keras, onnx, saved_model: the same text\n\nROMEO:\nWhat light",
        f"kerasgpt generate {tmp_path / 'bundle'} --prompt",
    ):
        assert sentence in outcome.out


def test_a_second_time_the_same_model_is_not_exported_again(run, course, tmp_path):
    run(*course["arguments"])
    outcome = run(*course["arguments"])
    assert outcome.code == 0
    assert "holds this very model already" in outcome.out
    assert [stage for stage, *_ in course["asked"]] == ["train", "export", "verify", "train", "verify"]


def test_engines_that_differ_fail(run, course):
    course["texts"]["onnx"] = "What night"
    outcome = run(*course["arguments"])
    assert outcome.code == 1
    assert outcome.err.startswith("kerasgpt: the engines differ: ")
    assert "What night" in outcome.err


def test_a_bundle_that_is_not_verified_fails(run, course, tmp_path):
    course["status"][0] = "failed"
    outcome = run(*course["arguments"])
    assert outcome.code == 1
    assert "failed       onnx/model.onnx" in outcome.out
    assert outcome.err == f"kerasgpt: {tmp_path / 'bundle'}: not verified; delete it and run the demo again\n"


@pytest.mark.parametrize("module", ["tensorflow", "onnx"])
def test_a_missing_library_is_asked_for_before_training(refuses, course, without, module):
    without(module)
    sentence = refuses(*course["arguments"], code=1)
    assert f"the demo needs {module}, which is not installed: pip install 'kerasgpt[export]'" in sentence
    assert course["asked"] == []


@pytest.mark.parametrize("engine", demo.ENGINES)
def test_each_engine_writes_in_a_process_of_its_own_from_its_own_files(bundle, monkeypatch, engine):
    """The child is called with a folder that holds nothing of the others."""
    seen = {}

    def child(command, env, **_):
        folder = demo.Path(command[command.index("generate") + 1])
        seen["engine"] = command[command.index("--engine") + 1]
        seen["own"] = {
            name for name in ("model.safetensors", "onnx", "saved_model") if (folder / name).exists()
        }
        return demo.subprocess.CompletedProcess(command, 0, '{"text": "x"}', "")

    monkeypatch.setattr(demo.subprocess, "run", child)
    assert demo._generation(bundle, engine) == {"text": "x"}
    own = {"keras": "model.safetensors", "onnx": "onnx", "saved_model": "saved_model"}[engine]
    assert seen == {"engine": engine, "own": {own}}


@pytest.mark.parametrize(
    ("scores", "sentence"),
    [
        ({"test_bits_per_byte": 2.0}, "2.000 bits per byte on the last 5 % of the text, after 3 s of"),
        ({"validation_bits_per_byte": 2.5}, "2.500 bits per byte on the validation part, after 3 s of"),
        ({}, "no part of the text to score it by, after 3 s of"),
        ({"test_bits_per_byte": None, "validation_bits_per_byte": 2.5}, "2.500 bits per byte on the valid"),
    ],
)
def test_the_score_is_of_the_part_that_is_there(run, course, scores, sentence):
    course["data"].test_fraction = 0.05
    course["summary"].clear()
    course["summary"].update({"seconds": 3.0, "tokens_per_second": 10.0, **scores})
    assert sentence in run(*course["arguments"]).out
