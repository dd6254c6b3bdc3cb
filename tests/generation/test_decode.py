import numpy as np
import pytest

from kerasgpt.errors import UsageError
from kerasgpt.generation.decode import decode
from kerasgpt.generation.rows import Token
from kerasgpt.generation.samplers import seeds_of_rows
from kerasgpt.generation_config import GenerationConfig

PROMPTS = [[1, 2, 3], [4], [5, 6, 7, 8, 9, 10], [11, 12]]
SETTINGS = [
    GenerationConfig(max_new_tokens=12),
    GenerationConfig(max_new_tokens=12, temperature=1.0, top_k=30, top_p=0.95, seed=3),
    GenerationConfig(max_new_tokens=12, repetition_penalty=1.4),
]


def rows_of(steps: list[list[Token]], num_rows: int) -> list[list[Token]]:
    rows: list[list[Token]] = [[] for _ in range(num_rows)]
    for step in steps:
        for token in step:
            rows[token.row].append(token)
    return rows


def write(model, prompts, settings, **words) -> list[list[Token]]:
    return rows_of(list(decode(model, prompts, settings, 256, **words)), len(prompts))


@pytest.mark.parametrize("settings", SETTINGS, ids=["greedy", "sampled", "penalised"])
def test_a_row_is_the_same_alone_and_in_a_batch(random_model, settings: GenerationConfig) -> None:
    together = write(random_model, PROMPTS, settings)
    for row, prompt in enumerate(PROMPTS):
        seed = seeds_of_rows([settings.seed + row])
        alone = write(random_model, [prompt], settings, row_seeds=seed)[0]
        assert [token.id for token in together[row]] == [token.id for token in alone]
        assert [token.logprob for token in together[row]] == [token.logprob for token in alone]


@pytest.mark.parametrize("settings", SETTINGS, ids=["greedy", "sampled", "penalised"])
def test_a_row_that_ends_early_does_not_disturb_the_others(random_model, settings: GenerationConfig) -> None:
    undisturbed = write(random_model, PROMPTS, settings)
    rows = write(random_model, PROMPTS, settings, ends_text=lambda row, _: row == 0)
    assert [len(row) for row in rows] == [1, 12, 12, 12]
    assert rows[1:] == undisturbed[1:]


def test_greedy_equals_reading_the_whole_text_again_each_time(random_model) -> None:
    for row, prompt in zip(write(random_model, PROMPTS, SETTINGS[0]), PROMPTS, strict=True):
        text = list(prompt)
        for token in row:
            logits = random_model.rule(text).astype(np.float32).astype(np.float64)
            assert token.id == int(np.argmax(logits))
            logprob = logits[token.id] - np.log(np.exp(logits).sum())
            assert token.logprob == pytest.approx(logprob, abs=1e-5)
            text.append(token.id)


def test_the_penalty_counts_prompt_and_continuation(rule_model) -> None:
    model = rule_model(lambda ids: np.array([2.0, 1.9, 1.8, 1.7, 0.0]), vocabulary_size=5)
    settings = GenerationConfig(max_new_tokens=3, repetition_penalty=3.0)
    row = write(model, [[1]], settings)[0]
    assert [token.id for token in row] == [0, 2, 3]
    # The log-probability is of the model as it is, without the penalty.
    expected = np.array([2.0, 1.8, 1.7]) - np.log(np.exp([2.0, 1.9, 1.8, 1.7, 0.0]).sum())
    np.testing.assert_allclose([token.logprob for token in row], expected, atol=1e-6)


def test_a_row_ends_at_end_of_text_and_costs_nothing_more(rule_model) -> None:
    # Token = tokens so far + 1; the row that begins with 200 + n ends when n tokens have been read.
    def rule(ids):
        return np.eye(257)[256 if len(ids) == ids[0] - 200 else len(ids) + 1]

    model = rule_model(rule)
    rows = write(model, [[203], [201], [206]], GenerationConfig(max_new_tokens=10))
    assert [[token.id for token in row] for row in rows] == [[2, 3, 256], [256], [2, 3, 4, 5, 6, 256]]
    assert [row[-1].finish_reason for row in rows] == ["stop"] * 3
    assert all(token.finish_reason is None for row in rows for token in row[:-1])
    assert model.batch_sizes == [2, 2, 1, 1, 1]


def test_max_new_tokens_ends_every_row(random_model) -> None:
    rows = write(random_model, PROMPTS, GenerationConfig(max_new_tokens=4))
    assert [len(row) for row in rows] == [4] * 4
    assert [row[-1].finish_reason for row in rows] == ["length"] * 4
    assert len(random_model.batch_sizes) == 3  # the last tokens are never read


