"""report.html: one page that says what a run was and what came of it, and needs nothing beside it."""

from __future__ import annotations

import html
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from kerasgpt.atomic import write_text
from kerasgpt.training.config import Recipe
from kerasgpt.training.journal import CAN_DRAW, Record

STYLE = """
:root { color-scheme: light dark; --ink: #1c2330; --soft: #626c7c; --line: #dfe3ea; --page: #fbfbfc; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e7ec; --soft: #98a2b3; --line: #313845; --page: #14181f; }
  figure svg { filter: invert(.9) hue-rotate(180deg); }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page); margin: 0 auto;
       max-width: 1080px; padding: 28px 24px 60px; }
h1 { font-size: 26px; margin: 0; } h2 { font-size: 17px; margin: 34px 0 10px; }
p.about { color: var(--soft); margin: 2px 0 22px; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 10px; }
.facts div { border: 1px solid var(--line); border-radius: 8px; padding: 10px 14px; }
.facts b { display: block; font-size: 20px; font-variant-numeric: tabular-nums; }
.facts span { color: var(--soft); font-size: 13px; }
.curves { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(440px, 100%), 1fr)); gap: 14px; }
figure { margin: 0; } figure svg { width: 100%; height: auto; }
pre { white-space: pre-wrap; border-left: 3px solid var(--line); padding: 2px 14px; margin: 6px 0 16px; }
pre + p, p + pre { margin-top: 2px; } p.step { color: var(--soft); margin: 0; font-size: 13px; }
table { border-collapse: collapse; width: 100%; font-size: 13.5px; }
td { border-bottom: 1px solid var(--line); padding: 3px 8px 3px 0; vertical-align: top; }
td + td { font-family: ui-monospace, monospace; word-break: break-word; }
.tables { columns: 300px 3; column-gap: 28px; } .tables table { margin-bottom: 18px; }
"""


class Curve(NamedTuple):
    """A panel: its title, the records' keys with the names of their lines, and the form of its axis."""

    title: str
    keys: Mapping[str, str]
    is_logarithmic: bool = False


CURVES = (
    Curve("Loss (nats per token)", {"loss": "training", "validation_loss": "validation"}),
    Curve("Bits per byte, validation", {"bits_per_byte": ""}),
    Curve("Learning rate", {"learning_rate": ""}),
    Curve("Norm of the gradient", {"grad_norm": ""}, is_logarithmic=True),
    Curve("Tokens per second", {"tokens_per_second": ""}),
    Curve("Model FLOPs utilisation", {"mfu": ""}),
)

# What stands at the top, where the summary has it: key, title, form.
FACTS = (
    ("validation_loss", "best validation loss, nats per token", "{:.4f}"),
    ("validation_bits_per_byte", "bits per byte, validation", "{:.3f}"),
    ("test_bits_per_byte", "bits per byte, test", "{:.3f}"),
    ("train_loss", "last training loss", "{:.4f}"),
    ("steps", "updates", "{:,}"),
    ("tokens_seen", "tokens read", "{:,}"),
    ("tokens_per_second", "tokens per second", "{:,.0f}"),
    ("seconds", "seconds in all", "{:,.0f}"),
)

SAMPLES_SHOWN = 4


def write_report(
    path: Path,
    title: str,
    recipe: Recipe,
    summary: Mapping[str, Any],
    records: Sequence[Record],
    environment: Mapping[str, str],
) -> None:
    """Write the page.

    Args:
        path: of the page.
        title: the run's name.
        recipe: with which it was trained.
        summary: what summary.json holds.
        records: of metrics.jsonl.
        environment: what computed it.

    Raises:
        KerasGPTError: it cannot be written.
    """
    data = {name: value for name, value in summary.items() if name.endswith(("_bytes", "_tokens"))}
    settings = recipe.to_dict()
    parts = [
        f"<h1>{_text(title)}</h1>",
        f"<p class=about>{_text(', '.join(f'{name} {value}' for name, value in environment.items()))}</p>",
        _facts({**summary, **_peak(records)}),
        "<h2>Curves</h2>",
        f"<div class=curves>{''.join(_curves(records))}</div>",
        "<h2>Samples</h2>",
        *_samples(records),
        "<h2>Data</h2>",
        f"<div class=tables>{_table('size of each part', {**data, 'split': summary.get('split')})}</div>",
        "<h2>Settings</h2>",
        f"<div class=tables>{''.join(_table(f'[{name}]', table) for name, table in settings.items())}</div>",
    ]
    head = f'<meta charset="utf-8"><title>{_text(title)}</title><style>{STYLE}</style>'
    viewport = '<meta name="viewport" content="width=device-width">'
    body = "\n".join(parts)
    write_text(
        path,
        f'<!doctype html>\n<html lang="en"><head>{head}{viewport}</head>\n<body>\n{body}\n</body></html>\n',
    )


