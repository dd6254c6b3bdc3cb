"""transformers.js runs a bundle's portable files in a headless Chromium, on WASM: greedy ids, and texts."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from transformers_js_answers import Model, external, problems

HERE = Path(__file__).parent
ENVIRONMENT = Path(sys.executable).parents[1]  # Node's packages lie in the same folder as Python's
PACKAGES = ENVIRONMENT / "node_modules"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def main(folder: str) -> int:
    """Compare the files a page would load, one of them with its weights beside it."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if not browser:
        print(
            f"transformers_js_browser: needs a Chromium, on the path as {', '.join(BROWSERS)}; on Debian"
            " apt-get install chromium",
            file=sys.stderr,
        )
        return 1
    bundle = Path(folder)
    models = [
        Model(bundle, "", "model_quantized.onnx"),
        Model(bundle, "q4", "model_q4.onnx"),
        Model(bundle, "fp32", "model.onnx"),
        Model(external(bundle), "", "model.onnx"),
    ]
    fetched: list[str] = []
    with tempfile.TemporaryDirectory() as scratch, served(Path(scratch), bundle.parent) as address:
        found = problems(models, lambda requests: ask(browser, Path(scratch), address, requests, fetched))
        found += wrong_addresses(models, address, fetched)
    for problem in found:
        print(f"transformers_js_browser: {problem}", file=sys.stderr)
    return int(bool(found))


@contextmanager
def served(scratch: Path, models: Path) -> Iterator[str]:
    """A server on this machine alone, of a page and all that it needs: its address."""
    site = scratch / "site"
    site.mkdir()
    parts = {
        "index.html": HERE / "transformers_js_browser.html",
        "client": HERE,
        "transformers": PACKAGES / "@huggingface" / "transformers" / "dist",
        "wasm": PACKAGES / "onnxruntime-web" / "dist",
        "models": models,
    }
    for name, place in parts.items():
        (site / name).symlink_to(place)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


class Quiet(SimpleHTTPRequestHandler):
    """Files of a folder, without a line for each request."""

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def ask(
    browser: str, scratch: Path, address: str, requests: list[dict[str, Any]], fetched: list[str]
) -> list[dict[str, Any]]:
    """Let the page answer; what it has fetched is added to `fetched`."""
    command = [
        "node",
        HERE / "transformers_js_browser.mjs",
        ENVIRONMENT,
        browser,
        scratch / "profile",
        address,
    ]
    child = subprocess.run(
        command, input=json.dumps(requests), stdout=subprocess.PIPE, encoding="utf-8", check=True
    )
    answer = json.loads(child.stdout)
    fetched += answer["fetched"]
    print(f"       transformers.js {answer['version']}, Chromium {answer['browser']}, WASM")
    found: list[dict[str, Any]] = answer["found"]
    return found


def wrong_addresses(models: list[Model], address: str, fetched: list[str]) -> list[str]:
    """Files that were not asked for, or that came from elsewhere."""
    wanted = {f"{address}models/{model.bundle.name}/onnx/{model.file}" for model in models}
    read = {url for url in fetched if url.endswith(".onnx")}
    elsewhere = [url for url in fetched if not url.startswith((address, "blob:", "data:"))]
    problems = [f"the page read {', '.join(sorted(read))}"] if read != wanted else []
    return problems + [f"the page asked for {url}" for url in elsewhere]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
