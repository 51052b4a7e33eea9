#!/bin/sh
# The differential campaign: random sequences of calls, most of them nearly right, run on the contract's bytecode and on
# pox-core's `Task::apply`, which have to agree call by call. Writes DIFFERENTIAL.md. The tests run a smaller number each time.
#
# usage: differential.sh [SEQUENCES]     (100,000)
set -eu
cd "$(dirname "$0")/.."
export POX_DIFFERENTIAL_SEQUENCES="${1:-100000}" POX_DIFFERENTIAL_RESULT="$PWD/contracts/DIFFERENTIAL.md"
exec cargo test --locked --package pox-core --test differential -- --nocapture
