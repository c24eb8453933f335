# Each target does its own set-up: a Python of 3.11 or newer is all that has to be there.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
ENV    ?= dev

.DEFAULT_GOAL := help
.PHONY: help demo page test prove ops-test audit mutate browser-test chromium check generate pictures validate lint types sbom bench deploy local-stop clean

help:  ## What there is to make
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

demo: $(VENV)/installed  ## Deploy to an embedded AWS and pay, with a page to look at; KEEP=1 leaves it running
	@$(BIN)/python generate.py
	@$(BIN)/python -m scripts.demo $(if $(KEEP),--keep)

page: $(VENV)/installed  ## A page of the payments of the embedded AWS that is running; PORT=NUMBER
	@$(BIN)/python -m scripts.page $(if $(PORT),--port $(PORT))

test: $(VENV)/installed $(VENV)/awscli/bin/aws  ## Run all tests, the end-to-end ones too
	$(BIN)/python -m pytest -n 2 --dist worksteal

prove: $(VENV)/installed  ## Enumerate crashes, races and inputs against the payment core, and tell the figures
	$(BIN)/python -m pytest tests/prove -n 2 --dist worksteal --show-capture=no

ops-test: $(VENV)/installed $(VENV)/awscli/bin/aws  ## Ring every alarm, execute every command of the runbook, and tell the figures
	$(BIN)/python -m pytest tests/ops -n 2 --dist loadfile

mutate: $(VENV)/installed  ## Plant defects in the templates, and see each caught by its test; ONLY=WORDS plants some
	@$(BIN)/python -m tests.mutations --only '$(ONLY)'

audit: $(VENV)/installed $(VENV)/awscli/bin/aws $(VENV)/audit/installed $(VENV)/packs/installed  ## What an auditor asks: scanners, rule packs, least privilege, mutations
	@$(BIN)/python -m scripts.audit $(if $(LISTS),--lists) $(if $(RECORDED),--recorded $(RECORDED))

browser-test: $(VENV)/browser/installed  ## In a headless Chromium: the page of payments, and the diagrams of the Markdown files
	$(BIN)/python -m pytest tests/browser

# The end-to-end tests run once: the audit judges what they recorded in `test`, from a folder that is new each time.
check: validate lint types demo browser-test  ## All that CI runs
	@set -e; recordings=$$(mktemp -d); trap 'rm -rf "$$recordings"' EXIT INT TERM; \
	  RECORDINGS=$$recordings $(MAKE) --no-print-directory test; \
	  $(MAKE) --no-print-directory audit RECORDED=$$recordings

generate: $(VENV)/installed  ## Emit templates/ from stacks/, and the pictures of README.md and docs/
	$(BIN)/python generate.py

pictures: $(VENV)/browser/installed  ## Draw what runs on the embedded AWS look like: the dashboard and the page
	$(BIN)/python -m scripts.pictures.demo_run
	$(BIN)/python -m tests.browser.picture

validate: $(VENV)/installed  ## templates/ and the pictures are fresh, and cfn-lint has nothing to say
	$(BIN)/python generate.py --check
	$(BIN)/cfn-lint

lint: $(VENV)/installed  ## Style, security rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/installed  ## mypy, strict
	$(BIN)/mypy

sbom: $(VENV)/installed  ## Write the bill of materials of what runs in Lambda to .local/sbom.cdx.json
	$(BIN)/python -m scripts.deployer.sbom .local/sbom.cdx.json

bench: $(VENV)/installed $(VENV)/awscli/bin/aws  ## What the README claims about speed; REFERENCE=FILE.md adds the system asked for
	@$(BIN)/python -m scripts.bench $(REFERENCE)

deploy: $(VENV)/installed  ## Deploy: make deploy ENV=dev
	scripts/deploy.sh $(ENV)

local-stop:  ## End the embedded AWS that `deploy.sh local` or `demo KEEP=1` left running
	@if [ -x $(BIN)/python ]; then $(BIN)/python -m scripts.local stop; else echo "no embedded AWS is running"; fi

clean: ## Remove what was installed and cached; templates/ stays
	@[ ! -x $(BIN)/python ] || $(BIN)/python -m scripts.local stop 2>/dev/null || true
	rm -rf $(VENV) .local .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# checkov pins boto3, so the scanners get an environment of their own.
$(VENV)/audit/installed: $(VENV)/installed scripts/audit/requirements.txt
	@$(PYTHON) -m venv $(VENV)/audit
	@$(VENV)/audit/bin/python -m pip install --quiet --disable-pip-version-check --requirement scripts/audit/requirements.txt
	@touch $@

$(VENV)/packs/installed: $(VENV)/installed scripts/audit/packs/package-lock.json
	@command -v npm >/dev/null || { echo "make: npm is needed for the rule packs: install Node.js 20 or newer" >&2; exit 1; }
	@mkdir -p $(VENV)/packs && cp scripts/audit/packs/package*.json $(VENV)/packs
	@npm ci --prefix $(VENV)/packs --silent --no-fund --no-audit
	@touch $@

chromium:
	@{ command -v chromium || command -v chromium-browser || command -v google-chrome; } >/dev/null || { \
	  echo "make: Chromium is needed for the browser tests: apt-get install chromium, or your system's package of it" >&2; exit 1; }

$(VENV)/browser/installed: $(VENV)/installed tests/browser/package-lock.json | chromium
	@command -v npm >/dev/null || { echo "make: npm is needed for the browser tests: install Node.js 20 or newer" >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[browser]'
	@mkdir -p $(VENV)/browser && cp tests/browser/package*.json $(VENV)/browser
	@npm ci --prefix $(VENV)/browser --silent --no-fund --no-audit
	@touch $@

# The AWS CLI has a botocore of its own, so it gets an environment of its own: tests and bench deploy with it, too.
$(VENV)/awscli/bin/aws: $(VENV)/installed
	@$(PYTHON) -m venv $(VENV)/awscli
	@$(VENV)/awscli/bin/python -m pip install --quiet --disable-pip-version-check awscli==1.46.3
	@touch $@

$(VENV)/installed: setup.cfg
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "make: Python 3.11 or newer is needed; name one with: make PYTHON=python3.12 ..." >&2; exit 1; }
	@echo "setting up $(VENV) (about half a minute)" >&2
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[deploy,local,dev]'
	@touch $@
