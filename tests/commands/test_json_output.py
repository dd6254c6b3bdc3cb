import json

import pytest

from kerasgpt.commands.json_output import echo_json


@pytest.mark.parametrize("text", ["naïve 🙂", "a\nb", "\ud83d", "é\udcff", "\ude42\ud83d"])
def test_a_line_is_what_was_given(text, capfdbinary):
    echo_json({"text": text, "number": 1})
    out = capfdbinary.readouterr().out
    assert out.count(b"\n") == 1
    assert json.loads(out.decode("utf-8")) == {"text": text, "number": 1}


def test_texts_are_readable(capfd):
    echo_json({"text": "naïve 🙂"})
    assert capfd.readouterr().out == '{"text": "naïve 🙂"}\n'
