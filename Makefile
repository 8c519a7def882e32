# Everything a developer types; `make help` lists it. Needs make, Python 3.11 to 3.13 and a package index.

# The first Python that runs and is of a version that pinprick supports: a name on the path may be a shim that does not.
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3; do \
	$$name -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1 \
	&& echo $$name && break; done)
# Where torch comes from; empty: from the usual index. https://download.pytorch.org/whl/cpu is small and without CUDA.
TORCH_INDEX ?=
# Test processes. Each computes with one thread, so that two of them do not fight for two cores.
WORKERS ?= 2

BIN := .venv/bin
PIP := $(BIN)/python -m pip
PYTEST := $(BIN)/python -m pytest
DEMO_INSTALLED := .venv/.installed-demo
DEV_INSTALLED := .venv/.installed-dev
BROWSER_INSTALLED := .venv/.installed-browser
# The libraries that ours is measured against: one of them pins an old requests, so they have an environment of their own.
PEERS_BIN := .venv-bench/bin
PEERS_INSTALLED := .venv-bench/.installed
# MLServer pins a fastapi of its own, and does not take Python 3.13.
SERVERS_BIN := .venv-servers/bin
SERVERS_INSTALLED := .venv-servers/.installed
SERVERS_PYTHON ?= $(shell for name in $(PYTHON) python3.12 python3.11 python3; do \
	$$name -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' >/dev/null 2>&1 \
	&& echo $$name && break; done)
OUT := runs/demo

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-all test-servers test-browser test-gpu fuzz chaos bench bench-peers bench-growth \
	bench-memory bench-searches bench-incremental bench-cuda bench-forms results lint format clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | awk -F '|' '{ printf "make %-13s %s\n", $$1, $$2 }'

demo: $(DEMO_INSTALLED) ## train a small network on digits and attack it; ends with a report, runs/demo/report.html
	rm -rf $(OUT)
	OMP_NUM_THREADS=1 $(BIN)/pinprick train cnn --data digits:train --test digits:test --out $(OUT)/cnn-digits.safetensors
	OMP_NUM_THREADS=1 $(BIN)/pinprick attack --model cnn:$(OUT)/cnn-digits.safetensors --data digits:test \
		--pixels 1,3,5 --limit 30 --out $(OUT)/attack --save-images
	OMP_NUM_THREADS=1 $(BIN)/pinprick report $(OUT)/attack --out $(OUT)/report.html
	@echo "outcomes of every unit: $(OUT)/attack/outcomes.parquet; fooled images: $(OUT)/attack/images"
	@echo "open this in a browser: $(OUT)/report.html"

test: lint ## lint, then the tests that need nothing but this machine
	OMP_NUM_THREADS=1 $(PYTEST) -n $(WORKERS)

test-all: lint ## as test, with the slow tests
	OMP_NUM_THREADS=1 $(PYTEST) -n $(WORKERS) -m 'not servers and not browser and not gpu and not fuzz'

test-servers: $(SERVERS_INSTALLED)
test-servers: MARKER := servers
test-servers: marked ## only the tests against a real MLServer, which gets an environment of its own

test-browser: $(BROWSER_INSTALLED)
test-browser: MARKER := browser
test-browser: marked ## only the tests that need Chromium

test-gpu: MARKER := gpu
test-gpu: marked ## only the tests that need CUDA

# Seconds in all, and where the input at hand is kept, should it end the process.
fuzz: export FUZZ_SECONDS ?= 3600
fuzz: export FUZZ_FOLDER ?= runs/fuzz
fuzz: export OMP_NUM_THREADS = 1
fuzz: MARKER := fuzz
fuzz: marked ## damaged input for every reader, for an hour: FUZZ_SECONDS=3600

# pytest ends with 5 where no test has the marker: that is said, and is no failure.
.PHONY: marked
marked: $(DEV_INSTALLED)
	@$(PYTEST) -m $(MARKER) || { status=$$?; \
		if [ $$status -eq 5 ]; then echo "nothing was tested: no test has the marker '$(MARKER)' yet"; \
		else exit $$status; fi; }

chaos: $(DEV_INSTALLED) ## runs against an endpoint that misbehaves, as a table: ARGS="--seeds 3"
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.chaos $(ARGS)

bench: $(DEV_INSTALLED) ## run every benchmark in benchmarks/
	@ls benchmarks/*.py >/dev/null 2>&1 || echo "nothing was measured: there are no benchmarks yet"
	@for file in $(filter-out benchmarks/published.py,$(wildcard benchmarks/*.py)); do [ ! -e $$file ] || { echo "$$file"; $(BIN)/python $$file; } || exit 1; done

bench-peers: $(PEERS_INSTALLED) ## other libraries' attacks beside ours, in .venv-bench: ARGS="--images 10 --seeds 0 1"
	OMP_NUM_THREADS=1 $(PEERS_BIN)/python -m benchmarks.peers.run --out runs/bench/peers.jsonl \
		--table runs/bench/peers.md $(ARGS)

bench-growth: $(DEV_INSTALLED) ## cost against images, their size, pixels and budget: ARGS="--repeats 3"
	$(BIN)/python benchmarks/growth.py --full $(ARGS)

bench-memory: $(DEV_INSTALLED) ## peak memory of 10 000 planned units beside 100: ARGS="--rounds 3"
	$(BIN)/python benchmarks/memory.py $(ARGS)

bench-searches: $(DEV_INSTALLED) ## few-pixel beside other searches, and without its ideas: ARGS="--models nin-cifar10"
	$(BIN)/python -m benchmarks.searches.ideas $(ARGS)
	$(BIN)/python -m benchmarks.searches.budgets $(ARGS)

bench-incremental: $(PEERS_INSTALLED) ## only what a pixel reaches, beside the best dense way: ARGS="--nets nin-cifar10"
	OMP_NUM_THREADS=1 $(PEERS_BIN)/python benchmarks/incremental.py $(ARGS)

bench-cuda: $(DEV_INSTALLED) ## questions a second on a graphics card, beside its peak: ARGS="--nets vgg16-224"
	$(BIN)/python benchmarks/graphics_card.py $(ARGS)

bench-forms: $(DEV_INSTALLED) $(SERVERS_INSTALLED) ## one command on torch, ONNX and MLServer, row by row: ARGS="--attack random"
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.forms.same_outcomes $(ARGS)

results: $(DEV_INSTALLED) ## make the runs in results/, or go on with them, hours: ARGS="--only nin-few-pixel-1 --data D", or --all
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.published $(ARGS)

lint: $(DEV_INSTALLED) ## ruff and mypy; changes nothing
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(DEV_INSTALLED) ## mend what ruff can mend
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean: ## remove caches, builds and runs/demo; .venv stays
	rm -rf $(OUT) build dist .mypy_cache .pytest_cache .ruff_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment. A stamp is older than the pins when they change; what is installed already is not installed again.
$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "no Python 3.11 to 3.13 found; name one: make PYTHON=/path/to/python" >&2; exit 1; }
	$(PYTHON) -m venv .venv

$(DEMO_INSTALLED): pyproject.toml constraints.txt | $(BIN)/python
	$(install_torch)
	$(PIP) install -c constraints.txt -e .
	@touch $@

$(DEV_INSTALLED): pyproject.toml constraints.txt | $(BIN)/python
	$(install_torch)
	$(PIP) install -c constraints.txt -e '.[dev]'
	@touch $(DEMO_INSTALLED) $@

$(BROWSER_INSTALLED): $(DEV_INSTALLED)
	$(PIP) install -c constraints.txt -e '.[dev,browser]'
	@touch $@

$(PEERS_BIN)/python:
	@test -n "$(PYTHON)" || { echo "no Python 3.11 to 3.13 found; name one: make PYTHON=/path/to/python" >&2; exit 1; }
	$(PYTHON) -m venv .venv-bench

$(PEERS_INSTALLED): PIP := $(PEERS_BIN)/python -m pip
$(PEERS_INSTALLED): pyproject.toml benchmarks/peers/requirements.txt | $(PEERS_BIN)/python
	$(install_torch)
	$(PIP) install -r benchmarks/peers/requirements.txt -e .
	@touch $@

$(SERVERS_BIN)/python:
	@test -n "$(SERVERS_PYTHON)" || { echo "MLServer needs Python 3.11 or 3.12: make SERVERS_PYTHON=/path" >&2; exit 1; }
	$(SERVERS_PYTHON) -m venv .venv-servers

$(SERVERS_INSTALLED): tests/servers/requirements.txt | $(SERVERS_BIN)/python
	$(SERVERS_BIN)/python -m pip install -r tests/servers/requirements.txt
	@touch $@

# Without its dependencies: these come from the usual index at their pinned versions.
install_torch = $(if $(TORCH_INDEX),$(PIP) install --no-deps --index-url $(TORCH_INDEX) $$(grep '^torch==' constraints.txt))
