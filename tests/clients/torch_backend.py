"""The model trains under KERAS_BACKEND=torch with TensorFlow's losses, TensorFlow not being there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

STEPS = 12
TOLERANCE = 2e-4  # nats per token, after STEPS optimizer steps in float32
GOLDEN = Path(__file__).resolve().parents[1] / "data" / "base"


def losses() -> list[float]:
    """The loss before each of STEPS steps, from fixed weights on fixed batches, without dropout."""
    import keras
    import numpy as np

    from kerasgpt.models.gpt2 import GPT2CausalLM

    quiet = {"dropout": 0.0, "embedding_dropout": 0.0, "attention_dropout": 0.0}
    model = GPT2CausalLM.from_preset(GOLDEN, **quiet)
    optimizer = keras.optimizers.AdamW(1e-3, weight_decay=0.1, global_clipnorm=1.0)
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False)
    # Few different ids: repeated ones and a falling loss show that the embeddings learn.
    ids = np.random.default_rng(0).integers(0, 40, (STEPS, 4, 33)).astype("int32")
    found = []
    for batch in ids:
        history = model.fit(batch[:, :-1], batch[:, 1:], batch_size=len(batch), shuffle=False, verbose=0)
        found.append(history.history["loss"][0])
    return found


def of_tensorflow() -> list[float]:
    """The same, by the Python that runs the clients."""
    command = [os.environ["KERASGPT_PYTHON"], __file__, "--losses"]
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow"}
    child = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(child.stdout)


def main() -> int:
    """Compare the two runs."""
    os.environ["KERAS_BACKEND"] = "torch"
    here = losses()
    there = of_tensorflow()
    import keras
    import torch

    difference = max(abs(ours - theirs) for ours, theirs in zip(here, there, strict=True))
    print(
        f"       torch {torch.__version__}, keras {keras.__version__}: loss {here[0]:.4f} -> {here[-1]:.4f},"
        f" TensorFlow's {there[0]:.4f} -> {there[-1]:.4f}, largest difference {difference:.1e}"
    )
    problems = {
        "TensorFlow was imported": "tensorflow" in sys.modules,
        "keras runs on another backend": keras.backend.backend() != "torch",
        f"the losses differ by more than {TOLERANCE}": not difference <= TOLERANCE,
        "nothing was learned": not here[-1] < here[0] - 0.5,
    }
    for sentence, is_so in problems.items():
        if is_so:
            print(f"torch_backend: {sentence}", file=sys.stderr)
    return int(any(problems.values()))


if __name__ == "__main__":
    if "--losses" in sys.argv:
        print(json.dumps(losses()))
    else:
        sys.exit(main())
