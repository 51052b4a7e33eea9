//! AWS Nitro attestation documents: recorded ones, those of a development vendor, and every way in which one can be wrong.

mod attacks;
mod bytes;
mod chains;
mod crls;
mod fields;
mod recorded;

use pox_core::UnixTime;
use pox_core::receipt::Endorsement;
use pox_devtee::Seed;
use pox_devtee::nitro::{Chain, Document, Vendor};
use pox_verify::evidence::launch::{Launch, Window};
use pox_verify::evidence::nitro::{NitroRejection, appraise};
use pox_verify::evidence::roots::{RootStanding, VendorRoots};
use std::sync::LazyLock;

/// When the enclaves of these tests are launched.
const LAUNCHED: u64 = 1_800_000_000;
/// When their documents are made, milliseconds.
const MADE: u64 = (LAUNCHED + 60) * 1000 + 999;
const REPORT_DATA: [u8; 64] = [0x42; 64];

fn vendor() -> Vendor {
    Vendor::new(Seed([7; 32]))
}

fn chain() -> Chain {
    vendor().chain(LAUNCHED)
}

/// A document with 16 registers, as the device gives it.
fn document(chain: &Chain) -> Document {
    let register = |index: u8| if index < 5 { [index + 1; 48] } else { [0; 48] };
    chain.document(
        &vendor().module_id(),
        MADE,
        (0..16).map(|index| (index, register(index))),
        Some(&REPORT_DATA),
    )
}

/// The development vendor's.
static ROOTS: LazyLock<VendorRoots> = LazyLock::new(|| roots(vendor().root()));

fn roots(aws: Vec<u8>) -> VendorRoots {
    VendorRoots { intel: Vec::new(), amd: Vec::new(), aws, standing: RootStanding::Development }
}

fn window() -> Window {
    Window { from: UnixTime(LAUNCHED), until: UnixTime(LAUNCHED + 3600) }
}

/// Judges with the development vendor's root.
fn judge(quote: &[u8]) -> Result<Launch, NitroRejection> {
    judge_with(quote, &[])
}

fn judge_with(quote: &[u8], crls: &[Vec<u8>]) -> Result<Launch, NitroRejection> {
    let endorsements: Vec<Endorsement> =
        crls.iter().map(|content| Endorsement { kind: 5, content: content.clone() }).collect();
    appraise(quote, &endorsements, &ROOTS, window())
}
