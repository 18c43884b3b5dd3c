# Two commands on a fresh machine: `make bench` and `make test`. scripts/install.py has what they install, and how.
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: bench test coverage matrix capabilities torture gates-proof lint install install-dev help

python := .venv/bin/python
candidates := $(or $(PYTHON),$(python) python3 python3.13 python3.12 python3.11)

# $(call install,EXTRA …): a name on PATH may be too old, a shim for nothing, or lack venv, so each is tried.
define install
@for candidate in $(candidates); do \
  if $$candidate -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
    exec $$candidate scripts/install.py $(1); \
  fi; \
done; \
echo "No Python 3.11 or newer with venv among: $(candidates)." >&2; \
echo "Install one (Debian, Ubuntu: apt install python3 python3-venv) or name one: make PYTHON=/path/to/python3" >&2; \
exit 2
endef

bench: install ## Install, run the demo study and write its report to results/demo/report.md.
	@$(python) -m bench run --preset demo; status=$$?; \
	if [ $$status -le 1 ]; then $(python) report.py results/demo || exit; fi; exit $$status

test: install-dev ## Install and run every test; PYTEST_ARGS="-k lora" passes options to pytest.
	$(python) -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

coverage: install-dev ## Simulate studies of known truth: do the report's intervals hold? Minutes; the table is in docs/statistics.md.
	OMP_NUM_THREADS=1 $(python) tests/coverage/check.py

matrix: install-dev ## Run every method on ten small architectures in fp32 and bf16; the table is docs/matrix.md. Minutes.
	OMP_NUM_THREADS=1 PYTHONPATH=.:tests $(python) tests/matrix/table.py --write

capabilities: install-dev ## Measure what every method can do (merge, load, 4 bits, layers) into methods/catalogues. Minutes.
	$(python) -m pip install --quiet "bitsandbytes>=0.49"
	OMP_NUM_THREADS=1 $(python) -m bench.gates.capabilities

torture: install-dev ## Try for half an hour to lose a record: kills, full disks, damage; TORTURE_ARGS="kill_runs --times 20" for some of it.
	$(python) tests/torture/run.py $(TORTURE_ARGS)

gates-proof: install-dev ## Prove for an hour or two that the gates of speed and memory work; GATES_ARGS="1 2" for some of it.
	$(python) tests/gates/proof.py $(GATES_ARGS)

lint: install-dev ## Install and check style, format and types.
	$(python) -m ruff check .
	$(python) -m ruff format --check .
	$(python) -m mypy

install: ## Make .venv with what the demo needs; does nothing when it is up to date.
	$(call install,demo)

install-dev: ## The same with what the tests need.
	$(call install,demo dev)

help: ## List these targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' Makefile
	@echo
	@echo "PYTHON=python3.13  the Python that makes .venv (default: the first of 3.11 or newer on PATH)"
	@echo "TORCH_INDEX=URL    the index to take torch from (default: PyTorch's CPU index on Linux without a GPU;"
	@echo "                   TORCH_INDEX= leaves torch to pip, which on Linux takes CUDA's build)"
