//! A whole launch on a TEE's stand-in: what it asks its host to endorse, and what it archives.

use crate::{IMPATIENT, quote_of};
use k256::ecdsa::SigningKey;
use pox_core::channel::{EnclaveMessage, HostMessage, receive, send};
use pox_core::endorsement::{Endorsement, MAX_ENDORSEMENT_BYTES, MAX_ENDORSEMENTS};
use pox_core::evidence::{Evidence, EvidenceKind, sha256};
use pox_core::receipt::{Archive, Outcome, Receipt};
use pox_core::secret::SignedSecret;
use pox_core::signature::{Signature, address_of};
use pox_core::{Address, Amount, B256, Domain, Processors, Request, Resources, Salt, UnixTime};
use pox_devtee::tsm::{Tsm as Stand, certificate_table};
use pox_enclave::runtime::{Attester, Outside, RuntimeError, Simulated, Tsm, Workspace, serve};
use std::io::BufReader;
use std::os::unix::net::UnixStream;
use std::thread;
use tempfile::TempDir;

const PROCESSOR: Address = Address::repeat_byte(2);
const VCEK: [u8; 16] = 0x63da_758d_e664_4564_adc5_f4b9_3be8_accd_u128.to_be_bytes();

fn owner() -> SigningKey {
    SigningKey::from_slice(&[1; 32]).unwrap()
}

fn domain() -> Domain {
    Domain { chain_id: 8995, contract: Address::repeat_byte(0xc0) }
}

fn request() -> Request {
    Request {
        owner: address_of(owner().verifying_key()),
        processors: Processors::Any,
        price: Amount::from_wei(1).unwrap(),
        image: [1; 32].into(),
        inputs: vec![],
        terms: [2; 32].into(),
        metadata: [0; 32].into(),
        policy: [3; 32].into(),
        kinds: EvidenceKind::Tdx.bit(),
        resources: Resources { cpu_millis: 1, memory_mib: 1, disk_mib: 1, time_limit: 1 },
        match_by: UnixTime(1),
        approve_within: 1,
        prove_within: 1,
        salt: Salt::from([4; 32]),
        delegate: None,
        co_owners: vec![],
    }
}

fn endorsement(kind: u16, content: &[u8]) -> Endorsement {
    Endorsement { kind, content: content.to_vec() }
}

/// How one launch ended, as its host saw it.
struct Seen {
    key: Evidence,
    /// What the enclave wanted endorsed.
    asked: Option<(EvidenceKind, Vec<Vec<u8>>)>,
    archive: Archive,
}

/// Plays the host of a launch whose secret is signed and does not open: the shortest way to a receipt. Whatever the enclave asks
/// to have endorsed gets this answer.
fn launch(attester: impl Attester + Send + 'static, answer: HostMessage) -> Result<Seen, RuntimeError> {
    let (mut host, inside) = UnixStream::pair().unwrap();
    // In a thread of its own, which gets the mount namespace that hides the workspace.
    let enclave = thread::spawn(move || {
        let folder = TempDir::new().unwrap();
        let workspace = Workspace::create(folder.path()).unwrap();
        let outside = Outside::new(BufReader::new(inside.try_clone().unwrap()), inside);
        serve(&attester, outside, &workspace)
    });
    let boot = HostMessage::Boot {
        domain: domain(),
        request: request().to_bytes(),
        block_number: 7,
        block_hash: B256::repeat_byte(8),
        processor: PROCESSOR,
    };
    send(&mut host, &boot).unwrap();
    let (mut key, mut asked, mut finished) = (None, None, None);
    while let Ok(message) = receive(&mut host) {
        match message {
            EnclaveMessage::Ready { enclave, evidence } => {
                let (domain, task) = (domain(), request().id(&domain()));
                let secret =
                    SignedSecret::sign(&domain, task, enclave, b"nothing that opens".to_vec(), &owner());
                send(&mut host, &HostMessage::Secrets { secrets: vec![secret.to_bytes()] }).unwrap();
                key = Some((enclave, evidence));
            }
            EnclaveMessage::Endorse { kind, quotes } => {
                send(&mut host, &answer).unwrap();
                asked = Some((kind, quotes));
            }
            EnclaveMessage::Finished { receipt, signature, archive, members: None } => {
                finished = Some((receipt, signature, archive));
            }
            other => panic!("{other:?}"),
        }
    }
    enclave.join().unwrap()?;
    let ((enclave, evidence), (receipt, signature, archive)) = (key.unwrap(), finished.unwrap());
    let receipt = Receipt::parse(&receipt).unwrap();
    assert_eq!((receipt.outcome, receipt.enclave), (Outcome::SecretInvalid, enclave));
    let hash = pox_core::receipt::archive_hash(&archive);
    let signature = Signature::parse(&signature).unwrap();
    assert_eq!(
        receipt.signer(&domain(), hash, &signature).unwrap(),
        enclave,
        "the signature covers the archive"
    );
    let key = Evidence::parse(&evidence).unwrap();
    let archive = Archive::parse(&archive).unwrap();
    assert_eq!(archive.evidence.claims.previous, sha256(&evidence));
    Ok(Seen { key, asked, archive })
}

