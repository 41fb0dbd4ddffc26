# The verbs of Lastmile. `make` alone lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup demo stop test check format lock schema docs images bench clean

export UV_PROJECT_ENVIRONMENT := $(CURDIR)/.venv
export UV_COMPILE_BYTECODE := 1
UV := .tools/uv/bin/uv
RUN := .venv/bin/

help:  ## list the verbs
	@awk -F':.*## ' '/^[a-z][a-z-]*:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.locked  ## install the locked environment into this checkout

# uv comes from the package index into .tools/, once; nothing outside the checkout is touched.
$(UV): tools/bootstrap.sh
	@tools/bootstrap.sh

.venv/.locked: $(UV) pyproject.toml uv.lock
	@echo "Installing the locked environment into .venv ..."
	@$(UV) sync --quiet --frozen --all-extras --python "$$(tools/bootstrap.sh --python)"
	@touch $@

demo: setup  ## raw data to a served model through Airflow, on this machine alone
	@$(RUN)python -m lastmile_airflow.demo start

stop:  ## end everything that `make demo` started
	@if [ -x $(RUN)python ]; then $(RUN)python -m lastmile_airflow.demo stop; else echo "Nothing is installed, so nothing runs."; fi

test: setup  ## all tests this machine allows; says what it left out and why
	@$(RUN)python -m pytest $(ARGS)

check: setup  ## formatting, lint, types, architecture, generated files
	@$(RUN)ruff format --check .
	@$(RUN)ruff check .
	@$(RUN)mypy
	@$(RUN)lint-imports --no-cache
	@tools/check_generated.sh

format: setup  ## rewrite the code in the house style
	@$(RUN)ruff format .
	@$(RUN)ruff check --fix .

lock: $(UV)  ## resolve the dependencies anew, export requirements.txt
	@$(UV) lock
	@$(MAKE) --no-print-directory generate

generate: setup  ## write the generated files anew (schema, requirements.txt, docs/dags.md)
	@tools/generate.sh

images: setup  ## build our own images with the Docker engine, where an input has changed
	@$(RUN)python -m lastmile.cli.images $(ARGS)

bench: setup  ## measure every figure that docs/benchmarks.md states
	@$(RUN)python -m benchmarks

clean: stop  ## remove the environment and all that runs have left in this checkout
	@rm -rf .venv .tools .lastmile
