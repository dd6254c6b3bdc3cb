"""A bundle that is newer or damaged, and requests that cannot be met: one sentence, or as much as can be.

Of the ONNX Runtime side; what a single room refuses is tested there.
"""

import json
import shutil

import numpy as np
import onnx
import pytest

from kerasgpt import GenerationConfig, Tokenizer, load
from kerasgpt.artifacts import FAST_FP32, FAST_INT4, FAST_INT8, ONNX_HALF, ONNX_INT8, ONNX_MODEL, PARITY
from kerasgpt.engines import ENGINES
from kerasgpt.errors import UsageError
from kerasgpt.export.proof import prove
from kerasgpt.runtime.language_model import PortableGraphWarning

PROMPT = ("--prompt", "The king")


def changed(path, change):
    """Let an ONNX file be another."""
    model = onnx.load(path, load_external_data=False)
    change(model)
    path.write_bytes(model.SerializeToString())


def newer_operator(model):
    model.graph.node[-1].op_type = "NotYetThere"


def newer_contrib_operator(model):
    node = next(node for node in model.graph.node if node.domain)
    node.op_type = "NotYetThere"


def newer_attribute(model):
    node = next(node for node in model.graph.node if node.domain)
    node.attribute.append(onnx.helper.make_attribute("not_yet_there", 1))


def newer_opset(model):
    model.opset_import[0].version = 999


def newer_format(model):
    model.ir_version = 999


AHEAD = [newer_operator, newer_contrib_operator, newer_attribute, newer_opset, newer_format]


@pytest.mark.parametrize("command", ["generate", "score", "inspect", "verify", "bench"])
def test_a_bundle_of_a_newer_format_is_refused_with_the_remedy(refuses, bundle_copy, command):
    path = bundle_copy / "kerasgpt.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format_version": 2, "version": "9.1.0"}))
    arguments = PROMPT if command == "generate" else ()
    sentence = refuses(command, bundle_copy, *arguments, code=1)
    assert f"{path}: made by kerasgpt 9.1.0 in bundle format 2, and this is kerasgpt" in sentence
    assert "; install a newer kerasgpt" in sentence


def test_a_newer_version_of_the_same_format_or_a_bundle_without_one_is_read(run, bundle_copy):
    path = bundle_copy / "kerasgpt.json"
    values = json.loads(path.read_text())
    assert values.pop("format_version") == 1
    path.write_text(json.dumps({**values, "version": "9.1.0"}))
    outcome = run("generate", bundle_copy, *PROMPT)
    assert (outcome.code, outcome.err) == (0, "")


@pytest.mark.parametrize("ahead", AHEAD)
def test_a_fast_file_that_is_ahead_of_onnxruntime_gives_way_to_the_portable(run, bundle_copy, ahead):
    expected = run("generate", bundle_copy, *PROMPT)
    changed(bundle_copy / FAST_FP32, ahead)
    outcome = run("generate", bundle_copy, *PROMPT)
    assert (outcome.code, outcome.out) == (0, expected.out)
    assert outcome.err.count("\n") == 1
    assert outcome.err.startswith(f"kerasgpt: {bundle_copy / FAST_FP32}: onnxruntime ")
    assert outcome.err.endswith(f"; {ONNX_MODEL} runs in its place\n")


@pytest.mark.parametrize("ahead", [newer_operator, newer_opset, newer_format])
def test_a_portable_file_that_is_ahead_asks_for_a_newer_onnxruntime(refuses, bundle_copy, ahead):
    (bundle_copy / FAST_FP32).unlink()
    changed(bundle_copy / ONNX_MODEL, ahead)
    sentence = refuses("generate", bundle_copy, *PROMPT, code=1)
    assert "lacks an operator or is too old for the file" in sentence
    assert "pip install --upgrade onnxruntime" in sentence


@pytest.mark.parametrize(
    ("precision", "name"),
    [("fp32", FAST_FP32), ("fp16", ONNX_HALF), ("int8", FAST_INT8), ("int4", FAST_INT4)],
)
def test_every_precision_falls_back_and_says_so(run, bundle_copy, precision, name):
    expected = run("generate", bundle_copy, *PROMPT)
    if precision != "fp32":
        shutil.copyfile(bundle_copy / FAST_FP32, bundle_copy / name)
    changed(bundle_copy / name, newer_operator)
    outcome = run("generate", bundle_copy, *PROMPT, "--precision", precision)
    assert (outcome.code, outcome.out) == (0, expected.out)
    assert f"{name}: onnxruntime" in outcome.err
    assert f"{ONNX_MODEL} runs in its place" in outcome.err


def test_the_portable_file_of_the_same_precision_is_tried_first(bundle_copy):
    for name in (FAST_INT8, ONNX_INT8):
        shutil.copyfile(bundle_copy / FAST_FP32, bundle_copy / name)
    changed(bundle_copy / FAST_INT8, newer_operator)
    with pytest.warns(PortableGraphWarning, match=f"{ONNX_INT8} runs in its place") as said:
        load(bundle_copy, precision="int8")
    assert len(said) == 1
    changed(bundle_copy / ONNX_INT8, newer_operator)
    with pytest.warns(PortableGraphWarning) as said:
        load(bundle_copy, precision="int8")
    assert [str(each.message).split("; ")[-1] for each in said] == [
        f"{ONNX_INT8} runs in its place",
        f"{ONNX_MODEL} runs in its place",
    ]


