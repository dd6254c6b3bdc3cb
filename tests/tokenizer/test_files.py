"""Files in Hugging Face form: what is read, and what is refused rather than read wrongly."""

import json

import pytest

from kerasgpt.artifacts import (
    ADDED_TOKENS,
    MERGES,
    SPECIAL_TOKENS_MAP,
    TOKENIZER,
    TOKENIZER_CONFIG,
    VOCABULARY,
)
from kerasgpt.errors import KerasGPTError
from kerasgpt.manifest import Manifest
from kerasgpt.tokenizer import files
from kerasgpt.tokenizer.bpe import Tokenizer

TEXT = "the rain in the plain"


def test_both_forms_say_the_same(folder):
    whole = files.read(folder)
    (folder / TOKENIZER).unlink()
    parts = files.read(folder)
    assert (parts.vocabulary, parts.merges) == (whole.vocabulary, whole.merges)
    assert {*parts.special_tokens, parts.end_of_text} == set(whole.special_tokens)
    assert whole.special_tokens == ["<|x|>", "<|endoftext|>"]


def test_tokens_that_transformers_kept_apart_are_special(folder):
    (folder / TOKENIZER).unlink()
    size = len(files.read(folder).vocabulary)
    (folder / ADDED_TOKENS).write_text(json.dumps({"<|pad|>": size}))
    path = folder / SPECIAL_TOKENS_MAP
    path.write_text(json.dumps({**json.loads(path.read_text()), "pad_token": "<|pad|>"}))
    contents = files.read(folder)
    assert contents.vocabulary["<|pad|>"] == size
    assert contents.special_tokens == ["<|pad|>", "<|x|>", "<|endoftext|>"]
    assert contents.roles["pad_token"] == "<|pad|>"


def test_added_tokens_need_not_be_in_the_vocabulary(folder):
    content = json.loads((folder / TOKENIZER).read_text())
    index = content["model"]["vocab"].pop("<|endoftext|>")
    (folder / TOKENIZER).write_text(json.dumps(content))
    assert files.read(folder).vocabulary["<|endoftext|>"] == index


@pytest.mark.parametrize("name", [TOKENIZER_CONFIG, SPECIAL_TOKENS_MAP])
@pytest.mark.parametrize(
    ("token", "expected"),
    [
        ("<|x|>", "<|x|>"),
        ({"content": "<|x|>", "lstrip": False}, "<|x|>"),
        ("<|endoftext|>", "<|endoftext|>"),
        (None, "<|endoftext|>"),
        ("</s>", "<|endoftext|>"),  # not in the vocabulary
        ("in", "<|endoftext|>"),  # ordinary text, as is a byte
        ("a", "<|endoftext|>"),
        (["<|x|>"], "<|endoftext|>"),
    ],
    ids=str,
)
def test_the_end_of_text_is_the_one_that_the_settings_name(folder, name, token, expected):
    (folder / TOKENIZER_CONFIG).unlink()
    (folder / name).write_text(json.dumps({"eos_token": token}))
    assert files.read(folder).end_of_text == expected
    tokenizer = Tokenizer.from_preset(folder)
    assert tokenizer.end_of_text_id == tokenizer.vocabulary[expected]


def test_another_end_of_text_is_kept(folder):
    learned = Tokenizer.from_preset(folder)
    Tokenizer(learned.vocabulary, learned.merges, end_of_text="<|x|>").save_to_preset(folder)
    settings = json.loads((folder / TOKENIZER_CONFIG).read_text())
    assert {settings[name] for name in ("bos_token", "eos_token", "unk_token")} == {"<|x|>"}
    assert Tokenizer.from_preset(folder).end_of_text == "<|x|>"


