"""Settings of writing text: their Hugging Face form, their checks, and the sentences they refuse with."""

import dataclasses
import json

import numpy as np
import pytest

from kerasgpt.config import GPT2Config
from kerasgpt.errors import UsageError
from kerasgpt.generation.processors import process
from kerasgpt.generation.texts import Text
from kerasgpt.generation_config import HIGHEST, GenerationConfig


@pytest.mark.parametrize(
    "fields",
    [
        {"max_new_tokens": -1},
        {"temperature": -0.1},
        {"temperature": float("nan")},
        {"top_k": -1},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"min_p": 2},
        {"repetition_penalty": 0.0},
        {"typical_p": 0.0},
        {"presence_penalty": float("nan")},
        {"frequency_penalty": float("inf")},
        {"no_repeat_ngram_size": -1},
        {"min_new_tokens": -1},
        {"min_length": -1},
        {"num_beams": 0},
        {"length_penalty": float("nan")},
        {"early_stopping": "always"},
        {"num_return_sequences": 0},
        {"logit_bias": {3: float("-inf")}},
        # What float32 or int32 cannot hold, alone or with the rest.
        {"temperature": 1e-39},
        {"temperature": 1e39},
        {"temperature": 10**400},
        {"repetition_penalty": 1e39},
        {"repetition_penalty": 1e-39},
        {"top_p": 1e-46},
        {"typical_p": 1e-46},
        {"presence_penalty": 1e39},
        {"frequency_penalty": -1e39},
        {"logit_bias": {3: 1e38}},
        {"length_penalty": 500},
        {"length_penalty": -1e4},
        {"num_beams": 100_000_000},
        {"top_k": 2**70},
        {"max_new_tokens": 2**31},
        # Of another type.
        {"max_new_tokens": "5"},
        {"max_new_tokens": 5.0},
        {"top_k": 50.0},
        {"top_k": True},
        {"no_repeat_ngram_size": 2.0},
        {"num_beams": 2.0},
        {"prompt_lookup_num_tokens": 2.5},
        {"seed": None},
        {"seed": 1.5},
        {"temperature": "0.5"},
        {"temperature": None},
        {"top_p": True},
        {"early_stopping": 1},
        {"early_stopping": np.zeros(2)},
        {"echo": "no"},
        {"stop": [5]},
        {"stop": None},
        {"bad_words_ids": [5]},
        {"bad_words_ids": ["ab"]},
        {"allowed_token_ids": 5},
        {"allowed_token_ids": [1.5]},
        {"logit_bias": {1.7: 3}},
        {"logit_bias": {1: "3"}},
        {"logit_bias": [1, 2]},
    ],
    ids=str,
)
def test_impossible_generation_settings_are_refused(fields):
    with pytest.raises(UsageError, match=f"{next(iter(fields))} is"):
        GenerationConfig(**fields)


def test_the_ends_of_what_is_possible_are_accepted():
    for temperature, penalty, bias in [(1e-9, 1e9, 1e12), (1e9, 1e-9, -1e12), (1e-9, 1e-9, 1e12)]:
        settings = GenerationConfig(
            temperature=temperature,
            repetition_penalty=penalty,
            logit_bias={0: bias, 1: -bias},
            presence_penalty=-bias,
            top_p=1e-30,
            top_k=HIGHEST,
            max_new_tokens=HIGHEST,
            seed=2**70,
        )
        text = Text(np.array([0, 1, 1]), num_prompt_tokens=0)
        logits = np.array([[1.0, -2.0, 3.0]], np.float32)
        with np.errstate(all="raise", under="ignore"):
            processed = process(logits, settings, [text], 2)
        assert not np.isnan(processed).any()
        assert np.isfinite(processed).any()


