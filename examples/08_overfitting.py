"""Overfitting made visible: a small GPT-2 on 5 % to 100 % of a text, with and without what holds it back.

    python examples/08_overfitting.py [FOLDER [UPDATES [FRACTION,...]]]

Minutes on two cores. Expect "nothing" to be worst on a small part, and more text to help most; losses.png.
"""

import sys
from importlib import resources
from pathlib import Path

import keras
import numpy as np
from matplotlib.figure import Figure

import kerasgpt
from kerasgpt.data.pipeline import TokenDataset

TEXT = (resources.files("kerasgpt") / "assets" / "tinyshakespeare.txt").read_text("utf-8")
END, EVERY, NEVER = len(TEXT) * 9 // 10, 50, 10**6  # of what is learned from; updates between two looks
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="mean_with_sample_weight")
SHAPE = (512, 64, 2, 4, 128, None, "gelu_new")  # V, context, L, N, D, F
NAMES = ("nothing", "dropout", "decay", "stopping", "all")
RATES = ((0, 0, NEVER), (0.2, 0, NEVER), (0, 1.0, NEVER), (0, 0, 3), (0.2, 1.0, 3))  # and patience


def main(folder: Path, updates: int, fractions: list[float]) -> None:
    tokenizer = kerasgpt.Tokenizer.learn([TEXT[:END]], vocabulary_size=512)
    parts = (TEXT[:END], TEXT[END:][:40_000], TEXT[END:][50_000:])  # learned from, watched, scored in the end
    learned, *others = (np.array(tokenizer.encode(part)) for part in parts)
    watched, unseen = (TokenDataset(ids, 64, 64, seed=None) for ids in others)
    left, right = (figure := Figure((9, 3.8), layout="constrained")).subplots(1, 2)
    print(" " * 8, *(f"{fraction:6.0%}" for fraction in fractions))
    for name, (rate, decay, patience) in zip(NAMES, RATES, strict=True):
        losses = []
        for fraction in fractions:
            keras.utils.set_random_seed(1)
            model = kerasgpt.GPT2CausalLM(kerasgpt.GPT2Config(*SHAPE, rate, rate, rate))
            optimizer = keras.optimizers.AdamW(2e-3, weight_decay=decay)
            optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
            model.compile(optimizer, LOSS)
            data = TokenDataset(learned[: int(len(learned) * fraction)], 64, 16, num_steps=updates)
            stop = keras.callbacks.EarlyStopping(patience=patience, restore_best_weights=patience < NEVER)
            plan = {"epochs": updates // EVERY, "steps_per_epoch": EVERY, "callbacks": [stop], "verbose": 0}
            past = model.fit(data, validation_data=watched, **plan).history
            losses.append(model.evaluate(unseen, verbose=0))
            if fraction == fractions[0] and name in ("nothing", "all"):
                right.plot(past["val_loss"], label=f"{name}, validation")
                right.plot(past["loss"], "--", label=f"{name}, training")
        print(f"{name:8}", *(f"{loss:6.2f}" for loss in losses), flush=True)
        left.semilogx(fractions, losses, "o-", label=name)
    for axes, label in ((left, "part learned from"), (right, f"{EVERY} updates, {fractions[0]:.0%}")):
        axes.set(xlabel=label, ylabel="nats a token"), axes.legend()
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / "losses.png")


if __name__ == "__main__":
    folder, updates, parts = [*sys.argv[1:], *(".", "600", "0.05,0.1,0.25,0.5,1")[len(sys.argv) - 1 :]]
    main(Path(folder), int(updates), [float(part) for part in parts.split(",")])
