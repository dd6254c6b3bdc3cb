"""A job's output is that of one call with all records, on every runner, stopped and gone on with or not."""

import dataclasses
import gzip
import json
import tempfile
from pathlib import Path

import pytest

from kerasgpt import GenerationConfig, load
from kerasgpt.bulk import handler, pipeline
from kerasgpt.bulk.job import Job
from kerasgpt.bulk.output import rows
from kerasgpt.bulk.pipeline import run
from kerasgpt.errors import KerasGPTError, UsageError
from kerasgpt.folder_lock import held
from kerasgpt.tasks.templates import TaskTemplate

ROOT = Path(__file__).parents[2]
PROMPTS = [f"Scene {number}: {'enter ' * (number * 7 % 11)}" for number in range(11)]
SETTINGS = GenerationConfig(max_new_tokens=8, temperature=0.9, top_k=50, seed=7)
LOOPBACK = ("--job_endpoint=embed", "--environment_type=LOOPBACK")
TWO_PROCESSES = ("--direct_running_mode=multi_processing", "--direct_num_workers=2")


def contents(folder: Path) -> dict[str, bytes]:
    """All that is in a folder, hidden files too."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def job(bundle, tmp_path):
    """Eleven prompts in two files, the second one packed: a bad record is the sixth."""
    lines = [json.dumps({"prompt": prompt}) for prompt in PROMPTS[:7]]
    (tmp_path / "a.jsonl").write_text("\n".join([*lines[:5], "bad", *lines[5:]]) + "\n")
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress("\n".join(PROMPTS[7:]).encode()))

    def make(output: str = "out", **words) -> Job:
        inputs = [str(tmp_path / "a.jsonl"), str(tmp_path / "b.txt.gz")]
        words = {"settings": SETTINGS, "shard_size": 3, "batch_size": 2, **words}
        return Job(str(bundle), inputs, str(tmp_path / output), **words)

    return make


@pytest.fixture
def faults(monkeypatch, faulty):
    """Let the model that workers open fail where a prompt is among these."""
    broken: set[str] = set()

    def fault(prompts):
        if broken & {"all", *prompts}:
            broken.add("all")
            raise RuntimeError("device lost")

    monkeypatch.setattr(handler, "load", lambda *words, **own: faulty(load(*words, **own), fault))
    return broken


@pytest.mark.parametrize("engine", ["onnx", "saved_model"])
def test_texts_are_those_of_one_call_with_all(job, bundle, tmp_path, engine):
    prompts = [*PROMPTS[:5], "stands where the bad one is", *PROMPTS[5:]]
    expected = load(bundle, engine).generate(prompts, SETTINGS)
    summary = run(job(engine=engine))
    found = list(rows(summary.output))
    places = [("a.jsonl", n) for n in (1, 2, 3, 4, 5, 7, 8)] + [("b.txt.gz", n) for n in (1, 2, 3, 4)]
    assert [row["id"] for row in found] == [f"{name}:{line}" for name, line in places]
    assert [row["prompt"] for row in found] == PROMPTS
    del expected[5]
    assert [row["text"] for row in found] == [each.text for each in expected]
    assert [row["token_ids"] for row in found] == [each.token_ids for each in expected]
    for row, each in zip(found, expected, strict=True):
        assert row["logprobs"] == pytest.approx(each.logprobs, abs=1e-4)
    names = [f"part-{number:05d}-of-00004.jsonl" for number in range(4)]
    assert sorted(contents(tmp_path / "out")) == ["errors-00001-of-00004.jsonl", "job.json", *names]
    (error,) = (tmp_path / "out" / "errors-00001-of-00004.jsonl").read_text().splitlines()
    assert json.loads(error)["id"] == "a.jsonl:6"


@pytest.mark.parametrize("engine", ["onnx", "saved_model"])
def test_scores_are_those_of_one_call_with_all(bundle, jsonl, tmp_path, engine):
    pairs = [(prompt, " light"[: n % 6]) for n, prompt in enumerate(PROMPTS)]
    expected = load(bundle, engine).score(*zip(*pairs, strict=True))
    asked = Job(
        str(bundle), [str(jsonl(lines=pairs))], str(tmp_path / "out"), "score", engine=engine, shard_size=4
    )
    found = list(rows(run(asked).output))
    assert [(row["prompt"], row["continuation"]) for row in found] == pairs
    assert [row["logprob"] for row in found] == pytest.approx([each.logprob for each in expected], abs=1e-4)
    assert [row["num_tokens"] for row in found] == [each.num_tokens for each in expected]


def test_the_summary_says_what_was_done(job, bundle):
    summary = run(job())
    tokenizer = load(bundle).tokenizer
    lengths = [len(tokenizer.encode(prompt)) for prompt in PROMPTS]
    written = [len(row["token_ids"]) for row in rows(summary.output)]
    assert summary.counters == {
        "records": 11,
        "errors": 1,
        "truncated": 0,
        "read_tokens": sum(lengths),
        "answered_tokens": sum(written),
        "shards": 4,
    }
    assert (summary.num_shards, summary.num_skipped_shards) == (4, 0)
    asked = summary.distributions["record_tokens"]
    assert (asked.count, asked.min, asked.max) == (11, min(lengths), max(lengths))
    assert summary.distributions["batch_records"].max == 3


@pytest.mark.parametrize(
    ("runner", "options", "share"),
    [
        ("PortableRunner", LOOPBACK, False),
        ("DirectRunner", TWO_PROCESSES, False),
        ("DirectRunner", TWO_PROCESSES, True),
    ],
    ids=["the job API of Flink and Spark", "two processes", "two processes with one model"],
)
def test_every_runner_writes_the_same_bytes(job, tmp_path, monkeypatch, runner, options, share):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    run(job("alone"))
    summary = run(job("elsewhere"), runner=runner, options=options, share_model=share)
    assert contents(tmp_path / "elsewhere") == contents(tmp_path / "alone")
    assert summary.counters["records"] == 11


def test_behind_an_address_it_is_the_same(job, tmp_path, memory):
    run(job("alone"))
    local = job("unused")
    for path in local.inputs:
        memory[f"memory://bucket/in/{Path(path).name}"] = Path(path).read_bytes()
    inputs = ["memory://bucket/in/a.jsonl", "memory://bucket/in/*.gz"]
    there = Job(local.bundle, inputs, "memory://bucket/out", settings=SETTINGS, shard_size=3, batch_size=2)
    run(there)
    found = {path.rsplit("/", 1)[-1]: data for path, data in memory.items() if "/out/" in path}
    assert found == contents(tmp_path / "alone")
    del memory["memory://bucket/out/part-00002-of-00004.jsonl"]
    assert run(there, resume=True).counters["shards"] == 1
    assert {path.rsplit("/", 1)[-1]: data for path, data in memory.items() if "/out/" in path} == found


def test_what_is_finished_is_kept_when_the_engine_fails(job, tmp_path, faults):
    run(job("alone"))
    faults.add(PROMPTS[6])  # in the third shard
    with pytest.raises(
        KerasGPTError, match=r"since a.jsonl:8 \(RuntimeError: device lost\); 2 of 4 shards are fin"
    ):
        run(job())
    left = contents(tmp_path / "out")
    assert {name for name in left if name.startswith("part")} == {
        "part-00000-of-00004.jsonl",
        "part-00001-of-00004.jsonl",
    }
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("part-*")}
    faults.clear()
    summary = run(job(), resume=True)
    assert (summary.num_skipped_shards, summary.counters["shards"]) == (2, 2)
    assert contents(tmp_path / "out") == contents(tmp_path / "alone")
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())


def test_shards_that_are_not_whole_are_done_again_and_no_others(job, tmp_path):
    run(job("alone"))
    run(job())
    part = [tmp_path / "out" / f"part-{number:05d}-of-00004.jsonl" for number in range(4)]
    part[0].write_bytes(part[0].read_bytes()[:-20])
    part[1].rename(tmp_path / "out" / f".{part[1].name}.tmp-killed")
    (tmp_path / "out" / "errors-00001-of-00004.jsonl").unlink()
    before = [path.stat().st_mtime_ns for path in part[2:]]
    summary = run(job(), resume=True)
    assert (summary.num_skipped_shards, summary.counters["records"]) == (2, 3 + 2)
    assert contents(tmp_path / "out") == contents(tmp_path / "alone")
    assert [path.stat().st_mtime_ns for path in part[2:]] == before


def test_a_finished_job_is_left_as_it_is(job, monkeypatch):
    run(job())
    monkeypatch.setattr(pipeline, "build", None)
    summary = run(job(), resume=True)
    assert (summary.num_skipped_shards, summary.counters["records"], summary.distributions) == (4, 0, {})


def test_another_job_is_not_gone_on_with(job, tmp_path):
    run(job())
    before = contents(tmp_path / "out")
    with pytest.raises(UsageError, match="go on with --resume"):
        run(job())
    with pytest.raises(UsageError, match="was begun with shard_size 3, and now it is 4"):
        run(job(shard_size=4), resume=True)
    (tmp_path / "a.jsonl").write_text('{"prompt": "other"}\n')
    with pytest.raises(UsageError, match=r"a.jsonl: has changed since"):
        run(job(), resume=True)
    assert contents(tmp_path / "out") == before


def test_a_record_that_breaks_the_engine_breaks_no_pipeline(job, tmp_path, monkeypatch, faulty):
    def fault(prompts):
        if PROMPTS[2] in prompts:
            raise RuntimeError("operator failed")

    monkeypatch.setattr(handler, "load", lambda *words, **own: faulty(load(*words, **own), fault))
    summary = run(job())
    assert (summary.counters["records"], summary.counters["errors"]) == (10, 2)
    (line,) = (tmp_path / "out" / "errors-00000-of-00004.jsonl").read_text().splitlines()
    assert json.loads(line) == {
        "id": "a.jsonl:3",
        "error": "RuntimeError: operator failed",
        "input": {"prompt": PROMPTS[2]},
    }


def test_what_the_bundle_cannot_do_is_one_sentence(job, tmp_path):
    with pytest.raises(KerasGPTError, match="in int4: .*, or export the model again with .*int4$"):
        run(job(precision="int4"))
    assert contents(tmp_path / "out") == {}
    run(job())  # nothing had been written, so that nothing stands in the way


def test_an_interrupt_is_one_and_says_what_is_kept(job, tmp_path, monkeypatch, faulty):
    def fault(prompts):
        if PROMPTS[6] in prompts:  # in the third shard
            raise KeyboardInterrupt

    monkeypatch.setattr(handler, "load", lambda *words, **own: faulty(load(*words, **own), fault))
    with pytest.raises(KeyboardInterrupt, match="^interrupted; 2 of 4 shards are finished in .* --resume$"):
        run(job())
    monkeypatch.undo()
    run(job("alone"))
    assert run(job(), resume=True).num_skipped_shards == 2
    assert contents(tmp_path / "out") == contents(tmp_path / "alone")


def test_a_job_that_is_refused_or_done_leaves_no_scratch_folder(job, tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    run(job())
    run(job(), resume=True)
    with pytest.raises(UsageError, match="go on with --resume"):
        run(job())
    assert not any(scratch.iterdir())


def test_two_jobs_do_not_write_into_one_folder(job, tmp_path):
    with held(tmp_path / "out", lambda: None), pytest.raises(KerasGPTError, match=r"out: another job writes"):
        run(job())
    assert contents(tmp_path / "out") == {}
    run(job())
    for path in (tmp_path / "out").glob("*-of-*"):
        path.unlink()
    with pytest.raises(UsageError, match="holds the output of a job"):
        run(job(shard_size=4))
    assert run(job(), resume=True).counters["shards"] == 4


def test_a_job_that_was_overtaken_says_so(job, memory, monkeypatch):
    there = dataclasses.replace(job("unused"), output="memory://bucket/out")
    finished = pipeline._finished

    def overtaken(*words):
        memory["memory://bucket/out/job.json"] = b"{}"
        return finished(*words)

    monkeypatch.setattr(pipeline, "_finished", overtaken)
    with pytest.raises(KerasGPTError, match="another job has begun in it meanwhile"):
        run(there)


def test_raw_inputs_come_into_the_template(bundle_copy, jsonl, tmp_path):
    fields = {"context": "It rained again.", "question": "Who slept?"}
    lines = [json.dumps({"prompt": json.dumps(fields)}), json.dumps(fields), '{"prompt": "why?"}']
    lines.append(json.dumps({**fields, "context": "It rained again. " * 40}))
    lines.append(json.dumps({"prompt": "[" * 100_000}))
    template = TaskTemplate("question_answering", "{context}|{question}>", "context", max_new_tokens=8)
    settings = GenerationConfig(max_new_tokens=8)
    asked = Job(str(bundle_copy), [str(jsonl(lines=lines))], str(tmp_path / "out"), settings=settings)
    raw = dataclasses.replace(asked, output=str(tmp_path / "raw"), use_template=False)
    template.write(bundle_copy)
    summary = run(asked)
    found = list(rows(asked.output))
    lm = load(bundle_copy)
    expected = lm.generate([template.text(fields)], settings)[0].text
    assert [row["text"] for row in found[:2]] == [expected] * 2
    assert [json.loads(row["prompt"]) for row in found[:2]] == [fields] * 2
    assert (summary.counters["errors"], summary.counters["truncated"]) == (2, 1)
    (line, _) = (tmp_path / "out" / "errors-00000-of-00001.jsonl").read_text().splitlines()
    assert 'is an object {"context": "...", "question": "..."}' in json.loads(line)["error"]
    with pytest.raises(UsageError, match="was begun with template true, and now it is false"):
        run(dataclasses.replace(asked, use_template=False), resume=True)
    run(raw)
    texts = [row["text"] for row in rows(raw.output)]
    assert texts[0] == lm.generate([json.dumps(fields)], settings)[0].text
