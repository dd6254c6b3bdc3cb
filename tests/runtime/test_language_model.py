import dataclasses
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from kerasgpt import artifacts
from kerasgpt.engines import load
from kerasgpt.errors import KerasGPTError, UsageError
from kerasgpt.generation import prefill, prefix_cache
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.manifest import Manifest
from kerasgpt.protocols import LanguageModel
from kerasgpt.runtime.fused import FusedStepModel
from kerasgpt.runtime.language_model import PortableGraphWarning, open_bundle, open_file
from kerasgpt.runtime.session import OnnxStepModel

PROMPTS = ["To be, or not to be", "a", "", "né 🙂 and more"]

PROGRAM = """
import json, sys
from kerasgpt.runtime.language_model import open_bundle
lm = open_bundle(sys.argv[1])
text = lm.generate(["To be"])[0].text
heavy = {"tensorflow", "keras", "onnx", "jax", "torch"} & set(sys.modules)
print(json.dumps([text, "".join(lm.stream("To be")), sorted(heavy)]))
"""


@pytest.fixture(params=["fp32", "int8", "int4", "portable"])
def lm(request: pytest.FixtureRequest, bundle: Path) -> LanguageModel:
    if request.param == "portable":
        return open_file(bundle, artifacts.ONNX_MODEL, num_threads=1)
    return open_bundle(bundle, precision=request.param, num_threads=1)


def test_generating_imports_nothing_heavy(bundle: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, str(bundle)]
    root = Path(__file__).parents[2]
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root)
    text, streamed, heavy = json.loads(result.stdout)
    assert heavy == []
    assert text == streamed == open_bundle(bundle).generate(["To be"])[0].text


def test_the_bundles_settings_hold(lm: LanguageModel) -> None:
    assert lm.max_sequence_length == 48
    assert len(lm.generate(["x"])[0].token_ids) == 12


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_ragged_prompts_give_the_same_as_one_by_one(
    lm: LanguageModel, temperature: float, request: pytest.FixtureRequest
) -> None:
    # Where activations are rounded to 8 bits, a last bit of float32 may turn one the other way.
    rounds = request.node.callspec.params["lm"] in ("int8", "int4")
    settings = {"max_new_tokens": 24, "temperature": temperature, "top_k": 40}
    together = lm.generate(PROMPTS, GenerationConfig(**settings))
    for number, prompt in enumerate(PROMPTS):
        shifted = GenerationConfig(**settings, seed=number)
        alone = lm.generate([prompt], shifted)[0]
        assert alone.token_ids == together[number].token_ids
        assert alone.text == together[number].text
        np.testing.assert_allclose(alone.logprobs, together[number].logprobs, atol=0.03 if rounds else 1e-4)
        assert "".join(lm.stream(prompt, shifted)) == alone.text


def test_the_score_of_what_it_wrote_is_what_it_said(
    lm: LanguageModel, request: pytest.FixtureRequest
) -> None:
    tolerance = 0.1 if request.node.callspec.params["lm"] in ("int8", "int4") else 1e-3
    written = lm.generate(PROMPTS, GenerationConfig(max_new_tokens=10))
    scores = lm.score(PROMPTS, [generation.token_ids for generation in written])
    for score, generation in zip(scores, written, strict=True):
        assert score.is_greedy
        assert score.logprob == pytest.approx(sum(generation.logprobs), abs=tolerance)


def test_a_text_runs_up_to_the_context(lm: LanguageModel) -> None:
    result = lm.generate(["x" * 40], GenerationConfig(max_new_tokens=100))[0]
    assert len(result.token_ids) == 8
    assert result.finish_reason == "length"


def test_a_file_outside_the_bundle_is_refused(bundle: Path, tmp_path: Path) -> None:
    path = bundle / artifacts.FAST_FP32
    path.rename(tmp_path / "elsewhere.onnx")
    path.symlink_to(tmp_path / "elsewhere.onnx")
    with pytest.raises(KerasGPTError, match="outside the bundle; refused"):
        open_bundle(bundle)


def test_a_graph_of_another_vocabulary_is_refused(bundle: Path) -> None:
    values = json.loads((bundle / artifacts.CONFIG).read_text())
    (bundle / artifacts.CONFIG).write_text(json.dumps(values | {"vocab_size": 300}))
    with pytest.raises(KerasGPTError, match=r"has 257 ids and config.json says 300"):
        open_bundle(bundle)


