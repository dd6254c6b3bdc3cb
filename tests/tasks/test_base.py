from kerasgpt.tasks.base import Outcome, totals


def test_totals_are_the_sums_and_a_missing_name_is_zero():
    outcomes = [
        Outcome({"correct": 1, "nats": 0.5, "gold=a": 2}),
        Outcome({"correct": 0, "nats": 1.25}),
        Outcome({"correct": 3, "nats": -1.0, "gold=b": 1}, {"prediction": "x"}),
    ]
    assert totals(outcomes) == {"correct": 4, "nats": 0.75, "gold=a": 2, "gold=b": 1}


def test_no_outcomes_have_no_totals():
    assert totals([]) == {}
