//! Revocation lists: optional, and honoured.

use super::{LAUNCHED, MADE, chain, document, judge_with, roots, vendor, window};
use pox_core::UnixTime;
use pox_core::receipt::Endorsement;
use pox_devtee::Seed;
use pox_devtee::nitro::{Crl, Vendor};
use pox_verify::evidence::launch::Window;
use pox_verify::evidence::nitro::{CrlFault, NitroRejection, appraise};
use x509_cert::der::asn1::{ObjectIdentifier, OctetString};
use x509_cert::ext::Extension;

const WEEK: u64 = 7 * 24 * 3600;

fn crl(issuer: usize, revoked: &[usize]) -> Crl {
    chain().crl(issuer, LAUNCHED, revoked)
}

fn judge(crls: &[Crl]) -> Result<Option<Window>, NitroRejection> {
    let crls: Vec<_> = crls.iter().map(Crl::der).collect();
    judge_with(&chain().sign(&document(&chain())), &crls).map(|launch| launch.endorsed)
}

fn changed(issuer: usize, change: impl FnOnce(&mut Crl)) -> Result<Option<Window>, NitroRejection> {
    let mut crl = crl(issuer, &[]);
    change(&mut crl);
    judge(&[crl])
}

fn extension(oid: &str, critical: bool, value: &[u8]) -> Extension {
    let extn_value = OctetString::new(value).expect("some bytes fit");
    Extension { extn_id: ObjectIdentifier::new_unwrap(oid), critical, extn_value }
}

#[test]
fn lists_that_revoke_nothing_say_until_when_they_hold() {
    let whole = Window { from: UnixTime(LAUNCHED), until: UnixTime(LAUNCHED + WEEK) };
    assert_eq!(judge(&[]), Ok(None));
    assert_eq!(judge(&[crl(0, &[])]), Ok(Some(whole)));
    let mut second = crl(1, &[]);
    second.this_update += 10;
    second.next_update = Some(LAUNCHED + 20);
    let both = Window { from: UnixTime(LAUNCHED + 10), until: UnixTime(LAUNCHED + 20) };
    assert_eq!(judge(&[crl(0, &[]), second.clone(), crl(2, &[])]), Ok(Some(both)));
}

#[test]
fn a_revoked_certificate_is_refused() {
    for issuer in 0..3 {
        let mut longer = crl(issuer, &[issuer + 1]);
        longer.revoked.insert(0, vec![1; 20]);
        assert_eq!(judge(&[longer]), Err(NitroRejection::Revoked(issuer + 1)));
    }
}

#[test]
fn a_serial_number_of_another_issuer_revokes_nothing() {
    for issuer in 0..3 {
        let others: Vec<usize> = (0..5).filter(|position| *position != issuer + 1).collect();
        assert!(judge(&[crl(issuer, &others)]).is_ok());
    }
}

#[test]
fn a_later_list_revokes_too() {
    let mut later = crl(1, &[2]);
    later.this_update = MADE / 1000 + WEEK;
    later.next_update = Some(later.this_update + WEEK);
    assert_eq!(judge(&[later]), Err(NitroRejection::Revoked(2)));
}

#[test]
fn a_forged_list_is_refused() {
    let another = Vendor::new(Seed([8; 32])).chain(LAUNCHED);
    for position in 0..3 {
        let forged = changed(position, |crl| crl.issuer.key = another.links[position].key.clone());
        assert_eq!(forged, Err(NitroRejection::Crl { position, fault: CrlFault::Signature }));
    }
}

#[test]
fn a_list_of_an_authority_that_may_not_sign_any_is_refused() {
    let judged = judge(&[crl(3, &[4])]);
    assert_eq!(judged, Err(NitroRejection::Crl { position: 3, fault: CrlFault::NotIssuer }));
}

#[test]
fn a_list_of_somebody_else_says_nothing() {
    let another = Vendor::new(Seed([8; 32])).chain(LAUNCHED);
    assert_eq!(judge(&[another.crl(1, LAUNCHED, &[2])]), Ok(None));
}

#[test]
fn a_list_without_an_end_is_refused() {
    let fault = || Err(NitroRejection::Crl { position: 1, fault: CrlFault::Window });
    assert_eq!(changed(1, |crl| crl.next_update = None), fault());
    assert_eq!(changed(1, |crl| crl.next_update = Some(LAUNCHED - 1)), fault());
    assert!(changed(1, |crl| crl.next_update = Some(LAUNCHED)).is_ok());
}

