"""Each example runs as its docstring says, and prints what its docstring promises."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def run(name: str, *arguments: Path) -> str:
    as_users_have = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    environment = {**as_users_have, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, ROOT / "examples" / name, *arguments]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The bundle that the second example makes, and what it prints."""
    folder = tmp_path_factory.mktemp("example")
    return folder / "bundle", run("02_export.py", folder)


def test_these_are_all_examples():
    assert [path.stem for path in EXAMPLES] == [
        "01_fit",
        "02_export",
        "03_few_lines_of_onnx",
        "04_tf_data",
        "05_text_classifier",
        "06_tensorflow_serving",
        "07_bulk",
        "08_overfitting",
        "09_soft_prompt",
        "in_context_learning",
    ]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_short_and_says_how_to_run_it(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 60
    assert f"python examples/{path.name}" in text.split('"""')[1]
    assert "Expect" in text.split('"""')[1]


@pytest.mark.slow
def test_fit(tmp_path):
    printed = run("01_fit.py", tmp_path)
    before, after = re.search(r"validation loss: (\S+) -> (\S+) nats", printed).groups()
    assert float(before) == pytest.approx(6.24, abs=0.1)  # ln 512: it knows nothing yet
    assert float(after) < 4.2
    text = printed[printed.index("ROMEO:") :]
    assert len(text) > 60
    assert (tmp_path / "model" / "model.safetensors").is_file()


@pytest.mark.slow
def test_export(exported):
    bundle, printed = exported
    assert "keras: logits within" in printed
    assert "onnx: logits within" in printed
    assert "verified: True" in printed
    assert "TensorFlow loaded: False" in printed
    assert (bundle / "onnx" / "model.onnx").is_file()


@pytest.mark.slow
def test_plain_onnx_runtime_writes_what_the_package_writes(exported):
    bundle, printed = exported
    text = run("03_few_lines_of_onnx.py", bundle).strip()
    assert len(text) > 30
    assert text in printed.splitlines()


@pytest.mark.slow
def test_a_server_is_asked_by_the_bundles_own_request(exported):
    bundle, _ = exported
    greedy, sampled, streamed = run("06_tensorflow_serving.py", bundle).splitlines()[-3:]
    assert len(greedy) > 30
    assert sampled not in ("''", greedy)
    assert streamed.replace("|", "") == greedy


@pytest.mark.slow
def test_bulk(exported):
    bundle, _ = exported
    printed = run("07_bulk.py", bundle)
    assert printed.startswith("4 of 4 shards written\n1 of 4 shards written\nas before: True\n")
    nats = dict(re.findall(r"^(\w+): (\S+) nats a text$", printed, re.MULTILINE))
    assert 2 * float(nats["forwards"]) < float(nats["backwards"])


def test_plain_onnx_runtime_means_nothing_of_ours():
    lines = (ROOT / "examples" / "03_few_lines_of_onnx.py").read_text().splitlines()
    imported = {line.split()[1].split(".")[0] for line in lines if re.match(r"(import|from) ", line)}
    assert imported - sys.stdlib_module_names == {"numpy", "onnxruntime", "tokenizers"}


@pytest.mark.slow
def test_tf_data(tmp_path):
    printed = run("04_tf_data.py", tmp_path / "new")
    assert re.findall(r"written: (\d+) files", printed) == ["4", "0"]
    forwards, backwards = (
        float(re.search(rf"^{name}: (\S+)", printed, re.M)[1]) for name in ("forwards", "backwards")
    )
    assert forwards > backwards + 2
    assert len(list((tmp_path / "new" / "scores").iterdir())) == 4


@pytest.mark.slow
def test_text_classifier(tmp_path):
    printed = run("05_text_classifier.py", tmp_path)
    assert float(re.search(r"^accuracy: (\S+)", printed, re.M)[1]) > 0.85
    assert "plain TensorFlow: equal" in printed
    assert (tmp_path / "classifier" / "saved_model.pb").is_file()


@pytest.mark.slow
def test_soft_prompt(tmp_path):
    printed = run("09_soft_prompt.py", tmp_path)
    before, after = re.search(r"^capitals: (\S+) -> (\S+) nats a token", printed, re.M).groups()
    assert float(after) < float(before) - 0.2
    assert "ONNX writes the same: True" in printed
    assert (tmp_path / "bundle" / "soft_prompt" / "adapter_model.safetensors").is_file()


@pytest.mark.slow
def test_in_context_learning(tmp_path):
    """At a size that shows no more than that it runs; what is measured against is known all the same."""
    run("in_context_learning.py", tmp_path, Path("20"))
    found = json.loads((tmp_path / "in_context.json").read_text())
    assert found["errors"]["zero"] == pytest.approx([1] * 10, abs=0.15)
    optimum = found["errors"]["least squares"]
    assert optimum[:3] == pytest.approx([1, 2 / 3, 1 / 3], abs=0.1)  # 1 - i / d
    assert max(optimum[3:]) < 1e-3
    assert len(found["induction"]) == 20
    for name in ("regression.png", "token_maps.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_overfitting(tmp_path):
    printed = run("08_overfitting.py", tmp_path, "200", "0.02")  # 20 kB, and 10 readings of them
    losses = {name: float(loss) for name, loss in (line.split() for line in printed.splitlines()[1:])}
    assert list(losses) == ["nothing", "dropout", "decay", "stopping", "all"]
    assert losses["stopping"] < losses["nothing"]
    assert losses["all"] < losses["nothing"] < 9
    assert (tmp_path / "losses.png").is_file()
