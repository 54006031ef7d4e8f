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

bench: .venv/peers  ## the side-by-side benchmark table; ARGS="--only batches-64 --json FILE"
	$(BIN)/itl bench $(ARGS)

# What itl is measured beside, one by one: a peer that does not install is absent from the table, no more. FFCV is
# built on the spot and wants, on Debian, libturbojpeg0-dev, libopencv-dev and pkg-config.
.venv/peers: .venv/done
	@for peer in $$($(BIN)/python -c 'import tomllib; \
		print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["bench"])'); do \
		$(BIN)/python -m pip install --quiet --constraint constraints.txt $$peer > /dev/null 2>&1 \
			|| echo "$$peer does not install here; the table will say so"; \
	done
	touch $@

clean:  ## remove what was generated: packs, runs, reports, caches
	rm -rf packs runs reports .pytest_cache .ruff_cache
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

.PHONY: help setup report test lab bench clean
