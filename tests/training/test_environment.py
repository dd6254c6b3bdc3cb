"""What a checkpoint says it was computed with."""

import numpy as np

from kerasgpt.training.devices import Device
from kerasgpt.training.environment import changes, environment


class _Corpus:
    def __init__(self, ids):
        self._ids = np.asarray(ids, "uint16")

    def ids(self, part):
        assert part == "train"
        return self._ids


def test_backend_device_versions_and_data_are_described():
    described = environment(Device("cpu", "Some CPU"), _Corpus(range(100)))
    assert list(described) == ["backend", "device", "keras", "tensorflow", "data"]
    assert (described["backend"], described["device"]) == ("tensorflow", "cpu: Some CPU")
    assert described["data"].startswith("100 tokens, ")


def test_data_differs_when_an_id_does():
    device = Device("cpu", "Some CPU")
    one, other = environment(device, _Corpus([1, 2, 3])), environment(device, _Corpus([1, 2, 4]))
    assert [change.partition(":")[0] for change in changes(one, other)] == ["data"]
    assert changes(one, one) == []


def test_each_change_is_named_with_both_values():
    before = {"backend": "tensorflow", "device": "cpu: A", "tensorflow": "2.21.0"}
    now = {"backend": "jax", "device": "gpu: B", "jax": "0.10"}
    assert changes(before, now) == [
        "backend: tensorflow -> jax",
        "device: cpu: A -> gpu: B",
        "tensorflow: 2.21.0 -> none",
        "jax: none -> 0.10",
    ]
