"""Each setting has its limits and its line of explanation."""

import dataclasses
import re

import pytest

from kerasgpt.errors import UsageError
from kerasgpt.training.settings import TrainConfig


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ({"steps": 0}, r"train\.steps is 0: it must be at least 1"),
        ({"keep_last_checkpoints": 0}, "at least 1"),
        ({"steps": 10**19}, r"train\.steps is 10000000000000000000: it must be .* below 2\^31"),
        ({"z_loss": -1e-4}, "0 or more"),
        ({"clip_norm": float("inf")}, "0 or more"),
        ({"seed": -1}, r"train\.seed is -1: it must be 0 or more"),
        ({"ema_decay": 1.0}, r"in \[0, 1\)"),
        ({"decay_fraction": 0.0}, "above 0 and at most 1"),
        ({"spike_factor": 1.0}, "above 1"),
        ({"schedule": "cosin"}, "did you mean 'cosine'"),
        ({"spike_policy": "rolback"}, "did you mean 'rollback'"),
        ({"precision": "float16"}, "unknown precision 'float16'"),
        ({"jit_compile": "on"}, 'true, false or "auto"'),
        (
            {"precision": "mixed_float16", "accumulation_steps": 2},
            "set train.precision to 'mixed_bfloat16', or",
        ),
    ],
)
def test_what_is_out_of_its_limits_is_a_sentence(setting, sentence):
    with pytest.raises(UsageError, match=sentence):
        TrainConfig(**setting)


def test_each_setting_is_explained_and_no_other():
    explained = re.findall(r"^        (\w+): ", TrainConfig.__doc__, re.MULTILINE)
    assert explained == [field.name for field in dataclasses.fields(TrainConfig)]


def test_tokens_of_a_step_count_all_accumulated_batches():
    assert TrainConfig(batch_size=3, sequence_length=5, accumulation_steps=7).tokens_per_step == 105
