"""`kerasgpt tokenizer`: learn, encode and decode, against the tokenizers library itself."""

import json
import os

import pytest
import tokenizers

TEXT = "Hello  world\n\n naïve 北京 🙂 <|endoftext|> don't\n"


@pytest.fixture
def data(tmp_path, shakespeare):
    (tmp_path / "text.txt").write_text(shakespeare)
    return tmp_path / "text.txt"


@pytest.fixture
def learned(run, data, tmp_path):
    outcome = run("tokenizer", "train", "--data", data, "--vocabulary-size", 320, "--out", tmp_path / "bpe")
    assert (outcome.code, outcome.out) == (0, "")
    assert "320 ids, 63 merges" in outcome.err
    return tmp_path / "bpe"


def test_what_it_learns_the_library_reads(run, learned, shakespeare):
    theirs = tokenizers.Tokenizer.from_file(str(learned / "tokenizer.json"))
    assert theirs.get_vocab_size() == 320
    assert theirs.token_to_id("<|endoftext|>") == 319
    text = shakespeare[:500]
    (row,) = run("tokenizer", "encode", learned, stdin=text).rows
    assert row == {"ids": theirs.encode(text).ids}


def test_encode_reads_the_whole_text_and_decode_gives_it_back(run):
    (row,) = run("tokenizer", "encode", "gpt2", stdin=TEXT).rows
    assert set(row) == {"ids"}
    assert 50256 not in row["ids"]  # a marker in the text is text
    assert run("tokenizer", "decode", "gpt2", stdin=json.dumps(row)).out == TEXT + "\n"


def test_encode_by_lines(run):
    rows = run("tokenizer", "encode", "gpt2", "--lines", stdin="Hello world\n\nthe\n").rows
    assert rows == [{"ids": [15496, 995]}, {"ids": []}, {"ids": [1169]}]


def test_decode_shows_special_tokens(run):
    outcome = run("tokenizer", "decode", "gpt2", stdin='{"ids": [15496, 50256]}\n{"ids": []}\n')
    assert outcome.out == "Hello<|endoftext|>\n\n"


def test_special_tokens_are_learned_and_recognised_when_asked_for(run, data, tmp_path):
    arguments = ("--vocabulary-size", 300, "--special-token", "<|user|>", "--out", tmp_path / "bpe")
    assert run("tokenizer", "train", "--data", data, *arguments).code == 0
    text = "<|user|><|endoftext|>"

    def ids(*options):
        return run("tokenizer", "encode", tmp_path / "bpe", *options, stdin=text).rows[0]["ids"]

    assert ids("--allow-special", "all") == [298, 299]
    assert ids("--allow-special", "<|user|>") == [298, *ids()[-len(ids("--allow-special", "<|user|>")) + 1 :]]
    assert not {298, 299} & set(ids())


def test_nothing_is_special_about_empty_text(run):
    assert run("tokenizer", "encode", "gpt2").rows == [{"ids": []}]


def test_json_lines_are_data_too(run, tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "low lower lowest"}) + "\n")
    arguments = ("--vocabulary-size", 260, "--min-frequency", 1, "--out", tmp_path / "bpe")
    assert run("tokenizer", "train", "--data", tmp_path / "a.jsonl", *arguments).code == 0
    assert run("tokenizer", "encode", tmp_path / "bpe", stdin="low").rows == [{"ids": [257]}]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "cannot read (No such file or directory)"),
        (b"", "holds no text"),
        (b"ab\xffc", "not UTF-8 at byte 2"),
    ],
)
def test_bad_data_is_named_and_nothing_written(refuses, tmp_path, content, sentence):
    data = tmp_path / "bad.txt"
    if content is not None:
        data.write_bytes(content)
    out = tmp_path / "bpe"
    arguments = ("--data", data, "--vocabulary-size", 300, "--out", out)
    stderr = refuses("tokenizer", "train", *arguments, code=1)
    assert str(data) in stderr
    assert sentence in stderr
    assert not out.exists()


def test_errors_replace_goes_on(run, tmp_path):
    (tmp_path / "bad.txt").write_bytes(b"ab\xffc")
    arguments = ("--vocabulary-size", 260, "--errors", "replace", "--out", tmp_path / "bpe")
    assert run("tokenizer", "train", "--data", tmp_path / "bad.txt", *arguments).code == 0


def test_wrong_usage(refuses, data, tmp_path):
    arguments = ("--data", data, "--out", tmp_path / "bpe")
    sentence = refuses("tokenizer", "train", *arguments, "--vocabulary-size", 100, code=2)
    assert "256 bytes and <|endoftext|> need 257" in sentence
    assert not (tmp_path / "bpe").exists()
    assert "unknown special token" in refuses(
        "tokenizer", "encode", "gpt2", "--allow-special", "<|x|>", code=2
    )
    assert "No such command 'trian'" in refuses("tokenizer", "trian", code=2)


def test_bad_input_to_encode_and_decode(refuses, tmp_path):
    assert "not UTF-8 at byte 1" in refuses("tokenizer", "encode", "gpt2", stdin=b"a\xff", code=1)
    assert "give a folder that has one" in refuses("tokenizer", "encode", tmp_path, code=1)
    assert "line 1: not" in refuses("tokenizer", "decode", "gpt2", stdin="[1]", code=1)
    bad = ('{"ids": "123"}', '{"ids": [1.7]}', '{"ids": [true]}', '{"ids": [1e400]}', "[" * 100_000)
    for line in bad:
        assert "line 1: not" in refuses("tokenizer", "decode", "gpt2", stdin=line, code=1)
    assert "id 50257 is not in this vocabulary" in refuses(
        "tokenizer", "decode", "gpt2", stdin='{"ids": [50257]}', code=2
    )
    (tmp_path / "tokenizer.json").write_text("{}")
    assert "tokenizer.json: cannot read" in refuses("tokenizer", "decode", tmp_path, code=1)


@pytest.mark.parametrize("file", ["config.json", "kerasgpt.json", "config.toml"])
def test_the_tokenizer_of_a_model_is_not_written_over(refuses, data, tmp_path, file):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / file).write_text("{}")
    words = ("--data", data, "--vocabulary-size", 300, "--out", tmp_path / "model")
    sentence = refuses("tokenizer", "train", *words, code=2)
    assert "model: holds a model, to which its tokenizer belongs; choose another folder" in sentence
    assert os.listdir(tmp_path / "model") == [file]


def test_a_full_disk_leaves_the_tokenizer_that_was_there(run, learned, data, full_disk):
    before = {path.name: path.read_bytes() for path in learned.iterdir()}
    words = ("--data", data, "--vocabulary-size", 600, "--min-frequency", 1, "--out", learned)
    with full_disk(len(before["tokenizer.json"]) + 2000):
        outcome = run("tokenizer", "train", *words)
    assert outcome.code == 1
    assert "cannot write (" in outcome.err
    assert {path.name: path.read_bytes() for path in learned.iterdir()} == before
