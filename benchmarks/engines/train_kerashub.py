"""keras-hub's GPT-2 under `model.fit`: ``python train_kerashub.py SHAPE BACKEND PRECISION JIT``."""

import json
import os
import sys
from collections.abc import Callable

os.environ["KERAS_BACKEND"] = sys.argv[2]
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import keras_hub
import numpy as np
from keras_steps import fit
from steps import batch, serve

shape = json.loads(sys.argv[1])
precision, jit = sys.argv[3:]


class Batches(keras.utils.PyDataset):
    """Random ids with the mask that its backbone wants."""

    def __init__(self, first: int, num_steps: int) -> None:
        super().__init__()
        self.first, self.num_steps = first, num_steps

    def __len__(self) -> int:
        return self.num_steps

    def __getitem__(self, index: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
        ids, labels = batch(shape, self.first + index)
        return {"token_ids": ids, "padding_mask": np.ones_like(ids, bool)}, labels


def main() -> None:
    """Train its backbone with the tied head, AdamW and the global norm clipped, as nanoGPT does."""
    backbone = keras_hub.models.GPT2Backbone(
        vocabulary_size=shape["vocabulary_size"],
        num_layers=shape["num_layers"],
        num_heads=shape["num_heads"],
        hidden_dim=shape["hidden_dim"],
        intermediate_dim=4 * shape["hidden_dim"],
        max_sequence_length=shape["sequence_length"],
        dropout=shape["dropout"],
        dtype=precision,
    )
    hub_model = keras_hub.models.GPT2CausalLM(backbone=backbone, preprocessor=None)
    model = keras.Model(hub_model.inputs, hub_model.outputs[0])  # its own `fit` wants a preprocessor
    model.compile(
        keras.optimizers.AdamW(1e-3, weight_decay=0.1, beta_2=0.99, global_clipnorm=1.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=jit == "true",
    )
    done = 0

    def train(num_steps: int, stamp: Callable[[], None]) -> float:
        nonlocal done
        data = Batches(done, num_steps)
        done += num_steps
        return fit(model, data, num_steps, stamp)

    serve(f"{keras_hub.__version__}, keras {keras.__version__}", train)


if __name__ == "__main__":
    main()
