#!/usr/bin/env bash
# What goes into the enclave and out of it, how fast, and how much memory that takes: `benches/enclave.sh [MIB]`, 512 if left out.
# Run it on a quiet machine. For each of an input, results and an image of so many MiB that can't be compressed, prints the time, and the
# peaks of the runtime's own memory and of all memory file systems, which hold what is opened, written or unpacked.
#
# POX  the programs to measure side by side, separated by spaces; the release build if unset
# RUNS  how often each is measured; medians are printed; 3 if unset
set -euo pipefail
cd "$(dirname "$0")/.."
. benches/world.sh

mib=${1:-512}

main() {
  local programs=${POX:-} of
  POX=${programs%% *} begin 18545
  [ -n "$programs" ] || programs=$pox
  prepare
  for run in $(seq "${RUNS:-3}"); do
    for pox in $programs; do
      echo "$(basename "$pox") $run" >&2
      for task in input results image; do measure "$task"; done
    done
  done
  printf '%-24s %-8s %12s %12s %20s %16s\n' program task 's' 'MB/s' 'runtime peak MiB' 'in memory MiB'
  for pox in $programs; do
    for task in input results image; do
      of=$(basename "$pox").$task
      printf '%-24s %-8s %12s %12s %20s %16s\n' "$(basename "$pox")" "$task" "$(median "$of.time")" \
        "$(awk -v mib="$mib" -v time="$(median "$of.time")" 'BEGIN { printf "%.0f", mib * 1.048576 / time }')" \
        "$(median "$of.peak")" "$(median "$of.shared")"
    done
  done
}

prepare() {
  mkdir data full
  head --bytes="${mib}M" /dev/urandom > data/ballast
  cp data/ballast full/
  "$pox" seal data --to sealed > /dev/null 2>&1
  program nothing <<< 'int main(void) { return 0; }'
  # So many MiB that differ everywhere, at the speed of the memory.
  program writes << 'C'
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
static unsigned long block[1 << 17];
int main(int count, char **words) {
  unsigned long state = 88172645463325252;
  int out = open("/out/data", O_CREAT | O_WRONLY, 0644);
  for (int left = atoi(words[1]); left > 0; left--) {
    for (int at = 0; at < 1 << 17; at++) {
      state ^= state << 13, state ^= state >> 7, state ^= state << 17;
      block[at] = state;
    }
    if (write(out, block, sizeof block) != sizeof block) return 1;
  }
  return 0;
}
C
  cp nothing full/
  "$pox" image pack nothing oci:nothing-image > /dev/null 2>&1
  "$pox" image pack writes oci:writes-image > /dev/null 2>&1
  "$pox" image pack full oci:full-image --entrypoint /nothing > /dev/null 2>&1
  task input 'image: oci:nothing-image' 'inputs: {data: sealed}'
  task results 'image: oci:writes-image' "args: [/writes, '$mib']"
  task image 'image: oci:full-image'
}

# task NAME LINE…: a task file.
task() {
  printf '%s\n' "${@:2}" "results: results-$1" 'kinds: [simulated]' "$accept_missing" \
    "resources: {cpus: 1, memory: 256MiB, disk: $((mib + 64))MiB, time: 600s}" > "$1.yaml"
}

measure() {
  local name=$1 of node before
  of=$(basename "$pox").$name
  rm -rf processor/node processor/*.redb
  processor --time 30m --disk "$((mib + 64))MiB"
  node=${children[-1]}
  before=$(shared)
  watch > samples & local watcher=$!
  rm -rf out
  "$pox" run "$name.yaml" --to out --proof out.pox --json > run.json 2> run.log || cat run.log node.log >&2
  kill "$watcher" "$node"
  wait "$watcher" "$node" 2> /dev/null || true
  # From one step's line in the log to the next one's.
  local from to
  case $name in
    input) from='opens the inputs' to='task runs' ;;
    results) from='delivers the results' to=.  ;;
    image) from='checks the image' to='opens the inputs' ;;
  esac
  awk -v from="$from" -v to="$to" '$0 ~ from && !begin { begin = $1 } $0 ~ to && begin && !end && $1 > begin { end = $1; printf "%.2f\n", end - begin }' node.log >> "$of.time"
  awk '$1 == "own" && $2 > most { most = $2 } END { print most + 0 }' samples >> "$of.peak"
  awk -v before="$before" '$1 == "shared" && $2 - before > most { most = $2 - before } END { print most + 0 }' samples >> "$of.shared"
}

# MiB in memory file systems, of whoever.
shared() { awk '/^Shmem:/ { print int($2 / 1024) }' /proc/meminfo; }

# The peak of every runtime that there is, and all memory file systems, again and again.
watch() {
  while sleep 0.05; do
    echo "shared $(shared)"
    for process in $(pgrep -f "^$folder/processor/node/pox-enclave-" || true); do
      awk '/^VmHWM/ { print "own", int($2 / 1024) }' "/proc/$process/status" 2> /dev/null || true
    done
  done
}

main
