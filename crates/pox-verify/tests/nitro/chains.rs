//! Chains that are wrong in one way each, signed as if they were right.

use super::{LAUNCHED, MADE, chain, document, judge, roots, window};
use pox_core::UnixTime;
use pox_devtee::nitro::{Chain, Role, Value};
use pox_verify::evidence::nitro::{CertificateFault, NitroRejection, appraise};
use x509_cert::der::asn1::{ObjectIdentifier, OctetString};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::KeyUsages;

/// What becomes of a document under a chain that was changed.
fn judge_chain(change: impl FnOnce(&mut Chain)) -> Result<(), NitroRejection> {
    let mut chain = chain();
    change(&mut chain);
    judge(&chain.sign(&document(&chain))).map(drop)
}

fn fault(position: usize, fault: CertificateFault) -> Result<(), NitroRejection> {
    Err(NitroRejection::Certificate { position, fault })
}

fn extension(oid: &str, critical: bool) -> Extension {
    let extn_value = OctetString::new(vec![0x30, 0]).expect("two bytes fit");
    Extension { extn_id: ObjectIdentifier::new_unwrap(oid), critical, extn_value }
}

#[test]
fn an_expired_chain_is_refused() {
    let made = MADE / 1000;
    for position in 1..5 {
        assert_eq!(judge_chain(|chain| chain.links[position].not_after = made), Ok(()));
        let expired = judge_chain(|chain| chain.links[position].not_after = made - 1);
        assert_eq!(expired, fault(position, CertificateFault::Expired(UnixTime(made - 1))));
    }
}

#[test]
fn a_chain_that_is_not_valid_yet_is_refused() {
    let made = MADE / 1000;
    for position in 1..5 {
        assert_eq!(judge_chain(|chain| chain.links[position].not_before = made), Ok(()));
        let early = judge_chain(|chain| chain.links[position].not_before = made + 1);
        assert_eq!(early, fault(position, CertificateFault::NotYetValid(UnixTime(made + 1))));
    }
}

#[test]
fn the_pinned_root_has_to_be_valid_too() {
    let mut expired = chain();
    expired.links[0].not_after = LAUNCHED;
    let root = expired.certificates().swap_remove(0);
    let quote = expired.sign(&document(&expired));
    let judged = appraise(&quote, &[], &roots(root), window()).map(drop);
    assert_eq!(judged, fault(0, CertificateFault::Expired(UnixTime(LAUNCHED))));
}

#[test]
fn an_authority_that_may_not_issue_is_refused() {
    for position in 1..4 {
        let signer = judge_chain(|chain| chain.links[position].role = Role::Signer);
        assert_eq!(signer, fault(position, CertificateFault::NotAuthority));
        for usage in [KeyUsages::DigitalSignature, KeyUsages::CRLSign] {
            let other = judge_chain(|chain| chain.links[position].usage = usage.into());
            assert_eq!(other, fault(position, CertificateFault::NotAuthority));
        }
        let silent = judge_chain(|chain| chain.links[position].usage = Default::default());
        assert_eq!(silent, fault(position, CertificateFault::NotAuthority));
    }
}

#[test]
fn an_enclave_that_issues_a_certificate_is_refused() {
    // The attack that basic constraints are there for: a leaf as the authority of another leaf.
    let mut longer = chain();
    let mut forged = longer.links[4].clone();
    forged.subject = "CN=forged".to_owned();
    forged.key = longer.links[1].key.clone();
    longer.links.push(forged);
    for link in &mut longer.links[1..4] {
        link.role = Role::Authority { path_len: None };
    }
    let judged = judge(&longer.sign(&document(&longer))).map(drop);
    assert_eq!(judged, fault(4, CertificateFault::NotAuthority));
}

#[test]
fn a_chain_longer_than_an_authority_allows_is_refused() {
    for position in 1..3 {
        let most = (3 - position) as u8;
        let exact = Role::Authority { path_len: Some(most) };
        assert_eq!(judge_chain(|chain| chain.links[position].role = exact), Ok(()));
        let short = Role::Authority { path_len: Some(most - 1) };
        let refused = judge_chain(|chain| chain.links[position].role = short);
        assert_eq!(refused, fault(position, CertificateFault::PathLength));
    }
}

#[test]
fn a_key_that_may_not_sign_documents_is_refused() {
    let authority = Role::Authority { path_len: None };
    let judged = judge_chain(|chain| chain.links[4].role = authority);
    assert_eq!(judged, fault(4, CertificateFault::NotSigner));
    for usage in [KeyUsages::NonRepudiation, KeyUsages::KeyAgreement] {
        let judged = judge_chain(|chain| chain.links[4].usage = usage.into());
        assert_eq!(judged, fault(4, CertificateFault::NotSigner));
    }
    let silent = judge_chain(|chain| chain.links[4].usage = Default::default());
    assert_eq!(silent, fault(4, CertificateFault::NotSigner));
}

