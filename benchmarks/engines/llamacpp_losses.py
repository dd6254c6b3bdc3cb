"""llama.cpp's losses: ``python llamacpp_losses.py FILE.gguf ROWS.npy OUT.npy``.

ROWS are token ids (R, T); OUT gets the nats of the second half of each row, float64 (R, T - T // 2).
"""

import sys

import llama_cpp
import numpy as np


def main(path: str, rows_path: str, out_path: str) -> None:
    """Read every row and write what it cost."""
    rows = np.load(rows_path)
    width, half = rows.shape[1], rows.shape[1] // 2
    options = {"n_ctx": width, "n_batch": width, "n_ubatch": width, "logits_all": True}
    model = llama_cpp.Llama(path, flash_attn=True, verbose=False, **options)
    losses = []
    for row in rows:
        model.reset()
        model.eval(row.tolist())
        logits = np.array(model.scores[half - 1 : width - 1], np.float64)
        shifted = logits - logits.max(axis=-1, keepdims=True)
        totals = np.log(np.exp(shifted).sum(axis=-1))
        losses.append(totals - shifted[np.arange(width - half), row[half:]])
    np.save(out_path, np.stack(losses))


if __name__ == "__main__":
    main(*sys.argv[1:])
