"""One table: engine -> the function that opens a folder with it, resolved when chosen; `load` lives here."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerasgpt import checks
from kerasgpt.artifacts import (
    FORMATS,
    MANIFEST,
    ONNX_FILES,
    ONNX_MODEL,
    PRECISIONS,
    SAVED_MODEL,
    SAVED_MODEL_PRECISIONS,
    WEIGHTS,
    WEIGHTS_INDEX,
    folder_kind,
    model_folder,
    saved_models_of,
)
from kerasgpt.errors import KerasGPTError, UsageError, unknown_name
from kerasgpt.extras import require
from kerasgpt.manifest import Manifest

if TYPE_CHECKING:
    from kerasgpt.protocols import LanguageModel

# engine -> (function that opens a folder, the file it needs there, the module it needs, the extra with it)
ENGINES = {
    "onnx": ("kerasgpt.runtime.language_model:open_bundle", ONNX_MODEL, "onnxruntime", ""),
    "saved_model": ("kerasgpt.in_graph.language_model:open_bundle", SAVED_MODEL, "tensorflow", "train"),
    "keras": ("kerasgpt.models.language_model:open_model", WEIGHTS, "keras", "train"),
}

# engine -> the precisions it has files of
ENGINE_PRECISIONS = {"onnx": tuple(ONNX_FILES), "saved_model": SAVED_MODEL_PRECISIONS, "keras": ("fp32",)}

# What a model's from_preset and save_to_preset reach for; the checkpoints room lies above the models.
CHECKPOINT_READER = "kerasgpt.checkpoints.formats:read_checkpoint"
CHECKPOINT_WRITER = "kerasgpt.checkpoints.native:write_model"
CHECKPOINT_ASSIGNER = "kerasgpt.checkpoints.mapping:assign_arrays"


def resolve(target: str) -> Any:
    """Import ``"module:name"`` and return the object."""
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


def load(
    folder: str | os.PathLike[str],
    engine: str = "auto",
    precision: str | None = None,
    *,
    num_threads: int | None = None,
    providers: Sequence[str] | str | None = None,
    prefix_cache_tokens: int | None = None,
    huge_pages: bool | None = None,
) -> LanguageModel:
    """Open a model folder, a run or a bundle as a language model.

    Args:
        folder: where it lies.
        engine: ``"onnx"``, ``"saved_model"``, ``"keras"``, or ``"auto"``: the first of these that has
            its file there.
        precision: of the exported file; None means with ONNX float32, or in a bundle without it the first of
            int8 and int4 that is there, and otherwise the SavedModel at saved_model/1.
        num_threads: that work on one operator, with ONNX only; None means one for each core.
        providers: where ONNX Runtime computes, such as ``"cuda"``, the preferred one first; None means the
            CPU, and only there the fast files run.
        prefix_cache_tokens: with ONNX only: so many tokens of beginnings of prompts are kept, and not read
            again by later calls. A token takes 2 L D 4 bytes, 74 kB on GPT-2's smallest size; None means off.
        huge_pages: with ONNX only, on Linux: whether the memory of this process is moved into pages of
            2 MiB. Loading takes longer (a second at 500 MB), then float32 is faster; None means no.

    It may be used from several threads; `kerasgpt.ContinuousBatching` writes their texts together.

    Raises:
        UsageError: no such engine, precision or provider, or a setting that the engine does not have.
        KerasGPTError: the folder lacks the file, or the engine is not installed.

    ```python
    lm = kerasgpt.load("saved_models/demo")
    lm.generate(["ROMEO:"])[0].text
    ```
    """
    if precision is not None and precision not in PRECISIONS:
        raise unknown_name("precision", precision, PRECISIONS)
    chosen = choose(folder, engine)
    if precision is not None and precision not in ENGINE_PRECISIONS[chosen]:
        others = " or ".join(name for name, has in ENGINE_PRECISIONS.items() if precision in has)
        known = ", ".join(ENGINE_PRECISIONS[chosen])
        raise UsageError(
            f"precision {precision}: the {chosen} engine has {known} only; use --engine {others}"
        )
    own = {
        "num_threads": num_threads,
        "providers": providers,
        "prefix_cache_tokens": prefix_cache_tokens,
        "huge_pages": huge_pages,
    }
    given = {name: value for name, value in own.items() if value is not None}
    for name, value in given.items():
        if chosen != "onnx":
            raise UsageError(f"{name} {value}: the {chosen} engine has no such setting; use onnx")
    if num_threads is not None:
        checks.num_threads(num_threads, least=1)
    root = model_folder(folder)
    target, file, module, extra = ENGINES[chosen]
    if not _lies_in(root, file):
        raise KerasGPTError(_missing_file(root, file, chosen))
    require(module, extra, f"the {chosen} engine")
    options = {} if chosen == "keras" else {"precision": precision, **given}
    model: LanguageModel = resolve(target)(root, **options)
    return model


def choose(folder: str | os.PathLike[str], engine: str = "auto") -> str:
    """The engine that `load` opens a folder with.

    Raises:
        UsageError: no such engine; or ``"auto"``, and there is nothing to run.
        KerasGPTError: no such folder.
    """
    if engine not in ENGINES and engine != "auto":
        raise unknown_name("engine", engine, ["auto", *ENGINES])
    return _first_available(model_folder(folder)) if engine == "auto" else engine


def precision_of(folder: str | os.PathLike[str], engine: str) -> str:
    """The precision that `load` opens with an engine of `ENGINES`, unless told otherwise.

    Raises:
        KerasGPTError: the manifest of a bundle is damaged.
    """
    root = model_folder(folder)
    manifest = Manifest.read(root) if (root / MANIFEST).is_file() else None
    if manifest is None or engine == "keras":
        return "fp32"
    if engine == "saved_model":
        return saved_models_of(manifest.precisions)["saved_model"]
    if "onnx" in manifest.formats:
        return "fp32"
    # A slim bundle, which owns up to have no portable file: the first that it has.
    there = (name for name, files in ONNX_FILES.items() if any((root / file).exists() for file in files))
    return next(there, "fp32")


def _first_available(root: Path) -> str:
    for name, (_, file, _, _) in ENGINES.items():
        if _lies_in(root, file):
            return name
    raise UsageError(
        f"{root}: holds no {ONNX_MODEL}, {SAVED_MODEL} or {WEIGHTS}: nothing to run;"
        f" 'kerasgpt import' reads other checkpoints"
    )


def _lies_in(root: Path, file: str) -> bool:
    if file == ONNX_MODEL:  # a slim bundle has a fast file in its place
        return any((root / name).exists() for names in ONNX_FILES.values() for name in names)
    return (root / file).exists() or (file == WEIGHTS and (root / WEIGHTS_INDEX).exists())  # or in shards


def _missing_file(root: Path, file: str, engine: str) -> str:
    if folder_kind(root) == "model" and engine != "keras":
        return f"{root}: has no {file}: export it first with 'kerasgpt export {root} --out BUNDLE'"
    others = [name for name, (_, needed, _, _) in ENGINES.items() if _lies_in(root, needed)]
    remedies = [f"use the {others[0]} engine"] if others else []
    if engine != "keras":
        if not others or _lies_in(root, WEIGHTS):
            remedies.append(f"export the model again with --formats {','.join(FORMATS)}")
    elif folder_kind(root) == "bundle":
        remedies.append("export the model again without --weights none")
    else:
        remedies.append("'kerasgpt import' reads other checkpoints")
    return f"{root}: has no {file}, which the {engine} engine needs; {', or '.join(remedies)}"
