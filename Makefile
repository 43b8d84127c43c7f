# Each target makes its own .venv first; it needs python3 (3.11 or newer) with pip, make, and a package index.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test battery lint bench clean

demo: $(VENV)/.installed
	$(BIN)/discover search --preset demo

# Most of the tests' time is compiling small programs, so XLA is told to hurry. `make battery` and plain pytest use its defaults.
HURRY := XLA_FLAGS="--xla_cpu_use_fusion_emitters=false --xla_backend_optimization_level=0"

test: lint
	$(HURRY) $(BIN)/python -m pytest -n 2 --dist worksteal -m "not long"

battery: $(VENV)/.installed-tests
	$(BIN)/python -m pytest -n 2 -m long

lint: $(VENV)/.installed-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

bench: $(VENV)/.installed-tests
	$(BIN)/discover bench interpreter
	$(BIN)/discover bench micro
	$(BIN)/discover bench proposals

clean:
	rm -rf $(VENV)

$(VENV)/.created:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.installed: $(VENV)/.created pyproject.toml constraints.txt
	$(BIN)/pip install --quiet -c constraints.txt -e .
	touch $@

$(VENV)/.installed-tests: $(VENV)/.created pyproject.toml constraints.txt
	$(BIN)/pip install --quiet -c constraints.txt -e '.[tests]'
	touch $@ $(VENV)/.installed
