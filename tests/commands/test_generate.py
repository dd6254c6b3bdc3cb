"""`kerasgpt generate`: the same text from every engine, by every way in and out."""

import dataclasses
import io
import json
import shutil
import subprocess
import sys

import pytest

from kerasgpt import GenerationConfig, Tokenizer, load
from kerasgpt.cli import main
from kerasgpt.engines import ENGINES
from kerasgpt.tasks.templates import TaskTemplate

PROMPTS = ["", "The", "ROMEO:\nBut soft, what light", "naïve 北京 🙂"]
SAMPLING = ("--temperature", 0.9, "--top-k", 50, "--top-p", 0.95)


@pytest.fixture
def generate(run, bundle):
    """Call it on the bundle and give its JSON lines."""

    def call(*arguments, stdin=b""):
        outcome = run("generate", bundle, "--json", *arguments, stdin=stdin)
        assert (outcome.code, outcome.err) == (0, "")
        return outcome.rows

    return call


def prompt_options(prompts):
    return [word for prompt in prompts for word in ("--prompt", prompt)]


def test_the_json_form(generate, bundle):
    (row,) = generate("--prompt", "The king 北")
    assert set(row) == {"prompt", "text", "token_ids", "num_prompt_tokens", "finish_reason", "logprobs"}
    tokenizer = Tokenizer.from_preset(bundle)
    assert row["prompt"] == "The king 北"
    assert row["text"] == tokenizer.decode(row["token_ids"])
    assert row["num_prompt_tokens"] == len(tokenizer.encode("The king 北"))
    assert len(row["token_ids"]) == 12  # the bundle's own generation_config.json
    assert row["finish_reason"] == "length"
    assert len(row["logprobs"]) == 12
    assert all(logprob <= 0 for logprob in row["logprobs"])


def test_the_command_says_what_the_library_says(generate, bundle):
    settings = GenerationConfig(max_new_tokens=20, temperature=0.9, top_k=50, top_p=0.95, seed=7)
    rows = generate(*SAMPLING, "--seed", 7, "--max-new-tokens", 20, *prompt_options(PROMPTS))
    expected = [dataclasses.asdict(generation) for generation in load(bundle).generate(PROMPTS, settings)]
    assert [{name: row[name] for name in row if name != "prompt"} for row in rows] == expected


@pytest.mark.parametrize("engine", ENGINES)
def test_a_prompt_cannot_smuggle_in_an_end_of_text(generate, bundle, engine):
    tokenizer = Tokenizer.from_preset(bundle)
    marker, end = "<|endoftext|>", [tokenizer.end_of_text_id]
    (row,) = generate("--engine", engine, "--prompt", marker)
    as_text = tokenizer.encode(marker)
    assert row["num_prompt_tokens"] == len(as_text) > 1
    assert end[0] not in as_text
    settings = GenerationConfig(max_new_tokens=12)
    smuggled, read = load(bundle, "keras").generate([end, as_text], settings)
    assert row["token_ids"] == read.token_ids != smuggled.token_ids


def test_nor_a_special_token_that_was_added(run, model_folder, tmp_path, shakespeare):
    folder = shutil.copytree(model_folder, tmp_path / "chat")
    chat = Tokenizer.learn([shakespeare], 300, special_tokens=["<|user|>"])
    chat.save_to_preset(folder)
    outcome = run("generate", folder, "--json", "--engine", "keras", "--prompt", "<|user|>")
    assert outcome.rows[0]["num_prompt_tokens"] == len(chat.encode("<|user|>")) > 1


@pytest.mark.parametrize("engine", ENGINES)
def test_engines_agree_greedily(generate, engine):
    reference = generate("--engine", "keras", *prompt_options(PROMPTS))
    rows = generate("--engine", engine, *prompt_options(PROMPTS))
    for row, expected in zip(rows, reference, strict=True):
        same = ("prompt", "text", "token_ids", "num_prompt_tokens", "finish_reason")
        assert {name: row[name] for name in same} == {name: expected[name] for name in same}
        assert row["logprobs"] == pytest.approx(expected["logprobs"], abs=1e-4)


