#!/usr/bin/env bash
# Fuzzes every decoder for a while: `fuzz/run.sh [SECONDS]`, 60 for each target if left out. Needs a C++ compiler.
#
# FUZZ_JOBS     targets at once; one for each processor if unset
# FUZZ_TARGETS  names of the only targets to run
#
# The stable compiler has the coverage counters that the engine needs; the sanitizers that it lacks find faults of unsafe code,
# of which the decoders have none. Inputs that broke a promise are kept in fuzz/artifacts, and those that reached something new
# in fuzz/corpus, for the next run. `FUZZ_TARGET=<name> <program> <file>` runs one input again.
set -euo pipefail
cd "$(dirname "$0")"

seconds=${1:-60}
jobs=${FUZZ_JOBS:-$(nproc)}
host=$(rustc -vV | sed -n 's/^host: //p')
target_dir=${CARGO_TARGET_DIR:-$PWD/target}/fuzz
programs=$target_dir/$host/release
# Most memory of one run, mebibytes: what decodes a bounded input has no use for more.
memory=1024
# No single input may take so long, seconds.
patience=20

main() {
  build
  # Seeds are decoded in plain sight first: one that its target refuses to run fails here.
  rm -rf seeds
  local program name
  for program in records storage chains; do
    FUZZ_SEEDS=$PWD/seeds "$programs/$program"
  done
  local all=()
  for program in records storage chains; do
    for name in $("$programs/$program"); do
      if [[ " ${FUZZ_TARGETS:-$name} " == *" $name "* ]]; then all+=("$program $name"); fi
    done
  done
  [ ${#all[@]} -gt 0 ] || { echo "error: there is no such target" >&2; exit 2; }
  echo "${#all[@]} targets, $seconds s each, $jobs at once"
  export -f fuzz
  export seconds programs memory patience
  local failed=0
  printf '%s\n' "${all[@]}" | xargs -P "$jobs" -L 1 bash -c 'fuzz "$@"' fuzz || failed=1
  if [ $failed = 1 ]; then
    echo 'error: a decoder broke a promise; see above, and fuzz/artifacts' >&2
    exit 1
  fi
}

# The counters are cargo-fuzz's. `--target` keeps them out of build scripts and macros.
build() {
  local flags=(
    --cfg fuzzing
    -Cpasses=sancov-module
    -Cllvm-args=-sanitizer-coverage-level=4
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
    -Cllvm-args=-sanitizer-coverage-pc-table
    -Cllvm-args=-sanitizer-coverage-trace-compares
  )
  RUSTFLAGS="${flags[*]}" cargo build --release --locked --target "$host" --target-dir "$target_dir"
}

# Files of a run lie in memory if there is such a place: some targets make thousands a second.
fuzz() {
  local program=$1 name=$2 scratch log
  scratch=$(mktemp -d -p "$([ -w /dev/shm ] && echo /dev/shm || echo "${TMPDIR:-/tmp}")")
  mkdir -p "corpus/$name" "artifacts/$name"
  log=$scratch.log
  local status=0
  TMPDIR=$scratch FUZZ_TARGET=$name "$programs/$program" "corpus/$name" "seeds/$name" \
    -max_total_time="$seconds" -rss_limit_mb="$memory" -timeout="$patience" -artifact_prefix="artifacts/$name/" \
    -print_final_stats=1 -close_fd_mask=1 > "$log" 2>&1 || status=$?
  if [ $status = 0 ]; then
    printf '%-22s %10s runs\n' "$name" "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")"
    rmdir --ignore-fail-on-non-empty "artifacts/$name"
  else
    printf '%-22s failed\n' "$name"
    tail -n 60 "$log"
  fi
  rm -rf "$scratch" "$log"
  return $status
}

main
