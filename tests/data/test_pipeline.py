"""Batches: shifted labels, every token once, a pure function of the step."""

import keras
import numpy as np
import pytest

from kerasgpt.data.pipeline import TokenDataset, dataset
from kerasgpt.errors import KerasGPTError, UsageError
from kerasgpt.tokenizer.bpe import Tokenizer

TEXT = "".join(f"Line {number}: to be, or not to be.\n" for number in range(300))


def _labels_seen(batches):
    return np.concatenate([labels[weights > 0] for _, labels, weights in batches])


@pytest.mark.parametrize("num_ids", [2, 9, 17, 100, 101])
@pytest.mark.parametrize("length", [1, 7, 16])
@pytest.mark.parametrize("batch_size", [1, 3, 8])
@pytest.mark.parametrize("seed", [None, 5])
def test_every_id_but_the_first_is_a_label_once_an_epoch(num_ids, length, batch_size, seed):
    data = TokenDataset(np.arange(num_ids), length, batch_size, seed)
    for epoch in range(3):
        steps = range(epoch * data.steps_per_epoch, (epoch + 1) * data.steps_per_epoch)
        labels = _labels_seen([data.batch(step) for step in steps])
        assert sorted(labels.tolist()) == list(range(1, num_ids))


def test_labels_are_the_next_ids_and_shapes_never_change():
    data = TokenDataset(np.arange(50, dtype=np.uint16), 8, 4, seed=1)
    for ids, labels, weights in data:
        assert ids.shape == labels.shape == weights.shape == (4, 8)
        assert (ids.dtype, labels.dtype, weights.dtype) == (np.int32, np.int32, np.float32)
        np.testing.assert_array_equal((ids + 1)[weights > 0], labels[weights > 0])
        assert set(np.unique(weights)) <= {0.0, 1.0}


def test_a_batch_depends_on_the_seed_and_the_step_alone():
    def make(seed, **kwargs):
        return TokenDataset(np.arange(200), 8, 4, seed, **kwargs)

    forward = [make(3).batch(step) for step in range(20)]
    again = make(3)
    for step in reversed(range(20)):
        np.testing.assert_array_equal(again.batch(step)[0], forward[step][0])
    resumed = make(3, first_step=11, num_steps=9)
    assert len(resumed) == 9
    for (ids, _, _), (expected, _, _) in zip(resumed, forward[11:], strict=True):
        np.testing.assert_array_equal(ids, expected)
    assert any((make(4).batch(step)[0] != forward[step][0]).any() for step in range(5))


def test_epochs_differ_in_offset_and_order():
    data = TokenDataset(np.arange(1000), 16, 4, seed=0)
    plans = [data._plan_of(epoch) for epoch in range(5)]
    assert len({offset for offset, _ in plans}) > 1
    assert all((plans[0][1] != order).any() for _, order in plans[1:])


def test_without_a_seed_windows_are_consecutive():
    batches = list(TokenDataset(np.arange(20), 4, 2, seed=None))
    ids = np.concatenate([ids[weights > 0] for ids, _, weights in batches])
    np.testing.assert_array_equal(ids, np.arange(19))


def test_fit_goes_on_to_new_epochs_and_sees_each_token_once_in_each(monkeypatch):
    seen = []
    original = TokenDataset.batch
    monkeypatch.setattr(TokenDataset, "batch", lambda self, step: seen.append(step) or original(self, step))
    data = TokenDataset(np.arange(60) % 7, 8, 2, seed=0)
    model = keras.Sequential([keras.layers.Embedding(7, 7)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False)
    model.fit(data, epochs=3, shuffle=False, verbose=0)
    assert set(range(3 * len(data))) <= set(seen)
    last_epoch = seen[-len(data) :]
    assert max(last_epoch) >= 2 * len(data)


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    monkeypatch.setenv("KERASGPT_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "corpus.txt"
    path.write_text(TEXT)
    return path


def test_raw_text_comes_out_as_batches_that_never_cross_the_split(corpus):
    tokenizer = Tokenizer.learn([TEXT], 280)
    texts = {}
    for part in ("train", "validation", "test"):
        data = dataset(corpus, tokenizer, 16, 4, split=part, validation_fraction=0.2, test_fraction=0.1)
        texts[part] = tokenizer.decode(data.ids.tolist())
    assert "".join(texts.values()) == TEXT
    validation = dataset(corpus, tokenizer, 16, 4, split="validation", validation_fraction=0.2)
    assert tokenizer.decode(_labels_seen(validation).tolist()) == TEXT[-round(0.2 * len(TEXT)) :]


def test_bad_requests_are_sentences(corpus):
    tokenizer = Tokenizer.learn([TEXT], 280)
    with pytest.raises(UsageError, match="did you mean 'train'"):
        dataset(corpus, tokenizer, 16, 4, split="trian")
    with pytest.raises(KerasGPTError, match="tokens, and one window takes 100001: give more text"):
        dataset([corpus], tokenizer, 100_000, 4)
    with pytest.raises(KerasGPTError, match="holds no text"):
        dataset(corpus, tokenizer, 16, 4, split="test")
    with pytest.raises(UsageError, match="at least 1 each"):
        dataset(corpus, tokenizer, 16, 0)