def test_the_context_ends_each_row_in_its_turn(rule_model) -> None:
    model = rule_model(lambda ids: np.eye(257)[7], max_sequence_length=8)
    rows = write(model, PROMPTS, GenerationConfig(max_new_tokens=100))
    assert [len(row) for row in rows] == [5, 7, 2, 6]
    assert {row[-1].finish_reason for row in rows} == {"length"}


def test_a_stop_string_ends_its_row_only(random_model) -> None:
    asked = []

    def ends(row: int, index: int) -> bool:
        asked.append((row, index))
        return row == 2 and len([r for r, _ in asked if r == 2]) == 3

    rows = write(random_model, PROMPTS, GenerationConfig(max_new_tokens=6), ends_text=ends)
    assert [len(row) for row in rows] == [6, 6, 3, 6]
    assert rows[2][-1].finish_reason == "stop"
    assert sorted(asked) == sorted((token.row, token.id) for row in rows for token in row)


@pytest.mark.parametrize(("prompts", "count"), [([], 5), ([[1, 2]], 0)], ids=["no prompts", "no tokens"])
def test_nothing_to_do_runs_nothing(rule_model, prompts: list, count: int) -> None:
    def rule(ids):
        raise AssertionError("the model was run")

    assert list(decode(rule_model(rule), prompts, GenerationConfig(max_new_tokens=count), 256)) == []


MANY = [
    GenerationConfig(max_new_tokens=3),
    GenerationConfig(max_new_tokens=12, temperature=1.3, top_p=0.9, seed=11),
    GenerationConfig(max_new_tokens=0),
    GenerationConfig(max_new_tokens=7, no_repeat_ngram_size=1, presence_penalty=0.5, min_new_tokens=5),
]


def test_each_row_has_its_own_settings(random_model) -> None:
    together = write(random_model, PROMPTS, MANY)
    assert [len(row) for row in together] == [3, 12, 0, 7]
    for row, (prompt, own) in enumerate(zip(PROMPTS, MANY, strict=True)):
        alone = write(random_model, [prompt], own, row_seeds=seeds_of_rows([own.seed + row]))[0]
        assert [(token.id, token.logprob) for token in together[row]] == [
            (token.id, token.logprob) for token in alone
        ]


def test_there_must_be_settings_for_each_row(random_model) -> None:
    with pytest.raises(UsageError, match="2 settings for 4 prompts: give one for all, or one of each"):
        write(random_model, PROMPTS, MANY[:2])


def test_equal_prompts_are_read_once(random_model) -> None:
    widths = []
    read = random_model.prefill
    random_model.prefill = lambda ids, lengths: widths.append(len(ids)) or read(ids, lengths)
    settings = GenerationConfig(max_new_tokens=5, temperature=1.0)
    prompts = [PROMPTS[0], PROMPTS[1], PROMPTS[0], PROMPTS[0]]
    rows = write(random_model, prompts, settings)
    assert widths == [2]
    for row, prompt in enumerate(prompts):
        alone = write(random_model, [prompt], settings, row_seeds=seeds_of_rows([row]))[0]
        assert [token.id for token in rows[row]] == [token.id for token in alone]


@pytest.mark.parametrize("size", [1, 2, 3])
def test_no_ngram_of_prompt_and_continuation_comes_twice(rule_model, size: int) -> None:
    model = rule_model(lambda ids: np.arange(6) + 3.0 * np.eye(6)[ids[-1]], vocabulary_size=6)
    settings = GenerationConfig(max_new_tokens=20, no_repeat_ngram_size=size)
    prompt = [5, 5, 4][:size]
    text = [*prompt, *(token.id for token in rows_of(list(decode(model, [prompt], settings, 0)), 1)[0])]
    ngrams = [tuple(text[n : n + size]) for n in range(len(text) - size + 1)]
    assert len(set(ngrams)) == len(ngrams) > 3


def test_end_of_text_waits_for_the_minimum(rule_model) -> None:
    model = rule_model(lambda ids: 9.0 * np.eye(257)[256])
    for settings, expected in [
        (GenerationConfig(min_new_tokens=4), [5, 5, 5, 5]),
        (GenerationConfig(min_length=4), [2, 4, 1, 3]),
        (GenerationConfig(min_new_tokens=2, min_length=4), [3, 3, 3, 3]),
    ]:
        rows = write(model, PROMPTS, settings)
        assert [len(row) for row in rows] == expected
        assert all(row[-1].id == 256 for row in rows)
