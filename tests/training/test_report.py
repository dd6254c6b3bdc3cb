"""The page of a run: complete, safe, and without a network."""

import re
from html.parser import HTMLParser

import pytest

from kerasgpt.training import report
from kerasgpt.training.config import Recipe
from kerasgpt.training.report import write_report

SUMMARY = {
    "steps": 40,
    "train_loss": 1.5,
    "validation_loss": 1.25,
    "validation_bits_per_byte": 1.803,
    "tokens_seen": 12800,
    "tokens_per_second": 1234.5,
    "seconds": 10.4,
    "split": "tail",
    "train_bytes": 900000,
    "train_tokens": 300000,
}
RECORDS = [
    {"step": step, "loss": 4 / step, "learning_rate": 1e-3, "grad_norm": 0.5, "tokens_per_second": 1e3}
    for step in range(1, 41)
]
EVALUATIONS = [
    {
        "step": step,
        "validation_loss": 5 / step,
        "bits_per_byte": 2.0,
        "sample": f"<b>text</b> & more at {step}",
    }
    for step in range(5, 41, 5)
]


class _Wellformed(HTMLParser):
    """Notes what is opened and never closed, and what would be fetched."""

    def __init__(self):
        super().__init__()
        self.open, self.fetched = [], []

    def handle_starttag(self, tag, attributes):
        if tag not in ("meta", "br"):
            self.open.append(tag)
        self.fetched += [value for name, value in attributes if name in ("src", "href") and "#" not in value]

    def handle_endtag(self, tag):
        while self.open and self.open.pop() != tag:
            pass


@pytest.fixture
def page(tmp_path):
    recipe = Recipe.from_dict({"data": {"paths": "a&b.txt"}})
    records = sorted([*RECORDS, *EVALUATIONS], key=lambda record: record["step"])
    write_report(tmp_path / "report.html", "story", recipe, SUMMARY, records, {"device": "cpu: <X>"})
    return (tmp_path / "report.html").read_text()


def test_it_holds_curves_settings_throughput_samples_and_data(page):
    for title in ("Loss (nats per token)", "Learning rate", "Norm of the gradient", "Tokens per second"):
        assert title in page
    assert page.count("<svg") == 5
    for text in ("1.2500", "1.803", "1,234", "a&amp;b.txt", "900,000", "learning_rate", "cpu: &lt;X&gt;"):
        assert text in page
    assert [int(step) for step in re.findall(r"after (\d+) steps", page)] == [5, 15, 30, 40]
    assert "&lt;b&gt;text&lt;/b&gt; &amp; more at 40" in page
    assert "Model FLOPs utilisation" not in page  # none was recorded


def test_it_fetches_nothing_and_is_well_formed(page):
    parser = _Wellformed()
    parser.feed(page)
    assert parser.open == []
    assert parser.fetched == []
    assert "<script" not in page
    assert "url(http" not in page
    assert "@import" not in page


def test_a_run_without_evaluations_has_a_page_too(tmp_path):
    write_report(tmp_path / "report.html", "short", Recipe(), {"steps": 1}, [], {})
    assert "none were written" in (tmp_path / "report.html").read_text()


def test_without_matplotlib_there_is_a_page_without_curves(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "CAN_DRAW", False)
    write_report(tmp_path / "report.html", "bare", Recipe(), SUMMARY, RECORDS, {})
    text = (tmp_path / "report.html").read_text()
    assert "<svg" not in text
    assert "1,234" in text or "1234" in text
