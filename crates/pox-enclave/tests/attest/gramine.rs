//! Gramine's files.

use crate::{DATA, quote_of};
use pox_core::evidence::{EvidenceKind, MAX_QUOTE_BYTES};
use pox_devtee::gramine::Gramine as Stand;
use pox_enclave::runtime::{AttestError, Attester, Gramine};
use std::fs;
use std::io::ErrorKind;
use tempfile::TempDir;

fn folder() -> TempDir {
    TempDir::new().unwrap()
}

fn client(at: &TempDir) -> Gramine {
    Gramine::detect(at.path()).unwrap().unwrap()
}

#[test]
#[ignore = "needs /dev/fuse and the right to mount: run by .ci/run"]
fn a_program_in_sgx_gets_a_quote_over_the_report_data() {
    let at = folder();
    let stand = Stand::dcap(at.path(), quote_of).unwrap();
    let client = client(&at);
    assert_eq!(client.kind(), EvidenceKind::Sgx);
    stand.short_reads(3);
    for data in [DATA, [7; 64]] {
        let quote = client.quote(&data).unwrap();
        assert_eq!(
            (quote.kind, quote.quote, quote.endorsements),
            (EvidenceKind::Sgx, quote_of(&data), vec![])
        );
    }
}

#[test]
#[ignore = "needs /dev/fuse and the right to mount: run by .ci/run"]
fn gramine_without_sgx_is_none() {
    let at = folder();
    assert!(Gramine::detect(at.path()).unwrap().is_none());
    let _stand = Stand::of(at.path(), None, Box::new(quote_of)).unwrap();
    assert!(at.path().join("keys").is_dir());
    assert!(Gramine::detect(at.path()).unwrap().is_none());
}

#[test]
#[ignore = "needs /dev/fuse and the right to mount: run by .ci/run"]
fn other_attestation_types_are_refused_by_name() {
    for name in ["none", "epid", "dcap2", "", "dcap\0"] {
        let at = folder();
        let _stand = Stand::of(at.path(), Some(name), Box::new(quote_of)).unwrap();
        let expected = name.escape_default().to_string();
        assert!(matches!(Gramine::detect(at.path()), Err(AttestError::NotDcap(found)) if found == expected));
    }
}

#[test]
#[ignore = "needs /dev/fuse and the right to mount: run by .ci/run"]
fn a_quoting_enclave_that_fails_is_an_error() {
    let at = folder();
    let stand = Stand::dcap(at.path(), quote_of).unwrap();
    let client = client(&at);
    stand.fail(1);
    let error = client.quote(&DATA).unwrap_err();
    assert!(
        matches!(error, AttestError::Io { what: "quote", source } if source.kind() == ErrorKind::PermissionDenied)
    );
    assert_eq!(client.quote(&DATA).unwrap().quote, quote_of(&DATA));
}

#[test]
#[ignore = "needs /dev/fuse and the right to mount: run by .ci/run"]
fn empty_and_oversized_quotes_are_refused() {
    let at = folder();
    let stand = Stand::dcap(at.path(), |_| Vec::new()).unwrap();
    assert!(matches!(client(&at).quote(&DATA), Err(AttestError::Malformed("quote"))));
    drop(stand);
    let _stand = Stand::dcap(at.path(), |_| vec![1; MAX_QUOTE_BYTES + 1]).unwrap();
    assert!(matches!(client(&at).quote(&DATA), Err(AttestError::TooLarge { what: "quote", .. })));
}

#[test]
#[ignore = "needs /dev/fuse and the right to mount: run by .ci/run"]
fn an_interface_that_went_away_is_an_error() {
    let at = folder();
    let client = {
        let _stand = Stand::dcap(at.path(), quote_of).unwrap();
        client(&at)
    };
    assert!(matches!(client.quote(&DATA), Err(AttestError::Io { what: "user_report_data", .. })));
}

#[test]
#[ignore = "needs /dev/fuse and the right to mount: run by .ci/run"]
fn the_stand_in_cuts_and_pads_report_data_and_shows_none() {
    let at = folder();
    let _stand = Stand::dcap(at.path(), quote_of).unwrap();
    let report_data = at.path().join("user_report_data");
    let mut padded = [0; 64];
    padded[..3].copy_from_slice(b"abc");
    for (written, counts) in [(b"abc".to_vec(), padded), (vec![9; 100], [9; 64])] {
        fs::write(&report_data, written).unwrap();
        assert_eq!(fs::read(at.path().join("quote")).unwrap(), quote_of(&counts));
    }
    assert_eq!(fs::read(&report_data).unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert_eq!(fs::write(at.path().join("quote"), b"x").unwrap_err().kind(), ErrorKind::PermissionDenied);
}
