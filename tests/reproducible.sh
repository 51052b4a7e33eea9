#!/usr/bin/env bash
# Shows that the measured runtime comes out the same wherever it is built: `tests/reproducible.sh [PROGRAM]`.
#
# Builds pox-enclave from a copy of this checkout in another folder, with another home for cargo, another user's environment and
# another number of jobs, and compares SHA-256 with PROGRAM; without PROGRAM, with a second such build. docs/reproducible.md
# says what has to be equal for it. The flags are those of crates/pox/build.rs.
set -euo pipefail
cd "$(dirname "$0")/.."

target=$(rustc -vV | sed -n 's/^host: //p')
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

main() {
  local first=${1:-}
  if [ -z "$first" ]; then
    build "$scratch/a" 2 > /dev/null
    first=$(program "$scratch/a")
  fi
  build "$scratch/another/folder" 1 > /dev/null
  local second
  second=$(program "$scratch/another/folder")
  sha256sum "$first" "$second"
  cmp "$first" "$second" || { echo 'error: the builds differ' >&2; exit 1; }
}

# Copies what git tracks, as it stands here, and builds it there.
build() {
  local folder=$1 jobs=$2 home=$1/cargo-home
  mkdir -p "$folder/pox" "$home"
  git ls-files -z | tar --create --null --files-from=- | tar --extract --directory="$folder/pox"
  # The same downloads under another name: it is names that get into programs.
  local real=${CARGO_HOME:-$HOME/.cargo}
  mkdir -p "$real/registry"
  ln -s "$(realpath "$real/registry")" "$home/registry"
  if [ -f "$real/config.toml" ]; then cp "$real/config.toml" "$home/"; fi
  (
    cd "$folder/pox"
    unset CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_TARGET RUSTC_WRAPPER RUSTC_WORKSPACE_WRAPPER
    export CARGO_HOME=$home CARGO_INCREMENTAL=0 TZ=Pacific/Kiritimati LC_ALL=C USER=somebody
    cargo fetch --locked --target "$target"
    flags="-C target-feature=+crt-static --remap-path-prefix=$PWD=/pox"
    for sources in "$home"/registry/src/*; do
      flags+=" --remap-path-prefix=$sources=/pox/registry"
    done
    RUSTFLAGS=$flags cargo build --release --locked --package pox-enclave --target "$target" \
      --target-dir "$PWD/target" --jobs "$jobs"
  )
}

program() {
  echo "$1/pox/target/$target/release/pox-enclave"
}

main "$@"