#[test]
fn a_certificate_with_an_unknown_critical_extension_is_refused() {
    for position in 1..5 {
        // Name constraints, which would have to be followed, and one that nobody knows.
        for oid in ["2.5.29.30", "1.3.6.1.4.1.99999.1"] {
            let known = judge_chain(|chain| chain.links[position].extensions.push(extension(oid, false)));
            assert_eq!(known, Ok(()));
            let critical = judge_chain(|chain| chain.links[position].extensions.push(extension(oid, true)));
            assert_eq!(critical, fault(position, CertificateFault::CriticalExtension));
        }
    }
}

#[test]
fn a_certificate_with_two_basic_constraints_is_refused() {
    let twice = judge_chain(|chain| chain.links[4].extensions.push(extension("2.5.29.19", true)));
    assert_eq!(twice, fault(4, CertificateFault::Malformed));
}

#[test]
fn a_certificate_of_another_key_of_the_same_name_is_refused() {
    for position in 1..5 {
        let (chain, mut forged) = (chain(), chain());
        forged.links[position - 1].key = chain.links[(position + 1) % 5].key.clone();
        let mut certificates = chain.certificates();
        certificates[position] = forged.certificates().swap_remove(position);
        let leaf = certificates.pop().unwrap();
        let mut document = document(&chain);
        document.set("certificate", Value::Bytes(leaf)).set("cabundle", Value::List(certificates));
        let expected = match position {
            1 => Err(NitroRejection::Root),
            position => fault(position, CertificateFault::Signature),
        };
        assert_eq!(judge(&chain.sign(&document)).map(drop), expected);
    }
}

#[test]
fn a_chain_in_another_order_or_with_a_gap_is_refused() {
    let chain = chain();
    let judge_bundle = |order: &[usize]| {
        let certificates = chain.certificates();
        let bundle = order.iter().map(|position| certificates[*position].clone()).collect();
        judge(&chain.sign(document(&chain).set("cabundle", Value::List(bundle)))).map(drop)
    };
    assert_eq!(judge_bundle(&[0, 1, 2, 3]), Ok(()));
    // Without the root in front, the first authority is taken for it.
    assert_eq!(judge_bundle(&[1, 2, 3]), Err(NitroRejection::Root));
    assert_eq!(judge_bundle(&[0, 2, 3]), Err(NitroRejection::Root));
    assert_eq!(judge_bundle(&[0, 1, 3]), fault(2, CertificateFault::Issuer));
    assert_eq!(judge_bundle(&[0, 1, 2]), fault(3, CertificateFault::Issuer));
    assert_eq!(judge_bundle(&[0]), Err(NitroRejection::Root));
    assert_eq!(judge_bundle(&[0, 1, 3, 2]), fault(2, CertificateFault::PathLength));
    assert_eq!(judge_bundle(&[3, 2, 1, 0]), fault(1, CertificateFault::PathLength));
}

#[test]
fn a_certificate_that_says_two_things_of_its_signature_is_refused() {
    // The algorithm's identifier stands twice in it; only the one outside is changed, to ECDSA with SHA-256.
    let chain = chain();
    let mut certificates = chain.certificates();
    let sha384 = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03];
    let leaf = certificates.last_mut().unwrap();
    let places: Vec<usize> =
        (0..leaf.len() - 10).filter(|at| leaf[*at..*at + 10] == sha384).map(|at| at + 9).collect();
    assert_eq!(places.len(), 2);
    for place in places {
        let mut changed = leaf.clone();
        changed[place] = 2;
        let quote = chain.sign(document(&chain).set("certificate", Value::Bytes(changed)));
        assert_eq!(judge(&quote).map(drop), fault(4, CertificateFault::Algorithm));
    }
}

#[test]
fn a_key_on_another_curve_is_refused() {
    let chain = chain();
    let mut certificates = chain.certificates();
    let leaf = certificates.last_mut().unwrap();
    let p384 = [0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];
    let at = (0..leaf.len() - 7).find(|at| leaf[*at..*at + 7] == p384).unwrap();
    leaf[at + 6] = 0x23;
    let quote = chain.sign(document(&chain).set("certificate", Value::Bytes(leaf.clone())));
    assert_eq!(judge(&quote).map(drop), fault(4, CertificateFault::Key));
}
