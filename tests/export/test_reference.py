"""What is recorded of a model is what it answers, and survives the disk."""

import numpy as np
import pytest

from kerasgpt.errors import KerasGPTError
from kerasgpt.export.reference import PROMPTS, Reference, signed_sums, spread_of
from kerasgpt.models.language_model import KerasStepModel


def test_the_reference_holds_what_the_model_answers(recorded, model, language_model):
    reference, logits = recorded
    for row, prompt in enumerate(PROMPTS):
        generation = language_model(KerasStepModel(model)).generate([prompt])[0]
        assert reference.continuations[row] == generation.token_ids
        assert reference.texts[row] == generation.text
        length = reference.lengths[row]
        alone = np.asarray(model(reference.ids[row : row + 1, :length]))[0]
        assert np.allclose(logits[row, :length], alone, atol=5e-5)
    assert np.array_equal(reference.top_ids[..., 0], logits.argmax(axis=-1))
    assert (reference.margins >= 0).all()


def test_it_survives_the_disk(recorded, tmp_path):
    reference, _ = recorded
    reference.save(tmp_path / "parity.npz")
    loaded = Reference.load(tmp_path / "parity.npz")
    assert np.array_equal(loaded.ids, reference.ids)
    assert np.array_equal(loaded.top_logits, reference.top_logits)
    assert np.array_equal(loaded.signed_sums, reference.signed_sums)
    assert np.array_equal(loaded.context_ids, reference.context_ids)
    assert np.array_equal(loaded.context_sums, reference.context_sums)
    assert loaded.spread == reference.spread
    assert (loaded.texts, loaded.prompts, loaded.settings) == (
        reference.texts,
        reference.prompts,
        reference.settings,
    )


def test_a_record_of_before_has_no_spread(recorded, tmp_path):
    recorded[0].save(tmp_path / "parity.npz")
    with np.load(tmp_path / "parity.npz") as arrays:
        rest = {name: arrays[name] for name in arrays.files if name != "spread"}
    np.savez(tmp_path / "parity.npz", **rest)
    assert Reference.load(tmp_path / "parity.npz").spread == 0


def test_the_spread_is_of_the_positions_that_are_read_and_of_what_logits_do_not_share():
    logits = np.random.default_rng(0).normal(-100, 6, (2, 3, 5000)).astype(np.float32)
    logits[1, 1:] = 1e6
    assert spread_of(logits, np.array([3, 1])) == pytest.approx(6, rel=0.03)


@pytest.mark.parametrize("masked", [-1e9, np.finfo(np.float32).min, -np.inf])
def test_masked_tokens_do_not_move_the_spread(masked):
    logits = np.random.default_rng(0).normal(0, 6, (1, 2, 5000)).astype(np.float32)
    logits[..., :20] = masked
    assert spread_of(logits, np.array([2])) == pytest.approx(6, rel=0.03)


def test_damaged_answers_are_refused(tmp_path):
    (tmp_path / "parity.npz").write_bytes(b"no archive")
    with pytest.raises(KerasGPTError, match="cannot read the recorded answers"):
        Reference.load(tmp_path / "parity.npz")


def test_a_signed_sum_grows_with_one_logit_as_rounding_errors_do_not():
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(3, 5000)).astype("float32")
    rounded = logits + generator.normal(scale=1e-5, size=logits.shape).astype("float32")
    assert np.abs(signed_sums(rounded) - signed_sums(logits)).max() < 5e-5
    altered = logits.copy()
    altered[1, 4321] += 0.1
    moved = np.abs(signed_sums(altered) - signed_sums(logits))
    assert moved == pytest.approx([0, 0.1 / 5000**0.5, 0], abs=1e-6)
