"""Your own script: raw text in, compile, fit, text out.

    python examples/01_fit.py [FOLDER]

Half a minute on two cores. Expect about "validation loss: 6.23 -> 3.97 nats a token", and lines that look
like a play. FOLDER (else a temporary one) gets the text and the model, a Hugging Face folder.
"""

import sys
import tempfile
from functools import partial
from importlib import resources
from pathlib import Path

import keras

import kerasgpt

TEXT = (resources.files("kerasgpt") / "assets" / "tinyshakespeare.txt").read_text("utf-8")[:300_000]
SEQUENCE_LENGTH, BATCH_SIZE = 64, 16


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(1)
    (folder / "play.txt").write_text(TEXT, "utf-8")
    beginning = TEXT[:270_000]  # not the tenth that validates
    tokenizer = kerasgpt.Tokenizer.learn([beginning], vocabulary_size=512)
    data = partial(
        kerasgpt.dataset, folder / "play.txt", tokenizer, SEQUENCE_LENGTH, BATCH_SIZE, cache=folder / "cache"
    )

    model = kerasgpt.GPT2CausalLM.from_preset(
        "gpt-nano", vocabulary_size=tokenizer.vocabulary_size, max_sequence_length=SEQUENCE_LENGTH
    )
    model.compile(
        keras.optimizers.AdamW(3e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="mean_with_sample_weight"),
        jit_compile=True,
    )
    before = model.evaluate(data(split="validation"), verbose=0)
    model.fit(data(split="train"), epochs=2, verbose=2)
    after = model.evaluate(data(split="validation"), verbose=0)
    print(f"validation loss: {before:.2f} -> {after:.2f} nats a token")

    model.save_to_preset(folder / "model")
    tokenizer.save_to_preset(folder / "model", max_sequence_length=SEQUENCE_LENGTH)
    lm = kerasgpt.load(folder / "model")
    settings = kerasgpt.GenerationConfig(max_new_tokens=40, temperature=0.8, top_k=40, seed=1)
    print("ROMEO:" + lm.generate(["ROMEO:"], settings)[0].text)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
