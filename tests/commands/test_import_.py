"""`kerasgpt import`: any checkpoint becomes a model folder, bit for bit, or nothing and a sentence."""

import json
import re
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from kerasgpt.config import GPT2Config
from kerasgpt.generation.soft_prompt import read_soft_prompt, save_soft_prompt
from kerasgpt.models.gpt2 import GPT2CausalLM
from kerasgpt.tasks.templates import DEFAULTS, read_template
from kerasgpt.tokenizer.bpe import Tokenizer

DATA = ("config.json", "generation_config.json", "model.safetensors")
TOKENIZER = {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.json", "merges.txt"}


@pytest.fixture
def out(tmp_path):
    return tmp_path / "imported"


def test_a_model_folder_comes_back_bit_for_bit(run, model_folder, out):
    outcome = run("import", model_folder, "--out", out)
    assert (outcome.code, outcome.out) == (0, f"{out}\n")
    assert f"{model_folder}: a Hugging Face folder, 2 layers," in outcome.err
    assert "tokenizer: its own, 300 ids" in outcome.err
    before, after = (load_file(folder / "model.safetensors") for folder in (model_folder, out))
    assert before.keys() == after.keys()
    assert all(before[name].tobytes() == after[name].tobytes() for name in before)
    for name in TOKENIZER | {"config.json"}:
        assert (out / name).read_bytes() == (model_folder / name).read_bytes()
    assert {path.name for path in out.iterdir()} == {*DATA, *TOKENIZER}


def test_a_preset_for_kerashub_and_back_is_the_same_bit_for_bit(run, model_folder, tmp_path, out):
    preset = tmp_path / "preset"
    assert run("import", model_folder, "--out", preset, "--format", "keras_hub").code == 0
    assert run("import", preset, "--out", out).code == 0
    before, after = (load_file(folder / "model.safetensors") for folder in (model_folder, out))
    assert all(before[name].tobytes() == after[name].tobytes() for name in before)
    assert Tokenizer.from_preset(out).vocabulary == Tokenizer.from_preset(model_folder).vocabulary


def test_a_model_that_kerashub_cannot_hold_is_refused_and_nothing_is_written(
    refuses, model_folder, tmp_path, out
):
    folder = shutil.copytree(model_folder, tmp_path / "other")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"layer_norm_epsilon": 1e-6}))
    sentence = refuses("import", folder, "--out", out, "--format", "keras_hub", code=2)
    assert "layer_norm_epsilon is 1e-06: KerasHub's GPT-2 knows only 1e-05" in sentence
    assert not out.exists()


def test_the_task_it_was_trained_on_comes_along(run, model_folder, tmp_path, out):
    folder = shutil.copytree(model_folder, tmp_path / "translator")
    DEFAULTS["translation"].write(folder)
    assert run("import", folder, "--out", out).code == 0
    assert read_template(out) == DEFAULTS["translation"]


def test_a_preset_for_kerashub_has_no_place_for_the_task_which_is_said(run, model_folder, tmp_path, out):
    folder = shutil.copytree(model_folder, tmp_path / "translator")
    DEFAULTS["translation"].write(folder)
    outcome = run("import", folder, "--out", out, "--format", "keras_hub")
    assert outcome.code == 0
    said = "KerasHub knows no templates; write your prompts as '{source}\\nTranslation:'"
    assert f"{folder / 'task.json'}: left out, {said}\n" in outcome.err
    assert "class_name" in json.loads((out / "task.json").read_text())


def test_of_a_run_the_best_models_task_and_settings_come_along(run, model_folder, tmp_path, out):
    shutil.copytree(model_folder, tmp_path / "run" / "model")
    DEFAULTS["translation"].write(tmp_path / "run" / "model")
    assert run("import", tmp_path / "run", "--out", out).code == 0
    assert read_template(out) == DEFAULTS["translation"]
    written = json.loads((out / "generation_config.json").read_text())
    assert written == json.loads((model_folder / "generation_config.json").read_text())


@pytest.fixture
def prompted(model_folder, tmp_path):
    """A folder whose model reads three vectors before every text."""
    folder = shutil.copytree(model_folder, tmp_path / "prompted")
    vectors = np.random.default_rng(0).normal(size=(3, 16)).astype("float32")
    save_soft_prompt(vectors, folder / "soft_prompt", "a model", {})
    return folder


