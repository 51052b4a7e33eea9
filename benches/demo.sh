#!/usr/bin/env bash
# Wall time of the whole demonstration, size of its proof, and time to verify it: `benches/demo.sh [RUNS]`, 5 if left out.
# Run it on a quiet machine. The build is not in the time.
set -euo pipefail
cd "$(dirname "$0")/.."

runs=${1:-5}
# Verifying is a hundred times shorter than the demonstration.
verify_runs=50
target=${CARGO_TARGET_DIR:-target}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

main() {
  cargo build --release --locked --quiet --package pox
  local pox=$target/release/pox
  for _ in $(seq "$runs"); do
    rm -rf "$folder/kept"
    timed "$pox" demo --keep "$folder/kept" >> "$folder/demo"
  done
  local proof=$folder/kept/proof.pox
  for _ in $(seq "$verify_runs"); do
    timed "$pox" verify --json --require simulated "$proof" >> "$folder/verify"
  done
  for _ in $(seq "$verify_runs"); do
    timed "$pox" --version >> "$folder/start"
  done
  printf 'demo     %10s s, median of %s\n' "$(median "$folder/demo")" "$runs"
  printf 'verify   %10s s, median of %s, of which %s s are the start of the program\n' \
    "$(median "$folder/verify")" "$verify_runs" "$(median "$folder/start")"
  printf 'proof    %10s bytes\n' "$(stat --format=%s "$proof")"
}

# Prints how long a command takes, seconds; what the command prints shows only if it fails.
timed() {
  local from=$EPOCHREALTIME
  "$@" > "$folder/log" 2>&1 || { cat "$folder/log" >&2; return 1; }
  # The decimal sign is the locale's.
  echo $((${EPOCHREALTIME/[.,]/} - ${from/[.,]/})) | awk '{ printf "%.4f\n", $1 / 1e6 }'
}

median() {
  sort -n "$1" | awk '{ values[NR] = $1 } END { print values[int((NR + 1) / 2)] }'
}

main
