"""Speed and its share of a device's peak."""

import pytest

from kerasgpt.config import GPT2Config
from kerasgpt.training.devices import Device
from kerasgpt.training.settings import TrainConfig
from kerasgpt.training.throughput import Speedometer, flops_per_token, measured_teraflops, peak_teraflops


def test_arithmetic_of_a_token_counts_each_product_of_forward_and_backward():
    """Counted anew, product by product: 2 m n for each token forward, twice that backward."""
    config = GPT2Config(
        vocabulary_size=11,
        max_sequence_length=16,
        num_layers=3,
        num_heads=2,
        hidden_dim=8,
        intermediate_dim=20,
    )
    D, F, T = 8, 20, 16
    block = D * 3 * D + D * D + D * F + F * D + 2 * T * D  # the last: scores, and values by them
    forward = 2 * (3 * block + 11 * D)
    vectors = config.num_parameters - 3 * (D * 3 * D + D * D + 2 * D * F) - 11 * D - 16 * D
    assert flops_per_token(config, T) == 3 * forward + 6 * vectors  # biases and norms count as weights do
    untied = config.replace(tie_word_embeddings=False)
    assert flops_per_token(untied, T) == flops_per_token(config, T)


def test_the_peak_is_the_setting_the_data_sheets_or_measured():
    assert peak_teraflops(TrainConfig(peak_teraflops=3.0), Device("gpu", "NVIDIA A100")) == 3.0
    half = TrainConfig(precision="mixed_bfloat16")
    assert peak_teraflops(half, Device("gpu", "NVIDIA A100-SXM4-80GB")) == 312.0
    assert peak_teraflops(TrainConfig(), Device("gpu", "NVIDIA A100-SXM4-80GB")) == 156.0
    assert peak_teraflops(half, Device("gpu", "NVIDIA L4")) == 121.0
    assert peak_teraflops(half, Device("gpu", "NVIDIA L40S")) == 362.0
    assert peak_teraflops(half, Device("gpu", "NVIDIA H100 PCIe")) == 756.0
    assert peak_teraflops(half, Device("gpu", "NVIDIA H100 80GB HBM3")) == 989.0
    assert peak_teraflops(half, Device("gpu", "Tesla T4")) == 65.0
    assert peak_teraflops(half, Device("gpu", "NVIDIA GH200 480GB")) == 989.0
    assert peak_teraflops(half, Device("gpu", "NVIDIA A10G")) == 70.0
    for other in ("NVIDIA RTX A1000", "NVIDIA T400 4GB", "NVIDIA GeForce RTX 4090 Laptop GPU"):
        assert peak_teraflops(half, Device("gpu", other)) == 0.0
    assert peak_teraflops(half, Device("gpu", "unheard of")) == 0.0
    assert 0 < measured_teraflops(256, 0.05) < 1000


def test_speed_and_use():
    assert Speedometer(2e9, 0.0).read(500, 2.0) == {"tokens_per_second": 250.0}
    assert Speedometer(2e9, 1.0).read(500, 2.0) == {"tokens_per_second": 250.0, "mfu": pytest.approx(0.5)}
