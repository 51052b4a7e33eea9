//! Endorsements from stand-ins for the vendors' services, which serve what was recorded or what development vendors sign.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod amd;
mod intel;
mod server;
mod services;

use pox_core::receipt::Endorsement;
use pox_node::endorsements::Sources;
use server::Server;
use std::path::Path;
use std::time::Duration;

/// One service for all, and little patience.
fn sources(server: &Server) -> Sources {
    Sources {
        intel: server.url.clone(),
        intel_root_crl: format!("{}/root.der", server.url),
        amd: server.url.clone(),
        nitro_crls: Vec::new(),
        timeout: Duration::from_secs(10),
        rounds: 3,
        first_pause: Duration::from_millis(1),
    }
}

/// A recorded file; they are beside the judge's tests.
fn recorded(path: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pox-verify/tests/data");
    std::fs::read(folder.join(path)).unwrap()
}

fn codes(endorsements: &[Endorsement]) -> Vec<u16> {
    endorsements.iter().map(|endorsement| endorsement.kind).collect()
}

fn pem(certificates: &[&[u8]]) -> Vec<u8> {
    let blocks: Vec<_> = certificates.iter().map(|der| pem::Pem::new("CERTIFICATE", *der)).collect();
    pem::encode_many(&blocks).into_bytes()
}
