"""A soft prompt of tokens' own vectors is those tokens before every text; its file is PEFT's."""

import json

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from kerasgpt.errors import KerasGPTError, UsageError
from kerasgpt.generation.language_model import StepLanguageModel
from kerasgpt.generation.soft_prompt import (
    SoftPromptStepModel,
    fitting_prompt,
    is_soft_prompt,
    read_soft_prompt,
    save_soft_prompt,
    with_soft_prompt,
)
from kerasgpt.generation_config import GenerationConfig

SIZES = {"num_attention_heads": 2, "num_layers": 1}


class SumModel:
    """Reads vectors: the next logits are their running sum, and a token's vector is one-hot in its id."""

    vocabulary_size = hidden_dim = 256 + 1
    max_sequence_length = 12

    def embed(self, ids):
        return np.eye(self.hidden_dim, dtype=np.float32)[ids]

    def _vectors(self, reads):
        return reads if reads.ndim == 3 else self.embed(reads)

    def prefill(self, reads, lengths):
        sums = self._vectors(reads).cumsum(axis=1)[np.arange(len(reads)), lengths - 1]
        return (sums, lengths), sums

    def step(self, state, ids):
        sums = state[0] + self.embed(ids)
        return (sums, state[1] + 1), sums

    def reorder(self, state, indices):
        return state[0][indices], state[1][indices]

    def join(self, states):
        return tuple(np.concatenate(parts) for parts in zip(*states, strict=True))

    def all_logits(self, reads, lengths):
        return self._vectors(reads).cumsum(axis=1)


@pytest.fixture
def lm(byte_tokenizer):
    return StepLanguageModel(SumModel(), byte_tokenizer)


def test_vectors_of_tokens_are_those_tokens_before_every_text(lm):
    before = [65, 66, 66]
    soft = with_soft_prompt(lm, SumModel().embed(np.array(before)))
    settings = GenerationConfig(max_new_tokens=4)
    prompts = [[67], [66, 65, 65], [65, 67]]
    expected = lm.generate([[*before, *prompt] for prompt in prompts], settings)
    assert [g.token_ids for g in soft.generate(prompts, settings)] == [g.token_ids for g in expected]
    assert [g.num_prompt_tokens for g in soft.generate(prompts, settings)] == [1, 3, 2]
    ours = soft.score([[67]], [[66, 65]])
    theirs = lm.score([[*before, 67]], [[66, 65]])
    assert ours == theirs
    assert soft.max_sequence_length == 12 - 3


def test_a_prompt_that_does_not_fit_is_a_sentence(lm):
    with pytest.raises(UsageError, match=r"of shape \(2, 5\): the model's vectors are 257 wide"):
        with_soft_prompt(lm, np.zeros((2, 5), np.float32))
    with pytest.raises(
        UsageError, match="of 12 vectors in a context of 12: give at least one, and leave room"
    ):
        SoftPromptStepModel(SumModel(), np.zeros((12, 257), np.float32))


def test_an_engine_that_reads_no_vectors_is_a_sentence(random_model, byte_tokenizer):
    with pytest.raises(UsageError, match="needs an engine that reads vectors"):
        with_soft_prompt(StepLanguageModel(random_model, byte_tokenizer), np.zeros((2, 8), np.float32))


def test_the_file_is_pefts(tmp_path):
    prompt = np.arange(6, dtype=np.float32).reshape(3, 2)
    save_soft_prompt(prompt, tmp_path / "p", "the/base", SIZES)
    assert sorted(path.name for path in (tmp_path / "p").iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    config = json.loads((tmp_path / "p" / "adapter_config.json").read_text())
    wanted = {"peft_type": "PROMPT_TUNING", "task_type": "CAUSAL_LM", "num_virtual_tokens": 3, "token_dim": 2}
    wanted |= {"base_model_name_or_path": "the/base", "num_transformer_submodules": 1, **SIZES}
    assert wanted.items() <= config.items()
    arrays = load_file(tmp_path / "p" / "adapter_model.safetensors")
    assert list(arrays) == ["prompt_embeddings"]
    np.testing.assert_array_equal(arrays["prompt_embeddings"], prompt)
    np.testing.assert_array_equal(read_soft_prompt(tmp_path / "p"), prompt)
    assert is_soft_prompt(tmp_path / "p")


def test_vectors_in_bfloat16_are_read(tmp_path):
    save_soft_prompt(np.ones((2, 4), np.float32), tmp_path, "base", SIZES)
    values = np.array([[1.0, -2.5, 0.0, 3e38], [0.15625, 1e-30, -1e30, 7.0]], ml_dtypes.bfloat16)
    save_file({"prompt_embeddings": values}, tmp_path / "adapter_model.safetensors")
    np.testing.assert_array_equal(read_soft_prompt(tmp_path), values.astype(np.float32))


def test_what_is_no_soft_prompt_is_a_sentence(tmp_path):
    assert not is_soft_prompt(tmp_path)
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    with pytest.raises(KerasGPTError, match="holds no soft prompt"):
        read_soft_prompt(tmp_path)
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "PROMPT_TUNING"}')
    with pytest.raises(KerasGPTError, match="cannot read prompt_embeddings"):
        read_soft_prompt(tmp_path)
    save_file({"other": np.zeros(2, np.float32)}, tmp_path / "adapter_model.safetensors")
    with pytest.raises(KerasGPTError, match="cannot read prompt_embeddings"):
        read_soft_prompt(tmp_path)
    save_file(
        {"prompt_embeddings": np.full((1, 2), np.nan, np.float32)}, tmp_path / "adapter_model.safetensors"
    )
    with pytest.raises(KerasGPTError, match="no finite vectors"):
        read_soft_prompt(tmp_path)


def test_other_files_of_the_folder_stay(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    save_soft_prompt(np.ones((2, 4), np.float32), tmp_path, "base", SIZES)
    save_soft_prompt(np.zeros((3, 4), np.float32), tmp_path, "base", SIZES)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert read_soft_prompt(tmp_path).shape == (3, 4)


@pytest.mark.parametrize(
    ("prompt", "sentence"),
    [
        (np.zeros((3, 7)), r"of shape \(3, 7\): the model's vectors are 4 wide"),
        (np.zeros(4), r"of shape \(4,\)"),
        (np.zeros((0, 4)), "of 0 vectors in a context of 12: give at least one"),
        (np.full((1, 4), np.nan), "holds what is no finite number"),
    ],
    ids=["width", "rank", "empty", "NaN"],
)
def test_what_no_model_could_read_is_refused(prompt, sentence):
    with pytest.raises(UsageError, match=sentence):
        fitting_prompt(prompt, 4, 12)


def test_a_prompt_is_taken_in_any_form_that_holds_it():
    found = fitting_prompt([[1, 2], [3, 4]], 2, 12)
    assert (found.dtype, found.tolist()) == (np.float32, [[1, 2], [3, 4]])
