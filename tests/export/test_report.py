"""The report tells what is in the folder, and nothing else."""

import json
import platform

import keras
import pytest

from kerasgpt import GPT2Config
from kerasgpt.export.parity import Parity
from kerasgpt.export.proof import Proof
from kerasgpt.export.report import size_in_bytes, versions, write_report

CONFIG = GPT2Config(vocabulary_size=10, num_layers=1, num_heads=1, hidden_dim=4)


@pytest.fixture
def folder(tmp_path):
    for name, size in {"model.safetensors": 300, "onnx/model.onnx": 40, "onnx/model.onnx_data": 2000}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x" * size)
    proofs = [
        Proof("keras", 1.234, Parity(1e-6, 2e-6, 30, 0, [])),
        Proof("onnx", 0.5, Parity(2e-5, None, 29, 1, [])),
    ]
    write_report(tmp_path, CONFIG.num_parameters, proofs)
    return tmp_path


def test_sizes_are_of_the_files_external_data_included(folder):
    assert size_in_bytes(folder / "model.safetensors") == 300
    assert size_in_bytes(folder / "onnx") == 2040
    content = json.loads((folder / "export_report.json").read_text())
    assert [row["size_bytes"] for row in content["artifacts"]] == [300, 2040]


def test_the_form_for_programs(folder):
    content = json.loads((folder / "export_report.json").read_text())
    assert set(content) == {"num_parameters", "writer", "versions", "artifacts"}
    assert content["num_parameters"] == CONFIG.num_parameters
    assert content["artifacts"][1] == {
        "artifact": "onnx/model.onnx",
        "engine": "onnx",
        "precision": "fp32",
        "size_bytes": 2040,
        "max_logit_error": 2e-5,
        "max_cached_logit_error": None,
        "num_greedy_tokens_compared": 29,
        "num_near_ties": 1,
        "proof_seconds": 0.5,
    }


def test_the_form_for_people(folder):
    lines = (folder / "export_report.md").read_text().splitlines()
    assert "| `model.safetensors` | fp32 | 0.0 MB | 1.0e-06 | 2.0e-06 | 30 equal | 0 |" in lines
    assert "| `onnx/model.onnx` | fp32 | 0.0 MB | 2.0e-05 | - | 29 equal | 1 |" in lines


def priced_lines(folder, **perplexities):
    """The rows of the table of prices, of artifacts with these precisions and perplexities."""
    precisions = {"keras": "fp32", "saved_model": "int8", "onnx": "fp32"}
    parity = Parity(1e-6, None, 30, 0, [])
    write_report(
        folder,
        CONFIG.num_parameters,
        [Proof(name, 1.0, parity, precisions[name], price) for name, price in perplexities.items()],
    )
    lines = (folder / "export_report.md").read_text().splitlines()
    start = lines.index("| artifact | perplexity on the evaluation data | against float32 |")
    return lines[start + 2 : lines.index("", start)]


def test_prices_are_against_the_first_float32_wherever_it_stands(folder):
    assert priced_lines(folder, keras=None, saved_model=11.0, onnx=10.0) == [
        "| `saved_model/1` | 11.0000 | +10.00 % |",
        "| `onnx/model.onnx` | 10.0000 | +0.00 % |",
    ]
    assert priced_lines(folder, keras=10.0, saved_model=9.0) == [
        "| `model.safetensors` | 10.0000 | +0.00 % |",
        "| `saved_model/1` | 9.0000 | -10.00 % |",
    ]


def test_without_float32_there_is_nothing_to_compare_with(folder):
    assert priced_lines(folder, saved_model=11.0) == ["| `saved_model/1` | 11.0000 | - |"]


def test_versions_are_those_of_what_runs():
    found = versions()
    assert found["python"] == platform.python_version()
    assert found["keras"] == keras.__version__
