"""transformers on torch: ``python torch_lm.py MODEL float32|bfloat16``; no text."""

import sys

import torch
import transformers
from worker import Write, serve


def load(folder: str, dtype: str) -> Write:
    """Open a Hugging Face folder."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()

    def write(prompts: list[list[int]], num_tokens: int) -> list[list[int]]:
        ids = torch.tensor(prompts)
        with torch.inference_mode():
            found = model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=num_tokens,
                min_new_tokens=num_tokens,
                do_sample=False,
                pad_token_id=0,
            )
        return found[:, ids.shape[1] :].tolist()

    return write


if __name__ == "__main__":
    serve(transformers.__version__, lambda: load(*sys.argv[1:]))
