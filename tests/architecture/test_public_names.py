"""Every public name resolves, is documented, and costs nothing until used."""

import inspect
import subprocess
import sys

import pytest

import kerasgpt


@pytest.mark.parametrize("name", kerasgpt.__all__)
def test_public_names_resolve_and_are_documented(name):
    found = getattr(kerasgpt, name)
    if inspect.isclass(found) or inspect.isfunction(found):
        assert inspect.getdoc(found)
        assert found.__name__ == name


def test_all_and_dir_agree():
    assert sorted(kerasgpt.__all__) == dir(kerasgpt)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'GPT3'"):
        kerasgpt.GPT3  # noqa: B018 - the access is what is tested


def test_importing_the_package_imports_nothing_else():
    code = "import sys, kerasgpt; print([m for m in ('numpy', 'keras', 'tensorflow') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
