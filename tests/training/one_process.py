"""Train as one of some processes, and print what this one did: RECIPE RUN [EVENT STEP [SETTING...]].

EVENT is what happens to it at a step: ``kill``, ``interrupt``, ``fail`` (at any), ``force`` or ``never``.
"""

import json
import os
import signal
import sys

from kerasgpt.quick_start import leave_out_bystanders


def watch_files(run):
    """The files of a folder that this process opens for writing from now on."""
    written = set()

    def note(name, arguments):
        if (
            name != "open"
            or not isinstance(arguments[0], str)
            or not arguments[2] & (os.O_WRONLY | os.O_RDWR)
        ):
            return
        if os.path.abspath(arguments[0]).startswith(run):
            written.add(os.path.relpath(arguments[0], run))

    sys.addaudithook(note)
    return written


def divide_the_cpu(count):
    """Let TensorFlow see so many devices; before it computes anything."""
    import tensorflow as tf

    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)


def watch_training(event, step):
    """What is read, and on how many devices a weight lies and in which parts; and let the event happen."""
    import keras

    from kerasgpt.data.pipeline import TokenDataset
    from kerasgpt.training import callbacks, resume

    shapes, placed = set(), {}
    count, batch = callbacks.CountSteps.on_step, TokenDataset.batch

    def counted(self, now, logs):
        kernel = self.model.backbone.blocks[0].attention.qkv.kernel
        if keras.backend.backend() == "jax":
            placed["qkv"] = list(kernel.value.sharding.shard_shape(kernel.shape))
            placed["devices"] = len(kernel.value.sharding.device_set)
        count(self, now, logs)
        if now == step and event == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if now == step and event == "interrupt":
            signal.raise_signal(signal.SIGINT)

    def read(self, number):
        found = batch(self, number)
        shapes.add(found[1].shape)
        return found

    def failing(*_):
        raise OSError(28, "No space left on device")

    callbacks.CountSteps.on_step = counted
    TokenDataset.batch = read
    if event == "fail":
        resume.save_file = failing
    return shapes, placed


def main(recipe, run, event="never", step="0", *settings):
    leave_out_bystanders()
    run = os.path.abspath(run)
    written = watch_files(run)
    if os.environ.get("LOGICAL_DEVICES"):
        divide_the_cpu(int(os.environ["LOGICAL_DEVICES"]))
    shapes, placed = watch_training(event, int(step))
    from kerasgpt.errors import KerasGPTError
    from kerasgpt.training.config import Recipe
    from kerasgpt.training.train import train

    error = ""
    try:
        train(Recipe.from_toml(recipe, settings), run, resume=True, force=event == "force", quiet=True)
    except KerasGPTError as problem:
        error = str(problem)
    libraries = sorted({"tensorflow", "jax", "torch"} & set(sys.modules))
    facts = {"error": error, "libraries": libraries, "written": sorted(written), "shapes": sorted(shapes)}
    print(json.dumps({**facts, **placed}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
