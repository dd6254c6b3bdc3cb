"""Models that follow the data."""

import json
import shutil

import keras
import numpy as np
import pytest
from safetensors.numpy import load_file

from kerasgpt import artifacts
from kerasgpt.config import GPT2Config
from kerasgpt.engines import load
from kerasgpt.errors import UsageError
from kerasgpt.generation.soft_prompt import read_soft_prompt
from kerasgpt.models.soft_prompt import SoftPromptCausalLM
from kerasgpt.recurrent_config import RecurrentConfig
from kerasgpt.tokenizer.bpe import Tokenizer
from kerasgpt.training.config import Recipe
from kerasgpt.training.learner import make_learner, model_config, uses_xla
from kerasgpt.training.model_settings import ModelConfig
from kerasgpt.training.settings import TrainConfig
from kerasgpt.training.train import train


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.learn(["to be or not to be"] * 3, 260)


def test_context_and_vocabulary_follow_the_data(tokenizer):
    config = model_config(ModelConfig(preset="gpt-nano"), 48, tokenizer)
    assert (config.max_sequence_length, config.vocabulary_size) == (48, 260)
    assert config.eos_token_id == config.bos_token_id == tokenizer.end_of_text_id
    assert (config.num_layers, config.hidden_dim) == (3, 48)


def test_the_sizes_of_gpt2_keep_their_context():
    config = model_config(ModelConfig(preset="gpt2"), 128, Tokenizer.from_preset("gpt2"))
    assert config.num_parameters == 124_439_808


def test_one_dropout_sets_all_three_rates_unless_named(tokenizer):
    config = model_config(ModelConfig(fields={"dropout": 0.3, "attention_dropout": 0.0}), 8, tokenizer)
    assert (config.dropout, config.embedding_dropout, config.attention_dropout) == (0.3, 0.3, 0.0)


def test_what_does_not_fit_is_a_sentence(tokenizer):
    with pytest.raises(UsageError, match="longer than the model's context of 4"):
        model_config(ModelConfig(fields={"max_sequence_length": 4}), 8, tokenizer)
    with pytest.raises(UsageError, match="has 260 ids and the model 100"):
        model_config(ModelConfig(fields={"vocabulary_size": 100}), 8, tokenizer)


def test_a_learner_starts_from_a_folder(recipe, tokenizer, tmp_path):
    first = make_learner(recipe("train.seed=1"), tokenizer)
    first.model.save_to_preset(tmp_path / "model")
    folder = f"model.init={tmp_path / 'model'}"
    settings = [folder, "model.dropout=0.0", "train.seed=2"]
    base = recipe("train.seed=2").to_dict()
    second = make_learner(type(recipe()).from_dict({**base, "model": {}}, settings), tokenizer)
    assert second.model.config == first.model.config.replace(
        dropout=0.0, embedding_dropout=0.0, attention_dropout=0.0
    )
    ids = np.array([[1, 2, 3]])
    np.testing.assert_array_equal(first.model(ids), second.model(ids))


