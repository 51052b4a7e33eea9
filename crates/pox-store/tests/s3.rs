//! S3-compatible storage: what is sent, what is repeated, what is never done.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod support;

use std::io::{Cursor, Read};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use pox_core::s3::Operation;
use pox_store::s3::Keys;
use pox_store::{Error, PutMode, Range, Result, Sign, SignError, Store};
use support::bucket::{Bucket, error};
use support::*;

/// Three parts, the last a short one.
const LARGE: usize = (16 << 20) + 12_345;

fn put(bucket: &Bucket, bytes: &[u8], mode: PutMode) -> Result<()> {
    let store = Store::open(&bucket.location(), &bucket.access())?;
    store.put(&name("x"), &mut Cursor::new(bytes), bytes.len() as u64, mode)
}

fn get(bucket: &Bucket, range: Range) -> Result<Vec<u8>> {
    let store = Store::open_existing(&bucket.location(), &bucket.access())?;
    let mut bytes = vec![];
    store.get(&name("x"), range)?.read_to_end(&mut bytes).map_err(Error::from_read)?;
    Ok(bytes)
}

#[test]
fn small_and_large_objects_come_back() {
    let bucket = Bucket::good();
    for len in [0, 1, 100_000, 8 << 20, (8 << 20) + 1, LARGE] {
        put(&bucket, &object(len), PutMode::Replace).unwrap();
        assert!(bucket.object("set/x").unwrap() == object(len), "{len}");
        assert!(get(&bucket, Range::ALL).unwrap() == object(len), "{len}");
    }
    let range = Range { start: 5, end: Some(15) };
    assert_eq!(get(&bucket, range).unwrap(), object(LARGE)[5..15]);
    assert_eq!(bucket.uploads(), 0);
    // No more than is needed is on its way: a part each, begun and finished once.
    assert_eq!((bucket.asked("PUT", "partNumber="), bucket.asked("POST", "uploads=")), (5, 2));
    for request in bucket.server.seen() {
        assert!(request.header("authorization").is_none(), "requests are signed in their URLs");
        assert!(!request.path.contains("TOPSECRET"));
    }
    let missing = Store::open_existing(&bucket.location(), &bucket.access()).unwrap();
    assert!(matches!(missing.get(&name("none"), Range::ALL).map(|_| ()), Err(Error::NotFound(_))));
    assert!(!missing.contains(&name("none")).unwrap());
}

#[test]
fn nothing_is_overwritten() {
    let bucket = Bucket::good();
    for len in [1000, LARGE] {
        bucket.kept.lock().unwrap().objects.clear();
        put(&bucket, &object(len), PutMode::Create).unwrap();
        let other = vec![1; len];
        assert!(matches!(put(&bucket, &other, PutMode::Create), Err(Error::Exists(_))));
        assert!(bucket.object("set/x").unwrap() == object(len));
    }
    // Also if it appears only while the upload is on its way.
    for len in [1000, LARGE] {
        let bucket = Bucket::start(
            |request| (request.method == "HEAD").then(|| Response::status(404)),
            |_, response| response,
        );
        bucket.kept.lock().unwrap().objects.insert("set/x".into(), (b"theirs".to_vec(), "tag".into()));
        assert!(matches!(put(&bucket, &object(len), PutMode::Create), Err(Error::Exists(_))), "{len}");
        assert_eq!(bucket.object("set/x").unwrap(), b"theirs");
        assert_eq!(bucket.uploads(), 0, "what was sent is thrown away");
    }
}

/// Fails the first time of each kind of request.
fn once(
    fail: impl Fn() -> Response + Send + Sync + 'static,
) -> impl Fn(&Request) -> Option<Response> + Send + Sync {
    let failed = Mutex::new(std::collections::BTreeSet::new());
    move |request| {
        let kind =
            request.path.split('&').filter(|pair| !pair.starts_with("X-Amz")).collect::<Vec<_>>().join("&");
        let kind = kind.split_once('?').map_or(kind.clone(), |(path, query)| {
            let part = query.split('&').filter(|pair| pair.starts_with("part") || pair.starts_with("upload"));
            format!("{path} {}", part.collect::<Vec<_>>().join("&"))
        });
        // The answer to a HEAD has no body, and so no code.
        let asks = request.method != "HEAD";
        (asks && failed.lock().unwrap().insert((request.method.clone(), kind))).then(&fail)
    }
}

