"""What GenAI reads: the model's own sizes and ids, and an overlay for each fast file."""

import json
from pathlib import Path

import pytest

from kerasgpt import artifacts
from kerasgpt.config import GPT2Config
from kerasgpt.export.genai import genai_config, write_genai
from kerasgpt.generation_config import GenerationConfig

CONFIG = GPT2Config(vocabulary_size=37, max_sequence_length=20, num_layers=3, num_heads=2, hidden_dim=16)


def test_sizes_and_ids_are_the_models() -> None:
    model = genai_config(CONFIG, GenerationConfig())["model"]
    assert model["type"] == "decoder"
    assert (model["vocab_size"], model["context_length"]) == (37, 20)
    assert {model[f"{name}_token_id"] for name in ("bos", "eos", "pad")} == {36}
    decoder = model["decoder"]
    assert (decoder["num_hidden_layers"], decoder["num_attention_heads"], decoder["head_size"]) == (3, 2, 8)
    assert decoder["session_options"]["session.x64quantprecision"] == "1"  # int8 is exact without VNNI too
    assert (Path("bundle") / decoder["filename"]).parts == ("bundle", "onnx", "model.onnx")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (GenerationConfig(), {"do_sample": False, "temperature": 1.0, "top_k": 0, "top_p": 1.0}),
        (GenerationConfig(temperature=0.7, top_k=5), {"do_sample": True, "temperature": 0.7, "top_k": 5}),
    ],
)
def test_the_search_is_the_bundles(settings: GenerationConfig, expected: dict) -> None:
    search = genai_config(CONFIG, settings)["search"]
    assert expected.items() <= search.items()
    assert search["max_length"] == 20


def test_each_fast_file_that_is_there_has_an_overlay(tmp_path: Path) -> None:
    (tmp_path / "onnx").mkdir()
    for name in (artifacts.FAST_FP32, artifacts.FAST_INT4, artifacts.ONNX_HALF):
        (tmp_path / name).touch()
    write_genai(CONFIG, GenerationConfig(), tmp_path)
    assert sorted(path.name for path in (tmp_path / "genai").iterdir()) == ["fp32.json", "int4.json"]
    overlay = json.loads((tmp_path / "genai" / "int4.json").read_text())
    assert overlay["model"]["decoder"]["filename"] == artifacts.FAST_INT4
    assert overlay["search"]["past_present_share_buffer"] is True
