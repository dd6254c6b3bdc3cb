"""Ours under `model.fit`, as `kerasgpt train`: ``python train_ours.py SHAPE BACKEND PRECISION JIT``."""

import json
import os
import sys
from collections.abc import Callable

os.environ["KERAS_BACKEND"] = sys.argv[2]
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np
from keras_steps import fit
from steps import serve

import kerasgpt
from kerasgpt.data.feeding import fed
from kerasgpt.data.pipeline import TokenDataset
from kerasgpt.training.callback_list import LazyCallbacks
from kerasgpt.training.config import Recipe
from kerasgpt.training.devices import choose_device, memory_bytes
from kerasgpt.training.learner import make_learner
from kerasgpt.training.model_settings import ModelConfig
from kerasgpt.training.settings import TrainConfig

shape = json.loads(sys.argv[1])
precision, jit = sys.argv[3:]


class Vocabulary:
    """What a learner asks of a tokenizer."""

    vocabulary_size = shape["vocabulary_size"]
    end_of_text_id = vocabulary_size - 1


def main() -> None:
    """Train on random ids, through the package's own batches."""
    device = choose_device()
    sizes = {name: shape[name] for name in ("num_layers", "num_heads", "hidden_dim", "dropout")}
    settings = TrainConfig(
        batch_size=shape["batch_size"],
        sequence_length=shape["sequence_length"],
        precision=precision,
        jit_compile={"true": True, "false": False, "auto": "auto"}[jit],
        gradient_checkpointing=shape.get("gradient_checkpointing", False),
    )
    learner = make_learner(Recipe(model=ModelConfig(fields=sizes), train=settings), Vocabulary())
    ids = np.random.default_rng(0).integers(0, shape["vocabulary_size"], 1_000_000, dtype=np.int32)
    done = 0

    def train(num_steps: int, stamp: Callable[[], None]) -> float:
        nonlocal done
        data = TokenDataset(
            ids,
            settings.sequence_length,
            settings.batch_size,
            first_step=done,
            num_steps=num_steps,
        )
        done += num_steps
        return fit(learner.model, fed(data), num_steps, stamp, LazyCallbacks)

    serve(
        f"{kerasgpt.__version__}, keras {keras.__version__}",
        train,
        lambda: memory_bytes(device) if device.kind == "gpu" else 0,
    )


if __name__ == "__main__":
    main()
