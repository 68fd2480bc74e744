# `make` prints the targets. What has been installed or built leaves a stamp in the venv, so that
# nothing is done twice.

PYTHON ?= python3
VENV ?= .venv
HOST ?= 127.0.0.1
PORT ?= 8080
APP ?= fastws.examples.chat:app
FOLDER ?= wire
SECONDS ?= 60
MINUTES ?= 10
# Tests that run side by side. Many of them wait for a process.
JOBS ?= $(shell expr 2 '*' $$(nproc 2>/dev/null || echo 2))


BUILT := $(VENV)/.built
BIN := $(abspath $(VENV))/bin
PY := $(BIN)/python
EXTRAS := env-file,jwt,metrics,redis,nats
# What a wheel is made of. A folder is newer when a file in it has come or gone.
PACKAGED := setup.py pyproject.toml MANIFEST.in README.md LICENSE $(shell find fastws \
	-name __pycache__ -prune -o -name '*.so' -o -print)
SOURCES := setup.py $(filter %.pyx %.pxd %.h,$(PACKAGED))
SANITIZE := address,undefined

SHELL := bash
.SHELLFLAGS := -o pipefail -c
export PATH := $(BIN):$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Where tests find what pip cannot install.
export NODE_PATH := $(abspath build/node/node_modules)
export WSTEST := $(abspath build/wstest)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## print this
	@echo "make TARGET [PYTHON=python3] [VENV=.venv]"
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 18 | sed 's/^/  /'

.PHONY: run
run: $(VENV)/.wheel ## serve the chat [HOST=127.0.0.1 PORT=8080 APP=module:app]
	$(BIN)/fastws run $(APP) --host $(HOST) --port $(PORT)

# The product is what is installed: tests see the wheel, and of this folder only a copy without
# the package's sources.
.PHONY: test
test: $(VENV)/.wheel $(VENV)/.test ## build and install the wheel, test it away from here [ARGS=...]
	.ci/suite pytest -n $(JOBS) -m "not deep" $(ARGS)

.PHONY: test-deep
test-deep: $(VENV)/.wheel $(VENV)/.test ## what `make test` leaves out: slow, exhaustive [ARGS=...]
	.ci/suite pytest -n $(JOBS) -m deep $(ARGS)

.PHONY: test-all
test-all: $(VENV)/.wheel $(VENV)/.test ## both of them, in one run [ARGS=...]
	.ci/suite pytest -n $(JOBS) $(ARGS)

.PHONY: quick
quick: $(BUILT) $(VENV)/.test ## for work in between: compile in place, test there [FOLDER=wire]
	FASTWS_IN_PLACE=1 PYTHONPATH=$(CURDIR) $(PY) -m pytest -p fastws.testing.plugin -m "not deep" \
		tests/$(FOLDER) $(ARGS)

.PHONY: mutate
mutate: $(BUILT) $(VENV)/.test ## change places of a folder, count what tests notice [FOLDER=wire ARGS="--sample 20"]
	$(PY) -m tests.mutate $(FOLDER) $(ARGS)

