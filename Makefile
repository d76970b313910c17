# What people type here. Each target does its own set-up; `make` alone lists them.
.DEFAULT_GOAL := help
.PHONY: help install up demo test check lock clean try-images pictures

BIN := .venv/bin
STAMP := .venv/.installed
TEST_STAMP := .venv/.installed-test
LOCKS := $(wildcard requirements/*.txt)

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(STAMP) ## train, register, deploy to staging and prod on this machine; on a terminal it stays up
	@$(BIN)/mlops demo --yes

up: $(STAMP) ## AWS and MLflow on this machine, for your own data, until Ctrl-C
	@$(BIN)/local-aws up

test: $(TEST_STAMP) ## lint, types, import contracts, tests, end to end
	@$(BIN)/python -m tox run-parallel --current-env --parallel-no-spinner -e lint,type
	@$(BIN)/python -m tox run --current-env -e all

check: $(TEST_STAMP) ## the quick half of `make test`: lint, types, tests without the end-to-end ones
	@$(BIN)/python -m tox run --current-env -e lint,type,tests

install: $(STAMP) ## fill .venv (done by the others when needed)

STEP_LOCKS := $(wildcard model_build/steps/*/*.txt)

$(STAMP): $(LOCKS) $(STEP_LOCKS) setup.py local_aws/pyproject.toml requirements/install.sh
	@requirements/install.sh

# .venv may be whole, but not made with the interpreter that PYTHON names; install.sh says what is wrong with that one.
ifneq ($(PYTHON),)
export PYTHON
ifneq ($(shell PYTHON='$(PYTHON)' requirements/install.sh --check 2>/dev/null && echo kept),kept)
.PHONY: $(STAMP)
endif
endif

$(TEST_STAMP): $(STAMP) requirements/install-test.sh requirements/mariadb.sh requirements/chromium.sh
	@requirements/install-test.sh

lock: $(STAMP) ## resolve requirements/*.in again and write the locked files
	@requirements/lock.sh

# Such as TRY="--python /path/to/python3.12 --mirror http://deb.debian.org/debian".
try-images: $(STAMP) ## carry out the server's Dockerfile in a bare Debian root: as root, minutes
	@$(BIN)/python -m tests.tools.image_trial $(TRY)

# Such as PICTURES="--tracking-uri http://127.0.0.1:5000" of a server that has the demo's model.
pictures: $(TEST_STAMP) ## take the documents' pictures of MLflow's pages anew, after a demo of its own
	@$(BIN)/python -m tests.tools.page_pictures $(PICTURES)

clean: ## remove what the targets made
	@requirements/clean.sh
