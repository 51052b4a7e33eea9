#!/bin/sh
# Proves what proofs/*.sol say of the contract, and writes proofs/RESULT.md. Takes minutes, so check.sh only looks whether the
# result is of the committed bytecode. Needs node 20 or later and python3 with venv; halmos brings its solver.
set -eu
cd "$(dirname "$0")"
PATH="$PWD/node_modules/.bin:$PATH"

[ -f node_modules/.package-lock.json ] || npm ci --loglevel=error
if [ ! -x venv-proofs/bin/halmos ]; then
  python3 -m venv venv-proofs
  venv-proofs/bin/pip install --quiet --disable-pip-version-check --requirement proofs/requirements.txt
fi
node compile.mjs --check
exec node proofs/prove.mjs "$@"
