//! Seeds of the records: made ones, and those in the judge's test proofs.

use crate::support::{self, Draft, cases};
use alloy_primitives::{Address, B256, Bytes, LogData, U256};
use pox_core::channel::{EnclaveMessage, HostMessage, Stage, send};
use pox_core::evidence::{Evidence, EvidenceKind};
use pox_core::leaves::{Leaf, Leaves};
use pox_core::proof::{HistoryProof, MAGIC, Proof, StateProof};
use pox_core::receipt::{Archive, Endorsement, Outcome};
use pox_core::s3::{BucketAccess, Operation, Style};
use pox_core::secret::{
    Crypt4ghAccess, Crypt4ghKey, InputAccess, InputSecret, ObjectKey, Secret, SignedSecret, Terms,
};
use pox_core::{
    Amount, Call, Domain, Event, MemberReceipt, MemberReceipts, Members, MembersRoot, OfferId, Phase,
    Refusal, Request, Runs, TaskId, UnixTime, to_canonical,
};
use std::sync::LazyLock;

static PROOF: LazyLock<Proof> = LazyLock::new(|| support::Draft::default().build());

/// The proof that nothing is wrong with.
pub(crate) fn proof() -> Proof {
    PROOF.clone()
}

pub(crate) fn domain() -> Domain {
    PROOF.domain
}

pub(crate) fn task() -> TaskId {
    TaskId::from([7; 32])
}

pub(crate) fn address(seed: &str) -> Address {
    support::address(seed)
}

pub(crate) fn proofs() -> Vec<Vec<u8>> {
    cases::all().iter().map(|case| case.proof().to_bytes()).collect()
}

pub(crate) fn proof_bodies() -> Vec<Vec<u8>> {
    proofs().iter().map(|file| file[MAGIC.len() + 32..].to_vec()).collect()
}

/// The first header of each run, which stands there as it is.
pub(crate) fn headers() -> Vec<Vec<u8>> {
    runs().iter().map(|run| run[2..2 + usize::from(u16::from_be_bytes([run[0], run[1]]))].to_vec()).collect()
}

pub(crate) fn runs() -> Vec<Vec<u8>> {
    let later = Draft { later: 12, ..Draft::default() };
    [later.build().chain.runs, proof().chain.runs, vec![changed().chain.changes[0].run.clone()]].concat()
}

/// A proof that shows a change of the authorities.
pub(crate) fn changed() -> Proof {
    Draft { change: Some(support::events::ChangeDraft::default()), ..Draft::default() }.build()
}

pub(crate) fn state() -> StateProof {
    match proof().chain.history {
        HistoryProof::State(state) => state,
        HistoryProof::Receipts(_) => unreachable!("the plain draft has state"),
    }
}

/// The place of a log, and a receipt that has it.
pub(crate) fn receipt_logs() -> Vec<Vec<u8>> {
    let nodes = support::events::ChangeDraft::default().block().prove(1).1;
    let leaf = nodes.last().expect("a proof of a receipt ends with it");
    // The receipt is of type 2, and stands last in the leaf.
    let at = leaf
        .windows(3)
        .position(|bytes| bytes[0] == 2 && bytes[1] == 0xf9)
        .expect("a long list after its type");
    vec![[&[0], &leaf[at..]].concat()]
}

pub(crate) fn policies() -> Vec<Vec<u8>> {
    let rich = br#"{"version":1,"releases":["a"],"tcb":["out-of-date"],"allowed_advisories":["INTEL-SA-1"],
        "minimum_snp_tcb":{"turin":{"fmc":1}},"platforms":["chip-id:0x01"],"allow_milan":true}"#;
    vec![proof().policy, br#"{"version":1,"measurements":["0xAB"]}"#.to_vec(), rich.to_vec()]
}

pub(crate) fn evidences() -> Vec<Vec<u8>> {
    vec![proof().matched.evidence]
}

pub(crate) fn quotes() -> Vec<Vec<u8>> {
    evidences().iter().map(|bytes| Evidence::parse(bytes).expect("the proof's evidence").quote).collect()
}

pub(crate) fn archives() -> Vec<Vec<u8>> {
    vec![proof().proven.archive]
}

