# `make` alone lists the targets.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
# What the demo and the commands need is there; what the tests and linters need too.
STAMP := $(VENV)/.installed
TEST_STAMP := $(VENV)/.installed-test
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo test soak fuzz bench docs lint format dev lock dist

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
# A lock file is complete, so there is nothing to resolve: pip would, and stumbles over newer releases.
PIP_INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --no-input --no-deps --no-compile

# An environment whose Python is gone has nothing in it.
$(shell test -x $(BIN)/python || rm -f $(STAMP) $(TEST_STAMP))

# Install what a lock file ($(1)) lists, which is so much ($(2)) in all. Pip compiles on one processor only, in silence;
# what cannot be compiled are the templates and old examples of some packages.
define install
@echo "Installing the $$(grep -c '^[a-z]' $(1)) packages of $(1) into $(VENV), $(2) in all: a minute or two ..."
@$(PIP_INSTALL) --require-hashes --requirement $(1) || { \
	echo "Not everything could be installed: see above. Are the network, pip's index and the disk all right?" \
		"The same command goes on where this one stopped"; \
	exit 1; }
@echo "Compiling them ..."
@$(BIN)/python -m compileall -q -j 0 $(VENV)/lib >/dev/null 2>&1 || true
endef

# An environment that was left half made, or has too old a Python, is made anew.
$(STAMP): requirements.txt pyproject.toml
	@$(BIN)/python -c 'import pip; $(NEW_ENOUGH)' 2>/dev/null || { \
		"$(PYTHON)" -c '$(NEW_ENOUGH)' 2>/dev/null || { \
			echo "Python 3.11 or newer is needed; name it with PYTHON=/path/to/python3"; \
			exit 1; }; \
		echo "Creating $(VENV) with $$("$(PYTHON)" --version) ..."; \
		"$(PYTHON)" -m venv --clear $(VENV) || { \
			echo "$(VENV) could not be created: see above. Debian and Ubuntu have what is needed in python3-venv"; \
			exit 1; }; }
	$(call install,requirements.txt,1.3 GB)
	@$(PIP_INSTALL) --quiet --no-build-isolation --editable .
	@touch $@

$(TEST_STAMP): requirements-test.txt $(STAMP)
	$(call install,requirements-test.txt,2 GB)
	@$(BIN)/python -m pip check
	@touch $@

setup: $(STAMP) ## Create the virtual environment with what the demo and the commands need
	@echo "$(VENV) is ready: $(BIN)/sigma-impressions --help"

demo: $(STAMP) ## Generate exports on an embedded S3 server, count them, open the Dagster UI (ARGS=--no-ui stops before)
	$(BIN)/sigma-impressions demo $(ARGS)

test: $(TEST_STAMP) ## Run all tests (ARGS='-m "not slow"' for the fast ones)
	$(BIN)/python -m pytest $(ARGS)

soak: $(TEST_STAMP) ## Run what `make test` leaves out: dozens of killed runs and runs at once, installations
	$(BIN)/python -m pytest -m soak $(ARGS)

fuzz: $(TEST_STAMP) ## Look for export files that are read wrong (ARGS="--minutes 30"); exit code 1 if there is any
	$(BIN)/python -m sigma_impressions_tests.exports.fuzz $(ARGS)

bench: $(TEST_STAMP) ## Measure against peers and write bench/RESULTS.md (ARGS="normalize --large" for one section)
	$(BIN)/python -m bench $(ARGS)

docs: $(TEST_STAMP) ## Write what is said of queries, settings and dbt's sources from SQL files, declarations and the docs
	$(BIN)/python -m sigma_impressions_tests.query_page
	$(BIN)/python -m sigma_impressions_tests.settings.page
	$(BIN)/python -m sigma_impressions_tests.dbt.sources

lint: $(TEST_STAMP) ## Lint, format check, type check, imports, and load the code location
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --no-cache
	$(BIN)/dagster definitions validate

format: $(TEST_STAMP) ## Rewrite the code in the project's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

dev: $(STAMP) ## Start the Dagster UI on your own settings (environment or .env)
	$(BIN)/sigma-impressions ui $(ARGS)

dist: $(STAMP) ## Build what a release has into dist/: the wheel, its sources, and the tested versions of all packages
	rm -rf dist
	$(BIN)/python -m hatchling build
	cp constraints.txt dist/

# The first resolution is of everything, so that the second, a part of it, cannot contradict it.
COMPILE := uv pip compile --universal --python-version 3.11 --no-header --quiet \
	--no-emit-index-url --no-emit-find-links --generate-hashes
LOCK := $(COMPILE) --strip-extras pyproject.toml --group build
# dbt does not resolve beside what is above, and has an environment of its own, which pip resolves: with extras.
DBT := examples/dbt/requirements

lock: ## Write the lock files and constraints.txt anew from pyproject.toml (needs uv; ARGS=--upgrade for newer versions)
	@command -v uv >/dev/null || { echo "uv is needed: pip install uv"; exit 1; }
	$(LOCK) --all-extras --group dev --output-file requirements-test.txt $(ARGS)
	$(LOCK) --extra celery --extra demo --extra postgres --constraint requirements-test.txt --output-file requirements.txt $(ARGS)
	$(LOCK) --extra celery --extra postgres --extra warehouse --extra kubernetes --constraint requirements-test.txt \
		--output-file deploy/requirements.txt $(ARGS)
	{ echo '# The versions that this release of Sigma Impressions is tested with, for pip, pipx and uvx: -c constraints.txt'; \
		sed -nE 's/^([a-z][^\\]*[^\\ ]) *\\?$$/\1/p' requirements-test.txt; } > constraints.txt
	$(COMPILE) --no-strip-extras $(DBT).in --output-file $(DBT).txt $(ARGS)
