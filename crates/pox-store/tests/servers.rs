//! Real servers from PyPI: rclone's S3 and WebDAV, which check signatures and ranges, and moto's S3, which checks conditions.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod support;

use std::io::{Cursor, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pox_core::s3::{BucketAccess, Style};
use pox_store::s3::Keys;
use pox_store::{Access, Error, Location, PutMode, Range, Result, Store};
use support::*;

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Where the programs of `tests/python.txt` are.
fn python() -> PathBuf {
    std::env::var_os("POX_PYTHON").expect("POX_PYTHON names the folder of programs from PyPI").into()
}

fn start(command: &mut Command, port: u16) -> Running {
    let running = Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let begun = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{command:?} does not listen");
        std::thread::sleep(Duration::from_millis(50));
    }
    running
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn keys(port: u16, secret: &str) -> BucketAccess {
    BucketAccess {
        bucket: "bucket".into(),
        endpoint: format!("http://127.0.0.1:{port}"),
        region: "us-east-1".into(),
        style: Style::Path,
        key_id: "key-id".into(),
        secret_key: secret.into(),
        session_token: None,
    }
}

fn access(port: u16, secret: &str) -> Access {
    let mut access = Access::default().allow_host(format!("127.0.0.1:{port}").parse().unwrap());
    access.attempts = 2;
    access.sign_with(Arc::new(Keys::of([keys(port, secret)])))
}

fn rclone(kind: &str, folder: &Path, port: u16, more: &[&str]) -> Running {
    let mut command = Command::new(python().join("rclone"));
    command.args(["serve", kind, "--config", "/dev/null", "--addr", &format!("127.0.0.1:{port}")]).args(more);
    start(command.arg(folder), port)
}

fn put(store: &Store, to: &str, bytes: &[u8], mode: PutMode) -> Result<()> {
    store.put(&name(to), &mut Cursor::new(bytes), bytes.len() as u64, mode)
}

fn get(store: &Store, from: &str, range: Range) -> Result<Vec<u8>> {
    let mut bytes = vec![];
    store.get(&name(from), range)?.read_to_end(&mut bytes).map_err(Error::from_read)?;
    Ok(bytes)
}

const LARGE: usize = (20 << 20) + 12_345;

/// What every storage does.
fn check(store: &Store) {
    for len in [0, 1, 1000, LARGE] {
        let to = format!("set/{len}");
        put(store, &to, &object(len), PutMode::Create).unwrap_or_else(|error| panic!("{len}: {error}"));
        assert!(get(store, &to, Range::ALL).unwrap() == object(len), "{len}");
        assert_eq!(store.size(&name(&to)).unwrap(), len as u64);
        assert!(matches!(put(store, &to, b"other", PutMode::Create), Err(Error::Exists(_))), "{len}");
        assert!(get(store, &to, Range::ALL).unwrap() == object(len), "{len}");
    }
    let large = format!("set/{LARGE}");
    for (start, end) in
        [(0, 1), (1000, 2000), ((8 << 20) - 5, (8 << 20) + 5), (LARGE as u64 - 1, LARGE as u64)]
    {
        let range = Range { start, end: Some(end) };
        let part = get(store, &large, range).unwrap();
        assert!(part == object(LARGE)[start as usize..end as usize], "{start}..{end}");
    }
    put(store, "set/1000", b"replaced", PutMode::Replace).unwrap();
    assert_eq!(get(store, "set/1000", Range::ALL).unwrap(), b"replaced");
    assert!(matches!(get(store, "set/none", Range::ALL), Err(Error::NotFound(_))));
    assert!(!store.contains(&name("set/none")).unwrap());
}

#[test]
#[ignore = "needs rclone from PyPI: run by .ci/run"]
fn rclones_s3_takes_our_signatures_and_gives_everything_back() {
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    std::fs::create_dir(folder.path().join("bucket")).unwrap();
    let _server = rclone("s3", folder.path(), port, &["--auth-key", "key-id,TOPSECRET"]);
    let location: Location = "s3://bucket/a/b".parse().unwrap();
    check(&Store::open(&location, &access(port, "TOPSECRET")).unwrap());
    let stored = std::fs::read(folder.path().join(format!("bucket/a/b/set/{LARGE}"))).unwrap();
    assert!(stored == object(LARGE), "the file is where the bucket and key say");
    let other = Store::open(&location, &access(port, "ANOTHER")).unwrap();
    let refused = get(&other, "set/1", Range::ALL);
    assert!(matches!(refused, Err(Error::Storage { status: 403, .. } | Error::Denied(403))), "{refused:?}");
}

#[test]
#[ignore = "needs moto from PyPI: run by .ci/run"]
fn motos_s3_keeps_conditions_and_lists_what_is_unfinished() {
    let port = free_port();
    let mut command = Command::new(python().join("moto_server"));
    let _server = start(command.args(["--host", "127.0.0.1", "--port", &port.to_string()]), port);
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(
        stream,
        "PUT /bucket HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let location: Location = "s3://bucket/a/b".parse().unwrap();
    check(&Store::open(&location, &access(port, "any")).unwrap());
    let other = Store::open(&"s3://no-such-bucket/x".parse().unwrap(), &access(port, "any"));
    assert!(other.unwrap().size(&name("x")).is_err());
}

#[test]
#[ignore = "needs rclone from PyPI: run by .ci/run"]
fn rclones_webdav_is_a_web_server_that_takes_and_gives() {
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    std::fs::create_dir_all(folder.path().join("base/set")).unwrap();
    let _server = rclone("webdav", folder.path(), port, &[]);
    let location: Location = format!("http://127.0.0.1:{port}/base").parse().unwrap();
    check(&Store::open(&location, &access(port, "none")).unwrap());
}
