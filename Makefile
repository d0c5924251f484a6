# Every command makes .venv and installs what it needs when that is missing.
#
#   PYTHON     the interpreter that .venv is made with
#   PIP_FLAGS  passed to pip, e.g. an index with CPU-only builds of torch
#   TESTERS    how many processes run the tests
#   FUZZ_INPUTS how many inputs each fuzz test tries
#   KILLS      how many strikes `make faults` carries out on each of the stores STORES; SEED draws them

PYTHON ?= $(shell command -v python3.11 || command -v python3)
PIP_FLAGS ?=
TESTERS ?= 3
FUZZ_INPUTS ?= 800
STORES ?= sqlite postgres server read-only clock
SEED ?= $(shell date +%s)
export KILLS
BIN := .venv/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt $(PIP_FLAGS)
DEMO_NAME := demo-$(shell date +%Y%m%d-%H%M%S)

.PHONY: demo test faults check format docs screenshots plotlyjs install tools clean

demo: install  ## a real study in about four minutes, its frontier and its report
	$(BIN)/tracker run experiments/studies/docstrings.toml --name $(DEMO_NAME) --budget-usd 0.004 --set device=cpu \
		--set precision=fp32 --set train_documents=8000 --set max_length=64 --set epochs=3 --set compile=false
	@echo
	$(BIN)/tracker frontier $(DEMO_NAME)
	@echo
	@echo "The report:"
	@$(BIN)/tracker report $(DEMO_NAME)
	@echo "The dashboard: $(BIN)/tracker dashboard"

test: tools  ## every test, whole files side by side, those that take longest first
	$(BIN)/python -m pytest --numprocesses $(TESTERS) --dist loadfile --no-loadscope-reorder

faults: tools  ## real studies struck at random moments, resumed and audited; the results in results/faults-*.json
	for store in $(STORES); do \
		case $$store in sqlite) kills=200;; *) kills=50;; esac; \
		$(BIN)/python -m tests.faults --store $$store --kills $${KILLS:-$$kills} --seed $(SEED) \
			--out results/faults-$$store.json || exit 1; \
	done

fuzz: tools  ## more than 10,000 malformed files, names and logs; prints how many of each kind
	FUZZ_INPUTS=$(FUZZ_INPUTS) $(BIN)/python -m pytest tests/fuzz

check: tools  ## style, types, layers, documentation, known vulnerabilities
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest tests/docs/test_pages.py tests/docs/shown.py --doctest-modules tracker
	$(BIN)/python -m tests.dependencies

format: tools  ## put the code into its one format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: .venv/docs  ## the documentation as a site that opens from the disk
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict
	@echo "The documentation: build/docs/index.html"

install: .venv/installed  ## .venv with the product

tools: .venv/tools  ## .venv with the test and development tools too

.venv/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP_INSTALL) --editable .
	touch $@

.venv/tools: .venv/installed
	$(PIP_INSTALL) --editable '.[test,dev]'
	touch $@

.venv/docs: .venv/installed
	$(PIP_INSTALL) --editable '.[docs]'
	touch $@

screenshots: tools  ## the pictures in the README, of a real study in results/; look at them before you commit them
	$(BIN)/python -m tests.screenshots $(STUDY)

plotlyjs:  ## the plotly.js that reports carry, fetched by npm and checked
	$(BIN)/python tracker/export/plotlyjs/fetch.py

clean:  ## remove what make and the tools made; studies under results/ stay
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
