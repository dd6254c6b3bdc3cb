import pytest

from kerasgpt.commands.accuracy_plot import check_plot, draw
from kerasgpt.errors import MissingExtraError, UsageError


def result(precision: str, shots: int, acc: float) -> dict:
    return {
        "precision": precision,
        "metrics": {"acc": acc, "acc_calibrated": acc + 0.1, "num_x": 1},
        "intervals": {"acc": [acc - 0.1, acc + 0.1], "acc_calibrated": [acc, acc + 0.2]},
        "baselines": {"majority": {"metrics": {"acc": 0.3}}},
        "settings": {"shots": shots},
    }


@pytest.mark.parametrize(("suffix", "begins"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_it_is_drawn_in_the_form_of_its_name(tmp_path, suffix: str, begins: bytes) -> None:
    path = tmp_path / f"shots.{suffix}"
    draw(str(path), [result(p, k, 0.3 + k / 20) for p in ("fp32", "int4") for k in (0, 1, 4)])
    assert path.read_bytes().startswith(begins)


def test_every_line_is_named(tmp_path) -> None:
    path = tmp_path / "shots.svg"
    draw(str(path), [result(p, k, 0.3) for p in ("fp32", "int4") for k in (0, 1)])
    text = path.read_text()
    for name in ("fp32", "fp32, calibrated", "int4", "majority", "examples in the prompt"):
        assert f"<!-- {name} -->" in text


def test_what_cannot_be_drawn_is_refused_before_the_work(without) -> None:
    check_plot("a.png", [0, 1])
    with pytest.raises(UsageError, match=r"a.gif: a plot is a file that ends in .png, .svg, .pdf"):
        check_plot("a.gif", [0, 1])
    for shots in (None, [3]):
        with pytest.raises(UsageError, match="give several"):
            check_plot("a.png", shots)
    without("matplotlib")
    with pytest.raises(MissingExtraError, match=r"a plot needs matplotlib.*kerasgpt\[train\]"):
        check_plot("a.png", [0, 1])