@pytest.mark.parametrize("engine", ["onnx", "keras"])
def test_engines_agree_when_sampling(generate, engine):
    arguments = [*SAMPLING, "--seed", 3, *prompt_options(PROMPTS)]
    rows, expected = generate("--engine", engine, *arguments), generate("--engine", "keras", *arguments)
    assert [row["token_ids"] for row in rows] == [row["token_ids"] for row in expected]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_ragged_batch_equals_one_by_one(generate, bundle, engine):
    together = generate("--engine", engine, *prompt_options(PROMPTS))
    lm = load(bundle, engine)
    alone = [lm.generate([prompt])[0].token_ids for prompt in PROMPTS]
    assert [row["token_ids"] for row in together] == alone


def test_the_same_seed_gives_the_same_text_and_another_another(generate):
    arguments = ("--prompt", "The", *SAMPLING, "--max-new-tokens", 30)
    first, again, other = (generate(*arguments, "--seed", seed)[0]["text"] for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_sample_number_i_is_drawn_with_seed_plus_i(generate):
    arguments = ("--prompt", "The", *SAMPLING)
    samples = generate(*arguments, "--seed", 5, "--num-samples", 3)
    alone = [generate(*arguments, "--seed", 5 + index)[0] for index in range(3)]
    assert [row["token_ids"] for row in samples] == [row["token_ids"] for row in alone]
    assert len({row["text"] for row in samples}) == 3


def test_beams_are_those_of_the_library(generate, bundle):
    settings = GenerationConfig(max_new_tokens=12, num_beams=4, length_penalty=0.5, num_return_sequences=2)
    options = ("--num-beams", 4, "--length-penalty", 0.5, "--num-samples", 2)
    rows = generate(*options, *prompt_options(PROMPTS))
    expected = load(bundle).generate(PROMPTS, settings)
    assert [row["token_ids"] for row in rows] == [each.token_ids for each in expected]
    assert [row["prompt"] for row in rows] == [prompt for prompt in PROMPTS for _ in range(2)]


@pytest.mark.parametrize(
    "words",
    [
        {"typical_p": 0.4, "temperature": 1.0},
        {"presence_penalty": 1.5, "frequency_penalty": 0.5},
        {"no_repeat_ngram_size": 1},
        {"min_new_tokens": 12, "repetition_penalty": 0.9},
    ],
    ids=lambda words: next(iter(words)),
)
def test_options_are_the_settings_of_their_names(generate, bundle, words):
    options = [part for name, value in words.items() for part in (f"--{name.replace('_', '-')}", value)]
    (row,) = generate("--prompt", "The", *options)
    (plain,), (expected,) = (
        load(bundle).generate(["The"], GenerationConfig(max_new_tokens=12, **own)) for own in ({}, words)
    )
    assert row["token_ids"] == expected.token_ids
    assert expected.token_ids != plain.token_ids or "min_new_tokens" in words


def test_bad_words_are_not_written(generate, bundle):
    free = generate("--prompt", "The", "--max-new-tokens", 30)[0]["text"]
    words = [free[2:4], free[10:12]]
    (row,) = generate("--prompt", "The", "--max-new-tokens", 30, *(f"--bad-word={word}" for word in words))
    ids = [Tokenizer.from_preset(bundle).encode(word) for word in words]
    for word in ids:
        assert word not in [row["token_ids"][n : n + len(word)] for n in range(30)]


def test_an_echo_prints_the_prompt_first(run, generate, bundle):
    text = generate("--prompt", "The king")[0]["text"]
    assert run("generate", bundle, "--prompt", "The king", "--echo").out == f"The king{text}\n"
    (row,) = generate("--prompt", "The king", "--echo")
    assert row["text"] == "The king" + text
    assert row["logprobs"][0] is None
    assert len(row["logprobs"]) == len(row["token_ids"]) == row["num_prompt_tokens"] + 12


def test_plain_output_is_the_continuation_alone(run, generate, bundle):
    texts = [row["text"] for row in generate(*prompt_options(PROMPTS[:2]))]
    outcome = run("generate", bundle, *prompt_options(PROMPTS[:2]))
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out == f"{texts[0]}\n---\n{texts[1]}\n"


@pytest.mark.parametrize("engine", ENGINES)
def test_streamed_pieces_joined_are_the_text(run, generate, bundle, engine):
    arguments = ("--prompt", "naïve 北", "--engine", engine)
    outcome = run("generate", bundle, "--stream", *arguments)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out == generate(*arguments)[0]["text"] + "\n"


def test_a_stop_string_ends_the_text_and_is_no_part_of_it(generate, run, bundle):
    arguments = ("--prompt", "The", "--max-new-tokens", 40)
    whole = generate(*arguments)[0]["text"]
    stop = whole[10:13]
    (row,) = generate(*arguments, "--stop", "not in there", "--stop", stop)
    assert row["text"] == whole[: whole.index(stop)]
    assert row["finish_reason"] == "stop"
    assert run("generate", bundle, *arguments, "--stop", stop, "--stream").out == row["text"] + "\n"


def test_repetition_is_discouraged(generate):
    def most(*arguments):
        ids = generate("--prompt", "The", "--max-new-tokens", 60, *arguments)[0]["token_ids"]
        return max(map(ids.count, ids))

    assert most("--repetition-penalty", 1e9) == 1 < most()


def test_the_prompt_from_standard_input_or_a_file(generate, tmp_path):
    text = "Two\nlines\n"
    (tmp_path / "prompt.txt").write_text(text)
    (expected,) = generate("--prompt", "Two\nlines")
    assert generate(stdin=text) == [expected]
    assert generate("--prompt-file", tmp_path / "prompt.txt") == [expected]


class Terminal(io.TextIOWrapper):
    def isatty(self):
        return True


def test_at_a_terminal_it_says_how_a_prompt_ends(generate, bundle, monkeypatch, capsys):
    (expected,) = generate("--prompt", "The")
    monkeypatch.setattr("sys.stdin", Terminal(io.BytesIO(b"The\n")))
    assert main(["generate", str(bundle)]) == 0
    out, err = capsys.readouterr()
    assert out == f"{expected['text']}\n"
    assert err == "kerasgpt: type the prompt and end it with Ctrl-D, or give --prompt\n"


def test_an_empty_prompt_starts_from_end_of_text(generate, bundle):
    (row,) = generate("--prompt", "")
    end_of_text = Tokenizer.from_preset(bundle).end_of_text_id
    assert row["num_prompt_tokens"] == 1
    assert load(bundle).generate([[end_of_text]])[0].token_ids == row["token_ids"]
    assert generate(stdin="") == [row]


@pytest.mark.parametrize("engine", ENGINES)
def test_of_a_prompt_longer_than_the_context_the_end_is_read(run, bundle, shakespeare, engine):
    prompt = shakespeare[:1000]
    outcome = run("generate", bundle, "--json", "--engine", engine, "--prompt", prompt)
    assert outcome.code == 0
    assert outcome.err.count("\n") == 1
    assert "the model's context is 96: only its last 84 are read" in outcome.err
    (row,) = outcome.rows
    assert row["num_prompt_tokens"] == 84
    ids = Tokenizer.from_preset(bundle).encode(prompt)[-84:]
    assert row["token_ids"] == load(bundle, "keras").generate([ids])[0].token_ids


def test_a_text_ends_where_the_context_does(generate):
    (row,) = generate("--prompt", "The", "--max-new-tokens", 1000)
    assert row["num_prompt_tokens"] + len(row["token_ids"]) == 96
    assert row["finish_reason"] == "length"


def test_a_model_folder_generates_as_its_bundle(run, generate, model_folder):
    outcome = run("generate", model_folder, "--json", "--prompt", "The")
    assert outcome.rows[0]["token_ids"] == generate("--prompt", "The")[0]["token_ids"]


def test_onnx_runs_without_importing_tensorflow_or_keras(bundle):
    script = (
        "import json, sys\nfrom kerasgpt.cli import main\n"
        f"main(['generate', {str(bundle)!r}, '--prompt', 'The', '--temperature', '1', '--json'])\n"
        "print(json.dumps([n for n in ('tensorflow', 'keras', 'onnx', 'jax') if n in sys.modules]))"
    )
    child = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    text, imported = child.stdout.splitlines()
    assert len(json.loads(text)["token_ids"]) == 12
    assert json.loads(imported) == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--engine", "onx"], "unknown engine 'onx': did you mean 'onnx'?"),
        (["--precision", "fp23"], "unknown precision 'fp23': did you mean 'fp32'?"),
        (["--temperature", "-1"], "temperature is -1.0: it must be 0 (greedy) or a positive number"),
        (["--top-p", "0"], "top_p is 0.0: it must be above 0"),
        (["--top-k", "-2"], "top_k is -2"),
        (["--num-samples", "0"], "--num-samples is 0: it must be 1 or more"),
        (["--num-samples", "2"], "greedy ones are all the same; set a temperature or num_beams"),
        (["--num-beams", "2", "--temperature", "1"], "beams are not sampled"),
        (["--stream", "--num-beams", "2", "--num-samples", "2"], "--stream writes one continuation"),
        (
            ["--engine", "saved_model", "--num-beams", "2"],
            "num_beams 2: this SavedModel cannot do that",
        ),
        (["--max-new-tokens", "many"], "--max-new-tokens"),
        (["--stream", "--json"], "--stream and --json exclude each other"),
        (["--stream", "--prompt", "b"], "--stream writes one continuation"),
        (["--prompt-file", "x"], "--prompt and --prompt-file exclude each other"),
        (["--engine", "saved_model", "--no-repeat-ngram-size", "2"], "use the onnx or the keras engine"),
    ],
)
def test_wrong_usage(refuses, bundle, arguments, sentence):
    assert sentence in refuses("generate", bundle, "--prompt", "a", *arguments, code=2)


