//! Times verification natively, and writes the same cases for WebAssembly: `verification_times FOLDER`, called by `benches/wasm.sh`
//! and `.ci/run`. `ROUNDS` says how often each is run.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a measurement, which reads vectors and clocks"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use dcap_qvl::QuotePolicy;
use dcap_qvl::verify::QuoteVerifier;
use pox_core::UnixTime;
use pox_core::endorsement::{Endorsement, EndorsementKind};
use pox_core::evidence::EvidenceKind;

use pox_verify::evidence::dcap::{Collateral, PckChain};
use pox_verify::evidence::inspect::appraise;
use pox_verify::evidence::launch::Window;
use pox_verify::evidence::roots::VendorRoots;
use pox_verify::{Grade, verify};
use sev::certs::snp::{Chain, Verifiable};
use sev::firmware::guest::AttestationReport;
use sev::parser::ByteParser;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use support::hardware::{KINDS, draft, trusting};
use support::{CHAIN_ID, Draft, NOW};

/// 2025-06-20, when the recorded collateral held.
const DCAP_AT: u64 = 1_750_377_600;

fn main() {
    let folder = PathBuf::from(std::env::args_os().nth(1).expect("a folder for the cases"));
    for evidence in [sgx(), tdx(), snp(), nitro()] {
        evidence.time(&folder);
    }
    alone();
    for kind in KINDS {
        proof(&format!("proof-{kind}"), &draft(kind), &folder);
    }
    proof("proof-simulated", &Draft::default(), &folder);
}

/// The crates underneath, without what we check beside.
fn alone() {
    for (name, quote) in [("sgx", "dcap/dcap-qvl/sgx_quote"), ("tdx", "dcap/dcap-qvl/tdx_quote")] {
        let json = recorded(&format!("{quote}_collateral.json"));
        let (quote, collateral) = (recorded(quote), serde_json::from_slice(&json).unwrap());
        let verifier = QuoteVerifier::new(VendorRoots::pinned().intel);
        let policy = QuotePolicy::claims_only(DCAP_AT);
        report(&format!("dcap-qvl alone, {name}"), quote.len(), || {
            verifier.verify_with_policy(&quote, &collateral, DCAP_AT, &policy).unwrap();
        });
    }
    let [ark, ask, vek] = ["ark", "ask", "vcek"].map(|name| recorded(&format!("snp/milan-{name}.der")));
    let quote = recorded("snp/milan-report.bin");
    report("sev alone, snp", quote.len(), || {
        let chain = Chain::from_der(&ark, &ask, &vek).unwrap();
        let report = AttestationReport::from_bytes(quote.as_slice()).unwrap();
        (&chain, &report).verify().unwrap();
    });
}

/// A recorded evidence of real hardware.
struct Recorded {
    name: &'static str,
    kind: EvidenceKind,
    quote: Vec<u8>,
    endorsements: Vec<Endorsement>,
    at: u64,
}

impl Recorded {
    fn time(&self, folder: &Path) {
        let roots = VendorRoots::pinned();
        let made = Window { from: UnixTime(0), until: UnixTime(u64::MAX) };
        let run = || {
            appraise(self.kind, &self.quote, &self.endorsements, &roots, UnixTime(self.at), made).unwrap();
        };
        let size = self.quote.len() + self.endorsements.iter().map(|one| one.content.len()).sum::<usize>();
        report(&format!("evidence-{}", self.name), size, run);
        let milan = roots.amd[0].clone();
        let mut parts = vec![
            self.at.to_le_bytes().to_vec(),
            vec![self.kind as u8],
            roots.intel.clone(),
            milan,
            roots.aws.clone(),
            self.quote.clone(),
        ];
        parts
            .extend(self.endorsements.iter().map(|one| [&one.kind.to_le_bytes()[..], &one.content].concat()));
        write(folder, &format!("evidence-{}", self.name), &parts);
    }
}

fn proof(name: &str, draft: &Draft, folder: &Path) {
    let (file, mut anchors) = (draft.build().to_bytes(), trusting());
    let simulated = name == "proof-simulated";
    if simulated {
        anchors = support::anchors();
    }
    let release = anchors.releases.clone().into_iter().find(|release| {
        let alone = pox_verify::Anchors { releases: vec![release.clone()], ..anchors.clone() };
        verify(&file, &alone, Grade::Simulated, NOW).meets
    });
    let release = release.expect("one release is the proof's");
    report(name, file.len(), || assert!(verify(&file, &anchors, Grade::Simulated, NOW).meets));
    let chain = &anchors.chains[&CHAIN_ID];
    let aura = chain.authorities.aura().expect("authorities are pinned");
    let validators = &aura.sets[0].validators;
    let parts = [
        NOW.0.to_le_bytes().to_vec(),
        anchors.vendor_roots.intel.clone(),
        anchors.vendor_roots.amd[0].clone(),
        anchors.vendor_roots.aws.clone(),
        release.measurement.0.to_vec(),
        CHAIN_ID.to_le_bytes().to_vec(),
        chain.contract_code.to_vec(),
        validators.iter().flat_map(|address| address.to_vec()).collect(),
        file,
    ];
    write(folder, name, &parts);
}

fn report(name: &str, bytes: usize, run: impl Fn()) {
    let once = || {
        let begin = Instant::now();
        run();
        begin.elapsed()
    };
    let first = once();
    let rounds = std::env::var("ROUNDS").map_or(30, |rounds| rounds.parse().unwrap());
    let mut times: Vec<Duration> = (0..rounds).map(|_| once()).collect();
    times.sort();
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    println!(
        "{name:32} native, ms: least{:8.2}  median{:8.2}  first{:8.2}  {bytes:7} bytes",
        ms(times[0]),
        ms(times[rounds / 2]),
        ms(first)
    );
}

fn write(folder: &Path, name: &str, parts: &[Vec<u8>]) {
    let framed: Vec<u8> =
        parts.iter().flat_map(|part| [&(part.len() as u32).to_le_bytes()[..], part].concat()).collect();
    std::fs::write(folder.join(name), framed).unwrap();
}

fn recorded(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)).unwrap()
}

fn dcap(name: &'static str, kind: EvidenceKind, quote: &str) -> Recorded {
    let collateral =
        Collateral::from_json(&recorded(&format!("{quote}_collateral.json")), PckChain::Drop).unwrap();
    let endorsements = vec![Endorsement::new(EndorsementKind::DcapCollateral, collateral.to_bytes())];
    Recorded { name, kind, quote: recorded(quote), endorsements, at: DCAP_AT }
}

fn sgx() -> Recorded {
    dcap("sgx", EvidenceKind::Sgx, "dcap/dcap-qvl/sgx_quote")
}

fn tdx() -> Recorded {
    dcap("tdx", EvidenceKind::Tdx, "dcap/dcap-qvl/tdx_quote")
}

fn snp() -> Recorded {
    let endorsements = vec![
        Endorsement::new(EndorsementKind::SnpKey, recorded("snp/milan-vcek.der")),
        Endorsement::new(EndorsementKind::SnpIssuer, recorded("snp/milan-ask.der")),
    ];
    let quote = recorded("snp/milan-report.bin");
    Recorded { name: "snp", kind: EvidenceKind::Snp, quote, endorsements, at: 1_704_067_200 }
}

fn nitro() -> Recorded {
    let quote = recorded("nitro/document.cose");
    Recorded { name: "nitro", kind: EvidenceKind::Nitro, quote, endorsements: vec![], at: 1_766_668_500 }
}
