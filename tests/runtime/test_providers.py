from typing import Any

import onnxruntime
import pytest

from kerasgpt.errors import UsageError
from kerasgpt.runtime.providers import resolve_providers


@pytest.fixture
def with_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: names)


@pytest.mark.usefixtures("with_cuda")
@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (None, ["CPU"]),
        ([], ["CPU"]),
        ("cpu", ["CPU"]),
        ("cuda", ["CUDA", "CPU"]),
        (["CUDAExecutionProvider"], ["CUDA", "CPU"]),
        (["Cuda", "cpu", "cuda"], ["CUDA", "CPU"]),
        (["cpu", "cuda"], ["CPU", "CUDA"]),
    ],
    ids=str,
)
def test_names_are_short_or_their_own(names: list[str] | str | None, expected: list[str]) -> None:
    assert resolve_providers(names) == [f"{name}ExecutionProvider" for name in expected]


@pytest.mark.parametrize("name", ["cuda", "CUDAExecutionProvider", "gpu", "", None])
def test_what_is_not_here_is_refused_with_what_is(name: Any) -> None:
    with pytest.raises(UsageError, match=rf"provider '{name}': onnxruntime \S+ here has .*cpu only"):
        resolve_providers(["cpu", name])
