# Every target makes its own virtual environment in .venv on first use.
PYTHON ?= python3
VENV := .venv
NAS := $(VENV)/bin/nas

.PHONY: run test lint docs clean

run: $(VENV)/.installed  ## Train, search and measure on real handwritten digits: minutes on two CPU cores
	$(NAS) run quickstart --output runs/quickstart

test: $(VENV)/.installed  ## Lint, types, the test suite and the guide
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	OMP_NUM_THREADS=1 $(VENV)/bin/pytest -n 3  # one more than cores: many tests wait

docs: $(VENV)/.installed  ## The guide in site/, with the reference of commands and fields
	$(VENV)/bin/mkdocs build --strict

lint: $(VENV)/.installed
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

clean:
	rm -rf $(VENV)

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Espalier needs Python 3.11 or newer; name one with: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --upgrade pip
	$(VENV)/bin/pip install --quiet --editable '.[dev]'
	touch $@
