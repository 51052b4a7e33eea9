//! What becomes of each fault of a network or server: the table in `docs/storage.md`, made here. `UPDATE=1` writes it anew.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::io::{Cursor, Read};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pox_store::{Error, Expected, Location, PutMode, Range, Refused, Result, Store, VerifiedRead};
use support::bucket::{Bucket, error};
use support::*;

const LEN: usize = 300_000;

/// A fault: what the server does at the n-th request, instead of the right answer or with it.
struct Fault {
    what: &'static str,
    spoil: fn(usize, &Request, Response) -> Response,
}

/// Only the first time, or every time.
fn faults() -> Vec<Fault> {
    fn first(n: usize, bad: impl FnOnce() -> Response, good: Response) -> Response {
        if n == 0 { bad() } else { good }
    }
    const PAST: (&str, &str) = ("last-modified", "Wed, 01 Jan 2020 00:00:00 GMT");
    fn tagged(tag: &str, response: Response) -> Response {
        let mut response = response;
        response.headers.retain(|(name, _)| name != "etag");
        response.header("etag", tag).header(PAST.0, PAST.1)
    }
    vec![
        Fault {
            what: "slow, but moving",
            spoil: |_, _, r| Response { pace: Some(Duration::from_millis(20)), ..r },
        },
        Fault {
            what: "stalls once",
            spoil: |n, _, r| {
                let stall = (n == 0).then_some(Duration::from_secs(3));
                Response { cut: stall.map(|_| 1000), stall, ..r }
            },
        },
        Fault {
            what: "stalls every time",
            spoil: |_, _, r| Response { cut: Some(0), stall: Some(Duration::from_secs(3)), ..r },
        },
        Fault { what: "breaks off once", spoil: |n, _, r| Response { cut: (n == 0).then_some(1000), ..r } },
        Fault { what: "breaks off every time", spoil: |_, _, r| Response { cut: Some(0), ..r } },
        Fault { what: "closes before an answer, once", spoil: |n, _, r| first(n, || Response::status(0), r) },
        Fault { what: "status 500 once", spoil: |n, _, r| first(n, || Response::status(500), r) },
        Fault { what: "status 500 every time", spoil: |_, _, _| Response::status(500) },
        Fault {
            what: "status 503 with `Retry-After: 1` once",
            spoil: |n, _, r| first(n, || Response::status(503).header("retry-after", 1), r),
        },
        Fault {
            what: "status 429 with `Retry-After: 1` once",
            spoil: |n, _, r| first(n, || Response::status(429).header("retry-after", 1), r),
        },
        Fault { what: "status 404", spoil: |_, _, _| Response::status(404) },
        Fault { what: "status 403", spoil: |_, _, _| Response::status(403) },
        Fault { what: "a signature that has run out", spoil: |_, _, _| error(403, "ExpiredToken") },
        Fault {
            what: "ignores ranges (200 for 206), and breaks off once",
            spoil: |n, _, r| {
                let response = tagged("\"1\"", Response::status(200).body(&object(LEN)));
                Response { cut: (n == 0).then_some(1000), length: r.length, ..response }
            },
        },
        Fault {
            what: "another range than asked for",
            spoil: |n, _, r| match n {
                0 => Response { cut: Some(1000), ..r },
                _ => {
                    let range = format!("bytes 2000-{}/{LEN}", LEN - 1);
                    Response::status(206).header("content-range", range).body(&object(LEN)[2000..])
                }
            },
        },
        Fault {
            what: "announces more than it sends",
            spoil: |_, _, r| Response { length: Some(Some(LEN + 10)), ..r },
        },
        Fault {
            what: "announces less than it has",
            spoil: |_, _, r| {
                let body = r.body[..r.body.len() - 10].to_vec();
                Response { length: Some(Some(body.len())), body, ..r }
            },
        },
        Fault { what: "announces no length", spoil: |_, _, r| Response { length: Some(None), ..r } },
        Fault {
            what: "an object without end",
            spoil: |_, _, r| Response { length: Some(Some(usize::MAX >> 8)), ..r },
        },
        Fault {
            what: "other bytes of the same length",
            spoil: |_, _, r| {
                let mut body = r.body.clone();
                if let Some(byte) = body.last_mut() {
                    *byte ^= 1;
                }
                Response { body, ..r }
            },
        },
        Fault {
            what: "the object changes while it is read (another `ETag`)",
            spoil: |n, _, r| {
                let tag = if n == 0 { "\"1\"" } else { "\"2\"" };
                Response { cut: (n == 0).then_some(1000), ..tagged(tag, r) }
            },
        },
        Fault {
            what: "the object changes while it is read (`If-Match` refused)",
            spoil: |n, _, r| match n {
                0 => Response { cut: Some(1000), ..tagged("\"1\"", r) },
                _ => Response::status(412),
            },
        },
        Fault {
            what: "redirects to this machine",
            spoil: |_, _, _| Response::status(302).header("location", "http://127.0.0.1:9/x"),
        },
        Fault {
            what: "redirects to a file",
            spoil: |_, _, _| Response::status(302).header("location", "file:///etc/passwd"),
        },
        Fault {
            what: "redirects on and on",
            spoil: |_, request, _| Response::status(302).header("location", &request.path),
        },
    ]
}

fn read(location: &Location, access: &pox_store::Access) -> Result<()> {
    let reader = Store::open_existing(location, access)?.get(&name("x"), Range::ALL)?;
    let expected =
        Expected { size: LEN as u64, sha256: None, blake3: Some(*blake3::hash(&object(LEN)).as_bytes()) };
    let mut bytes = vec![];
    VerifiedRead::new(reader, expected).read_to_end(&mut bytes).map_err(Error::from_read)?;
    assert!(bytes == object(LEN));
    Ok(())
}

