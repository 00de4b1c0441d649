# Two commands on a fresh machine: `make run` and `make test`. The rest is for developers.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

PYTHON ?= python3
PY := .venv/bin/python
export PYTHON

.DEFAULT_GOAL := help
.PHONY: help run test check format venv venv-dev lock messages clean

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 10

run: venv ## install, migrate and start everything; Ctrl-C stops all of it
	@exec $(PY) -m onboarding.local

test: venv-dev ## install what the tests need and run all of them; ARGS=… goes to pytest
	@scripts/install-debian
	@exec $(PY) -m pytest $(ARGS)

check: venv-dev ## ruff, mypy, djlint, import rules
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(PY) -m djlint templates --lint --quiet
	.venv/bin/lint-imports --no-logo

format: venv-dev ## let ruff rewrite what it can
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

venv:
	@scripts/install-python requirements.lock

venv-dev:
	@scripts/install-python requirements-dev.lock

# The lock files hold hashes and no address, so that they install from any index.
LOCK := $(PY) -m uv pip compile pyproject.toml --quiet --universal --python-version 3.11 \
	--generate-hashes --no-header --no-annotate $(if $(UPGRADE),--upgrade)

lock: venv-dev ## pin what pyproject.toml asks for; UPGRADE=1 takes the newest versions
	$(LOCK) --group dev --output-file requirements-dev.lock > /dev/null
	$(LOCK) --constraint requirements-dev.lock --output-file requirements.lock > /dev/null

messages: venv-dev ## collect the texts to translate into translations/messages.pot
	@mkdir -p translations
	$(PY) -m babel.messages.frontend --quiet extract --mapping-file pyproject.toml \
		--output-file translations/messages.pot --project onboarding --no-wrap \
		--keywords mark --add-comments 'Translators:' --sort-by-file onboarding templates

clean: ## remove what the commands above made, but never instance/ and .env
	rm -rf .venv artifacts .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
