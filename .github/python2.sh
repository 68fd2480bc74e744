#!/usr/bin/env bash
# Build CPython 2.7, which Autobahn's suite needs and no runner has.
set -euo pipefail

PYENV=bec9a562a59e48a730fe3320fe90c6999c82886c # v2.8.1

root=()
if [ "$(id -u)" != 0 ]; then
  root=(sudo -n)
fi
"${root[@]}" apt-get update --quiet
"${root[@]}" apt-get install --yes --no-install-recommends \
  build-essential curl libbz2-dev libffi-dev libreadline-dev libsqlite3-dev libssl-dev zlib1g-dev
git init --quiet ~/.pyenv
git -C ~/.pyenv fetch --quiet --depth 1 https://github.com/pyenv/pyenv "$PYENV"
git -C ~/.pyenv checkout --quiet FETCH_HEAD
~/.pyenv/bin/pyenv install 2.7.18
