import dataclasses
import itertools

import numpy as np
import pytest

from kerasgpt.generation.beam_search import Hypothesis, beam_search
from kerasgpt.generation_config import GenerationConfig

SIZE, END = 11, 10
PROMPTS = [[1, 2, 3], [4], [5, 6, 7, 8, 9, 0], [2, 2]]
SETTINGS = GenerationConfig(max_new_tokens=9, num_beams=4)
WAYS = list(itertools.product([False, True, "never"], [-1.0, 0.0, 1.0, 2.5]))


@pytest.fixture
def model(rule_model):
    """An engine with arbitrary but fixed logits after each text, that ends a text now and then."""

    def rule(ids):
        return np.random.default_rng([len(ids), *ids]).normal(0, 1.5, SIZE) + np.eye(SIZE)[END]

    return rule_model(rule, SIZE)


def logprobs_after(model, ids) -> np.ndarray:
    logits = model.rule(ids).astype(np.float32).astype(np.float64)
    return logits - np.log(np.exp(logits).sum())


def naive_search(model, prompt, settings: GenerationConfig) -> list[tuple[float, list[int]]]:
    """The definition, with lists and sorting."""
    count, limit, penalty = settings.num_beams, settings.max_new_tokens, settings.length_penalty
    running, ended = [(0.0, [])], []
    for length in range(1, limit + 1):
        longer = [
            (total + logprobs_after(model, [*prompt, *ids])[token], [*ids, token])
            for total, ids in running
            for token in range(SIZE)
        ]
        best = sorted(longer, reverse=True)[: 2 * count]
        ends = [ids[-1] == END or length == limit for _, ids in best]
        ended += [(best[n][0] / length**penalty, best[n][1]) for n in range(count) if ends[n]]
        ended = sorted(ended, reverse=True)[:count]
        running = [each for each, end in zip(best, ends, strict=True) if not end][:count]
        if not running:
            break
        if len(ended) == count:
            hoped = limit if settings.early_stopping == "never" and penalty > 0 else length
            if settings.early_stopping is True or running[0][0] / hoped**penalty <= ended[-1][0]:
                break
    return ended


@pytest.mark.parametrize(("early_stopping", "length_penalty"), WAYS)
def test_it_finds_what_the_definition_finds(model, early_stopping, length_penalty) -> None:
    settings = dataclasses.replace(SETTINGS, early_stopping=early_stopping, length_penalty=length_penalty)
    for prompt, found in zip(PROMPTS, beam_search(model, PROMPTS, settings, END), strict=True):
        expected = naive_search(model, prompt, settings)
        assert [each.ids for each in found] == [ids for _, ids in expected]
        assert [each.score for each in found] == pytest.approx([score for score, _ in expected], rel=1e-5)


@pytest.mark.parametrize("early_stopping", [False, True, "never"])
@pytest.mark.parametrize("length_penalty", [-30, 30])
def test_the_largest_length_penalties_order_by_length(rule_model, early_stopping, length_penalty) -> None:
    model = rule_model(lambda ids: np.zeros(SIZE), SIZE)
    model.max_sequence_length = 2**31
    words = {"early_stopping": early_stopping, "length_penalty": length_penalty, "max_new_tokens": 40}
    found = beam_search(model, [[1]], dataclasses.replace(SETTINGS, **words), END)[0]
    assert all(np.isfinite(each.score) for each in found)
    assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)


def test_the_ways_to_stop_differ(model) -> None:
    found = set()
    for early_stopping, length_penalty in WAYS:
        changes = {"early_stopping": early_stopping, "length_penalty": length_penalty}
        searches = beam_search(model, PROMPTS, dataclasses.replace(SETTINGS, **changes), END)
        found.add(str([[each.ids for each in search] for search in searches]))
    assert len(found) > 5