def test_a_snapshot_in_the_hubs_cache_is_a_bundle_of_links(bundle: Path, tmp_path: Path) -> None:
    store, snapshot = tmp_path / "models--me--mine" / "blobs", tmp_path / "models--me--mine/snapshots/0a1b"
    store.mkdir(parents=True)
    Manifest.of_folder(bundle, ["onnx"], {}).write(bundle)
    for number, file in enumerate(file for file in bundle.rglob("*") if file.is_file()):
        shutil.copyfile(file, store / str(number))
        link = snapshot / file.relative_to(bundle)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(store / str(number), link.parent))
    assert artifacts.folder_kind(snapshot) == "bundle"
    assert not Manifest.read(snapshot).damaged_files(snapshot)
    texts = [open_bundle(folder).generate(["To be"])[0].text for folder in (snapshot, bundle)]
    assert texts[0] == texts[1]
    (snapshot / "config.json").unlink()
    (snapshot / "config.json").symlink_to(bundle / "config.json")
    with pytest.raises(KerasGPTError, match="outside the bundle; refused"):
        open_bundle(snapshot)


def test_a_missing_file_is_named(bundle: Path) -> None:
    (bundle / artifacts.CONFIG).unlink()
    with pytest.raises(KerasGPTError, match=artifacts.CONFIG):
        open_bundle(bundle)


def test_a_precision_that_is_not_there_is_named(bundle: Path) -> None:
    (bundle / artifacts.FAST_INT8).unlink()
    (bundle / artifacts.WEIGHTS).touch()
    with pytest.raises(
        KerasGPTError,
        match="has no ONNX file in int8: ask for the precision fp32 or int4, which it has, or export the"
        " model again with --precisions fp32,int8$",
    ):
        open_bundle(bundle, precision="int8")
    with pytest.raises(UsageError, match="unknown precision 'int7': did you mean 'int8'"):
        open_bundle(bundle, precision="int7")


def test_a_bundle_of_one_precision_without_weights_says_which_it_is(bundle: Path) -> None:
    for name in (artifacts.ONNX_MODEL, artifacts.FAST_FP32, artifacts.FAST_INT4):
        (bundle / name).unlink()
    for precision in ("fp32", "int4"):
        sentence = f"has no ONNX file in {precision}: ask for the precision int8, which it has$"
        with pytest.raises(KerasGPTError, match=sentence):
            load(bundle, "onnx", precision)
    (bundle / artifacts.FAST_INT8).unlink()
    with pytest.raises(KerasGPTError, match="in fp32: export the model again with --precisions fp32$"):
        open_bundle(bundle)


def test_without_an_operator_the_portable_graph_runs_and_says_so(bundle: Path) -> None:
    path = bundle / artifacts.FAST_INT4
    model = onnx.load(path)
    next(node for node in model.graph.node if node.op_type == "GroupQueryAttention").op_type = "NewAttention"
    onnx.save(model, path)
    with pytest.warns(PortableGraphWarning, match=r"fast_int4.onnx: onnxruntime .* lacks an operator"):
        lm = open_bundle(bundle, precision="int4")
    expected = open_file(bundle, artifacts.ONNX_MODEL).generate(["To be"])[0]
    assert lm.generate(["To be"])[0] == expected


def test_the_fastest_file_of_a_precision_is_opened(bundle: Path) -> None:
    assert isinstance(open_bundle(bundle).model, FusedStepModel)
    (bundle / artifacts.FAST_FP32).unlink()
    assert isinstance(open_bundle(bundle).model, OnnxStepModel)


def test_the_threads_asked_for_are_those_of_the_session(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    original = onnxruntime.InferenceSession

    def recorded(path: Path, options: onnxruntime.SessionOptions, **others: Any) -> Any:
        asked.append(options.intra_op_num_threads)
        return original(path, options, **others)

    monkeypatch.setattr(onnxruntime, "InferenceSession", recorded)
    alone = load(bundle, "onnx", num_threads=1).generate(["ab"])
    assert load(bundle, "onnx").generate(["ab"])[0].text == alone[0].text
    assert asked == [1, 0]


def test_for_other_providers_the_portable_graph_is_opened(bundle: Path) -> None:
    expected = open_file(bundle, artifacts.ONNX_MODEL, num_threads=1).generate(PROMPTS)
    other = next(name for name in onnxruntime.get_available_providers() if name != "CPUExecutionProvider")
    lm = open_bundle(bundle, providers=[other], num_threads=1)
    assert isinstance(lm.model, OnnxStepModel)
    assert isinstance(open_bundle(bundle, providers="cpu").model, FusedStepModel)
    assert [own.token_ids for own in lm.generate(PROMPTS)] == [own.token_ids for own in expected]
    with pytest.raises(KerasGPTError, match="has no portable ONNX file in int4: ask for the precision fp32"):
        open_bundle(bundle, providers=other, precision="int4")
    with pytest.raises(UsageError, match="provider 'cuda': onnxruntime .* here has azure, cpu only"):
        load(bundle, "onnx", providers="cuda")


SYSTEM = "You are a poet, and"  # in bytes; a context of 48 leaves no room for longer ones


@pytest.fixture
def _short_prefixes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefill, "SHORTEST_PREFIX", 16)
    monkeypatch.setattr(prefix_cache, "SHORTEST_PREFIX", 16)


