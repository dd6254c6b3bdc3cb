"""The options that say how to write are fields of GenerationConfig, and change only what is given."""

import dataclasses

import click
import pytest

from kerasgpt import GenerationConfig, Tokenizer
from kerasgpt.commands.generation_settings import (
    OF_SEVERAL,
    OPTIONS,
    generation_options,
    settings_of,
    tell_of_idle_options,
    without_words,
)
from kerasgpt.errors import UsageError


@pytest.fixture
def given():
    """What a command with these options is given."""

    def call(*arguments: str) -> dict:
        command = click.command()(generation_options(lambda **words: words))
        return command.main(list(arguments), standalone_mode=False)

    return call


def test_every_option_is_a_field_but_the_bad_words(given):
    names = set(given())
    assert len(names) == len(OPTIONS) + len(OF_SEVERAL)
    assert names - {"bad_words"} <= {field.name for field in dataclasses.fields(GenerationConfig)}


def test_help_lists_them_in_their_order():
    command = click.command()(generation_options(lambda **words: None))
    names = [option.name for option in command.params]
    assert (names[:3], names[-1]) == (["max_new_tokens", "temperature", "top_k"], "echo")


def test_what_is_not_given_stays_as_the_folder_has_it(given, model_folder):
    words = given()
    del words["bad_words"]
    assert settings_of(str(model_folder), words) == GenerationConfig(max_new_tokens=12)


def test_what_is_given_is_changed(given, model_folder):
    options = ["--stop", "a", "--stop", "b", "--logit-bias", "3=-1.5", "--early-stopping", "never"]
    words = given(*options, "--num-samples", "2", "--num-beams", "4", "--allowed-token-ids", "3,4", "--echo")
    del words["bad_words"]
    assert settings_of(str(model_folder), words) == GenerationConfig(
        max_new_tokens=12,
        stop=("a", "b"),
        logit_bias={3: -1.5},
        early_stopping="never",
        num_return_sequences=2,
        num_beams=4,
        allowed_token_ids=(3, 4),
        echo=True,
    )


def test_words_are_forbidden_with_and_without_a_space(model_folder):
    tokenizer = Tokenizer.from_preset(model_folder)
    settings = without_words(("king", ""), tokenizer, GenerationConfig(bad_words_ids=((1,),)))
    assert settings.bad_words_ids == ((1,), tuple(tokenizer.encode("king")), tuple(tokenizer.encode(" king")))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--seed", "5"], []),
        (["--temperature", "1", "--top-k", "4", "--top-p", "0.5"], []),
        (["--num-beams", "2", "--length-penalty", "2", "--early-stopping", "never"], []),
        (["--top-k", "4", "--min-p", "0.1"], ["no effect of --top-k, --min-p while the temperature is 0"]),
        (["--length-penalty", "2"], ["no effect of --length-penalty without beams: give --num-beams"]),
        (["--top-p", "0.5", "--early-stopping", "true"], ["--top-p while", "--early-stopping without"]),
    ],
)
def test_options_without_effect_are_told_and_not_refused(given, options, told, model_folder, capsys):
    words = given(*options)
    del words["bad_words"]
    tell_of_idle_options(words, settings_of(str(model_folder), words))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == len(told)
    assert all(part in line for part, line in zip(told, lines, strict=True))


def test_a_number_of_samples_is_refused_by_the_options_name(given, model_folder):
    words = given("--num-samples", "0")
    del words["bad_words"]
    with pytest.raises(UsageError, match="^--num-samples is 0: it must be 1 or more"):
        settings_of(str(model_folder), words)
