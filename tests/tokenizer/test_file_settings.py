"""The settings beside a vocabulary: what is special, what it is for, and what would change a text's ids."""

import copy
import json

import pytest

from kerasgpt.artifacts import ADDED_TOKENS, SPECIAL_TOKENS_MAP, TOKENIZER, TOKENIZER_CONFIG
from kerasgpt.errors import KerasGPTError
from kerasgpt.tokenizer import files
from kerasgpt.tokenizer.bpe import Tokenizer
from kerasgpt.tokenizer.file_settings import Settings

TEXT = "the rain in the plain"


def change(path, **values):
    """Change some values of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_special_tokens_are_named_in_lists_objects_and_roles(tmp_path):
    content = {
        "additional_special_tokens": ["<a>", {"content": "<b>"}, 7],
        "extra_special_tokens": {"image_token": "<c>"},
        "added_tokens_decoder": {"0": {"content": "<d>", "special": True}, "1": {"content": "e"}, "2": 3},
        "pad_token": {"content": "<f>", "lstrip": False},
        "eos_token": "<g>",
        "unk_token": None,
    }
    (tmp_path / TOKENIZER_CONFIG).write_text(json.dumps(content))
    (tmp_path / SPECIAL_TOKENS_MAP).write_text(json.dumps({"pad_token": "<h>", "cls_token": "<a>"}))
    settings = Settings.read(tmp_path)
    assert settings.special() == ["<a>", "<b>", "<c>", "<d>", "<f>", "<h>", "<g>"]
    assert settings.named("pad_token") == ["<f>", "<h>"]
    assert settings.named("unk_token") == []
    assert settings.added() == {"<d>": 0, "e": 1}


def test_a_folder_without_settings_names_nothing(tmp_path):
    assert Settings.read(tmp_path).special() == []


def test_tokens_kept_apart_that_nobody_calls_special_are_refused(folder):
    (folder / TOKENIZER).unlink()
    (folder / ADDED_TOKENS).write_text(json.dumps({"word": len(files.read(folder).vocabulary)}))
    with pytest.raises(KerasGPTError, match="'word' is not a plain special token, or none of"):
        files.read(folder)
    token = {"content": "word", "special": True, "lstrip": False}
    change(folder / TOKENIZER_CONFIG, added_tokens_decoder={"271": token})
    assert "word" in files.read(folder).special_tokens
    change(folder / TOKENIZER_CONFIG, added_tokens_decoder={"271": {**token, "lstrip": True}})
    with pytest.raises(KerasGPTError, match="'word' is not a plain special token"):
        files.read(folder)


def test_tokens_that_only_the_settings_give_an_id_are_there(folder):
    (folder / TOKENIZER).unlink()
    size, pad = len(files.read(folder).vocabulary), {"content": "<|pad|>", "special": True}
    there = {"content": "<|endoftext|>", "special": True}
    change(folder / TOKENIZER_CONFIG, added_tokens_decoder={str(size): pad, "3": there})
    contents = files.read(folder)
    assert contents.vocabulary["<|pad|>"] == size
    assert contents.vocabulary["<|endoftext|>"] != 3  # the vocabulary's own
    assert Tokenizer.from_preset(folder).encode("<|pad|>", allowed_special="all") == [size]
    change(folder / TOKENIZER_CONFIG, added_tokens_decoder={"3": pad, "9" * 5000: there})
    with pytest.raises(KerasGPTError, match=r"has the id 3 for '.*', and the settings beside it for '<\|pad"):
        files.read(folder)
    change(folder / TOKENIZER_CONFIG, added_tokens_decoder={str(size): {**pad, "special": False}})
    with pytest.raises(
        KerasGPTError, match=rf"{TOKENIZER_CONFIG}: its added token '<\|pad\|>' is not a plain"
    ):
        files.read(folder)


@pytest.mark.parametrize("form", ["one file", "two files"])
def test_what_tokens_are_for_is_kept(tmp_path, form):
    names = {"bos_token": "<s>", "unk_token": "<unk>", "pad_token": "<pad>", "eos_token": "</s>"}
    learned = Tokenizer.learn([TEXT] * 2, 274, special_tokens=list(names.values()))
    Tokenizer(learned.vocabulary, learned.merges, learned.special_tokens).save_to_preset(tmp_path / "old")
    if form == "two files":
        (tmp_path / "old" / TOKENIZER).unlink()
    for name in (TOKENIZER_CONFIG, SPECIAL_TOKENS_MAP):
        (tmp_path / "old" / name).write_text(json.dumps(names))
    tokenizer = Tokenizer.from_preset(tmp_path / "old")
    ids = [tokenizer.vocabulary[name] for name in ("<s>", "<pad>", "</s>")]
    assert tokenizer.decode([ids[0], *tokenizer.encode("the"), *ids[1:]]) == "the"
    assert tokenizer.encode("<s>", allowed_special=["<s>"]) == ids[:1]
    for again in (tokenizer, copy.deepcopy(tokenizer)):
        again.save_to_preset(tmp_path / "new")
        for name in (TOKENIZER_CONFIG, SPECIAL_TOKENS_MAP):
            written = json.loads((tmp_path / "new" / name).read_text())
            assert {role: written[role] for role in names} == names
            assert not {*names.values()} & {*written.get("additional_special_tokens", [])}


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ({"tokenizer_class": "CLIPTokenizer"}, "its tokenizer_class is CLIPTokenizer, which splits"),
        ({"tokenizer_class": "RobertaTokenizerFast"}, "its tokenizer_class is RobertaTokenizerFast"),
        ({"do_lower_case": True}, "sets do_lower_case"),
    ],
)
def test_another_kind_is_refused_where_nothing_else_says_how_it_splits(folder, setting, sentence):
    change(folder / TOKENIZER_CONFIG, **setting)
    whole = Tokenizer.from_preset(folder)  # tokenizer.json says it
    (folder / TOKENIZER).unlink()
    with pytest.raises(KerasGPTError, match=f"{TOKENIZER_CONFIG}: {sentence}"):
        Tokenizer.from_preset(folder)
    change(folder / TOKENIZER_CONFIG, tokenizer_class="GPT2TokenizerFast", do_lower_case=False)
    assert Tokenizer.from_preset(folder).vocabulary == whole.vocabulary


@pytest.mark.parametrize("form", ["one file", "two files"])
@pytest.mark.parametrize("setting", ["add_prefix_space", "add_bos_token"])
def test_what_puts_something_before_each_text_is_refused(folder, setting, form):
    if form == "two files":
        (folder / TOKENIZER).unlink()
    change(folder / TOKENIZER_CONFIG, **{setting: True})
    with pytest.raises(KerasGPTError, match=f"{TOKENIZER_CONFIG}: sets {setting}, and GPT-2 puts nothing"):
        Tokenizer.from_preset(folder)
