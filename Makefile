# Each target does its own set-up: a Python of 3.11 or newer is all that has to be there.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
ENV    ?= dev
# Only what is in a lock, by its hash; source is built only where a rule says so. Nothing is compiled: most modules are never
# imported, and Python compiles those that are.
INSTALL := -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: --no-compile

# Images of Python often forbid bytecode, and then each process compiles the libraries again, which takes seconds.
unexport PYTHONDONTWRITEBYTECODE

# More than the two cores that CI has: a worker waits while its emulator works, whose tests stay on one worker.
PARALLEL := -n 3 --dist loadgroup

# The make of macOS is older than this option: https://www.gnu.org/software/make/manual/html_node/Special-Variables.html
SYNC := $(if $(filter output-sync,$(.FEATURES)),--output-sync)

.DEFAULT_GOAL := help
.PHONY: help demo page environments test test-all test-fast prove compatible backlog express conformance faults ops-test audit mutate browser-test chromium check generate pictures validate format lint types \
        lock lock-check sbom bench load demands simulate reading deploy local-stop clean

help:  ## List all targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{line = sprintf("  make %-12s", $$1); count = split($$2, words, " "); \
	  for (i = 1; i <= count; i++) { if (length(line) + length(words[i]) > 79) { print line; line = sprintf("%19s", "") } line = line " " words[i] } \
	  print line}'

demo: $(VENV)/installed  ## Deploy to the AWS emulator and run sample payments, with a live page; KEEP=1 leaves it running, EXPRESS=1 takes Express
	@$(BIN)/python generate.py
	@scripts/python.sh scripts.demo $(if $(KEEP),--keep) $(if $(EXPRESS),--express)

page: $(VENV)/installed  ## Open the live page of a running emulator; PORT=NUMBER
	@scripts/python.sh scripts.page $(if $(PORT),--port $(PORT))

test: $(VENV)/installed $(VENV)/awscli/bin/aws  ## Run the tests of each push, end-to-end tests included
	$(BIN)/python -m pytest $(PARALLEL) -m 'not nightly'

test-all: $(VENV)/installed $(VENV)/awscli/bin/aws  ## Run all tests, those of each night included: more than half an hour
	$(BIN)/python -m pytest $(PARALLEL)

test-fast: $(VENV)/installed  ## Run the tests that take no emulator, no deployment and no exhaustive search: about two minutes
	$(BIN)/python -m pytest $(PARALLEL) -m 'not slow and not nightly'

prove: $(VENV)/installed  ## Inject every fault into the payment core, and print the figures
	EVERY_PAIR=1 $(BIN)/python -m pytest tests/prove $(PARALLEL) --show-capture=no

compatible: $(VENV)/installed  ## Make payments while the functions change from one release to another and back; WITH=COMMIT
	COMPATIBLE_WITH=$(WITH) $(BIN)/python -m pytest tests/e2e/test_releases.py

backlog: $(VENV)/installed  ## Settle 1,000 payments that an outage left open, by a run on the emulator, and 500 by two at once; COUNT=NUMBER
	BACKLOG=$(or $(COUNT),1000) $(BIN)/python -m pytest tests/e2e/test_backlog.py --quiet --capture=no --timeout=1800

express: $(VENV)/installed  ## Change to the Express workflow and back while 200 payments are made, on the emulator; COUNT=NUMBER
	EXPRESS_PAYMENTS=$(or $(COUNT),200) $(BIN)/python -m pytest tests/e2e/test_express.py --quiet --timeout=1800

conformance: $(VENV)/installed  ## Compare our doubles and readers of AWS with recordings of AWS, and 10,000 generated plans with their values
	@scripts/python.sh tests.conformance
	GENERATED_PAIRS=10000 $(BIN)/python -m pytest tests/deployer/test_generated_plans.py -n 2

faults: $(VENV)/installed  ## Strike every call of every command of the deployer with every fault and signal, and print the figures
	EVERY_CELL=1 $(BIN)/python -m pytest tests/deployer/test_fault_matrix.py tests/deployer/test_signals.py \
		tests/deployer/test_closed_output.py $(PARALLEL)

