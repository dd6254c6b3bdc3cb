"""A model whose texts end with a special token of its own, on every engine and in the files."""

import json

import keras
import numpy as np
import pytest

from kerasgpt import GenerationConfig, GPT2CausalLM, GPT2Config, Tokenizer, export_bundle, load
from kerasgpt.artifacts import CONFIG, GENERATION_CONFIG, TOKENIZER_CONFIG

pytestmark = pytest.mark.slow

END = "<|im_end|>"
PROMPTS = ["the rain", "in", "", "plain " * 4, "a", "b", "c", "d"]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    learned = Tokenizer.learn(["the rain in the plain"] * 2, 266, special_tokens=["<|im_start|>", END])
    tokenizer = Tokenizer(learned.vocabulary, learned.merges, learned.special_tokens, end_of_text=END)
    keras.utils.set_random_seed(4)
    ends = dict.fromkeys(("bos_token_id", "eos_token_id"), tokenizer.end_of_text_id)
    shape = {"num_layers": 2, "num_heads": 2, "hidden_dim": 32, "initializer_range": 0.4}
    model = GPT2CausalLM(GPT2Config(tokenizer.vocabulary_size, 40, **shape, **ends))
    model.build()
    table = model.backbone.embedding.token_embedding.embeddings
    likelier = np.ones((tokenizer.vocabulary_size, 1))
    likelier[[learned.end_of_text_id, tokenizer.end_of_text_id]] = 2
    table.assign(np.asarray(table) * likelier)
    folder = tmp_path_factory.mktemp("end") / "bundle"
    export_bundle(model, tokenizer, folder, ("onnx", "saved_model"))
    return folder


def test_it_ends_a_text_and_gpt2s_own_does_not(bundle):
    tokenizer = Tokenizer.from_preset(bundle)
    assert tokenizer.end_of_text == END
    other = tokenizer.vocabulary["<|endoftext|>"]
    settings = GenerationConfig(max_new_tokens=30)
    by_engine = [
        load(bundle, engine).generate(PROMPTS, settings) for engine in ("keras", "onnx", "saved_model")
    ]
    first = by_engine[0]
    for answers in by_engine[1:]:
        assert [each.token_ids for each in answers] == [each.token_ids for each in first]
        assert [each.text for each in answers] == [each.text for each in first]
        assert [each.finish_reason for each in answers] == [each.finish_reason for each in first]
    assert {each.finish_reason for each in first} == {"stop", "length"}
    for each in first:
        assert (each.token_ids[-1] == tokenizer.end_of_text_id) == (each.finish_reason == "stop")
        assert tokenizer.end_of_text_id not in each.token_ids[:-1]
    assert any(other in each.token_ids[:-1] for each in first)


def test_the_files_name_it(bundle):
    end = Tokenizer.from_preset(bundle).end_of_text_id
    assert json.loads((bundle / TOKENIZER_CONFIG).read_text())["eos_token"] == END
    for name in (CONFIG, GENERATION_CONFIG):
        assert json.loads((bundle / name).read_text())["eos_token_id"] == end
    assert json.loads((bundle / "genai_config.json").read_text())["model"]["eos_token_id"] == end


def test_a_fine_tuned_copy_keeps_it(bundle, run, tmp_path):
    (tmp_path / "text.txt").write_text("the rain in the plain\n" * 400)
    out = tmp_path / "run"
    settings = (f"model.init={bundle}", "train.steps=2", "train.sequence_length=16", "train.batch_size=8")
    sets = [part for setting in settings for part in ("--set", setting)]
    done = run("train", "--data", tmp_path / "text.txt", "--out", out, *sets)
    assert done.code == 0, done.err
    assert Tokenizer.from_preset(out).end_of_text == END
