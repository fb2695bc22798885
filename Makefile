# make install | demo | test | fast | test-room | format | docs | bench | bench-full | bench-scaling
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

PEERS := .venv-peers

.PHONY: install demo test fast test-room lint format docs bench bench-full bench-scaling clean

install: $(VENV)/.installed

# Made again only when what is to be installed has changed.
$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[train,openvino,litert,backbones,audit,demo,serve,heic,dicom,tiff,video,dev]'
	$(BIN)/headstart backbones --prepare
	touch $@

demo: install
	$(BIN)/headstart demo

# One worker a core; one that has nothing left takes tests from another. WORKERS=0 runs all in one process, to debug.
WORKERS ?= logical
PYTEST = $(BIN)/python -m pytest --numprocesses $(WORKERS) --maxprocesses 8 --dist worksteal

test: install lint
	$(PYTEST) --durations=10

fast: install
	$(PYTEST) -m "not slow and not process"

# The tests of one room (a folder of src/headstart and of tests): make test-room ROOM=data
test-room: install
	@test -d "tests/$(ROOM)" -a -n "$(ROOM)" || { echo "name a folder of tests: make test-room ROOM=data"; exit 2; }
	$(PYTEST) tests/$(ROOM)

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

# headstart beside its peers, which have a virtual environment of their own. BENCH_DATA names other data sets:
# make bench BENCH_DATA="hymenoptera path/to/hand_signs"
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
