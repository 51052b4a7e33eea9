//! The enclave's chain of types: what it takes, what it refuses, what it signs (spec §9).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{Dice, account, domain, key, request};
use pox_core::evidence::{Evidence, EvidenceKind, Purpose, RECIPIENT_BYTES, sha256};
use pox_core::leaves::Leaves;
use pox_core::receipt::{Archive, Outcome, Receipt, RunReport, archived_batch};
use pox_core::role::enclave::{
    Accepted, End, Failure, Launch, Limit, Opened, Ready, Released, Running, SecretFault, Signed, Usage,
};
use pox_core::s3::{BucketAccess, Style};
use pox_core::secret::{BadRelease, InputAccess, InputSecret, Secret, SignedSecret, Terms};
use pox_core::{
    Address, B256, DatasetCommitment, MemberReceipt, MemberReceipts, Members, Party, Request,
    ResultsCommitment, Runs, TaskId,
};

const OWNER: u8 = 1;
const PROCESSOR: u8 = 2;
const CO_OWNER: u8 = 3;
const ENCLAVE: u8 = 9;
const MARKER: &str = "a-place-that-nobody-else-may-know";

fn leaves() -> Leaves {
    let terms = Terms { inputs: vec!["in".into()], ..Terms::default() };
    terms.leaves([1, 2, 3, 4].map(B256::repeat_byte)).unwrap()
}

fn a_request() -> Request {
    let mut record = request(account(OWNER), 1_600_000_000, &mut Dice::new(1));
    record.inputs = vec![B256::repeat_byte(7)];
    record.terms = leaves().root();
    Request::try_from(record).unwrap()
}

fn a_secret() -> Secret {
    Secret {
        task: a_request().id(&domain()),
        terms: leaves(),
        image: MARKER.into(),
        inputs: vec![InputAccess { location: MARKER.into(), keys: Vec::new(), crypt4gh: None }],
        results: MARKER.into(),
        recipients: vec![MARKER.into()],
        buckets: None,
        runs: None,
    }
}

fn ready() -> Ready {
    let recipient = vec![5; RECIPIENT_BYTES];
    let processor = account(PROCESSOR);
    let launch =
        Launch::new(domain(), a_request(), processor, key(ENCLAVE), recipient, 7, B256::repeat_byte(8));
    assert_eq!(launch.claims().purpose, Purpose::Key);
    launch.attested(EvidenceKind::Simulated, b"quote".to_vec())
}

fn signed(task: TaskId, enclave: Address, signer: u8, sealed: &[u8]) -> Vec<u8> {
    SignedSecret::sign(&domain(), task, enclave, sealed.to_vec(), &key(signer)).to_bytes()
}

fn released() -> Released {
    let bytes = signed(a_request().id(&domain()), account(ENCLAVE), OWNER, b"sealed");
    ready().take(&[bytes]).map_err(|not_taken| not_taken.reason).unwrap()
}

fn accepted() -> Accepted {
    match released().open(&[Some(a_secret().to_bytes())]) {
        Opened::Accepted(accepted) => *accepted,
        Opened::Refused(refused) => panic!("{}", refused.fault()),
    }
}

fn ends(end: &End) -> Signed {
    let Running::Single(running) = accepted().running else { panic!("a batch") };
    let unsigned = running.ended(end, Usage::default(), &RunReport::default());
    unsigned.attested(EvidenceKind::Simulated, b"quote".to_vec(), Vec::new())
}

#[test]
fn takes_only_what_the_owner_released_to_it() {
    let (task, enclave) = (a_request().id(&domain()), account(ENCLAVE));
    let cases = [
        signed(task, enclave, 2, b"sealed"),
        signed(TaskId::from([1; 32]), enclave, OWNER, b"sealed"),
        signed(task, account(2), OWNER, b"sealed"),
    ];
    let mut waiting = ready();
    for bytes in cases {
        let not_taken = waiting.take(&[bytes]).map(drop).unwrap_err();
        assert!(matches!(not_taken.reason, BadRelease::NotTheParty(_)));
        waiting = not_taken.ready;
    }
    let not_taken = waiting.take(&[b"short".to_vec()]).map(drop).unwrap_err();
    assert_eq!(not_taken.reason, BadRelease::Length(5));
    let good = signed(task, enclave, OWNER, b"sealed");
    let released = not_taken.ready.take(&[good]).map_err(|not_taken| not_taken.reason).unwrap();
    assert_eq!(released.sealed(), [b"sealed"]);
}

