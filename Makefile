# Everything a clone needs: each target does its own set-up. The servers and their data are the programs' business
# (sandbox/), not make's.

.DEFAULT_GOAL := help
.PHONY: help setup setup-test chromium lint run demo check test docs soak bench clean

BIN := .venv/bin
SOURCES := services shared ops sandbox tests benchmarks examples
ONLY :=

# The newest Python that works: asked to run, since a version manager's shim may exist and only answer an error.
PYTHON := $(shell for name in python3.13 python3.12 python3.11 python3; do \
	$$name -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$name && break; done)

help: ## show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

setup: .venv/run.stamp ## make .venv and install what `run` and `demo` need
	@:

run: .venv/run.stamp ## start everything and print the address and a login (Ctrl-C stops it; data stay in .run)
	@$(BIN)/chatness up

demo: .venv/run.stamp ## play the whole story, showing every event as it happens
	@$(BIN)/chatness demo

check: lint ## format, lint, types and the tests without servers: a minute
	@$(BIN)/pytest -q -m pure

# Two processes, each with servers of its own: with more, a machine of two cores answers some test's person too late.
# In the order of the files, since the longest tests stand in the files with the fewest, which would otherwise come last.
test: lint chromium ## everything once: `check` and the tests with servers
	@$(BIN)/pytest -q -m 'not soak' -n 2 --dist loadfile --no-loadscope-reorder

docs: setup-test ## write the pages of docs/ that are made from the code
	@$(BIN)/python -W ignore -m ops.documents

soak: setup-test ## the long programmes, an hour; their figures stand in build/soak.jsonl
	@rm -f build/soak.jsonl
	@$(BIN)/pytest -q -m soak; result=$$?; $(BIN)/python -m tests.faults.report; exit $$result

bench: .venv/bench.stamp ## measure every figure we claim (ONLY=name for one)
	@$(BIN)/python -m benchmarks $(ONLY)

clean: ## stop what is left of a former run, remove its data and the build leftovers
	@$(or $(PYTHON),python3) -m sandbox.clean .run
	@rm -rf build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

lint: setup-test
	@$(BIN)/ruff format --check --quiet $(wildcard $(SOURCES))
	@$(BIN)/ruff check --quiet $(wildcard $(SOURCES))
	@$(BIN)/mypy --no-error-summary

setup-test: .venv/test.stamp
	@:

# The page is tested in a real browser. Where it may not be installed, its test fails and says so.
chromium:
	@if ! command -v chromium >/dev/null && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "installing chromium"; \
		{ apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends \
			chromium fonts-dejavu-core; } >/dev/null 2>&1 || echo "apt-get could not install chromium" >&2; \
	fi

# One stamp per list of requirements. The test list holds all of the other, so it serves `run` too.
.venv/run.stamp: requirements.txt pyproject.toml | .venv/bin/pip
	@$(call install,requirements.txt)

.venv/test.stamp: requirements-test.txt pyproject.toml | .venv/bin/pip
	@$(call install,requirements-test.txt)
	@touch .venv/run.stamp

# Software of others that `bench` measures us against, and nothing of ours imports: on top of the test list.
.venv/bench.stamp: requirements-bench.txt .venv/test.stamp
	@echo "installing requirements-bench.txt"; \
	$(BIN)/pip install -qq --disable-pip-version-check --require-hashes --no-deps -r requirements-bench.txt && touch $@

define install
echo "installing $(1)"; \
$(BIN)/pip install -qq --disable-pip-version-check --require-hashes -r $(1) && \
$(BIN)/pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e . && \
touch $@
endef

.venv/bin/pip:
	@if [ -z "$(PYTHON)" ]; then echo "Python 3.11, 3.12 or 3.13 not found: install one" >&2; exit 78; fi
	@if ! $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null; then $(get-venv); fi
	@echo "making .venv with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv --clear .venv

# Debian and Ubuntu ship Python without the part that makes virtual environments.
define get-venv
package=$$($(PYTHON) -c 'import sys; print("python3.%d-venv" % sys.version_info[1])'); \
if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	echo "installing $$package"; \
	{ apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes $$package; } >/dev/null 2>&1 || \
		{ echo "apt-get could not install $$package" >&2; exit 78; }; \
else \
	echo "$(PYTHON) cannot make virtual environments: install $$package" >&2; exit 78; \
fi
endef
