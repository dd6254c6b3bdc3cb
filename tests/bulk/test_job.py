"""A job goes on only as it was begun; what differs is said in a sentence."""

import dataclasses
import json
import os
from pathlib import Path

import pytest

from kerasgpt import GenerationConfig
from kerasgpt.bulk.job import Job, begin
from kerasgpt.bulk.shards import survey
from kerasgpt.errors import KerasGPTError, UsageError


@pytest.fixture
def job(bundle, jsonl, tmp_path) -> Job:
    return Job(str(bundle), [str(jsonl())], str(tmp_path / "out"))


def described(job: Job, **changes) -> dict:
    changed = dataclasses.replace(job, **changes)
    return changed.described(survey(changed.paths(), changed.shard_size)[0])


def test_the_description_tells_what_decides_the_output(job):
    begin(job.output, described(job), is_begun=False, resume=False)
    with open(f"{job.output}/job.json", encoding="utf-8") as file:
        content = json.load(file)
    assert content == described(job)
    assert (content["engine"], content["precision"], content["task"]) == ("onnx", "fp32", "generate")
    assert content["settings"]["max_new_tokens"] == 64
    assert content["inputs"]["asked.jsonl"]["num_records"] == 7
    assert described(job, task="score")["settings"] == {}


def test_an_input_may_have_a_name_that_is_no_utf8(job, tmp_path):
    path = os.path.join(tmp_path, os.fsdecode(b"caf\xe9.txt"))
    with open(path, "w", encoding="utf-8") as file:
        file.write("hello\n")
    asked = dataclasses.replace(job, inputs=[path])
    begin(asked.output, described(asked), is_begun=False, resume=False)
    begin(asked.output, described(asked), is_begun=True, resume=True)


def test_the_same_job_goes_on(job, tmp_path):
    settings = GenerationConfig(stop=("a", "b"), logit_bias={3: 1.0}, bad_words_ids=((1, 2),))
    begin(job.output, described(job, settings=settings), is_begun=False, resume=True)
    begin(job.output, described(job, settings=settings), is_begun=True, resume=True)
    begin(job.output, described(job, settings=settings, engine="onnx"), is_begun=True, resume=True)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"settings": GenerationConfig(seed=1)}, "was begun with seed 0, and now it is 1"),
        ({"settings": GenerationConfig(stop=("x",))}, r'was begun with stop \[\], and now it is \["x"\]'),
        ({"task": "score"}, 'was begun with task "generate", and now it is "score"'),
        ({"engine": "saved_model"}, 'was begun with engine "onnx", and now it is "saved_model"'),
        ({"precision": "int8"}, 'was begun with precision "fp32", and now it is "int8"'),
        ({"shard_size": 2}, "was begun with shard_size 256, and now it is 2"),
        ({"batch_size": 2}, "was begun with batch_size 32, and now it is 2"),
    ],
)
def test_another_setting_is_refused(job, changes, sentence):
    begin(job.output, described(job), is_begun=False, resume=False)
    with pytest.raises(UsageError, match=f"{sentence}; give what it was begun with, or another --output"):
        begin(job.output, described(job, **changes), is_begun=True, resume=True)


def test_another_input_is_refused(job, jsonl):
    begin(job.output, described(job), is_begun=False, resume=False)
    more = [*job.inputs, str(jsonl("more.jsonl"))]
    with pytest.raises(
        UsageError, match="with the inputs asked.jsonl, and now it is asked.jsonl, more.jsonl"
    ):
        begin(job.output, described(job, inputs=more), is_begun=True, resume=True)
    jsonl(lines=['{"prompt": "another"}'])
    with pytest.raises(UsageError, match="asked.jsonl: has changed since .*/out was begun"):
        begin(job.output, described(job), is_begun=True, resume=True)


def test_another_bundle_is_refused(job, bundle_copy):
    begin(job.output, described(job), is_begun=False, resume=False)
    begin(
        job.output, described(job, bundle=str(bundle_copy)), is_begun=True, resume=True
    )  # the same, elsewhere
    manifest = bundle_copy / "kerasgpt.json"
    manifest.write_text(manifest.read_text().replace("sha256", "SHA256") + " ")
    with pytest.raises(UsageError, match="was begun with another bundle, or this one has changed"):
        begin(job.output, described(job, bundle=str(bundle_copy)), is_begun=True, resume=True)


def test_output_is_not_written_over_unasked(job):
    begin(job.output, described(job), is_begun=False, resume=False)
    begin(job.output, described(job, shard_size=2), is_begun=False, resume=False)  # nothing was written yet
    with pytest.raises(UsageError, match="holds the output of a job; go on with --resume"):
        begin(job.output, described(job), is_begun=True, resume=False)


def test_shards_without_a_description_are_refused(job):
    with pytest.raises(UsageError, match="has shards and no job.json"):
        begin(job.output, described(job), is_begun=True, resume=True)


def test_a_damaged_description_is_refused(job, tmp_path):
    begin(job.output, described(job), is_begun=False, resume=False)
    for text in ("[1]", "{", ""):
        (tmp_path / "out" / "job.json").write_text(text)
        with pytest.raises(KerasGPTError, match=r"job.json: (is no description|cannot read)"):
            begin(job.output, described(job), is_begun=True, resume=True)


def test_wrong_wishes_are_refused(job, model_folder, tmp_path):
    with pytest.raises(UsageError, match="unknown task 'scor': did you mean 'score'"):
        dataclasses.replace(job, task="scor")
    with pytest.raises(UsageError, match="shard_size is 0: it must be 1 or more"):
        dataclasses.replace(job, shard_size=0)
    with pytest.raises(UsageError, match=r"model: is no bundle; make one with 'kerasgpt export"):
        dataclasses.replace(job, bundle=str(model_folder))
    with pytest.raises(UsageError, match="did you mean 'onnx'"):
        dataclasses.replace(job, engine="onxx")
    (tmp_path / "a.txt").write_text("a\n")
    assert dataclasses.replace(job, inputs=[str(tmp_path / "a.*")]).paths() == [str(tmp_path / "a.txt")]
    with pytest.raises(UsageError, match=r"a.txt: to score takes .jsonl files"):
        dataclasses.replace(job, task="score", inputs=[str(tmp_path / "a.*")]).paths()


def test_paths_may_be_objects_and_inputs_are_several(job, jsonl):
    path = jsonl()
    same = Job(Path(job.bundle), [path], Path(job.output))
    assert (same.bundle, same.inputs, same.output) == (job.bundle, [str(path)], job.output)
    with pytest.raises(UsageError, match="a list of inputs is needed"):
        dataclasses.replace(job, inputs=str(path))
