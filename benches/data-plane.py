"""Runs what data-plane.sh compares, and prints the tables."""

import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MIB = int(os.environ["POX_BENCH_MIB"])
FILES = int(os.environ["POX_BENCH_FILES"])
ROUNDS = int(os.environ["POX_BENCH_ROUNDS"])
ENGINE = os.environ["POX_BENCH_ENGINE"]


class Run:
    """What one command took."""

    def __init__(self, wall, cpu, memory):
        self.wall, self.cpu, self.memory = wall, cpu, memory


def run(command, cores=None, stdin=None, stdout=None):
    """Runs a command (a list, or a text for bash) and measures all of its processes; the memory is the largest one's."""
    if isinstance(command, str):
        command = ["bash", "-c", "set -o pipefail; " + command]
    if cores:
        command = ["taskset", "-c", cores, *command]
    source = open(stdin, "rb") if stdin else subprocess.DEVNULL
    # Not cut: where a file is there already, it is overwritten.
    sink = os.open(stdout, os.O_WRONLY | os.O_CREAT, 0o600) if stdout else subprocess.DEVNULL
    start = time.monotonic()
    process = subprocess.Popen(command, stdin=source, stdout=sink, stderr=subprocess.PIPE)
    words = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    wall = time.monotonic() - start
    if sink != subprocess.DEVNULL:
        os.close(sink)
    if status != 0:
        raise RuntimeError(f"{command} failed: {words.decode(errors='replace')[-500:]}")
    return Run(wall, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)


def has(name):
    return shutil.which(name) is not None


def fill(path, mib):
    with open(path, "wb") as out:
        for _ in range(mib):
            out.write(os.urandom(1 << 20))


def plant(root, count):
    """Small files of 0 to 16 KiB, 200 in a folder."""
    noise = os.urandom(1 << 20)
    size = 0
    for number in range(count):
        folder = root / f"{number // 200:05}"
        if number % 200 == 0:
            folder.mkdir(parents=True)
        length = number * 7919 % 16384
        start = number * 104729 % (len(noise) - length)
        (folder / f"{number}.dat").write_bytes(noise[start : start + length])
        size += length
    return size


class Keys:
    def __init__(self, folder):
        self.identity = str(folder / "identity")
        self.recipient = subprocess.run(
            [ENGINE, "identity", self.identity], check=True, capture_output=True, text=True
        ).stdout.strip()
        self.phrase = folder / "phrase"
        self.phrase.write_text("a phrase for measurements\n")
        self.gpg = folder / "gnupg"
        self.gpg.mkdir(mode=0o700)
        self.crypt4gh = None
        if has("crypt4gh") and has("crypt4gh-keygen"):
            made = subprocess.run(
                ["crypt4gh-keygen", "--sk", folder / "c4gh.sec", "--pk", folder / "c4gh.pub", "--nocrypt", "-f"],
                capture_output=True,
            )
            if made.returncode == 0:
                self.crypt4gh = (str(folder / "c4gh.sec"), str(folder / "c4gh.pub"))


def sealers(keys):
    """Name, command to seal, command to open; all from standard input to standard output."""
    out = []
    for name in ["age-new", "age", "rage"]:
        if has(name):
            out.append((name, [name, "-r", keys.recipient], [name, "-d", "-i", keys.identity]))
    phrase = f"file:{keys.phrase}"
    cbc = ["openssl", "enc", "-aes-256-cbc", "-pbkdf2", "-pass", phrase]
    if has("openssl"):
        out.append(("openssl enc -aes-256-cbc -pbkdf2", cbc, [*cbc, "-d"]))
    gpg = ["gpg", "--homedir", str(keys.gpg), "--batch", "--quiet", "--pinentry-mode", "loopback"]
    gpg += ["--passphrase-file", str(keys.phrase)]
    if has("gpg"):
        out.append(("gpg -c -z 0", [*gpg, "-c", "-z", "0", "-o", "-"], [*gpg, "-d"]))
    if keys.crypt4gh:
        secret, public = keys.crypt4gh
        out.append(
            (
                "crypt4gh",
                ["crypt4gh", "encrypt", "--sk", secret, "--recipient_pk", public],
                ["crypt4gh", "decrypt", "--sk", secret],
            )
        )
    return out


class Table:
    """Medians over rounds of several things that take the same bytes."""

    def __init__(self, size):
        self.size, self.rows = size, {}

    def add(self, name, result):
        self.rows.setdefault(name, []).append(result)

    def median(self, name):
        return statistics.median(result.wall for result in self.rows[name]) if name in self.rows else None

    def ratio(self, name, other):
        """How many times as fast the one is, the median over rounds of the ratio within a round."""
        if name not in self.rows or other not in self.rows:
            return None
        pairs = zip(self.rows[name], self.rows[other])
        return statistics.median(other.wall / one.wall for one, other in pairs)

    def print(self, base):
        print(f"| what | GB/s | best | GB per core-second | of `{base}` | peak MiB |")
        print("|---|---|---|---|---|---|")
        for name, results in self.rows.items():
            gigabytes = self.size / 1e9
            wall = self.median(name)
            best = min(result.wall for result in results)
            cpu = statistics.median(result.cpu for result in results)
            memory = max(result.memory for result in results) / (1 << 20)
            share = self.ratio(name, base)
            print(
                f"| {name} | {gigabytes / wall:.2f} | {gigabytes / best:.2f} | {gigabytes / cpu:.2f}"
                f" | {100 * share:.0f} % | {memory:.0f} |"
            )
        print()


