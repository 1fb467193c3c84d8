# One target for each thing that one does here; `make` alone lists them. All work is done by Python or by a script.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

MAIN := .venv/main/bin/python
TESTS := $(MAIN) -m tests.side_by_side
FIRTH := $(MAIN) -m infra
BENCH := env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE $(MAIN)

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## build both Python environments and fetch the jars (instant when nothing changed)
	@infra/setup.sh

# --- run --------------------------------------------------------------------------------------------------------

.PHONY: demo
demo: setup ## the whole platform on real data, with a page and live counters
	@$(FIRTH) demo

.PHONY: smoke
smoke: setup ## the same without a terminal, in a bounded time; the last line is JSON
	@$(FIRTH) smoke

.PHONY: up
up: setup ## start Kafka, Cassandra, Redis, Flink, the writers and the servers
	@$(FIRTH) up

.PHONY: down
down: ## stop what `make up` or `make demo` started; its state stays
	@if [ -x $(MAIN) ] && [ -d .firth/var ]; then $(FIRTH) down; fi

# --- prove ------------------------------------------------------------------------------------------------------

.PHONY: check
check: setup ## style, types, import rules, generated files, compose file
	$(MAIN) -m ruff check .
	$(MAIN) -m ruff format --check .
	$(MAIN) -m mypy
	.venv/main/bin/lint-imports --no-logo
	$(MAIN) -m schemas check
	$(MAIN) -m domain check
	$(FIRTH) check-compose

.PHONY: test
test: setup ## every test, in groups side by side (tests/side_by_side.py)
	$(TESTS)

.PHONY: test-unit
test-unit: setup ## unit and property tests, in both environments
	$(TESTS) unit

.PHONY: test-integration
test-integration: setup ## suites and integration tests, on real servers
	$(TESTS) integration

.PHONY: test-e2e
test-e2e: setup ## the whole platform, its page in a real browser, and a short storm
	$(TESTS) e2e

.PHONY: test-alerts
test-alerts: setup ## the alert rules and boards, with promtool (fetched where there is none)
	@infra/monitoring/promtool.sh
	$(MAIN) -m pytest tests/unit/infra/test_monitoring.py

.PHONY: test-chaos
test-chaos: setup ## kill things at random for MINUTES (30) under load, then judge; SEED replays a run (docs/chaos.md)
	$(MAIN) -u -m tests.chaos --minutes $(or $(MINUTES),30) $(if $(SEED),--seed $(SEED))

.PHONY: bench
bench: setup ## every benchmark, one after the other; numbers land in bench/results
	@for bench in tests/benchmark/bench_*.py; do \
	    echo "== $$bench"; \
	    $(BENCH) "$$bench"; \
	done

.PHONY: bench-speed
bench-speed: setup ## the stream: events/s, CPU, state and restarts by visitors and state backend; ARGS="--help" tells
	@$(BENCH) -u -m tests.benchmark.bench_speed $(ARGS)

.PHONY: bench-batch
bench-batch: setup ## the daily batch by size of the log: time, memory, shuffles, publishing; ARGS="--events 10000000"
	@$(BENCH) -u -m tests.benchmark.bench_batch $(ARGS)

.PHONY: bench-freshness
bench-freshness: setup ## from a click to the slate that knows it, under load; ARGS="--overload" sends too much as well
	@$(BENCH) -u -m tests.benchmark.bench_freshness $(ARGS)

.PHONY: bench-serving
bench-serving: setup ## the server under a fixed and rising rates, with a model of 100,000 items; ARGS="--rate 20 --steps 0"
	@$(BENCH) -u -m tests.benchmark.bench_serving $(ARGS)

.PHONY: bench-quality
bench-quality: setup ## ranking quality of every model on the logs in DATA, with baselines (docs/quality.md)
	@$(BENCH) -u -m tests.benchmark.bench_quality $(if $(DATA),--data $(DATA)) $(ARGS)

.PHONY: bench-cold-start
bench-cold-start: setup ## new visitors' first words against popularity, on the logs in DATA (docs/quality.md)
	@$(BENCH) -u -m tests.benchmark.bench_cold_start --data $(DATA) $(ARGS)

# --- keep up ----------------------------------------------------------------------------------------------------

.PHONY: format
format: setup ## sort imports and format
	$(MAIN) -m ruff check --fix .
	$(MAIN) -m ruff format .

.PHONY: lock
lock: setup ## resolve infra/requirements/*.in again (UPGRADE=1 takes newer versions)
	infra/requirements/lock.sh

.PHONY: audit
audit: setup ## ask PyPI's advisories about every locked package (needs pypi.org itself)
	.venv/uv/bin/uv tool run pip-audit==2.10.1 --require-hashes --disable-pip -r infra/requirements/dev.txt
	.venv/uv/bin/uv tool run pip-audit==2.10.1 --require-hashes --disable-pip -r infra/requirements/speed-dev.txt

.PHONY: clean
clean: down ## remove environments, jars and caches; the platform's state in .firth/var stays
	rm -rf .venv .firth/jars .firth/setup .firth/tools .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

.PHONY: wipe
wipe: down ## stop the platform and delete its state
	rm -rf .firth/var
