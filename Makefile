# Two commands: `make run` serves the face-fusion example on this machine, `make test` runs every test.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

COMPILE := uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --python-version 3.11 --custom-compile-command 'make lock'

.PHONY: run test nightly lint lock bench clean help

help:  ## say what there is
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) --version). Try: make run PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "Could not make a virtual environment. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }

$(VENV)/.run: requirements/run.txt $(VENV)/bin/python
	@echo "Installing what the example needs (once) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/run.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/bin/python
	@echo "Installing what the tests need (once) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@ $(VENV)/.run

run: $(VENV)/.run  ## serve the face-fusion example here; Ctrl-C drains and stops everything
	@$(BIN)/tidegate up -f examples/face-fusion --when-ready '$(BIN)/python examples/face-fusion/try_it.py'

test: $(VENV)/.dev lint  ## every test
	$(BIN)/python -m pytest

lint: $(VENV)/.dev  ## format, style, types, import arrows
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

nightly: $(VENV)/.dev  ## the long tests: a million fuzzed inputs, the whole policy benchmark
	cd tests && ../$(BIN)/python -m gateway.screen.fuzz --count 1000000
	$(BIN)/python benchmarks/policy/run.py

lock:  ## make the lock files anew from pyproject.toml (needs uv)
	mkdir -p requirements
	$(COMPILE) --extra examples --extra examples-speech --group build pyproject.toml -o requirements/run.txt
	$(COMPILE) --all-extras --group build --group dev -c requirements/run.txt pyproject.toml -o requirements/dev.txt

clean:  ## remove the virtual environment and the local state
	rm -rf $(VENV) .tidegate
