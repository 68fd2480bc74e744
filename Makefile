# `make` prints the targets. What has been installed or built leaves a stamp in the venv, so that
# nothing is done twice.

PYTHON ?= python3
VENV ?= .venv
HOST ?= 127.0.0.1
PORT ?= 8080
APP ?= fastws.examples.chat:app
SECONDS ?= 60
MINUTES ?= 10

PY := $(abspath $(VENV))/bin/python
BUILT := $(VENV)/.built
SOURCES := setup.py $(shell find fastws -name '*.pyx' -o -name '*.pxd' -o -name '*.h')
SANITIZE := address,undefined

export PATH := $(abspath $(VENV))/bin:$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## print this
	@echo "make TARGET [PYTHON=python3] [VENV=.venv]"
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 18 | sed 's/^/  /'

.PHONY: run
run: $(BUILT) ## serve the chat [HOST=127.0.0.1 PORT=8080 APP=module:app]
	$(PY) -m fastws.cli run $(APP) --host $(HOST) --port $(PORT)

.PHONY: test
test: $(BUILT) $(VENV)/.test build/node/.installed ## install what tests need, run them [ARGS=...]
	$(PY) -m pytest $(ARGS)

.PHONY: lint
lint: $(VENV)/.lint ## check style: ruff, cython-lint
	ruff check .
	ruff format --check .
	cython-lint fastws

.PHONY: types
types: $(BUILT) $(VENV)/.test $(VENV)/.lint ## check types: mypy, stubs against compiled modules
	mypy
	stubtest --ignore-missing-stub --ignore-disjoint-bases --allowlist tests/stubtest.txt \
		--ignore-unused-allowlist $(shell find fastws -name '*.pyi' | sed 's/\.pyi$$//; s|/|.|g' | sort)

.PHONY: format
format: $(VENV)/.lint ## put the code into shape
	ruff check --fix-only --quiet .
	ruff format .

.PHONY: build
build: $(BUILT) ## compile in place

.PHONY: autobahn
autobahn: $(BUILT) $(VENV)/.test ## RFC 6455 and 7692, case by case; needs CPython 2.7 [ARGS=...]
	bash tests/autobahn/install.sh
	$(PY) -m tests.autobahn $(or $(ARGS),--nginx --loop uvloop asyncio --cases 1-7,10)
	$(if $(ARGS),,$(PY) -m tests.autobahn --role server client --loop uvloop asyncio)

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
perf-gate: $(BUILT) $(VENV)/.gate ## no more instructions or system calls than the baseline has
	$(PY) -m benchmarks.gate

.PHONY: perf-baseline
perf-baseline: $(BUILT) $(VENV)/.gate ## count anew what perf-gate compares with
	$(PY) -m benchmarks.gate baseline

.PHONY: perf-gate-proof
perf-gate-proof: $(BUILT) $(VENV)/.gate $(VENV)/.test ## perf-gate holds ten times, and fails if it should [ARGS=...]
	$(PY) -m benchmarks.gate.proof $(ARGS)

# The first library in LD_PRELOAD has to be ASAN's; without PYTHONMALLOC it sees only arenas;
# without --capture=sys pytest would take its report into the grave. What malloc gives is filled,
# so that bytes that nobody has written are seen where they come out.
ASAN = LD_PRELOAD="$$(cc -print-file-name=libasan.so) $$(cc -print-file-name=libubsan.so)" \
	PYTHONMALLOC=malloc PYTHONPATH=. UBSAN_OPTIONS=print_stacktrace=1 ASAN_OPTIONS=$(ASAN_OPTIONS)
ASAN_OPTIONS := detect_leaks=0:allocator_may_return_null=1:max_malloc_fill_size=1048576:$\
	malloc_fill_byte=203

.PHONY: asan
asan: $(BUILT) $(VENV)/.test ## test what is compiled under ASAN and UBSAN, and by Autobahn [ARGS=...]
	rm -rf build/asan/tests
	mkdir -p build/asan/build
	git ls-files --cached --others --exclude-standard -z | xargs -0 cp --parents -ut build/asan
	cd build/asan && CFLAGS="-g -O1 -fno-omit-frame-pointer -fsanitize=$(SANITIZE) \
		-fno-sanitize-recover=undefined" LDFLAGS="-fsanitize=$(SANITIZE)" \
		$(PY) setup.py --quiet build_ext --inplace
	cd build/asan && $(ASAN) $(PY) -m pytest --capture=sys -p no:cacheprovider \
		$(or $(ARGS),tests/wire tests/aio tests/server tests/rooms tests/client tests/app)
ifndef ARGS
	bash tests/autobahn/install.sh
	ln -sfn ../../wstest build/asan/build/wstest
	cd build/asan && $(ASAN) $(PY) -m tests.autobahn --cases 1-7,10 --loop uvloop asyncio
endif

.PHONY: fuzz
fuzz: $(BUILT) $(VENV)/.test ## fuzz the codec, guided by coverage; needs clang-14 [SECONDS=60]
	bash tests/fuzz/run.sh $(SECONDS)

.PHONY: annotate
annotate: $(BUILT) ## show what Cython made of each line, in build/annotate
	cython --annotate --output-file build/annotate fastws

.PHONY: wheel
wheel: $(BUILT) ## build the sdist, and a wheel from it, in dist
	$(PY) -m pip install --quiet build
	$(PY) -m build

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
	touch $@

# fastws is importable in the venv from here, without being installed: that would compile it again.
$(VENV)/.installed: $(VENV)/.created pyproject.toml
	$(PY) .ci/requirements build project metrics | $(PY) -m pip install --quiet --requirement /dev/stdin
	pwd > $$($(PY) -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/fastws.pth
	touch $@

$(BUILT): $(VENV)/.installed $(SOURCES)
	$(PY) setup.py --quiet build_ext --inplace
	touch $@

$(VENV)/.test: $(VENV)/.installed pyproject.toml .ci/packages
	.ci/packages test $(PYTHON)
	$(PY) .ci/requirements project test load | $(PY) -m pip install --quiet --requirement /dev/stdin
	touch $@

$(VENV)/.load: $(VENV)/.installed pyproject.toml
	$(PY) .ci/requirements project load | $(PY) -m pip install --quiet --requirement /dev/stdin
	touch $@

# A peer that cannot be installed here costs its rows, which say so.
$(VENV)/.bench: $(VENV)/.installed pyproject.toml
	$(PY) .ci/requirements bench | $(PY) -m pip install --quiet --requirement /dev/stdin || \
		$(PY) .ci/requirements bench | xargs -d '\n' -n 1 $(PY) -m pip install --quiet || \
		echo "not all peers could be installed" >&2
	touch $@

$(VENV)/.gate: $(VENV)/.installed .ci/packages
	.ci/packages gate $(PYTHON)
	touch $@

$(VENV)/.lint: $(VENV)/.installed pyproject.toml
	$(PY) .ci/requirements project lint | $(PY) -m pip install --quiet --requirement /dev/stdin
	touch $@

build/node/.installed: $(VENV)/.test
	mkdir -p build/node
	npm install --silent --prefix build/node ws@8 || echo "no npm: tests with Node will skip" >&2
	touch $@
