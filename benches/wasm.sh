#!/usr/bin/env bash
# How long verification takes natively and as WebAssembly under node 20: each kind of evidence, and whole proofs.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"

[ -d "$(rustc --print sysroot)/lib/rustlib/wasm32-unknown-unknown/lib" ] || rustup target add wasm32-unknown-unknown
cases=$(mktemp -d)
trap 'rm -r "$cases"' EXIT
cargo build --release --locked --manifest-path benches/wasm/Cargo.toml --target wasm32-unknown-unknown
cargo run --quiet --release --locked --package pox-verify --example verification_times -- "$cases"
node benches/wasm.mjs "$CARGO_TARGET_DIR/wasm32-unknown-unknown/release/verify_wasm.wasm" "$cases"
