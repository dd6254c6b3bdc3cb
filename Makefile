# Two commands: `make demo` and `make test`. Both make .venv on first use, and are quick after that.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN = .venv/bin
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check
RECENT = -c 'import sys; sys.exit(sys.version_info < (3, 11))'
.PHONY: demo test check clients clients-light bench export dist clean

demo: .venv/export.done  ## train, export, verify, generate
	$(BIN)/kerasgpt demo

test: .venv/dev.done  ## every test
	$(BIN)/python -m pytest -n auto --dist loadfile

check: .venv/dev.done  ## format, lint, types, floors
	$(BIN)/ruff format --check && $(BIN)/ruff check
	$(BIN)/mypy && $(BIN)/lint-imports

clients: .venv/dev.done  ## other engines and clients, each in an environment of its own
	$(BIN)/python tests/clients/run.py

clients-light: .venv/dev.done  ## those that are installed in seconds
	$(BIN)/python tests/clients/run.py onnx_reference ort_genai

bench: .venv/dev.done  ## figures into benchmarks/results
	$(BIN)/python benchmarks/decode_latency.py

export: .venv/export.done  ## rebuild what we ship, by its recipes
	$(BIN)/python export/build.py

dist: .venv/dev.done  ## sdist and wheel
	$(BIN)/python -m build --outdir dist .

clean:
	rm -rf .venv .venv-clients build dist runs *.egg-info .mypy_cache .ruff_cache .pytest_cache

.venv/%.done: setup.cfg pyproject.toml
	@test -x $(BIN)/pip || $(PYTHON) $(RECENT) || { echo "this takes Python 3.11 or later, and '$(PYTHON)' is none:\
	 install one, or name one that is there, as in 'make demo PYTHON=python3.12'" >&2; exit 1; }
	test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	@$(BIN)/python $(RECENT) || { echo "the Python of .venv is older than 3.11: remove it with 'rm -rf .venv'" >&2; exit 1; }
	$(PIP) --upgrade pip && $(PIP) --editable '.[$*]'
	touch $@
