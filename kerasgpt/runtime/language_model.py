"""A bundle as a language model on ONNX Runtime: numpy and onnxruntime are all it needs."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

from kerasgpt import artifacts, checks
from kerasgpt.engines import precision_of
from kerasgpt.errors import KerasGPTError, UsageError, unknown_name
from kerasgpt.generation.language_model import StepLanguageModel
from kerasgpt.generation.soft_prompt import read_soft_prompt, with_soft_prompt
from kerasgpt.protocols import StepModel
from kerasgpt.runtime.embeds import EmbedsStepModel
from kerasgpt.runtime.forward import ForwardModel
from kerasgpt.runtime.fused import FusedStepModel
from kerasgpt.runtime.interface import FORWARD
from kerasgpt.runtime.memory import use_huge_pages
from kerasgpt.runtime.providers import CPU, resolve_providers
from kerasgpt.runtime.recurrent import RecurrentOnnxModel
from kerasgpt.runtime.session import MissingOperatorError, OnnxStepModel, open_session
from kerasgpt.tokenizer.bpe import Tokenizer


class PortableGraphWarning(UserWarning):
    """The fast graph cannot be run here, and the portable one is in its place."""


def open_bundle(
    folder: str | os.PathLike[str],
    *,
    precision: str | None = None,
    num_threads: int = 0,
    providers: Sequence[str] | str | None = None,
    prefix_cache_tokens: int = 0,
    huge_pages: bool = False,
) -> StepLanguageModel:
    """Open the fastest ONNX file of a bundle that has the precision, its tokenizer and its settings.

    The fast files are for the CPU alone; for another provider the portable one of that precision is opened.
    Where this onnxruntime lacks an operator of a file, the portable graph is opened in its place, of the same
    precision if there is one, else in float32, with a PortableGraphWarning.

    Of a bundle with a soft prompt it is the file that reads vectors, behind that prompt.

    What is opened may be used from several threads at once: each call of `generate`, `stream` and `score`
    has texts of its own. They compete for the same cores; `kerasgpt.runtime.batching` writes them together.

    Args:
        folder: of the bundle.
        precision: ``"fp32"``, ``"fp16"``, ``"int8"`` or ``"int4"``; None means ``"fp32"``, or in a slim
            bundle the first that is there.
        num_threads: that work on one operator; 0 means one for each core.
        providers: where to compute, the preferred one first; see `resolve_providers`.
        prefix_cache_tokens: of beginnings of prompts that are kept for later ones, at most; 0 means none.
            A token takes 2 L D 4 bytes: 74 kB on GPT-2's smallest size, so that 4096 of them take 300 MB.
        huge_pages: whether this process's memory is then moved into pages of 2 MiB, see
            `kerasgpt.runtime.memory`: it is read faster, most in float32, and loading takes longer.

    Raises:
        UsageError: no such precision or provider, a number below 0, or a system without huge pages.
        KerasGPTError: a file is missing or damaged, lies outside the folder, or does not fit the others.

    ```python
    lm = open_bundle("saved_models/demo")
    print(lm.generate(["ROMEO:"])[0].text)
    ```
    """
    root = Path(folder)
    wanted = precision or precision_of(root, "onnx")
    if wanted not in artifacts.ONNX_FILES:
        raise unknown_name("precision", wanted, artifacts.ONNX_FILES)
    options: dict[str, Any] = {
        "num_threads": num_threads,
        "providers": providers,
        "prefix_cache_tokens": checks.at_least("prefix_cache_tokens", prefix_cache_tokens, 0, " (off)"),
    }
    lm = _open_fastest(root, wanted, options)
    if huge_pages:
        use_huge_pages()
    return lm


def _open_fastest(root: Path, precision: str, options: dict[str, Any]) -> StepLanguageModel:
    """Open a bundle's fastest file of a precision that runs here, or the one that reads its soft prompt."""
    prompt = root / artifacts.SOFT_PROMPT
    if prompt.is_dir():  # its graph has no fast form
        if precision != "fp32":
            raise UsageError(
                f"precision {precision}: the soft prompt in {prompt} is read by the fp32 file alone"
            )
        if options["prefix_cache_tokens"]:
            raise UsageError(
                f"prefix_cache_tokens {options['prefix_cache_tokens']}: behind the soft prompt in {prompt} no"
                " beginnings of prompts are kept; leave it out"
            )
        lm = open_file(root, artifacts.ONNX_EMBEDS, **options)
        return with_soft_prompt(lm, read_soft_prompt(prompt))
    files = _files_for(root, precision, resolve_providers(options["providers"]))
    for name, following in pairwise(files):
        try:
            return open_file(root, name, **options)
        except MissingOperatorError as error:
            warnings.warn(f"{error}; {following} runs in its place", PortableGraphWarning, stacklevel=2)
    return open_file(root, files[-1], **options)


