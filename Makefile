# make run    compare the tabular methods on the adult census and write report.html
# make test   run the tests
# make check  ruff, type check, tests
# make bench  the benchmarks against the peers (minutes)
# Each sets up what it needs in .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
SEEDS ?= 5

.PHONY: run test check bench setup setup-run clean

run: setup-run
	$(BIN)/assay compare tabular --peers --seeds $(SEEDS) --json board.json --html report.html
	@echo "The report is report.html"

test: setup
	$(BIN)/python -m pytest -q -n 2 --dist loadfile

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(MAKE) test

bench: setup
	for file in benchmarks/*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

setup: $(VENV)/.installed-dev
setup-run: $(VENV)/.installed-run

# A stamp is renewed when the project's dependencies or its C sources change.
SOURCES := pyproject.toml constraints.txt hatch_build.py $(wildcard src/assay/*/*.c)

$(VENV)/.installed-run: $(SOURCES)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install -c constraints.txt -e '.[peers]'
	@touch $@

$(VENV)/.installed-dev: $(SOURCES)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install -c constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/.installed-run

clean:
	rm -rf $(VENV) build dist runs report.html board.json