pub(crate) fn reports() -> Vec<Vec<u8>> {
    archives().iter().map(|bytes| Archive::parse(bytes).expect("the proof's archive").report).collect()
}

fn some_leaves() -> Leaves {
    let terms = Terms {
        args: vec!["run".into(), "--fast".into()],
        env: vec!["THREADS=1".into()],
        inputs: vec!["penguins".into()],
        accept_missing: vec![],
        runs: None,
    };
    terms
        .leaves([B256::repeat_byte(1), B256::repeat_byte(2), B256::repeat_byte(3), B256::repeat_byte(4)])
        .expect("these terms are good")
}

pub(crate) fn some_runs() -> Runs {
    let args = vec![vec!["--seed".into(), "1".into()], vec![], vec!["{run}".into()]];
    Runs { seed: B256::repeat_byte(6), count: 3, args: Some(args) }
}

fn batch_leaves() -> Leaves {
    let terms = Terms { runs: some_runs().committed(), ..Terms::default() };
    terms.leaves((1..=5).map(B256::repeat_byte)).expect("these terms are good")
}

fn some_members() -> MemberReceipts {
    let member =
        |run| MemberReceipt { reason: String::new(), ..MemberReceipt::not_begun(&run, Outcome::Failed) };
    MemberReceipts::new(some_runs().iter().map(member).collect()).expect("one for each run")
}

pub(crate) fn members() -> Vec<Vec<u8>> {
    some_members().iter().map(MemberReceipt::to_bytes).collect()
}

pub(crate) fn member_lists() -> Vec<Vec<u8>> {
    vec![some_members().to_bytes()]
}

pub(crate) fn batch_runs() -> Vec<Vec<u8>> {
    vec![to_canonical(&some_runs()), to_canonical(&Runs { args: None, ..some_runs() })]
}

pub(crate) fn leaves() -> Vec<Vec<u8>> {
    let leaf = Leaf { salt: B256::ZERO, name: "title".into(), value: b"A small real analysis".to_vec() };
    let other = Leaves::new(vec![leaf]).expect("one leaf is a list");
    vec![some_leaves().to_bytes(), batch_leaves().to_bytes(), other.to_bytes(), Leaves::default().to_bytes()]
}

pub(crate) fn openings() -> Vec<Vec<u8>> {
    let leaves = some_leaves();
    let disclosed: [fn(&str) -> bool; 3] = [|_| true, |_| false, |name| name == "args"];
    disclosed.iter().map(|disclose| to_canonical(&leaves.open(disclose))).collect()
}

pub(crate) fn secrets() -> Vec<Vec<u8>> {
    let keys =
        ["data.age", "manifest.age"].map(|object| ObjectKey { object: object.into(), key: vec![7; 16] });
    let secret = Secret {
        task: task(),
        terms: some_leaves(),
        image: "oci:/images/penguins".into(),
        inputs: vec![InputAccess { location: "file:///data".into(), keys: keys.into(), crypt4gh: None }],
        results: "https://storage.example/results".into(),
        recipients: vec!["age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj".into()],
        buckets: None,
        runs: None,
    };
    let theirs = InputSecret { task: task(), inputs: secret.inputs.clone(), buckets: None };
    let mut with_keys = secret.clone();
    with_keys.inputs[0].location = "s3://data/set".into();
    with_keys.buckets = Some(vec![BucketAccess {
        bucket: "data".into(),
        endpoint: "https://s3.example".into(),
        region: "us-east-1".into(),
        style: Style::Path,
        key_id: "id".into(),
        secret_key: "key".into(),
        session_token: Some("token".into()),
    }]);
    let mut crypt4gh = secret.clone();
    crypt4gh.inputs[0].keys.clear();
    let file = Crypt4ghAccess {
        object: "reads.c4gh".into(),
        keys: vec![Crypt4ghKey(vec![5; 32])],
        edits: Some(vec![9, 4]),
    };
    crypt4gh.inputs[0].crypt4gh = Some(vec![file]);
    let batch = Secret { terms: batch_leaves(), runs: Some(some_runs()), ..secret.clone() };
    let theirs_with_keys = InputSecret { buckets: with_keys.buckets.clone(), ..theirs.clone() };
    let theirs = [theirs, theirs_with_keys].map(|secret| secret.to_bytes().to_vec());
    [secret, with_keys, crypt4gh, batch]
        .map(|secret| secret.to_bytes().to_vec())
        .into_iter()
        .chain(theirs)
        .collect()
}

