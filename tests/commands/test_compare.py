"""`kerasgpt compare`: a page from two sides, and the count of what it exported."""

import html
import json
import re
import sys

import pytest

from kerasgpt import GenerationConfig, load
from kerasgpt.tasks.people.comparison import unseal
from kerasgpt.tasks.templates import TaskTemplate


def data_of(path):
    """What a page's script reads."""
    found = re.search(r'<script type="application/json"[^>]*>(.*?)</script>', path.read_text(), re.DOTALL)
    return json.loads(found.group(1))


@pytest.fixture
def prompts(tmp_path):
    (tmp_path / "prompts.txt").write_text("First Citizen:\nKING\nO <b>Romeo</b>\n")
    return tmp_path / "prompts.txt"


@pytest.fixture
def judged(run, bundle, prompts, tmp_path):
    """A page of greedy against sampled texts, and the votes of one who always prefers A."""
    out = tmp_path / "page.html"
    outcome = run(
        *("compare", bundle, bundle, "--prompts", prompts, "--out", out, "--max-new-tokens", 9),
        *("--set-b", "temperature=1.5", "--set-b", "seed=4"),
    )
    assert (outcome.code, outcome.err) == (0, "")
    data = data_of(out)
    first = unseal(data["sealed"])["first"]
    votes = {
        "format": "kerasgpt-votes",
        "rater": "r1",
        "votes": ["first" if f == "a" else "second" for f in first],
    }
    content = {**votes, "comparison": data["comparison"], "sealed": data["sealed"], "num_pairs": len(first)}
    (tmp_path / "votes.json").write_text(json.dumps(content))
    return data, tmp_path / "votes.json"


def test_each_side_is_what_its_settings_write(judged, bundle, prompts):
    data, _ = judged
    lm, texts = load(bundle), prompts.read_text().splitlines()
    expected = [
        dict(zip(texts, (each.text for each in lm.generate(texts, settings)), strict=True))
        for settings in (
            GenerationConfig(max_new_tokens=9),
            GenerationConfig(max_new_tokens=9, temperature=1.5, seed=4),
        )
    ]
    secret = unseal(data["sealed"])
    assert sorted(pair["prompt"] for pair in data["pairs"]) == sorted(texts)
    for pair, first in zip(data["pairs"], secret["first"], strict=True):
        one, other = expected if first == "a" else expected[::-1]
        assert (pair["first"], pair["second"]) == (one[pair["prompt"]], other[pair["prompt"]])
    assert secret["a"]["settings"] == {"max_new_tokens": 9}
    assert secret["b"]["settings"] == {"max_new_tokens": 9, "temperature": 1.5, "seed": 4}
    assert secret["a"]["model"] == str(bundle)
    assert (secret["a"]["engine"], secret["a"]["precision"]) == ("onnx", "fp32")


def test_the_page_names_no_model(judged, bundle, tmp_path):
    assert str(bundle) not in html.unescape((tmp_path / "page.html").read_text())


def test_the_count_of_votes(run, judged, bundle):
    _, votes = judged
    (content,) = run("compare", "--votes", votes, "--json").rows
    assert (content["win_rate"], content["num_pairs_judged"], content["p_value"]) == (1.0, 3, 0.25)
    table = run("compare", "--votes", votes)
    assert table.code == 0
    assert re.search(r"^win rate of A +100\.0% +95 % interval 43\.[89]% to 100\.0%$", table.out, re.MULTILINE)
    assert f"B                {bundle}   onnx, fp32, max_new_tokens 9, seed 4, temperature 1.5" in table.out


def test_two_engines_that_agree_leave_nothing_to_judge(refuses, bundle, prompts, tmp_path):
    arguments = ("compare", bundle, bundle, "--prompts", prompts, "--out", tmp_path / "page.html")
    assert "nothing to judge" in refuses(*arguments, "--engine-b", "keras", code=1)
    assert not (tmp_path / "page.html").exists()