ops-test: $(VENV)/installed $(VENV)/awscli/bin/aws  ## Trigger every alarm, execute every runbook command, and print the figures
	$(BIN)/python -m pytest tests/ops $(PARALLEL)

mutate: $(VENV)/installed  ## Plant defects in templates and sources, and check that a test catches each; ONLY=WORDS plants some
	@scripts/python.sh tests.mutations --sources --only '$(ONLY)'

audit: $(VENV)/installed $(VENV)/awscli/bin/aws $(VENV)/audit/installed $(VENV)/packs/installed  ## Scanners, compliance rule packs, least privilege, planted defects, payment data; LISTS=1
	@scripts/python.sh scripts.audit $(if $(LISTS),--lists) $(if $(RECORDED),--recorded $(RECORDED))

browser-test: $(VENV)/browser/installed  ## Test the live page and the Markdown diagrams in headless Chromium
	$(BIN)/python -m pytest tests/browser

# What is quick to fail comes first, then what takes long, side by side. The end-to-end tests run once: the audit judges what
# they recorded in `test`, from a folder that is new each time. Each recording of AWS is compared
# in `test`, too; what takes longer runs each night (.github/workflows/nightly.yml).
check:  ## Everything that CI runs on each push
	@$(MAKE) --no-print-directory --jobs 2 environments
	@set -e; recordings=$$(mktemp -d); trap 'rm -rf "$$recordings"' EXIT INT TERM; \
	  $(MAKE) --no-print-directory --jobs 2 $(SYNC) lock-check validate lint types; \
	  RECORDINGS=$$recordings $(MAKE) --no-print-directory test; \
	  $(MAKE) --no-print-directory --jobs 2 $(SYNC) demo browser-test; \
	  $(MAKE) --no-print-directory audit RECORDED=$$recordings

environments: $(VENV)/installed $(VENV)/awscli/bin/aws $(VENV)/audit/installed $(VENV)/packs/installed $(VENV)/browser/installed $(VENV)/uv/installed

generate: $(VENV)/installed  ## Generate templates/ from stacks/, and the diagrams and tables of README.md and docs/
	$(BIN)/python generate.py
	@scripts/python.sh scripts.pictures.scale

pictures: $(VENV)/browser/installed  ## Draw the dashboard, and the live page at two sizes in light and dark, from runs on the emulator
	scripts/python.sh scripts.pictures.demo_run
	scripts/python.sh tests.browser.picture

validate: $(VENV)/installed  ## Check that templates/ and diagrams are fresh, and run cfn-lint
	$(BIN)/python generate.py --check
	@scripts/python.sh scripts.deployer.cli.lint

format: $(VENV)/installed  ## Format the Python sources, as `make lint` requires
	$(BIN)/ruff format .

lint: $(VENV)/installed  ## Check style, security rules, format, names, complexity, and who imports whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PYTHONPATH=.:lambda $(BIN)/lint-imports --no-logo
	PYTHONPATH=. $(BIN)/python -m scripts.weak_names
	PYTHONPATH=. $(BIN)/python -m scripts.complexity

types: $(VENV)/installed  ## Check types with mypy, strict
	$(BIN)/mypy

lock: $(VENV)/uv/installed  ## Write locks/, from setup.cfg and locks/*.in; UPGRADE=1 takes the newest releases
	@$(PYTHON) -m scripts.locks $(if $(UPGRADE),--upgrade)

lock-check: $(VENV)/uv/installed  ## Check that locks/ is fresh
	@$(PYTHON) -m scripts.locks --check

sbom: $(VENV)/installed  ## Write the bill of materials of what runs in Lambda to .local/sbom.cdx.json
	scripts/python.sh scripts.deployer.cli.sbom .local/sbom.cdx.json

bench: $(VENV)/installed $(VENV)/awscli/bin/aws  ## Measure what the README claims about speed, and what payments take; REFERENCE=FILE.md adds the reference
	@scripts/python.sh scripts.bench $(REFERENCE)

load: $(VENV)/installed  ## Measure payments a second and their durations on the emulator; REFERENCE=FILE.md adds the reference
	@scripts/python.sh scripts.bench.load $(REFERENCE)

