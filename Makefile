# Each target makes .venv and installs on first use.
.PHONY: help pipeline test quick coverage lint bench torture mutants lock licences

PYTHON ?= python3.11
VENV := .venv
RUN := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed

help:
	@echo "make pipeline   all stages, on FER-Datasets/ or on synthetic faces"
	@echo "make test       the tests"
	@echo "make quick      the fast tests alone"
	@echo "make coverage   the tests, and which branches they leave out"
	@echo "make lint       ruff and mypy"
	@echo "make bench      every speed claim, measured here"
	@echo "make mutants    MODULE=data.faces: whether a test notices each small change of what decides over scores"
	@echo "make lock       the exact packages with their hashes; make licences: what these state"
	@echo "make torture    for MINUTES=20: kills, full disks, damaged and hostile input; writes docs/reliability.md"

$(INSTALLED): requirements.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet -r requirements.txt
	touch $@

pipeline: $(INSTALLED)
	$(RUN) develop_baseline_model/run_pipeline.py

test: $(INSTALLED)
	$(RUN) -m pytest -n auto

quick: $(INSTALLED)
	$(RUN) -m pytest -n auto -m "not slow"

# Left out: what coverage's own files or its slowness would fail.
coverage: $(INSTALLED)
	$(RUN) -m pytest -n auto --cov --cov-report=term -k "not limit_on_the_size_of_files and not killed_within_an_epoch"

lint: $(INSTALLED)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(RUN) -m mypy docs/results/write_tables.py locks/write_licences.py

bench: $(INSTALLED)
	for benchmark in benchmarks/bench_*.py; do $(RUN) $$benchmark || exit 1; done

# Of the modules that pyproject.toml names; slow tests are left out, so that what only these notice survives.
mutants: $(INSTALLED)
	OMP_NUM_THREADS=1 $(VENV)/bin/mutmut run $(if $(MODULE),"emotorch.$(MODULE).*")
	$(VENV)/bin/mutmut results

# For any Python and system at once; names no index. To install by: pip install --require-hashes -r locks/all.txt
COMPILE := -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"
lock: $(INSTALLED)
	$(RUN) -m pip install --quiet uv
	$(RUN) $(COMPILE) requirements.txt --no-emit-package emotorch --output-file locks/all.txt
	$(RUN) $(COMPILE) pyproject.toml --constraints locks/all.txt --output-file locks/prediction.txt

licences: $(INSTALLED)
	$(RUN) locks/write_licences.py

# Goes on with what it has tried before, below torture/: pieces add up. WORKERS=2 takes two cores; FRESH=1 begins again.
MINUTES ?= 20
SEED ?= 1
WORKERS ?= 1
torture: $(INSTALLED)
	PYTHONPATH=tests $(RUN) -m torture --minutes $(MINUTES) --seed $(SEED) --workers $(WORKERS) \
		$(if $(FRESH),--fresh) $(if $(ONLY),--only "$(ONLY)") $(if $(TRIAL),--trial $(TRIAL))
