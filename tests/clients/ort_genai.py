"""ONNX Runtime GenAI opens a bundle, and each fast file by its overlay: stream, ragged batch."""

from __future__ import annotations

import sys
from pathlib import Path

import onnxruntime_genai
from onnxruntime_genai import Config, Generator, GeneratorParams, Model, Tokenizer

from kerasgpt import artifacts
from kerasgpt.export.parity import compare_ids, tolerance_of
from kerasgpt.export.reference import Reference

RAGGED = (1, 2, 4)  # recorded prompts of different lengths
ANSWERS = {
    "": "parity.npz",
    "fp32": "parity.npz",
    "int8": "parity_fast_int8.npz",
    "int4": "parity_fast_int4.npz",
}


def main(bundle: str) -> int:
    """Compare what GenAI writes with what the bundle recorded."""
    problems, compared = [], 0
    for precision, answers in ANSWERS.items():
        reference = Reference.load(Path(bundle) / answers)
        tolerance = tolerance_of(precision or "fp32", reference)
        model = open_model(bundle, precision)
        streamed = {row: stream(model, reference, row) for row in RAGGED}
        rows = {row: ids for row, (ids, _) in streamed.items()}
        for how, written in (("alone", rows), ("in a batch", batch(model, reference))):
            for row, ids in written.items():
                count, tied, problem = compare_ids(reference, row, ids, tolerance)
                compared += count
                if problem:
                    problems.append(f"{precision or 'portable'}, prompt {row} {how}: {problem}")
                elif how == "alone" and not tied and streamed[row][1] != reference.texts[row]:
                    problems.append(f"{precision or 'portable'}, prompt {row}: the stream is another text")
    print(
        f"       GenAI {onnxruntime_genai.__version__}: {compared} greedy tokens equal, portable and fast in"
        " three precisions, streamed and in a ragged batch"
    )
    for problem in problems:
        print(f"ort_genai: {problem}", file=sys.stderr)
    return int(bool(problems))


def open_model(bundle: str, precision: str) -> Model:
    """The portable file, or a fast one."""
    config = Config(bundle)
    if precision:
        config.overlay((Path(bundle) / artifacts.GENAI_FOLDER / f"{precision}.json").read_text())
    return Model(config)


def prompt_ids(reference: Reference, row: int) -> list[int]:
    """A recorded prompt."""
    return reference.ids[row, : reference.prompt_lengths[row]].tolist()


def generator(model: Model, max_length: int, batch_size: int) -> Generator:
    """A greedy one."""
    params = GeneratorParams(model)
    params.set_search_options(max_length=max_length, batch_size=batch_size, do_sample=False)
    return Generator(model, params)


def stream(model: Model, reference: Reference, row: int) -> tuple[list[int], str]:
    """The ids that follow a prompt, read as text, and the text token by token."""
    tokenizer = Tokenizer(model)
    ids = tokenizer.encode(reference.prompts[row]).tolist()
    assert ids == prompt_ids(reference, row), reference.prompts[row]
    wanted = len(reference.continuations[row])
    running = generator(model, len(ids) + wanted, 1)
    running.append_tokens(ids)
    pieces, texts = tokenizer.create_stream(), []
    while not running.is_done():
        running.generate_next_token()
        texts.append(pieces.decode(running.get_next_tokens()[0]))
    return running.get_sequence(0).tolist()[len(ids) :], "".join(texts)


def batch(model: Model, reference: Reference) -> dict[int, list[int]]:
    """What follows several prompts at once; the shorter ones are padded on the right and go on behind it."""
    prompts = [reference.prompts[row] for row in RAGGED]
    width = max(len(prompt_ids(reference, row)) for row in RAGGED)
    wanted = max(len(reference.continuations[row]) for row in RAGGED)
    running = generator(model, width + wanted, len(prompts))
    running.append_tokens(Tokenizer(model).encode_batch(prompts))
    while not running.is_done():
        running.generate_next_token()
    return {
        row: running.get_sequence(number).tolist()[width:][: len(reference.continuations[row])]
        for number, row in enumerate(RAGGED)
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
