"""Train as one of some processes, and print what this one did: RECIPE RUN [EVENT STEP [SETTING...]].

EVENT is what happens to it at a step: ``kill``, ``interrupt``, ``fail``, or ``never``.
"""

import json
import os
import signal
import sys

recipe_file, run, event, step, *settings = [*sys.argv[1:], "never", "0"][: max(4, len(sys.argv) - 1)]
written, shapes, placed = set(), set(), {}


def note_writing(name, arguments):
    is_writing = name == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR)
    if is_writing and isinstance(arguments[0], str) and os.path.abspath(arguments[0]).startswith(run):
        written.add(os.path.relpath(arguments[0], run))


run = os.path.abspath(run)
sys.addaudithook(note_writing)
if os.environ.get("LOGICAL_DEVICES"):
    import tensorflow as tf

    (cpu,) = tf.config.list_physical_devices("CPU")
    logical = [tf.config.LogicalDeviceConfiguration()] * int(os.environ["LOGICAL_DEVICES"])
    tf.config.set_logical_device_configuration(cpu, logical)

import keras  # noqa: E402 - TensorFlow's devices have to be settled before

from kerasgpt.errors import KerasGPTError  # noqa: E402
from kerasgpt.training import callbacks, fitting  # noqa: E402
from kerasgpt.training.config import Recipe  # noqa: E402
from kerasgpt.training.train import train  # noqa: E402

count, batch = callbacks.CountSteps.on_step, fitting.TokenDataset.batch


def counted(self, now, logs):
    kernel = self.model.backbone.blocks[0].attention.qkv.kernel
    if keras.backend.backend() == "jax":
        self.model.jax_state_sync()
        placed["qkv"] = list(kernel.value.sharding.shard_shape(kernel.shape))
        placed["devices"] = len(kernel.value.sharding.device_set)
    count(self, now, logs)
    if now == int(step):
        if event == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if event == "interrupt":
            signal.raise_signal(signal.SIGINT)


def read(self, number):
    found = batch(self, number)
    shapes.add(found[1].shape)
    return found


def failing(*_):
    raise OSError(28, "No space left on device")


callbacks.CountSteps.on_step = counted
fitting.TokenDataset.batch = read
if event == "fail":
    from kerasgpt.training import resume

    resume.save_file = failing
error = ""
try:
    train(Recipe.from_toml(recipe_file, settings), run, resume=True, force=event == "force", quiet=True)
except KerasGPTError as problem:
    error = str(problem)
libraries = sorted({"tensorflow", "jax", "torch"} & set(sys.modules))
facts = {"error": error, "libraries": libraries, "written": sorted(written), "shapes": sorted(shapes)}
print(json.dumps({**facts, **placed}), flush=True)
