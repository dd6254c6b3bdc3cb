"""Data of several forms through a whole run: mixed, de-duplicated, each document alone, resumed."""

import json

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from safetensors.numpy import load_file

from kerasgpt.data.pipeline import TokenDataset
from kerasgpt.errors import KerasGPTError
from kerasgpt.tokenizer.bpe import Tokenizer
from kerasgpt.training.config import Recipe
from kerasgpt.training.train import train

STORIES = [f"A story of {number} words, told by number {number % 7}.\n" for number in range(120)]
SETTINGS = {
    "data.split": "document",
    "data.validation_fraction": 0.2,
    "data.test_fraction": 0.1,
    "data.deduplicate": True,
    "data.document_mask": True,
    "data.weights": [2.0, 1.0],
    "model.num_layers": 1,
    "model.num_heads": 2,
    "model.hidden_dim": 16,
    "train.steps": 6,
    "train.batch_size": 4,
    "train.sequence_length": 16,
    "train.log_every": 1,
    "train.evaluate_every": 3,
    "train.checkpoint_every": 1,
    "train.sample_tokens": 0,
    "train.jit_compile": False,
}


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """Ids as nanoGPT has them and parquet with doubles, mixed two to one."""
    monkeypatch.setenv("KERASGPT_CACHE", str(tmp_path / "cache"))
    tokenizer = Tokenizer.learn(STORIES, 300)
    tokenizer.save_to_preset(tmp_path / "tokenizer")
    rows = tokenizer.encode_batch([f"Another {story}" for story in STORIES])
    ids = [index for row in rows for index in [*row, tokenizer.end_of_text_id]]
    (tmp_path / "train.bin").write_bytes(np.array(ids, np.uint16).tobytes())
    table = pyarrow.table({"text": [*STORIES, *STORIES[:30]]})
    pyarrow.parquet.write_table(table, tmp_path / "stories.parquet")
    paths = [str(tmp_path / "*.bin"), str(tmp_path / "stories.parquet")]
    settings = [f"{key}={json.dumps(value)}" for key, value in SETTINGS.items()]
    return Recipe.from_dict({"data": {"paths": paths, "tokenizer": str(tmp_path / "tokenizer")}}, settings)


def losses(run):
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [record.get("loss", record.get("validation_loss")) for record in records]


def test_a_mixed_run_goes_on_with_the_batches_it_would_have_had(recipe, tmp_path, monkeypatch):
    whole = train(recipe, tmp_path / "whole", quiet=True)
    assert whole.summary["duplicate_documents"] == 30
    assert whole.summary["test_bits_per_byte"] > 0

    batch = TokenDataset.batch

    def failing(self, step):
        if step == 5 and self.seed is not None:
            raise KerasGPTError("the power is gone")
        return batch(self, step)

    monkeypatch.setattr(TokenDataset, "batch", failing)
    with pytest.raises(Exception, match="the power is gone"):
        train(recipe, tmp_path / "parts", quiet=True)
    monkeypatch.setattr(TokenDataset, "batch", batch)
    parts = train(recipe, tmp_path / "parts", resume=True, quiet=True)
    assert losses(parts.folder) == losses(whole.folder)
    weights = [load_file(run.folder / "model" / "model.safetensors") for run in (whole, parts)]
    for name, array in weights[0].items():
        np.testing.assert_array_equal(array, weights[1][name], err_msg=name)
