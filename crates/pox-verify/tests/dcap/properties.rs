//! No byte of what is signed can change unseen.

use crate::scene::{SEED, Scene, attacker};
use pox_devtee::dcap::{TdForm, Vendor};
use pox_verify::evidence::dcap::{Collateral, PckChain};
use proptest::prelude::*;

/// Where the PCK chain's text begins in a quote: everything before it is signed or states the length of what is.
fn signed_end(quote: &[u8]) -> usize {
    quote.windows(10).position(|window| window == b"-----BEGIN").unwrap()
}

#[test]
fn every_changed_byte_of_a_quote_is_refused() {
    for scene in [Scene::sgx(), Scene::tdx(TdForm::V5Td15)] {
        let quote = scene.quote();
        let collateral = [scene.collateral().to_bytes()];
        for position in 0..signed_end(&quote) {
            let mut changed = quote.clone();
            changed[position] ^= 1 << (position % 8);
            assert!(scene.appraise_with(&changed, &collateral).is_err(), "byte {position}");
        }
    }
}

#[test]
fn every_changed_byte_of_the_collateral_is_refused() {
    let scene = Scene::tdx(TdForm::V4);
    let (quote, bytes) = (scene.quote(), scene.collateral().to_bytes());
    for position in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[position] ^= 1 << (position % 8);
        assert!(scene.appraise_with(&quote, &[changed]).is_err(), "byte {position}");
    }
}

#[test]
fn the_same_seed_gives_the_same_evidence_and_another_seed_another() {
    for scene in Scene::all() {
        let again = Scene { vendor: Vendor::new(SEED), ..scene.clone() };
        assert_eq!(again.quote(), scene.quote());
        assert_eq!(again.collateral(), scene.collateral());
        let other = Scene { vendor: attacker(), ..scene.clone() };
        assert_ne!(other.quote(), scene.quote());
        assert_ne!(other.collateral(), scene.collateral());
    }
}

#[test]
fn the_collateral_object_of_other_libraries_reads_as_the_same() {
    for scene in Scene::all() {
        let made = scene.collateral();
        let chain = scene.vendor.table_issuer_chain();
        let object = serde_json::json!({
            "pck_crl_issuer_chain": "",
            "root_ca_crl": hex::encode(&made.root_crl),
            "pck_crl": hex::encode(&made.pck_crl),
            "tcb_info_issuer_chain": chain,
            "tcb_info": made.tcb_info,
            "tcb_info_signature": hex::encode(made.tcb_info_signature),
            "qe_identity_issuer_chain": chain,
            "qe_identity": made.qe_identity,
            "qe_identity_signature": hex::encode(made.qe_identity_signature),
        });
        let read = Collateral::from_json(object.to_string().as_bytes(), PckChain::Keep).unwrap();
        assert_eq!(read.to_bytes(), made.to_bytes());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// The text of the certificates holds what nobody relies on: line ends, the root once more, the padding after it.
    #[test]
    fn a_changed_byte_of_the_certificates_is_refused_or_changes_nothing(
        form in 0_usize..4, at in any::<prop::sample::Index>(), bit in 0_u8..8,
    ) {
        let mut scene = Scene::all()[form].clone();
        scene.quoting.padded_to = 8000;
        let mut quote = scene.quote();
        let start = signed_end(&quote);
        let position = start + at.index(quote.len() - start);
        quote[position] ^= 1 << bit;
        if let Ok(launch) = scene.appraise_with(&quote, &[scene.collateral().to_bytes()]) {
            prop_assert_eq!(launch, scene.appraise().unwrap());
        }
    }

    #[test]
    fn changed_bits_anywhere_before_are_refused(
        form in 0_usize..4, at in any::<prop::sample::Index>(), bits in 1_u8..,
    ) {
        let scene = Scene::all()[form].clone();
        let mut quote = scene.quote();
        let position = at.index(signed_end(&quote));
        quote[position] ^= bits;
        prop_assert!(scene.appraise_with(&quote, &[scene.collateral().to_bytes()]).is_err());
    }

    #[test]
    fn arbitrary_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..6000)) {
        let scene = Scene::tdx(TdForm::V4);
        prop_assert!(scene.appraise_with(&bytes, &[]).is_err());
        prop_assert!(scene.appraise_with(&scene.quote(), std::slice::from_ref(&bytes)).is_err());
        prop_assert!(Collateral::from_json(&bytes, PckChain::Keep).is_err());
    }
}
