# make demo    a store from the built-in German speech corpus, from nothing
# make demo-train  that store trained on by two processes: a tiny model learns its clips by heart in some minutes
# make test    lint, types, import rules and the whole test suite, from nothing: as root, or with sudo and apt, it also
#              installs the programs that tests call, else it names them
# make faults  the long fault campaigns (minutes to hours); make kills: random kills of whole runs;
#              make hostile: ten thousand damaged audio files; make soak: a small machine beside a hog;
#              make world: what strangers' data and models did, all of tests/world;
#              make planted: faults in our own code, each of which the suite must catch
# make bench   benchmarks against peers, in one run
# make lock    the versions and hashes of all that is installed, anew from pyproject.toml (needs uv)

PYTHON ?= python3
BIN := .venv/bin
DEMO := .demo
DEMO_OPTIONS :=
DEMO_STEPS := 1500
LOCKS := deploy/requirements
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# Hundreds of processes that compile the same files again and again are minutes.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo demo-train test tools lint faults hostile kills planted soak world bench lock clean

demo: .venv/preprocess.installed
	BASE_DIR=$(DEMO) $(BIN)/python -m preprocess.run --demo --store $(DEMO)/store $(DEMO_OPTIONS)

# Random weights and an hour of speech: the model can only learn its own clips, so those are what it is scored on.
demo-train: .venv/train.installed demo
	$(BIN)/python -m trainer.train --nproc-per-node 2 --store $(DEMO)/store \
	  --model $(DEMO)/cache/datasets/demo/model-80 --output $(DEMO)/model --eval-split train --eval-padding own \
	  --global-batch-size 16 --learning-rate 3e-3 --warmup-steps 50 --max-steps $(DEMO_STEPS) \
	  --logging-steps 50 --eval-steps 150 --save-steps 500 --eval-rows 64 --full-context-share 0

# Two processes share the files; where one is killed, the suite ends, as the other would wait for it forever.
# Whole runs come last: beside them there are none but each other.
test: tools .venv/test.installed lint
	$(BIN)/python -m pytest --numprocesses 2 --max-worker-restart 0 --dist loadfile tests/project tests/unit tests/world tests/preprocess tests/trainer
	$(BIN)/python -m pytest --numprocesses 2 --max-worker-restart 0 --dist loadfile tests/cluster tests/fault

tools:
	bash tests/tools.sh

lint: .venv/test.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

faults: .venv/test.installed
	$(BIN)/python -m pytest --timeout 0 tests/fault tests/cluster -m campaign

hostile: .venv/test.installed
	$(BIN)/python tests/fault/hostile_campaign.py

kills: .venv/test.installed
	$(BIN)/python tests/cluster/campaign.py
	$(BIN)/python -m pytest --timeout 0 tests/trainer/test_train.py tests/trainer/test_fetch.py tests/unit/training/test_out_of_memory.py -m campaign

world: .venv/test.installed
	$(BIN)/python -m pytest --timeout 0 tests/world -m 'campaign or not campaign'

planted: .venv/test.installed
	$(BIN)/python tests/fault/planted_campaign.py

soak: .venv/test.installed
	$(BIN)/python -m tests.cluster.soak

bench: .venv/test.installed
	$(BIN)/python tests/benchmarks/stages.py
	$(BIN)/python tests/benchmarks/pipeline.py
	$(BIN)/python tests/benchmarks/training.py
	$(BIN)/python tests/benchmarks/loader.py

lock:
	bash $(LOCKS)/lock.sh

clean:
	rm -rf $(DEMO) .venv

# Whatever is installed is the file that the lock names, to the hash; a stamp is older than lock or pyproject.toml when they
# changed. Of torch only the version is fixed: this machine may have a build of its own (lock.sh tells more).
.venv/%.installed: pyproject.toml $(wildcard $(LOCKS)/*.txt)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) --require-hashes --no-deps $(INSTALLED:%=--requirement $(LOCKS)/%.txt)
	$(if $(TORCH),$(PIP) "$$(grep --only-matching '^torch==[^ ;]*' $(LOCKS)/torch.txt)")
	$(PIP) --no-deps --no-build-isolation --editable .
	touch $@ $(COVERS)

.venv/preprocess.installed: INSTALLED := preprocess
.venv/train.installed: INSTALLED := preprocess trainer
.venv/train.installed: COVERS := .venv/preprocess.installed
.venv/train.installed .venv/test.installed: TORCH := yes
.venv/test.installed: INSTALLED := test
# Tests call these targets at the same time; two installations at once would spoil each other.
.venv/test.installed: COVERS := .venv/preprocess.installed .venv/train.installed
