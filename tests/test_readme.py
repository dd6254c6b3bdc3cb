"""What the pages say exists: commands, options, files, names, links; and nothing is left to be filled in."""

import ast
import builtins
import configparser
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import kerasgpt
from kerasgpt.artifacts import FORMATS
from kerasgpt.cli import main
from kerasgpt.config import GPT2Config
from kerasgpt.engines import PRECISIONS

ROOT = Path(__file__).parents[1]
PAGES = [
    *ROOT.glob("*.md"),
    *(ROOT / "docs").rglob("*.md"),
    *(ROOT / folder / "README.md" for folder in ("benchmarks", "export", "saved_models")),
]
README = (ROOT / "README.md").read_text()


def blocks(language: str, text: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands() -> Iterator[list[str]]:
    """The words of every command in every page's shell blocks, pipes taken apart."""
    for page in PAGES:
        for block in blocks("shell", page.read_text()):
            for line in block.splitlines():
                words = shlex.split(line, comments=True)
                while "|" in words:
                    yield words[: words.index("|")]
                    words = words[words.index("|") + 1 :]
                if words:
                    yield words


COMMANDS = list(commands())


def tree() -> dict[str, str]:
    """The README's tree: path -> its line of explanation."""
    listing = re.search(r"^## The tree\n\n```\n(.*?)^```$", README, re.MULTILINE | re.DOTALL).group(1)
    found, parents = {}, []
    for line in listing.splitlines():
        name, _, explanation = line.strip().partition(" ")
        depth = (len(line) - len(line.lstrip())) // 2
        parents = [*parents[:depth], name]
        found["".join(parents)] = explanation.strip()
    return found


def test_the_pages_show_commands():
    assert {words[0] for words in COMMANDS} == {"kerasgpt", "make", "pip", "python", "echo"}
    assert {words[1] for words in COMMANDS if words[0] == "kerasgpt"} >= {
        "train",
        "export",
        "verify",
        "generate",
    }


def unknown_options(words: list[str], help_text: str) -> set[str]:
    words = words[: words.index("--")] if "--" in words else words  # what follows is for another program
    return {word for word in words if word.startswith("--")} - set(re.findall(r"--[a-z][a-z-]*", help_text))


@pytest.mark.parametrize("words", [w for w in COMMANDS if w[0] == "kerasgpt"], ids=" ".join)
def test_commands_and_their_options_exist(words, capsys):
    assert main([words[1], "--help"]) == 0
    assert unknown_options(words, capsys.readouterr().out) == set()


def test_a_misspelt_option_would_be_noticed(capsys):
    main(["generate", "--help"])
    words = ["kerasgpt", "generate", "--temprature", "1", "--top-k", "2"]
    assert unknown_options(words, capsys.readouterr().out) == {"--temprature"}


def test_make_targets_exist():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    shown = {words[1] for words in COMMANDS if words[0] == "make"}
    assert {"demo", "test", "check"} <= shown <= targets


def test_scripts_exist():
    for words in COMMANDS:
        if words[:2] == ["python", "-m"]:
            assert (ROOT / words[2].replace(".", "/")).with_suffix(".py").is_file(), words
        elif words[0] == "python":
            assert (ROOT / words[1]).is_file(), words


def test_extras_exist():
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    shown = set(re.findall(r"pip install '[^']*\[([a-z]+)\]'", README))
    assert {"train", "export"} <= shown <= set(parser["options.extras_require"])


def test_the_tree_names_each_module_and_no_other():
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "kerasgpt").rglob("*.py")}
    rooms = {name for name in modules if name.count("/") > 1 and name.endswith("/__init__.py")}
    shown = {path for path in tree() if path.startswith("kerasgpt/") and path.endswith(".py")}
    assert shown == modules - rooms


def test_what_the_tree_names_exists_and_is_explained():
    for path, explanation in tree().items():
        assert (ROOT / path).exists(), path
        assert explanation or path == "kerasgpt/", path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_python_blocks_compile_and_use_public_names(page):
    for block in blocks("python", page.read_text()):
        compile(block, str(page), "exec")
        names = set(re.findall(r"(?<!from )\bkerasgpt\.(\w+)", block))
        assert names <= set(kerasgpt.__all__)


def sixty_seconds() -> list[str]:
    """The README's first four Python programs, to be pasted one after the other."""
    return blocks("python", README.split("\n## In Python\n")[1])[:4]