def large(folder, fresh, cores, keys):
    """One large file, sealed and opened, in one regime."""
    source, out = folder / "source", folder / "out"
    size = source.stat().st_size
    seal, unseal = Table(size), Table(size)
    made = {}
    for name in ["engine copy", "engine", *[name for name, _, _ in sealers(keys)]]:
        made[name] = folder / ("sealed-" + name.split()[0] + ("-copy" if name == "engine copy" else ""))

    def into(target, command, **more):
        if fresh and target.exists():
            target.unlink()
        return run(command, cores, **more)

    for _ in range(ROUNDS):
        seal.add("cp", into(out, ["cp", str(source), str(out)]))
        for label, work in [("engine: copy alone", "copy"), ("engine: copy, BLAKE3", "hash"),
                            ("engine: copy, cipher", "cipher"), ("engine: seal with BLAKE3 of the ciphertext", "both"),
                            ("engine: hash, seal, hash", "both-sides")]:
            seal.add(label, into(out, [ENGINE, "seal", work, str(source), str(out)]))
        seal.add("engine, portable: seal with BLAKE3", into(out, ["env", "POX_SEAL_PORTABLE=1", ENGINE, "seal", "both", str(source), str(out)]))
        seal.add("dd bs=4M conv=notrunc", into(out, ["dd", f"if={source}", f"of={out}", "bs=4M", "conv=notrunc"]))
        target = made["engine"]
        seal.add("an age file with its digest", into(target, [ENGINE, "seal-file", keys.identity, str(source), str(target)]))
        for name, command, _ in sealers(keys):
            target = made[name]
            seal.add(name, into(target, command, stdin=source, stdout=target))
        if has("age"):
            b3sum_age(seal, source, folder / "out", keys, cores, fresh)
        for name in ["sha256sum", "b3sum"]:
            if has(name):
                seal.add(name, run([name, str(source)], cores))

        run([ENGINE, "seal", "both", str(source), str(made["engine copy"])])
        for label, work in [("engine: copy alone", "copy"), ("engine: copy, BLAKE3", "hash"),
                            ("engine: copy, cipher", "cipher"), ("engine: open with verification", "both")]:
            unseal.add(label, into(out, [ENGINE, "open", work, str(made["engine copy"]), str(out)]))
        unseal.add("engine, portable: open with verification", into(out, ["env", "POX_SEAL_PORTABLE=1", ENGINE, "open", "both", str(made["engine copy"]), str(out)]))
        unseal.add("an age file with its digest", into(out, [ENGINE, "open-file", keys.identity, str(made["engine"]), str(out)]))
        for name, _, command in sealers(keys):
            unseal.add(name, into(out, command, stdin=made[name], stdout=out))
    for path in [out, *made.values()]:
        path.unlink(missing_ok=True)
    return seal, unseal


def b3sum_age(table, source, out, keys, cores, fresh):
    """Hash, encrypt, hash: by three programs, and in one pass (a whole dataset, synced)."""
    if not has("b3sum"):
        return
    newest = "age-new" if has("age-new") else "age"
    if fresh and out.exists():
        out.unlink()
    script = f"b3sum {source} && {newest} -r {keys.recipient} < {source} 1<> {out} && b3sum {out}"
    table.add(f"b3sum, {newest}, b3sum", run(script, cores))
    dataset = out.with_name("dataset")
    shutil.rmtree(dataset, ignore_errors=True)
    table.add("whole dataset, synced: hash, seal, hash", run([ENGINE, "seal-dataset", keys.identity, str(source), str(dataset)], cores))
    opened = out.with_name("opened")
    shutil.rmtree(opened, ignore_errors=True)
    table.add("whole dataset, synced: hash, open, hash", run([ENGINE, "open-dataset", keys.identity, str(dataset), str(opened)], cores))
    shutil.rmtree(dataset)
    shutil.rmtree(opened)


def tree(folder, keys):
    """Many small files."""
    root = folder / "tree"
    size = plant(root, FILES)
    newest = "age-new" if has("age-new") else "age"
    seal, unseal = Table(size), Table(size)
    dataset, opened, sealed, untarred = folder / "dataset", folder / "opened", folder / "sealed", folder / "untarred"
    rounds = max(1, min(3, ROUNDS))
    for _ in range(rounds):
        for path in [dataset, opened, untarred]:
            shutil.rmtree(path, ignore_errors=True)
        untarred.mkdir()
        if has(newest):
            seal.add(f"tar, {newest}", run(f"tar -C {root} -cf - . | {newest} -r {keys.recipient} > {sealed}"))
        seal.add("whole dataset", run([ENGINE, "seal-dataset", keys.identity, str(root), str(dataset)]))
        if has(newest):
            unseal.add(f"{newest}, tar", run(f"{newest} -d -i {keys.identity} < {sealed} | tar -C {untarred} -xf -"))
        unseal.add("whole dataset", run([ENGINE, "open-dataset", keys.identity, str(dataset), str(opened)]))
    for path in [root, dataset, opened, untarred]:
        shutil.rmtree(path, ignore_errors=True)
    sealed.unlink(missing_ok=True)
    return size, seal, unseal, newest


