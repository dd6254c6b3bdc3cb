from kerasgpt.tasks.shortening import cut_to, nearest_sentences

CONTEXT = "Ann has a red car. Bob rides an old bicycle. The sun shone all day. Cars are loud."


def _at_most(num_words):
    return lambda text: len(text.split()) <= num_words


def test_the_nearest_sentences_stay_in_the_order_of_the_text():
    asked = "Which bicycle did Bob ride when the sun shone?"
    assert nearest_sentences(CONTEXT, asked, _at_most(5)) == "The sun shone all day."
    assert (
        nearest_sentences(CONTEXT, asked, _at_most(10)) == "Bob rides an old bicycle. The sun shone all day."
    )
    assert nearest_sentences(CONTEXT, asked, _at_most(100)) == CONTEXT


def test_white_space_between_sentences_costs_none_of_them():
    spaced = CONTEXT.replace(". ", ".\n\n\n\n")
    assert nearest_sentences(spaced, "Cars?", lambda text: len(text) <= len(CONTEXT)) == CONTEXT
    assert nearest_sentences(spaced, "Cars?", lambda text: len(text) <= len(spaced)) == spaced


def test_a_sentence_that_is_too_long_alone_comes_whole_and_is_cut_by_words():
    nearest = nearest_sentences(CONTEXT, "Bob's bicycle?", _at_most(3))
    assert nearest == "Bob rides an old bicycle."
    assert cut_to(nearest, _at_most(3)) == "Bob rides an"


def test_a_cut_is_the_longest_that_fits():
    words = " ".join(map(str, range(100)))
    for wanted in range(1, 100):
        assert len(cut_to(words, _at_most(wanted)).split()) == wanted
    assert cut_to(words, _at_most(0)) == ""
    assert cut_to(words, _at_most(100)) == words
