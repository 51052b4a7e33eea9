#!/bin/sh
# Cold start of a task: bare, in our sandbox, in bwrap, in crun. Run it on a quiet machine.
# crun refuses a machine with both versions of control groups mounted, so the second one is put
# away, in a mount namespace of this script's own.
set -eu
cd "$(dirname "$0")/.."
cargo bench -p pox-enclave --bench sandbox --no-run
run='exec cargo bench -q -p pox-enclave --bench sandbox'
unified=/sys/fs/cgroup/unified
if [ "$(id -u)" = 0 ] && [ -d "$unified" ]; then
	exec unshare -m --propagation private sh -c "umount $unified; $run"
fi
sh -c "$run"
