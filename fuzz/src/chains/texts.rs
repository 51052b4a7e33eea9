//! Profiles, and transactions out of a journal.

use pox_chain::{Endpoint, Prepared, Profile};
use pox_devchain::EMBEDDED_CHAIN_ID;

pub(crate) fn profile(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    for profile in [Profile::from_toml(text).ok(), Profile::from_json(text).ok()].into_iter().flatten() {
        let json = serde_json::to_string(&profile).expect("a profile is JSON");
        assert_eq!(Profile::from_json(&json).ok(), Some(profile));
    }
}

pub(crate) fn profile_seeds() -> Vec<Vec<u8>> {
    let mut seeds = pox_fuzz::files("crates/pox-chain/profiles");
    let built_in = Profile::builtin("bloxberg").expect("it is built in");
    seeds.push(serde_json::to_vec(&built_in).expect("a profile is JSON"));
    seeds
}

pub(crate) fn endpoint(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(endpoint) = text.parse::<Endpoint>() {
        let _ = endpoint.to_string();
    }
}

pub(crate) fn endpoint_seeds() -> Vec<Vec<u8>> {
    [&b"http://127.0.0.1:8545"[..], b"https://user:key@node.example/v1/key?a=b"].map(<[u8]>::to_vec).into()
}

pub(crate) fn prepared(input: &[u8]) {
    if let Ok(prepared) = Prepared::parse(input, EMBEDDED_CHAIN_ID) {
        assert_eq!(prepared.raw()[..], *input);
        let _ = prepared.max_cost();
    }
}
