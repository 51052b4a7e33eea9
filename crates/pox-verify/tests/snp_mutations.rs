//! No byte of a SEV-SNP evidence can be changed, left out or added.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

#[path = "support/snp.rs"]
mod support;

use pox_devtee::snp::{Line, Signer};
use pox_verify::evidence::snp::{BadReport, Chain, Link, SnpRejection};
use support::{Case, Evidence};

fn cases() -> [Evidence; 2] {
    let mut operator = Case::genuine(Line::Turin, Signer::Vlek, 5);
    operator.crl.revoked = vec![vec![9], vec![8, 7]];
    [Case::genoa().build(), operator.build()]
}

#[test]
fn every_byte_of_a_report_counts() {
    for evidence in cases() {
        let chain = Chain::verify(&evidence.endorsements, &evidence.roots, evidence.at).unwrap();
        assert!(chain.appraise(&evidence.quote).is_ok());
        let mut quote = evidence.quote.clone();
        for at in 0..quote.len() {
            let flip = 1 << (at % 8);
            quote[at] ^= flip;
            assert!(chain.appraise(&quote).is_err(), "byte {at:#x}");
            quote[at] ^= flip;
        }
    }
}

#[test]
fn every_byte_of_an_endorsement_counts() {
    for mut evidence in cases() {
        for number in 0..evidence.endorsements.len() {
            for at in 0..evidence.endorsements[number].content.len() {
                let flip = 1 << (at % 8);
                evidence.endorsements[number].content[at] ^= flip;
                let chain = Chain::verify(&evidence.endorsements, &evidence.roots, evidence.at);
                assert!(chain.is_err(), "endorsement {number}, byte {at:#x}");
                evidence.endorsements[number].content[at] ^= flip;
            }
        }
        assert!(evidence.appraise().is_ok());
    }
}

#[test]
fn a_truncated_or_oversized_report_is_refused() {
    let [evidence, _] = cases();
    for length in [0, 1, 4, 0x29f, 0x2a0, 1183] {
        let mut cut = evidence.clone();
        cut.quote.truncate(length);
        assert_eq!(cut.appraise(), Err(SnpRejection::Report(BadReport::Length(length))));
    }
    let mut longer = evidence.clone();
    longer.quote.push(0);
    assert_eq!(longer.appraise(), Err(SnpRejection::Report(BadReport::Length(1185))));
}

#[test]
fn a_truncated_or_oversized_endorsement_is_refused() {
    let [evidence, _] = cases();
    let links = [Link::Vek, Link::Ask, Link::Crl];
    for (number, expected) in links.into_iter().enumerate() {
        let content = evidence.endorsements[number].content.clone();
        let mut wrong: Vec<Vec<u8>> =
            (0..content.len()).step_by(37).map(|length| content[..length].to_vec()).collect();
        wrong.push([content.as_slice(), &[0]].concat());
        wrong.push(vec![0x30; 1 << 20]);
        // A length of 4 GiB, of which nothing follows.
        wrong.push(vec![0x30, 0x84, 0xff, 0xff, 0xff, 0xff]);
        for bytes in wrong {
            let mut evidence = evidence.clone();
            evidence.endorsements[number].content = bytes;
            let refused = evidence.appraise();
            assert!(
                matches!(refused, Err(SnpRejection::Malformed { link, .. }) if link == expected),
                "{refused:?}"
            );
        }
    }
}
