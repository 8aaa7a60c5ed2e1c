# What a newcomer needs: make book, make test, make lint, make describe.
# Each makes .venv and installs what it needs, once; a second run starts at once.

PYTHON ?= python3
VENV ?= .venv
OLDEST ?= .venv-oldest
IMAGE ?= book/images/shapes.png
PYTEST_ARGS ?=
WORKERS ?= 2
SCREENSHOTS ?=

BIN := $(VENV)/bin
PIP := "$(BIN)/python" -m pip install --disable-pip-version-check --quiet
ROOT := $(CURDIR)

# The package and the book's helpers are imported from here, whatever is installed.
export PYTHONPATH := $(ROOT):$(ROOT)/book/_lib
# Matplotlib says on stderr when it builds its font cache, which a chapter may not;
# so the cache lives in the environment and is built with it.
export MPLCONFIGDIR := $(abspath $(VENV))/matplotlib
# A reader's own IPython start-up files have no say in the book.
export IPYTHONDIR := $(abspath $(VENV))/ipython
export PYDEVD_DISABLE_FILE_VALIDATION := 1

# A checkout, and whatever is named by hand, may have a space in its path: recipes
# quote every path.
.PHONY: help book chapter test test-oldest lint format describe check-pages clean
.DELETE_ON_ERROR:

help: ## show this list
	@echo "refvlm: vision-language models in pure NumPy"; echo
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile \
	  | while IFS='|' read -r name text; do printf '  make %-12s %s\n' "$$name" "$$text"; done
	@echo; echo "Needs Python 3.11 or newer with venv. Another one: make test PYTHON=python3.12"

book: $(VENV)/.reader ## build the book into _build/html; any warning fails
	@# After a failure every page is read again, or its warnings would not come back.
	"$(BIN)/jupyter-book" build . -W --keep-going || { rm -rf _build/.doctrees; exit 1; }
	@echo "open _build/html/index.html"

chapter: $(VENV)/.reader ## build one page quickly: make chapter CHAPTER=book/attention.md
	@"$(BIN)/python" tools/build_chapter.py "$(CHAPTER)"

test: $(VENV)/.oracles ## run the spec, with PyTorch and its friends as oracles
	@# One thread for each process: more would wait for one another.
	OMP_NUM_THREADS=1 "$(BIN)/python" -m pytest -n $(WORKERS) $(PYTEST_ARGS)

test-oldest: $(OLDEST)/.made ## run a short spec on the oldest versions allowed
	"$(OLDEST)/bin/python" -m pytest -q -k "not bit_for_bit" tests/ops tests/kernels \
	  tests/text tests/image tests/checkpoint tests/test_shipped_weights.py \
	  tests/test_shipped_clip.py tests/test_shipped_seers.py

lint: $(VENV)/.reader ## errors and format (ruff), types (mypy)
	"$(BIN)/ruff" check .
	"$(BIN)/ruff" format --check .
	"$(BIN)/mypy"

format: $(VENV)/.reader ## let ruff put the code in order
	"$(BIN)/ruff" check --fix .
	"$(BIN)/ruff" format .

describe: $(VENV)/.reader ## describe a picture: make describe IMAGE=photo.png
	"$(BIN)/python" -m refvlm describe "$(IMAGE)"

check-pages: $(VENV)/.pages ## open every built page in Chromium and look for faults
	"$(BIN)/python" tests/book/check_pages.py $(if $(SCREENSHOTS),--screenshots "$(SCREENSHOTS)")

clean: ## remove what was built; keeps .venv
	rm -rf _build .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/.made:
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "$(PYTHON) is missing or older than 3.11. Install Python 3.11 or newer,"; \
	  echo "or name one: make PYTHON=/path/to/python3.12"; exit 1; }
	@"$(PYTHON)" -m venv "$(VENV)" || { rm -rf "$(VENV)"; \
	  echo "$(PYTHON) cannot make a virtual environment."; \
	  echo "On Debian and Ubuntu: sudo apt-get install python3-venv"; exit 1; }
	@touch "$@"

$(OLDEST)/.made: constraints-oldest.txt
	@echo "installing the oldest versions allowed into $(OLDEST)"
	@"$(PYTHON)" -m venv "$(OLDEST)"
	@"$(OLDEST)/bin/python" -m pip install --disable-pip-version-check --quiet \
	  -r constraints-oldest.txt
	@touch "$@"

$(VENV)/.reader: $(VENV)/.made requirements.txt constraints.txt
	@echo "installing the reader's packages into $(VENV), about a minute"
	@$(PIP) -r requirements.txt
	@$(PIP) --no-deps --no-build-isolation --editable .
	@"$(BIN)/python" -c 'import matplotlib.pyplot'
	@mkdir -p "$(VENV)/ipython/profile_default"
	@echo 'c.IPKernelApp.log_level = 40' \
	  > "$(VENV)/ipython/profile_default/ipython_kernel_config.py"
	@touch "$@"

$(VENV)/.oracles: $(VENV)/.reader requirements-oracles.txt requirements-oracles-nodeps.txt
	@echo "installing the oracles (PyTorch and others, 1 GB or more) into $(VENV)"
	@$(PIP) -c constraints.txt torch
	@$(PIP) -r requirements-oracles.txt
	@$(PIP) --no-deps -r requirements-oracles-nodeps.txt
	@touch "$@"

$(VENV)/.pages: $(VENV)/.reader requirements-pages.txt
	@$(PIP) -r requirements-pages.txt
	@touch "$@"
