//! Writing to servers.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Cursor, Read};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pox_store::{Access, Error, PutMode, Store};
use support::*;

type Objects = Arc<Mutex<HashMap<String, Vec<u8>>>>;

/// A server that keeps what it is sent; `spoil` may replace its answer after it acted.
fn keeping(spoil: impl Fn(&Request, usize) -> Option<Response> + Send + Sync + 'static) -> (Server, Objects) {
    let objects = Objects::default();
    let kept = objects.clone();
    let puts = Mutex::new(0);
    let server = Server::start(move |request| {
        let mut kept = kept.lock().unwrap();
        if request.method != "PUT" {
            return match kept.get(&request.path) {
                Some(object) => Response::of(object, request),
                None => Response::status(404),
            };
        }
        let mut puts = puts.lock().unwrap();
        *puts += 1;
        let exists = kept.contains_key(&request.path);
        let response = if exists && request.header("if-none-match") == Some("*") {
            Response::status(412)
        } else {
            kept.insert(request.path.clone(), request.body.clone());
            Response::status(201)
        };
        spoil(request, *puts).unwrap_or(response)
    });
    (server, objects)
}

fn put(server: &Server, bytes: &[u8], mode: PutMode) -> Result<(), Error> {
    let store = Store::open(&server.location(), &server.access())?;
    store.put(&name("a/x"), &mut Cursor::new(bytes), bytes.len() as u64, mode)
}

#[test]
fn creates_and_replaces_but_never_by_accident() {
    let (server, objects) = keeping(|_, _| None);
    let big = object(3 << 20);
    put(&server, &big, PutMode::Create).unwrap();
    assert_eq!(objects.lock().unwrap()["/base/a/x"], big);
    assert!(matches!(put(&server, b"other", PutMode::Create), Err(Error::Exists(_))));
    assert_eq!(objects.lock().unwrap()["/base/a/x"], big);
    put(&server, b"other", PutMode::Replace).unwrap();
    assert_eq!(objects.lock().unwrap()["/base/a/x"], b"other");
}

#[test]
fn repeats_after_a_passing_fault_from_the_start() {
    let (server, objects) = keeping(|_, put| (put < 3).then(|| Response::status(503)));
    put(&server, &object(100_000), PutMode::Replace).unwrap();
    assert_eq!(objects.lock().unwrap()["/base/a/x"], object(100_000));
    let (server, _) = keeping(|_, _| Some(Response::status(500)));
    assert!(matches!(put(&server, b"x", PutMode::Replace), Err(Error::Status(500))));
    assert_eq!(server.seen().len(), 3);
}

#[test]
fn a_lost_answer_is_not_taken_for_a_conflict() {
    let (server, _) = keeping(|_, put| (put == 1).then(|| Response::status(0)));
    put(&server, &object(1000), PutMode::Create).unwrap();
    // Unless somebody else's object is there by then.
    let (server, objects) = keeping(|_, put| (put == 1).then(|| Response::status(0)));
    let other = objects.clone();
    let watcher = std::thread::spawn(move || {
        loop {
            if let Some(object) = other.lock().unwrap().get_mut("/base/a/x") {
                object[0] ^= 1;
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    assert!(matches!(put(&server, &object(1000), PutMode::Create), Err(Error::Exists(_))));
    watcher.join().unwrap();
}

#[test]
fn a_source_of_another_length_is_not_stored() {
    let (server, objects) = keeping(|_, _| None);
    let store = Store::open(&server.location(), &server.access()).unwrap();
    for len in [99_999, 100_001] {
        let result = store.put(&name("x"), &mut Cursor::new(object(100_000)), len, PutMode::Create);
        assert!(matches!(result, Err(Error::Source(_))), "{result:?}");
    }
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("disk"))
        }
    }
    let result = store.put_once(&name("x"), &mut Failing, 10, PutMode::Create);
    assert!(matches!(result, Err(Error::Source(_))), "{result:?}");
    assert!(objects.lock().unwrap().is_empty());
}

#[test]
fn refusals_are_final() {
    for (status, attempts) in [(403, 1), (405, 1), (413, 1)] {
        let (server, _) = keeping(move |_, _| Some(Response::status(status)));
        assert!(matches!(put(&server, b"x", PutMode::Replace), Err(Error::Denied(_) | Error::Status(_))));
        assert_eq!(server.seen().len(), attempts, "{status}");
    }
}

#[test]
fn a_server_that_takes_drop_by_drop_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(Mutex::new(0));
    let counted = connections.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            *counted.lock().unwrap() += 1;
            let mut stream = BufReader::new(stream.unwrap());
            let mut line = String::new();
            while stream.read_line(&mut line).is_ok_and(|len| len > 2) {
                line.clear();
            }
            // Something moves often enough for it never to have stalled.
            let mut drop = vec![0; 1 << 20];
            while stream.read_exact(&mut drop).is_ok() {
                std::thread::sleep(Duration::from_millis(200));
            }
        }
    });
    let mut access = Access::default().allow_host(address.to_string().parse().unwrap());
    access.timeouts.stall = Duration::from_millis(500);
    access.timeouts.slowest = 64 << 20;
    let store = Store::open(&format!("http://{address}").parse().unwrap(), &access).unwrap();
    let (begin, bytes) = (Instant::now(), object(64 << 20));
    let result = store.put(&name("x"), &mut Cursor::new(&bytes), bytes.len() as u64, PutMode::Replace);
    // At its pace, it would take 13 seconds; its patience is one and a half.
    assert!(
        matches!(result, Err(Error::TimedOut(limit)) if limit == Duration::from_millis(1500)),
        "{result:?}"
    );
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    assert_eq!(*connections.lock().unwrap(), 1, "another attempt would be as slow");
}