def test_a_seed_gives_the_same_weights(recipe, tokenizer):
    def weights(seed):
        return make_learner(recipe(f"train.seed={seed}"), tokenizer).model.get_weights()

    one, same, other = weights(1), weights(1), weights(2)
    assert all((left == right).all() for left, right in zip(one, same, strict=True))
    assert any((left != right).any() for left, right in zip(one, other, strict=True))


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_keeps_weights_and_loss_in_float32(recipe, tokenizer, precision):
    learner = make_learner(recipe(f"train.precision={precision}"), tokenizer)
    assert {variable.dtype for variable in learner.model.trainable_variables} == {"float32"}
    ids = np.arange(32).reshape(2, 16)
    losses = [learner.model.train_on_batch(ids, ids, np.ones((2, 16)))[0] for _ in range(5)]
    assert losses[-1] < losses[0]
    assert float(learner.optimizer.gradient_norm) > 0
    wrapped = isinstance(learner.model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert wrapped == (precision == "mixed_float16")


def test_xla_is_on_unless_told_otherwise():
    assert uses_xla(TrainConfig(), GPT2Config())
    assert not uses_xla(TrainConfig(), RecurrentConfig())
    assert not uses_xla(TrainConfig(jit_compile=False), GPT2Config())


def test_bfloat16_on_a_cpu_is_left_to_tensorflow(monkeypatch):
    config = GPT2Config()
    assert not uses_xla(TrainConfig(precision="mixed_bfloat16"), config)
    assert uses_xla(TrainConfig(precision="mixed_bfloat16", jit_compile=True), config)
    monkeypatch.setattr("kerasgpt.training.learner.is_tensorflow_on_cpu", lambda: False)  # a GPU is there
    assert uses_xla(TrainConfig(precision="mixed_bfloat16"), config)


def test_a_soft_prompt_is_trained_alone_and_lies_in_the_model_folder(recipe, model_folder, tmp_path):
    table = {**recipe().to_dict(), "model": {"init": str(model_folder), "dropout": 0.0}}
    table["data"]["tokenizer"] = "auto"
    settings = Recipe.from_dict(table, ["train.soft_prompt_tokens=3", "train.learning_rate=0.1"])
    run = train(settings, tmp_path / "run", quiet=True)
    before = load_file(model_folder / artifacts.WEIGHTS)
    after = load_file(run.model_folder / artifacts.WEIGHTS)
    for name, array in before.items():
        np.testing.assert_array_equal(after[name], array, err_msg=name)
    prompt = read_soft_prompt(run.model_folder / artifacts.SOFT_PROMPT)
    assert prompt.shape == (3, before["transformer.wte.weight"].shape[1])
    lm, base = load(run.folder), load(model_folder)
    assert lm.max_sequence_length == base.max_sequence_length - 3
    assert lm.score([""], ["to be or not"]) != base.score([""], ["to be or not"])
    losses = [record["validation_loss"] for record in _evaluations(run.folder)]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("inside", [".", "model"])
@pytest.mark.parametrize("count", [3, 2, 0])
def test_training_goes_on_from_a_soft_prompt_or_says_that_it_does_not(
    recipe, model_folder, tmp_path, count, inside
):
    run = tmp_path / "run"
    shutil.copytree(model_folder, run / "model")
    trained = SoftPromptCausalLM.from_preset(run, num_tokens=3)
    trained.save_soft_prompt(run / "model" / artifacts.SOFT_PROMPT, base=str(model_folder))
    if not count:
        (run / "model" / artifacts.SOFT_PROMPT / artifacts.ADAPTER_WEIGHTS).write_text("damaged")
    table = {**recipe().to_dict(), "model": {"init": str(run / inside)}}
    said = []
    settings = Recipe.from_dict(table, [f"train.soft_prompt_tokens={count}"])
    model = make_learner(settings, Tokenizer.from_preset(model_folder), said.append).model
    if count == 3:
        assert said == []
        np.testing.assert_array_equal(model.prompt, trained.prompt)
        return
    (sentence,) = said
    assert f"model/soft_prompt: is left out, as train.soft_prompt_tokens is {count}" in sentence
    if count:
        table = model.backbone.embedding.token_embedding.embeddings.numpy()
        assert all((table == vector).all(1).any() for vector in model.prompt)


def _evaluations(run):
    records = map(json.loads, (run / artifacts.RUN_METRICS).read_text().splitlines())
    return [record for record in records if "validation_loss" in record]


def test_a_soft_prompt_longer_than_the_context_leaves_is_a_sentence(recipe, model_folder, tmp_path):
    table = {**recipe().to_dict(), "model": {"init": str(model_folder)}}
    table["data"]["tokenizer"] = "auto"
    settings = Recipe.from_dict(table, ["train.soft_prompt_tokens=5000"])
    with pytest.raises(UsageError, match="pass the model's context of"):
        train(settings, tmp_path / "run", quiet=True)


def test_a_model_of_other_sizes_is_no_beginning(recipe, model_folder):
    table = {**recipe().to_dict(), "model": {"init": str(model_folder), "num_layers": 7}}
    with pytest.raises(UsageError, match=r"its num_layers is 2, and the recipe's model\.num_layers 7: leave"):
        make_learner(Recipe.from_dict(table), Tokenizer.from_preset(model_folder))


def test_a_recurrent_model_is_told_to_leave_packing_out(recipe):
    table = {**recipe().to_dict(), "model": {"preset": "lstm-nano"}, "task": {"name": "completion"}}
    with pytest.raises(UsageError, match=r"task\.pack=true \(set it to false\): a model of type lstm"):
        make_learner(Recipe.from_dict(table), Tokenizer.from_merges([]))
    table["task"]["pack"] = False
    make_learner(Recipe.from_dict(table), Tokenizer.from_merges([]))