#[test]
fn a_secret_that_does_not_fit_ends_in_outcome_16() {
    let change = |change: fn(&mut Secret)| {
        let mut secret = a_secret();
        change(&mut secret);
        secret.to_bytes().to_vec()
    };
    let names = Terms::default().leaves([1, 2, 3, 4].map(B256::repeat_byte)).unwrap();
    assert_ne!(names.root(), leaves().root());
    type Expected = fn(&SecretFault) -> bool;
    let cases: [(Option<Vec<u8>>, Expected); 5] = [
        (None, |fault| *fault == SecretFault::Sealed),
        (Some(b"no secret".to_vec()), |fault| matches!(fault, SecretFault::Malformed(_))),
        (Some(change(|secret| secret.task = TaskId::ZERO)), |fault| *fault == SecretFault::Task),
        (Some(change(|secret| secret.terms = Leaves::default())), |fault| *fault == SecretFault::TermsRoot),
        (Some(change(|secret| secret.inputs.clear())), |fault| *fault == SecretFault::Inputs),
    ];
    for (plaintext, expected) in cases {
        let Opened::Refused(refused) = released().open(&[plaintext]) else { panic!("accepted") };
        assert!(expected(refused.fault()), "{:?}", refused.fault());
        let unsigned = refused.ended(&RunReport::default());
        let signed = unsigned.attested(EvidenceKind::Simulated, Vec::new(), Vec::new());
        assert_eq!(signed.receipt.outcome, Outcome::SecretInvalid);
        assert!(signed.receipt.results.is_zero());
    }
}

/// A request of three inputs: the first and the last are the owner's, the second a co-owner's.
fn shared() -> (Request, Leaves) {
    let terms = Terms { inputs: ["a", "b", "c"].map(String::from).to_vec(), ..Terms::default() };
    let leaves = terms.leaves([1, 2, 3, 4].map(B256::repeat_byte)).unwrap();
    let mut record = request(account(OWNER), 1_600_000_000, &mut Dice::new(1));
    record.inputs = (1..=3).map(B256::repeat_byte).collect();
    record.terms = leaves.root();
    record.coOwners = vec![pox_core::abi::CoOwner { account: account(CO_OWNER), inputs: 0b10 }];
    (Request::try_from(record).unwrap(), leaves)
}

fn shared_ready() -> Ready {
    let (recipient, block) = (vec![5; RECIPIENT_BYTES], B256::repeat_byte(8));
    let launch = Launch::new(domain(), shared().0, account(PROCESSOR), key(ENCLAVE), recipient, 7, block);
    launch.attested(EvidenceKind::Simulated, b"quote".to_vec())
}

#[test]
fn takes_one_secret_of_each_party_and_in_their_order() {
    let task = shared().0.id(&domain());
    let [owner, other] = [OWNER, CO_OWNER].map(|signer| signed(task, account(ENCLAVE), signer, b"sealed"));
    let mut waiting = shared_ready();
    for secrets in [
        vec![],
        vec![owner.clone()],
        vec![other.clone(), owner.clone()],
        vec![owner.clone(), owner.clone()],
        vec![owner.clone(), other.clone(), other.clone()],
    ] {
        waiting = waiting.take(&secrets).map(drop).unwrap_err().ready;
    }
    assert!(waiting.take(&[owner, other]).is_ok());
}

