#!/usr/bin/env bash
# Kills sealing and opening at random moments: `crates/pox-seal/tests/crash.sh [KILLS]`, 400 if left out. Prints what
# happened; the last result is in crash.txt beside this file.
set -euo pipefail
cd "$(dirname "$0")/../../.."

kills=${1:-400}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
CRASH_KILLS=$kills cargo test -p pox-seal --locked --test crash -- --exact killed_sealing_and_opening_end_right --nocapture | tee "$log"
{
  date --utc +%F
  grep ' kills: ' "$log"
} > crates/pox-seal/tests/crash.txt