.PHONY: test-lowest
test-lowest: $(VENV)/.wheel $(VENV)/.test ## test with the lowest versions that are allowed [ARGS=...]
	$(PY) -m pip install --quiet uv
	uv venv --quiet --clear --python $(PY) build/lowest
	uv pip install --quiet --python build/lowest --resolution lowest-direct --group test \
		--requirement pyproject.toml --all-extras
	uv pip install --quiet --python build/lowest --no-deps $(VENV)/dist/*.whl
	PATH="$(abspath build/lowest/bin):$$PATH" .ci/suite pytest -n $(JOBS) -m "not deep" $(ARGS)

.PHONY: test-newest
test-newest: $(VENV)/.wheel ## test with the newest versions there are, betas too [ARGS=...]
	$(PYTHON) -m venv --clear build/newest
	build/newest/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	build/newest/bin/python -m pip install --quiet --pre --group test \
		"$$(ls $(VENV)/dist/*.whl)[$(EXTRAS)]"
	PATH="$(abspath build/newest/bin):$$PATH" .ci/suite pytest -n $(JOBS) -m "not deep" $(ARGS)

.PHONY: lint
lint: $(VENV)/.lint ## check style: ruff, cython-lint
	ruff check .
	ruff format --check .
	cython-lint fastws

.PHONY: types
types: $(VENV)/.wheel $(VENV)/.test $(VENV)/.lint ## check types: mypy; stubs against compiled modules
	mypy
	.ci/suite stubtest --ignore-missing-stub --ignore-disjoint-bases --allowlist tests/stubtest.txt \
		--ignore-unused-allowlist $(shell find fastws -name '*.pyi' | sed 's/\.pyi$$//; s|/|.|g' | sort)

.PHONY: format
format: $(VENV)/.lint ## put the code into shape
	ruff check --fix-only --quiet .
	ruff format .

.PHONY: build
build: $(BUILT) ## compile in place

.PHONY: autobahn
autobahn: $(VENV)/.wheel $(VENV)/.test ## RFC 6455 and 7692, case by case; needs CPython 2.7 [ARGS=...]
	bash tests/autobahn/install.sh $(WSTEST)
	.ci/suite $(PY) -m tests.autobahn $(or $(ARGS),--nginx --loop uvloop asyncio --cases 1-7,10)
	$(if $(ARGS),,.ci/suite $(PY) -m tests.autobahn --role server client --loop uvloop asyncio)

.PHONY: bench
bench: $(BUILT) $(VENV)/.bench ## measure against uvicorn and Bun, as ratios, a minute [ARGS=...]
	$(PY) -m benchmarks $(ARGS)

.PHONY: crowd
crowd: $(BUILT) $(VENV)/.test ## try slow members, and all ways to leave, by the thousand [ARGS=...]
	$(PY) -m benchmarks.crowd $(ARGS)

.PHONY: cluster
cluster: $(BUILT) $(VENV)/.test ## prove what holds across workers, hosts and restarts [ARGS=...]
	$(PY) -m benchmarks.cluster $(ARGS)

.PHONY: bench-all
bench-all: $(BUILT) $(VENV)/.bench ## measure everything against everybody, half an hour
	$(PY) -m benchmarks --only echo,typed,fanout,handshake,http,memory,syscalls --rounds 5
	$(PY) -m benchmarks.compare
	$(PY) -m benchmarks.curves

.PHONY: bench-curves
bench-curves: $(BUILT) $(VENV)/.bench ## measure how the cost of a message grows [ARGS=...]
	$(PY) -m benchmarks.curves $(ARGS)

.PHONY: profile
profile: $(BUILT) $(VENV)/.bench ## draw a flame graph of the server under load [ARGS="--load typed"]
	$(PY) -m benchmarks.profile $(ARGS)

.PHONY: loadtest
loadtest: $(BUILT) $(VENV)/.load ## load a server of ours, or URL, by locust [URL=ws://... SHAPE=steps ARGS=...]
	$(PY) -m loadtest $(if $(URL),--url '$(URL)') $(if $(SHAPE),--shape $(SHAPE)) $(ARGS)

.PHONY: loadtest-ceiling
loadtest-ceiling: $(BUILT) $(VENV)/.load ## measure what one process of the load generator can do [ARGS=...]
	$(PY) -m loadtest.ceiling $(ARGS)

.PHONY: soak
soak: $(BUILT) $(VENV)/.load ## load a server with everything, and look for what grows [MINUTES=10]
	$(PY) -m loadtest.soak --minutes $(MINUTES) $(ARGS)

.PHONY: perf-gate
perf-gate: $(VENV)/.gate ## no more instructions, bytes or system calls than the baseline has
	$(PY) -m benchmarks.gate

.PHONY: perf-baseline
perf-baseline: $(VENV)/.gate ## count anew what perf-gate compares with
	$(PY) -m benchmarks.gate baseline

.PHONY: perf-gate-proof
perf-gate-proof: $(VENV)/.gate ## perf-gate holds ten times, and fails if it should [ARGS="--runs 5"]
	$(PY) -m benchmarks.gate proof $(ARGS)

# The first library in LD_PRELOAD has to be ASAN's; without PYTHONMALLOC it sees only arenas;
# without --capture=sys pytest would take its report into the grave. What malloc gives is filled,
# so that bytes that nobody has written are seen where they come out.
ASAN = LD_PRELOAD="$$(cc -print-file-name=libasan.so) $$(cc -print-file-name=libubsan.so)" \
	PYTHONMALLOC=malloc FASTWS_IN_PLACE=1 PYTHONPATH=. UBSAN_OPTIONS=print_stacktrace=1 ASAN_OPTIONS=$(ASAN_OPTIONS)
ASAN_OPTIONS := detect_leaks=0:allocator_may_return_null=1:max_malloc_fill_size=1048576:$\
	malloc_fill_byte=203

.PHONY: asan
asan: $(BUILT) $(VENV)/.test ## test what is compiled under ASAN and UBSAN, and by Autobahn [ARGS=...]
	rm -rf build/asan/tests
	mkdir -p build/asan
	git ls-files --cached --others --exclude-standard -z | xargs -0 cp --parents -ut build/asan
	cd build/asan && CFLAGS="-g -O1 -fno-omit-frame-pointer -fsanitize=$(SANITIZE) \
		-fno-sanitize-recover=undefined" LDFLAGS="-fsanitize=$(SANITIZE)" \
		$(PY) setup.py --quiet build_ext --inplace
	cd build/asan && $(ASAN) $(PY) -m pytest --capture=sys -p no:cacheprovider \
		$(or $(ARGS),tests/wire tests/aio tests/server tests/rooms tests/client tests/app)
ifndef ARGS
	bash tests/autobahn/install.sh $(WSTEST)
	cd build/asan && $(ASAN) $(PY) -m tests.autobahn --cases 1-7,10 --loop uvloop asyncio
endif

.PHONY: fuzz
fuzz: $(BUILT) $(VENV)/.test ## fuzz the codec, guided by coverage; needs clang-14 [SECONDS=60]
	bash tests/fuzz/run.sh $(SECONDS)

.PHONY: annotate
annotate: $(BUILT) ## show what Cython made of each line, in build/annotate
	cython --annotate --output-file build/annotate fastws

.PHONY: wheel
wheel: $(VENV)/.wheel ## build the sdist, and a wheel from it, in dist
	mkdir -p dist && cp $(VENV)/dist/* dist

.PHONY: dist-check
dist-check: $(VENV)/.wheel $(VENV)/.test $(VENV)/.dist ## look at sdist and wheel, and use them as users do
	cd .ci && DIST=$(abspath $(VENV))/dist pytest -c ../pyproject.toml test_dist.py $(ARGS)

.PHONY: clean
clean: ## remove what was built and installed
	rm -rf $(VENV) build dist *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find fastws -name '*.so' -delete

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "fastws needs CPython 3.11 or newer, and $(PYTHON) is not: make PYTHON=python3.13" >&2; \
		exit 1; }
	.ci/packages build $(PYTHON)
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --upgrade 'pip>=25.1' build
	touch $@

# Compiled once: the sdist is made of the tree, the wheel of the sdist. The log has the rest.
$(VENV)/.wheel: $(VENV)/.created $(PACKAGED)
	@echo "building the sdist and the wheel; log: $(VENV)/build.log"
	@rm -rf $(VENV)/dist
	@$(PY) -m build --outdir $(VENV)/dist . 2>&1 | tee $(VENV)/build.log \
		| grep --line-buffered -E '^(\* |\[|Success)|[Ee]rror' || { tail -n 40 $(VENV)/build.log; exit 1; }
	$(PY) -m pip uninstall --quiet --yes fastws-asgi
	$(PY) -m pip install --quiet "$$(ls $(VENV)/dist/*.whl)[$(EXTRAS)]"
	touch $@

# In place, for work in between: `python -m benchmarks` and the like find it by where they run.
$(BUILT): $(VENV)/.created $(SOURCES)
	$(PY) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' \
		| $(PY) -m pip install --quiet --requirement /dev/stdin
	$(PY) setup.py --quiet build_ext --inplace
	touch $@

$(VENV)/.test: $(VENV)/.created pyproject.toml .ci/packages
	.ci/packages test $(PYTHON)
	$(PY) -m pip install --quiet --group test
	mkdir -p build/node
	npm install --silent --prefix build/node ws@8 || echo "no npm: tests with Node will skip" >&2
	touch $@

$(VENV)/.load: $(VENV)/.wheel pyproject.toml
	$(PY) -m pip install --quiet --group load
	touch $@

# A peer that cannot be installed here costs its rows, which say so.
$(VENV)/.bench: $(VENV)/.wheel pyproject.toml
	$(PY) -m pip install --quiet --group bench || \
		$(PY) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"]["bench"], sep="\n")' \
		| xargs -d '\n' -n 1 $(PY) -m pip install --quiet || \
		echo "not all peers could be installed" >&2
	touch $@

$(VENV)/.gate: $(VENV)/.created .ci/packages
	.ci/packages gate $(PYTHON)
	touch $@

$(VENV)/.lint: $(VENV)/.created pyproject.toml
	$(PY) -m pip install --quiet --group lint
	touch $@

$(VENV)/.dist: $(VENV)/.created pyproject.toml
	$(PY) -m pip install --quiet --group dist
	touch $@
