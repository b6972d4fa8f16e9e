# The two commands for a fresh machine: make reproduce, make test. `make help` explains them all.
PYTHON ?= python3
UV_VERSION := 0.13.9
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Results must not depend on what a user has installed beside the project.
export PYTHONNOUSERSITE := 1

.PHONY: help setup reproduce verify-reproducible test release rollback requirements clean

help:
	@echo "make reproduce     set up, run the whole workflow (dvc repro), read the sample cards"
	@echo "make verify-reproducible   run the workflow in two clones and compare every byte; SETS=\"train.epochs=1 ...\" for other parameters"
	@echo "make test          set up, check the code and run every test (about 10 minutes)"
	@echo "make setup         only make the environment in .venv"
	@echo "make release       make the model of the last dvc repro the one that predict.py reads with"
	@echo "make rollback      bring the reader back that was released before"
	@echo "make requirements  choose newer versions of all packages within pyproject.toml's ranges"
	@echo "make clean         remove the environment and what tests and readings left behind"
	@echo
	@echo "PYTHON=python3.13 make setup   uses another Python (3.11 to 3.13)"

$(BIN)/uv:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(f"Python 3.11 to 3.13 is needed, $(PYTHON) is {v[0]}.{v[1]}; set PYTHON=python3.11, for example" if not (3, 11) <= v <= (3, 13) else 0)'
	@echo "Making the environment in .venv with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

.venv/workflow: requirements.txt | $(BIN)/uv
	@echo "Installing what the workflow needs (requirements.txt; about 2.5 GB on disk)"
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements.txt
	@touch $@

.venv/dev: requirements-dev.txt | $(BIN)/uv
	@echo "Installing what the workflow and its tests need (requirements-dev.txt)"
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements-dev.txt
	@touch $@ .venv/workflow

setup: .venv/workflow
	@echo "Ready. To use it in this shell: source .venv/bin/activate"

reproduce: .venv/workflow
	dvc repro
	python stages/vinreader samples input
	python stages/vinreader samples input --compare

verify-reproducible: .venv/workflow
	python benchmarks/reproducible.py $(SETS)

test: .venv/dev
	ruff check stages tests benchmarks
	ruff format --check stages tests benchmarks
	mypy
	python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --cov --cov-report=term --cov-fail-under=90

release: .venv/workflow
	python stages/vinreader release

# What was released and is not committed goes; else the reader of the commit before comes back.
rollback:
	@commit=$$(git log -2 --format=%H -- models/released | tail -n 1); \
	git diff --quiet HEAD -- models/released || commit=HEAD; \
	git checkout $$commit -- models/released && \
	echo "models/released is as in $$(git log -1 --format='%h %s' $$commit)"

# The tests' packages first; the others take their versions over, so that what is tested is used.
# LiteRT asks for any backports-strenum. The newest one refuses Python 3.11 and newer, which uv does not
# look at when it resolves, and pip does when it installs.
requirements: | $(BIN)/uv
	@echo "backports-strenum<1.3" > .venv/constraints.txt
	@for name in "-dev:--upgrade --extra workflow --extra ray --extra samples --extra check --extra documents --extra dev" ":--extra workflow" \
	  "-ray:--extra ray" "-reader:--extra samples"; do \
	  test "$${name%%:*}" = -dev || cp requirements-dev.txt requirements$${name%%:*}.txt; \
	  $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --custom-compile-command "make requirements" \
	    --constraints .venv/constraints.txt \
	    pyproject.toml $${name#*:} -o requirements$${name%%:*}.txt; \
	done

clean:
	rm -rf .venv build *.egg-info stages/*.egg-info .pytest_cache .ruff_cache .hypothesis
	rm -rf predictions.csv predictions.csv.json vins.csv vins.xlsx review.html checks.sqlite* dvc_plots
	find stages tests -name __pycache__ -type d -prune -exec rm -rf {} +
