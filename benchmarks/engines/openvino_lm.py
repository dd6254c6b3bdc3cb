"""OpenVINO over our portable graph: ``python openvino_lm.py FILE.onnx f32|bf16|int8|int4``; no text.

The graph takes past keys and values and gives new ones; they are made the model's state, so that they stay
where they are. Integers are NNCF's, the weights' alone, as OpenVINO's own pages recommend for generation.
"""

import sys

import nncf
import numpy as np
import openvino
from openvino._offline_transformations import apply_make_stateful_transformation
from worker import Write, serve

INTEGERS = {
    "int8": {"mode": nncf.CompressWeightsMode.INT8_ASYM},
    "int4": {"mode": nncf.CompressWeightsMode.INT4_SYM, "group_size": 128, "ratio": 1.0},
}


def load(path: str, precision: str) -> Write:
    """Read an ONNX file and compile it for the CPU."""
    core = openvino.Core()
    model = core.read_model(path)
    pasts = [value.any_name for value in model.inputs if value.any_name.startswith("past_key_values.")]
    _, num_heads, _, width = model.input(pasts[0]).partial_shape
    apply_make_stateful_transformation(
        model, {past: past.replace("past_key_values", "present") for past in pasts}
    )
    if precision in INTEGERS:
        model = nncf.compress_weights(model, **INTEGERS[precision])
    hints = {"PERFORMANCE_HINT": "LATENCY"}
    if precision not in INTEGERS:
        hints["INFERENCE_PRECISION_HINT"] = precision
    request = core.compile_model(model, "CPU", hints).create_infer_request()

    def write(prompts: list[list[int]], num_tokens: int) -> list[list[int]]:
        empty = np.zeros((len(prompts), num_heads.get_length(), 0, width.get_length()), np.float32)
        for state in request.query_state():
            state.state = openvino.Tensor(empty)
        ids, start, rows = np.array(prompts, np.int64), 0, []
        for _ in range(num_tokens):
            end = start + ids.shape[1]
            feeds = {
                "input_ids": ids,
                "attention_mask": np.ones((len(ids), end), np.int64),
                "position_ids": np.broadcast_to(np.arange(start, end), ids.shape).copy(),
            }
            logits = request.infer(feeds)["logits"]
            ids, start = logits[:, -1:].argmax(-1), end
            rows.append(ids[:, 0])
        return np.stack(rows, axis=1).tolist()

    return write


if __name__ == "__main__":
    serve(openvino.__version__, lambda: load(*sys.argv[1:]))
