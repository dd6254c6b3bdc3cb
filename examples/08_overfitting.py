"""Overfitting made visible: a small GPT-2 on 5 % to 100 % of a text, with and without what holds it back.

    python examples/08_overfitting.py [FOLDER [UPDATES [FRACTION,...]]]

Ten minutes on two cores. Expect on 5 % of the text over 6 nats a token with "nothing" and less than 5 with the
other ways, on all of it little difference; and FOLDER/losses.png. docs/overfitting.md says what that means.
"""

import sys
import tempfile
from importlib import resources
from pathlib import Path

import keras
import numpy as np
from matplotlib.figure import Figure

import kerasgpt
from kerasgpt.data.pipeline import TokenDataset

TEXT = (resources.files("kerasgpt") / "assets" / "tinyshakespeare.txt").read_text("utf-8")
EVERY, END = 50, len(TEXT) * 9 // 10  # updates between two looks; where the text to learn from ends
WAYS = {  # name: dropout, weight decay, looks without progress after which to stop
    "nothing": (0.0, 0.0, 99),
    "dropout": (0.2, 0.0, 99),
    "weight decay": (0.0, 1.0, 99),
    "early stopping": (0.0, 0.0, 3),
    "all three": (0.2, 1.0, 3),
}


def main(folder: Path, updates: int, fractions: list[float]) -> None:
    tokenizer = kerasgpt.Tokenizer.learn([TEXT[:END]], vocabulary_size=512)
    parts = (TEXT[:END], TEXT[END:][:40_000], TEXT[END:][50_000:])  # learned from, watched, scored once
    learned, *others = (np.array(tokenizer.encode(part)) for part in parts)
    watched, unseen = (TokenDataset(ids, 64, 64, seed=None) for ids in others)
    figure = Figure((9, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    print(" " * 15, *(f"{fraction:6.0%}" for fraction in fractions))
    for name, (rate, decay, patience) in WAYS.items():
        keras.utils.set_random_seed(1)
        model = kerasgpt.GPT2CausalLM(
            kerasgpt.GPT2Config(512, 64, 2, 4, 128, None, "gelu_new", rate, rate, rate)
        )
        optimizer = keras.optimizers.AdamW(2e-3, decay)
        optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
        loss = keras.losses.SparseCategoricalCrossentropy(True, reduction="mean_with_sample_weight")
        model.compile(optimizer, loss, jit_compile=True)
        model.build(), optimizer.build(model.trainable_variables)
        fresh = [(variable, variable.numpy()) for variable in model.variables + optimizer.variables]
        losses = []
        for fraction in fractions:
            [variable.assign(value) for variable, value in fresh]  # as new, and compiled already
            data = TokenDataset(learned[: int(len(learned) * fraction)], 64, 16, num_steps=updates)
            stop = keras.callbacks.EarlyStopping(patience=patience, restore_best_weights=patience < 99)
            plan = {"epochs": updates // EVERY, "steps_per_epoch": EVERY, "callbacks": [stop], "verbose": 0}
            past = model.fit(data, validation_data=watched, **plan).history
            losses.append(model.evaluate(unseen, verbose=0))
            if fraction == fractions[0] and name in ("nothing", "all three"):
                looks = [EVERY * (look + 1) for look in range(len(past["loss"]))]
                (line,) = right.plot(looks, past["val_loss"], label=f"{name}, validation")
                right.plot(looks, past["loss"], "--", color=line.get_color(), label=f"{name}, training")
        print(f"{name:15}", *(f"{loss:6.2f}" for loss in losses), flush=True)
        left.plot(fractions, losses, "o-", markersize=4, label=name)
    left.set(
        xlabel="part of the text that was learned from", ylabel="nats a token, unseen text", xscale="log"
    )
    left.set_xticks(fractions, [f"{fraction:.0%}" for fraction in fractions], minor=False)
    right.set(xlabel=f"updates, on {fractions[0]:.0%} of the text", ylabel="nats a token")
    [axes.legend(frameon=False) for axes in (left, right)]
    figure.savefig(folder / "losses.png", dpi=100)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        given = dict(enumerate(sys.argv))
        parts = [float(part) for part in given.get(3, "0.05,0.1,0.25,0.5,1").split(",")]
        main(Path(given.get(1, temporary)), int(given.get(2, 600)), parts)
