//! Services that answer late, wrongly, too much or not at all; Nitro's lists, of which there is one request each, stand for all.

use super::server::{Reply, Server};
use super::{codes, sources};
use pox_core::evidence::EvidenceKind;
use pox_core::receipt::Endorsement;
use pox_node::endorsements::{FetchError, Sources, fetch};
use std::time::Duration;

const LIST: [u8; 3] = [0x30, 1, 0];

fn ask(server: &Server, change: impl FnOnce(&mut Sources)) -> Result<Vec<Endorsement>, FetchError> {
    let mut sources = sources(server);
    sources.nitro_crls = vec![format!("{}/list", server.url)];
    change(&mut sources);
    fetch(EvidenceKind::Nitro, &[Vec::new()], &[], &sources)
}

#[test]
fn lists_are_fetched_as_configured() {
    let server = Server::start(|path, _| Reply::ok([&LIST, path.as_bytes()].concat()));
    let second = format!("{}/second", server.url);
    let fetched = ask(&server, |sources| sources.nitro_crls.push(second)).unwrap();
    assert_eq!(codes(&fetched), [5, 5]);
    assert_eq!(fetched[1].content, [&LIST[..], b"/second"].concat());
    assert_eq!(server.asked(), ["/list", "/second"]);
    assert_eq!(ask(&server, |sources| sources.nitro_crls.clear()), Ok(Vec::new()));
}

#[test]
fn simulated_kinds_need_nothing() {
    let server = Server::start(|_, _| Reply::status(500));
    for kind in [EvidenceKind::Simulated, EvidenceKind::VmSim] {
        assert_eq!(fetch(kind, &[Vec::new()], &[], &sources(&server)), Ok(Vec::new()));
    }
    assert!(server.asked().is_empty());
}

#[test]
fn what_may_pass_is_asked_for_again() {
    for passing in [Reply::status(503), Reply::status(429), Reply::CutShort] {
        let server = Server::start(
            move |_, before| {
                if before < 2 { passing.clone() } else { Reply::ok(LIST.to_vec()) }
            },
        );
        assert!(ask(&server, |_| ()).is_ok());
        assert_eq!(server.asked().len(), 3);
    }
}

#[test]
fn patience_ends() {
    let server = Server::start(|_, _| Reply::status(503));
    let gone = ask(&server, |_| ());
    assert!(matches!(gone, Err(FetchError::Unreachable { .. })), "{gone:?}");
    assert_eq!(server.asked().len(), 3);
    assert!(ask(&server, |sources| sources.rounds = 0).is_err());
    assert_eq!(server.asked().len(), 4);
}

#[test]
fn a_silent_service_is_given_up() {
    let server = Server::start(|_, _| Reply::Silence);
    let silent = ask(&server, |sources| {
        sources.timeout = Duration::from_millis(50);
        sources.rounds = 1;
    });
    assert!(matches!(silent, Err(FetchError::Unreachable { .. })), "{silent:?}");
}

#[test]
fn nobody_at_the_address_is_told() {
    let server = Server::start(|_, _| Reply::Silence);
    let url = server.url.clone();
    drop(server);
    let sources = Sources { nitro_crls: vec![url], rounds: 1, ..Sources::default() };
    let gone = fetch(EvidenceKind::Nitro, &[Vec::new()], &[], &sources);
    assert!(matches!(gone, Err(FetchError::Unreachable { .. })), "{gone:?}");
}

#[test]
fn what_lasts_is_asked_for_once() {
    for (status, not_found) in [(404, true), (400, false), (401, false), (204, false)] {
        let server = Server::start(move |_, _| Reply::status(status));
        match ask(&server, |_| ()) {
            Err(FetchError::NotFound { what: "revocation list", .. }) => assert!(not_found),
            Err(FetchError::Refused { status: told, .. }) => assert_eq!((told, not_found), (status, false)),
            other => panic!("{other:?}"),
        }
        assert_eq!(server.asked().len(), 1);
    }
}

#[test]
fn a_service_that_sends_elsewhere_is_not_followed() {
    let server = Server::start(|path, _| match path {
        "/list" => Reply::Whole(302, vec![("location", "/elsewhere".to_owned())], Vec::new()),
        _ => Reply::ok(LIST.to_vec()),
    });
    let sent = ask(&server, |_| ());
    assert!(matches!(sent, Err(FetchError::Malformed { .. } | FetchError::Refused { .. })), "{sent:?}");
    assert_eq!(server.asked(), ["/list"]);
}

#[test]
fn an_oversized_answer_is_refused() {
    let server = Server::start(|_, _| Reply::ok([&LIST[..], &[0; 96 * 1024]].concat()));
    let large = ask(&server, |_| ());
    assert!(matches!(large, Err(FetchError::Malformed { .. })), "{large:?}");
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn an_answer_that_is_no_list_is_refused() {
    for body in [&b""[..], b"<html>", b"31", b"30 01", b"300"] {
        let server = Server::start(|_, _| Reply::ok(body.to_vec()));
        let other = ask(&server, |_| ());
        assert!(matches!(other, Err(FetchError::Malformed { .. })), "{other:?}");
    }
}

#[test]
fn what_is_no_url_is_asked_for_nowhere() {
    let server = Server::start(|_, _| Reply::ok(LIST.to_vec()));
    for url in ["", "list", "ftp://x/", "file:///etc/passwd", "http://", "http:///list"] {
        let refused = ask(&server, |sources| sources.nitro_crls = vec![url.to_owned()]);
        assert_eq!(refused, Err(FetchError::Url(url.to_owned())));
    }
    assert!(server.asked().is_empty());
}

#[test]
fn the_default_services_are_the_vendors() {
    let sources = Sources::default();
    assert_eq!(sources.intel, "https://api.trustedservices.intel.com");
    assert_eq!(sources.amd, "https://kdsintf.amd.com");
    let cached = sources.with_intel_cache("https://cache.example/");
    assert_eq!(cached.intel, "https://cache.example");
    assert_eq!(cached.intel_root_crl, "https://cache.example/sgx/certification/v4/rootcacrl");
}
