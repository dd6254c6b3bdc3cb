"""A pickle is refused with the way out, and nothing in it ever runs."""

import pickle
import shutil

import pytest

from kerasgpt.checkpoints.pickles import read_folder
from kerasgpt.errors import KerasGPTError
from kerasgpt.models.gpt2 import GPT2CausalLM


class Bomb:
    def __reduce__(self):
        return (open, ("exploded", "w"))


@pytest.fixture
def folder(golden_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = shutil.copytree(golden_folder, tmp_path / "model")
    (folder / "model.safetensors").unlink()
    return folder


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("pytorch_model.bin", "torch.load(f, map_location='cpu', weights_only=True)"),
        ("pytorch_model-00001-of-00002.bin", "glob.glob('pytorch_model*.bin')"),
        ("ckpt.pt", "torch.load('ckpt.pt', map_location='cpu', weights_only=True)"),
    ],
)
@pytest.mark.parametrize("as_file", [False, True])
def test_it_is_refused_unopened_with_the_command_that_converts_it(folder, tmp_path, name, command, as_file):
    (folder / name).write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(KerasGPTError) as caught:
        GPT2CausalLM.from_preset(folder / name if as_file else folder)
    sentence = str(caught.value)
    assert str(folder / name) in sentence
    assert command in sentence
    assert "\n" not in sentence
    code = sentence.split('python -c "')[1].removesuffix('"')
    compile(code, "command", "exec")
    assert '"' not in code  # it is quoted by these in a shell
    assert not (tmp_path / "exploded").exists()


def test_the_bomb_would_explode(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pickle.loads(pickle.dumps(Bomb())).close()
    assert (tmp_path / "exploded").exists()


def test_safetensors_beside_it_are_read(golden_folder, tmp_path):
    folder = shutil.copytree(golden_folder, tmp_path / "model")
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb()))
    assert GPT2CausalLM.from_preset(folder).built


def test_the_configuration_beside_it_is_read(folder):
    (folder / "pytorch_model.bin").write_bytes(b"")
    config, arrays = read_folder(folder, weights=False)
    assert arrays == {}
    assert GPT2CausalLM.from_preset(folder, load_weights=False).config == config
