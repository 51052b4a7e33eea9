#!/usr/bin/env bash
# What a batch costs, from request to verified members: `benches/batch.sh [MEMBERS]`, 1000 if left out. Run it on a quiet machine.
# Prints, for members that do nothing, the time and gas of each; the size of a member's proof and of the list; and the time to verify.
#
# POX  the program to measure; the release build if unset
set -euo pipefail
cd "$(dirname "$0")/.."
. benches/world.sh

members=${1:-1000}

main() {
  begin 18546
  # A program that ends at once: what is left is the batch's own.
  program nothing <<< 'int main(void) { return 0; }'
  "$pox" image pack nothing oci:image > /dev/null 2>&1
  processor --time 2h
  one=$(runs one '')
  many=$(runs many "runs: $members")
  printf 'one run    %10s s from request to verified results, %s gas of prove\n' "$one" "$(gas one)"
  printf 'batch      %10s s for %s members, %s gas of proveMany: %s a member\n' "$many" "$members" "$(gas many)" \
    "$(awk -v gas="$(gas many)" -v members="$members" 'BEGIN { printf "%.1f", gas / members }')"
  python3 - "$members" << 'PYTHON'
import json, statistics, sys
members = json.load(open("many.json"))["members"]
assert len(members) == int(sys.argv[1]) and all(member["outcome"] == "completed" for member in members)
begun = [member["begun_micros"] / 1000 for member in members]
apart = sorted(later - one for one, later in zip(begun, begun[1:]))
wall = statistics.median(member["wall_micros"] / 1000 for member in members)
print(f"a member   {statistics.median(apart):10.1f} ms from one to the next, median ({wall:.1f} ms of them in the sandbox); "
      f"{apart[len(apart) * 9 // 10]:.1f} ms at the 90th of 100")
PYTHON
  task=$(python3 -c 'import json; print(json.load(open("many.json"))["task"])')
  "$pox" proof "$task" --member $((members / 2)) --open-args -o member.pox > /dev/null 2>&1
  printf 'proof      %10s bytes of a batch, %s with a member; the list has %s\n' \
    "$(stat --format=%s many.pox)" "$(stat --format=%s member.pox)" "$(stat --format=%s many/members.cbor)"
  for _ in $(seq 20); do timed "$pox" verify member.pox --require simulated --json; done > verify
  for _ in $(seq 20); do timed "$pox" --version; done > start
  printf 'verify     %10s s, median of 20, of which %s s are the start of the program\n' "$(median verify)" "$(median start)"
}

# Runs a task with these lines in its file, and prints how long that took.
runs() {
  printf 'image: oci:image\nresults: sealed-%s\nkinds: [simulated]\nresources: {cpus: 1, memory: 64MiB, disk: 1MiB, time: 1h}\n' "$1" > "$1.yaml"
  printf '%s\n%s\n' "$accept_missing" "$2" >> "$1.yaml"
  local from=$EPOCHREALTIME
  "$pox" run "$1.yaml" --to "$1" --proof "$1.pox" --json > "$1.json" 2> "$1.log" || { cat "$1.log" node.log >&2; exit 1; }
  echo $((${EPOCHREALTIME/[.,]/} - ${from/[.,]/})) | awk '{ printf "%.1f\n", $1 / 1e6 }'
}

# What the processor's last step cost.
gas() {
  awk -v many="$1" '/prove many/ && many == "many" { gas = $(NF - 1) } /^.*prove +0x/ && many == "one" { gas = $(NF - 1) } END { print gas }' node.log
}

timed() {
  local from=$EPOCHREALTIME
  "$@" > log 2>&1 || { cat log >&2; exit 1; }
  echo $((${EPOCHREALTIME/[.,]/} - ${from/[.,]/})) | awk '{ printf "%.4f\n", $1 / 1e6 }'
}

main
