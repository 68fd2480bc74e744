#!/usr/bin/env bash
# Puts Autobahn's test suite, which runs on CPython 2.7 only, into a folder: install.sh build/wstest.
#
# CPython 2.7 is $PYTHON27, or pyenv's newest, or python2.7 on PATH. Without one there is nothing
# to install, because Debian 12 no longer has a package for it: an error with CI=true only.
set -euo pipefail
wstest=$1

SUITE=autobahntestsuite==25.10.1
# The last versions that run on CPython 2.7 and work with each other.
PINS="autobahn==0.10.9 Twisted==19.10.0 cryptography==3.3.2 pyOpenSSL==19.1.0 cffi==1.15.1
  MarkupSafe==1.1.1"
# Compiled masking and UTF-8 validation for the suite's side, without which it takes four times as
# long. The verdict is the same, so a machine that cannot build it does without.
SPEED=wsaccel==0.6.6

python27() {
  if [ -n "${PYTHON27:-}" ]; then
    echo "$PYTHON27"
    return
  fi
  local found
  found=$(ls -d "$HOME"/.pyenv/versions/2.7*/bin/python 2>/dev/null | sort -V | tail -n 1) || true
  echo "${found:-$(command -v python2.7 || true)}"
}

wanted="$SUITE $PINS $SPEED"
if [ -x $wstest/bin/wstest ] && [ "$(cat $wstest/pins 2>/dev/null)" = "$wanted" ]; then
  exit 0
fi

python=$(python27)
if [ -z "$python" ]; then
  echo "autobahn: skipped: no CPython 2.7 (set PYTHON27 to one)" >&2
  [ "${CI:-}" != true ]
  exit
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (2, 7))'; then
  echo "autobahn: $python is not CPython 2.7" >&2
  exit 1
fi

rm -rf "$wstest" "$wstest-boot"
mkdir -p "$wstest"
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_PYTHON_VERSION_WARNING=1
"$python" -m pip install --quiet --target "$wstest-boot" virtualenv==20.15.1
PYTHONPATH="$wstest-boot" "$python" -m virtualenv --quiet --no-download "$wstest"
# shellcheck disable=SC2086  # the pins are words
$wstest/bin/pip install --quiet --only-binary=cryptography,markupsafe,cffi $SUITE $PINS
$wstest/bin/pip install --quiet "$SPEED" ||
  echo "autobahn: no wsaccel (no C compiler, or no Python.h of 2.7?): the suite will be slow" >&2
$wstest/bin/wstest --help >/dev/null
echo "$wanted" >$wstest/pins  # last: a broken installation is not taken for a finished one
