"""Batches of examples: weight on answers alone, each once, nothing seen of a neighbour."""

import keras
import numpy as np
import pytest

from kerasgpt.config import GPT2Config
from kerasgpt.data.example_dataset import ExampleDataset, require_rows
from kerasgpt.data.examples import encode_records
from kerasgpt.errors import KerasGPTError, UsageError
from kerasgpt.models.gpt2 import GPT2CausalLM
from kerasgpt.tasks.files.records import TaskRecord
from kerasgpt.tasks.templates import TaskTemplate
from kerasgpt.tokenizer.bpe import Tokenizer

BYTES = Tokenizer.learn(["a"], 257)
TEMPLATE = TaskTemplate("completion", "{prompt}", "prompt", "{answer}", max_new_tokens=4)
ANSWERS = [f"{number:02d}" * (1 + number % 3) for number in range(20)]
EXAMPLES = encode_records(
    (
        TaskRecord({"prompt": "p" * (1 + number % 5)}, (answer,), "", "")
        for number, answer in enumerate(ANSWERS)
    ),
    TEMPLATE,
    BYTES,
    24,
)


def _weighted(batches):
    """The labels that have weight, as texts between ends of text."""
    labels = np.concatenate([labels[weights == 1] for _, labels, weights in batches])
    return BYTES.decode(labels.tolist(), skip_special_tokens=False).split("<|endoftext|>")[:-1]


@pytest.mark.parametrize("pack", [True, False])
@pytest.mark.parametrize("seed", [None, 5])
def test_every_answer_has_weight_once_an_epoch_and_no_prompt_has_any(pack, seed):
    data = ExampleDataset(EXAMPLES, 24, 3, seed, pack=pack)
    for epoch in range(2):
        steps = range(epoch * data.steps_per_epoch, (epoch + 1) * data.steps_per_epoch)
        assert sorted(_weighted([data.batch(step) for step in steps])) == sorted(ANSWERS)


def test_prompts_have_the_weight_that_is_asked_for_and_padding_none():
    data = ExampleDataset(EXAMPLES, 24, 3, prompt_weight=0.25)
    inputs, labels, weights = data.batch(0)
    assert set(np.unique(weights)) <= {0.0, 0.25, 1.0}
    assert (labels[weights == 0.25] == ord("p") - 33 + BYTES.encode("!")[0]).all()  # bytes come in order
    padding = (inputs["token_ids"] == 0) & (labels == 0)
    assert (weights[padding] == 0).all()


def test_a_batch_depends_on_the_seed_and_the_step_alone():
    forward = [ExampleDataset(EXAMPLES, 24, 3, 7).batch(step) for step in range(9)]
    again = ExampleDataset(EXAMPLES, 24, 3, 7)
    for step in reversed(range(9)):
        for one, other in zip(
            keras.tree.flatten(again.batch(step)), keras.tree.flatten(forward[step]), strict=True
        ):
            np.testing.assert_array_equal(one, other)
    resumed = ExampleDataset(EXAMPLES, 24, 3, 7, first_step=4, num_steps=5)
    for (_, labels, _), (_, expected, _) in zip(resumed, forward[4:], strict=True):
        np.testing.assert_array_equal(labels, expected)
    assert any(
        (ExampleDataset(EXAMPLES, 24, 3, 8).batch(step)[1] != forward[step][1]).any() for step in range(3)
    )


def test_processes_that_read_their_own_rows_read_all():
    whole = ExampleDataset(EXAMPLES, 24, 4, 7).batch(1)
    parts = [ExampleDataset(EXAMPLES, 24, 4, 7, rows=rows).batch(1) for rows in ((0, 1), (1, 4))]
    np.testing.assert_array_equal(np.concatenate([labels for _, labels, _ in parts]), whole[1])


def test_packed_examples_have_the_losses_that_they_have_alone():
    keras.utils.set_random_seed(0)
    config = GPT2Config(
        257, max_sequence_length=24, num_layers=2, num_heads=2, hidden_dim=16, initializer_range=0.3
    )
    model = GPT2CausalLM(config)

    def losses(pack):
        data = ExampleDataset(EXAMPLES, 24, 4, None, pack=pack)
        found = {}
        for step in range(data.steps_per_epoch):
            inputs, labels, weights = data.batch(step)
            nats = keras.ops.sparse_categorical_crossentropy(labels, model(inputs), from_logits=True)
            nats = keras.ops.convert_to_numpy(nats)
            for row in range(len(labels)):
                ends = np.flatnonzero((labels[row] == BYTES.end_of_text_id) & (weights[row] == 1))
                begin = 0
                for end in ends:
                    places = np.arange(begin, end + 1)
                    places = places[weights[row, places] == 1]
                    text = BYTES.decode(labels[row, places].tolist())
                    found[text, places[0] - begin] = nats[row, places].sum()
                    begin = end + 1
        return found

    alone, packed = losses(pack=False), losses(pack=True)
    assert len(alone) == len(EXAMPLES)
    assert alone.keys() == packed.keys()
    for name in alone:
        assert packed[name] == pytest.approx(alone[name], rel=1e-4)


def test_too_few_examples_and_a_seed_below_0_are_refused():
    nothing = encode_records([], TEMPLATE, BYTES, 24)
    with pytest.raises(KerasGPTError, match="holds no example"):
        ExampleDataset(nothing, 24, 4)
    with pytest.raises(UsageError, match="seed is -1"):
        ExampleDataset(EXAMPLES, 24, 4, seed=-1)
    with pytest.raises(
        KerasGPTError, match=r"a\.jsonl: the 20 examples to train on fill \d+ rows of 24 tokens"
    ):
        require_rows(ExampleDataset(EXAMPLES, 24, 100), ["a.jsonl"])
