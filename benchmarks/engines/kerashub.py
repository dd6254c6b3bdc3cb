"""keras-hub on TensorFlow: ``python kerashub.py MODEL float32``, MODEL a Hugging Face folder; no text."""

import json
import os
import sys
from pathlib import Path

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras_hub
import numpy as np
from worker import Write, serve


def load(folder: str, dtype: str) -> Write:
    """A model of the folder's sizes with weights of its own: their values cost no time."""
    config = json.loads((Path(folder) / "config.json").read_text())
    backbone = keras_hub.models.GPT2Backbone(
        vocabulary_size=config["vocab_size"],
        num_layers=config["n_layer"],
        num_heads=config["n_head"],
        hidden_dim=config["n_embd"],
        intermediate_dim=config["n_inner"] or 4 * config["n_embd"],
        max_sequence_length=config["n_positions"],
        dtype=dtype,
    )
    model = keras_hub.models.GPT2CausalLM(backbone=backbone)
    model.compile(sampler="greedy")

    def write(prompts: list[list[int]], num_tokens: int) -> list[list[int]]:
        width = len(prompts[0])
        ids = np.pad(np.array(prompts, np.int32), ((0, 0), (0, num_tokens)))
        mask = np.arange(width + num_tokens) < width
        inputs = {"token_ids": ids, "padding_mask": np.broadcast_to(mask, ids.shape)}
        found = model.generate(inputs, stop_token_ids=None)
        return np.asarray(found["token_ids"])[:, width:].tolist()

    return write


if __name__ == "__main__":
    serve(keras_hub.__version__, lambda: load(*sys.argv[1:]))
