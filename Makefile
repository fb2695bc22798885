# make install | demo | test | fast | format | docs
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: install demo test fast lint format docs clean

install: $(VENV)/.installed

# Made again only when what is to be installed has changed.
$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[train,openvino,backbones,demo,dev]'
	touch $@

demo: install
	$(BIN)/headstart demo

test: install lint
	$(BIN)/python -m pytest --durations=10

fast: install
	$(BIN)/python -m pytest -m "not slow"

lint: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The command reference, the tutorial notebook and the pictures of the README, made from the code.
docs: install
	$(BIN)/python docs/build.py

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache
