//! AMD's service.

use super::server::{Reply, Server};
use super::{codes, pem, recorded, sources};
use pox_core::UnixTime;
use pox_core::evidence::EvidenceKind;
use pox_core::receipt::Endorsement;
use pox_devtee::Seed;
use pox_devtee::snp::{Line, Report, Signer, Tcb, VekCertificate, Vendor};
use pox_node::endorsements::{FetchError, fetch};
use pox_verify::evidence::roots::{RootStanding, VendorRoots};
use pox_verify::evidence::snp::appraise;
use std::slice;

const SEED: Seed = Seed([0x5a; 32]);
const AT: UnixTime = UnixTime(1_767_225_600);
/// What a recorded Milan chip's certificate is found under.
const MILAN: &str = "?blSPL=03&teeSPL=00&snpSPL=08&ucodeSPL=115";

/// A development vendor's machine: its report, its service, and its root.
struct Machine {
    quote: Vec<u8>,
    key: Vec<u8>,
    server: Server,
    roots: VendorRoots,
}

fn machine(line: Line, signer: Signer, version: u32) -> Machine {
    let vendor = Vendor::new(&SEED, line);
    let (chip, tcb) = (line.chip(&SEED, "one"), Tcb::default());
    let (key, shown) = match signer {
        Signer::Vcek => (VekCertificate::vcek(chip, tcb), chip),
        Signer::Vlek => (VekCertificate::vlek(tcb), [0; 64]),
    };
    let quote = vendor.sign(&Report::genuine(line, signer, version, shown, tcb), signer, &key.chip, tcb);
    let given = vendor.endorsements(&key);
    let roots = VendorRoots {
        intel: Vec::new(),
        amd: vec![vendor.ark()],
        aws: Vec::new(),
        standing: RootStanding::Development,
    };
    let chain = pem(&[&given.ask, &vendor.ark()]);
    let (served, list) = (given.vek.clone(), given.crl.clone());
    let of_line = format!("/v1/{}/", line.name());
    let server = Server::start(move |path, _| {
        let Some((_, rest)) = path.split_once(&of_line) else { return Reply::status(404) };
        Reply::ok(match rest {
            "cert_chain" => chain.clone(),
            "crl" => list.clone(),
            _ => served.clone(),
        })
    });
    Machine { quote, key: given.vek, server, roots }
}

impl Machine {
    fn fetch(&self, held: &[Endorsement]) -> Result<Vec<Endorsement>, FetchError> {
        fetch(EvidenceKind::Snp, slice::from_ref(&self.quote), held, &sources(&self.server))
    }

    fn held(&self) -> Vec<Endorsement> {
        vec![Endorsement { kind: 2, content: self.key.clone() }]
    }
}

#[test]
fn a_report_of_each_line_is_judged_by_what_is_fetched_for_it() {
    for (line, version) in [(Line::Milan, 3), (Line::Genoa, 3), (Line::Turin, 5)] {
        let machine = machine(line, Signer::Vcek, version);
        let fetched = machine.fetch(&[]).unwrap();
        assert_eq!(codes(&fetched), [2, 3, 4]);
        assert!(appraise(&machine.quote, &fetched, &machine.roots, AT).is_ok());
        let asked = machine.server.asked();
        let base = format!("/vcek/v1/{}", line.name());
        let has_fmc = asked[0].contains("?fmcSPL=");
        assert_eq!(has_fmc, line == Line::Turin, "{}", asked[0]);
        let digits = if line == Line::Turin { 16 } else { 128 };
        assert_eq!(asked[0].find('?'), Some(base.len() + 1 + digits));
        assert_eq!(asked[1..], [format!("{base}/cert_chain"), format!("{base}/crl")]);
    }
}

#[test]
fn a_recorded_chip_is_asked_for_by_its_id_and_its_firmware() {
    let quote = recorded("snp/milan-report.bin");
    let key = recorded("snp/milan-vcek.der");
    let chain = pem(&[&recorded("snp/milan-ask.der"), &recorded("snp/milan-ark.der")]);
    let served = key.clone();
    let server = Server::start(move |path, _| match path {
        "/vcek/v1/Milan/cert_chain" => Reply::ok(chain.clone()),
        "/vcek/v1/Milan/crl" => Reply::ok(vec![0x30, 0]),
        path if path.ends_with(MILAN) => Reply::ok(served.clone()),
        _ => Reply::status(404),
    });
    let fetched = fetch(EvidenceKind::Snp, slice::from_ref(&quote), &[], &sources(&server)).unwrap();
    assert_eq!((codes(&fetched), &fetched[0].content), (vec![2, 3, 4], &key));
    assert_eq!(fetched[1].content, recorded("snp/milan-ask.der"));
    let chip = hex::encode(&quote[0x1a0..0x1e0]);
    assert_eq!(server.asked()[0], format!("/vcek/v1/Milan/{chip}{MILAN}"));
}

#[test]
fn a_report_without_a_processor_is_asked_for_under_each_line() {
    let machine = machine(Line::Genoa, Signer::Vcek, 2);
    let fetched = machine.fetch(&[]).unwrap();
    assert!(appraise(&machine.quote, &fetched, &machine.roots, AT).is_ok());
    let asked = machine.server.asked();
    assert!(asked[0].starts_with("/vcek/v1/Milan/") && asked[1].starts_with("/vcek/v1/Genoa/"));
    // With the certificate at hand, its issuer tells.
    let fetched = machine.fetch(&machine.held()).unwrap();
    assert!(appraise(&machine.quote, &fetched, &machine.roots, AT).is_ok());
}

#[test]
fn what_came_with_a_report_is_not_fetched_again() {
    let machine = machine(Line::Turin, Signer::Vcek, 5);
    let fetched = machine.fetch(&machine.held()).unwrap();
    assert!(appraise(&machine.quote, &fetched, &machine.roots, AT).is_ok());
    assert_eq!(machine.server.asked(), ["/vcek/v1/Turin/cert_chain", "/vcek/v1/Turin/crl"]);
    assert_eq!(machine.fetch(&fetched), Ok(fetched));
    assert_eq!(machine.server.asked().len(), 2);
}

#[test]
fn an_operators_certificate_comes_from_its_host_only() {
    let machine = machine(Line::Genoa, Signer::Vlek, 3);
    assert!(matches!(machine.fetch(&[]), Err(FetchError::Quote(_))));
    let fetched = machine.fetch(&machine.held()).unwrap();
    assert!(appraise(&machine.quote, &fetched, &machine.roots, AT).is_ok());
    assert_eq!(machine.server.asked(), ["/vlek/v1/Genoa/cert_chain", "/vlek/v1/Genoa/crl"]);
}

#[test]
fn a_report_that_hides_its_chip_asks_nobody() {
    let mut machine = machine(Line::Genoa, Signer::Vcek, 3);
    machine.quote[0x1a0..0x1e0].fill(0);
    assert!(matches!(machine.fetch(&[]), Err(FetchError::Quote(_))));
    machine.quote.truncate(1000);
    assert!(matches!(machine.fetch(&[]), Err(FetchError::Quote(_))));
    assert!(machine.server.asked().is_empty());
}

#[test]
fn a_chip_that_the_vendor_does_not_know_is_told_apart() {
    let machine = machine(Line::Genoa, Signer::Vcek, 3);
    let server = Server::start(|_, _| Reply::status(404));
    let fetched = fetch(EvidenceKind::Snp, slice::from_ref(&machine.quote), &[], &sources(&server));
    assert!(matches!(fetched, Err(FetchError::NotFound { what: "key certificate", .. })));
}
