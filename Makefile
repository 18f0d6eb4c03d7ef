# Every target sets itself up: it makes its own environment in this folder and nothing outside.
# `make help` lists the targets. PYTHON=/path/to/python3 chooses the interpreter.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test test-slow test-minimum lint format performance clean \
	environment-demo environment environment-minimum

# The first of these that runs and is recent enough; version managers leave stubs that do not run.
recent = $(shell for p in $(1); do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 \
	&& echo "$$p" && break; done)
PYTHON ?= $(call recent,python3 python3.14 python3.13 python3.12 python3.11)
# The oldest dependencies have no wheels for the newest interpreters.
PYTHON_MINIMUM ?= $(call recent,python3.11 python3.12)
WORKERS ?= 2

define need
	@test -n "$(1)" || { echo "shiftbench needs $(2), which was not found;" \
		"install it or name it: make $(3)=/path/to/python3" >&2; exit 1; }
endef

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

demo: environment-demo  ## build the embedded example benchmarks into demo/
	.venv/bin/shiftbench demo --out demo

test: lint  ## everything but the minutes-long tests
	.venv/bin/python -m pytest -m "not slow" -n $(WORKERS) --dist loadfile

test-slow: environment  ## the minutes-long tests
	.venv/bin/python -m pytest -m slow -n $(WORKERS) --dist loadfile

test-minimum: environment-minimum  ## the core tests on the oldest dependencies allowed
	SHIFTBENCH_MINIMUM=1 .venv-minimum/bin/python -m pytest -m "not slow"

lint: environment  ## style, types and floors
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports --no-logo

format: environment  ## put the style right
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

performance: environment  ## speed and memory, appended to performance/results.jsonl
	for script in performance/[a-z]*.py; do \
		echo "$$script" >&2; .venv/bin/python "$$script" | tee -a performance/results.jsonl; done

clean:  ## remove all that the targets made, the environments too
	rm -rf .venv .venv-minimum demo build dist *.egg-info
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find shiftbench builders metadata tests performance -name __pycache__ -prune -exec rm -rf {} +

environment-demo:
	$(call need,$(PYTHON),Python 3.11 or later,PYTHON)
	@"$(PYTHON)" .ci/environment.py .venv --extras report

environment:
	$(call need,$(PYTHON),Python 3.11 or later,PYTHON)
	@"$(PYTHON)" .ci/environment.py .venv --extras all,dev

environment-minimum:
	$(call need,$(PYTHON_MINIMUM),Python 3.11 or 3.12,PYTHON_MINIMUM)
	@"$(PYTHON_MINIMUM)" .ci/environment.py .venv-minimum --minimum --tools pytest,hypothesis
