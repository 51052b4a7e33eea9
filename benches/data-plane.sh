#!/usr/bin/env bash
# Sealing and opening beside everything else that copies, hashes or encrypts files, in one go:
# `benches/data-plane.sh [OUTPUT]`; the table goes to benches/data-plane.md if OUTPUT is left out. Needs Linux, python3, and
# whatever of the other programs is to be compared; what isn't there is left out, and said so.
#
# POX_BENCH_MIB     size of the large file, 1024
# POX_BENCH_FILES   small files of the tree, 100000
# POX_BENCH_ROUNDS  rounds, interleaved; medians are shown; 5
# POX_BENCH_TMPFS   a folder on tmpfs, /dev/shm
# POX_BENCH_DISK    a folder on a disk, this checkout's target folder
# POX_BENCH_TOOLS   a folder with further programs (a newer age as `age-new`, rage, crypt4gh)
set -euo pipefail
cd "$(dirname "$0")/.."

output=${1:-benches/data-plane.md}
target=${CARGO_TARGET_DIR:-$PWD/target}
cargo build --release --locked -p pox-seal --example engine
export POX_BENCH_MIB=${POX_BENCH_MIB:-1024} POX_BENCH_FILES=${POX_BENCH_FILES:-100000}
export POX_BENCH_ROUNDS=${POX_BENCH_ROUNDS:-5} POX_BENCH_TMPFS=${POX_BENCH_TMPFS:-/dev/shm}
export POX_BENCH_DISK=${POX_BENCH_DISK:-$target} POX_BENCH_ENGINE=$target/release/examples/engine
PATH="${POX_BENCH_TOOLS:-/nonexistent}:$PATH" python3 benches/data-plane.py > "$output.new"
mv "$output.new" "$output"
cat "$output"
