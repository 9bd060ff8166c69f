# make demo | test | coverage | bench | lint | docs | reference | pins | clean   PYTHON=python3.11 chooses the interpreter
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DEMO := demo

COVERED := analysis checkpoints config iotools particles post_processing

.PHONY: install demo test coverage bench lint docs reference pins clean
.DELETE_ON_ERROR:

install: $(INSTALLED)

$(INSTALLED): setup.py pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 10) or sys.exit("mlreco needs Python 3.10 or newer, this is %s; say make PYTHON=..." % sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --progress-bar off -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(INSTALLED)
	$(BIN)/python bin/run.py demo -o $(DEMO)

test: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

coverage: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 $(COVERED:%=test/%) test/fragment_graph $(COVERED:%=--cov=mlreco.%) --cov-report=term --cov-fail-under=93

bench: $(INSTALLED)
	$(BIN)/python -m pip install --disable-pip-version-check --progress-bar off -c constraints.txt -e '.[bench]'
	$(BIN)/python -m benchmarks $(BENCH)

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(INSTALLED)
	$(BIN)/mkdocs build --quiet

reference: $(INSTALLED)
	$(BIN)/python tools/config_reference.py
	$(BIN)/python tools/cli_reference.py

pins: $(INSTALLED)
	$(BIN)/python -m pip install --disable-pip-version-check uv
	$(BIN)/python tools/resolve_pins.py

clean:
	rm -rf $(VENV) $(DEMO) build site mlreco.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
