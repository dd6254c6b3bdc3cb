"""TrainConfig and LoraConfig: how to train, each setting with its meaning, its default and its limits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Any

from kerasgpt.errors import UsageError, unknown_name
from kerasgpt.training.values import as_tuple

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
SCHEDULES = ("cosine", "linear", "constant", "warmup-stable-decay")
SPIKE_POLICIES = ("none", "skip", "rollback")
DISTRIBUTIONS = ("none", "data", "model", "mirrored")


@dataclass(frozen=True)
class TrainConfig:
    """How to train: ``[train]``. A step is one update of the weights.

    Args:
        steps: updates in all.
        batch_size: B, windows read at once.
        sequence_length: T, tokens of a window; also the model's context unless that is given.
        initial_sequence_length: tokens of a window at first, doubled in equal stages until they are
            `sequence_length`; each window is then several short ones, so a step reads as many tokens. 0 means
            no such warm-up.
        sequence_length_warmup_steps: updates with shorter windows.
        learning_rate: at its highest.
        final_learning_rate: at the end, where the schedule falls.
        schedule: after the warm-up: ``"cosine"``, ``"linear"``, ``"constant"``, or ``"warmup-stable-decay"``,
            constant and then linear.
        warmup_steps: updates over which the rate rises.
        decay_fraction: of `steps`, at the end, over which ``"warmup-stable-decay"`` falls.
        weight_decay: of matrices and token embeddings.
        beta_1: decay of AdamW's mean of gradients.
        beta_2: decay of AdamW's mean of squared gradients.
        clip_norm: longest global norm of a gradient, over all devices and accumulated batches; 0 means no
            clipping.
        accumulation_steps: batches whose gradients make one update, their mean; each counts as much as any
            other, however many labels it has.
        label_smoothing: probability spread evenly over the vocabulary in the loss; the losses that are shown
            stay those without.
        z_loss: weight of the squared logarithm of the softmax's denominator in the loss, which keeps logits
            small; PaLM had 1e-4.
        ema_decay: of a moving average of the weights, which is then what is evaluated and saved as the model,
            such as 0.999; 0 means none.
        freeze: patterns of weights that stay as they are, by their names in model.safetensors without
            ``transformer.``, such as ``wte.weight`` or ``h.[0-5].*``.
        soft_prompt_tokens: k vectors before every window, which alone are trained: ``model.init`` stays.
            They are kept in ``model/soft_prompt`` in PEFT's form. Where ``model.init`` has as many, training
            goes on from those. 0 means none.
        gradient_checkpointing: compute a block's activations again in the backward pass in place of keeping
            them: less memory, a third more time; on JAX.
        precision: ``"float32"``, ``"mixed_bfloat16"`` or ``"mixed_float16"``, the last with loss scaling
            and without accumulation.
        jit_compile: whether to compile with XLA; ``"auto"`` does on JAX, and on TensorFlow on one device, but
            not for mixed_bfloat16 on a CPU, which is faster without.
        distribution: over which devices: ``"none"`` takes one; on JAX ``"data"`` divides each batch among all
            of all processes, ``"model"`` among groups of them that divide the weights; on TensorFlow
            ``"mirrored"`` divides it among the GPUs of one machine. `batch_size` stays that of all devices.
        model_parallel: devices of a group that divides the weights, with ``"model"``.
        seed: of initial weights, dropout and the order of the data.
        spike_policy: about an update whose gradient is not finite, or `spike_factor` times longer than usual:
            ``"none"``; ``"skip"`` leaves the weights as they are; ``"rollback"`` goes back to the last
            checkpoint and on with the data after the spike. A loss that is not finite stops the run, its last
            checkpoint intact, unless ``"rollback"`` leaves it behind.
        spike_factor: how many times the running mean of the gradient's norm makes a spike.
        log_every: steps between lines of metrics.jsonl.
        evaluate_every: steps between evaluations on the validation part.
        checkpoint_every: steps between checkpoints.
        keep_last_checkpoints: how many of the newest checkpoints stay.
        keep_best_checkpoint: whether the checkpoint of the best evaluation stays too, with all that is needed
            to train on from there; the best model stays in any case.
        keep_checkpoint_every: checkpoints of steps that are multiples of this stay too; 0 means none.
        early_stopping_patience: evaluations without a better one before training stops; 0 means never.
        sample_prompt: what the sample of text after each evaluation goes on from.
        sample_tokens: its length; 0 means no sample.
        tensorboard: whether to write scalars, samples and histograms of the weights for TensorBoard.
        peak_teraflops: arithmetic of the device at its best, to count its use against; 0 means that of a
            known GPU, or a CPU's as measured when training begins.
        refit_steps: updates from the best model on, once it has been chosen, with the validation part among
            what is trained on; 0 means none.
        refit_learning_rate: at its highest in these.
    """

    steps: int = 1000
    batch_size: int = 8
    sequence_length: int = 256
    initial_sequence_length: int = 0
    sequence_length_warmup_steps: int = 0
    learning_rate: float = 1e-3
    final_learning_rate: float = 0.0
    schedule: str = "cosine"
    warmup_steps: int = 100
    decay_fraction: float = 0.2
    weight_decay: float = 0.1
    beta_1: float = 0.9
    beta_2: float = 0.99
    clip_norm: float = 1.0
    accumulation_steps: int = 1
    label_smoothing: float = 0.0
    z_loss: float = 0.0
    ema_decay: float = 0.0
    freeze: tuple[str, ...] = ()
    soft_prompt_tokens: int = 0
    gradient_checkpointing: bool = False
    precision: str = "float32"
    jit_compile: bool | str = "auto"
    distribution: str = "none"
    model_parallel: int = 1
    seed: int = 0
    spike_policy: str = "none"
    spike_factor: float = 10.0
    log_every: int = 10
    evaluate_every: int = 250
    checkpoint_every: int = 250
    keep_last_checkpoints: int = 2
    keep_best_checkpoint: bool = False
    keep_checkpoint_every: int = 0
    early_stopping_patience: int = 0
    sample_prompt: str = "\n"
    sample_tokens: int = 48
    tensorboard: bool = False
    peak_teraflops: float = 0.0
    refit_steps: int = 0
    refit_learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        object.__setattr__(self, "freeze", as_tuple(self.freeze))
        for name, (holds, words) in _LIMITS.items():
            if not holds(getattr(self, name)):
                raise UsageError(f"train.{name} is {getattr(self, name)}: it must be {words}")
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise unknown_name(name, getattr(self, name), known)
        if isinstance(self.jit_compile, str) and self.jit_compile != "auto":
            raise UsageError(f"train.jit_compile is '{self.jit_compile}': it must be true, false or \"auto\"")
        if self.precision == "mixed_float16" and self.accumulation_steps > 1:
            raise UsageError(
                f"train.precision 'mixed_float16' with train.accumulation_steps {self.accumulation_steps}: a"
                " batch whose scaled loss overflows is left out, and the others would be counted wrongly: set"
                " train.precision to 'mixed_bfloat16', or train.accumulation_steps to 1"
            )

    @property
    def tokens_per_step(self) -> int:
        """Tokens behind one update."""
        return self.batch_size * self.sequence_length * self.accumulation_steps


LORA_TARGETS = ("c_attn", "attn.c_proj", "c_fc", "mlp.c_proj", "c_proj")


@dataclass(frozen=True)
class LoraConfig:
    """Low-rank adapters: ``[lora]``.

    Args:
        rank: r, columns of A and rows of B; 0 means no adapters: all weights are trained.
        alpha: the product A B is added to its matrix times alpha / r.
        targets: matrices that get adapters: ``c_attn``, ``attn.c_proj``, ``c_fc``, ``mlp.c_proj``, or
            ``c_proj`` for both of these.
    """

    rank: int = 0
    alpha: float = 16.0
    targets: tuple[str, ...] = ("c_attn",)

    def __post_init__(self) -> None:
        object.__setattr__(self, "targets", as_tuple(self.targets))
        if self.rank < 0:
            raise UsageError(f"lora.rank is {self.rank}: it must be 0 or more")
        if not 0 < self.alpha < inf:
            raise UsageError(f"lora.alpha is {self.alpha}: it must be above 0")
        if self.rank and not self.targets:
            raise UsageError("lora.targets is empty: name at least one, such as c_attn")
        for target in self.targets:
            if target not in LORA_TARGETS:
                raise unknown_name("target in lora.targets", target, LORA_TARGETS)


Limit = tuple[Callable[[Any], bool], str]

_AT_LEAST_1: Limit = (lambda value: 1 <= value < 2**31, "at least 1, and below 2^31")
_0_OR_MORE: Limit = (lambda value: 0 <= value < inf, "0 or more")
_A_FRACTION: Limit = (lambda value: 0 <= value < 1, "in [0, 1)")

_LIMITS: dict[str, Limit] = {
    **dict.fromkeys(
        (
            "steps",
            "batch_size",
            "sequence_length",
            "accumulation_steps",
            "log_every",
            "evaluate_every",
            "checkpoint_every",
            "keep_last_checkpoints",
            "model_parallel",
        ),
        _AT_LEAST_1,
    ),
    **dict.fromkeys(
        (
            "initial_sequence_length",
            "sequence_length_warmup_steps",
            "soft_prompt_tokens",
            "learning_rate",
            "final_learning_rate",
            "warmup_steps",
            "weight_decay",
            "clip_norm",
            "z_loss",
            "keep_checkpoint_every",
            "early_stopping_patience",
            "sample_tokens",
            "peak_teraflops",
            "refit_steps",
            "refit_learning_rate",
            "seed",
        ),
        _0_OR_MORE,
    ),
    **dict.fromkeys(("label_smoothing", "ema_decay", "beta_1", "beta_2"), _A_FRACTION),
    "decay_fraction": (lambda value: 0 < value <= 1, "above 0 and at most 1"),
    "spike_factor": (lambda value: 1 < value < inf, "above 1"),
}

_CHOICES = {
    "precision": PRECISIONS,
    "schedule": SCHEDULES,
    "spike_policy": SPIKE_POLICIES,
    "distribution": DISTRIBUTIONS,
}