#[test]
fn what_fails_in_passing_is_repeated() {
    type Fail = fn() -> Response;
    let faults: [Fail; 6] = [
        || error(500, "InternalError"),
        || error(503, "SlowDown"),
        || Response::status(429),
        || Response::status(0),
        || error(400, "RequestTimeout"),
        || error(400, "BadDigest"),
    ];
    for (number, fail) in faults.into_iter().enumerate() {
        for len in [1000, (8 << 20) + 1] {
            let bucket = Bucket::start(once(fail), |_, response| response);
            put(&bucket, &object(len), PutMode::Create)
                .unwrap_or_else(|error| panic!("{number} {len}: {error}"));
            assert!(get(&bucket, Range::ALL).unwrap() == object(len), "{number} {len}");
            assert_eq!(bucket.uploads(), 0);
        }
    }
}

#[test]
fn a_lost_answer_is_not_taken_for_somebody_elses_object() {
    for len in [1000, (8 << 20) + 1] {
        // It acts, and then its answer is lost.
        let lost = once(|| Response::status(0));
        let bucket = Bucket::start(
            |_| None,
            move |request, response| match request.method.as_str() {
                "PUT" | "POST" => lost(request).unwrap_or(response),
                _ => response,
            },
        );
        put(&bucket, &object(len), PutMode::Create).unwrap();
        assert!(bucket.object("set/x").unwrap() == object(len));
    }
}

#[test]
fn an_interrupted_upload_is_gone_on_with() {
    let broken = Arc::new(AtomicUsize::new(1));
    let inner = broken.clone();
    // Every part but the second arrives; then the storage is gone for a while.
    let bucket = Bucket::start(
        move |request| {
            let is_it = request.path.contains("partNumber=2&") && inner.load(Ordering::SeqCst) == 1;
            is_it.then(|| Response::status(503))
        },
        |_, response| response,
    );
    assert!(matches!(put(&bucket, &object(LARGE), PutMode::Create), Err(Error::Status(503))));
    assert_eq!((bucket.uploads(), bucket.object("set/x")), (1, None));
    broken.store(0, Ordering::SeqCst);
    let before = bucket.asked("PUT", "partNumber=");
    put(&bucket, &object(LARGE), PutMode::Create).unwrap();
    assert!(bucket.object("set/x").unwrap() == object(LARGE));
    let again = bucket.asked("PUT", "partNumber=") - before;
    assert!((1..3).contains(&again), "{again} parts were sent again");
    assert_eq!(bucket.asked("POST", "uploads="), 1, "no other upload was begun");
}

#[test]
fn an_unfinished_upload_of_something_else_is_left_alone() {
    let bucket = Bucket::good();
    let mut other = object(LARGE);
    other[0] ^= 1;
    let part = other[..8 << 20].to_vec();
    bucket.kept.lock().unwrap().uploads.insert("theirs".into(), ("set/x".into(), [(1, part)].into()));
    put(&bucket, &object(LARGE), PutMode::Create).unwrap();
    assert!(bucket.object("set/x").unwrap() == object(LARGE));
    assert_eq!(bucket.uploads(), 1);
}

#[test]
fn storage_that_can_not_list_costs_a_new_start() {
    let bucket = Bucket::start(
        |request| {
            (request.method == "GET" && request.path.contains("uploads="))
                .then(|| error(501, "NotImplemented"))
        },
        |_, response| response,
    );
    put(&bucket, &object(LARGE), PutMode::Create).unwrap();
    assert!(bucket.object("set/x").unwrap() == object(LARGE));
}

#[test]
fn a_success_that_comes_to_an_error_is_none() {
    let bucket = Bucket::start(
        |request| {
            let is_it = request.method == "POST" && request.path.contains("uploadId=");
            is_it.then(|| Response { status: 200, ..error(200, "InvalidPart") })
        },
        |_, response| response,
    );
    let result = put(&bucket, &object(LARGE), PutMode::Create);
    assert!(matches!(&result, Err(Error::Storage { code, .. }) if code == "InvalidPart"), "{result:?}");
    assert_eq!((bucket.uploads(), bucket.object("set/x")), (0, None));
}

#[test]
fn keys_that_can_only_write_write() {
    for len in [1000, LARGE] {
        let bucket = Bucket::start(
            |request| matches!(request.method.as_str(), "HEAD" | "GET").then(|| Response::status(403)),
            |_, response| response,
        );
        put(&bucket, &object(len), PutMode::Create).unwrap();
        assert!(matches!(put(&bucket, &vec![1; len], PutMode::Create), Err(Error::Exists(_))));
        assert!(bucket.object("set/x").unwrap() == object(len));
    }
}

