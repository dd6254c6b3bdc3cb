"""Ask a bundle as a server does: the request that the bundle itself shows, then a text in pieces.

    python examples/06_tensorflow_serving.py [BUNDLE [URL]]

URL is the model's on a server, such as http://localhost:8501/v1/models/story; BUNDLE/serving/README.md starts
one. Without it the SavedModel is asked in this process: half a minute; without BUNDLE one more, to make it.
Expect two continuations, the second one sampled, and the first one again in pieces, with | between.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import tensorflow as tf

from kerasgpt import GenerationConfig
from kerasgpt.serving.predict_client import Predict, stream
from kerasgpt.serving.rest import rest_predict
from kerasgpt.serving.saved_model import saved_model_predict


def array(values: list) -> np.ndarray:
    if isinstance(values[0], str):
        return np.array([text.encode() for text in values], object)
    return np.array(values, np.float32 if isinstance(values[0], float) else np.int64)


def ask(bundle: Path, predict: Predict) -> None:
    request = json.loads((bundle / "serving" / "rest" / "generate.columns.json").read_text("utf-8"))
    inputs = {name: array(values) for name, values in request["inputs"].items()}
    for text in predict(request["signature_name"], inputs)["text"]:
        print(repr(text.decode()))
    settings = GenerationConfig(max_new_tokens=request["inputs"]["max_new_tokens"][0])
    pieces = stream(predict, request["inputs"]["prompts"][0], settings, tokens_per_call=4)
    print(repr("|".join(pieces)))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        given, made = (
            Path(sys.argv[1] if len(sys.argv) > 1 else f"{temporary}/bundle"),
            Path(temporary) / "served",
        )
        if len(sys.argv) == 1:
            subprocess.run([sys.executable, Path(__file__).with_name("02_export.py"), temporary], check=True)
        if not (given / "serving").is_dir():  # it has ONNX only
            words = ["-m", "kerasgpt", "export", given, "--out", made, "--formats", "saved_model"]
            subprocess.run([sys.executable, *words], check=True, capture_output=True)
            given = made
        if len(sys.argv) > 2:
            ask(given, rest_predict(sys.argv[2]))
        else:
            ask(given, saved_model_predict(tf.saved_model.load(str(given / "saved_model" / "1"))))
