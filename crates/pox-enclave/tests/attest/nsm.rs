//! The Nitro security module.

use crate::{DATA, IMPATIENT};
use pox_core::TaskId;
use pox_core::evidence::{EvidenceKind, MAX_QUOTE_BYTES};
use pox_devtee::nsm::{DEVICE, Fault, Nsm as Stand, Statement};
use pox_enclave::runtime::{AttestError, Attester, Nsm, NsmError, TASK_PCR};
use sha2::{Digest, Sha384};
use std::fs;
use tempfile::TempDir;

const TASK: TaskId = TaskId::ZERO;

/// Everything that the module was asked to sign.
fn document(statement: &Statement) -> Vec<u8> {
    format!("{statement:?}").into_bytes()
}

fn stand() -> (TempDir, Stand) {
    let at = TempDir::new().unwrap();
    let stand = Stand::mount(at.path(), document).unwrap();
    (at, stand)
}

fn client(at: &TempDir) -> Nsm {
    Nsm::detect(&at.path().join(DEVICE), IMPATIENT).unwrap().unwrap()
}

/// Spec §8.6.2.
fn bound() -> [u8; 48] {
    let binding: [u8; 48] = Sha384::digest([b"pox-launch-v1\0".as_slice(), TASK.as_bytes()].concat()).into();
    Sha384::digest([[0; 48], binding].concat()).into()
}

#[test]
#[ignore = "needs /dev/fuse and the right to mount: run by .ci/run"]
fn an_enclave_gets_a_document_over_the_report_data() {
    let (at, _stand) = stand();
    let client = client(&at);
    assert_eq!(client.kind(), EvidenceKind::Nitro);
    let quote = client.quote(&DATA).unwrap();
    let pcrs = (0..TASK_PCR).map(|index| (index, [0; 48])).collect();
    let asked = Statement { user_data: Some(DATA.to_vec()), nonce: None, public_key: None, pcrs };
    assert_eq!(
        (quote.kind, quote.quote, quote.endorsements),
        (EvidenceKind::Nitro, document(&asked), vec![])
    );
}

#[test]
#[ignore = "needs /dev/fuse and the right to mount: run by .ci/run"]
fn the_launch_is_bound_to_its_task_and_documents_show_it() {
    let (at, stand) = stand();
    let client = client(&at);
    client.bind(TASK).unwrap();
    assert_eq!(stand.pcr(TASK_PCR), Some((bound(), true)));
    let quote = String::from_utf8(client.quote(&DATA).unwrap().quote).unwrap();
    assert!(quote.contains(&format!("{TASK_PCR}: {:?}", bound())));
}

#[test]
#[ignore = "needs /dev/fuse and the right to mount: run by .ci/run"]
fn a_launch_is_bound_only_once() {
    let (at, stand) = stand();
    let client = client(&at);
    client.bind(TASK).unwrap();
    let error = client.bind(TaskId::from([1; 32])).unwrap_err();
    assert!(matches!(error, AttestError::Nsm { error: NsmError::ReadOnlyIndex, .. }), "{error}");
    assert_eq!(stand.pcr(TASK_PCR), Some((bound(), true)));
}

/// Somebody extended the register and left it open.
#[test]
#[ignore = "needs /dev/fuse and the right to mount: run by .ci/run"]
fn a_launch_that_was_bound_to_something_else_before_is_refused() {
    let (at, stand) = stand();
    let client = client(&at);
    // Bound, but the lock fails.
    stand.inject(Fault::Answers(extended(&bound())));
    stand.inject(Fault::Module("InternalError"));
    let error = client.bind(TASK).unwrap_err();
    assert!(matches!(error, AttestError::Nsm { what: "lock a register", error: NsmError::InternalError }));
    stand.inject(Fault::Answers(extended(&[1; 48])));
    assert!(matches!(client.bind(TASK), Err(AttestError::Malformed("the register that binds the task"))));
    assert_eq!(stand.pcr(TASK_PCR), Some(([0; 48], false)));
}

fn extended(value: &[u8; 48]) -> Vec<u8> {
    [b"\xa1\x69ExtendPCR\xa1\x64data\x58\x30".as_slice(), value].concat()
}

fn documented(length: usize) -> Vec<u8> {
    let head = b"\xa1\x6bAttestation\xa1\x68document\x59";
    [head.as_slice(), &(length as u16).to_be_bytes(), &vec![7; length]].concat()
}

#[test]
fn a_machine_without_the_device_is_none() {
    let at = TempDir::new().unwrap();
    assert!(Nsm::detect(&at.path().join(DEVICE), IMPATIENT).unwrap().is_none());
}

