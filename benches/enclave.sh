#!/usr/bin/env bash
# How fast an input gets from a folder through the host into the enclave, opened; and how much memory the runtime takes for it:
# `benches/enclave.sh [MIB]`, 1024 if left out. Run it on a quiet machine. Prints megabytes a second, and the runtime's peak and time.
#
# POX  the program to measure; the release build if unset
#
# The opened input is in a memory file system, which is not in the peak: that is the runtime's own memory.
set -euo pipefail
cd "$(dirname "$0")/.."

mib=${1:-1024}
target=${CARGO_TARGET_DIR:-$PWD/target}
folder=$(mktemp -d)
penguins=$target/enclave/$(rustc -vV | sed -n 's/^host: //p')/release/penguins
children=()

main() {
  pox=${POX:-}
  if [ -z "$pox" ]; then
    cargo build --release --locked --quiet --package pox
    pox=$target/release/pox
  fi
  export HOME=$folder POX_RPC=http://127.0.0.1:18545
  cd "$folder"
  "$pox" devnet --data chain --listen 127.0.0.1:18545 > /dev/null 2>&1 & children+=($!)
  until POX_HOME=nobody "$pox" offers > /dev/null 2>&1; do sleep 0.2; done
  for who in owner processor; do
    POX_HOME=$who "$pox" key new > /dev/null 2>&1
    POX_HOME=$who "$pox" fund > /dev/null 2>&1
  done
  mkdir data
  cp "$OLDPWD/examples/penguins/data/penguins.csv" data/
  head --bytes="${mib}M" /dev/urandom > data/ballast
  POX_HOME=$folder/owner "$pox" seal data --to sealed > /dev/null 2>&1
  POX_HOME=$folder/owner "$pox" image pack "$penguins" oci:image > /dev/null 2>&1
  cat > task.yaml << YAML
image: oci:image
inputs: {penguins: sealed}
results: results
kinds: [simulated]
resources: {cpus: 1, memory: 256MiB, disk: $((mib + 64))MiB, time: 600s}
accept_missing: [user-namespace, cgroup-namespace, other-user, landlock, memory-limit, cpu-limit, pids-limit]
YAML
  POX_HOME=$folder/processor "$pox" node --allow-dir "$folder" --time 30m --disk "$((mib + 64))MiB" 2> >(stamp > node.log) > /dev/null & children+=($!)
  until [ "$(POX_HOME=$folder/owner "$pox" offers --json 2> /dev/null)" != '[]' ]; do sleep 0.2; done
  watch > peak & children+=($!)
  POX_HOME=$folder/owner "$pox" run task.yaml --to out --json > run.json 2> run.log || cat run.log
  awk -v mib="$mib" '/opens the inputs/ { from = $1 } /task runs/ && from { printf "opened     %.0f MB/s: %s MiB in %.2f s\n", mib * 1.048576 / ($1 - from), mib, $1 - from }' node.log
  printf 'peak       %s MiB of the runtime itself\n' "$(sort -n peak | tail -1)"
  printf 'processor  %s s of the runtime, from its start to its end\n' "$(sort -n cpu | tail -1)"
  printf 'copy       %s, of the sealed file with cp to a memory file system\n' "$(copied)"
}

stamp() { while read -r line; do echo "$EPOCHREALTIME $line"; done; }

# The peak of every runtime that there is, again and again.
watch() {
  while sleep 0.1; do
    for process in $(pgrep -f "^$folder/processor/node/pox-enclave-" || true); do
      awk '/^VmHWM/ { print int($2 / 1024) }' "/proc/$process/status" 2> /dev/null || true
      awk '{ printf "%.2f\n", ($14 + $15) / 100 }' "/proc/$process/stat" 2> /dev/null >> cpu || true
    done
  done
}

copied() {
  local from=$EPOCHREALTIME
  cp sealed/data.age /dev/shm/pox-bench
  awk -v mib="$mib" -v from="$from" -v to="$EPOCHREALTIME" 'BEGIN { printf "%.0f MB/s", mib * 1.048576 / (to - from) }'
  rm /dev/shm/pox-bench
}

finish() {
  kill "${children[@]}" 2> /dev/null || true
  rm -rf "$folder"
}
trap finish EXIT

main
