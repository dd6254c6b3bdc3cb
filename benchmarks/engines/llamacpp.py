"""llama.cpp, flash attention on: ``python llamacpp.py FILE.gguf``; no text, tokens chosen by numpy."""

import os
import sys

import llama_cpp as llama
import numpy as np
from worker import Write, serve

CONTEXT, LARGEST_BATCH = 1024, 8


@llama.llama_log_callback
def silent(level, text, data):
    """Say nothing."""


def load(path: str) -> Write:
    """Open a GGUF file."""
    llama.llama_log_set(silent, None)
    llama.llama_backend_init()
    model = llama.llama_model_load_from_file(path.encode(), llama.llama_model_default_params())
    params = llama.llama_context_default_params()
    params.n_ctx, params.n_seq_max = CONTEXT * LARGEST_BATCH, LARGEST_BATCH
    params.n_batch, params.n_ubatch = 2048, 512
    params.n_threads = params.n_threads_batch = os.cpu_count()
    params.flash_attn_type = llama.LLAMA_FLASH_ATTN_TYPE_ENABLED
    context = llama.llama_init_from_model(model, params)
    vocabulary_size = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(model))
    batch = llama.llama_batch_init(2048, 0, 1)

    def read(rows: list[tuple[int, int, list[int]]]) -> list[int]:
        """Read tokens of rows (number, position, ids); each row's best next one."""
        count, last = 0, []
        for number, start, ids in rows:
            for place, index in enumerate(ids):
                batch.token[count], batch.pos[count] = index, start + place
                batch.n_seq_id[count], batch.seq_id[count][0] = 1, number
                batch.logits[count] = place == len(ids) - 1
                count += 1
            last.append(count - 1)
        batch.n_tokens = count
        assert llama.llama_decode(context, batch) == 0
        found = [llama.llama_get_logits_ith(context, place) for place in last]
        return [int(np.ctypeslib.as_array(row, (vocabulary_size,)).argmax()) for row in found]

    def write(prompts: list[list[int]], num_tokens: int) -> list[list[int]]:
        llama.llama_memory_clear(llama.llama_get_memory(context), True)
        rows = [read([(number, 0, prompt)]) for number, prompt in enumerate(prompts)]
        for step in range(num_tokens - 1):
            place = [len(prompt) + step for prompt in prompts]
            new = read([(number, place[number], row[-1:]) for number, row in enumerate(rows)])
            for row, index in zip(rows, new, strict=True):
                row.append(index)
        return rows

    return write


if __name__ == "__main__":
    serve(llama.__version__, lambda: load(*sys.argv[1:]))