#[test]
fn every_party_gives_exactly_its_inputs() {
    let (request, terms) = shared();
    let task = request.id(&domain());
    let at = |place: &str| InputAccess { location: place.into(), keys: Vec::new(), crypt4gh: None };
    let open = |owners: &[&str], others: &[&str], of: TaskId| {
        let [owner, other] =
            [OWNER, CO_OWNER].map(|signer| signed(task, account(ENCLAVE), signer, b"sealed"));
        let released = shared_ready().take(&[owner, other]).map_err(|not_taken| not_taken.reason).unwrap();
        let inputs = owners.iter().map(|place| at(place)).collect();
        let secret = Secret { task, terms: terms.clone(), inputs, ..a_secret() }.to_bytes();
        let theirs =
            InputSecret { task: of, inputs: others.iter().map(|place| at(place)).collect(), buckets: None };
        released.open(&[Some(secret), Some(theirs.to_bytes())])
    };
    let Opened::Accepted(accepted) = open(&["1", "3"], &["2"], task) else { panic!("refused") };
    let places: Vec<_> = accepted.secret.inputs.iter().map(|input| input.location.as_str()).collect();
    assert_eq!(places, ["1", "2", "3"], "in the order of the request");
    type Case = (&'static [&'static str], &'static [&'static str], SecretFault);
    let cases: [Case; 4] = [
        (&["1", "2", "3"], &[], SecretFault::Inputs),
        (&["1"], &["2", "3"], SecretFault::Inputs),
        (&["1", "3"], &["2", "4"], SecretFault::Inputs),
        (&["1", "3", "4"], &["2"], SecretFault::Inputs),
    ];
    for (owners, others, fault) in cases {
        let Opened::Refused(refused) = open(owners, others, task) else { panic!("accepted") };
        assert_eq!(*refused.fault(), fault);
    }
    let Opened::Refused(refused) = open(&["1", "3"], &["2"], TaskId::ZERO) else { panic!("accepted") };
    assert_eq!(*refused.fault(), SecretFault::Task);
}

fn a_batch(count: u16, secret_runs: Option<Runs>) -> Opened {
    let runs = Runs { seed: B256::repeat_byte(6), count, args: None };
    let terms = Terms { inputs: vec!["in".into()], runs: runs.committed(), ..Terms::default() };
    let terms = terms.leaves([1, 2, 3, 4, 5].map(B256::repeat_byte)).unwrap();
    let request = Request { terms: pox_core::TermsRoot(terms.root()), ..a_request() };
    let task = request.id(&domain());
    let launch = Launch::new(domain(), request, account(PROCESSOR), key(ENCLAVE), Vec::new(), 7, B256::ZERO);
    let ready = launch.attested(EvidenceKind::Simulated, Vec::new());
    let bytes = signed(task, account(ENCLAVE), OWNER, b"sealed");
    let released = ready.take(&[bytes]).map_err(|not_taken| not_taken.reason).unwrap();
    let secret = Secret { task, terms, runs: secret_runs, ..a_secret() };
    released.open(&[Some(secret.to_bytes())])
}

#[test]
fn runs_that_the_terms_do_not_commit_to_do_not_fit() {
    let runs = |seed, count| Some(Runs { seed: B256::repeat_byte(seed), count, args: None });
    let with_arguments = Runs { args: Some(vec![vec!["x".into()]; 3]), ..runs(6, 3).unwrap() };
    for other in [None, runs(7, 3), runs(6, 2), runs(6, 4), Some(with_arguments)] {
        let Opened::Refused(refused) = a_batch(3, other) else { panic!("accepted") };
        assert_eq!(*refused.fault(), SecretFault::Runs);
        let unsigned = refused.ended(&RunReport::default());
        let signed = unsigned.attested(EvidenceKind::Simulated, Vec::new(), Vec::new());
        assert_eq!((signed.receipt.outcome, signed.members), (Outcome::SecretInvalid, None));
    }
    assert!(matches!(a_batch(3, runs(6, 3)), Opened::Accepted(_)));
    // Nor do runs where the terms have none.
    let secret = Secret { runs: runs(6, 3), ..a_secret() };
    let Opened::Refused(refused) = released().open(&[Some(secret.to_bytes())]) else { panic!("accepted") };
    assert_eq!(*refused.fault(), SecretFault::Runs);
}