def test_an_option_without_effect_is_told_beside_the_text(run, generate, bundle):
    outcome = run("generate", bundle, "--json", "--prompt", "The", "--top-k", 40, "--seed", 5)
    assert (outcome.code, outcome.rows) == (0, generate("--prompt", "The"))
    assert outcome.err == (
        "kerasgpt: no effect of --top-k while the temperature is 0 (greedy): give --temperature\n"
    )


def test_unreadable_prompts(refuses, bundle, tmp_path):
    assert "cannot read the prompt" in refuses("generate", bundle, "--prompt-file", tmp_path / "no", code=1)
    assert "not UTF-8 at byte 2" in refuses("generate", bundle, stdin=b"ab\xff", code=1)


def test_folders_with_nothing_to_run(refuses, tmp_path, model_folder):
    arguments = ("--prompt", "a")
    assert "no such folder" in refuses("generate", tmp_path / "no", *arguments, code=1)
    assert "neither a model folder" in refuses("generate", tmp_path, *arguments, code=1)
    sentence = refuses("generate", model_folder, "--engine", "onnx", *arguments, code=1)
    assert "export it first with 'kerasgpt export" in sentence


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "onnx/fast_fp32.onnx"])
def test_a_damaged_file_is_named(refuses, bundle_copy, name):
    (bundle_copy / name).write_bytes(b"{")
    arguments = ("--prompt", "a", "--engine", "onnx")
    assert name in refuses("generate", bundle_copy, *arguments, code=1)


