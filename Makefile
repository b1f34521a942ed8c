# The commands for people and for CI. `make run` and `make test` need Python 3.11 to 3.13 and nothing else.
PYTHON ?= python3
SWEEP ?= epochs=1,2 gpus=1,2
# fast or best: outside DVC's record, in outputs/quality/<name>, with what DATA says, e.g. DATA="data=voc data.path=/path/to/photos".
QUALITY ?= default
DATA ?=
# The service is measured with the models that `make run` leaves.
BENCH ?= preprocess input training inference startup $(if $(wildcard models/quantize/variants.json),service)

VENV := .venv
BIN := $(VENV)/bin
MADE := $(VENV)/.made
# DVC calls `python`: inside the environment that is this one.
IN_ENV := export PATH="$$PWD/$(BIN):$$PATH";
MAY_WRITE := test -w . || { echo "error: $$PWD can't be written: copy the project to where you may write" >&2; exit 1; }
# A ZIP of the project is no Git repository, which DVC asks for unless it is told.
GIT_OR_NOT := if test -e .git || git rev-parse --git-dir >/dev/null 2>&1; then \
	! grep -qs no_scm .dvc/config.local || dvc config --local --unset core.no_scm; \
	else grep -qs no_scm .dvc/config.local || { dvc config --local core.no_scm true && \
	echo "no Git repository here: DVC goes on without, and only dvc exp needs one (git init)"; }; fi
# One version of uv, as each spells the markers of requirements.lock in its own way.
UV := uv==0.13.9
LOCK := $(BIN)/python -m pip install --quiet $(UV) && $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --extra dev \
	--custom-compile-command "make lock" pyproject.toml

# Tests run in two processes, a file's all in one; as they stand in tests/conftest.py, the long files first.
TWO := -n 2 --dist loadfile --no-loadscope-reorder

# mutmut and what it needs beside the environment, in a folder of its own: the lock stays without it.
MUTMUT := .cache/mutmut
MUTMUT_NEEDS := mutmut==3.8.1 libcst==1.9.0 setproctitle==1.3.8
MUTANTS ?=

# Nothing phones home.
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := 1
export DVC_NO_ANALYTICS := 1
# Some containers set it; then every command compiles hundreds of modules anew, which doubles the start of DVC's.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help env run test test-fast check mutants docs sweep ui serve bench lock clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

env: $(MADE) ## make the environment .venv, where it is absent, half made or older than requirements.lock

$(MADE): requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
		{ echo "error: $(PYTHON) must be Python 3.11 to 3.13: name another one, as in make PYTHON=python3.12 env" >&2; exit 1; }
	@$(MAY_WRITE)
	@echo "making $(VENV): once, and again when requirements.lock changes"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet $(UV)
	@$(BIN)/uv venv --quiet --allow-existing --relocatable --python $(BIN)/python $(VENV)  # so that the folder may be moved
	@VIRTUAL_ENV="$$PWD/$(VENV)" $(BIN)/uv pip install --quiet --require-hashes -r requirements.lock
	@touch $@

ifeq ($(QUALITY),default)
run: $(MADE) ## run the pipeline, as far as something changed: fetch, inspect, preprocess, train, quantize, evaluate; QUALITY=fast, best
	@$(MAY_WRITE); rm -f outputs/dvc/*/seconds.txt; $(IN_ENV) $(GIT_OR_NOT); dvc repro
	@cat outputs/dvc/*/seconds.txt 2>/dev/null | sort -k2 -rn | awk '{printf "%-11s %5.0f s\n", $$1, $$2; sum += $$2} \
		END {if (NR > 1) printf "%-11s %5.0f s\n", "together", sum}'
	@echo "the data: $$PWD/reports/inspect/index.html"
	@echo "the page: $$PWD/reports/evaluate/index.html"
	@echo "the runs: make ui"
else
run: $(MADE)
	@$(BIN)/python src/experiment.py quality=$(QUALITY) output_dir=outputs/quality/$(QUALITY) $(DATA)
	@echo "the page: $$PWD/outputs/quality/$(QUALITY)/reports/evaluate/index.html"
endif

test: $(MADE) ## run the tests and print what they cover, on two cores some ten minutes
	@$(BIN)/python -m pytest $(TWO) --cov --cov-report=term

test-fast: $(MADE) ## run the tests that neither train nor drive a browser, in one or two minutes
	@$(BIN)/python -m pytest $(TWO) -m "not slow and not browser"

check: $(MADE) ## lint, format, types, what imports what, links, and whether requirements.lock is up to date
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=src $(BIN)/lint-imports --no-logo --no-cache
	$(BIN)/python -m handbook.links
	@! grep -nE '://|^ *-(i|f|-index-url|-extra-index-url|-find-links) ' requirements.lock || \
		{ echo "error: requirements.lock holds an address: write it again with make lock" >&2; exit 1; }
	@copy=$$(mktemp -d) && cp requirements.lock $$copy && $(LOCK) -o $$copy/requirements.lock && \
		{ cmp -s requirements.lock $$copy/requirements.lock || \
		{ echo "error: requirements.lock does not fit pyproject.toml: run make lock" >&2; rm -r $$copy; exit 1; }; } && rm -r $$copy
	@echo "requirements.lock is up to date"

mutants: $(MADE) ## do the tests notice 3,000 small changes of the code? an hour; MUTANTS="mirada.inference.boxes*" tries some
	@test -d $(MUTMUT) || $(BIN)/python -m pip install --quiet --no-deps --target $(MUTMUT) $(MUTMUT_NEEDS)
	@PYTHONPATH=$(MUTMUT) $(BIN)/python -m mutmut run --max-children 2 $(if $(MUTANTS),"$(MUTANTS)")
	@PYTHONPATH=$(MUTMUT) $(BIN)/python -m mutmut results
docs: $(MADE) ## build the documentation, in seconds: outputs/docs/site/index.html
	@$(BIN)/python -m handbook.build

sweep: $(MADE) ## train every combination, e.g. make sweep SWEEP="epochs=5,10 batch_size=8,16"
	@$(MAY_WRITE); $(IN_ENV) $(GIT_OR_NOT); dvc repro preprocess
	@$(BIN)/python src/train.py -m $(SWEEP)

ui: $(MADE) ## look at the runs at 127.0.0.1:5000, on chosen columns and charts, e.g. make ui UI="port=5001"
	@exec $(BIN)/python src/ui.py $(UI)

serve: $(MADE) ## predictions over HTTP at 127.0.0.1:8000, with page and task queue, e.g. make serve SERVE="port=8001"
	@exec $(BIN)/python src/serve.py $(SERVE)

bench: $(MADE) ## run every benchmark, some 12 minutes on two cores; BENCH="preprocess inference" runs some
	@failed=; for name in $(BENCH); do \
		echo "== benchmarks/$$name.py"; $(BIN)/python benchmarks/$$name.py || failed="$$failed $$name"; done; \
		$(BIN)/python benchmarks/table.py; \
		test -z "$$failed" || { echo "error: could not be measured:$$failed" >&2; exit 1; }

lock: $(MADE) ## write requirements.lock for pyproject.toml
	$(LOCK) -o requirements.lock

clean: ## remove what runs wrote: data, models, reports, MLflow runs, DVC's cache; .venv and what waits for a server stay
	rm -rf mutants data/raw data/processed data/processed.* models reports outputs multirun var .cache .dvc/cache .dvc/tmp dvc_plots benchmarks/results
	find mlruns -mindepth 1 ! -name .gitkeep ! -path 'mlruns/pending*' -delete