def test_enough_beams_find_the_most_probable_text_of_all(rule_model) -> None:
    size, end, limit = 4, 3, 4
    table = np.random.default_rng(8).normal(0, 1, (limit + 2, size, size))
    model = rule_model(lambda ids: table[len(ids), ids[-1]], size)
    settings = GenerationConfig(
        max_new_tokens=limit, num_beams=size**limit, length_penalty=0.0, early_stopping="never"
    )
    totals = {}
    for length in range(1, limit + 1):
        for ids in itertools.product(range(size), repeat=length):
            if end not in ids[:-1] and (ids[-1] == end or length == limit):
                texts = [[0, *ids[:n]] for n in range(length)]
                totals[ids] = sum(logprobs_after(model, t)[i] for t, i in zip(texts, ids, strict=True))
    ranked = sorted(totals, key=lambda ids: -totals[ids])
    found = beam_search(model, [[0]], settings, end)[0]
    assert [tuple(each.ids) for each in found[:20]] == ranked[:20]


@pytest.mark.parametrize("early_stopping", [False, True, "never"])
def test_a_prompt_is_the_same_alone_and_in_a_batch(model, early_stopping) -> None:
    settings = dataclasses.replace(SETTINGS, early_stopping=early_stopping, repetition_penalty=1.2)
    together = beam_search(model, PROMPTS, settings, END)
    for prompt, found in zip(PROMPTS, together, strict=True):
        assert beam_search(model, [prompt], settings, END) == [found]


def test_log_probabilities_are_the_models_own(model) -> None:
    settings = dataclasses.replace(SETTINGS, repetition_penalty=1.5, no_repeat_ngram_size=2)
    for prompt, found in zip(PROMPTS, beam_search(model, PROMPTS, settings, END), strict=True):
        for each in found:
            texts = [[*prompt, *each.ids[:n]] for n in range(len(each.ids))]
            expected = [logprobs_after(model, t)[i] for t, i in zip(texts, each.ids, strict=True)]
            assert each.logprobs == pytest.approx(expected, abs=1e-5)
            assert len(set(itertools.pairwise([*prompt, *each.ids]))) == len(prompt) + len(each.ids) - 1


def test_why_a_hypothesis_ended(model) -> None:
    found = [each for search in beam_search(model, PROMPTS, SETTINGS, END) for each in search]
    assert {each.finish_reason for each in found} == {"stop", "length"}
    for each in found:
        assert each.finish_reason == ("stop" if each.ids[-1] == END else "length")
        assert END not in each.ids[:-1]


def test_ended_searches_cost_nothing_more(rule_model) -> None:
    # After 7 only end of text is likely; after others it never is.
    model = rule_model(lambda ids: 20.0 * np.eye(SIZE)[END if 7 in ids else 0], SIZE)
    settings = dataclasses.replace(SETTINGS, num_beams=2, early_stopping=True)
    (stops, *_), (goes_on, *_) = beam_search(model, [[7], [1]], settings, END)
    assert (stops.ids, goes_on.ids) == ([END], [0] * 9)
    assert (model.batch_sizes[0], model.batch_sizes[-1]) == (4, 2)


def test_stop_strings_end_a_hypothesis(model) -> None:
    free = beam_search(model, PROMPTS, SETTINGS, END)
    stop = free[0][0].ids[0]
    found = beam_search(
        model, PROMPTS, SETTINGS, END, ends_with=lambda row, ids: row == 0 and ids[-1] == stop
    )
    assert found[1:] == free[1:]
    assert any(stop in each.ids for each in found[0])
    assert all(stop not in each.ids[:-1] for each in found[0])
    assert all(each.finish_reason == "stop" for each in found[0] if each.ids[-1] == stop)


def test_the_context_is_a_limit(model) -> None:
    model.max_sequence_length = 8
    settings = dataclasses.replace(SETTINGS, max_new_tokens=50, bad_words_ids=((END,),))
    lengths = [{len(each.ids) for each in search} for search in beam_search(model, PROMPTS, settings, END)]
    assert lengths == [{5}, {7}, {2}, {6}]


def test_one_allowed_token_still_gives_all_beams(model) -> None:
    settings = dataclasses.replace(SETTINGS, max_new_tokens=3, allowed_token_ids=(5,))
    found = beam_search(model, [[1]], settings, END)[0]
    assert [each.ids for each in found] == [[5, 5, 5]] * 4


def test_no_prompts_and_no_tokens(model) -> None:
    assert beam_search(model, [], SETTINGS, END) == []
    nothing = Hypothesis([], [], 0.0, "length")
    assert beam_search(model, [[1]], dataclasses.replace(SETTINGS, max_new_tokens=0), END) == [[nothing] * 4]