#[test]
fn errors_are_called_by_their_names() {
    for (status, code) in [
        (403, "RequestTimeTooSkewed"),
        (403, "SignatureDoesNotMatch"),
        (403, "ExpiredToken"),
        (403, "InvalidAccessKeyId"),
        (404, "NoSuchBucket"),
        (301, "PermanentRedirect"),
        (400, "AuthorizationHeaderMalformed"),
    ] {
        let bucket = Bucket::start(move |_| Some(error(status, code)), |_, response| response);
        let result = get(&bucket, Range::ALL);
        let named = matches!(&result, Err(Error::Storage { status: s, code: c }) if (*s, c.as_str()) == (status, code));
        assert!(named, "{code}: {result:?}");
        assert_eq!(bucket.server.seen().len(), 1, "{code} is final");
    }
    let silent = Bucket::start(|_| Some(Response::status(403)), |_, response| response);
    assert!(matches!(get(&silent, Range::ALL), Err(Error::Denied(403))));
}

#[test]
fn a_source_of_another_length_is_not_stored() {
    for (len, said) in [(1000, 999), (1000, 1001), (LARGE, LARGE - 1), (LARGE, LARGE + 1)] {
        let bucket = Bucket::good();
        let store = Store::open(&bucket.location(), &bucket.access()).unwrap();
        let result = store.put(&name("x"), &mut Cursor::new(object(len)), said as u64, PutMode::Create);
        assert!(matches!(result, Err(Error::Source(_))), "{len} {said}: {result:?}");
        assert_eq!((bucket.uploads(), bucket.object("set/x")), (0, None));
    }
}

/// Signs what it is asked for, and counts.
struct Counting(Keys, Mutex<Vec<Operation>>);

impl Sign for Counting {
    fn sign(&self, bucket: &str, key: &str, operation: &Operation) -> std::result::Result<String, SignError> {
        self.1.lock().unwrap().push(operation.clone());
        self.0.sign(bucket, key, operation)
    }
}

#[test]
fn every_request_has_a_signature_of_its_own() {
    let bucket = Bucket::start(once(|| error(503, "SlowDown")), |_, response| response);
    let signer = Arc::new(Counting(Keys::of([bucket.keys()]), Mutex::default()));
    let access = bucket.access().sign_with(signer.clone());
    let store = Store::open(&bucket.location(), &access).unwrap();
    store.put(&name("x"), &mut Cursor::new(object(LARGE)), LARGE as u64, PutMode::Create).unwrap();
    // A signature that has run out is no use for the next attempt.
    assert_eq!(signer.1.lock().unwrap().len(), bucket.server.seen().len());
    assert!(matches!(access.dangerous_keys("bucket"), Err(SignError::NoKeys(_))), "it gives no keys away");
}

#[test]
fn without_keys_nothing_is_asked() {
    let bucket = Bucket::good();
    let store = Store::open(&bucket.location(), &bucket.server.access());
    assert!(matches!(store, Err(Error::Unsigned(SignError::NoKeys(_)))));
    let other = Store::open(&"s3://other/x".parse().unwrap(), &bucket.access()).unwrap();
    assert!(matches!(other.size(&name("x")), Err(Error::Unsigned(SignError::NoKeys(_)))));
    assert!(bucket.server.seen().is_empty());
}

#[test]
fn a_signature_leads_nowhere_that_the_policy_forbids() {
    let bucket = Bucket::good();
    let access = pox_store::Access::default().sign_with(Arc::new(Keys::of([bucket.keys()])));
    let result = Store::open(&bucket.location(), &access).unwrap().size(&name("x"));
    assert!(matches!(result, Err(Error::Refused(_))), "{result:?}");
    assert!(bucket.server.seen().is_empty());
}

#[test]
fn a_range_with_the_status_of_a_whole_is_taken_for_what_it_says() {
    let bytes = object(100_000);
    let range = Range { start: 1000, end: Some(2000) };
    for (lies, requests) in [(false, 1), (true, 2)] {
        let whole = bytes.clone();
        let bucket = Bucket::start(
            |_| None,
            move |request, mut response| {
                if request.range().is_some() {
                    response.status = 200;
                    if lies {
                        // All of it comes, whatever the header says.
                        response.body = whole.clone();
                    }
                }
                response
            },
        );
        put(&bucket, &bytes, PutMode::Create).unwrap();
        let before = bucket.asked("GET", "");
        assert_eq!(get(&bucket, range).unwrap(), bytes[1000..2000], "{lies}");
        assert_eq!(bucket.asked("GET", "") - before, requests, "{lies}");
    }
}
