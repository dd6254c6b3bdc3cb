"""A soft prompt: sixteen vectors learn another style while the model stays; Keras and ONNX read them.

    python examples/09_soft_prompt.py [FOLDER]

A minute on two cores. Expect about "capitals: 4.41 -> 4.13 nats a token", by vectors alone, and "ONNX
writes the same: True". FOLDER/bundle/soft_prompt is in PEFT's form.
"""

import sys
import tempfile
from importlib import resources
from pathlib import Path

import kerasgpt
from kerasgpt.export.pipeline import export_folder
from kerasgpt.tasks import language_modeling

PLAY = (resources.files("kerasgpt") / "assets" / "tinyshakespeare.txt").read_text("utf-8")


def recipe(path: Path, steps: int, model: dict, **train: object) -> kerasgpt.Recipe:
    data = {"paths": [str(path)], "vocabulary_size": 512}
    train = {"steps": steps, "batch_size": 16, "sequence_length": 64, "evaluate_every": 100, **train}
    return kerasgpt.Recipe.from_dict({"data": data, "model": model, "train": {**train, "sample_tokens": 0}})


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "play.txt").write_text(PLAY[:300_000], "utf-8")
    (folder / "capitals.txt").write_text(PLAY[300_000:400_000].upper(), "utf-8")
    held_out = PLAY[400_000:410_000].upper()

    shape = {"preset": "gpt-nano", "max_sequence_length": 96}
    settings = recipe(folder / "play.txt", 300, shape, learning_rate=3e-3)
    base = kerasgpt.train(settings, folder / "base", quiet=True)
    start = {"init": str(base.model_folder), "dropout": 0.0}
    settings = recipe(
        folder / "capitals.txt", 200, start, soft_prompt_tokens=16, learning_rate=0.05, weight_decay=0.0
    )
    tuned = kerasgpt.train(settings, folder / "tuned", quiet=True)

    before, after = (
        language_modeling.evaluate(kerasgpt.load(run.folder), held_out)["loss"] for run in (base, tuned)
    )
    print(f"capitals: {before:.2f} -> {after:.2f} nats a token, by {16 * 48:,} numbers of the prompt")

    export_folder(tuned.folder, folder / "bundle", formats=("onnx",))  # its soft prompt goes along
    settings = kerasgpt.GenerationConfig(max_new_tokens=30)
    keras, onnx = (
        kerasgpt.load(path).generate(["ROMEO:"], settings)[0] for path in (tuned.folder, folder / "bundle")
    )
    print(f"ONNX writes the same: {keras.token_ids == onnx.token_ids}\n{onnx.text}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
