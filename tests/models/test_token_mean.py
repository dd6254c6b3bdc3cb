"""The mean over tokens, whatever shapes their batches have, and in a saved model."""

import subprocess
import sys

import keras
import numpy as np
import pytest

from kerasgpt.config import GPT2Config
from kerasgpt.models.gpt2 import GPT2CausalLM
from kerasgpt.models.token_mean import TokenMean


def _batch(rows, length, seed):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 9, (rows, length))
    logits = generator.normal(size=(rows, length, 9)).astype("float32")
    weights = generator.integers(0, 3, (rows, length)).astype("float32")
    return labels, logits, weights


def _nats(labels, logits):
    log_total = np.log(np.exp(logits.astype("float64")).sum(-1))
    return log_total - np.take_along_axis(logits, labels[..., None], -1)[..., 0]


def test_a_token_counts_the_same_in_rows_of_any_length():
    metric, sums = TokenMean(), np.zeros(2)
    for seed, (rows, length) in enumerate([(4, 2), (1, 64), (2, 7)]):
        labels, logits, weights = _batch(rows, length, seed)
        metric.update_state(labels, logits, weights)
        sums += (_nats(labels, logits) * weights).sum(), weights.sum()
    assert float(metric.result()) == pytest.approx(sums[0] / sums[1], rel=1e-6)


@pytest.mark.parametrize("length", [3, 5])
@pytest.mark.parametrize("shape", [None, (3,), (3, 1)])
def test_weights_may_be_left_out_or_be_one_of_each_row(shape, length):
    labels, logits, _ = _batch(3, length, 1)
    weights = None if shape is None else np.array([1.0, 0.0, 2.0]).reshape(shape)
    metric = TokenMean()
    metric.update_state(labels, logits, weights)
    of_rows = None if weights is None else weights.ravel()
    expected = np.average(_nats(labels, logits).mean(1), weights=of_rows)
    assert float(metric.result()) == pytest.approx(expected, rel=1e-6)


def test_logits_of_bfloat16_round_no_label():
    labels, logits = np.array([[999, 997]]), np.zeros((1, 2, 1000), "float32")
    logits[0, 0, 999] = logits[0, 1, 997] = 9
    metric = TokenMean()
    metric.update_state(labels, keras.ops.cast(logits, "bfloat16"))
    assert float(metric.result()) == pytest.approx(_nats(labels, logits).mean(), rel=1e-5)


def test_a_compiled_model_comes_back_where_only_its_class_is_imported(tmp_path):
    model = GPT2CausalLM(GPT2Config(9, 8, 1, 2, 8))
    model.compile(
        "adamw",
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        weighted_metrics=[TokenMean(name="nats")],
    )
    ids = np.arange(8)[None]
    expected = model.evaluate(ids, ids, verbose=0, return_dict=True)["nats"]
    model.save(tmp_path / "model.keras")
    program = (
        "import sys, keras, numpy as np\n"
        "from kerasgpt import GPT2CausalLM\n"
        "model = keras.saving.load_model(sys.argv[1])\n"
        "ids = np.arange(8)[None]\n"
        "print(model.evaluate(ids, ids, verbose=0, return_dict=True)['nats'])"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "model.keras")]
    child = subprocess.run(command, capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr
    assert float(child.stdout) == pytest.approx(expected, rel=1e-6)
