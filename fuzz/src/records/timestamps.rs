//! Time anchors: what calendars and authorities send, and what others hand over as such.

use pox_core::UnixTime;
use pox_fuzz::{files, repository};
use pox_verify::timestamp::ots::{Attestation, Operation, Ots, Stamp};
use pox_verify::timestamp::rfc3161::{Roots, verify};
use pox_verify::timestamp::{FileHash, TimeAnchor};
use std::fs;
use std::sync::LazyLock;

/// Ten years after the stamps that the tests have; their certificates live a hundred, but for one.
const AT: UnixTime = UnixTime(2_110_000_000);

struct Genuine {
    file: FileHash,
    roots: Roots,
    anchors: Vec<TimeAnchor>,
}

static GENUINE: LazyLock<Genuine> = LazyLock::new(|| {
    let folder = repository("crates/pox-verify/tests/data/timestamp");
    let read = |name: &str| fs::read(folder.join(name)).expect("the tests have it");
    let root = pem::parse(read("root.pem")).expect("a certificate").into_contents();
    let (file, roots) = (FileHash::of(&read("file")), Roots::parse(vec![root]).expect("a root"));
    let stamps = answers();
    let anchors = stamps.iter().filter_map(|stamp| Some(verify(stamp, file, &roots, AT).ok()?.into_inner()));
    Genuine { anchors: anchors.collect(), file, roots }
});

/// An authority's answer: whatever passes says what one of the genuine ones says.
pub(crate) fn answer(input: &[u8]) {
    let genuine = &*GENUINE;
    if let Ok(anchor) = verify(input, genuine.file, &genuine.roots, AT) {
        assert!(genuine.anchors.contains(&anchor.into_inner()));
    }
}

pub(crate) fn answers() -> Vec<Vec<u8>> {
    let stamps = files("crates/pox-verify/tests/data/timestamp");
    stamps.into_iter().filter(|file| file.first() == Some(&0x30)).collect()
}

/// A certificate that an auditor is to trust.
pub(crate) fn certificate(input: &[u8]) {
    let _ = Roots::parse(vec![input.to_vec()]);
}

pub(crate) fn certificates() -> Vec<Vec<u8>> {
    let files = files("crates/pox-verify/tests/data/timestamp");
    files.iter().filter_map(|file| Some(pem::parse(file).ok()?.into_contents())).collect()
}

/// A timestamp file: it is read as it was written, and shows nothing without a block.
pub(crate) fn ots(input: &[u8]) {
    if let Ok(ots) = Ots::parse(input) {
        assert!(Ots::verify(input, ots.file, &[]).is_err());
        assert_eq!(Ots::parse(&ots.to_bytes()), Ok(ots));
    }
}

pub(crate) fn ots_files() -> Vec<Vec<u8>> {
    let mut ots = Ots::begin(FileHash::of(b"seed"), [1; 16]);
    let message = ots.submission();
    let attestations = vec![
        Attestation::Pending { uri: "https://calendar.example".into() },
        Attestation::Bitcoin { height: 358_391 },
        Attestation::Unknown { tag: [9; 8], payload: vec![1, 2, 3] },
    ];
    let leaf = Stamp { attestations: vec![Attestation::Bitcoin { height: 1 }], branches: vec![] };
    let operations = [
        Operation::Append(vec![1, 2]),
        Operation::Prepend(vec![3]),
        Operation::Reverse,
        Operation::Hexlify,
        Operation::Keccak256,
        Operation::Ripemd160,
        Operation::Sha1,
    ];
    let branches = operations.into_iter().map(|operation| (operation, leaf.clone())).collect();
    let _ = ots.merge(&message, &Stamp { attestations, branches });
    vec![ots.to_bytes()]
}

/// What a calendar answers.
pub(crate) fn calendar(input: &[u8]) {
    if let Ok(stamp) = Stamp::parse(input) {
        let mut ots = Ots::begin(FileHash::of(b"seed"), [1; 16]);
        let message = ots.submission();
        // What would be larger or deeper than any file is not added.
        let is_added = ots.merge(&message, &stamp);
        assert_eq!(ots.merge(&message, &stamp), is_added, "the same again changes nothing");
        assert!(!is_added || Ots::parse(&ots.to_bytes()).as_ref() == Ok(&ots));
        assert_eq!(Stamp::parse(&stamp.to_bytes()), Ok(stamp));
    }
}

pub(crate) fn calendar_answers() -> Vec<Vec<u8>> {
    let files = ots_files().into_iter();
    files.filter_map(|file| Some(Ots::parse(&file).ok()?.stamp.to_bytes())).collect()
}
