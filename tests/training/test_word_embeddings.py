"""Token embeddings from word vectors: the right rows, width and size, and what is refused."""

import numpy as np
import pytest

from kerasgpt.config import GPT2Config
from kerasgpt.errors import KerasGPTError, UsageError
from kerasgpt.models.gpt2 import GPT2CausalLM
from kerasgpt.tokenizer.bpe import Tokenizer
from kerasgpt.training.config import Recipe
from kerasgpt.training.train import train
from kerasgpt.training.word_embeddings import projected, scaled, start_from_word_vectors, words_of

TEXT = "to be or not to be, to be or not to be: The the The the né né né né"


@pytest.fixture
def tokenizer():
    return Tokenizer.learn([TEXT], 280, minimum_frequency=1)


def _model(tokenizer, width=4):
    model = GPT2CausalLM(GPT2Config(tokenizer.vocabulary_size, 8, 1, 2, width))
    model.build()
    return model


def _file(tmp_path, words, width=4):
    rows = np.random.default_rng(0).normal(size=(len(words), width)).round(4)
    lines = (f"{word} {' '.join(map(str, row))}\n" for word, row in zip(words, rows, strict=True))
    (tmp_path / "v.vec").write_text(f"{len(words)} {width}\n" + "".join(lines), encoding="utf-8")
    return tmp_path / "v.vec", rows


def _table(model):
    return np.array(model.backbone.embedding.token_embedding.embeddings.numpy())


def test_a_piece_stands_for_its_word_with_and_without_its_space():
    assert words_of("Ġto") == words_of("to") == ("to",)
    assert words_of("ĠThe") == ("The", "the")
    assert words_of("nÃ©") == ("né",)
    assert words_of("Ã") == ()  # half of a character
    assert words_of("Ġ") == ()
    assert words_of("<|im_end|>", "<|im_end|>") == ("</s>",)


def test_words_found_get_their_vectors_and_all_other_pieces_stay(tokenizer, tmp_path):
    model = _model(tokenizer)
    before = _table(model)
    path, rows = _file(tmp_path, ["to", "né", "the", "</s>", "stranger"])
    coverage = start_from_word_vectors(model, tokenizer, path)
    after, pieces = _table(model), tokenizer.vocabulary
    changed = {piece for piece, row in pieces.items() if (after[row] != before[row]).any()}
    words = {"Ġto", "ĠThe", "Ġthe", "ĠnÃ©", "to", "The", "the", "nÃ©"}
    expected = (words | {"<|endoftext|>"}) & pieces.keys()
    assert changed == expected
    assert {"Ġto", "Ġthe"} <= expected
    assert coverage.num_found == len(expected)
    # One affine map takes the file's vectors to the model's: differences keep their proportions.
    ours = after[pieces["Ġto"]] - after[pieces["ĠnÃ©"]]
    theirs = rows[0] - rows[1]
    np.testing.assert_allclose(ours / np.linalg.norm(ours), theirs / np.linalg.norm(theirs), atol=1e-5)
    filled = after[[pieces[piece] for piece in expected]]
    assert np.sqrt(np.square(filled).mean()) == pytest.approx(0.02, rel=1e-5)
    share = f"{len(expected) / len(pieces):.0%}"
    assert coverage.sentence == f"{path}: vectors of {len(expected)} of {len(pieces)} pieces ({share})"


def test_a_capital_falls_back_on_small_letters_only_where_the_file_lacks_it(tokenizer, tmp_path):
    model = _model(tokenizer)
    path, _ = _file(tmp_path, ["the", "The", "to"])
    start_from_word_vectors(model, tokenizer, path)
    table, pieces = _table(model), tokenizer.vocabulary
    assert (table[pieces["ĠThe"]] != table[pieces["Ġthe"]]).any()
    path, _ = _file(tmp_path, ["the", "to"])
    start_from_word_vectors(model, tokenizer, path)
    table = _table(model)
    np.testing.assert_array_equal(table[pieces["ĠThe"]], table[pieces["Ġthe"]])


