# make quickstart   trains a small SAGAN on the packaged images, on a CPU, measures and exports it
# make test         lint, types and tests
# make test-slow    the tests that take long
# make coverage     the share of the package that the tests run, which has to be 90 % or more
# make docs         builds the documentation into site/; a warning is an error
# make reference    writes docs/reference/ anew from --help of the commands and tools
# make clean        removes what the others made, runs excepted

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN_DIR := runs/quickstart
FLOOR := --images=fashion_mnist_10k:reference --reference=fashion_mnist_10k:train --extractor=fashion_mnist \
         --metrics=fcd,classifier_score,label_agreement,class_agreement,precision_recall,density_coverage
# Tracing graphs, most of what the tests do, keeps one core busy. Tests of a file share what is slow to make.
IN_PARALLEL := --numprocesses=logical --maxprocesses=4 --dist=loadfile
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --use-pep517

.DEFAULT_GOAL := help
.PHONY: help quickstart test test-slow coverage docs reference clean

help:
	@sed -n 's/^# make/make/p' Makefile

quickstart: $(VENV)/installed
	$(BIN)/python -m sagan_tf.train --flagfile=configs/quickstart.cfg --run_dir=$(RUN_DIR)
	$(BIN)/python -m sagan_tf.evaluate --run_dir=$(RUN_DIR)
	@echo
	@echo "The same for 2,000 real images that it was not trained on:"
	$(BIN)/python -m sagan_tf.evaluate $(FLOOR)
	@echo
	$(BIN)/python -m sagan_tf.sample --run_dir=$(RUN_DIR) --mode=attention --output=$(RUN_DIR)/attention.html --overwrite
	@echo
	$(BIN)/python -m sagan_tf.export --run_dir=$(RUN_DIR) --formats=saved_model,tflite --overwrite
	@echo
	@echo "The run is in            $(RUN_DIR)"
	@echo "Samples are in           $(RUN_DIR)/samples"
	@echo "Where it looks           $(RUN_DIR)/attention.html"
	@echo "To serve or to ship      $(RUN_DIR)/exports"
	@echo "To see its curves        $(BIN)/tensorboard --logdir=$(RUN_DIR)"

test: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest $(IN_PARALLEL)

test-slow: $(VENV)/installed-dev
	$(BIN)/python -m pytest $(IN_PARALLEL) -m slow

coverage: $(VENV)/installed-dev
	$(BIN)/python -m pytest $(IN_PARALLEL) --cov --cov-report=term

docs: $(VENV)/installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo "Open site/index.html, or for the search: python3 -m http.server --directory site"

reference: $(VENV)/installed
	$(BIN)/python tools/write_command_reference.py

clean:
	rm -rf $(VENV) build dist site .coverage .coverage.* *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps are older than what says what to install when that has changed: it is then installed again.
$(VENV)/installed: setup.py pyproject.toml
	@echo "Installing sagan_tf and what it needs into $(VENV): a few minutes the first time"
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) --editable '.[tflite]'
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	@echo "Installing what the tests need"
	$(PIP_INSTALL) --editable '.[dev]'
	@touch $@

$(VENV)/installed-docs: $(VENV)/installed
	@echo "Installing what builds the documentation"
	$(PIP_INSTALL) --editable '.[docs]'
	@touch $@