def test_the_blocks_in_python_use_no_name_that_none_of_them_defines():
    names = [node for node in ast.walk(ast.parse("".join(sixty_seconds()))) if isinstance(node, ast.Name)]
    imported = {"keras", "kerasgpt", "tf"}
    defined = {node.id for node in names if isinstance(node.ctx, ast.Store)} | imported | set(dir(builtins))
    assert {node.id for node in names} <= defined


def test_the_blocks_in_python_run_on_the_bundle_that_the_first_exports(bundle, monkeypatch, capsys):
    """The first is left out, for the time it takes: a bundle of another model stands for what it exports."""
    first, *others = sixty_seconds()
    assert 'kerasgpt.export_bundle(model, tokenizer, "bundle")' in first
    assert "tf.saved_model.load" in others[-1]
    monkeypatch.chdir(bundle.parent)
    names = {}
    for block in others:
        exec(block, names)
    assert capsys.readouterr().out


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert target.startswith("https://") or (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_no_figure_is_missing(page):
    assert re.findall(r"TBD\([^)]*\)", page.read_text()) == []


def test_the_reading_order_names_files_of_about_that_length():
    rows = re.findall(r"^\| \d \| `(\S+)` \| (\d+) \|", (ROOT / "ARCHITECTURE.md").read_text(), re.MULTILINE)
    assert len(rows) == 8
    for path, said in rows:
        assert len((ROOT / path).read_text().splitlines()) == pytest.approx(int(said), rel=0.15), path


def test_the_floors_shown_are_the_floors_enforced():
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    rooms = parser["importlinter:contract:floors"]["layers"].strip().splitlines()
    shown = next(block for block in blocks("", (ROOT / "ARCHITECTURE.md").read_text()) if "cli\n" in block)
    assert [re.split(r"\s{2,}", line)[0] for line in shown.splitlines()] == rooms


def test_the_demo_is_described_as_its_recipe_has_it():
    recipe = tomllib.loads((ROOT / "kerasgpt" / "assets" / "demo.toml").read_text())
    sizes = {
        "vocabulary_size": recipe["data"]["vocabulary_size"],
        "max_sequence_length": recipe["train"]["sequence_length"],
    }
    config = GPT2Config(**sizes, **recipe["model"])
    assert f"{config.num_parameters / 1e6:.1f} million parameters" in README
    assert f"{config.vocabulary_size:,} pieces" in README
    assert f"{recipe['train']['steps']:,} steps" in README
    assert f"{recipe['train']['refit_steps']:,} steps" in README
    assert (recipe["data"]["validation_fraction"], recipe["data"]["test_fraction"]) == (0.05, 0.1)


RECIPES = sorted((ROOT / "export" / "recipes").glob("*.toml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_the_workshops_recipes_name_what_exists(path):
    plan = tomllib.loads(path.read_text())
    optional = {"options", "generation", "model_card", "calibration_data", "evaluation_data", "data_from"}
    assert set(plan) - optional == {"recipe", "data", "run", "formats", "precisions", "out"}
    texts = [*plan["data"], *(plan[key] for key in optional & set(plan) if key.endswith("_data"))]
    assert "data_from" in plan or all((ROOT / name).is_file() for name in texts)
    assert all((ROOT / name).is_file() for name in filter(None, [plan["recipe"], plan.get("model_card")]))
    assert set(plan["formats"]) <= set(FORMATS)
    assert set(plan["precisions"]) <= set(PRECISIONS)
    assert f"| {path.stem} |" in (ROOT / "export" / "README.md").read_text()


def build(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, ROOT / "export" / "build.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_workshop_says_how_it_is_called():
    result = build("--help")
    assert result.returncode == 0
    assert "RECIPE.toml" in result.stdout


def test_a_named_recipe_whose_data_is_not_there_is_a_sentence(tmp_path):
    recipe = tmp_path / "stories.toml"
    recipe.write_text('data = ["runs/data/none.txt"]\ndata_from = "part of nothing"\n')
    result = build(str(recipe), str(tmp_path / "none.toml"))
    assert result.returncode == 1
    first, second = result.stderr.splitlines()
    assert first == "stories.toml: left out for want of runs/data/none.txt; part of nothing"
    assert second.startswith(f"{tmp_path}/none.toml: not a recipe that can be read: ")