def test_numpys_numbers_are_numbers():
    settings = GenerationConfig(
        max_new_tokens=np.int32(5),
        seed=np.uint64(2**64 - 1),
        temperature=np.float32(0.5),
        repetition_penalty=2,  # type: ignore[arg-type]
        echo=np.bool_(True),  # type: ignore[arg-type]
        bad_words_ids=np.array([[1, 2]]),  # type: ignore[arg-type]
        allowed_token_ids=np.array([1, 2]),  # type: ignore[arg-type]
        logit_bias={np.int64(3): np.float32(2)},
    )
    assert settings == GenerationConfig(
        max_new_tokens=5,
        seed=2**64 - 1,
        temperature=0.5,
        repetition_penalty=2.0,
        echo=True,
        bad_words_ids=((1, 2),),
        allowed_token_ids=(1, 2),
        logit_bias={3: 2.0},
    )
    assert json.dumps(dataclasses.asdict(settings))  # all of it Python's own


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"num_beams": 4, "temperature": 0.5}, "num_beams 4 with temperature 0.5: beams are not sampled"),
        ({"num_beams": 2, "num_return_sequences": 3}, "3 of 2 beams: set num_beams to 3 or more"),
        ({"num_return_sequences": 3}, "greedy ones are all the same; set a temperature or num_beams"),
        ({"bad_words_ids": [[1], []]}, "bad_words_ids holds a word without ids"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(fields, sentence):
    with pytest.raises(UsageError, match=sentence):
        GenerationConfig(**fields)


def test_what_json_made_lists_of_is_frozen_again():
    settings = GenerationConfig(
        stop=["a"], bad_words_ids=[[1, 2], [3]], allowed_token_ids=[4, 5], logit_bias={"6": 1}
    )
    assert settings.bad_words_ids == ((1, 2), (3,))
    assert settings.allowed_token_ids == (4, 5)
    assert settings.logit_bias == {6: 1.0}
    again = GenerationConfig(**json.loads(json.dumps(dataclasses.asdict(settings))))
    assert again == settings
    assert hash(again) == hash(settings)


def test_changes_name_each_setting_that_has_a_say():
    assert GenerationConfig().changes() == {}
    # Any value but the default is a change, for each field there is: a new one cannot be forgotten.
    others = {
        "temperature": 0.7,
        "stop": ("x",),
        "early_stopping": "never",
        "bad_words_ids": ((1,),),
        "allowed_token_ids": (1,),
        "logit_bias": {1: 1.0},
        "skip_special_tokens": False,
        "echo": True,
    }
    for each in dataclasses.fields(GenerationConfig):
        value = others.get(each.name, 2 if isinstance(each.default, int) else 0.5)
        needed = {
            "length_penalty": {"num_beams": 2},
            "early_stopping": {"num_beams": 2},
            "num_return_sequences": {"num_beams": 2},
        }.get(each.name, {"temperature": 1.0} if each.name in IDLE_WHEN_GREEDY else {})
        assert GenerationConfig(**{**needed, each.name: value}).changes()[each.name] == value


IDLE_WHEN_GREEDY = {"top_k": 5, "top_p": 0.5, "min_p": 0.5, "typical_p": 0.5, "seed": 5}


def test_settings_without_a_say_are_no_changes():
    assert GenerationConfig(**IDLE_WHEN_GREEDY, length_penalty=2.0, early_stopping=True).changes() == {}


def test_one_stop_string_is_not_taken_letter_by_letter():
    assert GenerationConfig(stop="END").stop == ("END",)  # type: ignore[arg-type]  # the mistake itself
    assert GenerationConfig(stop=("a", "")).stop == ("a",)


@pytest.mark.parametrize(
    "settings",
    [
        GenerationConfig(),
        GenerationConfig(max_new_tokens=5),
        GenerationConfig(temperature=0.8, top_k=40, top_p=0.9),
        GenerationConfig(temperature=1.0, min_p=0.1, typical_p=0.9, num_return_sequences=3),
        GenerationConfig(repetition_penalty=1.3, no_repeat_ngram_size=3, presence_penalty=1, stop=("a", "b")),
        GenerationConfig(frequency_penalty=0.5, bad_words_ids=[[1, 2], [3]], logit_bias={7: -1.5, 8: 2.0}),
        GenerationConfig(min_new_tokens=3, min_length=7, allowed_token_ids=[1, 2]),
        GenerationConfig(num_beams=4, length_penalty=0.5, early_stopping="never", num_return_sequences=2),
        GenerationConfig(num_beams=4, early_stopping=True),
    ],
)
def test_generation_config_round_trips(settings):
    content = settings.to_huggingface(GPT2Config())
    written = json.loads(json.dumps(content))
    assert written == content  # lists, where Hugging Face takes no tuples
    assert GenerationConfig.from_huggingface(written) == settings


def test_hugging_faces_words_are_read_as_they_mean_them():
    assert GenerationConfig.from_huggingface({"bos_token_id": 1, "transformers_version": "5"}).changes() == {}
    assert GenerationConfig.from_huggingface({"temperature": 0.5, "top_k": 7, "do_sample": False}).is_greedy
    sampled = GenerationConfig.from_huggingface({"do_sample": True, "early_stopping": None})
    assert (sampled.temperature, sampled.top_k) == (1.0, 50)  # their defaults
    assert GenerationConfig.from_huggingface({"stop_strings": "END"}).stop == ("END",)
    with pytest.raises(UsageError, match="only single tokens have a bias"):
        GenerationConfig.from_huggingface({"sequence_bias": [[[1, 2], 3.0]]})
    with pytest.raises(UsageError, match="beams are not sampled"):
        GenerationConfig.from_huggingface({"do_sample": True, "num_beams": 3})


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"max_new_tokens": "5"}, "max_new_tokens is '5': it must be"),
        ({"do_sample": True, "top_k": 50.0}, "top_k is 50.0: it must be"),
        ({"do_sample": "false"}, "do_sample is 'false': it must be"),
        ({"stop_strings": [5]}, "a member of stop_strings is 5: it must be a text"),
        ({"bad_words_ids": [5]}, "a member of bad_words_ids is 5: it must be"),
        ({"sequence_bias": 5}, "sequence_bias is 5: it must be"),
        ({"sequence_bias": [[5, 1.0]]}, "sequence_bias is 5: it must be"),
        ({"sequence_bias": [[[5], "x"]]}, "sequence_bias is 'x': it must be"),
        ({"sequence_bias": [[[5]]]}, r"a member of sequence_bias is \[\[5\]\]: it must be"),
    ],
    ids=str,
)
def test_wrong_types_in_hugging_faces_form_are_named_by_their_key(content, sentence):
    with pytest.raises(UsageError, match=sentence):
        GenerationConfig.from_huggingface(content)
