# On a fresh machine with Python >= 3.11, pip, venv and make:
#   make demo    set up .venv and run the demo
#   make test    set up .venv, then lint and test
#   make test-processors   the tests under the kernels of other processors, one after the other: an hour
#   make release-check     wheel and sdist: built, looked into, installed and run
#   make docs    set up .venv, then build the site: build/site/index.html
#   make bench   set up .venv, then time everything on the CPU (bench-gpu: on a GPU), into results/bench.md
# A second call does not reinstall. Choose the interpreter with `make PYTHON=python3.12 demo`.

PYTHON ?= python3
WORKERS ?= 2

VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test test-processors release-check lint format docs bench bench-gpu clean help

help:
	@sed -n '2,8p' Makefile | cut -c3-

demo: $(VENV)/installed
	$(BIN)/modecover demo

# One thread for each test process: two processes on two cores are faster than each with two threads.
test: lint
	OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --durations 10

test-processors: $(VENV)/installed-dev
	$(BIN)/python tests/scripts/processors.py --workers $(WORKERS)

release-check: $(VENV)/installed-dev
	$(BIN)/python -m pytest tests/test_release.py

lint: $(VENV)/installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(VENV)/installed-dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: $(VENV)/installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m sphinx -q -E -W -n -b html -c docs . build/site
	@echo "The site is in build/site/index.html."

# Leave the machine alone meanwhile: the contenders take turns, but a quiet machine says more.
bench: $(VENV)/installed-bench
	$(BIN)/python benchmarks/step_points.py
	$(BIN)/python benchmarks/step_images.py
	$(BIN)/python benchmarks/processes.py
	$(BIN)/python benchmarks/start_up.py

bench-gpu: $(VENV)/installed
	$(BIN)/python benchmarks/step_images.py --device cuda --method ivlsgan
	$(BIN)/python benchmarks/seeds.py --device cuda

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache

define set-up
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "modecover needs Python 3.11 or newer, which '$(PYTHON)' is not: name one with 'make PYTHON=...'." >&2; exit 1; }
	@echo "Setting up $(VENV): torch and the rest take about 1.4 GB there, and some minutes the first time."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt --editable '$(1)'
endef

$(VENV)/installed: pyproject.toml constraints.txt
	$(call set-up,.)
	@touch $@

# What the tests need includes what the demo needs, so both stamps are set.
$(VENV)/installed-dev: pyproject.toml constraints.txt
	$(call set-up,.[dev])
	@touch $@ $(VENV)/installed

$(VENV)/installed-bench: pyproject.toml constraints.txt
	$(call set-up,.[bench])
	@touch $@ $(VENV)/installed