#[test]
fn a_batch_is_signed_with_the_root_over_its_members() {
    let runs = Runs { seed: B256::repeat_byte(6), count: 3, args: None };
    let Opened::Accepted(accepted) = a_batch(3, Some(runs.clone())) else { panic!("refused") };
    let outcomes = [Outcome::Completed, Outcome::Failed, Outcome::Completed];
    let members = runs.iter().zip(outcomes).map(|(run, outcome)| MemberReceipt::not_begun(&run, outcome));
    let members = MemberReceipts::new(members.collect()).unwrap();
    let results = ResultsCommitment::from([3; 32]);
    let Running::Batch(running) = accepted.running else { panic!("no batch") };
    assert_eq!((&running.runs, &accepted.secret.runs), (&runs, &None), "told once");
    let unsigned = running.closed(&members, Ok(results), Usage::default(), &RunReport::default());
    let signed = unsigned.attested(EvidenceKind::Simulated, b"quote".to_vec(), Vec::new());
    let Receipt { outcome, exit_code, results: delivered, .. } = signed.receipt;
    assert_eq!((outcome, exit_code, delivered), (Outcome::Failed, 1, results));
    assert_eq!(signed.members, Some(members.members()));
    let (archive, Members { root, count }) = (pox_core::Archive(sha256(&signed.archive)), members.members());
    let statement = archived_batch(&domain(), signed.receipt.id(&domain()), archive, root, count);
    assert_eq!(signed.signature.signer(statement.0), Ok(account(ENCLAVE)));
    // It is no receipt without its members.
    assert_ne!(signed.receipt.signer(&domain(), archive, &signed.signature), Ok(account(ENCLAVE)));
}

#[test]
fn a_partys_keys_to_buckets_serve_its_own_data_only() {
    let (request, terms) = shared();
    let task = request.id(&domain());
    let keys = |bucket: &str, key_id: &str| BucketAccess {
        bucket: bucket.into(),
        endpoint: "https://s3.example".into(),
        region: "r".into(),
        style: Style::Path,
        key_id: key_id.into(),
        secret_key: "key".into(),
        session_token: None,
    };
    let at = |place: &str| InputAccess { location: place.into(), keys: Vec::new(), crypt4gh: None };
    let [owner, other] = [OWNER, CO_OWNER].map(|signer| signed(task, account(ENCLAVE), signer, b"sealed"));
    let released = shared_ready().take(&[owner, other]).map_err(|not_taken| not_taken.reason).unwrap();
    let buckets = Some(vec![keys("same", "owner"), keys("mine", "owner")]);
    let inputs = vec![at("s3://same/a"), at("s3://theirs/c")];
    let secret = Secret { task, terms, inputs, buckets, ..a_secret() }.to_bytes();
    let buckets = Some(vec![keys("same", "other"), keys("theirs", "other")]);
    let theirs = InputSecret { task, inputs: vec![at("s3://same/b")], buckets }.to_bytes();
    let Opened::Accepted(accepted) = released.open(&[Some(secret), Some(theirs)]) else { panic!("refused") };
    assert!(accepted.secret.buckets.is_none(), "there is one place for keys");
    let used = |party, place| accepted.keyring.access(party, place).map(|access| access.key_id.as_str());
    assert_eq!(used(Party::OWNER, "s3://same/a"), Some("owner"));
    assert_eq!(used(Party(1), "s3://same/b"), Some("other"));
    assert_eq!(used(Party::OWNER, "s3://theirs/c"), None, "an owner has no use of its co-owner's keys");
    assert_eq!(used(Party(1), "s3://mine/x"), None);
    assert!(!format!("{:?}", accepted.keyring).contains("key"));
}

