//! Reading from servers that do all that servers do.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod support;

use std::io::Read;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use pox_store::{Access, Error, Expected, Location, Range, Refused, Result, Store, VerifiedRead};
use support::*;

const LEN: usize = 300_000;

fn read(server: &Server, range: Range) -> Result<Vec<u8>> {
    let store = Store::open(&server.location(), &server.access())?;
    let mut bytes = vec![];
    store.get(&name("x"), range)?.read_to_end(&mut bytes).map_err(Error::from_read)?;
    Ok(bytes)
}

fn part(start: u64, end: u64) -> Range {
    Range { start, end: Some(end) }
}

#[test]
fn reads_objects_ranges_and_sizes() {
    let server = Server::start(|request| Response::of(&object(LEN), request).header("etag", "\"1\""));
    let all = object(LEN);
    assert_eq!(read(&server, Range::ALL).unwrap(), all);
    assert_eq!(read(&server, part(10, 20)).unwrap(), all[10..20]);
    assert_eq!(read(&server, Range { start: 299_990, end: None }).unwrap(), all[299_990..]);
    assert!(read(&server, part(5, 5)).unwrap().is_empty());
    assert_eq!(
        Store::open(&server.location(), &server.access()).unwrap().size(&name("a/x")).unwrap(),
        LEN as u64
    );
    assert_eq!(server.seen()[0].path, "/base/x");
    assert!(matches!(
        read(&server, part(10, LEN as u64 + 1)),
        Err(Error::Protocol(_) | Error::OutOfRange { .. })
    ));
}

/// Sends so many bytes, and breaks off; then so many more.
fn breaking(cut: usize, tag: Option<&'static str>) -> Server {
    Server::start(move |request| {
        let mut response = Response::of(&object(LEN), request);
        if let Some(tag) = tag {
            response = response.header("etag", tag);
        }
        Response { cut: Some(cut), ..response }
    })
}

#[test]
fn goes_on_where_the_connection_broke() {
    let server = breaking(LEN / 3 + 1, Some("\"v1\""));
    assert_eq!(read(&server, Range::ALL).unwrap(), object(LEN));
    let seen = server.seen();
    assert_eq!(seen.len(), 3);
    assert_eq!(seen[1].range(), Some((LEN / 3 + 1, None)));
    assert_eq!(seen[1].header("if-match"), Some("\"v1\""));
    // A weak tag can't be asked for, and a missing one needn't.
    for tag in [Some("W/\"v1\""), None] {
        let server = breaking(LEN / 2, tag);
        assert_eq!(read(&server, part(7, LEN as u64)).unwrap(), object(LEN)[7..]);
        assert!(server.seen().iter().all(|request| request.header("if-match").is_none()));
    }
}

#[test]
fn gives_up_after_the_allowed_attempts() {
    let server = breaking(0, Some("\"v1\""));
    assert!(matches!(read(&server, Range::ALL), Err(Error::Unreachable(_))));
    assert_eq!(server.seen().len(), 3);
    let server = Server::start(|_| Response::status(503));
    assert!(matches!(read(&server, Range::ALL), Err(Error::Status(503))));
    assert_eq!(server.seen().len(), 3);
    for (status, attempts) in [(403, 1), (400, 1)] {
        let server = Server::start(move |_| Response::status(status));
        assert!(matches!(read(&server, Range::ALL), Err(Error::Denied(403) | Error::Status(400))));
        assert_eq!(server.seen().len(), attempts);
    }
    let server = Server::start(|_| Response::status(404));
    assert!(matches!(read(&server, Range::ALL), Err(Error::NotFound(_))));
}

#[test]
fn a_passing_fault_passes() {
    let left = Mutex::new(2);
    let server = Server::start(move |request| {
        let mut left = left.lock().unwrap();
        if *left > 0 {
            *left -= 1;
            return Response::status(if *left == 1 { 500 } else { 0 });
        }
        Response::of(&object(LEN), request)
    });
    assert_eq!(read(&server, Range::ALL).unwrap(), object(LEN));
}

#[test]
fn a_stall_is_broken_off_and_resumed() {
    let stalled = Mutex::new(false);
    let server = Server::start(move |request| {
        let response = Response::of(&object(LEN), request).header("etag", "\"1\"");
        if std::mem::replace(&mut *stalled.lock().unwrap(), true) {
            return response;
        }
        Response { cut: Some(1000), stall: Some(Duration::from_secs(20)), ..response }
    });
    let start = Instant::now();
    assert_eq!(read(&server, Range::ALL).unwrap(), object(LEN));
    assert!(start.elapsed() < Duration::from_secs(10));
    let server = Server::start(|request| Response {
        cut: Some(0),
        stall: Some(Duration::from_secs(20)),
        ..Response::of(&object(LEN), request)
    });
    assert!(matches!(read(&server, Range::ALL), Err(Error::TimedOut(_))));
}

#[test]
fn a_drip_ends_at_the_deadline() {
    let server = Server::start(|request| Response { cut: Some(1), ..Response::of(&object(LEN), request) });
    let mut access = server.access();
    access.timeouts.total = Duration::from_millis(300);
    access.attempts = u32::MAX;
    let store = Store::open(&server.location(), &access).unwrap();
    let error = store.get(&name("x"), Range::ALL).unwrap().read_to_end(&mut vec![]).unwrap_err();
    assert!(matches!(Error::from_read(error), Error::TimedOut(_)));
}

#[test]
fn servers_that_ignore_ranges_serve_too() {
    let server = Server::start(|_| Response::status(200).body(&object(LEN)));
    assert_eq!(read(&server, part(1000, 2000)).unwrap(), object(LEN)[1000..2000]);
    let broken = Mutex::new(false);
    let server = Server::start(move |_| {
        let first = !std::mem::replace(&mut *broken.lock().unwrap(), true);
        Response { cut: first.then_some(5000), ..Response::status(200).body(&object(LEN)) }
    });
    assert_eq!(read(&server, Range::ALL).unwrap(), object(LEN));
}

