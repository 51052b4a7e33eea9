#!/usr/bin/env bash
# Events a second from logs in memory into an index, both databases: `benches/index.sh [EVENTS]`, 300,000 if left out.
# Run it on a quiet machine. Each event is decoded, checked and derived as in use; the build is not in the time.
set -euo pipefail
cd "$(dirname "$0")/.."
POX_BENCH_EVENTS=${1:-300000} POX_BENCH_POSTGRES=1 cargo bench --locked --quiet --package pox-index --bench rate