def _files_for(root: Path, precision: str, providers: Sequence[str]) -> list[str]:
    """A bundle's files of a precision that run there, the fastest first, and the portable one at last."""
    names = artifacts.ONNX_FILES[precision]
    names = names if providers == [CPU] else names[-1:]
    found = [name for name in names if (root / name).exists()]
    if not found:
        raise KerasGPTError(_no_file(root, precision, is_portable=providers != [CPU]))
    if not (root / artifacts.ONNX_MODEL).exists():  # a slim bundle
        return found
    return list(dict.fromkeys([*found, artifacts.ONNX_MODEL]))


def _no_file(root: Path, precision: str, *, is_portable: bool) -> str:
    """The sentence for a precision that a bundle has no file of."""
    there = [
        name
        for name, files in artifacts.ONNX_FILES.items()
        if any((root / file).exists() for file in (files[-1:] if is_portable else files))
    ]
    remedies = [f"ask for the precision {' or '.join(there)}, which it has"] if there else []
    if not there or any((root / name).exists() for name in (artifacts.WEIGHTS, artifacts.WEIGHTS_INDEX)):
        wanted = ",".join(dict.fromkeys(["fp32", precision]))
        remedies.append(f"export the model again with --precisions {wanted}")
    kind = "portable ONNX file" if is_portable else "ONNX file"
    return f"{root}: has no {kind} in {precision}: {', or '.join(remedies)}"


def open_file(
    folder: str | os.PathLike[str],
    name: str,
    *,
    num_threads: int = 0,
    providers: Sequence[str] | str | None = None,
    prefix_cache_tokens: int = 0,
) -> StepLanguageModel:
    """Open one of a bundle's ONNX files with its tokenizer and settings; see `open_bundle`."""
    kept = checks.at_least("prefix_cache_tokens", prefix_cache_tokens, 0, " (off)")
    root = Path(folder)
    path = root / name
    if not artifacts.lies_in(root, path):
        raise KerasGPTError(f"{path}: leads to {os.path.realpath(path)}, outside the bundle; refused")
    config = artifacts.read_config(root)
    context = config.max_sequence_length
    # Either takes a tenth of a second, and half of that without Python's lock.
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(Tokenizer.from_preset, root)
        model = open_step_model(
            path, max_sequence_length=context, num_threads=num_threads, providers=providers
        )
        tokenizer = reading.result()
    if model.vocabulary_size != config.vocabulary_size:
        raise KerasGPTError(
            f"{path}: has {model.vocabulary_size} ids and {artifacts.CONFIG} says {config.vocabulary_size};"
            f" export the model again"
        )
    if kept and isinstance(model, RecurrentOnnxModel):
        raise UsageError(
            f"prefix_cache_tokens {kept}: a recurrent model's state cannot go back to where"
            f" another prompt parts from it; leave it out"
        )
    settings = artifacts.read_generation_config(root)
    return StepLanguageModel(model, tokenizer, settings, prefix_cache_tokens=kept)


def open_step_model(
    path: Path,
    *,
    max_sequence_length: int,
    num_threads: int = 0,
    providers: Sequence[str] | str | None = None,
) -> StepModel:
    """Open an ONNX file: portable, fused, recurrent, reading vectors or the forward pass alone; it tells."""
    session: Any = open_session(path, num_threads, resolve_providers(providers))
    inputs = {value.name for value in session.get_inputs()}
    if artifacts.INPUTS_EMBEDS in inputs:
        beside = path.with_name(Path(artifacts.EMBED_TOKENS).name)
        table: Any = open_session(beside, num_threads, resolve_providers(providers))
        context = max_sequence_length
        return EmbedsStepModel(path, max_sequence_length=context, session=session, embed_session=table)
    if inputs == FORWARD.inputs:
        return ForwardModel(session, path, max_sequence_length=max_sequence_length)
    if any(name.startswith(artifacts.PAST_STATE) for name in inputs):
        return RecurrentOnnxModel(session, path, max_sequence_length=max_sequence_length)
    if artifacts.LOGIT_OFFSETS in {value.name for value in session.get_overridable_initializers()}:
        return FusedStepModel(session, path, max_sequence_length=max_sequence_length)
    return OnnxStepModel(path, max_sequence_length=max_sequence_length, session=session)