def test_a_soft_prompt_comes_along(run, prompted, out):
    assert run("import", prompted, "--out", out).code == 0
    np.testing.assert_array_equal(*(read_soft_prompt(f / "soft_prompt") for f in (prompted, out)))
    config = json.loads((out / "soft_prompt" / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["num_layers"]) == (str(out), 2)
    line = '{"prompt": "To be", "continuation": " or"}'
    (found,), (expected,) = (
        run("score", folder, "--engine", "keras", stdin=line).rows for folder in (out, prompted)
    )
    assert found["logprob"] == expected["logprob"]


def test_a_soft_prompt_that_cannot_come_along_is_told(refuses, prompted, out):
    sentence = refuses("import", prompted, "--out", out, "--format", "keras_hub", code=2)
    assert "soft_prompt: a preset for KerasHub has no place for a soft prompt" in sentence
    (prompted / "soft_prompt" / "adapter_model.safetensors").write_bytes(b"")
    assert "cannot read prompt_embeddings" in run_refused(refuses, prompted, out)


def test_a_recurrent_model_has_no_place_for_one_either(refuses, recurrent_folder, prompted, tmp_path, out):
    folder = shutil.copytree(recurrent_folder, tmp_path / "recurrent")
    shutil.copytree(prompted / "soft_prompt", folder / "soft_prompt")
    sentence = refuses("import", folder, "--out", out, code=2)
    assert re.search("a model of type (lstm|gru) has no place for a soft prompt; import a copy", sentence)


def test_how_to_generate_comes_along(run, model_folder, tmp_path, out):
    folder = shutil.copytree(model_folder, tmp_path / "talkative")
    settings = {"do_sample": True, "temperature": 0.7, "top_p": 0.9, "max_new_tokens": 9}
    (folder / "generation_config.json").write_text(json.dumps(settings))
    assert run("import", folder, "--out", out).code == 0
    written = json.loads((out / "generation_config.json").read_text())
    assert {name: written[name] for name in settings} == settings


def test_what_is_imported_writes_text(run, model_folder, out):
    assert run("import", model_folder, "--out", out).code == 0
    texts = [
        run("generate", folder, "--prompt", "ROMEO:", "--engine", "keras", "--max-new-tokens", "5").out
        for folder in (model_folder, out)
    ]
    assert texts[0] == texts[1] != ""


def test_half_precision_becomes_the_same_numbers_in_float32(run, model_folder, tmp_path, out):
    folder = shutil.copytree(model_folder, tmp_path / "half")
    arrays = {
        name: array.astype("float16") for name, array in load_file(folder / "model.safetensors").items()
    }
    save_file(arrays, folder / "model.safetensors")
    assert run("import", folder, "--out", out).code == 0
    found = load_file(out / "model.safetensors")
    assert all(np.array_equal(found[name], array) for name, array in arrays.items())
    assert {array.dtype.name for array in found.values()} == {"float32"}


@pytest.fixture
def without_tokenizer(model_folder, tmp_path):
    folder = tmp_path / "bare"
    folder.mkdir()
    for name in DATA:
        shutil.copy(model_folder / name, folder)
    return folder


@pytest.mark.parametrize(("named", "is_told"), [(None, False), (7, True)])
def test_texts_end_where_the_tokenizer_says(run, model_folder, tmp_path, out, named, is_told):
    tokenizer = Tokenizer.from_preset(model_folder)
    learned = Tokenizer.from_merges(tokenizer.merges[:-1], ["</s>"])  # beside it, as many ids
    source = tmp_path / "source"
    shutil.copytree(model_folder, source)
    Tokenizer(learned.vocabulary, learned.merges, end_of_text="</s>").save_to_preset(source)
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps({**config, "bos_token_id": named, "eos_token_id": named}))
    outcome = run("import", source, "--out", out)
    assert outcome.code == 0
    assert ("eos_token_id 7 is no special token; texts end with </s>" in outcome.err) == is_told
    for name in ("config.json", "generation_config.json"):
        content = json.loads((out / name).read_text())
        assert (content["bos_token_id"], content["eos_token_id"]) == (learned.vocabulary["</s>"],) * 2


