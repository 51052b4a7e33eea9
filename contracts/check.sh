#!/bin/sh
# Everything that holds of the contract: the committed bytecode is what the sources compile to, its tests, its gas, and what static
# analysis finds; and that the results of what takes longer, prove.sh and differential.sh, are of this bytecode.
# Needs node 20 or later and python3 with venv, and a network only while their packages are not installed yet.
set -eu
cd "$(dirname "$0")"
PATH="$PWD/node_modules/.bin:$PATH"

if [ ! -f node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  npm ci --loglevel=error
  touch node_modules/.package-lock.json
fi
node compile.mjs --check
forge fmt --check
# Compiles and lints; warnings are errors.
forge build
node compile.mjs --same-as-forge
forge test
node gas.mjs --check
node gas-table.mjs --check
./analyse.sh
node results.mjs
