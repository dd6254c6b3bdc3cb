"""Our ROUGE beside the published scores of five systems on XSum: ``ARCHIVE [--out FILE]``.

The authors gave out the systems' summaries too. They used the Perl program ROUGE 1.5.5,
which rouge-score follows without being a copy of it.
"""

from __future__ import annotations

import argparse
import re
import tarfile

from kerasgpt.artifacts import write_json
from kerasgpt.tasks.base import Outcome, totals
from kerasgpt.tasks.metrics.rouge import rouge_counts, rouge_figures

SYSTEMS = ("lead", "ext-oracle", "ptgen", "convs2s", "topic-convs2s")
GOLD = "gold-test-sentences.txt"
PUBLISHED = re.compile(r"f-score >> ROUGE\(1/2/3/L/SU4\): ([\d.]+)/([\d.]+)/[\d.]+/([\d.]+)/")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", help="xsum-model-predictions.tar.gz of EdinburghNLP/XSum")
    parser.add_argument("--out", default="benchmarks/results/rouge_xsum.json")
    arguments = parser.parse_args()
    with tarfile.open(arguments.archive) as archive:
        texts = {
            member.name.rpartition("/")[2]: archive.extractfile(member).read().decode()
            for member in archive
            if member.isfile()
        }
    gold = texts[GOLD].splitlines()
    systems = {}
    for name in SYSTEMS:
        written = texts[f"{name}-test-output.txt"].splitlines()
        ours = rouge_figures(
            totals(
                Outcome(rouge_counts(*pair)) for pair in zip(written, ([line] for line in gold), strict=True)
            )
        )
        match = PUBLISHED.search(texts[f"{name}-test-output.rouge"])
        published = dict(zip(ours, map(float, match.groups()), strict=True))
        apart = max(abs(ours[key] - published[key]) for key in ours)
        systems[name] = {"ours": ours, "published": published, "largest_difference": round(apart, 3)}
        print(
            f"{name:14}", *(f"{key} {ours[key]:.2f} ({published[key]:.2f})" for key in ours), f"{apart:.2f}"
        )
    write_json(arguments.out, {"num_summaries": len(gold), "systems": systems})


if __name__ == "__main__":
    main()