def test_no_tensorflow_for_onnx(run, bundle, prompts, tmp_path, without):
    without("tensorflow", "keras")
    arguments = ("compare", bundle, bundle, "--prompts", prompts, "--out", tmp_path / "p.html")
    assert run(*arguments, "--set-a", "temperature=2").code == 0
    assert sys.modules["keras"] is None


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        ((), 2, "wants A, B, --prompts FILE and --out PAGE"),
        (("BUNDLE", "--prompts", "PROMPTS", "--out", "OUT"), 2, "wants A, B"),
        (("BUNDLE", "BUNDLE", "--prompts", "missing.txt", "--out", "OUT"), 1, "missing.txt: cannot read"),
        (("BUNDLE", "no-such", "--prompts", "PROMPTS", "--out", "OUT"), 1, "no-such"),
        (("BUNDLE", "BUNDLE", "--prompts", "PROMPTS", "--out", "OUT", "--json"), 2, "give --votes"),
        (("--votes", "v.json", "--out", "OUT"), 2, "goes without"),
        (("--votes", "missing.json"), 1, "missing.json: cannot read"),
    ],
)
def test_wrong_use(refuses, bundle, prompts, tmp_path, arguments, code, sentence):
    places = {"BUNDLE": bundle, "PROMPTS": prompts, "OUT": tmp_path / "page.html"}
    assert sentence in refuses("compare", *(places.get(each, each) for each in arguments), code=code)
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("temperatur=1", "did you mean 'temperature'"),
        ("temperature", "write NAME=VALUE"),
        ("temperature=warm", "temperature is 'warm': it must be a number"),
        ("top_k=1.5", "top_k is '1.5': it must be a whole number"),
        ("top_p=7", "top_p is 7"),
        ("echo=true", "unknown setting 'echo'"),
    ],
)
def test_a_setting_of_one_side_is_checked(refuses, bundle, prompts, tmp_path, setting, sentence):
    arguments = ("compare", bundle, bundle, "--prompts", prompts, "--out", tmp_path / "page.html")
    assert sentence in refuses(*arguments, "--set-a", setting, code=2)


def test_one_text_of_each_side_whatever_the_folder_says(run, refuses, bundle_copy, prompts, tmp_path):
    path = bundle_copy / "generation_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "num_return_sequences": 2, "num_beams": 2}))
    arguments = ("compare", bundle_copy, bundle_copy, "--prompts", prompts, "--out", tmp_path / "page.html")
    assert run(*arguments, "--set-b", "num_beams=3").code == 0
    assert {*data_of(tmp_path / "page.html")["pairs"][0]} == {"prompt", "first", "second"}
    assert "No such option '--echo'" in refuses(*arguments, "--echo", code=2)


def test_a_model_that_was_tuned_on_a_task_takes_raw_input(run, bundle_copy, bundle, prompts, tmp_path):
    template = TaskTemplate("completion", "Tell me of {prompt} now", "prompt", "{answer}", 9)
    template.write(bundle_copy)
    arguments = ("compare", bundle_copy, bundle, "--prompts", prompts, "--max-new-tokens", 9, "--out")
    assert run(*arguments, tmp_path / "page.html").code == 0
    data, texts = data_of(tmp_path / "page.html"), prompts.read_text().splitlines()
    first = unseal(data["sealed"])["first"]
    tuned = {
        pair["prompt"]: pair["first" if side == "a" else "second"]
        for pair, side in zip(data["pairs"], first, strict=True)
    }
    asked = [template.text({"prompt": text}) for text in texts]
    written = [each.text for each in load(bundle).generate(asked, GenerationConfig(max_new_tokens=9))]
    expected = dict(zip(texts, written, strict=True))
    assert tuned
    assert tuned == {text: expected[text] for text in tuned}
    alike = run(*arguments, tmp_path / "other.html", "--no-template")
    assert alike.code == 1
    assert "nothing to judge" in alike.err


def test_a_folder_in_the_place_of_the_page_is_said_before_the_work(refuses, bundle, prompts, tmp_path):
    arguments = (bundle, bundle, "--prompts", prompts, "--out", tmp_path)
    sentence = refuses("compare", *arguments, "--engine-b", "keras", code=1)
    assert sentence.endswith("cannot write (a file is to be written, and a folder is there); name a file\n")
