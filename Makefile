# `make` alone lists the targets.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo test soak fuzz bench docs lint format dev lock

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(STAMP): requirements.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; name it with PYTHON=/path/to/python3"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	# The lock file is complete, so there is nothing to resolve: pip would, and stumbles over newer releases.
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes --requirement requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	$(BIN)/python -m pip check
	@touch $@

setup: $(STAMP) ## Create the virtual environment with everything in it

demo: $(STAMP) ## Generate exports on an embedded S3 server, count them, open the Dagster UI (ARGS=--no-ui stops before)
	$(BIN)/sigma-impressions demo $(ARGS)

test: $(STAMP) ## Run all tests (ARGS='-m "not slow"' for the fast ones)
	$(BIN)/python -m pytest $(ARGS)

soak: $(STAMP) ## Run the long repetitions that `make test` leaves out: dozens of killed runs and runs at once
	$(BIN)/python -m pytest -m soak $(ARGS)

fuzz: $(STAMP) ## Look for export files that are read wrong (ARGS="--minutes 30"); exit code 1 if there is any
	$(BIN)/python -m sigma_impressions_tests.exports.fuzz $(ARGS)

bench: $(STAMP) ## Measure against peers and write bench/RESULTS.md (ARGS="normalize --large" for one section)
	$(BIN)/python -m bench $(ARGS)

docs: $(STAMP) ## Write what the docs say of queries and settings from the SQL files and the declarations
	$(BIN)/python -m sigma_impressions_tests.query_page
	$(BIN)/python -m sigma_impressions_tests.settings.page

lint: $(STAMP) ## Lint, format check, type check, imports, and load the code location
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --no-cache
	$(BIN)/dagster definitions validate

format: $(STAMP) ## Rewrite the code in the project's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

dev: $(STAMP) ## Start the Dagster UI on your own settings (environment or .env)
	$(BIN)/sigma-impressions ui $(ARGS)

lock: ## Write requirements.txt anew from pyproject.toml (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --strip-extras --no-header \
		--no-emit-index-url --no-emit-find-links --all-extras pyproject.toml --output-file requirements.txt --quiet
