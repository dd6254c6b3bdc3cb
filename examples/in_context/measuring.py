"""Training on tasks in the context, and what the trained models do with more and more examples."""

import keras
import numpy as np
from in_context import regression, token_maps

TOKEN_LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="mean_with_sample_weight")


def fit(model: keras.Model, loss, data, callbacks=(), peak: float = 2e-3) -> keras.Model:
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, len(data), warmup_target=peak, warmup_steps=len(data) // 20
    )
    model.compile(keras.optimizers.Adam(rate, clipnorm=1.0), loss, jit_compile=True)
    model.fit(data, verbose=2, shuffle=False, callbacks=list(callbacks))
    return model


def regression_errors(kind: str, updates: int) -> list[float]:
    """Mean squared error of a trained model after 0, 1, 2, ... examples."""
    points, values = regression.draw(np.random.default_rng(0), 2000)
    if kind in ("zero", "least squares"):
        answers = 0 * values if kind == "zero" else regression.least_squares(points, values)
    else:
        keras.utils.set_random_seed(1)
        model = fit(regression.make_model(kind), "mse", regression.Functions(updates))
        answers = model.predict(regression.as_sequence(points, values), batch_size=500, verbose=0)
    return np.square(answers - values).mean(0).astype(float).round(4).tolist()


def map_accuracies(kind: str, updates: int) -> tuple[list[float], list[dict]]:
    """How often a model is right on keys seen before, after 1, 2, ... pairs; and how its heads came to be."""
    keras.utils.set_random_seed(1)
    test, model, curves = token_maps.draw(np.random.default_rng(0), 1000), token_maps.make_model(kind), []

    def watch(step, logs=None):
        if kind == "GPT-2" and step % max(updates // 50, 1) == 0:
            right = float(token_maps.accuracies(model, *test)[0][1:].mean())
            scores = token_maps.induction_scores(model).round(3).tolist()
            curves.append({"step": step, "scores": scores, "accuracy": round(right, 4)})

    watching = keras.callbacks.LambdaCallback(on_train_batch_end=watch)
    fit(model, TOKEN_LOSS, token_maps.Maps(updates), [watching], peak=1e-3)
    return token_maps.accuracies(model, *test)[0][1:].round(4).tolist(), curves
