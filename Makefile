# Each target works alone on a machine with Python >= 3.11, make and a package index.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
# One thread for each process: small networks gain more from processes than from threads. A module stays in one process,
# which shares its trained runs and servers; those that take longest begin first (tests/conftest.py).
# There is one process more than processors, because many tests wait for a browser, a server or a process to end.
PROCESSES = $$(($$(getconf _NPROCESSORS_ONLN) + 1))
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(PROCESSES) --maxprocesses 8 \
	--dist loadfile --no-loadscope-reorder

.PHONY: help demo test quick long quick-tests all-tests check docs site release clean

help:
	@echo "make demo   install into .venv, then train with and without human saliency on the embedded digits (about 9 min)"
	@echo "make test   install into .venv, then run every check and all tests but the longest (about 15 min on 2 cores)"
	@echo "make quick  the same without the slow tests (about 7 min)"
	@echo "make long   the longest tests: many kills, a cluster, the data of all studies (about 10 min)"
	@echo "make docs   write the generated pages of docs/"
	@echo "make release VERSION=0.2.0   cut, build and try a release; nothing is sent"
	@echo "make site   build README and docs/ into site/, to be opened in a browser"

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(INSTALL) -e ".[dev]"
	@touch $@

demo: $(VENV)/.installed
	$(BIN)/salign demo

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

quick-tests: $(VENV)/.installed-dev
	$(PYTEST) -m "not slow"

all-tests: $(VENV)/.installed-dev
	$(PYTEST) -m "not long"

long: $(VENV)/.installed-dev
	$(PYTEST) -m long

# Types are checked beside the tests: mypy takes one processor for most of a minute.
quick test: $(VENV)/.installed-dev
	$(MAKE) --jobs 2 check $(if $(filter quick,$@),quick,all)-tests

docs: $(VENV)/.installed-dev
	$(BIN)/python docs/generate.py

release: $(VENV)/.installed-dev
	$(BIN)/python .ci/release.py $(VERSION)

# A link or an anchor that leads nowhere fails; tests/across/test_site.py builds the same.
site: $(VENV)/.installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "wrote site/: open site/index.html in a browser"

clean:
	rm -rf $(VENV) build dist site .pytest_cache .mypy_cache .ruff_cache
