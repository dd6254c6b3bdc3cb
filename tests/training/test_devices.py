"""The device asked for, or a sentence; GPUs are stood in for, as there need not be one here."""

import sys
from types import SimpleNamespace

import keras
import pytest

from kerasgpt.errors import KerasGPTError, UsageError
from kerasgpt.training import devices
from kerasgpt.training.devices import Device, choose_device, cpu_name, memory_bytes


@pytest.fixture
def pretend(monkeypatch):
    """Let a backend be in use, with a stand-in for its library."""

    def arrange(backend, library):
        monkeypatch.setattr(keras.backend, "backend", lambda: backend)
        monkeypatch.setitem(sys.modules, backend, library)

    return arrange


def test_a_cpu_is_taken_where_there_is_no_gpu_and_named():
    chosen = choose_device("auto")
    assert chosen.kind == "cpu"
    assert str(chosen) == f"cpu: {cpu_name()}"
    assert cpu_name()


def test_a_gpu_that_is_not_there_is_refused_with_the_remedy():
    with pytest.raises(
        KerasGPTError, match=r"--device gpu: tensorflow sees no GPU here.*pip install .kerasgpt\[cuda\]"
    ):
        choose_device("gpu")


def test_an_unknown_word_is_refused():
    with pytest.raises(UsageError, match="unknown device 'gpus': did you mean 'gpu'"):
        choose_device("gpus")


@pytest.mark.parametrize("wanted", ["auto", "gpu"])
def test_tensorflow_gpus_grow_into_their_memory(pretend, wanted):
    grown = []
    library = SimpleNamespace(
        config=SimpleNamespace(
            list_physical_devices=lambda kind: ["GPU:0", "GPU:1"],
            set_visible_devices=lambda *_: pytest.fail("they are to be seen"),
            experimental=SimpleNamespace(
                set_memory_growth=lambda gpu, grows: grown.append((gpu, grows)),
                get_device_details=lambda gpu: {"device_name": "NVIDIA L4"},
                get_memory_info=lambda gpu: {"peak": 123},
            ),
        )
    )
    pretend("tensorflow", library)
    chosen = choose_device(wanted)
    assert str(chosen) == "gpu: NVIDIA L4 (one of 2)"
    assert grown == [("GPU:0", True), ("GPU:1", True)]
    assert memory_bytes(chosen) == 123


def test_tensorflow_keeps_off_a_gpu_when_told_to(pretend):
    hidden = []
    config = SimpleNamespace(
        list_physical_devices=lambda kind: ["GPU:0"], set_visible_devices=lambda *args: hidden.append(args)
    )
    pretend("tensorflow", SimpleNamespace(config=config))
    assert choose_device("cpu").kind == "cpu"
    assert hidden == [([], "GPU")]


def test_a_gpu_in_use_already_cannot_be_left(pretend):
    def refuse(*_):
        raise RuntimeError("Visible devices cannot be modified after being initialized")

    config = SimpleNamespace(list_physical_devices=lambda kind: ["GPU:0"], set_visible_devices=refuse)
    pretend("tensorflow", SimpleNamespace(config=config))
    with pytest.raises(KerasGPTError, match="already; start with CUDA_VISIBLE_DEVICES=-1"):
        choose_device("cpu")


def test_jax_takes_what_is_no_cpu(pretend, monkeypatch):
    monkeypatch.setenv("XLA_PYTHON_CLIENT_PREALLOCATE", "true")
    monkeypatch.delenv("XLA_PYTHON_CLIENT_PREALLOCATE")
    gpu = SimpleNamespace(
        platform="gpu", device_kind="NVIDIA H200", memory_stats=lambda: {"peak_bytes_in_use": 5}
    )
    updates = []
    config = SimpleNamespace(update=lambda *args: updates.append(args))
    pretend("jax", SimpleNamespace(local_devices=lambda: [gpu], config=config))
    assert choose_device("gpu") == Device("gpu", "NVIDIA H200", 1)
    assert devices.os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false"
    assert memory_bytes(Device("gpu", "NVIDIA H200")) == 5
    assert choose_device("cpu").kind == "cpu"
    assert updates == [("jax_platforms", "cpu")]


def test_torch_is_told_by_its_variable(pretend, monkeypatch):
    monkeypatch.delenv("KERAS_TORCH_DEVICE", raising=False)
    cuda = SimpleNamespace(
        device_count=lambda: 1, get_device_name=lambda index: "NVIDIA T4", max_memory_allocated=lambda: 7
    )
    pretend("torch", SimpleNamespace(cuda=cuda))
    assert choose_device("auto").name == "NVIDIA T4"
    assert memory_bytes(Device("gpu", "NVIDIA T4")) == 7
    with pytest.raises(KerasGPTError, match="KERAS_TORCH_DEVICE=cpu"):
        choose_device("cpu")
    monkeypatch.setenv("KERAS_TORCH_DEVICE", "cpu")
    assert choose_device("auto").kind == "cpu"


def test_memory_of_a_cpu_is_that_of_the_process():
    assert memory_bytes(Device("cpu", "any")) > 50 * 2**20