simulate: $(VENV)/installed  ## Simulate payments through an outage of the gateway at four rates: ENV=dev; RECORD=1 keeps the figures
	@scripts/python.sh scripts.simulation$(if $(RECORD),.recorded) $(ENV)

demands: $(VENV)/installed  ## Measure what a payment takes from AWS, for scripts/capacity.sh, without the rest of bench
	@scripts/python.sh scripts.bench.demands

reading: $(VENV)/installed  ## Measure what the operators' lists take with many payments; COUNT=NUMBER
	@scripts/python.sh scripts.bench.reading $(or $(COUNT),20000)

deploy: $(VENV)/installed  ## Deploy: make deploy ENV=dev
	scripts/deploy.sh $(ENV)

local-stop:  ## Stop the emulator that `deploy.sh local` or `demo KEEP=1` left running
	@if [ -x $(BIN)/python ]; then $(BIN)/python -m scripts.local stop; else echo "the AWS emulator is not running"; fi

clean: ## Remove what was installed and cached; templates/ stays
	@[ ! -x $(BIN)/python ] || $(BIN)/python -m scripts.local stop 2>/dev/null || true
	rm -rf $(VENV) .local .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# checkov pins boto3, so the scanners get an environment of their own.
$(VENV)/audit/installed: $(VENV)/installed locks/audit.txt
	@$(PYTHON) -m venv $(VENV)/audit
	@$(VENV)/audit/bin/python $(INSTALL) --requirement locks/audit.txt
	@touch $@

$(VENV)/packs/installed: $(VENV)/installed scripts/audit/packs/package-lock.json
	@command -v npm >/dev/null || { echo "make: npm is needed for the rule packs: install Node.js 20 or newer" >&2; exit 1; }
	@mkdir -p $(VENV)/packs && cp scripts/audit/packs/package*.json $(VENV)/packs
	@npm ci --prefix $(VENV)/packs --silent --no-fund --no-audit
	@touch $@

chromium:
	@{ command -v chromium || command -v chromium-browser || command -v google-chrome; } >/dev/null || { \
	  echo "make: Chromium is needed for the browser tests: apt-get install chromium, or your system's package of it" >&2; exit 1; }

$(VENV)/browser/installed: $(VENV)/installed locks/browser.txt tests/browser/package-lock.json | chromium
	@command -v npm >/dev/null || { echo "make: npm is needed for the browser tests: install Node.js 20 or newer" >&2; exit 1; }
	@$(BIN)/python $(INSTALL) --requirement locks/browser.txt
	@mkdir -p $(VENV)/browser && cp tests/browser/package*.json $(VENV)/browser
	@npm ci --prefix $(VENV)/browser --silent --no-fund --no-audit
	@touch $@

# The AWS CLI has a botocore of its own, so it gets an environment of its own: tests and bench deploy with it, too.
$(VENV)/awscli/bin/aws: $(VENV)/installed locks/awscli.txt
	@$(PYTHON) -m venv $(VENV)/awscli
	@$(VENV)/awscli/bin/python $(INSTALL) --requirement locks/awscli.txt
	@touch $@

$(VENV)/uv/installed: locks/uv.txt
	@$(PYTHON) -m venv $(VENV)/uv
	@$(VENV)/uv/bin/python $(INSTALL) --requirement locks/uv.txt
	@touch $@

# What deploys to AWS and operates there; the workflow installs nothing else.
$(VENV)/deploy-installed: locks/deploy.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "make: Python 3.11 or newer is needed; name one with: make PYTHON=python3.12 ..." >&2; exit 1; }
	@echo "setting up $(VENV)" >&2
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python $(INSTALL) --requirement locks/deploy.txt
	@touch $@

# And the AWS emulator, and what checks the rest.
$(VENV)/installed: $(VENV)/deploy-installed locks/local.txt locks/build.txt locks/dev.txt
	@echo "setting up $(VENV) for the emulator and the tests (one to two minutes, about 450 MB)" >&2
	@$(BIN)/python $(INSTALL) --requirement locks/build.txt
	@# localstripe comes as source only: setuptools, locked, builds it.
	@$(BIN)/python $(INSTALL) --no-binary localstripe --no-build-isolation --requirement locks/local.txt --requirement locks/dev.txt
	@touch $@
