#!/usr/bin/env bash
# Lines of code of each crate and of the contract, without blank lines, comments and tests: `benches/loc.sh`.
# Tests are the folders `tests` and `benches`, files named `tests.rs`, and `mod tests` at the end of a file.
set -euo pipefail
cd "$(dirname "$0")/.."

count() {
  awk '
    FNR == 1 { in_tests = 0; in_comment = 0 }
    /^#\[cfg\(test\)\]/ { held = 1; next }
    held && /^mod tests \{/ { in_tests = 1 }
    { held = 0 }
    in_tests { next }
    in_comment { if (/\*\//) in_comment = 0; next }
    /^[[:space:]]*\/\*/ { if (!/\*\//) in_comment = 1; next }
    /^[[:space:]]*(\/\/|$)/ { next }
    { lines++ }
    END { printf "%d\n", lines }
  ' "$@"
}

row() {
  printf '%7d  %s\n' "$1" "$2"
}

total=0
for crate in crates/* examples/*; do
  mapfile -t files < <(git ls-files -- "$crate/src/*.rs" "$crate/build.rs" | grep -v '/tests\.rs$')
  lines=$(count "${files[@]}")
  row "$lines" "$crate"
  total=$((total + lines))
done
row "$total" 'Rust in all'
mapfile -t files < <(git ls-files -- 'contracts/src/*.sol')
row "$(count "${files[@]}")" contracts/src
mapfile -t files < <(git ls-files -- '*/tests/*.rs' '*/tests.rs' '*/benches/*.rs' 'fuzz/*.rs' 'contracts/test/*.sol')
row "$(count "${files[@]}")" 'tests, benches and fuzz targets'
