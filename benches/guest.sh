#!/usr/bin/env bash
# The measured guest under software emulation: size of its files, seconds from launch to key evidence and to the receipt, memory.
# Needs qemu-system-x86, apt-get and dpkg-deb (the kernel is downloaded, not installed).
set -euo pipefail
cd "$(dirname "$0")/.."
export POX_APT_TOOLS=1

cargo test --quiet --package pox-node --test vm -- --ignored --nocapture --exact a_task_in_a_guest_ends_in_a_receipt_that_is_vouched_for 2>&1 |
  grep -E '^(kernel |ready |receipt |inside: )'