pub(crate) fn signed_secrets() -> Vec<Vec<u8>> {
    let owner = support::key("owner");
    let signed = SignedSecret::sign(&domain(), task(), address("enclave"), b"sealed".to_vec(), &owner);
    vec![signed.to_bytes()]
}

pub(crate) fn requests() -> Vec<Vec<u8>> {
    vec![proof().request]
}

pub(crate) fn offers() -> Vec<Vec<u8>> {
    vec![proof().matched.offer]
}

pub(crate) fn receipts() -> Vec<Vec<u8>> {
    vec![proof().proven.receipt]
}

pub(crate) fn calls() -> Vec<Vec<u8>> {
    let proof = proof();
    let request = proof.request_record().expect("the proof's request");
    let offer = proof.offer_record().expect("the proof's offer");
    let receipt = proof.receipt_record().expect("the proof's receipt");
    let enclave = proof.matched.enclave;
    let calls = [
        Call::Request(request.clone()),
        Call::Offer(offer.clone()),
        Call::WithdrawOffer(offer.clone()),
        Call::RequestFor { record: request.clone(), signature: vec![27; 65].into() },
        Call::Release { record: request.clone(), party: 1, enclave, secret: vec![9; 80].into() },
        Call::RejectFor {
            record: request.clone(),
            party: 1,
            enclave,
            reason: 2,
            signature: vec![27; 65].into(),
        },
        Call::CancelFor { task: task(), signature: vec![27; 65].into() },
        Call::ProveMany {
            receipt: receipt.clone(),
            archive: pox_core::Archive::from([1; 32]),
            members: pox_core::MembersRoot::from([7; 32]),
            count: 9,
            signature: vec![27; 65].into(),
        },
        Call::MatchTask {
            record: request.clone(),
            terms: offer,
            enclave,
            evidence: proof.matched.evidence.clone().into(),
        },
        Call::Reject { record: request.clone(), enclave, reason: 1 },
        Call::Approve { task: task(), enclave, secret: Bytes::from_static(b"signed and sealed") },
        Call::Prove {
            receipt,
            archive: pox_core::Archive::from([3; 32]),
            signature: Bytes::from(vec![1; 65]),
        },
        Call::Cancel(task()),
        Call::Expire(request),
        Call::Withdraw,
    ];
    calls.iter().map(Call::to_calldata).collect()
}

pub(crate) fn events() -> Vec<Vec<u8>> {
    let proof = proof();
    let request = Request::parse(&proof.request).expect("the proof's request");
    let terms = pox_core::Offer::parse(&proof.matched.offer).expect("the proof's offer");
    let receipt = proof.receipt_record().expect("the proof's receipt");
    let (task, offer) = (request.id(&proof.domain), terms.id(&proof.domain));
    let (processor, enclave) = (terms.processor, proof.matched.enclave);
    let bond = Amount::from_wei(5).expect("five fits");
    let events = [
        Event::Requested { task, request: Box::new(request) },
        Event::Uses { input: pox_core::DatasetCommitment::from([5; 32]), task },
        Event::Offered { offer, terms },
        Event::OfferWithdrawn { offer: OfferId::from([6; 32]), processor },
        Event::Matched { task, offer, processor, enclave, evidence: B256::repeat_byte(1), bond },
        Event::Rejected { task, processor, account: address("owner"), enclave, reason: 2 },
        Event::Sponsored { task, sponsor: address("sponsor") },
        Event::Released {
            task,
            account: address("owner"),
            enclave,
            secret: B256::repeat_byte(2),
            missing: 6,
        },
        Event::Members { task, root: pox_core::MembersRoot::from([7; 32]), count: 9 },
        Event::Approved { task, enclave, secret: proof.secrets[0] },
        Event::Proven {
            task: TaskId(receipt.task),
            processor,
            receipt: Box::new(receipt),
            archive: pox_core::Archive::from([8; 32]),
        },
        Event::Cancelled { task },
        Event::Expired { task, from: Phase::Matched },
        Event::Withdrawn { account: processor, amount: U256::from(9) },
    ];
    events.iter().map(|event| log(&event.to_log())).collect()
}