@pytest.mark.usefixtures("_short_prefixes")
@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize(
    "name", [artifacts.FAST_FP32, artifacts.FAST_INT8, artifacts.FAST_INT4, artifacts.ONNX_MODEL]
)
def test_texts_are_the_same_with_a_prefix_cache(bundle: Path, name: str, temperature: float) -> None:
    """In every precision: the prompt falls into the same groups of 16 tokens, cut or whole."""
    plain = open_file(bundle, name, num_threads=1)
    cached = open_file(bundle, name, num_threads=1, prefix_cache_tokens=64)
    settings = GenerationConfig(max_new_tokens=16, temperature=temperature, top_k=40)
    prompts = [f"{SYSTEM} so", "a", f"{SYSTEM} on", SYSTEM, f"{SYSTEM} so on"]
    for prompt in prompts * 2:
        own, expected = (lm.generate([prompt], settings)[0] for lm in (cached, plain))
        assert own.token_ids == expected.token_ids
        np.testing.assert_allclose(own.logprobs, expected.logprobs, atol=1e-4)
        assert "".join(cached.stream(prompt, settings)) == expected.text
    together = cached.generate(prompts, settings)
    for number, prompt in enumerate(prompts):
        alone = plain.generate([prompt], dataclasses.replace(settings, seed=number))[0]
        assert alone.token_ids == together[number].token_ids


def test_a_prefix_cache_is_of_some_size(bundle: Path) -> None:
    for value in (-1, "500", 1.5):
        with pytest.raises(UsageError, match=f"prefix_cache_tokens is {value!r}: it must be 0"):
            open_bundle(bundle, prefix_cache_tokens=value)


def test_several_threads_on_one_model_have_each_its_own_text(bundle: Path) -> None:
    lm = open_bundle(bundle, num_threads=1, prefix_cache_tokens=200)
    settings = GenerationConfig(max_new_tokens=24, temperature=1.0, top_k=50)

    def ask(number: int) -> tuple[object, ...]:
        own = dataclasses.replace(settings, seed=number % 6, prompt_lookup_num_tokens=7 * (number % 2))
        prompt = f"{number % 5} words"
        streamed = "".join(lm.stream(prompt, own))
        return streamed, lm.generate([prompt, "and more"], own), lm.score([prompt], [" and a score"])

    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(ask, [*range(30)] * 2))
    for number, (streamed, generations, scores) in enumerate(together):
        expected = ask(number % 30)
        assert streamed == expected[0]
        assert [own.token_ids for own in generations] == [own.token_ids for own in expected[1]]
        assert scores == expected[2]


@pytest.mark.parametrize("temperature", [0.0, 0.7])
@pytest.mark.parametrize("longest", [1, 7, 15])
def test_in_float32_drafts_change_no_text(bundle: Path, longest: int, temperature: float) -> None:
    for name in (artifacts.FAST_FP32, artifacts.ONNX_MODEL):
        lm = open_file(bundle, name, num_threads=1)
        for number in range(6):
            prompt = [65 + number, 66, 67, 68, 69] * 3
            plain = GenerationConfig(max_new_tokens=30, temperature=temperature, top_k=4, seed=number)
            drafts = dataclasses.replace(plain, prompt_lookup_num_tokens=longest)
            own, expected = (lm.generate([prompt], settings)[0] for settings in (drafts, plain))
            assert own.token_ids == expected.token_ids
            np.testing.assert_allclose(own.logprobs, expected.logprobs, atol=1e-4)


@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_in_8_and_4_bits_drafts_write_the_same_in_every_run(bundle: Path, precision: str) -> None:
    """Not the text of single steps for certain, but one that is as probable within the kernels' error."""
    lm = open_bundle(bundle, precision=precision, num_threads=1)
    settings = GenerationConfig(max_new_tokens=30, prompt_lookup_num_tokens=15)
    prompt = [65, 66, 67, 68, 69] * 3
    first, second = (lm.generate([prompt], settings)[0] for _ in range(2))
    assert first == second
    (score,) = lm.score([prompt], [first.token_ids])
    assert score.logprob == pytest.approx(sum(first.logprobs), abs=0.5)


def test_behind_a_soft_prompt_no_beginnings_are_kept(bundle: Path) -> None:
    (bundle / artifacts.SOFT_PROMPT).mkdir()
    with pytest.raises(UsageError, match="prefix_cache_tokens 64: behind the soft prompt"):
        open_bundle(bundle, prefix_cache_tokens=64)
