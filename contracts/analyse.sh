#!/bin/sh
# Static analysis: what slither and solhint find is what analysis/TRIAGE.md says of them. Needs node 20 or later and python3 with
# venv; slither is installed where it is missing.
set -eu
cd "$(dirname "$0")"

if ! venv-analysis/bin/slither --version > /dev/null 2>&1; then
  python3 -m venv --clear venv-analysis
  venv-analysis/bin/pip install --quiet --disable-pip-version-check --requirement analysis/requirements.txt
fi
exec node analysis/analyse.mjs
