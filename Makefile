# Needs Python ≥ 3.11 with venv and pip, and make. `make` without a target lists the targets.
#
#   NEXTUP_TORCH   pip requirement for torch instead of the choice below, e.g. NEXTUP_TORCH="torch==2.13.0"
#   PYTHON         the Python that creates the environment

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# One more process than cores: many tests wait for other processes.
JOBS ?= $(shell expr $$(nproc 2>/dev/null || sysctl -n hw.ncpu 2>/dev/null || echo 1) + 1)
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder
WHEEL_VENV := .wheel-venv
AUDIT_VENV := .audit-venv
TORCH_VERSION := $(shell sed -n 's/^torch==//p' constraints.txt)
CPU_INDEX := https://download.pytorch.org/whl/cpu

.DEFAULT_GOAL := help
.PHONY: help install native lint format types imports sanitize wheel check audit test test-fast test-all coverage ray chart docs bench train serve clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1	\2/p' $(MAKEFILE_LIST) | expand -t 12

install: native ## create .venv; build the native code if there is a C++ compiler

$(VENV)/.torch: constraints.txt
	@$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "nextup needs Python 3.11 or later, this is " + sys.version'
	$(PYTHON) -m venv $(VENV)
	@$(call install_torch,$(BIN)/pip)
	@touch $@

$(VENV)/.installed: $(VENV)/.torch pyproject.toml client/pyproject.toml constraints.txt
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[test]' --editable ./client
	@touch $@

# Native code for the model, if there is a compiler. The library's name contains a hash of its sources: it is rebuilt
# when they change, and checking takes milliseconds when they do not.
native: $(VENV)/.installed
	@$(BIN)/python -m models.native.build

# The default wheel on Linux contains gigabytes of CUDA libraries. Without an NVIDIA driver install the CPU build, from
# the configured indexes if they have it, else from PyTorch's index.
define install_torch
	if [ -n "$(NEXTUP_TORCH)" ]; then \
		echo "installing $(NEXTUP_TORCH)"; $(1) install --quiet $(NEXTUP_TORCH); \
	elif [ "$$(uname -s)" = Linux ] && ! nvidia-smi >/dev/null 2>&1; then \
		echo "installing torch $(TORCH_VERSION), CPU build (NEXTUP_TORCH overrides)"; \
		$(1) install --quiet 'torch==$(TORCH_VERSION)+cpu' 2>/dev/null \
			|| $(1) install --quiet --index-url $(CPU_INDEX) 'torch==$(TORCH_VERSION)'; \
	else \
		echo "installing torch $(TORCH_VERSION)"; $(1) install --quiet 'torch==$(TORCH_VERSION)'; \
	fi
endef

lint: install ## check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: install ## fix style and formatting
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: install ## run mypy (strict, tests included)
	$(BIN)/mypy

imports: install ## check the import contracts of pyproject.toml
	$(BIN)/lint-imports

sanitize: $(VENV)/.sanitized ## run the native code on random shapes under the address and undefined-behavior sanitizers

# Runs again only if a native source or the program has changed: it takes most of a minute.
$(VENV)/.sanitized: $(wildcard models/native/*.h models/native/*.cpp models/native/*.py service_tests/models/native/sanitise.py service_tests/models/native/*.cpp service_tests/models/native/*.h) | install
	$(BIN)/python -m service_tests.models.native.sanitise
	@touch $@

# Users install the wheel, not this folder: a file missing from the wheel fails here.
$(WHEEL_VENV)/.installed: pyproject.toml constraints.txt $(VENV)/.torch
	$(PYTHON) -m venv --clear $(WHEEL_VENV)
	@$(call install_torch,$(WHEEL_VENV)/bin/pip)
	$(WHEEL_VENV)/bin/pip install --quiet --constraint constraints.txt .
	@touch $@

wheel: install $(WHEEL_VENV)/.installed ## build the wheel, install it into an empty environment and run it
	rm -rf dist
	$(BIN)/pip wheel --quiet --no-deps --wheel-dir dist . ./client
	$(WHEEL_VENV)/bin/pip install --quiet --no-deps --force-reinstall dist/nextup*.whl
	cd $(WHEEL_VENV) && bin/nextup --help >/dev/null && bin/python -I -c 'import nextup, app.main; from app.stores.redis.client import Script; Script("erase.lua"); import models.native.build as b; assert bool(b.build()) == bool(b.find_compiler())'

check: lint types imports sanitize wheel ## run all checks except the tests

test: check ## run all checks, and all tests that need no optional package, as CI does
	$(PYTEST) -m 'not optional' -rs

test-fast: install ## run the unit and contract tests that start no process (under a minute)
	$(PYTEST) -m 'not process and not slow and not optional'

# pip-audit has its own environment, so that its packages are not among those of nextup.
$(AUDIT_VENV)/.installed: constraints.txt
	$(PYTHON) -m venv $(AUDIT_VENV)
	$(AUDIT_VENV)/bin/pip install --quiet 'pip-audit==2.10.1'
	@touch $@

audit: install $(AUDIT_VENV)/.installed ## look up known vulnerabilities of the installed packages
	$(BIN)/python -m service_tests.support.dependency_audit $(AUDIT_VENV)/bin/pip-audit

test-all: check audit $(VENV)/.optional docs ## run all checks and every test, with Ray, Helm, Triton, schemathesis and the docs site
	$(PYTEST) -rs

coverage: install ## run the tests with line and branch coverage
	OMP_NUM_THREADS=1 $(BIN)/coverage run -m pytest -m 'not optional'
	$(BIN)/coverage report --skip-covered --show-missing

# Ray is 230 MB, Helm's library 230 MB and Triton 200 MB. helm-sdkpy declares Python 3.12 but also runs on 3.11: it is a
# shared library with a thin wrapper.
$(VENV)/.optional: $(VENV)/.installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[browser,ray,fuzz]'
	$(BIN)/pip install --quiet --constraint constraints.txt --ignore-requires-python helm-sdkpy==0.1.32 kubernetes-validate==1.37.0
	@if [ "$$(uname -s)" = Linux ]; then $(BIN)/pip install --quiet 'triton>=3.6,<4'; fi
	@touch $@

ray: $(VENV)/.optional ## run the tests of the service on Ray
	$(PYTEST) service_tests/app/deployments service_tests/failures/test_ray_replica_killed.py

chart: $(VENV)/.optional ## run the tests of the Helm chart
	$(PYTEST) service_tests/contracts/test_chart.py service_tests/contracts/test_chart_installed.py

# The packages of the extra `docs` join the environment; Sphinx turns warnings and broken links into errors.
docs: install ## generate the reference pages and build the documentation site in site/
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[docs]'
	$(BIN)/python docs/generate_reference.py
	$(BIN)/python client/generate.py
	$(BIN)/sphinx-build --fail-on-warning --keep-going --fresh-env --quiet --builder html --conf-dir docs . site

bench: install ## run the serving benchmark on ARTIFACT=… (demo) with the histories of LOG=… (those in the store)
	$(BIN)/nextup bench serve $(LOG) --artifact $(or $(ARTIFACT),var/demo)

train: install ## train on LOG=… into OUT=…
	$(BIN)/nextup train $(LOG) --out $(or $(OUT),var/model) $(ARGS)

serve: install ## start the service with the demo model, on http://127.0.0.1:8000
	@exec $(BIN)/nextup serve --demo

clean: ## remove environments and caches, but not var/
	rm -rf $(VENV) $(WHEEL_VENV) $(AUDIT_VENV) dist site .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
