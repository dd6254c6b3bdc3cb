"""Gradient checkpointing: the same numbers, dropout included; on JAX, and refused elsewhere."""

import json
import os
import subprocess
import sys

import pytest

from kerasgpt.config import GPT2Config
from kerasgpt.errors import UsageError
from kerasgpt.models.gpt2 import GPT2CausalLM
from kerasgpt.training.rematerialisation import checkpoint_gradients

JAX = """
import json
from kerasgpt.quick_start import leave_out_bystanders
leave_out_bystanders()
import jax, keras, numpy as np
from kerasgpt.config import GPT2Config
from kerasgpt.models.gpt2 import GPT2CausalLM
from kerasgpt.training.rematerialisation import checkpoint_gradients

def losses_and_program(checkpointed):
    keras.utils.set_random_seed(1)
    model = GPT2CausalLM(GPT2Config(50, 16, 2, 2, 16, dropout=0.2))
    model.build()
    if checkpointed:
        checkpoint_gradients(model)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    ids = np.arange(64, dtype="int32").reshape(4, 16) % 50
    losses = model.fit(ids, ids, epochs=3, batch_size=2, verbose=0, shuffle=False).history["loss"]
    model(ids[:, :4], cache=model.make_cache(4, 8))  # a cache is filled as ever
    trained = [variable.value for variable in model.trainable_variables]
    others = [variable.value for variable in model.non_trainable_variables]
    loss = lambda values: model.stateless_call(values, others, ids, training=True)[0].mean()
    return losses, "remat" in str(jax.make_jaxpr(jax.grad(loss))(trained))

print(json.dumps([losses_and_program(False), losses_and_program(True)]))
"""


@pytest.mark.slow
def test_the_losses_are_the_same_with_dropout_and_the_blocks_are_computed_again():
    environment = {**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", JAX]
    child = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr
    (plain, is_plain), (checkpointed, is_checkpointed) = json.loads(child.stdout.splitlines()[-1])
    assert checkpointed == pytest.approx(plain, rel=1e-6)
    assert (is_plain, is_checkpointed) == (False, True)


def test_elsewhere_it_is_refused_with_what_to_do_instead():
    model = GPT2CausalLM(GPT2Config(50, 16, 1, 2, 16))
    with pytest.raises(UsageError, match="does not work on tensorflow: train with KERAS_BACKEND=jax"):
        checkpoint_gradients(model)