fn tdx(at: &TempDir) -> (Stand, Tsm) {
    let stand = Stand::tdx(at.path(), quote_of).unwrap();
    let client = Tsm::detect(at.path(), IMPATIENT).unwrap().unwrap();
    (stand, client)
}

#[test]
#[ignore = "needs /dev/fuse and the right to mount: run by .ci/run"]
fn both_quotes_are_over_their_claims_and_the_host_is_asked_to_endorse_both() {
    let at = TempDir::new().unwrap();
    let (_stand, client) = tdx(&at);
    let collateral = endorsement(1, b"collateral");
    let answer = HostMessage::Endorsements { endorsements: vec![collateral.clone()] };
    let Seen { key, asked, archive } = launch(client, answer).unwrap();
    for evidence in [&key, &archive.evidence] {
        assert_eq!(evidence.kind, EvidenceKind::Tdx);
        assert_eq!(evidence.quote, quote_of(&evidence.claims.report_data()));
    }
    assert_eq!(asked, Some((EvidenceKind::Tdx, vec![key.quote, archive.evidence.quote])));
    assert_eq!(archive.endorsements, [collateral]);
}

#[test]
#[ignore = "needs /dev/fuse and the right to mount: run by .ci/run"]
fn what_the_tees_host_gave_is_archived_before_what_was_asked_for_and_each_once() {
    let at = TempDir::new().unwrap();
    let _stand = Stand::snp(at.path(), quote_of, certificate_table(&[(VCEK, b"0vcek")])).unwrap();
    let client = Tsm::detect(at.path(), IMPATIENT).unwrap().unwrap();
    let answer = vec![
        endorsement(2, b"0vcek"),
        endorsement(3, b"0ask"),
        endorsement(1, b"intel's"),
        endorsement(9, b"?"),
    ];
    let seen = launch(client, HostMessage::Endorsements { endorsements: answer }).unwrap();
    assert_eq!(seen.archive.endorsements, [endorsement(2, b"0vcek"), endorsement(3, b"0ask")]);
}

#[test]
#[ignore = "needs /dev/fuse and the right to mount: run by .ci/run"]
fn a_host_that_endorses_nothing_costs_only_the_endorsements() {
    for answer in [
        HostMessage::Failed { reason: "no network".into() },
        HostMessage::Endorsements { endorsements: vec![] },
    ] {
        let at = TempDir::new().unwrap();
        let (_stand, client) = tdx(&at);
        assert_eq!(launch(client, answer).unwrap().archive.endorsements, []);
    }
}

#[test]
#[ignore = "needs /dev/fuse and the right to mount: run by .ci/run"]
fn a_flood_of_endorsements_still_makes_an_archive_that_parses() {
    let at = TempDir::new().unwrap();
    let (_stand, client) = tdx(&at);
    let many: Vec<_> = (0..200).map(|index| endorsement(1, &[index; 100])).collect();
    let seen = launch(client, HostMessage::Endorsements { endorsements: many }).unwrap();
    assert_eq!(seen.archive.endorsements.len(), MAX_ENDORSEMENTS);
    let at = TempDir::new().unwrap();
    let (_stand, client) = tdx(&at);
    let large: Vec<_> = (0..7).map(|index| endorsement(1, &vec![index; MAX_ENDORSEMENT_BYTES])).collect();
    let seen = launch(client, HostMessage::Endorsements { endorsements: large }).unwrap();
    assert_eq!(seen.archive.endorsements.len(), 1);
}

#[test]
#[ignore = "needs /dev/fuse and the right to mount: run by .ci/run"]
fn another_answer_breaks_the_channel() {
    let at = TempDir::new().unwrap();
    let (_stand, client) = tdx(&at);
    let broken = launch(client, HostMessage::Done).map(|seen| seen.archive);
    assert!(matches!(broken, Err(RuntimeError::Channel(_))), "{broken:?}");
}

#[test]
fn a_simulated_enclave_asks_for_nothing() {
    let simulated = Simulated::of_this_program().unwrap();
    let answer = HostMessage::Endorsements { endorsements: vec![endorsement(1, b"x")] };
    let seen = launch(simulated, answer).unwrap();
    assert_eq!((seen.asked, seen.archive.endorsements), (None, vec![]));
}
