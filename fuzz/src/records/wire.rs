//! Decoders of pox-core. Each value has one encoding: whatever decodes has to encode to the same bytes.

use crate::made;
use alloy_primitives::{B256, Bytes, LogData};
use pox_core::channel::{EnclaveMessage, HostMessage, Incoming, receive, receive_chunk, send};
use pox_core::evidence::{Evidence, SimulatedQuote};
use pox_core::leaves::{Leaves, MAX_OPENING_BYTES, Opening};
use pox_core::receipt::{Archive, Outcome, Receipt, RunReport};
use pox_core::runs::{CommittedRuns, MAX_RUNS_BYTES};
use pox_core::secret::{InputSecret, Secret, SignedSecret, Terms};
use pox_core::signature::Signature;
use pox_core::{
    Call, Event, MemberReceipt, MemberReceipts, Offer, Refusal, Request, ResultsCommitment, Runs, TaskId,
    from_canonical, keccak256, to_canonical, tree,
};

pub(crate) fn evidence(input: &[u8]) {
    if let Ok(evidence) = Evidence::parse(input) {
        assert_eq!(evidence.to_bytes(), input);
    }
}

pub(crate) fn simulated_quote(input: &[u8]) {
    if let Ok(quote) = SimulatedQuote::parse(input) {
        assert_eq!(quote.to_bytes(), input);
    }
}

pub(crate) fn archive(input: &[u8]) {
    if let Ok(archive) = Archive::parse(input) {
        assert_eq!(archive.seal().0, input);
    }
}

pub(crate) fn run_report(input: &[u8]) {
    if let Ok(report) = RunReport::parse(input) {
        assert_eq!(report.seal().0, input);
    }
}

pub(crate) fn secret(input: &[u8]) {
    if let Ok(secret) = Secret::parse(input) {
        assert_eq!(*secret.to_bytes(), input);
        secret.terms_root();
        let _ = Terms::from_leaves(&secret.terms);
    }
    if let Ok(secret) = InputSecret::parse(input) {
        assert_eq!(*secret.to_bytes(), input);
    }
}

pub(crate) fn signed_secret(input: &[u8]) {
    if let Ok(secret) = SignedSecret::parse(input) {
        assert_eq!(secret.to_bytes(), input);
        let (domain, owner) = (made::domain(), made::address("owner"));
        let _ = secret.released_by(owner, &domain, made::task(), made::address("enclave"));
    }
}

pub(crate) fn leaves(input: &[u8]) {
    if let Ok(leaves) = Leaves::parse(input) {
        assert_eq!(leaves.to_bytes(), input);
        let half = leaves.open(|name| name.len() % 2 == 0);
        assert_eq!(half.root(), Ok(leaves.root()), "an opening is one of another list");
    }
}

pub(crate) fn opening(input: &[u8]) {
    if let Ok(opening) = from_canonical::<Opening>(input, MAX_OPENING_BYTES) {
        assert_eq!(to_canonical(&opening), input);
        let _ = opening.root();
    }
}

pub(crate) fn terms(input: &[u8]) {
    let Ok(leaves) = Leaves::parse(input) else { return };
    if let Ok(terms) = Terms::from_leaves(&leaves) {
        let again = terms.leaves([B256::ZERO; 5]).expect("terms that were read can be written");
        assert_eq!(Terms::from_leaves(&again), Ok(terms));
    }
}

pub(crate) fn runs(input: &[u8]) {
    let Ok(runs) = from_canonical::<Runs>(input, MAX_RUNS_BYTES) else { return };
    assert_eq!(to_canonical(&runs), input);
    // Trees of thousands of leaves find nothing that smaller ones don't.
    if runs.check().is_err() || runs.count > 100 {
        return;
    }
    let committed = runs.committed().expect("there is at least one");
    assert_eq!(CommittedRuns::from_texts(&committed.to_texts()), Some(committed));
    for run in runs.iter() {
        let path = runs.path(run.number).expect("each run has a path");
        assert_eq!(tree::climb(run.leaf(), &path), Some(committed.root.0));
        run.arguments(&["{run}".into()]);
    }
}

pub(crate) fn member(input: &[u8]) {
    if let Ok(member) = MemberReceipt::parse(input) {
        assert_eq!(member.to_bytes(), input);
        member.leaf();
    }
}

