import io

from rich.console import Console

from kerasgpt.commands.evaluation_table import number, row_name, table

RESULT = {
    "task": "few_shot",
    "model": "runs/a",
    "engine": "onnx",
    "precision": "int8",
    "num_examples": 1234,
    "metrics": {"acc": 0.5, "perplexity": 123456.7, "num_truncated": 3},
    "intervals": {"acc": [0.25, 0.75], "perplexity": [1000.4, 200000.0]},
    "baselines": {"majority": {"metrics": {"acc": 0.4, "perplexity": 1}, "intervals": {"acc": [0.3, 0.5]}}},
    "settings": {"shots": 4},
    "data": ["a.txt"],
}
RESULT["baselines"]["majority"]["intervals"]["perplexity"] = [1, 1]


def printed(*results: dict) -> str:
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(table(results))
    return console.export_text()


def test_rows_are_results_and_then_baselines() -> None:
    other = {**RESULT, "precision": "fp32", "metrics": {**RESULT["metrics"], "num_truncated": 9}}
    text = printed(RESULT, other)
    lines = text.splitlines()
    assert lines[0].strip() == "few_shot: runs/a (onnx)"
    first = next(n for n, line in enumerate(lines) if "int8, 4 shots" in line)
    assert [cell.strip() for cell in lines[first].split("│")[2:4]] == ["0.5", "123,457"]
    assert [cell.strip() for cell in lines[first + 1].split("│")[2:4]] == ["[0.25, 0.75]", "[1,000, 200,000]"]
    assert text.index("int8, 4 shots") < text.index("fp32, 4 shots") < text.index("majority")
    assert "1,234 examples, 9 truncated" in text
    assert "num" not in text


def test_a_result_without_shots_is_its_precision() -> None:
    assert row_name({**RESULT, "settings": {}}) == "int8"


def test_numbers_have_four_figures() -> None:
    assert [number(value) for value in (0, 0.123456, 12.3456, 999.96, 1e6)] == [
        "0",
        "0.1235",
        "12.35",
        "1000",
        "1,000,000",
    ]
