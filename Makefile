# Two commands matter: `make demo` and `make test`.  Needs Python 3.10+ with venv, a C compiler, and the package index.
# Another interpreter: make test PYTHON=python3.12

PYTHON ?= python3
VENV   ?= .venv
ASAN   ?= .venv-asan
DEMO   ?= demo
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet

# what the compiled extension and the installed metadata depend on; Python files are used where they are (editable install)
BUILD_INPUTS := pyproject.toml setup.py MANIFEST.in $(wildcard csrc/* nbragg/*.pyx nbragg/*.pxd nbragg/*.pxi)

# the part of the tests that is worth its time under the sanitizers: the rooms that enter the engine, on small images; what
# words, files and records become is Python's
SANITIZED ?= $(addprefix tests/,acceptance analysis engine gradient inverse parity response simulation) \
             -m "not (slow or commands or cuda or files or project or dials)"

# all workloads take about ten minutes; BENCH=--quick only shows that the program works
BENCH ?= --all --out benchmarks/results/cpu-$(shell date +%F).json

.PHONY: help demo picture figures test test-dials build lint types unit docs doctest sanitize bench clean
.DEFAULT_GOAL := help

help:
	@echo 'make demo      set up, render an image, say where it is'
	@echo 'make test      set up, then everything below up to doctest'
	@echo '  build lint types unit docs doctest'
	@echo 'make test-dials  install DIALS (Debian, as root) and run it on what nanobragg writes'
	@echo 'make sanitize  the tests under the address and undefined-behaviour sanitizers'
	@echo 'make bench     the benchmarks'
	@echo 'make picture   render the picture of the README again'
	@echo 'make figures   render the pictures of derivatives in the documents again'
	@echo 'make clean     remove what these commands made'

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(BUILD_INPUTS) | $(BIN)/python
	@echo 'installing nanobragg and compiling its engine into $(VENV) ...'
	$(PIP) install --editable '.[io]'
	@touch $@

$(VENV)/.installed-test: $(BUILD_INPUTS) | $(BIN)/python
	@echo 'installing nanobragg, compiling its engine, the tools for tests and documents into $(VENV) ...'
	$(PIP) install --editable '.[test,docs]'
	@touch $(VENV)/.installed $@

build: $(VENV)/.installed

demo: $(VENV)/.installed
	@$(BIN)/python -m nbragg.demo $(DEMO)

picture: demo
	cp $(DEMO)/demo.png docs/images/demo.png

figures: $(VENV)/.installed-test
	$(BIN)/python docs/derivative_images.py

test: lint types unit docs doctest

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .

types: $(VENV)/.installed-test
	$(BIN)/mypy

# two files of tests at a time, whose engines take all cores themselves
unit: $(VENV)/.installed-test
	$(BIN)/pytest tests -n 2 --dist loadfile $(PYTEST_ARGS)

# DIALS is a package of Debian and Ubuntu, for the system's Python; elsewhere `make test` skips these tests
test-dials: $(VENV)/.installed-test
	/usr/bin/python3 -c 'import dxtbx, dials' 2>/dev/null || { \
	apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends dials python3-dials; }
	$(BIN)/pytest tests -m dials $(PYTEST_ARGS)

docs: $(VENV)/.installed-test
	$(BIN)/sphinx-build --quiet --fail-on-warning docs docs/_build/html
	@echo 'the documents: docs/_build/html/index.html'

# the modules left out import PyTorch and JAX, which are no part of the tools
doctest: $(VENV)/.installed-test
	$(BIN)/pytest --quiet --doctest-modules --ignore-glob='nbragg/inverse/*_image.py' --ignore='nbragg/dataset/torch_data.py' nbragg

# A copy of the sources is built, so that neither the ordinary build nor its object files are touched.
$(ASAN)/.installed: $(BUILD_INPUTS) $(wildcard nbragg/*.py nbragg/*/*.py nbragg/*/*/*.py)
	@echo 'compiling the engine with sanitizers into $(ASAN) ...'
	test -x $(ASAN)/bin/python || $(PYTHON) -m venv $(ASAN)
	rm -rf $(ASAN)/src && mkdir $(ASAN)/src
	cp -R pyproject.toml setup.py MANIFEST.in README.md LICENSE csrc nbragg $(ASAN)/src
	find $(ASAN)/src -name '*.so' -delete
	NBRAGG_SANITIZE=1 $(ASAN)/bin/python -m pip --disable-pip-version-check --quiet install '$(ASAN)/src[test]'
	rm -rf $(ASAN)/src
	@touch $@

# Run from a folder without nbragg/, so that the installed package is the one imported.  Python's own allocations that live
# until exit are not leaks of the engine, hence detect_leaks=0.
sanitize: $(ASAN)/.installed
	rm -rf $(ASAN)/run && mkdir $(ASAN)/run
	tar --exclude='./.*' --exclude=./nbragg --exclude=./csrc --exclude=./build -cf - . | tar -xf - -C $(ASAN)/run
	cd $(ASAN)/run && LD_PRELOAD="$$(gcc -print-file-name=libasan.so):$$(gcc -print-file-name=libstdc++.so)" \
	PYTHONMALLOC=malloc ASAN_OPTIONS=detect_leaks=0:halt_on_error=1 UBSAN_OPTIONS=print_stacktrace=1 OMP_NUM_THREADS=2 \
	../bin/pytest -p no:cacheprovider $(SANITIZED)

bench: $(VENV)/.installed-test
	$(BIN)/python -m benchmarks.cpu $(BENCH)

clean:
	rm -rf $(VENV) $(ASAN) $(DEMO) build dist docs/_build docs/tutorials/made *.egg-info nbragg/_engine.c nbragg/*.so
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