@pytest.fixture
def beside(bundle_copy):
    """A bundle whose portable file has its weights in a file beside it, and no other ONNX file."""
    (bundle_copy / FAST_FP32).unlink()
    path = bundle_copy / ONNX_MODEL
    model = onnx.load(path)
    path.unlink()
    # Not all of it: ONNX Runtime wants the sizes of a Reshape in the file itself.
    onnx.save(model, path, save_as_external_data=True, location="model.onnx_data", size_threshold=1024)
    return bundle_copy


def relocated(bundle, location):
    def change(model):
        for tensor in model.graph.initializer:
            for entry in tensor.external_data:
                if entry.key == "location":
                    entry.value = location

    changed(bundle / ONNX_MODEL, change)


def test_weights_beside_the_file_are_read(run, bundle, beside):
    assert run("generate", beside, *PROMPT).out == run("generate", bundle, *PROMPT).out


def test_missing_weights_are_named(refuses, beside):
    (beside / f"{ONNX_MODEL}_data").unlink()
    for command in (["generate", beside, *PROMPT], ["inspect", beside]):
        sentence = refuses(*command, code=1)
        assert f"{beside / ONNX_MODEL}_data: is missing" in sentence
        assert "copy it too" in sentence


def test_cut_weights_are_named(refuses, beside):
    data = beside / f"{ONNX_MODEL}_data"
    data.write_bytes(data.read_bytes()[:100])
    assert f"{beside / ONNX_MODEL}: cannot be loaded" in refuses("generate", beside, *PROMPT, code=1)


@pytest.mark.parametrize("how", ["up", "absolute", "link"])
def test_weights_outside_the_folder_are_refused(refuses, beside, tmp_path, how):
    outside = tmp_path / "outside"
    (beside / f"{ONNX_MODEL}_data").rename(outside)
    if how == "link":
        (beside / f"{ONNX_MODEL}_data").symlink_to(outside)
    else:
        relocated(beside, "../../outside" if how == "up" else str(outside))
    for command in (["generate", beside, *PROMPT], ["inspect", beside]):
        sentence = refuses(*command, code=1)
        said = "_data: leads to" if how == "link" else ": its weights lie in"
        assert f"{beside / ONNX_MODEL}{said}" in sentence
        assert f"outside {'the bundle' if how == 'link' else 'its folder'}; refused" in sentence


@pytest.mark.parametrize("engine", ENGINES)
def test_a_text_that_meets_the_end_of_the_context_ends_with_length(bundle, engine):
    lm = load(bundle, engine)
    settings = GenerationConfig(max_new_tokens=1000)
    together = lm.generate([[5] * 90, [6, 7]], settings)
    assert [result.finish_reason for result in together] == ["length", "length"]
    assert [len(result.token_ids) for result in together] == [96 - 90, 96 - 2]
    assert "".join(lm.stream([5] * 90, settings)) == together[0].text


@pytest.mark.parametrize(
    "options",
    [
        ["--num-beams", 3],
        ["--prompt-lookup-num-tokens", 8],
        ["--temperature", 1],
        ["--repetition-penalty", 1.2],
    ],
    ids=lambda options: options[0],
)
def test_so_it_does_however_it_is_written(run, bundle, options):
    (row,) = run("generate", bundle, *PROMPT, "--max-new-tokens", 1000, "--json", *options).rows
    assert row["num_prompt_tokens"] + len(row["token_ids"]) == 96
    assert row["finish_reason"] == "length"


@pytest.mark.parametrize("engine", ENGINES)
def test_ids_that_the_model_has_not_are_refused(bundle, engine):
    lm = load(bundle, engine)
    for ids in ([300], [3, -1], np.array([2**40])):
        with pytest.raises(UsageError, match=r"holds id -?\d+: ids go from 0 to 299"):
            lm.generate([[1], ids])
        with pytest.raises(UsageError, match="ids go from 0 to 299"):
            lm.score([[1]], [ids])
        with pytest.raises(UsageError, match="ids go from 0 to 299"):
            list(lm.stream(ids))
    assert lm.generate([[299]])[0].num_prompt_tokens == 1


def test_so_they_are_on_the_command_line(refuses, bundle):
    for option in (("--allowed-token-ids", "5,300"), ("--logit-bias", "300=1")):
        assert "holds id 300: ids go from 0 to 299" in refuses("generate", bundle, *PROMPT, *option, code=2)


@pytest.mark.parametrize("engine", ENGINES)
def test_no_prompts_have_no_answers(bundle, engine):
    lm = load(bundle, engine)
    assert lm.generate([]) == []
    assert lm.generate([], []) == []
    assert lm.score([], []) == []
    with pytest.raises(UsageError, match="1 prompt and 0 continuations"):
        lm.score(["The"], [])


def test_no_lines_have_no_scores_and_no_text_is_an_empty_prompt(run, bundle):
    for stdin in ("", "\n\n"):
        outcome = run("score", bundle, stdin=stdin)
        assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    (row,) = run("generate", bundle, "--json", stdin="").rows
    end = Tokenizer.from_preset(bundle).end_of_text_id
    assert row["token_ids"] == load(bundle).generate([[end]])[0].token_ids


def test_a_damaged_manifest_stops_every_command(refuses, bundle_copy):
    (bundle_copy / "kerasgpt.json").write_text("{")
    for command in (["generate", bundle_copy, *PROMPT], ["inspect", bundle_copy], ["verify", bundle_copy]):
        assert "kerasgpt.json: cannot read (not valid JSON" in refuses(*command, code=1)


def test_answers_of_another_model_are_noticed(bundle_copy):
    with np.load(bundle_copy / PARITY) as arrays:
        values = dict(arrays)
    np.savez_compressed(bundle_copy / PARITY, **{**values, "top_logits": values["top_logits"] + 1})
    assert not prove(bundle_copy, "onnx").parity.holds
