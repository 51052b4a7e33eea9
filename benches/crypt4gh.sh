#!/usr/bin/env bash
# Crypt4GH beside the tools of those who made the format, in one go: `benches/crypt4gh.sh`; the tables go to standard output.
# Needs Linux, python3, and `crypt4gh` and `crypt4gh-keygen` from PyPI (`pip install crypt4gh`) in PATH or POX_BENCH_TOOLS. The
# Rust tool (`cargo install crypt4gh`) is compared too if POX_BENCH_TOOLS has it as `crypt4gh-rs`.
#
# POX_BENCH_MIB     size of the file, 1024
# POX_BENCH_ROUNDS  rounds, interleaved; medians are shown, and medians of the ratios within a round; 5
# POX_BENCH_TMPFS   a folder on tmpfs, /dev/shm
set -euo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-$PWD/target}
cargo build --quiet --release --locked -p pox-seal --example crypt4gh
export PATH="${POX_BENCH_TOOLS:-/nonexistent}:$PATH"
export OURS=$target/release/examples/crypt4gh MIB=${POX_BENCH_MIB:-1024} ROUNDS=${POX_BENCH_ROUNDS:-5}
folder=$(mktemp -d "${POX_BENCH_TMPFS:-/dev/shm}/pox-bench-XXXXXX")
trap 'rm -rf "$folder"' EXIT
export FOLDER=$folder
crypt4gh-keygen --nocrypt -f --sk "$folder/key.sec" --pk "$folder/key.pub" > "$folder/said" 2>&1
head -c "$((MIB * 1048576))" /dev/urandom > "$folder/plain"
python3 - << 'PYTHON'
import os, shutil, statistics, subprocess, time

folder, rounds, size = os.environ["FOLDER"], int(os.environ["ROUNDS"]), int(os.environ["MIB"]) << 20
key = f"{folder}/key"
tools = {
    "cp": (["cp", "{from}", "{to}"], ["cp", "{from}", "{to}"]),
    "ours, with BLAKE3 of the sealed file": (
        [os.environ["OURS"], "seal", key + ".pub", "{from}", "{to}"],
        [os.environ["OURS"], "open", key + ".sec", "{from}", "{to}"],
    ),
}
for name in ["crypt4gh", "crypt4gh-rs"]:
    if shutil.which(name):
        tools[name] = ([name, "encrypt", "--sk", key + ".sec", "--recipient_pk", key + ".pub"], [name, "decrypt", "--sk", key + ".sec"])
    else:
        print(f"{name} is not there, so not measured.")


def run(command, source, target):
    """Wall and processor time of a command that writes a new file."""
    if os.path.exists(target):
        os.unlink(target)
    named = any(part == "{to}" for part in command)
    command = [part.replace("{from}", source).replace("{to}", target) for part in command]
    streams = {} if named else {"stdin": open(source, "rb"), "stdout": open(target, "wb")}
    streams.setdefault("stdout", subprocess.DEVNULL)
    start = time.monotonic()
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, **streams)
    _, status, used = os.wait4(process.pid, 0)
    wall = time.monotonic() - start
    assert status == 0, command
    return wall, used.ru_utime + used.ru_stime, used.ru_maxrss


print(f"{os.cpu_count()} cores, {size >> 20} MiB on tmpfs, fresh pages, {rounds} rounds, load {os.getloadavg()[0]:.1f} at the start.")
plain, out = f"{folder}/plain", f"{folder}/out"
results = {(name, verb): [] for name in tools for verb in ["seal", "open"]}
for _ in range(rounds):
    for name, (seal, unseal) in tools.items():
        sealed = f"{folder}/sealed"
        results[name, "seal"].append(run(seal, plain, sealed))
        results[name, "open"].append(run(unseal, sealed, out))
        if name != "cp":
            assert subprocess.run(["cmp", "-s", plain, out]).returncode == 0, f"{name} opens to something else"
ours = "ours, with BLAKE3 of the sealed file"
for verb in ["seal", "open"]:
    print(f"\n| {verb} | GB/s | GB per core-second | ours is so many times as fast | peak MiB |\n|---|---|---|---|---|")
    for name in tools:
        wall, cpu = (statistics.median(run[part] for run in results[name, verb]) for part in (0, 1))
        ratio = statistics.median(a[0] / b[0] for a, b in zip(results[name, verb], results[ours, verb]))
        peak = max(run[2] for run in results[name, verb]) / 1024
        print(f"| {name} | {size / 1e9 / wall:.2f} | {size / 1e9 / cpu:.2f} | {ratio:.2f} | {peak:.0f} |")
PYTHON
