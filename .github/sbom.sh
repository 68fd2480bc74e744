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
"$venv/wheel/bin/python" -m pip install --quiet "$wheel[jwt,metrics,redis,nats]"
"$venv/tool/bin/python" -m pip install --quiet 'cyclonedx-bom==7.5.0'
# pip is no part of what is released.
"$venv/tool/bin/python" -m pip --python "$venv/wheel/bin/python" uninstall --quiet --yes pip
"$venv/tool/bin/cyclonedx-py" environment --pyproject pyproject.toml --mc-type library \
  --output-format JSON --output-reproducible --output-file "$sbom" "$venv/wheel/bin/python"
