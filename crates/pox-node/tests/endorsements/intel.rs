//! Intel's service, and a cache of it.

use super::server::{Reply, Server};
use super::{recorded, sources};
use pox_core::UnixTime;
use pox_core::evidence::EvidenceKind;
use pox_node::Endorser;
use pox_node::endorsements::{FetchError, fetch};
use pox_verify::evidence::dcap::{Collateral, ENDORSEMENT_KIND, PckChain, appraise};
use pox_verify::evidence::launch::TcbStatus;
use pox_verify::evidence::roots::{RootStanding, VendorRoots};
use serde_json::Value;
use std::slice;

/// What a PCK certificate chain ends with.
const END: &[u8] = b"-----END CERTIFICATE-----";
/// 2025-06-20.
const AT: UnixTime = UnixTime(1_750_377_600);

/// A recorded collateral, taken apart into what Intel's service gives.
struct Recorded {
    object: Value,
    form: Form,
}

/// In which form lists are served.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    Der,
    Hexadecimal,
}

impl Recorded {
    fn new(path: &str, form: Form) -> Self {
        Self { object: serde_json::from_slice(&recorded(path)).unwrap(), form }
    }

    fn text(&self, member: &str) -> &str {
        self.object[member].as_str().unwrap()
    }

    fn table(&self, name: &str, member: &str, header: &'static str) -> Reply {
        let (text, signature) = (self.text(member), self.text(&format!("{member}_signature")));
        let body = format!(r#"{{"{name}":{text},"signature":"{signature}"}}"#);
        let chain = self.text(&format!("{member}_issuer_chain"));
        let encoded: String = chain.bytes().map(|byte| format!("%{byte:02X}")).collect();
        Reply::Whole(200, vec![(header, encoded)], body.into_bytes())
    }

    fn list(&self, member: &str) -> Reply {
        let text = self.text(member);
        Reply::ok(match self.form {
            Form::Der => hex::decode(text).unwrap(),
            Form::Hexadecimal => format!("{text}\n").into_bytes(),
        })
    }

    fn answer(&self, path: &str) -> Reply {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        match (path.trim_start_matches("/sgx").trim_start_matches("/tdx"), query) {
            ("/certification/v4/tcb", _) => self.table("tcbInfo", "tcb_info", "TCB-Info-Issuer-Chain"),
            ("/certification/v4/qe/identity", _) => {
                self.table("enclaveIdentity", "qe_identity", "SGX-Enclave-Identity-Issuer-Chain")
            }
            ("/certification/v4/pckcrl", _) => self.list("pck_crl"),
            ("/root.der" | "/certification/v4/rootcacrl", "") => self.list("root_ca_crl"),
            _ => Reply::status(404),
        }
    }
}

fn serve(collateral: &str, form: Form) -> Server {
    let recorded = Recorded::new(collateral, form);
    Server::start(move |path, _| recorded.answer(path))
}

fn roots() -> VendorRoots {
    let intel = recorded("dcap/dcap-qvl/TrustedRootCA.der");
    VendorRoots { intel, amd: Vec::new(), aws: Vec::new(), standing: RootStanding::Vendor }
}

#[test]
fn an_enclave_of_a_recorded_machine_is_judged_by_what_is_fetched_for_it() {
    let collateral = "dcap/dcap-qvl/sgx_quote_collateral.json";
    let quote = recorded("dcap/dcap-qvl/sgx_quote");
    let server = serve(collateral, Form::Der);
    let fetched = fetch(EvidenceKind::Sgx, slice::from_ref(&quote), &[], &sources(&server)).unwrap();
    let expected = Collateral::from_json(&recorded(collateral), PckChain::Drop).unwrap();
    assert_eq!((fetched.len(), fetched[0].kind), (1, ENDORSEMENT_KIND));
    assert_eq!(fetched[0].content, expected.to_bytes());
    let launch = appraise(EvidenceKind::Sgx, &quote, &fetched, &roots(), AT).unwrap();
    assert_eq!(launch.tcb.status, TcbStatus::ConfigurationAndSwHardeningNeeded);
    let asked = server.asked();
    assert!(asked[0].starts_with("/sgx/certification/v4/tcb?fmspc="), "{asked:?}");
    assert_eq!(asked[1..], ["/sgx/certification/v4/qe/identity", asked[2].as_str(), "/root.der"]);
}

#[test]
fn a_td_of_a_recorded_machine_is_judged_by_what_is_fetched_for_it() {
    let quote = recorded("dcap/dcap-qvl/tdx_quote");
    let server = serve("dcap/dcap-qvl/tdx_quote_collateral.json", Form::Der);
    let fetched = fetch(EvidenceKind::Tdx, slice::from_ref(&quote), &[], &sources(&server)).unwrap();
    let launch = appraise(EvidenceKind::Tdx, &quote, &fetched, &roots(), AT).unwrap();
    assert_eq!(launch.tcb.status, TcbStatus::UpToDate);
    let expected = [
        "/tdx/certification/v4/tcb?fmspc=B0C06F000000",
        "/tdx/certification/v4/qe/identity",
        "/sgx/certification/v4/pckcrl?ca=platform&encoding=der",
        "/root.der",
    ];
    assert_eq!(server.asked(), expected);
}

#[test]
fn a_cache_may_give_lists_as_text() {
    let quote = recorded("dcap/dcap-qvl/tdx_quote");
    let server = serve("dcap/dcap-qvl/tdx_quote_collateral.json", Form::Hexadecimal);
    let sources = sources(&server).with_intel_cache(&format!("{}/", server.url));
    let fetched = fetch(EvidenceKind::Tdx, slice::from_ref(&quote), &[], &sources).unwrap();
    assert!(appraise(EvidenceKind::Tdx, &quote, &fetched, &roots(), AT).is_ok());
    assert_eq!(server.asked().last().unwrap(), "/sgx/certification/v4/rootcacrl");
}

#[test]
fn a_padded_quote_says_what_to_ask_for_too() {
    let quote = recorded("dcap/go-tdx-guest/cos-113-tdx-quote.dat");
    let server = serve("dcap/assembled/tdx_00806f050000_2025-07.json", Form::Der);
    let fetched = fetch(EvidenceKind::Tdx, slice::from_ref(&quote), &[], &sources(&server)).unwrap();
    assert!(appraise(EvidenceKind::Tdx, &quote, &fetched, &roots(), UnixTime(1_752_105_600)).is_ok());
    assert_eq!(server.asked()[0], "/tdx/certification/v4/tcb?fmspc=00806F050000");
}

#[test]
fn collateral_that_is_there_is_not_fetched_again() {
    let quote = recorded("dcap/dcap-qvl/tdx_quote");
    let server = Server::start(|_, _| Reply::status(500));
    let held = vec![pox_core::receipt::Endorsement { kind: ENDORSEMENT_KIND, content: vec![1] }];
    assert_eq!(fetch(EvidenceKind::Tdx, &[quote], &held, &sources(&server)), Ok(held));
    assert!(server.asked().is_empty());
}

#[test]
fn two_quotes_of_one_machine_share_what_is_fetched() {
    let quote = recorded("dcap/dcap-qvl/tdx_quote");
    let server = serve("dcap/dcap-qvl/tdx_quote_collateral.json", Form::Der);
    let endorser: &dyn Endorser = &sources(&server);
    let fetched = endorser.endorse(EvidenceKind::Tdx, &[quote.clone(), quote]).unwrap();
    assert_eq!((fetched.len(), server.asked().len()), (1, 4));
}

#[test]
fn a_quote_that_does_not_name_its_platform_asks_nobody() {
    let server = serve("dcap/dcap-qvl/tdx_quote_collateral.json", Form::Der);
    let quote = recorded("dcap/dcap-qvl/tdx_quote");
    let end = quote.windows(END.len()).rposition(|window| window == END).unwrap() + END.len();
    for length in (0..end).step_by(7).chain([end - 1]) {
        let cut = fetch(EvidenceKind::Tdx, &[quote[..length].to_vec()], &[], &sources(&server));
        assert!(matches!(cut, Err(FetchError::Quote(_))), "{length} bytes");
    }
    let mut other = quote;
    other[0] = 2;
    let version = fetch(EvidenceKind::Tdx, &[other], &[], &sources(&server));
    assert!(matches!(version, Err(FetchError::Quote(_))));
    assert!(server.asked().is_empty());
}

#[test]
fn an_answer_that_is_no_table_is_refused() {
    let quote = recorded("dcap/dcap-qvl/tdx_quote");
    let broken: [fn(Reply) -> Reply; 6] = [
        |_| Reply::ok(b"<html>".to_vec()),
        |_| Reply::ok(b"{}".to_vec()),
        |_| Reply::ok(br#"{"tcbInfo":[],"signature":"00"}"#.to_vec()),
        // Without the chain, with a chain that is none, and with a signature that is too short.
        |reply| without_header(reply, None),
        |reply| without_header(reply, Some("%2")),
        |reply| match reply {
            Reply::Whole(status, headers, body) => {
                let text = String::from_utf8(body).unwrap().replace(r#""signature":""#, r#""signature":"00"#);
                Reply::Whole(status, headers, text.into_bytes())
            }
            other => other,
        },
    ];
    for change in broken {
        let recorded = Recorded::new("dcap/dcap-qvl/tdx_quote_collateral.json", Form::Der);
        let server = Server::start(move |path, _| {
            let reply = recorded.answer(path);
            if path.contains("/tcb?") { change(reply) } else { reply }
        });
        let fetched = fetch(EvidenceKind::Tdx, slice::from_ref(&quote), &[], &sources(&server));
        assert!(matches!(fetched, Err(FetchError::Malformed { what: "TCB info", .. })), "{fetched:?}");
    }
}

fn without_header(reply: Reply, other: Option<&str>) -> Reply {
    let Reply::Whole(status, headers, body) = reply else { return reply };
    let headers =
        headers.into_iter().filter_map(|(name, _)| other.map(|value| (name, value.to_owned()))).collect();
    Reply::Whole(status, headers, body)
}
