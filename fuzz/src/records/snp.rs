//! SEV-SNP reports and what endorses them.

use pox_core::UnixTime;
use pox_core::receipt::Endorsement;
use pox_devtee::Seed;
use pox_devtee::snp::{Line, Report, Signer, Tcb, VekCertificate, Vendor};
use pox_verify::evidence::roots::{RootStanding, VendorRoots};
use pox_verify::evidence::snp::{self, REPORT_BYTES};
use std::sync::LazyLock;

/// A genuine report, VCEK, ASK and list, and the root that they lead to.
static GENUINE: LazyLock<([Vec<u8>; 4], VendorRoots)> = LazyLock::new(|| {
    let vendor = Vendor::new(&Seed([0xf2; 32]), Line::Turin);
    let (chip, tcb) = (Line::Turin.chip(&Seed([0xf2; 32]), "fuzzed"), Tcb::default());
    let report = Report::genuine(Line::Turin, Signer::Vcek, 5, chip, tcb);
    let quote = vendor.sign(&report, Signer::Vcek, &chip, tcb);
    let given = vendor.endorsements(&VekCertificate::vcek(chip, tcb));
    let amd = vec![vendor.ark()];
    let roots = VendorRoots { intel: vec![], amd, aws: vec![], standing: RootStanding::Development };
    ([quote, given.vek, given.ask, given.crl], roots)
});

/// The input is a report alone.
pub(crate) fn report(input: &[u8]) {
    if snp::Report::parse(input).is_ok() {
        assert_eq!(input.len(), REPORT_BYTES);
    }
}

/// The input is which piece of a genuine evidence it takes the place of, and the piece. No other than the genuine is accepted.
pub(crate) fn evidence(mut input: &[u8]) {
    let (mut pieces, roots) = GENUINE.clone();
    let place = usize::from(pox_fuzz::byte(&mut input)) % pieces.len();
    let genuine = pieces[place] == input;
    pieces[place] = input.to_vec();
    let [quote, endorsements @ ..] = pieces;
    let endorsements: Vec<Endorsement> =
        (2..).zip(endorsements).map(|(kind, content)| Endorsement { kind, content }).collect();
    let launch = snp::appraise(&quote, &endorsements, &roots, UnixTime(1_767_225_600));
    assert_eq!(launch.is_ok(), genuine, "{launch:?}");
}

pub(crate) fn reports() -> Vec<Vec<u8>> {
    vec![GENUINE.0[0].clone()]
}

pub(crate) fn evidences() -> Vec<Vec<u8>> {
    (0..).zip(&GENUINE.0).map(|(place, piece)| [&[place], piece.as_slice()].concat()).collect()
}
