"""The written graph against a naive loop over the Keras model: the whole text again for each token."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from kerasgpt.checkpoints.mapping import named_arrays
from kerasgpt.config import GPT2Config
from kerasgpt.errors import UsageError
from kerasgpt.export.saved_model import write_saved_model
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.models.gpt2 import GPT2CausalLM
from kerasgpt.tokenizer.bpe import Tokenizer, learned_vocabulary

CONTEXT, NEW = 40, 12
MERGES = [("Ġ", "t"), ("h", "e"), ("Ġt", "he"), ("o", "u"), ("Ġ", "y"), ("Ġy", "ou"), ("l", "l"), ("e", "r")]
PROMPTS = [
    "hello",
    "",
    "What light through yonder",
    "the end of the world",
    "naïve 北京 🙂",
    "\n\n",
    "x" * 100,
]
PROMPTS += ["you'll", "b " * 19, "z" * (CONTEXT - 1), "z" * CONTEXT, *"abcdefghijklm"]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer(learned_vocabulary(MERGES), MERGES)


def make_model(tokenizer: Tokenizer, **changes: Any) -> GPT2CausalLM:
    """Weights far larger than GPT-2's: the best token leads clearly, and now and then it is the end."""
    keras.utils.set_random_seed(11)
    shape = {"num_layers": 2, "num_heads": 2, "hidden_dim": 32, "initializer_range": 0.4, **changes}
    config = GPT2Config(tokenizer.vocabulary_size, max_sequence_length=CONTEXT, **shape)
    model = GPT2CausalLM(config)
    model.build()
    for weight in model.weights:
        if "bias" in weight.path:
            weight.assign(keras.random.normal(weight.shape, stddev=0.2))
        if tuple(weight.shape) == (tokenizer.vocabulary_size, 32):
            likelier = np.ones((tokenizer.vocabulary_size, 1))
            likelier[tokenizer.end_of_text_id] = 2
            weight.assign(np.asarray(weight) * likelier)
    return model


@pytest.fixture(scope="module")
def model(tokenizer: Tokenizer) -> GPT2CausalLM:
    return make_model(tokenizer)


def write(model: GPT2CausalLM, tokenizer: Tokenizer, *arguments: Any) -> None:
    write_saved_model(model.config, named_arrays(model), tokenizer, *arguments)


