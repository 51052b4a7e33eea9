//! Nitro attestation documents, and the revocation lists beside them.

use pox_core::UnixTime;
use pox_core::receipt::Endorsement;
use pox_devtee::Seed;
use pox_devtee::nitro::{Chain, Document, Vendor};
use pox_verify::evidence::launch::Window;
use pox_verify::evidence::nitro::appraise;
use pox_verify::evidence::roots::{RootStanding, VendorRoots};
use std::sync::LazyLock;

const LAUNCHED: u64 = 1_800_000_000;
const WINDOW: Window = Window { from: UnixTime(LAUNCHED), until: UnixTime(LAUNCHED + 60) };

struct Genuine {
    chain: Chain,
    document: Document,
    /// A signed document and a list of an authority in its chain.
    pieces: [Vec<u8>; 2],
    roots: VendorRoots,
}

static GENUINE: LazyLock<Genuine> = LazyLock::new(|| {
    let vendor = Vendor::new(Seed([0xf3; 32]));
    let chain = vendor.chain(LAUNCHED);
    let registers = (0..5).map(|index| (index, [index + 1; 48]));
    let document = chain.document(&vendor.module_id(), (LAUNCHED + 1) * 1000, registers, Some(&[0x42; 64]));
    let pieces = [chain.sign(&document), chain.crl(1, LAUNCHED, &[0, 1, 3]).der()];
    let (aws, standing) = (vendor.root(), RootStanding::Development);
    let roots = VendorRoots { intel: vec![], amd: vec![], aws, standing };
    Genuine { chain, document, pieces, roots }
});

/// The input is a document before it is signed, so that what is read after the signature is reached.
pub(crate) fn document(input: &[u8]) {
    let genuine = &*GENUINE;
    let key = &genuine.chain.links.last().expect("a chain has an end").key;
    let quote = genuine.document.sign_payload(key, input);
    if let Ok(launch) = appraise(&quote, &[], &genuine.roots, WINDOW) {
        assert_eq!(launch.endorsed, None);
        assert!(launch.registers.iter().filter(|register| register.measured).count() == 3);
    }
}

/// The input is which piece of a genuine evidence it takes the place of, and the piece. No other document is accepted, and no
/// other list counts.
pub(crate) fn evidence(mut input: &[u8]) {
    let mut pieces = GENUINE.pieces.clone();
    let place = usize::from(pox_fuzz::byte(&mut input)) % pieces.len();
    let genuine = pieces[place] == input || place == 0 && tagged(&pieces[0]) == input;
    pieces[place] = input.to_vec();
    let [quote, content] = pieces;
    let launch = appraise(&quote, &[Endorsement { kind: 5, content }], &GENUINE.roots, WINDOW);
    assert_eq!(launch.is_ok_and(|launch| launch.endorsed.is_some()), genuine);
}

fn tagged(quote: &[u8]) -> Vec<u8> {
    [&[0xd2], quote].concat()
}

pub(crate) fn documents() -> Vec<Vec<u8>> {
    vec![GENUINE.document.payload()]
}

pub(crate) fn evidences() -> Vec<Vec<u8>> {
    (0..).zip(&GENUINE.pieces).map(|(place, piece)| [&[place], piece.as_slice()].concat()).collect()
}
