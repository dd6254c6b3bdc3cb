"""Batches: shifted labels, every token once, a pure function of the step."""

import json
import time

import keras
import numpy as np
import pytest

from kerasgpt.config import GPT2Config
from kerasgpt.data.pipeline import TokenDataset, dataset
from kerasgpt.errors import KerasGPTError, UsageError
from kerasgpt.models.gpt2 import GPT2CausalLM
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
    epochs = [range(first, first + data.steps_per_epoch) for first in range(0, 5 * len(data), len(data))]
    starts = [[row[0] for step in steps for row in data.batch(step)[0].tolist()] for steps in epochs]
    assert len({min(set(row) - {0}) % 16 for row in starts}) > 1
    assert all(row != starts[0] for row in starts[1:])


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


def test_an_epoch_that_fit_only_looks_into_is_none():
    data = TokenDataset(np.arange(200), 8, 2, seed=0)
    first = [data.batch(step)[0] for step in range(2 * len(data))]
    for _ in range(2):  # JAX begins an epoch and drops it; TensorFlow looks at two batches before the first
        data.on_epoch_begin()
        np.testing.assert_array_equal(data[0][0], first[0])
    for epoch in range(2):
        data.on_epoch_begin()
        for step in range(len(data)):
            np.testing.assert_array_equal(data[step][0], first[epoch * len(data) + step])


def mixed(**kwargs):
    """Ids below 1000 of one sequence, above of another, a third as long."""
    return TokenDataset([np.arange(1, 900), np.arange(1001, 1300)], 8, 6, 2, weights=(2, 1), **kwargs)


def test_sequences_are_mixed_by_weight_and_each_is_gone_through_evenly():
    data = mixed()
    rows = [row for step in range(200) for row in zip(*data.batch(step), strict=True)]
    following = {899: 1, 1299: 1001}  # of the last one of a sequence the first
    for ids, labels, weights in rows:
        assert (weights == 1).all()
        assert [following.get(id, id + 1) for id in ids.tolist()] == labels.tolist()
    of_second = [ids.max() > 1000 or labels.max() > 1000 for ids, labels, _ in rows]
    for step in range(200):  # 2 to 1 in each batch
        assert sum(of_second[step * 6 : step * 6 + 6]) in (1, 2, 3)
    for first, last, slots in ((1, 899, 113), (1001, 1299, 38)):
        own = [labels for ids, labels, _ in rows if first <= ids[0] <= last]
        for start in range(0, len(own) - slots, slots):  # in each epoch all of them, few of them twice
            counts = np.bincount(np.concatenate(own[start : start + slots]), minlength=last + 1)
            assert counts[:first].sum() == 0
            assert set(counts[first:].tolist()) == {1, 2}
            assert (counts == 2).sum() == slots * 8 - (last - first + 1)


def test_a_short_sequence_has_its_share_of_the_labels():
    data = TokenDataset([np.arange(65), np.arange(100, 20100)], 64, 4, 2, weights=(1, 3))
    for step in range(100):
        _, labels, weights = data.batch(step)
        assert weights.all()
        assert (labels < 100).sum() == 64


def test_a_sequence_without_weight_may_be_empty():
    data = TokenDataset([np.arange(1, 900), np.arange(0)], 8, 6, 2, weights=(1, 0))
    np.testing.assert_array_equal(data.batch(5)[0] > 0, True)
    with pytest.raises(KerasGPTError, match="holds no text"):
        TokenDataset([np.arange(1, 900), np.arange(0)], 8, 6, 2, weights=(1, 1))


def test_a_mixed_batch_is_a_function_of_the_step_alone():
    forward = [mixed().batch(step)[0] for step in range(30)]
    data = mixed()
    for step in (29, 3, 17, 3):
        np.testing.assert_array_equal(data.batch(step)[0], forward[step])
    resumed = mixed(first_step=20, num_steps=10)
    for (ids, _, _), expected in zip(resumed, forward[20:], strict=True):
        np.testing.assert_array_equal(ids, expected)


