# make demo | test | test-cluster | test-hosts | lint | bench | wheelhouse. Everything is set up in .venv on the first call; later calls find it ready.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13; do $$p -c "" 2>/dev/null && echo $$p && break; done)
VENV   := .venv
EXTRA  ?= $(shell command -v nvidia-smi >/dev/null 2>&1 && echo gpu || echo cpu)
READY  := $(VENV)/.ready-$(EXTRA)
RUN    := HF_HUB_OFFLINE=1 RAY_USAGE_STATS_ENABLED=0 PYTHONPATH=. $(VENV)/bin/

# As jobs/common/session.py sets them: glibc would give freed tensors back and fault every page in again.
MALLOC := MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=100000000000 MALLOC_TOP_PAD_=100000000
BENCH  ?= out/bench
WHEELS ?= out/wheelhouse-$(EXTRA)

.PHONY: demo test test-cluster test-hosts lint bench wheelhouse setup clean

demo: setup      ## meta-train, evaluate on five languages, tag a small crawl, show it on a page
	$(RUN)python -m jobs.demo

test: setup lint ## all tests but those of the next two; those that need a GPU skip themselves
	$(RUN)python -m pytest --numprocesses 2 --dist loadfile -m "not cluster and not hosts"

test-cluster: setup ## clusters of several processes, their ports and kills, a Prometheus where there is one; about twenty minutes
	$(RUN)python -m pytest -m cluster

test-hosts: setup ## as root on Debian: three hosts, their `ray up` and what befalls them, the image's steps in a bare system; half an hour
	$(RUN)python -m pytest -m hosts

bench: setup     ## how fast tagging, adapting and meta-training are here; table, plot and figures in out/bench
	$(MALLOC) $(RUN)python -m metaner_core.engine.bench --device $(if $(filter gpu,$(EXTRA)),cuda,cpu) --output $(BENCH)
	$(MALLOC) $(RUN)python -m metaner_core.tagging.feeding

wheelhouse:      ## all wheels for a machine without a network, which then takes the command that is printed at the end
	@rm -rf build  # what an earlier build left would be in the wheel
	$(PYTHON) -m pip wheel --disable-pip-version-check --quiet -c constraints.txt -w $(WHEELS) ".[$(EXTRA),e5]" "setuptools>=77"
	@rm -rf build metaner.egg-info
	@echo "there, with this Python's version: pip install --no-index --find-links $(WHEELS) 'metaner[$(EXTRA),e5]'"

lint: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --no-logo --no-cache

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "no python3.11, 3.12 or 3.13 here: install one, or say where: make PYTHON=/path/to/python"; exit 1; }
	@echo "setting up $(VENV) with $(PYTHON)"
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --disable-pip-version-check --quiet -c constraints.txt -e ".[$(EXTRA),test,e5]"
	touch $@

clean:
	rm -rf $(VENV) out
