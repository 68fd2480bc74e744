#!/usr/bin/env bash
# Fuzzes the codec, guided by coverage: run.sh [SECONDS for each target].
# SANITIZER=undefined looks for undefined behaviour instead of for wrong addresses.
set -euo pipefail
cd "$(dirname "$0")/../.."

seconds=${1:-60}
sanitizer=${SANITIZER:-address}
python=${PYTHON:-python}
build=build/fuzz-$sanitizer

if ! command -v clang-14 > /dev/null; then
  if [ "$(id -u)" -ne 0 ] || ! command -v apt-get > /dev/null; then
    echo "fuzzing needs clang-14: apt-get install clang-14 libclang-rt-14-dev" >&2
    exit 1
  fi
  apt-get update -qq
  apt-get install -y -qq clang-14 libclang-rt-14-dev > /dev/null
fi
"$python" -c 'import atheris' 2> /dev/null || "$python" -m pip install --quiet 'atheris>=3'

# A copy, since these builds are of no use to anyone else.
rm -rf "$build/tests"
mkdir -p "$build"
git ls-files --cached --others --exclude-standard -z | xargs -0 cp --parents -ut "$build"
cd "$build"
export PYTHONPATH=$PWD
CC=clang-14 LDSHARED="clang-14 -shared" \
  CFLAGS="-g -O1 -fno-omit-frame-pointer -fsanitize=$sanitizer,fuzzer-no-link" \
  "$python" setup.py --quiet build_ext --inplace
if ! nm -D fastws/wire/*.so | grep -E 'asan|ubsan|sanitizer_cov' > /dev/null; then
  echo "the build is not instrumented" >&2
  exit 1
fi

runtimes=$("$python" -c 'import atheris; print(atheris.path())')
case $sanitizer in
  address) runtime=$runtimes/asan_with_fuzzer.so ;;
  undefined) runtime=$runtimes/ubsan_with_fuzzer.so ;;
esac
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 UBSAN_OPTIONS=halt_on_error=1

status=0
for target in connection handshake; do
  echo "== $target, $seconds s; to run an input again:"
  echo "cd $PWD && PYTHONPATH=. PYTHONMALLOC=malloc LD_PRELOAD=$runtime" \
    "$python -m tests.fuzz.fuzz_$target FILE"
  mkdir -p "found/$target"
  LD_PRELOAD=$runtime PYTHONMALLOC=malloc "$python" -m "tests.fuzz.fuzz_$target" \
    "found/$target" "tests/fuzz/corpus/$target" -dict=tests/fuzz/ws.dict -artifact_prefix=found/ \
    -max_len=8192 -timeout=5 -rss_limit_mb=2048 -detect_leaks=0 -print_final_stats=1 \
    -max_total_time="$seconds" || status=$?
done
exit "$status"
