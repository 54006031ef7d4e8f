# make alone lists what there is.
PRESET ?= demo
ifdef preset
$(error write PRESET=$(preset), in capitals)
endif
PYTHON ?= python3
BIN := .venv/bin
# compat: else Python started beside a clone called itl takes that folder for the package
WANTED := --constraint constraints.txt --config-settings editable_mode=compat --editable '.[test,docs]'
ARGS ?=
PYTEST := $(BIN)/python -m pytest -n auto --no-loadscope-reorder  # which tests share a process: tests/conftest.py

help:  ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 12

setup: .venv/done  ## install itl and all it needs into .venv

.venv/done: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "itl needs Python 3.11 or newer; say make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "installing itl and what it needs into .venv: a minute or more, and 6 GB where torch comes with CUDA"
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt uv
	@$(BIN)/uv pip install --quiet --system-certs --python $(BIN)/python $(WANTED) || \
		{ echo "uv does not find all of it, as where a mirror is set for pip alone: now with pip, which takes minutes"; \
		$(BIN)/python -m pip install --quiet --no-compile $(WANTED); }
	@$(BIN)/python -W ignore -m compileall -qq -j 0 -x /tests/ .venv/lib || true  # as pip would, but on all cores
	touch $@

report: setup  ## run PRESET (demo) and write reports/PRESET/index.html
	$(BIN)/itl report $(PRESET) $(ARGS)

# Where Python is told to keep no bytecode, every process of pytest would rewrite all asserts again.
test check: export PYTHONDONTWRITEBYTECODE :=

test: lint  ## lint, types and all tests: no GPU, no network
	$(PYTEST)

check: lint  ## lint, types and the tests of all rooms but for the files that take long: under a minute
	$(PYTEST) --quick  # without SLOW of tests/conftest.py

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@if command -v npm > /dev/null && $(MAKE) --no-print-directory node_modules/.done; then npx eslint itl; \
		else echo "the browser's page is not linted: that needs Node.js and the npm registry"; fi

node_modules/.done: package.json
	@npm install --silent --no-audit --no-fund --no-package-lock
	@touch $@

chaos: setup  ## kill everything 100 times, and compare with undisturbed runs; ARGS="--kills 20"
	$(BIN)/python -m tests.chaos $(ARGS)

lab: setup  ## JupyterLab on the notebooks; as root, in a container, with ARGS=--allow-root
	$(BIN)/jupyter lab notebooks $(ARGS)

docs: setup  ## the pages of docs/ and the API as a site in build/docs/index.html
	$(BIN)/sphinx-build -W --keep-going -q docs build/docs

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
	rm -rf packs runs reports build .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

.PHONY: help setup report test check lint chaos lab docs bench clean