def test_without_tensorflow_keras_is_asked_for_in_a_sentence(refuses, bundle, without):
    without("tensorflow", "keras")
    arguments = ("--prompt", "a", "--engine", "keras")
    assert "pip install 'kerasgpt[train]'" in refuses("generate", bundle, *arguments, code=1)


def test_only_the_allowed_ids_are_written(generate):
    (row,) = generate("--prompt", "The king", "--allowed-token-ids", "11,13")
    assert set(row["token_ids"]) <= {11, 13}
    (biased,) = generate("--prompt", "The king", "--allowed-token-ids", "11,13", "--logit-bias", "13=1000")
    assert set(biased["token_ids"]) == {13}


def test_early_stopping_of_beams_is_that_of_the_library(generate, bundle):
    for word, value in (("true", True), ("false", False), ("never", "never")):
        settings = GenerationConfig(max_new_tokens=12, num_beams=3, early_stopping=value)
        (row,) = generate("--prompt", "The king", "--num-beams", 3, "--early-stopping", word)
        assert row["token_ids"] == load(bundle).generate(["The king"], settings)[0].token_ids


@pytest.mark.parametrize(
    ("option", "value"), [("--allowed-token-ids", "11,x"), ("--logit-bias", "13"), ("--logit-bias", "a=1")]
)
def test_ids_that_are_none_are_refused(run, bundle, option, value):
    outcome = run("generate", bundle, "--prompt", "The", option, value)
    assert outcome.code == 2
    assert f"'{value}' is not a" in outcome.err


