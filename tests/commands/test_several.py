"""Options of several words take them up to the next option, and no word that belongs to another."""

import click
import pytest

from kerasgpt.commands.several import SeveralCommand


@pytest.fixture
def command():
    @click.command(cls=SeveralCommand)
    @click.option("--data", "-d", multiple=True, metavar="PATH...")
    @click.option("--check", multiple=True, metavar="PATH...")
    @click.option("--set", "settings", multiple=True, metavar="KEY=VALUE")
    @click.option("--flag", is_flag=True)
    @click.argument("rest", nargs=-1)
    def told(**given):
        return {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}

    return told


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("--data a b --check c d", {"data": ["a", "b"], "check": ["c", "d"]}),
        ("--data a --check c --data b", {"data": ["a", "b"], "check": ["c"]}),
        ("--data=a b -d c - --flag", {"data": ["a", "b", "c", "-"], "flag": True}),
        (
            "--data a --flag x --set k=v y",
            {"data": ["a"], "flag": True, "settings": ["k=v"], "rest": ["x", "y"]},
        ),
        ("--data a b -- --check c", {"data": ["a", "b"], "rest": ["--check", "c"]}),
    ],
)
def test_each_word_is_its_options(command, line, expected):
    found = command.main(line.split(), standalone_mode=False)
    assert found == {"data": [], "check": [], "settings": [], "flag": False, "rest": []} | expected


@pytest.mark.parametrize(
    ("line", "folder", "data"),
    [
        ("bundle --data a b", "bundle", ["a", "b"]),
        ("--data a bundle", "bundle", ["a"]),
        ("--data a b bundle --set k=v", "bundle", ["a", "b"]),
        ("--data a bundle -- --workers=2", "bundle", ["a"]),
        ("--set k=v --data a b -- c", "b", ["a"]),
        ("--set k=v bundle --data a b", "bundle", ["a", "b"]),
    ],
)
def test_the_last_word_is_the_argument_that_would_be_missing(line, folder, data):
    @click.command(cls=SeveralCommand)
    @click.option("--data", multiple=True, metavar="PATH...")
    @click.option("--set", "settings", multiple=True, metavar="KEY=VALUE")
    @click.argument("folder")
    @click.argument("rest", nargs=-1, type=click.UNPROCESSED)
    def told(**given):
        return given["folder"], list(given["data"])

    assert told.main(line.split(), standalone_mode=False) == (folder, data)
