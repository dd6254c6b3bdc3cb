"""Training on tasks in the context, and what the trained models do with more and more examples."""

import keras
import numpy as np
from in_context import regression, token_maps

TOKEN_LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="mean_with_sample_weight")


def fit(model: keras.Model, loss, data, callbacks=()) -> keras.Model:
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, len(data), warmup_target=2e-3, warmup_steps=len(data) // 20
    )
    model.compile(keras.optimizers.Adam(rate, clipnorm=1.0), loss, jit_compile=True)
    model.fit(data, verbose=2, shuffle=False, callbacks=list(callbacks))
    return model


def measure_regression(updates: int) -> dict:
    points, values = regression.draw(np.random.default_rng(0), 2000)
    answers = {"zero": 0 * values, "least squares": regression.least_squares(points, values)}
    for kind in ("GPT-2", "LSTM"):
        model = fit(regression.make_model(kind), "mse", regression.Functions(updates))
        answers[kind] = model.predict(regression.as_sequence(points, values), batch_size=500, verbose=0)
    return {name: np.square(given - values).mean(0).round(4).tolist() for name, given in answers.items()}


def measure_maps(updates: int) -> tuple[dict, list]:
    test, accuracies, curves = token_maps.draw(np.random.default_rng(0), 1000), {}, []

    def watch(step, logs=None):
        if step % max(updates // 40, 1) == 0:
            scores, right = token_maps.induction_scores(model), token_maps.accuracies(model, *test)[0]
            curves.append(
                {"step": step, "scores": scores.round(3).tolist(), "accuracy": float(right[1:].mean())}
            )

    for kind in ("GPT-2", "LSTM"):
        model = token_maps.make_model(kind)
        watching = [keras.callbacks.LambdaCallback(on_train_batch_end=watch)] if kind == "GPT-2" else []
        fit(model, TOKEN_LOSS, token_maps.Maps(updates), watching)
        accuracies[kind] = token_maps.accuracies(model, *test)[0][1:].round(4).tolist()
    return accuracies, curves
