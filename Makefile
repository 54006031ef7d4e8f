# make alone lists what there is.
PRESET ?= demo
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=

help:  ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 12

setup: .venv/done  ## install itl and all it needs into .venv

.venv/done: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "itl needs Python 3.11 or newer; say make PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch $@

report: setup  ## run PRESET (demo) and write reports/PRESET/index.html
	$(BIN)/itl report $(PRESET) $(ARGS)

test: setup  ## lint and tests: no GPU, no network
	$(BIN)/ruff check .
	$(BIN)/python -m pytest -n auto --dist worksteal

lab: setup  ## JupyterLab on the notebooks
	$(BIN)/jupyter lab notebooks

bench: setup  ## the side-by-side benchmark table
	$(BIN)/python -m tests.bench

clean:  ## remove what was generated: packs, runs, reports, caches
	rm -rf packs runs reports .pytest_cache .ruff_cache
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

.PHONY: help setup report test lab bench clean
