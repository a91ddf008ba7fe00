# One command for each habit; CONTRIBUTING.md lists them.
#
#   PYTHON=python3.12          the Python that the virtual environment is made with (3.11 or later)
#   TORCH=torch==2.13.0        what pip installs as torch; with nothing said, what the index gives
#   PYTEST_ARGS="-k digits"    more arguments for pytest

PYTHON ?= python3
TORCH ?=
PYTEST_ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: run test lint types layers docs pytest editors goldens bench test-wheel clean force
.NOTPARALLEL:
.DELETE_ON_ERROR:

run: $(VENV)/installed
	$(BIN)/mfc run specs/digits.mfs

test: lint types layers docs editors pytest

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/installed-dev
	$(BIN)/pyright --pythonpath $(BIN)/python

layers: $(VENV)/installed-dev
	$(BIN)/lint-imports --no-cache

# The site, in build/site; to look at it: .venv/bin/python -m http.server -d build/site
docs: $(VENV)/installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

# One thread in each of pytest's two processes: torch's own threads would fight over the same cores.
pytest: $(VENV)/installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 $(PYTEST_ARGS)

# The extension of VS Code, with the mfc of the virtual environment as its language server.
NPM := $(shell node -e "process.exit(+(parseInt(process.versions.node) < 20))" 2>/dev/null && command -v npm)
EXTENSION := editors/vscode
ifeq ($(NPM),)
editors:
	@echo "$(EXTENSION) is not tested: there is no npm of Node.js 20 or later"
else
editors: $(VENV)/installed-dev $(EXTENSION)/node_modules/.package-lock.json
	cd $(EXTENSION) && PATH="$(abspath $(BIN)):$$PATH" npm test
endif

$(EXTENSION)/node_modules/.package-lock.json: $(EXTENSION)/package-lock.json
	cd $(EXTENSION) && npm ci
	touch $@

# Writes the results of golden cases anew; read the difference before you commit it.
goldens: $(VENV)/installed-dev $(if $(NPM),$(EXTENSION)/node_modules/.package-lock.json)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/test_cases.py tests/dsl tests/docs tests/face --update $(PYTEST_ARGS)
	$(if $(NPM),cd $(EXTENSION) && npm run snapshots)

# Those benchmarks that need neither data nor other libraries; make bench BENCH=walk for one of them.
BENCH ?= parse format editor check lsp caches walk optimizer batch_transforms loop_overhead
bench: $(VENV)/installed-dev
	@set -e; for name in $(BENCH); do echo "== $$name"; $(BIN)/python benchmarks/$$name.py; done

# The suite against the wheel as a user installs it, from a folder that holds the tests and none of the package.
WHEEL := build/wheel
test-wheel: $(VENV)/installed-dev
	rm -rf $(WHEEL)
	$(BIN)/python tests/packaging/wheel.py $(WHEEL)
	$(PYTHON) -m venv $(WHEEL)/venv
	$(if $(TORCH),$(WHEEL)/venv/bin/python -m pip --disable-pip-version-check install --quiet $(TORCH))
	$(WHEEL)/venv/bin/python -m pip --disable-pip-version-check install --quiet "$$(ls $(WHEEL)/*.whl)[test]"
	cd $(WHEEL)/outside && OMP_NUM_THREADS=1 ../venv/bin/python -m pytest -n 2 $(PYTEST_ARGS)

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .hypothesis .mfc
	rm -rf $(EXTENSION)/node_modules $(EXTENSION)/dist $(EXTENSION)/*.vsix
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# ── the virtual environment: each stamp stands for what is installed in it ──────────────────────────────────

$(VENV)/made:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "mfc needs Python 3.11 or later; say which: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	touch $@

# Holds the words of TORCH; written anew only where they differ, so that the same words install nothing again.
$(VENV)/torch: $(VENV)/made force
	@touch -a $@
	@if [ -n "$(TORCH)" ] && [ "$$(cat $@)" != "$(TORCH)" ]; then \
		echo "installing $(TORCH)" && $(PIP) install $(TORCH) && echo "$(TORCH)" > $@; fi

$(VENV)/installed: pyproject.toml $(VENV)/torch
	$(PIP) install -e .
	touch $@

$(VENV)/installed-dev: pyproject.toml $(VENV)/torch
	$(PIP) install -e ".[dev]"
	touch $@ $(VENV)/installed
