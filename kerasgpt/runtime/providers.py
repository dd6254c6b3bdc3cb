"""Where ONNX Runtime computes: its execution providers, by short names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import onnxruntime

from kerasgpt.errors import UsageError

CPU: Final = "CPUExecutionProvider"
_ENDING: Final = "ExecutionProvider"


def resolve_providers(names: Sequence[str] | str | None = None) -> list[str]:
    """ONNX Runtime's own names of providers, in the order of preference; the CPU is always the last resort.

    Args:
        names: one or several, such as ``"cpu"`` or ``"cuda"``, or ONNX Runtime's own; None means the CPU.

    Raises:
        UsageError: this onnxruntime does not have one of them.

    >>> resolve_providers("cpu")
    ['CPUExecutionProvider']
    """
    own = onnxruntime.get_available_providers()
    known = {short_name(name): name for name in own}
    found: list[str] = []
    for name in map(str, [names] if isinstance(names, str) else names or []):
        if short_name(name) not in known:
            raise UsageError(
                f"provider '{name}': onnxruntime {onnxruntime.__version__} here has"
                f" {', '.join(sorted(known))} only; name one of these, or install the onnxruntime package"
                f" that has it"
            )
        found.append(known[short_name(name)])
    return [*dict.fromkeys([*found, CPU])]


def short_name(provider: str) -> str:
    """The name without its ending, in small letters.

    >>> short_name("CUDAExecutionProvider"), short_name("cuda")
    ('cuda', 'cuda')
    """
    return provider.removesuffix(_ENDING).lower()
