"""Export a trained model to ONNX, verify the folder, and write from it where TensorFlow is not loaded.

    python examples/02_export.py [FOLDER]

Half a minute on two cores. Expect "logits within ..." for the weights and for the ONNX file, "verified:
True", the text the ONNX file writes, and "TensorFlow loaded: False". The bundle is FOLDER/bundle.
"""

import subprocess
import sys
import tempfile
from importlib import resources
from pathlib import Path

import keras

import kerasgpt
from kerasgpt.export.verification import verify

TEXT = (resources.files("kerasgpt") / "assets" / "tinyshakespeare.txt").read_text("utf-8")[:100_000]

GENERATE = """
import sys, kerasgpt
lm = kerasgpt.load(sys.argv[1], engine="onnx")
print(repr(lm.generate(["ROMEO:"])[0].text))
print("TensorFlow loaded:", "tensorflow" in sys.modules)
"""


def trained(folder: Path) -> tuple[kerasgpt.GPT2CausalLM, kerasgpt.Tokenizer]:
    keras.utils.set_random_seed(1)
    (folder / "play.txt").write_text(TEXT, "utf-8")
    tokenizer = kerasgpt.Tokenizer.learn([TEXT], vocabulary_size=512)
    data = kerasgpt.dataset(folder / "play.txt", tokenizer, 64, 16, cache=folder / "cache")
    model = kerasgpt.GPT2CausalLM.from_preset("gpt-nano", vocabulary_size=512, max_sequence_length=128)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="mean_with_sample_weight")
    model.compile(keras.optimizers.AdamW(3e-3), loss, jit_compile=True)
    model.fit(data, epochs=6, verbose=2)
    return model, tokenizer


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    bundle = folder / "bundle"
    short = kerasgpt.GenerationConfig(max_new_tokens=24)  # unless a caller wants more: a quicker proof
    for proof in kerasgpt.export_bundle(*trained(folder), bundle, ("onnx",), generation_config=short):
        print(f"{proof.engine}: {proof.sentence}")
    print("verified:", verify(bundle).holds)
    subprocess.run([sys.executable, "-c", GENERATE, bundle], check=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
