"""Memory that encoding a large text to disk takes: ``PATH... [--megabytes N] [--out FILE]``.

Writes the texts again and again into one file until it is large enough, a document each, packs it with
GPT-2's vocabulary in a process of its own, and reports that process's peak resident memory. The exit code is
1 if it reached 500 MB. Needs disk for twice the text, for as long as it runs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from itertools import cycle
from pathlib import Path

from machine import machine, versions

from kerasgpt.atomic import write_text

LIMIT_MEGABYTES = 500

# The peak of a child begins at its parent's size, which is small here: texts are copied one at a time.
PACK = """
import json, resource, sys
from kerasgpt.data.packing import pack
from kerasgpt.data.splits import Split
from kerasgpt.tokenizer.bpe import Tokenizer
corpus = pack([sys.argv[1]], Tokenizer.from_preset("gpt2"), Split(), cache=sys.argv[2])
sizes = corpus.sizes.values()
print(json.dumps({
    "peak_resident_megabytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6),
    "num_tokens": sum(size.num_tokens for size in sizes),
    "num_bytes": sum(size.num_bytes for size in sizes),
    "num_documents": sum(size.num_documents for size in sizes),
    "token_files_megabytes": round(sum(file.stat().st_size for file in corpus.folder.rglob("*")) / 1e6),
}))
"""


def write_corpus(paths: list[Path], target: Path, num_bytes: int) -> None:
    """Join texts, with lines of end of text between them, until the file is as large as wanted."""
    size = 0
    with target.open("wb") as file:
        for path in cycle(paths):
            size += file.write(path.read_bytes() + b"\n<|endoftext|>\n")
            if size >= num_bytes:
                return


def main() -> int:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", nargs="+", type=Path, help="UTF-8 texts")
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "text.txt"
        write_corpus(options.paths, text, options.megabytes * 1_000_000)
        text_megabytes = round(text.stat().st_size / 1e6)
        command = [sys.executable, "-c", PACK, str(text), str(Path(folder) / "cache")]
        child = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    result = {
        "text_megabytes": text_megabytes,
        **json.loads(child.stdout),
        "texts": [f"{path.parent.name}/{path.name}" for path in options.paths],
        "versions": versions("tokenizers", "tiktoken", "numpy"),
        "machine": machine(),
    }
    print(json.dumps(result, indent=2))
    if options.out:
        write_text(options.out, json.dumps(result, indent=2) + "\n")
    return int(result["peak_resident_megabytes"] >= LIMIT_MEGABYTES)


if __name__ == "__main__":
    sys.exit(main())