def _text(value: Any) -> str:
    return html.escape(str(value))


def _peak(records: Sequence[Record]) -> dict[str, float]:
    """The most memory, where it was recorded."""
    return {"memory_bytes": max((record.get("memory_bytes", 0) for record in records), default=0)}


def _facts(summary: Mapping[str, Any]) -> str:
    shown = [(title, form.format(summary[key])) for key, title, form in FACTS if summary.get(key) is not None]
    if summary["memory_bytes"]:
        shown.append(("memory at most", f"{summary['memory_bytes'] / 2**30:,.2f} GiB"))
    cells = "".join(f"<div><b>{_text(value)}</b><span>{_text(title)}</span></div>" for title, value in shown)
    return f"<div class=facts>{cells}</div>"


def _curves(records: Sequence[Record]) -> list[str]:
    return [f"<figure>{svg}</figure>" for svg in (_curve(curve, records) for curve in CURVES) if svg]


def _curve(curve: Curve, records: Sequence[Record]) -> str:
    """One panel as SVG; none where nothing was recorded, or matplotlib is not installed."""
    if not CAN_DRAW:
        return ""
    import matplotlib
    from matplotlib.figure import Figure  # no pyplot: it would choose a window system

    lines = {label: _points(records, key) for key, label in curve.keys.items()}
    if not any(lines.values()):
        return ""
    with matplotlib.rc_context({"svg.fonttype": "none", "font.family": "sans-serif", "font.size": 10}):
        figure = Figure(figsize=(5.6, 3.0), layout="constrained")
        figure.patch.set_alpha(0)
        axes = figure.add_subplot(title=curve.title, xlabel="step")
        axes.patch.set_alpha(0)
        for label, points in lines.items():
            if points:
                style = "o-" if len(points) < 40 else "-"
                axes.plot(*zip(*points, strict=True), style, label=label, markersize=3, linewidth=1.3)
        if curve.is_logarithmic:
            axes.set_yscale("log")
        if len(lines) > 1:
            axes.legend(frameon=False)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue().partition("<svg")[1] + file.getvalue().partition("<svg")[2]


def _points(records: Sequence[Record], key: str) -> list[tuple[int, float]]:
    return [(r["step"], r[key]) for r in records if key in r and math.isfinite(r[key])]


def _samples(records: Sequence[Record]) -> list[str]:
    """The first, the last, and some between, so that one sees what was learned."""
    samples = [(record["step"], record["sample"]) for record in records if record.get("sample")]
    if not samples:
        return ["<p class=step>none were written</p>"]
    count = min(SAMPLES_SHOWN, len(samples))
    chosen = sorted({round(number * (len(samples) - 1) / max(1, count - 1)) for number in range(count)})
    return [
        f"<p class=step>after {samples[index][0]:,} steps</p><pre>{_text(samples[index][1].strip())}</pre>"
        for index in chosen
    ]


def _table(title: str, values: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><td>{_text(name)}</td><td>{_text(_shown(value))}</td></tr>" for name, value in values.items()
    )
    return f"<table><tr><td colspan=2><b>{_text(title)}</b></td></tr>{rows}</table>"


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return repr(value) if "\n" in value or not value else value
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:,}" if isinstance(value, int) else str(value)