def test_of_a_run_the_models_tokenizer_is_read_and_of_a_model_its_own(folder, tmp_path):
    other = tmp_path / "model"
    Tokenizer.learn(["other text"] * 2, 262).save_to_preset(other)
    assert Tokenizer.from_preset(folder).vocabulary_size != Tokenizer.from_preset(other).vocabulary_size
    for name in (TOKENIZER, VOCABULARY, MERGES):
        (folder / name).unlink()
    assert Tokenizer.from_preset(folder).vocabulary == Tokenizer.from_preset(other).vocabulary


def test_damaged_settings_are_named(folder):
    (folder / TOKENIZER_CONFIG).write_text("{")
    with pytest.raises(KerasGPTError, match=rf"{TOKENIZER_CONFIG}: cannot read \(not valid JSON"):
        Tokenizer.from_preset(folder)


TEMPLATE = {
    "type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<|x|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
}
OTHER_KINDS = [
    ({"model": {"type": "WordPiece"}}, "its model is not BPE"),
    ({"pre_tokenizer": {"type": "Whitespace"}}, "its model is not BPE over a ByteLevel"),
    ({"pre_tokenizer": None}, "its model is not BPE over a ByteLevel"),
    ({"pre_tokenizer": {"add_prefix_space": True}}, "add_prefix_space false"),
    ({"pre_tokenizer": {"use_regex": False}}, "use_regex true"),
    ({"normalizer": {"type": "NFC"}}, "has a normalizer"),
    ({"post_processor": TEMPLATE}, "its post_processor adds tokens to each text"),
    ({"post_processor": {"type": "Sequence", "processors": [TEMPLATE]}}, "adds tokens to each text"),
    ({"post_processor": {"type": "RobertaProcessing"}}, "adds tokens to each text"),
    ({"model": {"ignore_merges": True}}, "sets ignore_merges"),
    ({"model": {"byte_fallback": True}}, "sets byte_fallback"),
    ({"model": {"dropout": 0.1}}, "sets dropout"),
    ({"model": {"end_of_word_suffix": "</w>"}}, "sets end_of_word_suffix"),
    ({"model": {"merges": [["a"]]}}, "cannot read as a byte-level BPE"),
    ({"model": {"merges": ["a b c"]}}, "cannot read as a byte-level BPE"),
    ({"model": {"merges": [["a", 1]]}}, r'the merge \["a", 1\] is not a pair of pieces'),
    ({"model": {"merges": [[["a"], ["b"]]]}}, "is not a pair of pieces"),
    ({"model": {"merges": [7]}}, "the merge 7 is not a pair of pieces"),
    ({"model": {"vocab": {"a": "0"}}}, 'the id of "a" is "0", not an integer'),
    ({"model": {"vocab": {"a": None}}}, 'the id of "a" is null, not an integer'),
    ({"model": {"vocab": {"a": [1]}}}, r'the id of "a" is \[1\], not an integer'),
    ({"model": {"vocab": {"a": True}}}, 'the id of "a" is true, not an integer'),
    ({"model": {"vocab": [["a", 0]]}}, "its vocabulary is a JSON list, not an object"),
    ({"model": []}, "cannot read as a byte-level BPE"),
    ({"added_tokens": [{"content": "word", "id": 5, "special": False}]}, "'word' is not a plain special"),
    (
        {"added_tokens": [{"content": "<m>", "id": 5, "special": True, "lstrip": True}]},
        "'<m>' is not a plain",
    ),
    ({"added_tokens": [{"id": 5}]}, "cannot read as a byte-level BPE"),
    ({"added_tokens": [{"content": ["m"], "id": 5, "special": True}]}, "has no name that is a string"),
    ({"added_tokens": [{"content": "<m>", "id": "5", "special": True}]}, "or no id"),
]


@pytest.mark.parametrize(("change", "sentence"), OTHER_KINDS)
def test_other_kinds_of_tokenizer_are_refused(folder, change, sentence):
    content = json.loads((folder / TOKENIZER).read_text())
    for name, value in change.items():
        merged = isinstance(value, dict) and isinstance(content[name], dict)
        content[name] = {**content[name], **value} if merged else value
    (folder / TOKENIZER).write_text(json.dumps(content))
    with pytest.raises(KerasGPTError, match=sentence) as caught:
        files.read(folder)
    assert str(folder / TOKENIZER) in str(caught.value)


