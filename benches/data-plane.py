"""Runs what data-plane.sh compares, and prints the tables."""

import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MIB = int(os.environ["POX_BENCH_MIB"])
FILES = int(os.environ["POX_BENCH_FILES"])
ROUNDS = int(os.environ["POX_BENCH_ROUNDS"])
LARGE = int(os.environ["POX_BENCH_LARGE"])
ENGINE = os.environ["POX_BENCH_ENGINE"]
POX = os.environ.get("POX_BENCH_POX")


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
    # Where a file is there already, it is overwritten, and cut only behind what was written: rage's headers differ in length.
    sink = os.open(stdout, os.O_WRONLY | os.O_CREAT, 0o600) if stdout else subprocess.DEVNULL
    start = time.monotonic()
    process = subprocess.Popen(command, stdin=source, stdout=sink, stderr=subprocess.PIPE)
    words = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    wall = time.monotonic() - start
    if sink != subprocess.DEVNULL:
        os.ftruncate(sink, os.lseek(sink, 0, os.SEEK_CUR))
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


def plant(root, count, most):
    """Small files of less than `most` bytes, 200 in a folder."""
    noise = os.urandom(1 << 20)
    size = 0
    for number in range(count):
        folder = root / f"{number // 200:05}"
        if number % 200 == 0:
            folder.mkdir(parents=True)
        length = number * 7919 % most
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
                f" | {'' if share is None else f'{100 * share:.0f} %'} | {memory:.0f} |"
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
        if newest_age():
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
    newest = newest_age()
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


def tree(folder, keys, most):
    """Many small files. Beside it what moving their bytes costs by itself, without any cryptography."""
    root = folder / "tree"
    size = plant(root, FILES, most)
    newest = newest_age()
    seal, unseal = Table(size), Table(size)
    dataset, opened, sealed, untarred = folder / "dataset", folder / "opened", folder / "sealed", folder / "untarred"

    def clear(*paths):
        for path in paths:
            shutil.rmtree(path, ignore_errors=True)

    for _ in range(min(3, ROUNDS)):
        clear(dataset, opened, untarred)
        sealed.unlink(missing_ok=True)
        seal.add("files read, one written, nothing else", run([ENGINE, "gather", str(root), str(sealed)]))
        sealed.unlink()
        unseal.add("files made, nothing else", run([ENGINE, "scatter", str(root), str(untarred)]))
        clear(untarred)
        seal.add("tar, cat", run(f"tar -C {root} -cf - . | cat > {sealed}"))
        untarred.mkdir()
        unseal.add("cat, tar", run(f"cat < {sealed} | tar -C {untarred} -xf -"))
        clear(untarred)
        sealed.unlink()
        if newest:
            seal.add(f"tar, {newest}", run(f"tar -C {root} -cf - . | {newest} -r {keys.recipient} > {sealed}"))
            untarred.mkdir()
            unseal.add(f"{newest}, tar", run(f"{newest} -d -i {keys.identity} < {sealed} | tar -C {untarred} -xf -"))
            clear(untarred)
        seal.add("whole dataset", run([ENGINE, "seal-dataset", keys.identity, str(root), str(dataset)]))
        unseal.add("whole dataset", run([ENGINE, "open-dataset", keys.identity, str(dataset), str(opened)]))
    clear(root, dataset, opened, untarred)
    sealed.unlink(missing_ok=True)
    return size, seal, unseal


def cold_tree(folder, keys, most):
    """The same from a disk that nothing was read of yet, as data of some age is; nothing if the caches can't be emptied."""
    caches, newest = Path("/proc/sys/vm/drop_caches"), newest_age()
    if not os.access(caches, os.W_OK):
        return None
    root, dataset, sealed = folder / "tree", folder / "dataset", folder / "sealed"
    size = plant(root, FILES, most)
    seal = Table(size)

    def cold(command, *made):
        os.sync()
        caches.write_text("3")
        result = run(command)
        for path in made:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        return result

    for _ in range(min(3, ROUNDS)):
        seal.add("tar, cat", cold(f"tar -C {root} -cf - . | cat > {sealed}; sync {sealed}", sealed))
        if newest:
            command = f"tar -C {root} -cf - . | {newest} -r {keys.recipient} > {sealed}; sync {sealed}"
            seal.add(f"tar, {newest}", cold(command, sealed))
        seal.add("whole dataset", cold([ENGINE, "seal-dataset", keys.identity, str(root), str(dataset)], dataset))
    return size, seal


