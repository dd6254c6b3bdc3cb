"""Each module has its test at the same place, and each test its module."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE, TESTS = ROOT / "kerasgpt", ROOT / "tests"

# What several modules do together is tested in rooms of its own.
ROOMS_OF_THEIR_OWN = {"architecture", "parity", "end_to_end", "clients"}

# No behaviour of their own to test: declarations, and entry points that tests run as subprocesses.
WITHOUT_TEST = {"protocols.py", "version.py", "__main__.py"}


def modules() -> set[Path]:
    found = {path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py")}
    return {path for path in found if path.name != "__init__.py" and str(path) not in WITHOUT_TEST}


def mirrored() -> set[Path]:
    found = {path.relative_to(TESTS) for path in TESTS.rglob("test_*.py")}
    own = {path for path in found if path.parts[0] not in ROOMS_OF_THEIR_OWN}
    return {path.with_name(path.name.removeprefix("test_")) for path in own}


def test_every_module_has_a_test():
    assert modules() - mirrored() == set()


def test_every_test_has_a_module():
    assert mirrored() - modules() - {Path("readme.py"), Path("examples.py"), Path("theory.py")} == set()


def test_no_room_is_called_utils():
    names = {
        part for path in PACKAGE.rglob("*.py") for part in path.relative_to(PACKAGE).with_suffix("").parts
    }
    assert names.isdisjoint({"utils", "util", "common", "helpers", "misc"})


def test_no_file_is_longer_than_a_reader_takes_in():
    lengths = {path: len(path.read_text("utf-8").splitlines()) for path in PACKAGE.rglob("*.py")}
    assert {path.name for path, length in lengths.items() if length > 300} == set()
