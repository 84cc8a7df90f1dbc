# Two commands: `make demo` and `make test`. Both make their own environment in .venv and may be repeated.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
DOCS_STAMP := $(VENV)/.installed-docs
JOBS   ?= auto
WEIGHTS := efficientnet_lite0 efficientnet_lite2 all_minilm_l6_v2_en
# The lowest versions that pyproject.toml declares, in an environment of their own, and the tests that rely on private
# attributes of Keras.
LOWEST       := .venv-lowest
LOWEST_STAMP := $(LOWEST)/.installed
LOWEST_TESTS := tests/test_lowest.py tests/foundation/test_keras_private.py tests/foundation/test_keras_graph.py \
	tests/optimizers tests/trainability/audit tests/trainability/lora/test_weights.py tests/trainability/test_apply_effect.py \
	tests/models/test_assemble.py tests/models/test_flat_copy.py tests/models/test_frozen_split.py \
	tests/models/test_keras_idioms.py
# A file of tests goes to one process, so that its fixtures are made once; the files with slow tests start first
# (tests/conftest.py), not those with the most tests: otherwise one process works alone at the end.
PYTEST       := -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

.PHONY: help demo test test-fast test-lowest lint types check docs weights clean

help:
	@echo "make demo         install into $(VENV) and run the demo: a pretrained network learns 14 classes, offline"
	@echo "make test         install into $(VENV) and run every test, on all cores (JOBS=1: on one)"
	@echo "make test-fast    the tests without the slow ones"
	@echo "make test-lowest  what relies on private attributes of Keras, with the lowest versions declared, in $(LOWEST)"
	@echo "make check        lint, format and types"
	@echo "make docs         build the documentation site into site/; open site/index.html"
	@echo "make clean        remove $(VENV) and what the demo wrote"

# pip is recent enough for [dependency-groups] from 25.1 on; it is brought up to date first.
$(STAMP): pyproject.toml
	@echo "== installing tltk and its dependencies into $(VENV) (a few minutes the first time)"
	@$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info[:2] <= (3, 13) else "tltk needs Python 3.11 to 3.13, this is " + sys.version.split()[0] + "; say make PYTHON=python3.12 ...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	@$(BIN)/python -m pip install --quiet --editable '.[all]' --group dev
	@touch $(STAMP)

weights: $(STAMP)
	@echo "== fetching pretrained weights into tltk's cache (a second time they are there)"
	@for name in $(WEIGHTS); do $(BIN)/tltk weights get $$name || exit $$?; done

demo: $(STAMP)
	@echo "== fetching pretrained weights into tltk's cache (a second time they are there)"
	@$(BIN)/tltk weights get efficientnet_lite0
	@echo "== running the demo"
	@$(BIN)/tltk demo

test: weights
	@echo "== running every test"
	@$(BIN)/python $(PYTEST)

test-fast: weights
	@echo "== running the tests, without the slow ones"
	@$(BIN)/python $(PYTEST) -m "not slow"

$(LOWEST_STAMP): pyproject.toml tests/lowest.py
	@echo "== installing tltk with the lowest versions of its dependencies into $(LOWEST)"
	@test -x $(LOWEST)/bin/python || $(PYTHON) -m venv $(LOWEST)
	@$(LOWEST)/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	@$(LOWEST)/bin/python -m tests.lowest > $(LOWEST)/constraints.txt
	@$(LOWEST)/bin/python -m pip install --quiet --constraint $(LOWEST)/constraints.txt --editable . \
		pytest pytest-timeout pytest-xdist hypothesis
	@touch $(LOWEST_STAMP)

test-lowest: $(LOWEST_STAMP)
	@echo "== the lowest versions"
	@$(LOWEST)/bin/python -m tests.lowest --check
	@$(LOWEST)/bin/python -m pip check
	@$(LOWEST)/bin/tltk --help > /dev/null
	@# Warnings are no errors here: old packages use what the newer ones they depend on have deprecated.
	@$(LOWEST)/bin/python $(PYTEST) -W default -m "not slow" $(LOWEST_TESTS)

lint: $(STAMP)
	@echo "== lint and format"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(STAMP)
	@echo "== types"
	@$(BIN)/mypy

check: lint types

$(DOCS_STAMP): pyproject.toml $(STAMP)
	@echo "== installing what builds the documentation into $(VENV)"
	@$(BIN)/python -m pip install --quiet --group docs
	@touch $(DOCS_STAMP)

# A warning, such as a link without target or an argument that a docstring does not name correctly, fails the build.
docs: $(DOCS_STAMP)
	@echo "== building the documentation into site/"
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

clean:
	rm -rf $(VENV) $(LOWEST) runs site build *.egg-info .mypy_cache .ruff_cache .pytest_cache
