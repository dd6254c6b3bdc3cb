"""Adapters: the model as before at first, only they learn, PEFT's file, and an exact merge."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from kerasgpt import artifacts
from kerasgpt.checkpoints.mapping import named_arrays
from kerasgpt.config import GPT2Config
from kerasgpt.engines import load
from kerasgpt.errors import UsageError
from kerasgpt.models.gpt2 import GPT2CausalLM
from kerasgpt.training.config import Recipe
from kerasgpt.training.freezing import freeze
from kerasgpt.training.lora import adapter_arrays, add_adapters, save_adapters
from kerasgpt.training.settings import LoraConfig
from kerasgpt.training.train import train

IDS = np.array([[1, 2, 3, 4]])


def _model():
    model = GPT2CausalLM(GPT2Config(30, 8, 2, 2, 8, initializer_range=0.3))
    model.build()
    return model


@pytest.mark.parametrize(
    ("targets", "count"),
    [(("c_attn",), 2), (("c_proj",), 4), (("attn.c_proj",), 2), (("c_fc", "mlp.c_proj"), 4)],
)
def test_a_model_with_fresh_adapters_answers_as_before_and_only_they_train(targets, count):
    model = _model()
    before = model(IDS)
    add_adapters(model, LoraConfig(rank=2, targets=targets))
    np.testing.assert_array_equal(model(IDS), before)
    assert len(model.trainable_variables) == 2 * count
    assert all("lora" in variable.path for variable in model.trainable_variables)


def test_what_is_frozen_gets_no_adapter():
    model, settings = _model(), LoraConfig(rank=2, targets=("c_attn",))
    freeze(model, ["h.0.attn.c_attn.weight"])
    add_adapters(model, settings)
    assert len(model.trainable_variables) == 2
    assert {name.split(".")[4] for name in adapter_arrays(model, settings)} == {"1"}
    model = _model()
    freeze(model, ["*.c_attn.weight"])
    with pytest.raises(UsageError, match=r"lora.targets are all frozen \(train.freeze\): leave one of them"):
        add_adapters(model, settings)


def test_no_rank_changes_nothing():
    model = _model()
    count = len(model.trainable_variables)
    add_adapters(model, LoraConfig())
    assert len(model.trainable_variables) == count


@pytest.fixture
def tuned(recipe, model_folder, tmp_path):
    table = {**recipe().to_dict(), "model": {"init": str(model_folder), "dropout": 0.0}}
    table["data"]["tokenizer"] = "auto"
    lora = {"rank": 3, "alpha": 6.0, "targets": ["c_attn", "mlp.c_proj"]}
    settings = Recipe.from_dict({**table, "lora": lora}, ["train.precision=mixed_bfloat16"])
    return train(settings, tmp_path / "run", quiet=True)


def test_the_run_holds_the_adapters_apart_and_the_sum_as_its_model(tuned, model_folder):
    """Made anew from PEFT's file, W + alpha / r (B A) transposed, in float32 whatever was trained in."""
    base = load_file(model_folder / artifacts.WEIGHTS)
    merged = load_file(tuned.model_folder / artifacts.WEIGHTS)
    adapters = load_file(tuned.folder / "adapter" / "adapter_model.safetensors")
    assert len(adapters) == 2 * 2 * 2
    prefix = "base_model.model.transformer.h.1.mlp.c_proj"
    assert adapters[f"{prefix}.lora_A.weight"].shape == (3, 64)
    assert adapters[f"{prefix}.lora_B.weight"].shape == (16, 3)
    changed = 0
    for name, array in merged.items():
        stem = f"base_model.model.{name.removesuffix('.weight')}"
        if f"{stem}.lora_A.weight" in adapters:
            product = adapters[f"{stem}.lora_B.weight"] @ adapters[f"{stem}.lora_A.weight"]
            np.testing.assert_allclose(array, base[name] + 2.0 * product.T, atol=1e-6, err_msg=name)
            changed += int((array != base[name]).any())
        else:
            np.testing.assert_array_equal(array, base[name], err_msg=name)
    assert changed == 4


def test_the_adapter_says_what_it_is_for_in_pefts_words(tuned, model_folder):
    config = json.loads((tuned.folder / "adapter" / "adapter_config.json").read_text())
    wanted = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": 3,
        "lora_alpha": 6.0,
        "fan_in_fan_out": True,
    }
    assert wanted.items() <= config.items()
    assert config["target_modules"] == ["c_attn", "mlp.c_proj"]
    assert config["base_model_name_or_path"] == str(model_folder)
    assert load(tuned.folder).generate(["to be"])[0].token_ids


def test_adapters_are_read_in_float32(tuned):
    model = _model()
    settings = LoraConfig(rank=2)
    add_adapters(model, settings)
    assert {array.dtype for array in adapter_arrays(model, settings).values()} == {np.dtype("float32")}
    assert {array.dtype for array in named_arrays(model).values()} == {np.dtype("float32")}


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (["lora.rank=4"], "adapters need a model to adapt"),
        (["lora.rank=-1"], "0 or more"),
        (["lora.alpha=nan"], r"lora\.alpha is nan: it must be above 0"),
        (["lora.alpha=-1"], r"lora\.alpha is -1\.0: it must be above 0"),
        (["lora.targets=['q_proj']"], "unknown target in lora.targets 'q_proj'"),
        (["lora.rank=4", "model.init=x", "lora.targets=[]"], "lora.targets is empty"),
        (["lora.rank=4", "model.init=x", "train.refit_steps=5"], "adapters are trained once"),
    ],
)
def test_what_does_not_fit_is_a_sentence(settings, sentence):
    with pytest.raises(UsageError, match=sentence):
        Recipe.from_dict({}, settings)


def test_other_files_of_the_folder_stay(tmp_path):
    model, settings = _model(), LoraConfig(rank=2)
    add_adapters(model, settings)
    (tmp_path / "notes.txt").write_text("mine")
    save_adapters(model, settings, tmp_path, base="base")
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"notes.txt", "adapter_config.json", "adapter_model.safetensors"}
