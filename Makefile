# make app   start the dashboard on 127.0.0.1 with the embedded demo study
# make test  all tests; browser tests skip, with a reason, where no Chromium is
# make test-fast  all but the slow tests and those in a browser
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8501
# glibc gives large tensors back to the system after every operation unless told not to; the generator runs about twice as fast.
# OpenMP's threads sleep while they wait: spinning, two processes on two cores take turns at waiting for each other.
FAST := OMP_WAIT_POLICY=PASSIVE MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=17179869184 MALLOC_TOP_PAD_=268435456

# A test process a core, at most four: each takes about 1 GB. The tests of one file stay together and in order. A process that dies ends the run.
TESTS := -m pytest -n auto --maxprocesses 4 --max-worker-restart 0 --no-loadscope-reorder

.PHONY: app test test-fast lint format bench clean

$(VENV)/.app: requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

$(VENV)/.dev: $(VENV)/.app requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt -r requirements-dev.txt
	touch $@

app: $(VENV)/.app
	$(FAST) $(BIN)/python -m streamlit run serve.py --server.port $(PORT)

test: $(VENV)/.dev
	$(FAST) $(BIN)/python $(TESTS)

test-fast: $(VENV)/.dev
	$(FAST) $(BIN)/python $(TESTS) -m "not slow and not browser"

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy common faces latent survival study jobs

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.dev
	for name in generator finetune invert embed cox cohort app; do $(FAST) $(BIN)/python -m bench $$name; done

clean:
	rm -rf $(VENV) artefacts .pytest_cache .mypy_cache .ruff_cache .hypothesis
