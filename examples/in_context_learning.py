"""In-context learning seen to arise: regression and token maps, a GPT-2 and an LSTM, and induction heads.

    python examples/in_context_learning.py [FOLDER [UPDATES]]

Five minutes on two cores. Expect both errors to fall with the examples in the context, to 0.04 and 0.03 after
nine, where least squares has none; and induction heads in the GPT-2's second block after some hundred
updates, with which it looks up maps without a mistake. FOLDER (else runs/in_context) gets in_context.json,
regression.png and token_maps.png; see docs/in-context-learning.md.
"""

import json
import sys
from pathlib import Path

from in_context import figures
from in_context.measuring import map_accuracies, regression_errors


def main(folder: Path, updates: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    errors = {kind: regression_errors(kind, updates) for kind in ("zero", "least squares", "GPT-2", "LSTM")}
    figures.draw_errors(errors, folder / "regression.png")
    maps = {kind: map_accuracies(kind, updates) for kind in ("GPT-2", "LSTM")}
    accuracies, curves = {kind: found for kind, (found, _) in maps.items()}, maps["GPT-2"][1]
    figures.draw_maps(accuracies, curves, folder / "token_maps.png")
    found = {"updates": updates, "errors": errors, "accuracies": accuracies, "induction": curves}
    (folder / "in_context.json").write_text(json.dumps(found))
    for name, values in [*errors.items(), *accuracies.items()]:
        print(f"{name}:", *(f"{value:.2f}" for value in values))


if __name__ == "__main__":
    given = [*sys.argv[1:], *("runs/in_context", "2000")[len(sys.argv) - 1 :]]
    main(Path(given[0]), int(given[1]))
