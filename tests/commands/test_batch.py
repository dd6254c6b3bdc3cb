"""`kerasgpt batch`: files of prompts in, shards of answers out, and one sentence for what goes wrong."""

import json

import pytest

from kerasgpt.tasks.templates import TaskTemplate

PROMPTS = ["The king", "naïve 北京", "", "ROMEO:\nBut soft"]
SAMPLING = ("--temperature", 0.9, "--top-k", 50, "--seed", 7, "--max-new-tokens", 9)


@pytest.fixture
def prompts(tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in PROMPTS))
    return path


@pytest.fixture
def pairs(tmp_path):
    path = tmp_path / "pairs.jsonl"
    lines = [json.dumps({"prompt": prompt, "continuation": " light"}) for prompt in PROMPTS]
    path.write_text("\n".join([*lines[:2], "bad", *lines[2:]]))
    return path


def answers(folder) -> list[dict]:
    return [
        json.loads(line) for path in sorted(folder.glob("part-*")) for line in path.open(encoding="utf-8")
    ]


def test_lines_are_those_of_generate_with_an_id(run, bundle, prompts, tmp_path):
    outcome = run("batch", bundle, "--input", prompts, "--output", tmp_path / "out", *SAMPLING)
    assert (outcome.code, outcome.out) == (0, f"{tmp_path / 'out'}\n")
    words = [word for prompt in PROMPTS for word in ("--prompt", prompt)]
    expected = run("generate", bundle, "--json", *SAMPLING, *words).rows
    found = answers(tmp_path / "out")
    assert [row.pop("id") for row in found] == [f"prompts.jsonl:{n}" for n in (1, 2, 3, 4)]
    for row, own in zip(found, expected, strict=True):
        assert row.pop("logprobs") == pytest.approx(own.pop("logprobs"), abs=1e-4)
        assert list(row) == list(own)
        assert row == own


def test_lines_are_those_of_score_with_an_id(run, bundle, pairs, tmp_path):
    outcome = run("batch", bundle, "--input", pairs, "--output", tmp_path / "out", "--task", "score")
    assert outcome.code == 0
    lines = [line for line in pairs.read_text().splitlines() if line != "bad"]
    expected = run("score", bundle, stdin="\n".join(lines)).rows
    found = answers(tmp_path / "out")
    assert [row.pop("id") for row in found] == [f"pairs.jsonl:{n}" for n in (1, 2, 4, 5)]
    assert [list(row) for row in found] == [list(row) for row in expected]
    assert [row["logprob"] for row in found] == pytest.approx([row["logprob"] for row in expected], abs=1e-4)
    assert "1 record without an answer: see errors-*.jsonl" in outcome.err
    assert json.loads((tmp_path / "out" / "errors-00000-of-00001.jsonl").read_text())["id"] == "pairs.jsonl:3"


def test_the_summary_for_a_person_and_for_a_program(run, bundle, prompts, tmp_path):
    words = ("batch", bundle, "--input", prompts, "--output", tmp_path / "out", "--shard-size", 3)
    outcome = run(*words, "--json")
    (summary,) = outcome.rows
    assert summary["counters"]["records"] == 4
    assert summary["counters"]["answered_tokens"] == 4 * 12
    assert (summary["num_shards"], summary["num_skipped_shards"]) == (2, 0)
    assert outcome.err.startswith("2 of 2 shards written\n4 records of ")
    assert "of its answer: 12 to 12, 12\n" in outcome.err
    again = run(*words, "--resume")
    assert (again.code, again.err) == (0, "0 of 2 shards written, 2 finished before\n")


def test_bad_words_are_not_written(run, bundle, prompts, tmp_path):
    words = ("batch", bundle, "--input", prompts, "--max-new-tokens", 30)
    run(*words, "--output", tmp_path / "free")
    word = answers(tmp_path / "free")[0]["text"][2:4]
    run(*words, "--output", tmp_path / "out", "--bad-word", word)
    assert word in answers(tmp_path / "free")[0]["text"]
    assert word not in answers(tmp_path / "out")[0]["text"]


def test_options_after_two_dashes_go_to_beam(run, bundle, prompts, tmp_path):
    words = ("batch", bundle, "--input", prompts, "--shard-size", 2, "--output")
    beams = ("--job_endpoint=embed", "--environment_type=LOOPBACK")
    outcome = run(*words, tmp_path / "portable", "--runner", "PortableRunner", "--", *beams)
    assert outcome.code == 0, outcome.err
    assert run(*words, tmp_path / "direct").code == 0
    assert answers(tmp_path / "portable") == answers(tmp_path / "direct")


def test_without_beam_it_is_asked_for_in_a_sentence(refuses, bundle, prompts, tmp_path, without):
    without("apache_beam")
    sentence = refuses("batch", bundle, "--input", prompts, "--output", tmp_path / "out", code=1)
    assert "bulk work needs apache_beam, which is not installed: pip install 'kerasgpt[beam]'" in sentence
    assert not (tmp_path / "out").exists()


def test_wrong_usage(refuses, bundle, model_folder, prompts, tmp_path):
    def said(*arguments, code=2, folder=bundle, given=prompts):
        return refuses("batch", folder, "--input", given, "--output", tmp_path / "out", *arguments, code=code)

    assert "did you mean 'score'" in said("--task", "scores")
    assert "--top-k: says how to generate, and --task is score" in said("--task", "score", "--top-k", 5)
    assert "--bad-word: says how to generate" in said("--task", "score", "--bad-word", "x")
    assert "is no bundle; make one with" in said(folder=model_folder)
    assert "no such folder" in said(folder=tmp_path / "no", code=1)
    assert "no such file" in said(given=tmp_path / "*.txt", code=1)
    assert "'stray' is one too many" in said("stray")
    assert "--direct_worker: DirectRunner has no such option" in said("--", "--direct_worker=2")
    assert "top_k is -1: it must be 0 (off) or more" in said("--top-k", -1)
    assert "batch_size is 0: it must be 1 or more" in said("--batch-size", 0)
    assert "runner 'SparkRuner': Unexpected pipeline runner" in said("--runner", "SparkRuner")
    assert not (tmp_path / "out").exists()


def test_what_a_worker_refuses_is_one_sentence_too(refuses, bundle, prompts, tmp_path):
    words = ("--engine", "saved_model", "--temperature", 1, "--typical-p", 0.5)
    sentence = refuses("batch", bundle, "--input", prompts, "--output", tmp_path / "out", *words, code=1)
    assert (
        sentence
        == "kerasgpt: typical_p 0.5: this SavedModel cannot do that; use the onnx or the keras engine\n"
    )


def test_a_model_tuned_on_a_task_takes_raw_input(run, bundle_copy, prompts, tmp_path):
    template = TaskTemplate("translation", "{source} =>", "source", max_new_tokens=8)
    template.write(bundle_copy)
    texts = [word for prompt in PROMPTS for word in ("--prompt", prompt)]
    for words in ((), ("--no-template",)):
        output = tmp_path / f"out{len(words)}"
        assert run("batch", bundle_copy, "--input", prompts, "--output", output, *words).code == 0
        expected = run("generate", bundle_copy, "--json", *texts, *words).rows
        assert [row["text"] for row in answers(output)] == [row["text"] for row in expected]