#[test]
fn a_device_that_can_not_be_opened_is_an_error() {
    let at = TempDir::new().unwrap();
    fs::create_dir(at.path().join(DEVICE)).unwrap();
    assert!(matches!(Nsm::detect(&at.path().join(DEVICE), IMPATIENT), Err(AttestError::Io { .. })));
}

#[test]
fn a_file_that_is_not_the_device_gives_nothing() {
    let at = TempDir::new().unwrap();
    fs::write(at.path().join(DEVICE), "not it").unwrap();
    let error = client(&at).quote(&DATA).unwrap_err();
    assert!(matches!(error, AttestError::Io { source, .. } if source.raw_os_error() == Some(libc::ENOTTY)));
}

#[test]
#[ignore = "needs /dev/fuse and the right to mount: run by .ci/run"]
fn what_the_driver_says_is_told_or_waited_for() {
    let (at, stand) = stand();
    let client = client(&at);
    for errno in [libc::EIO, libc::EMSGSIZE, libc::EFAULT, libc::ENODATA] {
        stand.inject(Fault::Driver(errno));
        let error = client.quote(&DATA).unwrap_err();
        assert!(matches!(error, AttestError::Io { source, .. } if source.raw_os_error() == Some(errno)));
    }
    for errno in [libc::EINTR, libc::EBUSY, libc::ETIMEDOUT] {
        stand.inject(Fault::Driver(errno));
        client.quote(&DATA).unwrap();
        (0..IMPATIENT.attempts).for_each(|_| stand.inject(Fault::Driver(errno)));
        let error = client.quote(&DATA).unwrap_err();
        assert!(matches!(error, AttestError::Io { source, .. } if source.raw_os_error() == Some(errno)));
    }
}

#[test]
#[ignore = "needs /dev/fuse and the right to mount: run by .ci/run"]
fn what_the_module_says_is_told() {
    let codes = [
        ("InvalidArgument", NsmError::InvalidArgument),
        ("InvalidIndex", NsmError::InvalidIndex),
        ("InvalidResponse", NsmError::InvalidResponse),
        ("ReadOnlyIndex", NsmError::ReadOnlyIndex),
        ("InvalidOperation", NsmError::InvalidOperation),
        ("BufferTooSmall", NsmError::BufferTooSmall),
        ("InputTooLarge", NsmError::InputTooLarge),
        ("InternalError", NsmError::InternalError),
        ("Whatever", NsmError::Unknown),
        ("Success", NsmError::Unknown),
    ];
    let (at, stand) = stand();
    let client = client(&at);
    for (code, expected) in codes {
        stand.inject(Fault::Module(code));
        let refused = client.quote(&DATA);
        assert!(matches!(refused, Err(AttestError::Nsm { error, .. }) if error == expected), "{code}");
    }
}

#[test]
#[ignore = "needs /dev/fuse and the right to mount: run by .ci/run"]
fn nonsense_and_answers_to_other_requests_are_refused() {
    let document = documented(100);
    let answers = [
        vec![],
        vec![0xff; 100],
        b"\x67LockPCR".to_vec(),
        extended(&[0; 48]),
        documented(0),
        document[..document.len() - 1].to_vec(),
        [document.as_slice(), b"\x00"].concat(),
        [b"\xa2", &document[1..]].concat(),
        [b"\xbf", &document[1..], b"\xff"].concat(),
        b"\xa1\x6bAttestation\xa1\x68document\x64text".to_vec(),
        b"\xa1\x6bAttestation\xa1\x67another\x41x".to_vec(),
        b"\xa1\x65Error\x01".to_vec(),
    ];
    let (at, stand) = stand();
    let client = client(&at);
    for answer in answers {
        stand.inject(Fault::Answers(answer.clone()));
        assert!(matches!(client.quote(&DATA), Err(AttestError::Malformed(_))), "{answer:02x?}");
    }
    stand.inject(Fault::Answers(document));
    assert_eq!(client.quote(&DATA).unwrap().quote, vec![7; 100]);
}

/// The driver cuts what does not fit; what is left is no answer.
#[test]
#[ignore = "needs /dev/fuse and the right to mount: run by .ci/run"]
fn an_answer_that_was_cut_off_is_refused() {
    let (at, stand) = stand();
    let client = client(&at);
    let room = 0x3000 - documented(0).len();
    stand.inject(Fault::Answers(documented(room + 1)));
    assert!(matches!(client.quote(&DATA), Err(AttestError::Malformed(_))));
    stand.inject(Fault::Answers(documented(room)));
    assert_eq!(client.quote(&DATA).unwrap().quote.len(), room);
    assert!(room < MAX_QUOTE_BYTES);
}