/// Notices a stall as soon as over HTTP.
fn impatient(bucket: &Bucket) -> pox_store::Access {
    let mut access = bucket.access();
    access.timeouts = bucket.server.access().timeouts;
    access
}

fn ending(result: Result<()>) -> String {
    match result {
        Ok(()) => "survived".into(),
        Err(Error::TimedOut(_)) => "no progress".into(),
        Err(Error::Unreachable(_)) => "the server can't be reached".into(),
        Err(Error::TooBig { .. }) => "larger than the limit".into(),
        Err(Error::Refused(Refused::Host(_) | Refused::Address { .. })) => {
            "refused: not a public address".into()
        }
        Err(Error::Refused(Refused::Redirect(_))) => "refused: redirect isn't followed".into(),
        Err(Error::NotFound(_)) => "there is no such object".into(),
        Err(other) => other.to_string().replace("set/x", "x"),
    }
}

#[test]
fn every_fault_is_survived_or_named() {
    let mut table =
        String::from("| what the server does | reading over HTTP(S) | reading from S3 |\n|---|---|---|\n");
    for Fault { what, spoil } in faults() {
        let count = AtomicUsize::new(0);
        let server = Server::start(move |request| {
            let good = Response::of(&object(LEN), request).header("etag", "\"1\"");
            spoil(count.fetch_add(1, Ordering::SeqCst), request, good)
        });
        let over_http = ending(read(&server.location(), &server.access()));
        let count = AtomicUsize::new(0);
        let bucket = Bucket::start(
            |_| None,
            move |request, good| spoil(count.fetch_add(1, Ordering::SeqCst), request, good),
        );
        bucket.kept.lock().unwrap().objects.insert("set/x".into(), (object(LEN), "1".into()));
        let from_s3 = ending(read(&bucket.location(), &impatient(&bucket)));
        for server in [&server, &bucket.server] {
            assert!(server.seen().len() <= 24, "{what}: {} requests", server.seen().len());
        }
        table += &format!("| {what} | {over_http} | {from_s3} |\n");
    }
    table += "\n| what the server does | writing over HTTP(S) | writing to S3 | what is there then |\n|---|---|---|---|\n";
    for (what, spoil) in write_faults() {
        let count = AtomicUsize::new(0);
        let kept = std::sync::Arc::new(std::sync::Mutex::new(None));
        let inner = kept.clone();
        let server = Server::start(move |request| {
            let mut kept = inner.lock().unwrap();
            match request.method.as_str() {
                "PUT" => {
                    let good = if kept.is_some() { 412 } else { 201 };
                    spoil(count.fetch_add(1, Ordering::SeqCst), &mut || {
                        kept.get_or_insert_with(|| request.body.clone());
                        Response::status(good)
                    })
                }
                _ => match &*kept {
                    Some(bytes) => Response::of(bytes, request),
                    None => Response::status(404),
                },
            }
        });
        let over_http = ending(write(&server.location(), &server.access()));
        let count = AtomicUsize::new(0);
        let bucket = Bucket::spoiled(move |request, act| match request.method.as_str() {
            "PUT" => spoil(count.fetch_add(1, Ordering::SeqCst), act),
            _ => act(),
        });
        let to_s3 = ending(write(&bucket.location(), &impatient(&bucket)));
        let there = [kept.lock().unwrap().clone(), bucket.object("set/x")].map(|object| match object {
            None => "nothing",
            Some(bytes) if bytes == support::object(LEN) => "all of it",
            Some(_) => panic!("{what}: something else is there"),
        });
        assert_eq!(there[0], there[1], "{what}");
        table += &format!("| {what} | {over_http} | {to_s3} | {} |\n", there[0]);
    }
    compare(&table);
}

type Spoil = fn(usize, &mut dyn FnMut() -> Response) -> Response;

/// Given whether it acts, or not.
fn write_faults() -> Vec<(&'static str, Spoil)> {
    vec![
        ("status 500 once", |n, act| if n == 0 { Response::status(500) } else { act() }),
        ("status 500 every time", |_, _| Response::status(500)),
        ("status 503 with `Retry-After: 1` once", |n, act| match n {
            0 => Response::status(503).header("retry-after", 1),
            _ => act(),
        }),
        ("closes before an answer, once", |n, act| if n == 0 { Response::status(0) } else { act() }),
        ("takes it, and its answer is lost", |n, act| match (n, act()) {
            (0, _) => Response::status(0),
            (_, answer) => answer,
        }),
        ("status 403", |_, _| Response::status(403)),
        ("status 413", |_, _| Response::status(413)),
        ("status 507 (full)", |_, _| Response::status(507)),
    ]
}

fn write(location: &Location, access: &pox_store::Access) -> Result<()> {
    Store::open(location, access)?.put(&name("x"), &mut Cursor::new(object(LEN)), LEN as u64, PutMode::Create)
}

fn compare(table: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/storage.md");
    let page = fs::read_to_string(&path).unwrap();
    let (begin, end) = ("<!-- faults -->\n", "<!-- end of faults -->");
    let (before, rest) = page.split_once(begin).unwrap();
    let (committed, after) = rest.split_once(end).unwrap();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, format!("{before}{begin}{table}{end}{after}")).unwrap();
        return;
    }
    assert!(committed == table, "docs/storage.md is out of date; run this test with UPDATE=1\n{table}");
}