def test_a_provider_is_one_of_those_that_are_here(run, refuses, bundle):
    plain, named = (
        run("generate", bundle, "--prompt", "ab", *words) for words in ([], ["--provider", "cpu"])
    )
    assert (plain.code, named.code, named.out) == (0, 0, plain.out)
    sentence = refuses("generate", bundle, "--prompt", "ab", "--provider", "cuda", code=2)
    assert "provider 'cuda': onnxruntime" in sentence
    assert "cpu only; name one of these" in sentence


def test_a_model_tuned_on_a_task_takes_raw_input(run, refuses, bundle_copy):
    template = TaskTemplate("question_answering", "{context}|{question}>", "context", max_new_tokens=8)
    expected = run("generate", bundle_copy, "--prompt", "It rained.|Who slept?>", "--json").rows
    template.write(bundle_copy)
    prompt = json.dumps({"context": "It rained.", "question": "Who slept?"})
    answered = run("generate", bundle_copy, "--prompt", prompt, "--json").rows
    assert [row["text"] for row in answered] == [row["text"] for row in expected]
    assert answered[0]["prompt"] == prompt
    streamed = run("generate", bundle_copy, "--prompt", prompt, "--stream").out
    assert streamed == expected[0]["text"] + "\n"
    as_it_is = run(
        "generate", bundle_copy, "--prompt", "It rained.|Who slept?>", "--no-template", "--json"
    ).rows
    assert as_it_is == expected
    long = json.dumps({"context": "It rained again. " * 40, "question": "Who slept?"})
    outcome = run("generate", bundle_copy, "--prompt", long)
    assert "the context of 1 of 1 inputs was shortened" in outcome.err
    assert 'is an object {"context": "...", "question": "..."}' in refuses(
        "generate", bundle_copy, "--prompt", "why?", code=2
    )


@pytest.mark.parametrize("prompt", ["\udcff", "a\ud83d"])  # a byte that is no UTF-8, as Python gives it
def test_json_is_utf8_whatever_the_prompt(bundle, prompt, run):
    outcome = run("generate", bundle, "--json", "--prompt", prompt)
    outcome.out.encode("utf-8")
    (row,) = outcome.rows
    assert row["prompt"] == prompt
    (read,) = run("generate", bundle, "--json", "--prompt", prompt[:-1] + "\ufffd").rows
    assert row["text"] == read["text"]