def bar(text, value, bound):
    if value is None:
        print(f"| {text} | {bound} | not measured |")
    else:
        print(f"| {text} | {bound} | {value:.2f} |")


def main():
    # So that what lies on tmpfs goes when this is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    places = [("tmpfs, fresh pages", Path(os.environ["POX_BENCH_TMPFS"]), True),
              ("disk, all in the page cache, overwritten", Path(os.environ["POX_BENCH_DISK"]), False)]
    load = os.getloadavg()[0]
    primitive = subprocess.run([ENGINE, "primitive"], capture_output=True, text=True, check=True).stdout.strip()
    print("# The data plane, measured\n")
    print(f"By `benches/data-plane.sh` on {time.strftime('%Y-%m-%d', time.gmtime())}: {os.cpu_count()} cores, a file of {MIB} MiB,"
          f" {ROUNDS} rounds, load {load:.1f} at the start. {primitive}.")
    missing = [name for name in ["age-new", "age", "rage", "openssl", "gpg", "crypt4gh", "sha256sum", "b3sum"] if not has(name)]
    if missing:
        print("Not there, so not measured: " + ", ".join(missing) + ".")
    print()
    bars = []
    for regime, place, fresh in places:
        with tempfile.TemporaryDirectory(prefix="pox-bench-", dir=place) as folder:
            folder = Path(folder)
            keys = Keys(folder)
            fill(folder / "source", MIB)
            for cores, threads in [("0", 1), (None, os.cpu_count())]:
                seal, unseal = large(folder, fresh, cores, keys)
                print(f"## {regime}, {threads} thread{'s' if threads > 1 else ''}: sealing\n")
                seal.print("engine: copy alone")
                print(f"## {regime}, {threads} thread{'s' if threads > 1 else ''}: opening\n")
                unseal.print("engine: copy alone")
                bars.append((regime, fresh, threads, seal, unseal))
    with tempfile.TemporaryDirectory(prefix="pox-bench-", dir=places[0][1]) as folder:
        keys = Keys(Path(folder))
        size, seal, unseal, newest = tree(Path(folder), keys)
    print(f"## Tree of {FILES} small files, {size / 1e6:.0f} MB, on tmpfs: sealing\n")
    seal.print("whole dataset")
    print("## The same: opening\n")
    unseal.print("whole dataset")

    print("## Ratios\n\n| what | at least | measured |\n|---|---|---|")
    for regime, fresh, threads, sealing, opening in bars:
        if threads == 1:
            continue
        where = f"{regime}: "
        both = "engine: seal with BLAKE3 of the ciphertext"
        bar(where + "seal, of copy", sealing.ratio(both, "engine: copy alone"), 0.85 if fresh else 0.48)
        bar(where + "seal, of dd", sealing.ratio(both, "dd bs=4M conv=notrunc"), 0)
        bar(where + "seal, of the portable engine", sealing.ratio(both, "engine, portable: seal with BLAKE3"), 1)
        opened = "engine: open with verification"
        bar(where + "open, of the portable engine", opening.ratio(opened, "engine, portable: open with verification"), 1)
        bar(where + "open, of copy", opening.ratio(opened, "engine: copy alone"), 0.70 if fresh else 0.34)
        for other, bound in [("age-new", 1.6), ("age", 1.6), ("rage", 2), ("openssl enc -aes-256-cbc -pbkdf2", 3)]:
            bar(where + f"seal, of {other}", sealing.ratio(both, other), bound)
            bar(where + f"open, of {other}", opening.ratio(opened, other), bound)
        passes = next((name for name in sealing.rows if name.startswith("b3sum, ")), None)
        bar(where + "hash, seal, hash, of b3sum, age, b3sum",
            sealing.ratio("engine: hash, seal, hash", passes) if passes else None, 2)
    bar("tree, of tar and age", seal.ratio("whole dataset", f"tar, {newest}"), 3)
    bar("opened tree, of age and tar", unseal.ratio("whole dataset", f"{newest}, tar"), 3)
    for regime, _, threads, sealing, opening in bars:
        memory = max(result.memory for table in [sealing, opening] for name, results in table.rows.items()
                     if name.startswith(("engine", "an age file", "whole")) for result in results)
        bar(f"{regime}, {threads} threads: peak MiB, at most", memory / (1 << 20), 64)
    for regime, fresh in [(place[0], place[2]) for place in places]:
        one, more = [entry[3] for entry in bars if entry[0] == regime]
        name = "engine: seal with BLAKE3 of the ciphertext"
        print(f"| {regime}: {os.cpu_count()} threads, of one | | {one.median(name) / more.median(name):.2f} |")


if __name__ == "__main__":
    sys.exit(main())