#[test]
fn terms_that_name_other_inputs_do_not_fit() {
    let leaves = Terms::default().leaves([1, 2, 3, 4].map(B256::repeat_byte)).unwrap();
    let request = Request { terms: pox_core::TermsRoot(leaves.root()), ..a_request() };
    let task = request.id(&domain());
    let launch = Launch::new(domain(), request, account(PROCESSOR), key(ENCLAVE), Vec::new(), 7, B256::ZERO);
    let ready = launch.attested(EvidenceKind::Simulated, Vec::new());
    let bytes = signed(task, account(ENCLAVE), OWNER, b"sealed");
    let released = ready.take(&[bytes]).map_err(|not_taken| not_taken.reason).unwrap();
    let secret = Secret { task, terms: leaves, ..a_secret() };
    let Opened::Refused(refused) = released.open(&[Some(secret.to_bytes())]) else { panic!("accepted") };
    assert_eq!(*refused.fault(), SecretFault::Inputs);
}

#[test]
fn nothing_of_a_secret_is_published() {
    let Opened::Refused(refused) = released().open(&[Some(MARKER)]) else { panic!("accepted") };
    let fault = refused.fault().to_string();
    let unsigned = refused.ended(&RunReport { reason: fault, ..RunReport::default() });
    let signed = unsigned.attested(EvidenceKind::Simulated, Vec::new(), Vec::new());
    let completed = ends(&End::Exited { code: 0, results: ResultsCommitment::from([1; 32]) });
    for public in [signed.archive, completed.archive, completed.receipt.to_bytes()] {
        assert!(!public.windows(MARKER.len()).any(|window| window == MARKER.as_bytes()));
    }
}

#[test]
fn the_receipt_says_how_it_ended_and_is_bound_to_both_evidences() {
    let results = ResultsCommitment::from([3; 32]);
    let failed = |failure| (End::Failed(failure), ResultsCommitment::ZERO, 0);
    let cases = [
        (Outcome::Completed, (End::Exited { code: 0, results }, results, 0)),
        (Outcome::Failed, (End::Exited { code: 137, results }, results, 137)),
        (Outcome::OutOfMemory, (End::Limited { limit: Limit::Memory, results }, results, 0)),
        (Outcome::TimeLimit, (End::Limited { limit: Limit::Time, results }, results, 0)),
        (Outcome::DiskLimit, (End::Limited { limit: Limit::Disk, results }, results, 0)),
        (Outcome::SecretInvalid, failed(Failure::SecretInvalid)),
        (Outcome::ImageInvalid, failed(Failure::ImageInvalid)),
        (Outcome::InputInvalid, failed(Failure::InputInvalid)),
        (Outcome::ImageUnavailable, failed(Failure::ImageUnavailable)),
        (Outcome::InputUnavailable, failed(Failure::InputUnavailable)),
        (Outcome::ResultsUndeliverable, failed(Failure::ResultsUndeliverable)),
        (Outcome::SandboxUnavailable, failed(Failure::SandboxUnavailable)),
        (Outcome::RuntimeFailed, failed(Failure::RuntimeFailed)),
    ];
    assert_eq!(cases.len(), Outcome::ALL.len());
    for (outcome, (end, results, exit_code)) in cases {
        let signed = ends(&end);
        let Receipt { task, enclave, .. } = signed.receipt;
        assert_eq!((task, enclave), (a_request().id(&domain()), account(ENCLAVE)));
        assert_eq!(signed.receipt.outcome, outcome);
        assert_eq!((signed.receipt.results, signed.receipt.exit_code), (results, exit_code));
        let archive = pox_core::Archive(sha256(&signed.archive));
        assert_eq!(signed.receipt.signer(&domain(), archive, &signed.signature), Ok(account(ENCLAVE)));
        let parsed = Archive::parse(&signed.archive).unwrap();
        let claims = parsed.evidence.claims;
        assert_eq!((claims.purpose, claims.processor), (Purpose::Result, account(PROCESSOR)));
        assert_eq!(claims.previous, sha256(ready().evidence()));
        assert_eq!(claims.receipt, signed.receipt.id(&domain()));
    }
    let evidence = Evidence::parse(ready().evidence()).unwrap();
    assert_eq!(evidence.claims.processor, account(PROCESSOR));
    assert_eq!(evidence.claims.recipient, sha256(&evidence.recipient));
    assert!(a_request().inputs.contains(&DatasetCommitment::from([7; 32])));
}
