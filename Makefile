# Each target installs what it needs into .venv, from nothing but Python 3.11 or later with pip.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
TESTS ?= tests
# Many tests wait for brokers, and each file's tests stay together, in the order of tests/conftest.py: four at a time keep
# two cores busy. A process that crashes ends the run: another in its place would wait for ever for the tests of its file.
WORKERS ?= 4
# Of the tests' brokers; empty: the oldest version that is supported, and the newest in tests of its own.
KAFKA ?=
SEED ?= 1
GRAYLINE_SOAK_MINUTES ?= 60

.DEFAULT_GOAL := help
.PHONY: help demo test check sim soak bench bench-peers lock clean

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

.venv/.runtime: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Grayline needs Python 3.11 or later; this is " + sys.version.split()[0])'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

.venv/.dev: .venv/.runtime requirements-dev.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

demo: .venv/.runtime  ## The main job on an embedded broker, within a minute (ARGS="--seconds 20")
	@$(BIN)/grayline demo $(ARGS)

test: .venv/.dev  ## All tests; those with a real broker need Java and Maven (KAFKA=4.4.0: another version)
	GRAYLINE_TEST_KAFKA=$(KAFKA) $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder --max-worker-restart 0 $(TESTS)

check: .venv/.dev  ## What CI runs: linter, formatter, types, import contracts, tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(MAKE) test

sim: .venv/.dev  ## Replay one simulated history (SEED=n)
	@$(BIN)/python -m tests.sim --seed $(SEED) $(ARGS)

soak: .venv/.dev  ## A kill loop on a broker, fetching from it, one on three, an outage, an hour each (GRAYLINE_SOAK_MINUTES=n; GRAYLINE_SEED=n)
	GRAYLINE_SOAK_MINUTES=$(GRAYLINE_SOAK_MINUTES) $(BIN)/python -m pytest tests/faults/test_soak.py tests/faults/test_soak_fetch.py tests/faults/test_cluster.py tests/faults/test_outage.py -s $(ARGS)

bench: .venv/.dev  ## Speed against the limit and against stock Faust, on a real broker
	$(BIN)/python -m bench $(ARGS)

bench-peers: .venv/.dev  ## The gray job on Flink, Hazelcast Jet and Kafka Streams beside ours, on the newest broker
	$(BIN)/python -m bench --peers $(ARGS)

lock: .venv/.dev  ## Pin the newest allowed versions of all dependencies
	$(BIN)/pip install --quiet pip-tools
	$(BIN)/pip-compile --quiet --upgrade --generate-hashes --allow-unsafe --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --strip-extras --no-header \
		--extra build --output-file requirements.lock pyproject.toml
	$(BIN)/pip-compile --quiet --upgrade --generate-hashes --allow-unsafe --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --strip-extras --no-header \
		--extra build --extra dev --constraint requirements.lock --output-file requirements-dev.lock pyproject.toml

clean:  ## Remove everything that was built or installed
	rm -rf .venv .cache build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