def test_a_token_for_bytes_that_are_not_there_is_refused(folder):
    content = json.loads((folder / TOKENIZER).read_text())
    content["model"]["unk_token"] = "<|x|>"
    (folder / TOKENIZER).write_text(json.dumps(content))
    assert files.read(folder).vocabulary  # with all bytes there nothing is unknown
    del content["model"]["vocab"]["Z"]
    (folder / TOKENIZER).write_text(json.dumps(content))
    with pytest.raises(KerasGPTError, match="writes unk_token for bytes that its vocabulary lacks"):
        files.read(folder)


def test_pieces_that_end_words_are_another_kinds(folder):
    (folder / TOKENIZER).unlink()
    with (folder / MERGES).open("a") as file:
        file.write("< /\n</ w\n</w >\n")  # a piece of ordinary text
    assert files.read(folder).merges[-1] == ("</w", ">")
    with (folder / MERGES).open("a") as file:
        file.write("q </w>\nt he</w>\n")
    with pytest.raises(KerasGPTError, match=f"{MERGES}: its pieces end words, as 'he</w>' does"):
        files.read(folder)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (VOCABULARY, "[1"),
        (VOCABULARY, "[1]"),
        (VOCABULARY, '{"a": null}'),
        (VOCABULARY, "[" * 100_000),
        (MERGES, "a b c"),
        (MERGES, "a b\n#version: 0.2 c\n"),
        (ADDED_TOKENS, "7"),
        (ADDED_TOKENS, '{"a": "7"}'),
    ],
)
def test_damaged_files_are_named(folder, name, content):
    (folder / TOKENIZER).unlink()
    (folder / name).write_text(content)
    with pytest.raises(KerasGPTError, match=f"{name}: (cannot read|holds a JSON)"):
        files.read(folder)


@pytest.mark.parametrize("version", ["#version: 0.2\n", ""])
def test_only_the_first_line_is_the_version(tmp_path, version):
    (tmp_path / MERGES).write_text(f"{version}# v\n#v ersion\n#version s\n")
    assert files.read_merges(tmp_path / MERGES) == [("#", "v"), ("#v", "ersion"), ("#version", "s")]


@pytest.mark.parametrize("name", [TOKENIZER, VOCABULARY, MERGES])
def test_a_bundles_tokenizer_lies_in_it(folder, tmp_path_factory, name):
    """Listed in the manifest or not."""
    outside = tmp_path_factory.mktemp("outside") / name
    if name != TOKENIZER:
        (folder / TOKENIZER).unlink()
    Manifest({}, ["onnx"]).write(folder)
    assert files.read(folder).merges
    (folder / name).rename(outside)
    (folder / name).symlink_to(outside)
    with pytest.raises(KerasGPTError, match=f"{name}: leads to .*, outside the bundle; refused"):
        files.read(folder)


def test_a_folder_without_any_is_refused(tmp_path):
    with pytest.raises(KerasGPTError, match=r"no tokenizer\.json, and no vocab\.json with merges\.txt"):
        files.read(tmp_path)


@pytest.mark.parametrize("name", [TOKENIZER_CONFIG, SPECIAL_TOKENS_MAP])
@pytest.mark.parametrize("token", ["<|x|>", {"content": "<|x|>", "lstrip": False}])
def test_tokens_that_the_settings_name_are_special_without_the_one_file(folder, name, token):
    (folder / TOKENIZER).unlink()
    for path in (folder / TOKENIZER_CONFIG, folder / SPECIAL_TOKENS_MAP):
        path.unlink()
    (folder / name).write_text(json.dumps({"additional_special_tokens": [token, "unknown", "t", 3]}))
    assert files.read(folder).special_tokens == ["<|x|>"]