def test_wider_keeps_all_distances_and_narrower_the_principal_ones():
    vectors = np.random.default_rng(1).normal(size=(50, 3)).astype("float32") * [5, 1, 0.01]
    wide = projected(vectors, 7)
    np.testing.assert_allclose(_distances(wide), _distances(vectors), atol=1e-4)
    narrow = projected(vectors, 2)
    assert narrow.shape == (50, 2)
    assert np.square(narrow).sum() == pytest.approx(np.square(vectors - vectors.mean(0)).sum(), rel=1e-4)
    np.testing.assert_array_equal(projected(vectors, 7, seed=3), projected(vectors, 7, seed=3))
    assert (projected(vectors, 7, seed=3) != wide).any()


def _distances(vectors):
    return np.linalg.norm(vectors[:, None] - vectors[None], axis=-1)


def test_scaled_changes_the_size_alone():
    vectors = np.array([[3.0, -4.0], [0.0, 1.0]], np.float32)
    found = scaled(vectors, 0.02)
    assert np.sqrt(np.square(found).mean()) == pytest.approx(0.02)
    np.testing.assert_allclose(found[0] / found[0, 0], vectors[0] / 3)


def test_large_vectors_keep_their_directions_and_a_single_one_is_there(tokenizer, tmp_path):
    vectors = np.random.default_rng(2).normal(size=(5, 4)).astype(np.float32)
    large = scaled(projected(vectors * np.float32(1e25), 4), 0.02)
    np.testing.assert_allclose(large, scaled(projected(vectors, 4), 0.02), rtol=1e-4)
    path, _ = _file(tmp_path, ["to", "stranger"])
    model = _model(tokenizer)
    start_from_word_vectors(model, tokenizer, path)
    assert _table(model)[tokenizer.vocabulary["Ġto"]].any()


def test_another_end_of_text_has_the_vector_of_its_end(tokenizer, tmp_path):
    learned = Tokenizer.from_merges(tokenizer.merges, ["<|im_end|>"])
    other = Tokenizer(learned.vocabulary, learned.merges, end_of_text="<|im_end|>")
    model = _model(other)
    before = _table(model)
    start_from_word_vectors(model, other, _file(tmp_path, ["</s>", "stranger"])[0])
    assert np.flatnonzero((_table(model) != before).any(axis=1)).tolist() == [other.end_of_text_id]


def test_vectors_of_another_language_are_refused(tokenizer, tmp_path):
    path, _ = _file(tmp_path, ["北京", "上海"])
    with pytest.raises(KerasGPTError, match="none of its 2 words is a piece of the vocabulary"):
        start_from_word_vectors(_model(tokenizer), tokenizer, path)


@pytest.mark.parametrize("is_frozen", [True, False])
def test_a_run_starts_from_them_and_keeps_them_where_told(is_frozen, recipe, tmp_path, capsys):
    path, _ = _file(tmp_path, ["t", "o", "absent"], width=3)
    freeze = ["train.freeze=['wte.weight']"] if is_frozen else []
    settings = recipe(f"model.word_vectors={path}", *freeze)
    run = train(settings, tmp_path / "run")
    assert f"{path}: vectors of " in capsys.readouterr().err
    model = GPT2CausalLM.from_preset(run.model_folder)
    tokenizer = Tokenizer.from_preset(run.model_folder)
    ids = [tokenizer.vocabulary["t"], tokenizer.vocabulary["o"]]
    fresh = GPT2CausalLM(model.config)
    fresh.build()
    start_from_word_vectors(fresh, tokenizer, path)
    assert np.array_equal(_table(model)[ids], _table(fresh)[ids]) == is_frozen
    assert f'word_vectors = "{path}"' in (run.folder / "config.toml").read_text()


def test_a_model_that_is_trained_already_gets_none():
    with pytest.raises(UsageError, match=r"model.word_vectors 'v.vec' and model.init 'x'"):
        Recipe.from_dict({"model": {"word_vectors": "v.vec", "init": "x"}})
