# Two commands: `make lab` opens the course, `make test` checks all of it.
# Everything is installed into .venv; `make clean` takes it away again.

PYTHON ?= python3
LAB_ARGS ?=
BIN := .venv/bin
# Schools and firms often have certificates of their own: trust the machine's.
UV = $(BIN)/uv --system-certs
READY := .venv/.ready
# The libraries that `make bench` measures against stay out of the course's .venv.
BENCH := .venv-bench
COMPILE = $(UV) pip compile pyproject.toml --universal --python-version 3.11 \
	--generate-hashes --no-header --no-annotate --no-emit-index-url --upgrade --quiet
# JupyterLab refuses to run as root unless told; containers often are root.
AS_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)
LAB = $(BIN)/jupyter lab --ServerApp.root_dir="$(CURDIR)" $(AS_ROOT) \
	--LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb $(LAB_ARGS)

.DEFAULT_GOAL := help
.PHONY: help setup lab lab-server test soak bench budgets lint notebooks exercises lock clean

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1	/p' Makefile | expand -t 20

setup: $(READY) ## install the course into .venv (the others do it when needed)

lab: $(READY) ## open JupyterLab on the first lesson (LAB_ARGS="--no-browser")
	$(LAB)

lab-server: $(READY) ## the same, on a private Redis that stops with the lab
	$(BIN)/python -m tools.with_server $(LAB)

test: $(READY) ## run everything that CI runs, with the time of each stage
	@$(BIN)/python -m tools.stages

bench: $(BENCH)/.ready ## measure against bare redis-py and peers (ARGS=--quick)
	$(BENCH)/bin/python -m tools.bench $(ARGS)

budgets: $(BENCH)/.ready ## the same, and fail when a goal is missed
	$(BENCH)/bin/python -m tools.bench --budgets $(ARGS)

soak: $(READY) ## attack the components for minutes, write RELIABILITY.md
	$(BIN)/python -m tools.soak $(ARGS)

lint: $(READY) ## style, spelling, types
	@$(BIN)/python -m tools.stages lint

notebooks: $(READY) ## run lessons and solutions and store their outputs
	$(BIN)/python -m tools.run_notebooks notebooks solutions

exercises: $(READY) ## write exercises/ anew from solutions/
	$(BIN)/python -m tools.make_exercises

lock: $(READY) ## renew both requirements*.txt within the ranges of pyproject.toml
	$(COMPILE) --extra course --extra dev --output-file requirements.txt
	$(COMPILE) --extra bench --output-file requirements-bench.txt

clean: ## remove .venv and what the tools leave behind
	rm -rf .venv .venv-bench build dist artifacts .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find adcache tools tests -type d -name __pycache__ -prune -exec rm -rf {} +

# uv comes first, by its hash, through pip; it installs the rest in seconds.
$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "adcache needs Python 3.11 or newer; '$(PYTHON)' is" \
			"$$($(PYTHON) -V 2>/dev/null || echo not here)."; \
		echo "Name a newer one: PYTHON=python3.12 make $(MAKECMDGOALS)"; exit 1; } >&2
	@$(BIN)/python -c 'import pip, sys; sys.exit(sys.prefix == sys.base_prefix or \
		sys.version_info < (3, 11))' 2>/dev/null || $(PYTHON) -m venv --clear .venv || { \
		echo "No virtual environment could be made. On Debian or Ubuntu:" \
			"sudo apt install python3-venv"; exit 1; } >&2
	@echo "Installing the course into .venv (about 800 MB, once) ..."
	@sed -n '/^uv==/,/[^\\]$$/p' requirements.txt > .venv/uv.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--no-deps --require-hashes -r .venv/uv.txt
	@$(UV) pip install --quiet --python $(BIN)/python --require-hashes \
		-r requirements.txt
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps \
		--no-build-isolation -e .
	@touch $(READY)

$(BENCH)/.ready: requirements-bench.txt $(READY)
	@echo "Installing the libraries to compare with into $(BENCH) ..."
	@$(UV) venv --quiet --clear --python $(BIN)/python $(BENCH)
	@$(UV) pip install --quiet --python $(BENCH)/bin/python --require-hashes \
		-r requirements-bench.txt
	@touch $@
