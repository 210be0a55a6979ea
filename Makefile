# Everything a newcomer types. `make rehearse` and `make test` do their own set-up: a virtual environment in .venv with
# the pinned packages of requirements.lock, through pip as this machine configures it.

VENV := .venv
BIN := $(VENV)/bin
# The environment is current when this file exists: its name changes with the pins and with the project file.
STAMP := $(VENV)/.set-up-$(shell cat requirements.lock pyproject.toml | cksum | cut -d' ' -f1)
# The first Python that is new enough; PYTHON=... on the command line wins.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

.PHONY: help venv test rehearse acceptance bench lint types docs build lock clean

help:
	@echo "make rehearse    the deployment checklist against the local sandbox"
	@echo "make test        lint, types and tests (make acceptance: the long campaigns; make bench: the load)"
	@echo "make venv        only the set-up: then $(BIN)/plantctl --help"
	@echo "make lint | types | docs | build | lock | clean"

venv: $(STAMP)
	@$(BIN)/python -m compileall -q plantctl backend

$(STAMP): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "plantctl needs Python 3.11 or newer; name one with PYTHON=..."; exit 1; }
	@test -x $(BIN)/python || { echo "making $(VENV) with $(PYTHON)"; $(PYTHON) -m venv $(VENV); }
	@echo "installing the pinned packages (minutes the first time)"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --requirement requirements.lock
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@rm -f $(VENV)/.set-up-*
	@touch $@

test: venv
	@$(BIN)/nox

rehearse: venv
	@$(BIN)/nox --session rehearsal

acceptance bench lint types docs build: venv
	@$(BIN)/nox --session $@

# From what is installed: after `pip install --upgrade ...` in .venv, and a green `make test`.
lock:
	@$(BIN)/python -m pip freeze --exclude-editable --disable-pip-version-check > $(VENV)/frozen
	@grep -E '^[A-Za-z0-9._-]+==[^ ]+$$' $(VENV)/frozen | LC_ALL=C sort --ignore-case > requirements.lock
	@grep -v -E '^[A-Za-z0-9._-]+==[^ ]+$$' $(VENV)/frozen >&2 && { echo "not pinned by version" >&2; exit 1; } || true
	@echo "$$(wc -l < requirements.lock) packages pinned"

clean:
	rm -rf build dist .nox .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find plantctl backend tests checklists -name __pycache__ -type d -prune -exec rm -rf {} +