@pytest.fixture(scope="module")
def folder(model: GPT2CausalLM, tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "saved_model" / "1"
    write(model, tokenizer, GenerationConfig(max_new_tokens=NEW), path)
    return path


@pytest.fixture(scope="module")
def loaded(folder: Path) -> Any:
    return tf.saved_model.load(str(folder))


def naive(model: GPT2CausalLM, tokenizer: Tokenizer, prompt: str) -> tuple[list[int], list[float], str]:
    """No cache, no batch, no padding: read everything again for each token."""
    end = tokenizer.end_of_text_id
    ids = tokenizer.encode(prompt) or [end]
    if len(ids) >= CONTEXT:
        ids = ids[-max(CONTEXT - NEW, CONTEXT // 2) :]
    written: list[int] = []
    logprobs: list[float] = []
    while len(written) < NEW and len(ids) + len(written) < CONTEXT and written[-1:] != [end]:
        logits = np.asarray(model(np.array([[*ids, *written]])))[0, -1].astype(np.float64)
        written.append(int(logits.argmax()))
        logprobs.append(float(logits.max() - np.log(np.exp(logits - logits.max()).sum()) - logits.max()))
    return written, logprobs, "stop" if written[-1] == end else "length"


def neutral(batch: int) -> dict[str, Any]:
    """The settings of a signature, all off."""
    settings: dict[str, Any] = {name: np.zeros(batch, np.float32) for name in ("temperature", "min_p")}
    settings |= {name: np.ones(batch, np.float32) for name in ("top_p", "repetition_penalty")}
    settings |= {"top_k": np.zeros(batch, np.int64), "seed": np.zeros(batch, np.int64)}
    settings |= {"max_new_tokens": np.full(batch, NEW), "stop": np.full(batch, b"", object)}
    return {name: tf.constant(value) for name, value in settings.items()}


@pytest.fixture(scope="module")
def expected(model: GPT2CausalLM, tokenizer: Tokenizer) -> list[tuple[list[int], list[float], str]]:
    return [naive(model, tokenizer, prompt) for prompt in PROMPTS]


def test_the_prompts_reach_every_kind_of_end(expected: list[tuple[list[int], list[float], str]]) -> None:
    assert {reason for _, _, reason in expected} == {"stop", "length"}
    assert any(reason == "stop" and len(ids) < NEW for ids, _, reason in expected)
    assert any(reason == "length" and len(ids) < NEW for ids, _, reason in expected)
    assert len({tuple(ids) for ids, _, _ in expected}) > len(expected) // 2


def test_a_batch_is_what_the_naive_loop_writes(
    loaded: Any, tokenizer: Tokenizer, expected: list[tuple[list[int], list[float], str]]
) -> None:
    outputs = loaded.signatures["generate"](prompts=tf.constant(PROMPTS), **neutral(len(PROMPTS)))
    outputs = {name: tensor.numpy() for name, tensor in outputs.items()}
    for row, (ids, logprobs, reason) in enumerate(expected):
        count = outputs["num_tokens"][row]
        assert outputs["token_ids"][row, :count].tolist() == ids, PROMPTS[row]
        np.testing.assert_allclose(outputs["logprobs"][row, :count], logprobs, atol=1e-4)
        assert outputs["finish_reason"][row].decode() == reason
        assert outputs["text"][row].decode() == tokenizer.decode(ids)
    np.testing.assert_allclose(outputs["logprob"], outputs["logprobs"].sum(axis=1), atol=1e-4)


def test_alone_or_among_others_is_the_same(loaded: Any) -> None:
    serve = loaded.signatures["serving_default"]
    together = serve(prompts=tf.constant(PROMPTS))["text"].numpy().tolist()
    assert [serve(prompts=tf.constant([prompt]))["text"].numpy()[0] for prompt in PROMPTS] == together


def test_ids_give_what_their_text_gives(
    loaded: Any, tokenizer: Tokenizer, expected: list[tuple[list[int], list[float], str]]
) -> None:
    ids = tf.ragged.constant([tokenizer.encode(prompt) for prompt in PROMPTS], tf.int64, ragged_rank=1)
    outputs = loaded.signatures["generate_tokens"](
        input_ids=ids.to_tensor(5), lengths=ids.row_lengths(), **neutral(len(PROMPTS))
    )
    counts = outputs["num_tokens"].numpy()
    rows = zip(outputs["token_ids"].numpy(), counts, strict=True)
    assert [row[:count].tolist() for row, count in rows] == [ids for ids, _, _ in expected]


def test_no_prompts_give_no_texts(loaded: Any) -> None:
    assert loaded.signatures["serving_default"](prompts=tf.constant([], tf.string))["text"].shape == (0,)


def test_logits_are_the_models(loaded: Any, model: GPT2CausalLM) -> None:
    ids = np.random.default_rng(0).integers(0, model.config.vocabulary_size, (3, 9))
    lengths = np.array([9, 4, 1])
    outputs = loaded.signatures["logits"](input_ids=tf.constant(ids), lengths=tf.constant(lengths))
    assert outputs["logits"].dtype == tf.float32
    for row, length in enumerate(lengths):
        alone = np.asarray(model(ids[row : row + 1, :length]))[0]
        np.testing.assert_allclose(outputs["logits"][row, :length], alone, atol=2e-5)


def test_a_variant_of_the_model_is_honoured(tokenizer: Tokenizer, tmp_path: Path) -> None:
    changes = {"activation": "relu", "tie_word_embeddings": False, "scale_attn_by_inverse_layer_idx": True}
    variant = make_model(tokenizer, intermediate_dim=48, layer_norm_epsilon=1e-3, **changes)
    write(variant, tokenizer, GenerationConfig(max_new_tokens=NEW), tmp_path / "1")
    serve = tf.saved_model.load(str(tmp_path / "1")).signatures["serving_default"]
    prompts = PROMPTS[:5]
    texts = [text.decode() for text in serve(prompts=tf.constant(prompts))["text"].numpy()]
    assert texts == [tokenizer.decode(naive(variant, tokenizer, prompt)[0]) for prompt in prompts]


def graph_of(folder: Path) -> Any:
    content = saved_model_pb2.SavedModel()
    content.ParseFromString((folder / "saved_model.pb").read_bytes())
    return content.meta_graphs[0]


def test_the_graph_holds_core_ops_only(folder: Path) -> None:
    graph = graph_of(folder).graph_def
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    ops = Counter(node.op for node in nodes)
    forbidden = ("xla", "pyfunc", "regexsplit", "wordpiece", "sentencepiece", "whitespacetokenize", "random")
    assert [op for op in ops if any(word in op.lower() for word in forbidden)] == []
    # A step of the model is there twice, in the loop that all signatures share and in a client's; the
    # tokenizer once.
    assert ops["InplaceUpdate"] == 2 * 2 * 2
    assert ops["LookupTableFindV2"] == 3
    assert not any("dropout" in node.name.lower() for node in nodes)


def test_signatures_are_the_contract(folder: Path) -> None:
    graph = graph_of(folder)
    assert list(graph.meta_info_def.tags) == ["serve"]
    serving = graph.signature_def["serving_default"]
    assert (list(serving.inputs), list(serving.outputs)) == (["prompts"], ["text"])
    logits = graph.signature_def["logits"]
    assert (sorted(logits.inputs), list(logits.outputs)) == (["input_ids", "lengths"], ["logits"])
    generate = graph.signature_def["generate"]
    assert sorted(generate.defaults) == sorted(set(generate.inputs) - {"prompts"})
    assert tf.make_ndarray(generate.defaults["max_new_tokens"]).tolist() == [NEW]
    assert tf.make_ndarray(generate.defaults["top_p"]).tolist() == [1.0]


@pytest.mark.parametrize(("precision", "bytes_each"), [("fp32", 4), ("bf16", 2), ("int8", 1)])
def test_weights_are_stored_once_and_alone(
    model: GPT2CausalLM, tokenizer: Tokenizer, tmp_path: Path, precision: str, bytes_each: int
) -> None:
    write(model, tokenizer, GenerationConfig(), tmp_path / "1", precision)
    variables = tmp_path / "1" / "variables" / "variables"
    reader = tf.train.load_checkpoint(str(variables))
    shapes = [
        tuple(shape) for name, shape in tf.train.list_variables(str(variables)) if "CHECKPOINT" not in name
    ]
    matrices = [shape for shape in shapes if len(shape) == 2 and 1 not in shape]
    assert Counter(matrices) == Counter(tuple(w.shape) for w in model.weights if len(w.shape) == 2)
    num_matrix_bytes = bytes_each * sum(map(math.prod, matrices))
    stored = sum(file.stat().st_size for file in variables.parent.iterdir())
    assert num_matrix_bytes < stored < num_matrix_bytes + 4 * 32 * 2 * 40 + 20_000
    assert (
        reader.get_tensor(next(name for name in reader.get_variable_to_shape_map() if "wte" in name))
        is not None
    )
    assert not (tmp_path / "1" / "keras_metadata.pb").exists()
    assert (tmp_path / "1" / "saved_model.pb").stat().st_size < 2_500_000


RUN_WITH_TENSORFLOW_ALONE = """
import json, sys
sys.modules["keras"] = None  # `import tensorflow` imports Keras where it can; this refuses it
import tensorflow as tf
serve = tf.saved_model.load(sys.argv[1])
texts = serve.signatures["serving_default"](prompts=tf.constant(json.load(sys.stdin)))["text"]
print(json.dumps([text.decode() for text in texts.numpy()]))
assert not {"kerasgpt", "tokenizers", "tensorflow_text"} & set(sys.modules)
"""


def test_a_fresh_process_needs_tensorflow_alone(folder: Path, loaded: Any, tmp_path: Path) -> None:
    child = subprocess.run(
        [sys.executable, "-c", RUN_WITH_TENSORFLOW_ALONE, str(folder)],
        input=json.dumps(PROMPTS),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    here = loaded.signatures["serving_default"](prompts=tf.constant(PROMPTS))["text"].numpy()
    assert json.loads(child.stdout) == [text.decode() for text in here]


def test_what_cannot_be_written_is_refused(model: GPT2CausalLM, tokenizer: Tokenizer, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="max_new_tokens is 0"):
        write(model, tokenizer, GenerationConfig(max_new_tokens=0), tmp_path / "1")
    with pytest.raises(UsageError, match="50257 ids and the model"):
        write(model, Tokenizer.from_preset("gpt2"), GenerationConfig(), tmp_path / "1")
    assert not os.listdir(tmp_path)


PAGE = Path(__file__).parents[2] / "docs" / "signatures.md"
SETTINGS_ROW = re.compile(r"^\| (\w+) \| (int64|float32|string) \| ", re.MULTILINE)
SIGNATURE_ROW = re.compile(r"^\| `(\w+)` \| (.*) \| (.*) \|$", re.MULTILINE)
TENSOR = re.compile(r"(\w+) (string|int32|int64|float32|bool) \[([^\]]*)\]")


def test_the_page_tells_every_input_and_output(folder: Path) -> None:
    """Name, dtype and number of axes of each tensor, as the SignatureDefs have them."""
    page = PAGE.read_text("utf-8")
    settings = {name: (dtype, 1) for name, dtype in SETTINGS_ROW.findall(page)}
    rows = {name: (inputs, outputs) for name, inputs, outputs in SIGNATURE_ROW.findall(page)}
    signatures = graph_of(folder).signature_def
    assert set(rows) == {name for name in signatures if not name.startswith("__")}
    told: dict[str, Any] = {}
    for name, (inputs, outputs) in rows.items():
        told[name] = []
        for text in (inputs, outputs):
            tensors = {word: (dtype, len(axes.split(","))) for word, dtype, axes in TENSOR.findall(text)}
            told[name].append(tensors | (settings if "settings" in text else {}))
    told["generate_tokens"][1] = told["generate"][1]  # "the same"
    five = {key: value for key, value in told["prefill"][1].items() if key != "error"}
    told["decode"] = [{**five, **told["decode"][0]}, {**five, **told["decode"][1]}]
    for name, (inputs, outputs) in told.items():
        for tensors, infos in ((inputs, signatures[name].inputs), (outputs, signatures[name].outputs)):
            found = {
                key: (tf.as_dtype(info.dtype).name, len(info.tensor_shape.dim)) for key, info in infos.items()
            }
            assert tensors == found, name