#[test]
fn other_ranges_than_asked_for_are_refused() {
    for range in ["bytes 0-9/100", "bytes 10-20/100", "bytes 10-19", "items 10-19/100", ""] {
        let server =
            Server::start(move |_| Response::status(206).header("content-range", range).body(&[0; 10]));
        let result = read(&server, part(10, 20));
        assert!(matches!(result, Err(Error::Protocol(_))), "{range}: {result:?}");
    }
    let server = Server::start(|_| Response::status(206).body(&[0; 10]));
    assert!(matches!(read(&server, Range::ALL), Err(Error::Protocol(_))));
}

#[test]
fn lying_lengths_never_pass_for_an_object() {
    let more = Server::start(|_| Response { length: Some(Some(20)), ..Response::status(200).body(&[7; 10]) });
    assert!(read(&more, Range::ALL).is_err());
    let none = Server::start(|_| Response { length: Some(None), ..Response::status(200).body(&[7; 10]) });
    assert!(matches!(read(&none, Range::ALL), Err(Error::Protocol(_))));
    // A server that announces less can't be told from a shorter object, except by what was expected.
    let less = Server::start(|_| Response { length: Some(Some(5)), ..Response::status(200).body(&[7; 10]) });
    let store = Store::open(&less.location(), &less.access()).unwrap();
    let reader = store.get(&name("x"), Range::ALL).unwrap();
    let expected = Expected { size: 10, sha256: None, blake3: Some(*blake3::hash(&[7; 10]).as_bytes()) };
    let error = VerifiedRead::new(reader, expected).read_to_end(&mut vec![]).unwrap_err();
    assert!(matches!(Error::from_read(error), Error::Corrupt(_)));
}

#[test]
fn an_object_that_changes_is_noticed() {
    // By its tag, by If-Match, by its date, by its size.
    type Change = fn(&Request, bool) -> Response;
    let changes: [Change; 4] = [
        |request, first| {
            Response::of(&object(LEN), request).header("etag", if first { "W/\"1\"" } else { "W/\"2\"" })
        },
        |request, first| match first {
            true => Response::of(&object(LEN), request).header("etag", "\"1\""),
            false => Response::status(412),
        },
        |request, first| {
            let date = if first { "Wed, 01 Jan 2020 00:00:00 GMT" } else { "Thu, 02 Jan 2020 00:00:00 GMT" };
            Response::of(&object(LEN), request).header("last-modified", date)
        },
        |request, first| Response::of(&object(if first { LEN } else { LEN + 1 }), request),
    ];
    for (i, change) in changes.into_iter().enumerate() {
        let begun = Mutex::new(false);
        let server = Server::start(move |request| {
            let first = !std::mem::replace(&mut *begun.lock().unwrap(), true);
            Response { cut: first.then_some(1000), ..change(request, first) }
        });
        let result = read(&server, Range::ALL);
        assert!(matches!(result, Err(Error::Changed(_))), "{i}: {result:?}");
    }
}

#[test]
fn objects_above_the_limit_are_not_read() {
    let server = Server::start(|request| Response::of(&object(LEN), request));
    let mut access = server.access();
    access.max_object = LEN as u64 - 1;
    let store = Store::open(&server.location(), &access).unwrap();
    assert!(matches!(store.get(&name("x"), Range::ALL), Err(Error::TooBig { .. })));
}

#[test]
fn sizes_are_had_without_head() {
    let server = Server::start(|request| match request.method.as_str() {
        "HEAD" => Response::status(405),
        _ => Response::of(&object(LEN), request),
    });
    let store = Store::open(&server.location(), &server.access()).unwrap();
    assert_eq!(store.size(&name("x")).unwrap(), LEN as u64);
    assert_eq!(server.seen()[1].range(), Some((0, Some(0))));
}

#[test]
fn private_addresses_are_refused_by_default_also_behind_names() {
    let server = Server::start(|request| Response::of(&object(LEN), request));
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"] {
        let location: Location = format!("http://{host}:{}/", server.address.port()).parse().unwrap();
        let result = Store::open(&location, &Access::default())
            .and_then(|store| store.get(&name("x"), Range::ALL).map(|_| ()));
        assert!(matches!(result, Err(Error::Refused(Refused::Address { .. }))), "{host}: {result:?}");
    }
    assert!(server.seen().is_empty(), "nothing was sent");
}

#[test]
fn redirects_are_judged_like_locations() {
    let target = Server::start(|request| Response::of(&object(LEN), request));
    let (address, port) = (target.address, target.address.port());
    let to = |url: String| Server::start(move |_| Response::status(302).header("location", &url));
    // To another port of this machine, by address and by name.
    for url in [format!("http://{address}/x"), format!("http://localhost:{port}/x")] {
        let server = to(url.clone());
        let result = read(&server, Range::ALL);
        assert!(matches!(result, Err(Error::Refused(_))), "{url}: {result:?}");
    }
    assert!(target.seen().is_empty());
    for url in ["file:///etc/passwd", "ftp://example.invalid/x", "/x"] {
        let server = to(url.into());
        assert!(read(&server, Range::ALL).is_err(), "{url}");
        assert!(server.seen().len() <= 3 * 8, "{url}");
    }
    let server = to(format!("http://{address}/x"));
    let access = server.access().allow_host(address.to_string().parse().unwrap());
    let mut bytes = vec![];
    let store = Store::open(&server.location(), &access).unwrap();
    store.get(&name("x"), Range::ALL).unwrap().read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, object(LEN));
}
