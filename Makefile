# make install | demo | test | fast | format | docs | bench | bench-full | bench-scaling
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

PEERS := .venv-peers

.PHONY: install demo test fast lint format docs bench bench-full bench-scaling clean

install: $(VENV)/.installed

# Made again only when what is to be installed has changed.
$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[train,openvino,backbones,audit,demo,serve,dev]'
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

# headstart beside its peers, which have a virtual environment of their own. BENCH_DATA names other data sets.
BENCH_DATA ?= hymenoptera

$(PEERS)/.installed: benchmarks/peers/requirements.txt
	test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --requirement benchmarks/peers/requirements.txt
	touch $@

bench: install $(PEERS)/.installed
	$(BIN)/python benchmarks/run.py $(BENCH_DATA) --peers $(PEERS)/bin/python

bench-full: install $(PEERS)/.installed
	$(BIN)/python benchmarks/run.py $(BENCH_DATA) --peers $(PEERS)/bin/python --full

bench-scaling: install
	$(BIN)/python benchmarks/scaling.py $(firstword $(BENCH_DATA))

clean:
	rm -rf $(VENV) $(PEERS) build dist .pytest_cache .mypy_cache .ruff_cache