fn log(log: &LogData) -> Vec<u8> {
    let topics = log.topics().iter().flat_map(|topic| topic.0);
    [log.topics().len() as u8].into_iter().chain(topics).chain(log.data.iter().copied()).collect()
}

pub(crate) fn refusals() -> Vec<Vec<u8>> {
    let refusals = [
        Refusal::NotYours,
        Refusal::TooLate(UnixTime(7)),
        Refusal::WrongPhase(Phase::Matched),
        Refusal::BadRecord(3),
    ];
    refusals.iter().map(Refusal::revert_data).collect()
}

pub(crate) fn signatures() -> Vec<Vec<u8>> {
    vec![proof().proven.signature]
}

pub(crate) fn host_messages() -> Vec<Vec<u8>> {
    let messages = [
        HostMessage::Boot {
            domain: domain(),
            request: proof().request,
            block_number: 7,
            block_hash: B256::repeat_byte(2),
            processor: address("processor"),
        },
        HostMessage::Secrets { secrets: vec![b"signed and sealed".to_vec(); 2] },
        HostMessage::Chunk { bytes: vec![0; 300] },
        HostMessage::Done,
        HostMessage::Failed { reason: "not found".into() },
        HostMessage::Sign { operation: Operation::Read },
        HostMessage::Sign { operation: Operation::Part { number: 1, upload: "u".into() } },
        HostMessage::Sign { operation: Operation::Parts { after: 1, upload: "u".into() } },
        HostMessage::Endorsements { endorsements: vec![Endorsement { kind: 1, content: vec![3; 50] }] },
    ];
    let frames = messages.map(|message| {
        let mut frame = Vec::new();
        send(&mut frame, &message).expect("memory takes any message");
        frame
    });
    [&frames[..], &[frames.concat()]].concat()
}

pub(crate) fn enclave_messages() -> Vec<Vec<u8>> {
    let proof = proof();
    let (location, name) = ("https://storage.example/data".to_owned(), "data.age".to_owned());
    let messages = [
        EnclaveMessage::Ready { enclave: proof.matched.enclave, evidence: proof.matched.evidence },
        EnclaveMessage::SecretRefused { reason: "another task's".into() },
        EnclaveMessage::Get { location: location.clone(), name: name.clone(), offset: 3, most: 1 << 40 },
        EnclaveMessage::Blob { image: "oci:/images/a".into(), digest: format!("sha256:{:064}", 0), most: 9 },
        EnclaveMessage::Put { location, name },
        EnclaveMessage::Chunk { bytes: vec![1; 40] },
        EnclaveMessage::End,
        EnclaveMessage::Url { url: None },
        EnclaveMessage::Url { url: Some("https://s3.example/data/set/data.age?X-Amz-Signature=00".into()) },
        EnclaveMessage::Progress { stage: Stage::Running },
        EnclaveMessage::Finished {
            receipt: proof.proven.receipt,
            signature: proof.proven.signature,
            archive: proof.proven.archive,
            members: None,
        },
        EnclaveMessage::Finished {
            receipt: vec![1],
            signature: vec![2],
            archive: vec![3],
            members: Some(Members { root: MembersRoot::from([4; 32]), count: 1000 }),
        },
        EnclaveMessage::BootFailed { reason: "malformed request".into() },
        EnclaveMessage::Endorse { kind: EvidenceKind::Tdx, quotes: vec![vec![4; 30], vec![5; 30]] },
    ];
    let frames = messages.map(|message| {
        let mut frame = Vec::new();
        send(&mut frame, &message).expect("memory takes any message");
        frame
    });
    [&frames[..], &[frames.concat()]].concat()
}

pub(crate) fn ids() -> Vec<Vec<u8>> {
    vec![task().to_string().into_bytes()]
}