def test_further_ends_of_texts_are_told(run, model_folder, tmp_path, out):
    source = shutil.copytree(model_folder, tmp_path / "source")
    settings = json.loads((source / "generation_config.json").read_text())
    ends = [Tokenizer.from_preset(source).end_of_text_id, 10, 13]
    (source / "generation_config.json").write_text(json.dumps({**settings, "eos_token_id": ends}))
    outcome = run("import", source, "--out", out)
    assert outcome.code == 0
    assert "ends texts with the ids [10, 13] too, and here <|endoftext|> alone ends them" in outcome.err


def test_without_a_tokenizer_it_says_so(run, without_tokenizer, out):
    outcome = run("import", without_tokenizer, "--out", out)
    assert outcome.code == 0
    assert "tokenizer: none there, and none written: GPT-2's has not 300 ids" in outcome.err
    assert {path.name for path in out.iterdir()} == set(DATA)


def test_gpt2s_own_tokenizer_is_written_where_it_fits(run, tmp_path, out):
    config = GPT2Config(max_sequence_length=4, num_layers=1, num_heads=1, hidden_dim=2)
    GPT2CausalLM(config).save_to_preset(tmp_path / "small")
    outcome = run("import", tmp_path / "small", "--out", out)
    assert "none there; GPT-2's own is written, which has as many ids" in outcome.err
    assert Tokenizer.from_preset(out).encode("Hello world") == [15496, 995]


def test_a_tokenizer_of_a_larger_model_is_refused(refuses, model_folder, tmp_path, out):
    folder = shutil.copytree(model_folder, tmp_path / "wrong")
    GPT2CausalLM(GPT2Config(260, 4, 1, 1, 4)).save_to_preset(folder)
    sentence = run_refused(refuses, folder, out)
    assert "its tokenizer has 300 ids, its model only 260" in sentence


def run_refused(refuses, source, out) -> str:
    """The last sentence of an import that fails and leaves nothing."""
    sentence = refuses("import", source, "--out", out, code=1)
    assert not out.exists()
    assert not [path for path in out.parent.iterdir() if path.name.startswith(".")]
    return sentence


def test_what_is_there_is_not_overwritten(refuses, model_folder, out):
    out.mkdir()
    assert "imported: exists already" in refuses("import", model_folder, "--out", out, code=2)
    assert not any(out.iterdir())


def test_a_name_is_no_source(refuses, out):
    """A preset has no weights to import."""
    assert "gpt2: no such folder" in run_refused(refuses, "gpt2", out)


def test_a_pickle_is_refused_with_the_way_out(refuses, without_tokenizer, out):
    (without_tokenizer / "model.safetensors").rename(without_tokenizer / "pytorch_model.bin")
    assert "weights_only=True" in run_refused(refuses, without_tokenizer, out)


def test_another_model_is_refused(refuses, without_tokenizer, out):
    path = without_tokenizer / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_type": "llama"}))
    assert "model_type is 'llama'" in run_refused(refuses, without_tokenizer, out)


def test_a_missing_library_is_asked_for(refuses, without, model_folder, out):
    without("keras")
    sentence = run_refused(refuses, model_folder, out)
    assert "importing needs keras, which is not installed: pip install 'kerasgpt[train]'" in sentence


@pytest.mark.parametrize("damage", ["cut", "nan"])
def test_damaged_weights_leave_nothing(run, without_tokenizer, out, damage):
    path = without_tokenizer / "model.safetensors"
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-1])
    else:
        arrays = load_file(path)
        arrays["transformer.ln_f.bias"][0] = np.nan
        save_file(arrays, path)
    outcome = run("import", without_tokenizer, "--out", out)
    assert (outcome.code, outcome.out) == (1, "")
    named = {
        "cut": "model.safetensors: cannot read",
        "nan": "transformer.ln_f.bias holds numbers that are not",
    }
    assert named[damage] in outcome.err.splitlines()[-1]
    assert not out.exists()


@pytest.mark.parametrize("room_bytes", [1000, 40_000])
def test_a_full_disk_leaves_nothing(run, model_folder, out, full_disk, room_bytes):
    with full_disk(room_bytes):
        outcome = run("import", model_folder, "--out", out)
    assert outcome.code == 1
    assert outcome.err.splitlines()[-1].startswith(f"kerasgpt: {out}: cannot write (")
    assert not any(out.parent.iterdir())
