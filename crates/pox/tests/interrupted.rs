//! Sealing to a storage that is killed on the way: the next goes on with the parts that are there. And what the system says of a
//! process that holds keys.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::chown;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use world::{Running, World, free_port, text, wait_until};

/// moto's S3, which lists unfinished uploads, behind a proxy that counts what goes there, and holds it up behind so many bytes.
struct Storage {
    port: u16,
    sent: Arc<AtomicU64>,
    most: Arc<AtomicU64>,
    _server: Running,
}

impl Storage {
    fn start() -> Self {
        let python =
            std::env::var_os("POX_PYTHON").expect("POX_PYTHON names the folder of programs from PyPI");
        let server = free_port();
        let mut command = Command::new(PathBuf::from(python).join("moto_server"));
        command.args(["--host", "127.0.0.1", "--port", &server.to_string()]);
        let running = Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        wait_until("the storage answers", || TcpStream::connect(("127.0.0.1", server)).is_ok());
        let mut made = TcpStream::connect(("127.0.0.1", server)).unwrap();
        write!(made, "PUT /research HTTP/1.1\r\nHost: 127.0.0.1:{server}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            .unwrap();
        made.read_to_end(&mut Vec::new()).unwrap();
        let sent = Arc::new(AtomicU64::new(0));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let most = Arc::new(AtomicU64::new(u64::MAX));
        let (counter, limit) = (sent.clone(), most.clone());
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, counter, limit) = (client.unwrap(), counter.clone(), limit.clone());
                let server = TcpStream::connect(("127.0.0.1", server)).unwrap();
                let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                thread::spawn(move || pass(from, to, Some((&counter, &limit))));
                thread::spawn(move || pass(server, client, None));
            }
        });
        Self { port, sent, most, _server: running }
    }

    fn settings(&self, temporary: PathBuf) -> Vec<(String, String)> {
        fs::create_dir(&temporary).unwrap();
        let endpoint = format!("http://127.0.0.1:{}", self.port);
        let temporary = temporary.display().to_string();
        [
            ("AWS_ACCESS_KEY_ID", "key-id"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_ENDPOINT_URL", &endpoint),
            ("TMPDIR", &temporary),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }

    fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Runs a program until so many bytes have gone to the storage, and kills it.
    fn kill_behind(&self, bytes: u64, start: impl FnOnce() -> Running) {
        let most = self.sent() + bytes;
        self.most.store(most, Ordering::Relaxed);
        let running = start();
        wait_until("so much of it is sent", || self.sent() >= most);
        drop(running);
        self.most.store(u64::MAX, Ordering::Relaxed);
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, counted: Option<(&AtomicU64, &AtomicU64)>) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if let Some((counter, most)) = counted {
            counter.fetch_add(count as u64, Ordering::Relaxed);
            while counter.load(Ordering::Relaxed) >= most.load(Ordering::Relaxed) {
                thread::sleep(std::time::Duration::from_millis(5));
            }
        }
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

/// Long enough for eight parts.
const LEN: u64 = 60 << 20;

#[test]
#[ignore = "needs moto from PyPI: run by .ci/run"]
fn storing_that_was_killed_goes_on_with_the_parts_that_are_there() {
    let storage = Storage::start();
    let world = World::at("http://127.0.0.1:1".into(), &[]);
    let settings = storage.settings(world.path("temporary"));
    let world = world.with_owner_settings(settings);
    world.pox("owner", &["key", "new"]);
    let content: Vec<u8> = (0..LEN as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    fs::write(world.path("data"), &content).unwrap();
    let seal = ["seal", "data", "--to", "s3://research/set"];
    let waiting = || fs::read_dir(world.path("temporary")).unwrap().map(|entry| entry.unwrap().path()).next();

    // Four parts are on their way at once, so that two are there for certain.
    storage.kill_behind(LEN * 4 / 5, || world.start("owner", &seal));
    let first = waiting().expect("what was sealed waits");
    let sealed = fs::read(first.join("dataset/data.age")).unwrap();

    // It goes on with what was sealed, and doesn't send what is there.
    thread::sleep(std::time::Duration::from_millis(500));
    let before = storage.sent();
    let again = world.try_pox("owner", &seal);
    assert!(again.status.success(), "{}", text(&again.stderr));
    assert!(text(&again.stderr).contains("going on"), "{}", text(&again.stderr));
    let sent = storage.sent() - before;
    assert!(sent < LEN - (15 << 20), "{sent} bytes were sent once more");
    world.pox("owner", &["copy", "s3://research/set", "copied"]);
    assert!(fs::read(world.path("copied/data.age")).unwrap() == sealed, "nothing was sealed twice");
    world.pox("owner", &["open", "s3://research/set", "--to", "opened"]);
    assert!(fs::read(world.path("opened/data")).unwrap() == content);
    assert_eq!(waiting(), None, "nothing is left behind");
    let twice = world.try_pox("owner", &seal);
    assert!(text(&twice.stderr).contains("already"), "{}", text(&twice.stderr));
    assert_eq!(waiting(), None, "nor by what is refused");

    // A source that changed meanwhile is another dataset, under other keys.
    let seal = ["seal", "data", "--to", "s3://research/other"];
    storage.kill_behind(LEN / 4, || world.start("owner", &seal));
    let old = fs::read(waiting().unwrap().join("dataset/data.age")).unwrap();
    fs::write(world.path("data"), b"other").unwrap();
    let anew = world.try_pox("owner", &seal);
    assert!(anew.status.success() && !text(&anew.stderr).contains("going on"), "{}", text(&anew.stderr));
    world.pox("owner", &["copy", "s3://research/other", "other"]);
    let new = fs::read(world.path("other/data.age")).unwrap();
    assert!(new.len() < 10_000 && new[..200] != old[..200], "it has keys of its own");
}

#[test]
fn what_is_sealed_to_a_place_waits_for_one_process_at_a_time() {
    let world = World::at("http://127.0.0.1:1".into(), &[]);
    // An endpoint that takes connections and never answers.
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", deaf.local_addr().unwrap());
    let temporary = world.path("temporary");
    fs::create_dir(&temporary).unwrap();
    let settings = [
        ("AWS_ACCESS_KEY_ID", "key-id".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "secret".into()),
        ("AWS_ENDPOINT_URL", endpoint),
        ("TMPDIR", temporary.display().to_string()),
    ];
    let world = world.with_owner_settings(settings.map(|(name, value)| (name.to_owned(), value)).into());
    world.pox("owner", &["key", "new"]);
    fs::write(world.path("data"), "x").unwrap();
    let seal = ["seal", "data", "--to", "s3://research/set"];
    let first = world.start("owner", &seal);
    let folder = || fs::read_dir(&temporary).unwrap().map(|entry| entry.unwrap().path()).next();
    wait_until("it began", || folder().is_some_and(|folder| folder.join("LOCK").exists()));
    let second = world.try_pox("owner", &seal);
    assert_eq!(second.status.code(), Some(2));
    assert!(text(&second.stderr).contains("another process"), "{}", text(&second.stderr));

    drop(first);

    // A folder that others may write to is not trusted.
    let folder = folder().unwrap();
    fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let refused = || {
        let third = world.try_pox("owner", &seal);
        assert!(text(&third.stderr).contains("somebody else's"), "{}", text(&third.stderr));
    };
    refused();
    // Nor is one that somebody else made for us, lock and all; only root can try that.
    fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    if [folder.join("LOCK"), folder].iter().all(|path| chown(path, Some(65_534), None).is_ok()) {
        refused();
    }
}

#[test]
fn a_process_that_holds_keys_leaves_no_core_and_locks_them() {
    let world = World::at("http://127.0.0.1:1".into(), &[]);
    world.pox("owner", &["key", "new"]);
    fs::File::create(world.path("data")).unwrap().set_len(4 << 30).unwrap();
    let sealing = world.start("owner", &["seal", "data", "--to", "sealed"]);
    let of_it = |file: &str| fs::read_to_string(format!("/proc/{}/{file}", sealing.0.id())).unwrap();
    wait_until("it seals", || world.path(".sealed.pox-partial/data.age").exists());
    let limits = of_it("limits");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
    let status = of_it("status");
    let locked = status.lines().find_map(|line| line.strip_prefix("VmLck:")).unwrap();
    let locked: u64 = locked.trim().trim_end_matches(" kB").parse().unwrap();
    let most = limits.lines().find(|line| line.starts_with("Max locked memory")).unwrap();
    let most = most.split_whitespace().nth(3).unwrap().parse::<u64>().unwrap_or(u64::MAX);
    assert!(locked > 0 || most < 4096, "{locked} kB are locked, {most} bytes may be");
}
