"""Warm-up records are read by the real messages, and answered by the model, before any server reads them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from kerasgpt import GenerationConfig, GPT2CausalLM, Tokenizer
from kerasgpt.artifacts import SAVED_MODEL
from kerasgpt.checkpoints.mapping import named_arrays
from kerasgpt.errors import KerasGPTError
from kerasgpt.export.example_requests import Examples
from kerasgpt.export.predict_request import predict_request
from kerasgpt.export.saved_model import write_saved_model
from kerasgpt.export.signatures import is_compiled, read_signatures
from kerasgpt.export.warmup import (
    MAX_RECORDS,
    NUM_NEW_TOKENS,
    WARMUP_FILE,
    bucket_inputs,
    warmup_inputs,
    write_warmup,
)
from kerasgpt.in_graph.compiled import Buckets
from tests.tf_serving.fake_model import write_fake
from tests.tf_serving.model import Model


def records(folder: Path) -> list[Any]:
    dataset = tf.data.TFRecordDataset(str(folder / WARMUP_FILE))
    return [PredictionLog.FromString(record.numpy()) for record in dataset]


def test_a_bundles_warm_up_is_what_a_server_can_answer(bundle: Path) -> None:
    folder = bundle / SAVED_MODEL
    logs = records(folder)
    assert 0 < len(logs) <= MAX_RECORDS
    server, asked = Model(folder, "bundle"), []
    for log in logs:
        request = log.predict_log.request
        response = server.predict(
            request
        )  # saved_model_warmup.cc: one that fails keeps the model from serving
        rows = {len(tf.make_ndarray(tensor)) for tensor in request.inputs.values()}
        assert {len(tf.make_ndarray(tensor)) for tensor in response.outputs.values()} == rows
        asked.append((request.model_spec.signature_name, *rows))
    assert asked == [(name, rows) for name in read_signatures(folder) for rows in (1, 2)]


def test_a_compiled_model_is_warmed_up_in_each_of_its_sizes(
    model: GPT2CausalLM, tokenizer: Tokenizer, bundle: Path, tmp_path: Path
) -> None:
    folder, settings = tmp_path / "1", GenerationConfig(max_new_tokens=9)
    write_saved_model(model.config, named_arrays(model), tokenizer, settings, folder, xla=True)
    assert is_compiled(folder)
    assert not is_compiled(bundle / SAVED_MODEL)
    loaded, signature = tf.saved_model.load(str(folder)), read_signatures(folder)["generate_tokens"]
    asked = bucket_inputs(loaded, signature, model.config)
    shapes = [inputs["input_ids"].shape for _, inputs in asked]
    assert shapes == [(rows, prompt) for rows, prompt, _ in Buckets.of(model.config).requests()]
    for (_, inputs), (_, _, new) in zip(asked, Buckets.of(model.config).requests(), strict=True):
        tensors = {name: tf.constant(array) for name, array in inputs.items()}
        written = loaded.signatures["generate_tokens"](**tensors)["num_tokens"].numpy()
        assert written.max() >= min(new, 2)  # of which the second comes from a step
    write_warmup(folder, [predict_request("m", *each) for each in asked])
    assert len(records(folder)) == len(asked)


def test_decode_is_given_what_prefill_gave(tmp_path: Path, tokenizer: Tokenizer) -> None:
    folder = write_fake(tmp_path / "1")
    examples = Examples.of([("a", "b"), ("cd", "e")], tokenizer, GenerationConfig(max_new_tokens=9), 64)
    model, signatures = tf.saved_model.load(str(folder)), read_signatures(folder)
    asked = dict(warmup_inputs(model, signatures, examples))
    assert set(asked) == set(signatures)
    state = model.signatures["prefill"](
        prompts=tf.constant(["a", "cd"]), max_new_tokens=tf.constant([NUM_NEW_TOKENS] * 2, tf.int64)
    )
    np.testing.assert_array_equal(asked["decode"]["keys"], state["keys"])
    write_warmup(folder, [predict_request("m", *each) for each in asked.items()])
    server = Model(folder, "m")
    assert len([server.predict(log.predict_log.request) for log in records(folder)]) == len(signatures)


def test_a_signature_that_refuses_its_example_fails_the_export(tmp_path: Path, tokenizer: Tokenizer) -> None:
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "prompts")])
    def serving_default(prompts: Any) -> Any:
        with tf.control_dependencies([tf.debugging.assert_less(tf.strings.length(prompts), 1)]):
            return {"text": tf.identity(prompts)}

    tf.saved_model.save(tf.Module(), str(tmp_path / "1"), {"serving_default": serving_default})
    examples = Examples.of([("a", "b"), ("cd", "e")], tokenizer, GenerationConfig(), 64)
    with pytest.raises(KerasGPTError, match="signature serving_default does not answer its example"):
        warmup_inputs(tf.saved_model.load(str(tmp_path / "1")), read_signatures(tmp_path / "1"), examples)


def test_an_error_of_a_row_fails_it_too(tmp_path: Path, tokenizer: Tokenizer) -> None:
    folder = write_fake(tmp_path / "1")
    examples = Examples.of([("x" * 2000, "b"), ("cd", "e")], tokenizer, GenerationConfig(), 4000)
    with pytest.raises(KerasGPTError, match=r"does not answer its example \(the prompt is too long\)"):
        warmup_inputs(tf.saved_model.load(str(folder)), read_signatures(folder), examples)


def test_a_server_takes_a_thousand(tmp_path: Path) -> None:
    request = predict_request("m", "s", {})
    write_warmup(tmp_path, [request] * MAX_RECORDS)
    assert len(records(tmp_path)) == MAX_RECORDS
    with pytest.raises(ValueError, match="1001 warm-up requests, and a server takes 1000"):
        write_warmup(tmp_path, [request] * (MAX_RECORDS + 1))