#[test]
fn lists_that_never_hold_together_are_refused() {
    let mut early = crl(1, &[]);
    early.this_update = LAUNCHED - WEEK;
    early.next_update = Some(LAUNCHED - 1);
    let judged = judge(&[crl(0, &[]), early]);
    assert_eq!(judged, Err(NitroRejection::Crl { position: 1, fault: CrlFault::Disjoint }));
}

#[test]
fn a_list_that_leaves_certificates_out_is_refused() {
    let partial = || Err(NitroRejection::Crl { position: 1, fault: CrlFault::Partial });
    // A delta; lists of users' certificates, of authorities', for one reason, of other issuers, of attributes.
    let delta = extension("2.5.29.27", true, &[0x02, 0x01, 0x01]);
    assert_eq!(changed(1, |crl| crl.extensions.push(delta)), partial());
    let points: [&[u8]; 5] = [
        &[0x30, 0x03, 0x81, 0x01, 0xff],
        &[0x30, 0x03, 0x82, 0x01, 0xff],
        &[0x30, 0x04, 0x83, 0x02, 0x06, 0x40],
        &[0x30, 0x03, 0x84, 0x01, 0xff],
        &[0x30, 0x03, 0x85, 0x01, 0xff],
    ];
    for point in points {
        let point = extension("2.5.29.28", true, point);
        assert_eq!(changed(1, |crl| crl.extensions.push(point)), partial());
    }
    // One that only says where the list is kept.
    let place = [&[0x30, 0x0f, 0xa0, 0x0d, 0xa0, 0x0b, 0x86, 0x09][..], b"http://x/"].concat();
    let place = extension("2.5.29.28", true, &place);
    assert!(changed(1, |crl| crl.extensions.push(place)).is_ok());
}

#[test]
fn a_list_with_an_unknown_critical_extension_is_refused() {
    let partial = || Err(NitroRejection::Crl { position: 1, fault: CrlFault::Partial });
    let unknown = |critical| extension("1.3.6.1.4.1.99999.1", critical, &[5, 0]);
    assert!(changed(1, |crl| crl.extensions.push(unknown(false))).is_ok());
    assert_eq!(changed(1, |crl| crl.extensions.push(unknown(true))), partial());
    let entry = |critical| {
        changed(1, |crl| {
            crl.revoked.push(vec![1; 20]);
            crl.entry_extensions.push(unknown(critical));
        })
    };
    assert!(entry(false).is_ok());
    assert_eq!(entry(true), partial());
}

#[test]
fn every_flipped_byte_of_a_list_is_found() {
    let quote = chain().sign(&document(&chain()));
    let list = crl(1, &[]).der();
    let genuine = judge_with(&quote, std::slice::from_ref(&list)).unwrap().endorsed;
    assert!(genuine.is_some());
    for position in 0..list.len() {
        let mut flipped = list.clone();
        flipped[position] ^= 1 << (position % 8);
        // A list of another issuer's name is nobody's here; it must not count as one that holds.
        let judged = judge_with(&quote, &[flipped]);
        assert!(judged.is_err() || judged.is_ok_and(|launch| launch.endorsed.is_none()), "byte {position}");
    }
}

#[test]
fn what_is_no_list_is_refused() {
    let quote = chain().sign(&document(&chain()));
    for content in [Vec::new(), vec![0x30, 0x80], chain().certificates().swap_remove(1)] {
        assert_eq!(judge_with(&quote, &[content]).map(drop), Err(NitroRejection::MalformedCrl));
    }
    let list = crl(1, &[]).der();
    assert_eq!(judge_with(&quote, &[[list, vec![0]].concat()]).map(drop), Err(NitroRejection::MalformedCrl));
}

#[test]
fn endorsements_of_other_kinds_are_refused() {
    let quote = chain().sign(&document(&chain()));
    for kind in [0, 1, 2, 3, 4, 6, u16::MAX] {
        let endorsements = [Endorsement { kind, content: crl(1, &[]).der() }];
        let judged = appraise(&quote, &endorsements, &roots(vendor().root()), window());
        assert_eq!(judged, Err(NitroRejection::Endorsement(kind)));
    }
}

#[test]
fn more_lists_than_a_chain_needs_are_refused() {
    let quote = chain().sign(&document(&chain()));
    let lists = vec![crl(1, &[]).der(); 17];
    assert!(judge_with(&quote, &lists[..16]).is_ok());
    let judged = judge_with(&quote, &lists).map(drop);
    assert_eq!(judged, Err(NitroRejection::TooManyCrls { actual: 17, most: 16 }));
}
