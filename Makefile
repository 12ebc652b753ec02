# Everything that the project does, by name. `make help` lists it.
# The first command makes .venv and installs the pinned packages (a few minutes); after that nothing needs a network.

PROFILE ?= tiny
SEED ?= 0

VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python

# The first Python on this machine that is new enough; `make PYTHON=/path/to/python3.12` chooses another.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { command -v $$p; break; }; done)

# Tests must not reach out; readers of the larger profiles may.
OFFLINE := HF_HUB_OFFLINE=1 HF_DATASETS_OFFLINE=1 HF_HUB_DISABLE_TELEMETRY=1

.DEFAULT_GOAL := help
.PHONY: help install book test lab check format bench elsewhere clean

help:
	@echo "make book   run every chapter and build the site  (PROFILE=$(PROFILE) SEED=$(SEED))"
	@echo "make test   run the test suite                    (ARGS=\"-m 'not slow'\" passes arguments to pytest)"
	@echo "make lab    open the chapters in JupyterLab"
	@echo "make check  lint, formatting, types"
	@echo "make format mend what lint and formatting can mend by themselves"
	@echo "make bench  measure the speed of what a reader waits for"
	@echo "make elsewhere  build the book as other machines would, with other seeds; compare (hours)"
	@echo "make clean  remove the built site, executed chapters and caches; keeps .venv and runs/"

book: install
	$(PY) -m gecalign book --profile $(PROFILE) --seed $(SEED)

test: install
	$(OFFLINE) $(PY) -m pytest --numprocesses logical --maxprocesses 4 --dist loadfile $(ARGS)

lab: install
	$(PY) -m jupytext_config --settings-file $(VENV)/etc/jupyter/labconfig/default_setting_overrides.json \
		set-default-viewer markdown myst
	PATH="$(CURDIR)/$(BIN):$$PATH" JUPYTER_PREFER_ENV_PATH=1 $(PY) -m jupyterlab --notebook-dir=. \
		--LabApp.default_url=/lab/tree/notebooks

check: install
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

format: install
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

bench: install
	$(OFFLINE) $(PY) bench/targets.py

elsewhere: install
	$(OFFLINE) $(PY) -m gecalign elsewhere

clean:
	rm -rf _build book/chapters .pytest_cache .mypy_cache .ruff_cache build *.egg-info
	find gecalign tests book notebooks bench -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# --- The environment -------------------------------------------------------------------------------------------
# Two stamps: the packages, which need a network, and the project itself, which does not.
# TORCH=cpu or TORCH=cuda chooses PyTorch's build; else tools/torch_index.py looks for an NVIDIA driver.

install: $(VENV)/.project

$(VENV)/.project: $(VENV)/.packages pyproject.toml
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index --editable .
	@touch $@

$(VENV)/.packages: requirements.txt constraints.txt | $(PY)
	index=$$($(PY) tools/torch_index.py) && \
		$(PY) -m pip install --disable-pip-version-check --requirement requirements.txt --constraint constraints.txt $$index
	@touch $@

$(PY):
	@test -n "$(PYTHON)" || { \
		echo "gecalign needs Python 3.11 or newer, and found: $$(python3 --version 2>&1)."; \
		echo "Install one, or name it: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)"; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "gecalign needs Python 3.11 or newer; $(PYTHON) is $$("$(PYTHON)" --version 2>&1)."; exit 1; }
	"$(PYTHON)" -m venv $(VENV) || { rm -rf $(VENV); \
		echo "No virtual environment could be made; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