def test_a_mixed_epoch_is_as_long_as_all_sequences():
    assert len(mixed()) == -(-(113 + 39) // 6)


def test_processes_that_read_their_own_rows_have_the_batch_between_them():
    whole = mixed()
    parts = [mixed(rows=rows) for rows in ((0, 1), (1, 4), (4, 6))]
    for step in (0, 7):
        for place, array in enumerate(whole.batch(step)):
            joined = np.concatenate([part.batch(step)[place] for part in parts])
            np.testing.assert_array_equal(joined, array)


def test_the_time_that_batches_take_is_measured():
    class Slow:
        def __len__(self):
            return 100

        def __getitem__(self, wanted):
            time.sleep(0.02)
            return np.arange(100)[wanted]

    data = TokenDataset(Slow(), 8, 2, seed=None)
    assert data.waited_seconds == 0
    began = time.perf_counter()
    for step in range(3):
        data[step]
    assert 0.12 <= data.waited_seconds <= time.perf_counter() - began


def test_with_a_mask_the_inputs_say_which_document_a_token_is_of():
    ids = np.array([9, 1, 2, 9, 3, 4, 5, 6, 9, 7], np.uint16)
    inputs, labels, _ = TokenDataset(ids, 4, 2, seed=None, end_of_text_id=9)[0]
    plain, plain_labels, _ = TokenDataset(ids, 4, 2, seed=None)[0]
    np.testing.assert_array_equal(inputs["token_ids"], plain)
    np.testing.assert_array_equal(labels, plain_labels)
    assert inputs["segment_ids"].tolist() == [[1, 1, 1, 2], [0, 0, 0, 0]]
    assert inputs["position_ids"].tolist() == [[0, 1, 2, 0], [0, 1, 2, 3]]
    assert {array.dtype for array in inputs.values()} == {np.dtype(np.int32)}


def test_fit_hands_the_mask_to_the_model():
    """The loss of a first batch is that of the documents one by one."""
    documents = [[60, 1, 2, 3], [60, 7, 8], [60, 4, 5, 6, 9]]
    ids = np.array([*documents[0], *documents[1], *documents[2], 60], np.uint16)
    config = GPT2Config(61, max_sequence_length=16, num_layers=2, num_heads=2, hidden_dim=16)
    still = dict.fromkeys(("dropout", "embedding_dropout", "attention_dropout"), 0.0)
    model = GPT2CausalLM(config.replace(initializer_range=0.5, **still))
    model.build()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="mean_with_sample_weight")
    total = 0.0
    for document, label in zip(documents, ([1, 2, 3, 60], [7, 8, 60], [4, 5, 6, 9, 60]), strict=True):
        total += float(loss(np.array([label]), model(np.array([document])))) * len(document)
    for jit_compile in (False, True):
        model.compile(keras.optimizers.SGD(0.0), loss, jit_compile=jit_compile)
        data = TokenDataset(ids, 12, 1, seed=None, end_of_text_id=60)
        history = model.fit(data, epochs=1, shuffle=False, verbose=0)
        assert history.history["loss"][0] == pytest.approx(total / 12, rel=1e-5)
        assert model.evaluate(data, verbose=0) == pytest.approx(total / 12, rel=1e-5)


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


def test_weights_duplicates_and_masks_go_from_files_to_batches(corpus, tmp_path):
    lines = [json.dumps({"text": f"A story of {number % 60} words."}) for number in range(90)]
    (tmp_path / "stories.jsonl").write_text("\n".join(lines))
    tokenizer = Tokenizer.learn([TEXT], 280)
    settings = {"method": "document", "validation_fraction": 0.2, "deduplicate": True, "document_mask": True}
    paths = [tmp_path / "stories.jsonl", tmp_path / "corpus*"]
    data = dataset(paths, tokenizer, 16, 4, weights=[3, 1], **settings)
    inputs, labels, _ = data[0]
    assert set(inputs) == {"token_ids", "segment_ids", "position_ids"}
    assert labels.shape == (4, 16)
    assert len(data.ids) == 2
    validation = dataset(paths, tokenizer, 16, 4, split="validation", weights=[3, 1], **settings)
    texts = [tokenizer.decode(ids.tolist()) for ids in (data.ids[0], validation.ids)]
    assert sorted(line for text in texts for line in text.replace(".", ".\n").splitlines()) == sorted(
        f"A story of {number} words." for number in range(60)
    )


