"""Many texts through a bundle with Apache Beam: written, then scored, then counted in a pipeline of your own.

    python examples/07_bulk.py [BUNDLE]

Five seconds; without BUNDLE half a minute more: 02_export.py makes one. Expect "4 of 4 shards", "1 of
4" where one was lost, "as before: True", and far fewer nats for what the model wrote than for it backwards.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import apache_beam as beam
from apache_beam.ml.inference.base import KeyedModelHandler, RunInference

import kerasgpt
from kerasgpt.bulk.handler import BundleHandler
from kerasgpt.bulk.job import Job
from kerasgpt.bulk.output import rows
from kerasgpt.bulk.pipeline import run
from kerasgpt.bulk.records import Record
from kerasgpt.bulk.runners import new_pipeline

SPEAKERS = ["ROMEO", "JULIET", "KING", "First Citizen"]
SETTINGS = kerasgpt.GenerationConfig(max_new_tokens=20, temperature=0.8, top_k=40, seed=1)


def main(bundle: Path, folder: Path) -> None:
    prompts = [f"{speaker}:\nAct {number}. " for number in range(10) for speaker in SPEAKERS]
    (folder / "prompts.jsonl").write_text("".join(json.dumps({"prompt": each}) + "\n" for each in prompts))
    job = Job(str(bundle), [str(folder / "*.jsonl")], str(folder / "out"), settings=SETTINGS, shard_size=10)
    print(f"{run(job).counters['shards']} of 4 shards written")
    lost = folder / "out" / "part-00002-of-00004.jsonl"
    before = lost.read_bytes()
    lost.unlink()
    print(f"{run(job, resume=True).counters['shards']} of 4 shards written")
    print("as before:", lost.read_bytes() == before)

    keyed = [
        (name, Record(row["id"], 0, row["prompt"], row["text"][::step]))
        for row in rows(job.output)
        for name, step in (("forwards", 1), ("backwards", -1))
    ]
    with new_pipeline() as pipeline:
        scores = (
            pipeline | beam.Create(keyed) | RunInference(KeyedModelHandler(BundleHandler(bundle, "score")))
        )
        nats = scores | beam.MapTuple(lambda name, found: (name, -found.inference.results[0].logprob))
        means = nats | beam.combiners.Mean.PerKey()
        _ = means | beam.MapTuple(lambda name, mean: print(f"{name}: {mean:.1f} nats a text"))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        if len(sys.argv) < 2:
            script = Path(__file__).with_name("02_export.py")
            subprocess.run([sys.executable, script, temporary], check=True)
        main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(temporary) / "bundle", Path(temporary))
