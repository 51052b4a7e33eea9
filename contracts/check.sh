#!/bin/sh
# Everything that holds of the contract: the committed bytecode is what the sources compile to, its tests, its gas.
# Needs node 20 or later, and a network only while the packages of package-lock.json are not installed yet.
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