def very_large(folder, keys):
    """A file that is larger than any buffer: once, for memory and rate."""
    source, sealed, out = folder / "source", folder / "sealed", folder / "out"
    fill(source, LARGE)
    table = Table(LARGE << 20)

    def into(target, name, command, **more):
        target.unlink(missing_ok=True)
        table.add(name, run(command, **more))

    into(sealed, "engine: copy alone", [ENGINE, "seal", "copy", str(source), str(sealed)])
    if newest_age():
        into(sealed, f"{newest_age()}: seal", [newest_age(), "-r", keys.recipient], stdin=source, stdout=sealed)
    into(sealed, "an age file with its digest: seal", [ENGINE, "seal-file", keys.identity, str(source), str(sealed)])
    into(out, "an age file with its digest: open", [ENGINE, "open-file", keys.identity, str(sealed), str(out)])
    if newest_age():
        into(out, f"{newest_age()}: open", [newest_age(), "-d", "-i", keys.identity], stdin=sealed, stdout=out)
    return table


def s3(folder, keys):
    """Through a server of S3 on this machine; with `pox`, and with age and rclone."""
    if not (POX and has("rclone")):
        return None
    source, out, rounds = folder / "source", folder / "out", min(3, ROUNDS)
    fill(source, min(MIB, 512))
    (folder / "bucket" / "bench").mkdir(parents=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {"HOME": str(folder), "POX_HOME": str(folder / "home"), "TMPDIR": str(folder), "AWS_ACCESS_KEY_ID": "bench",
                "AWS_SECRET_ACCESS_KEY": "measurement", "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
    os.environ.update(settings)
    remote = f":s3,provider=Other,env_auth=true,force_path_style=true,endpoint='http://127.0.0.1:{port}':bench"
    quiet = "rclone --config /dev/null --s3-no-check-bucket"
    server = subprocess.Popen(["rclone", "serve", "s3", "--config", "/dev/null", "--addr", f"127.0.0.1:{port}",
                               "--auth-key", "bench,measurement", str(folder / "bucket")],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    size = source.stat().st_size
    there, back = Table(size), Table(size)
    try:
        while subprocess.run(["bash", "-c", f": < /dev/tcp/127.0.0.1/{port}"], capture_output=True).returncode:
            time.sleep(0.1)
        run([POX, "key", "new"])
        for number in range(rounds):
            age = newest_age()
            there.add("rclone copyto", run(f'{quiet} copyto {source} "{remote}/plain"'))
            if age:
                there.add(f"{age}, rclone rcat", run(f'{age} -r {keys.recipient} < {source} | {quiet} rcat "{remote}/age"'))
            there.add("pox seal", run([POX, "seal", str(source), "--to", f"s3://bench/{number}"]))
            back.add("rclone copyto", run(f'{quiet} copyto "{remote}/plain" {out}'))
            if age:
                back.add(f"rclone cat, {age}", run(f'{quiet} cat "{remote}/age" | {age} -d -i {keys.identity} > {out}'))
            opened = folder / "opened"
            back.add("pox open", run([POX, "open", f"s3://bench/{number}", "--to", str(opened)]))
            shutil.rmtree(opened)
    finally:
        server.terminate()
        server.wait()
    return there, back


def newest_age():
    return next((name for name in ["age-new", "age"] if has(name)), None)


class Bars:
    """What was asked for, and what it came to."""

    def __init__(self):
        self.met, self.missed = 0, 0

    def at_least(self, text, value, bound):
        self.line(text, value, f"≥ {bound}", value is None or value >= bound)

    def at_most(self, text, value, bound):
        self.line(text, value, f"≤ {bound}", value is None or value <= bound)

    def line(self, text, value, bound, is_met):
        if value is None:
            print(f"| {text} | {bound} | not measured | |")
            return
        self.met, self.missed = self.met + is_met, self.missed + (not is_met)
        print(f"| {text} | {bound} | {value:.2f} | {'PASS' if is_met else 'MISS'} |")

    def note(self, text, value):
        if value is not None:
            print(f"| {text} | | {value:.2f} | |")


def main():
    # So that what lies on tmpfs goes when this is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    places = [("tmpfs, fresh pages", Path(os.environ["POX_BENCH_TMPFS"]), True),
              ("disk, all in the page cache, overwritten", Path(os.environ["POX_BENCH_DISK"]), False)]
    load, began = os.getloadavg()[0], time.monotonic()
    primitive = subprocess.run([ENGINE, "primitive"], capture_output=True, text=True, check=True).stdout.strip()
    processor = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    print("# The data plane, measured\n")
    print(f"By `benches/data-plane.sh` on {time.strftime('%Y-%m-%d', time.gmtime())}: {os.cpu_count()} cores of {processor}, a file of"
          f" {MIB} MiB, {ROUNDS} rounds, medians, load {load:.1f} at the start. {primitive}.")
    names = ["age-new", "age", "rage", "openssl", "gpg", "crypt4gh", "sha256sum", "b3sum", "rclone"]
    missing = [name for name in names if not has(name)]
    if missing:
        print("Not there, so not measured: " + ", ".join(missing) + " (`age-new` is an age of 1.3 or later).")
    print("Peak memory is that of the largest process, and never below this script's own, which each inherits.\n")
    bars = []
    for regime, place, fresh in places:
        with tempfile.TemporaryDirectory(prefix="pox-bench-", dir=place) as folder:
            folder = Path(folder)
            keys = Keys(folder)
            fill(folder / "source", MIB)
            for cores, threads in [("0", 1), (None, os.cpu_count())]:
                seal, unseal = large(folder, fresh, cores, keys)
                show(f"{regime}, {threads} thread{'s' if threads > 1 else ''}: sealing", seal, "engine: copy alone")
                show(f"{regime}, {threads} thread{'s' if threads > 1 else ''}: opening", unseal, "engine: copy alone")
                bars.append((regime, fresh, threads, seal, unseal))
    trees = []
    for most in [16384, 2048]:
        with tempfile.TemporaryDirectory(prefix="pox-bench-", dir=places[0][1]) as folder:
            size, seal, unseal = tree(Path(folder), Keys(Path(folder)), most)
        title = f"{FILES} small files of less than {most >> 10} KiB, {size / 1e6:.0f} MB, on tmpfs"
        show(f"{title}: sealing", seal, "tar, cat")
        show(f"{title}: opening", unseal, "cat, tar")
        trees.append((f"tree, files below {most >> 10} KiB", seal, unseal))
    cold = []
    for most in [16384, 2048]:
        with tempfile.TemporaryDirectory(prefix="pox-bench-", dir=places[1][1]) as folder:
            found = cold_tree(Path(folder), Keys(Path(folder)), most)
        if found:
            show(f"{FILES} small files of less than {most >> 10} KiB, {found[0] / 1e6:.0f} MB, on a disk that nothing was read of: sealing", found[1], "tar, cat")
            cold.append((f"tree, files below {most >> 10} KiB, disk, nothing in memory", found[1]))
    with tempfile.TemporaryDirectory(prefix="pox-bench-", dir=places[0][1]) as folder:
        whole = very_large(Path(folder), Keys(Path(folder))) if LARGE else None
    if whole:
        show(f"One file of {LARGE} MiB on tmpfs, once", whole, "engine: copy alone")
    with tempfile.TemporaryDirectory(prefix="pox-bench-", dir=places[0][1]) as folder:
        bucket = s3(Path(folder), Keys(Path(folder)))
    if bucket:
        show("Through a server of S3 on this machine, sealing", bucket[0], "rclone copyto")
        show("Through a server of S3 on this machine, opening", bucket[1], "rclone copyto")
    judge(bars, trees, cold, whole, bucket)
    print(f"\nIt took {(time.monotonic() - began) / 60:.1f} minutes; load {os.getloadavg()[0]:.1f} at the end.")


def show(title, table, base):
    print(f"## {title}\n")
    table.print(base)


def judge(regimes, trees, cold, whole, bucket):
    print("## The bars\n\n| what | bar | measured | |\n|---|---|---|---|")
    bars, cbc = Bars(), "openssl enc -aes-256-cbc -pbkdf2"
    both, opened = "engine: seal with BLAKE3 of the ciphertext", "engine: open with verification"
    for regime, fresh, threads, sealing, opening in regimes:
        if threads == 1:
            continue
        where = f"{regime}: "
        bars.at_least(where + "seal, of copy", sealing.ratio(both, "engine: copy alone"), 0.85 if fresh else 0.48)
        bars.at_least(where + "open, of copy", opening.ratio(opened, "engine: copy alone"), 0.70 if fresh else 0.34)
        for other, bound in [("age-new", 1.6), ("age", 1.6), ("rage", 2), (cbc, 3)]:
            bars.at_least(where + f"seal, of {other}", sealing.ratio(both, other), bound)
            bars.at_least(where + f"open, of {other}", opening.ratio(opened, other), bound)
        passes = next((name for name in sealing.rows if name.startswith("b3sum, ")), None)
        at_once = sealing.ratio("engine: hash, seal, hash", passes) if passes else None
        bars.at_least(where + "hash, seal, hash, of b3sum, age, b3sum", at_once, 2)
        bars.at_least(where + "seal, of the portable engine", sealing.ratio(both, "engine, portable: seal with BLAKE3"), 1)
        bars.at_least(where + "open, of the portable engine", opening.ratio(opened, "engine, portable: open with verification"), 1)
        bars.note(where + f"copy alone, of {cbc} (what opening cannot exceed)", opening.ratio("engine: copy alone", cbc))
        bars.note(where + "seal, of dd", sealing.ratio(both, "dd bs=4M conv=notrunc"))
    age = newest_age()
    for name, sealing, opening in trees:
        bars.at_least(f"{name}: seal, of tar and age", sealing.ratio("whole dataset", f"tar, {age}"), 3)
        bars.at_least(f"{name}: open, of age and tar", opening.ratio("whole dataset", f"{age}, tar"), 3)
        gathered, made = "files read, one written, nothing else", "files made, nothing else"
        bars.note(f"{name}: {gathered}, of tar and age (what sealing cannot exceed)", sealing.ratio(gathered, f"tar, {age}"))
        bars.note(f"{name}: {made}, of age and tar (what opening cannot exceed)", opening.ratio(made, f"{age}, tar"))
    for name, sealing in cold:
        bars.at_least(f"{name}: seal, of tar and age", sealing.ratio("whole dataset", f"tar, {age}"), 3)
    tables = [(f"{regime}, {threads} threads", table) for regime, _, threads, *both in regimes for table in both]
    tables += [(name, table) for name, *both in trees for table in both]
    tables += cold
    tables += [("the largest file", whole)] if whole else []
    tables += [("through S3", table) for table in bucket or []]
    peaks = {}
    for name, table in tables:
        ours = [result.memory for row, results in table.rows.items()
                if row.startswith(("engine", "an age file", "whole", "pox")) for result in results]
        peaks[name] = max([peaks.get(name, 0), *ours])
    for name, peak in peaks.items():
        bars.at_most(f"{name}: peak MiB", peak / (1 << 20), 64)
    for regime in dict.fromkeys(entry[0] for entry in regimes):
        for label, name, at in [("seal", both, 3), ("open", opened, 4)]:
            one, more = [entry[at] for entry in regimes if entry[0] == regime]
            bars.note(f"{regime}: {label}, {os.cpu_count()} threads of one", one.median(name) / more.median(name))
    if bucket:
        bars.note("through S3: pox seal, of rclone copyto", bucket[0].ratio("pox seal", "rclone copyto"))
        bars.note("through S3: pox open, of rclone copyto", bucket[1].ratio("pox open", "rclone copyto"))
    print(f"\n{bars.met} bars met, {bars.missed} missed.")


if __name__ == "__main__":
    sys.exit(main())