def test_bad_requests_are_sentences(corpus):
    tokenizer = Tokenizer.learn([TEXT], 280)
    with pytest.raises(UsageError, match="did you mean 'train'"):
        dataset(corpus, tokenizer, 16, 4, split="trian")
    with pytest.raises(KerasGPTError, match="tokens, and one window takes 100001: give more text"):
        dataset([corpus], tokenizer, 100_000, 4)
    with pytest.raises(KerasGPTError, match="and one batch takes 16001, 1000 windows of 16: give more text"):
        dataset([corpus], tokenizer, 16, 1000)
    with pytest.raises(KerasGPTError, match="holds no text"):
        dataset(corpus, tokenizer, 16, 4, split="test")
    with pytest.raises(UsageError, match="1 paths and 2 weights"):
        dataset(corpus, tokenizer, 16, 4, weights=[1, 2])
    with pytest.raises(UsageError, match="2 sequences of ids and no weights"):
        TokenDataset([np.arange(9), np.arange(9)], 4, 1)
    with pytest.raises(UsageError, match="at least 1 each"):
        dataset(corpus, tokenizer, 16, 0)


@pytest.mark.parametrize("seed", [-1, 0.5])
def test_a_seed_that_gives_no_order_is_refused_before_a_batch_is_asked_for(corpus, seed):
    for make in (
        lambda: dataset(corpus, Tokenizer.learn([TEXT], 280), 16, 4, seed=seed),
        lambda: TokenDataset(np.arange(99), 16, 4, seed),
    ):
        with pytest.raises(UsageError, match=f"seed is {seed}: it must be a whole number of 0 or more"):
            make()
    TokenDataset(np.arange(99), 16, 4, np.int64(2**63 - 1)).batch(0)


def test_a_source_too_small_for_a_window_is_not_mixed_in(corpus, tmp_path):
    (tmp_path / "small.txt").write_text("To be.")
    tokenizer = Tokenizer.learn([TEXT], 280)
    paths = [corpus, tmp_path / "small.txt"]
    with pytest.raises(KerasGPTError, match=r"small\.txt: the part to train on has \d+ tokens, .* takes 17"):
        dataset(paths, tokenizer, 16, 4, weights=[1, 1])
    assert len(dataset(paths, tokenizer, 16, 4))
    assert len(dataset(paths, tokenizer, 16, 4, weights=[1, 0]))


def test_paths_may_come_one_by_one_and_weights_in_any_form(tmp_path):
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text("to be or not to be " * 400)
    tokenizer = Tokenizer.learn(["to be or not"], 262, minimum_frequency=1)
    plain = dataset([tmp_path / "a.txt", tmp_path / "b.txt"], tokenizer, 16, 4, cache=tmp_path / "cache")
    found = dataset(
        (tmp_path / name for name in ("a.txt", "b.txt")),
        tokenizer,
        16,
        4,
        weights=None,
        cache=tmp_path / "cache",
    )
    assert len(found) == len(plain)
    paths = [tmp_path / "a.txt", tmp_path / "b.txt"]
    mixed = [
        dataset(paths, tokenizer, 16, 4, weights=weights, cache=tmp_path / "cache")[0][0]
        for weights in ((1, 2), np.array([1.0, 2.0]))
    ]
    np.testing.assert_array_equal(*mixed)
    with pytest.raises(UsageError, match="each must be a number of 0 or more"):
        dataset(paths, tokenizer, 16, 4, weights=["1", "2"], cache=tmp_path / "cache")
