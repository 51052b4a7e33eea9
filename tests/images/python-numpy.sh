#!/usr/bin/env bash
# Builds an OCI image with Python, numpy and analysis.py out of Debian packages, without Docker.
#
#   python-numpy.sh OUTDIR
#
# The image is the OCI layout OUTDIR/layout. What stands in OUTDIR from an earlier run with the same scripts is used
# again: the root file system, and the layout too if the same pox packed it. Needs mmdebstrap and root (or an account
# that may map user ids), and a `pox` on the PATH or named by POX.
set -euo pipefail

[ $# = 1 ] || { echo "usage: $0 OUTDIR" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
pox=$(command -v "${POX:-pox}") || { echo "error: there is no pox; name it with POX" >&2; exit 2; }

# Files that packages write while they are installed get this time; the packages' own files have theirs.
export SOURCE_DATE_EPOCH=1700000000

main() {
  exec 9>"$out/lock"
  flock 9
  local recipe
  recipe=$(sha256sum < "$here/python-numpy.sh")
  if [ "$(cat "$out/rootfs.made" 2>/dev/null)" != "$recipe" ]; then
    rm -rf "$out/rootfs" "$out/rootfs.made"
    rootfs
    echo "$recipe" > "$out/rootfs.made"
  fi
  recipe=$(cat "$here/python-numpy.sh" "$here/analysis.py" "$pox" | sha256sum)
  if [ "$(cat "$out/layout.made" 2>/dev/null)" != "$recipe" ]; then
    rm -rf "$out/layout" "$out/layout.made"
    layout
    echo "$recipe" > "$out/layout.made"
  fi
}

# Debian's python3 and numpy with what they need, without apt, documentation, caches and logs.
rootfs() {
  local suite sources
  # shellcheck source=/dev/null
  suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
  for sources in /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list; do
    [ ! -s "$sources" ] || break
  done
  # The reference BLAS has one thread and one code path. Images have no file times, so compiled modules must not
  # depend on them: the interpreter would compile everything anew at each start.
  mmdebstrap --quiet --variant=essential --format=directory --include=python3-numpy,libblas3,liblapack3 \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/info/*' \
    --customize-hook='find "$1/usr/lib/python3" -name tests -prune -exec rm -rf {} +' \
    --customize-hook='find "$1/usr/lib" -name __pycache__ -prune -exec rm -rf {} +' \
    --customize-hook='chroot "$1" sh -c "python3 -m compileall -q --invalidation-mode unchecked-hash /usr/lib/python3*"' \
    --customize-hook='cd "$1" && rm -rf var/log/* var/cache/* var/lib/apt var/lib/dpkg etc/machine-id etc/hostname etc/resolv.conf' \
    "$suite" "$out/rootfs" "$sources"
}

layout() {
  mkdir -p "$out/rootfs/task" "$out/rootfs/in" "$out/rootfs/out"
  install -m 644 "$here/analysis.py" "$out/rootfs/task/analysis.py"
  "$pox" --quiet image pack "$out/rootfs" "oci:$out/layout" \
    --entrypoint /usr/bin/python3 --entrypoint /task/analysis.py
}

main