pub(crate) fn member_list(input: &[u8]) {
    let Ok(list) = MemberReceipts::parse(input) else { return };
    assert_eq!(list.to_bytes(), input);
    let closing = list.closing(Ok(ResultsCommitment::from([1; 32])));
    assert_eq!(
        closing.outcome == Outcome::Completed,
        list.iter().all(|one| one.outcome == Outcome::Completed)
    );
    let members = list.members();
    for member in list.iter().take(100) {
        let path = list.path(member.number).expect("each member has a path");
        assert_eq!(tree::climb(member.leaf(), &path), Some(members.root.0));
    }
}

pub(crate) fn request(input: &[u8]) {
    if let Ok(request) = Request::parse(input) {
        assert_eq!(request.to_bytes(), input);
        request.id(&made::domain());
    }
}

pub(crate) fn offer(input: &[u8]) {
    if let Ok(offer) = Offer::parse(input) {
        assert_eq!(offer.to_bytes(), input);
        offer.id(&made::domain());
    }
}

pub(crate) fn receipt(input: &[u8]) {
    if let Ok(receipt) = Receipt::parse(input) {
        assert_eq!(receipt.to_bytes(), input);
        receipt.id(&made::domain());
    }
}

pub(crate) fn call(input: &[u8]) {
    // The contract takes any spelling that Solidity takes, so only what we write ourselves has to stand.
    if let Some(call) = Call::parse(input) {
        assert_eq!(Call::parse(&call.to_calldata()), Some(call));
    }
}

/// The input is a number of topics, the topics, and the data.
pub(crate) fn event(mut input: &[u8]) {
    let count = usize::from(pox_fuzz::byte(&mut input) % 5);
    let topics: Vec<B256> = (0..count).map(|_| topic(pox_fuzz::take(&mut input, 32))).collect();
    let log = LogData::new_unchecked(topics, Bytes::copy_from_slice(input));
    if let Ok(event) = Event::parse(&made::domain(), &log) {
        assert_eq!(event.to_log(), log);
    }
}

fn topic(bytes: &[u8]) -> B256 {
    B256::try_from(bytes).unwrap_or_default()
}

pub(crate) fn refusal(input: &[u8]) {
    if let Some(refusal) = Refusal::parse(input) {
        assert_eq!(Refusal::parse(&refusal.revert_data()), Some(refusal));
    }
}

pub(crate) fn signature(input: &[u8]) {
    if let Ok(signature) = Signature::parse(input) {
        assert_eq!(signature.to_bytes(), input);
        let _ = signature.signer(keccak256(input));
    }
}

pub(crate) fn host_message(input: &[u8]) {
    let (mut stream, mut short, mut chunk) = (input, input, Vec::new());
    while let Ok(message) = receive::<HostMessage>(&mut stream) {
        // The way that leaves out what is known of a chunk comes to the same.
        let by_short_cut = match receive_chunk(&mut short, &mut chunk).expect("it comes either way") {
            Incoming::Chunk => HostMessage::Chunk { bytes: chunk.clone() },
            Incoming::Message(message) => message,
        };
        assert_eq!(by_short_cut, message);
        let mut sent = Vec::new();
        send(&mut sent, &message).expect("a message that came can be sent");
        assert_eq!(receive::<HostMessage>(&mut sent.as_slice()).expect("what was sent comes"), message);
    }
    assert!(receive_chunk::<HostMessage>(&mut short, &mut chunk).is_err());
}

pub(crate) fn enclave_message(input: &[u8]) {
    let (mut stream, mut short, mut chunk) = (input, input, Vec::new());
    while let Ok(message) = receive::<EnclaveMessage>(&mut stream) {
        // The way that leaves out what is known of a chunk comes to the same.
        let by_short_cut = match receive_chunk(&mut short, &mut chunk).expect("it comes either way") {
            Incoming::Chunk => EnclaveMessage::Chunk { bytes: chunk.clone() },
            Incoming::Message(message) => message,
        };
        assert_eq!(by_short_cut, message);
        let mut sent = Vec::new();
        send(&mut sent, &message).expect("a message that came can be sent");
        assert_eq!(receive::<EnclaveMessage>(&mut sent.as_slice()).expect("what was sent comes"), message);
    }
    assert!(receive_chunk::<EnclaveMessage>(&mut short, &mut chunk).is_err());
}

pub(crate) fn id(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(id) = text.parse::<TaskId>() {
        assert_eq!(id.to_string(), text.to_ascii_lowercase());
    }
}
