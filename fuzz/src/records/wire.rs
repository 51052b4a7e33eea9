//! Decoders of pox-core. Each value has one encoding: whatever decodes has to encode to the same bytes.

use crate::made;
use alloy_primitives::{B256, Bytes, LogData};
use pox_core::channel::{EnclaveMessage, HostMessage, receive, send};
use pox_core::evidence::{Evidence, SimulatedQuote};
use pox_core::leaves::{Leaves, MAX_OPENING_BYTES, Opening};
use pox_core::receipt::{Archive, Receipt, RunReport};
use pox_core::secret::{InputSecret, Secret, SignedSecret, Terms};
use pox_core::signature::Signature;
use pox_core::{Call, Event, Offer, Refusal, Request, TaskId, from_canonical, keccak256, to_canonical};

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
        let again = terms.leaves([B256::ZERO; 4]).expect("terms that were read can be written");
        assert_eq!(Terms::from_leaves(&again), Ok(terms));
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
    let mut stream = input;
    while let Ok(message) = receive::<HostMessage>(&mut stream) {
        let mut sent = Vec::new();
        send(&mut sent, &message).expect("a message that came can be sent");
        assert_eq!(receive::<HostMessage>(&mut sent.as_slice()).expect("what was sent comes"), message);
    }
}

pub(crate) fn enclave_message(input: &[u8]) {
    let mut stream = input;
    while let Ok(message) = receive::<EnclaveMessage>(&mut stream) {
        let mut sent = Vec::new();
        send(&mut sent, &message).expect("a message that came can be sent");
        assert_eq!(receive::<EnclaveMessage>(&mut sent.as_slice()).expect("what was sent comes"), message);
    }
}

pub(crate) fn id(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(id) = text.parse::<TaskId>() {
        assert_eq!(id.to_string(), text.to_ascii_lowercase());
    }
}
