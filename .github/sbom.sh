#!/usr/bin/env bash
# Write the software bill of materials (CycloneDX) of a wheel with all its extras:
#
#     .github/sbom.sh WHEEL SBOM
#
# It lists what pip installs today. The compiled modules link against the system's zlib.
set -euo pipefail

wheel=$1 sbom=$2
venv=$(mktemp -d)
trap 'rm -rf "$venv"' EXIT
python3 -m venv "$venv/wheel"
python3 -m venv "$venv/tool"
"$venv/wheel/bin/python" -m pip install --quiet "${wheel}[jwt,metrics,redis,nats]"
"$venv/tool/bin/python" -m pip install --quiet 'cyclonedx-bom==7.5.0'
# The tool takes the version from pyproject.toml, where it is dynamic.
version=$("$venv/wheel/bin/python" -c 'from importlib.metadata import version as v; print(v("fastws-asgi"))')
sed "s/^dynamic = .*/version = \"$version\"/" pyproject.toml >"$venv/pyproject.toml"
# pip is not a part of the release.
"$venv/tool/bin/python" -m pip --python "$venv/wheel/bin/python" uninstall --quiet --yes pip
"$venv/tool/bin/cyclonedx-py" environment --pyproject "$venv/pyproject.toml" --mc-type library \
  --output-format JSON --output-reproducible --output-file "$sbom" "$venv/wheel/bin/python"
