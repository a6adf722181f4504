# Two commands do everything:  make demo   make test
# A bare clone needs only python3 (>= 3.11, with venv) and make.
PYTHON ?= python3
VENV   ?= .venv
PICTURES ?= 1
BIN    := $(VENV)/bin

.PHONY: demo test lint bench docs packages clean
.DELETE_ON_ERROR:

demo: $(VENV)/.installed-demos
	$(BIN)/python -m demos.v1_filters

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile

bench: $(VENV)/.installed-bench
	$(BIN)/python -m demos.bench patches

# Runs every demo, those that take minutes with smaller numbers, and looks where every link leads;
# PICTURES=0 makes the pages without the demos.
docs: $(VENV)/.installed-docs
	$(BIN)/python -m sphinx -W --keep-going -b html -D plot_gallery=$(PICTURES) docs docs/_build/html
	$(BIN)/python docs/links.py docs/_build/html

# Wheel and sdist, each installed into an environment of its own and used once; then mypy reads
# what users write against what was installed.
USE := import csc, numpy; csc.show_versions(); a = numpy.ones((1, 1, 3)); print(csc.sparse_code(a, a, 1.0))
packages: $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check build
	rm -rf dist
	$(BIN)/python -m build --outdir dist > /dev/null
	for file in dist/*; do \
	  rm -rf build/clean && $(PYTHON) -m venv build/clean && \
	  build/clean/bin/python -m pip install --quiet --disable-pip-version-check $$file && \
	  (cd build && clean/bin/python -c "$(USE)") || exit 1; \
	done
	build/clean/bin/python -m pip install --quiet --disable-pip-version-check mypy
	cd build && clean/bin/python -m mypy --strict ../tests/project/typed_use.py

lint: $(VENV)/.installed-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "csc needs python >= 3.11; try: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

# One stamp per extra: pip runs again only when pyproject.toml changes. Without --no-compile it would
# compile all files of PyTorch and others, which takes 40 s; Python compiles those that are imported.
$(VENV)/.installed-%: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --editable ".[$*]"
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info out docs/_build docs/auto_demos docs/generated
