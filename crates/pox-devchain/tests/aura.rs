//! Seals, checked from the raw headers alone as somebody would who knows only Aura's rules.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on fails")]

mod support;

use std::time::Duration;

use alloy_primitives::{Address, B256, Signature, U256, keccak256};
use alloy_rlp::{Decodable, Header};
use pox_devchain::{
    ANNOUNCER_ADDRESS, AccountKey, Authorities, Chain, ChainError, Clock, Config, Hardfork, Mining, Returned,
};
use serde_json::json;

use crate::support::{Draft, bytes, number, result, word};

const STEP: u64 = 5;

/// A header's fields, each still encoded.
fn fields(chain: &Chain, number: u64) -> Vec<Vec<u8>> {
    let header = bytes(&result(chain, "debug_getRawHeader", &json!([format!("{number:#x}")])));
    let mut payload = Header::decode_bytes(&mut &header[..], true).unwrap();
    let mut fields = Vec::new();
    while !payload.is_empty() {
        let start = payload;
        Header::decode_bytes(&mut payload, false).unwrap();
        fields.push(start[..start.len() - payload.len()].to_vec());
    }
    fields
}

fn keccak_of_list(fields: &[&[u8]]) -> B256 {
    let payload = fields.concat();
    let mut list = Vec::new();
    Header { list: true, payload_length: payload.len() }.encode(&mut list);
    list.extend(payload);
    keccak256(list)
}

fn open(hardfork: Hardfork, authorities: Authorities) -> Chain {
    let config = Config {
        hardfork,
        authorities,
        step: Duration::from_secs(STEP),
        mining: Mining::Manual,
        clock: Clock::Manual(1_700_000_003),
        ..Config::default()
    };
    Chain::open(config).unwrap()
}

#[test]
fn every_block_is_sealed_by_the_authority_of_its_step() {
    let keys: Vec<_> = (0..3).map(AccountKey::dev_authority).collect();
    let others: Vec<_> = (3..5).map(AccountKey::dev_authority).collect();
    for hardfork in [Hardfork::Istanbul, Hardfork::Berlin, Hardfork::London] {
        let authorities = Authorities::fixed(keys.clone()).then(6, others.clone());
        let chain = open(hardfork, authorities);
        chain.submit(&Draft::transfer(0, Address::ZERO, 1).sign(&AccountKey::faucet())).unwrap();
        let mut parent_step = 0;
        let mut parent_hash = chain.head().hash;
        for height in 1..12 {
            chain.increase_time(height * 3).unwrap();
            let block = chain.mine().unwrap();
            let fields = fields(&chain, height);
            let step = u64::decode(&mut &fields[13][..]).unwrap();
            let signature = Header::decode_bytes(&mut &fields[14][..], false).unwrap();
            assert_eq!(step, block.timestamp / STEP);
            assert!(step > parent_step);
            let expected = U256::from(u128::MAX) + U256::from(parent_step) - U256::from(step);
            assert_eq!(U256::decode(&mut &fields[7][..]).unwrap(), expected);
            assert_eq!(B256::decode(&mut &fields[0][..]).unwrap(), parent_hash);

            let later = &fields[15..];
            assert_eq!(later.len(), usize::from(hardfork == Hardfork::London));
            let bare: Vec<&[u8]> = fields[..13].iter().chain(later).map(Vec::as_slice).collect();
            assert!(signature[64] <= 1);
            let signature = Signature::from_raw(signature).unwrap();
            let signer = signature.recover_address_from_prehash(&keccak_of_list(&bare)).unwrap();
            let set = chain.authorities(height);
            assert_eq!(set.len(), if height < 6 { 3 } else { 2 });
            assert_eq!(signer, set[usize::try_from(step).unwrap() % set.len()]);
            assert_eq!(Address::decode(&mut &fields[2][..]).unwrap(), signer);
            let whole: Vec<&[u8]> = fields.iter().map(Vec::as_slice).collect();
            assert_eq!(keccak_of_list(&whole), block.hash);
            (parent_step, parent_hash) = (step, block.hash);
        }
    }
}

#[test]
fn json_shows_the_seal_and_what_other_clients_need() {
    let chain = open(Hardfork::Istanbul, Authorities::fixed(Vec::new()));
    chain.mine().unwrap();
    let block = result(&chain, "eth_getBlockByNumber", &json!(["latest", false]));
    let fields = fields(&chain, 1);
    assert_eq!(block["author"], block["miner"]);
    assert_eq!([bytes(&block["sealFields"][0]), bytes(&block["sealFields"][1])], fields[13..15]);
    assert_eq!(block["step"].as_str().unwrap().parse::<u64>().unwrap(), number(&block["timestamp"]) / STEP);
    assert_eq!(hex::decode(block["signature"].as_str().unwrap()).unwrap(), fields[14][2..]);
    assert!(word(&block["mixHash"]).is_zero() && word(&block["nonce"]).is_zero());
    let genesis = result(&chain, "eth_getBlockByNumber", &json!(["earliest", false]));
    assert_eq!(genesis["sealFields"][0], "0x80");
}

#[test]
fn a_block_is_final_when_more_than_half_have_built_on_it() {
    let keys = (0..3).map(AccountKey::dev_authority).collect();
    let chain = open(Hardfork::Istanbul, Authorities::fixed(keys));
    let last_final =
        || number(&result(&chain, "eth_getBlockByNumber", &json!(["finalized", false]))["number"]);
    assert_eq!(last_final(), 0);
    let mut heads = Vec::new();
    for _ in 0..4 {
        chain.mine().unwrap();
        heads.push(last_final());
    }
    assert_eq!(heads, [0, 1, 2, 3], "two of three authorities take two blocks");
    let alone = open(Hardfork::Istanbul, Authorities::fixed(Vec::new()));
    alone.mine().unwrap();
    let head = result(&alone, "eth_getBlockByNumber", &json!(["finalized", false]));
    assert_eq!(head["number"], "0x1");
}

/// A call of the announcing contract: the ABI encoding of a list of accounts, and nothing else.
fn announcement(set: &[Address]) -> Vec<u8> {
    let number = |number: usize| U256::from(number).to_be_bytes::<32>();
    let mut data = [number(32), number(set.len())].concat();
    set.iter().for_each(|authority| data.extend(authority.into_word()));
    data
}

fn announce(chain: &Chain, nonce: u64, set: &[Address]) {
    let call = Draft::call(nonce, ANNOUNCER_ADDRESS, announcement(set).into());
    chain.submit(&call.sign(&AccountKey::faucet())).unwrap();
}

#[test]
fn an_announced_set_seals_once_its_announcement_is_final() {
    let dev = |index| AccountKey::dev_authority(index).address();
    let (first, second) =
        (vec![dev(0), dev(1), dev(2)], vec![dev(5), dev(1), Address::repeat_byte(9), dev(6)]);
    let chain = open(Hardfork::Istanbul, Authorities::fixed((0..3).map(AccountKey::dev_authority).collect()));
    let next = || chain.head().number + 1;
    announce(&chain, 0, &second);
    chain.mine().unwrap();
    assert_eq!(chain.authorities(next()), first, "one of three has built on it");
    // One that comes before the first is final is nobody's concern.
    announce(&chain, 1, &first);
    chain.mine().unwrap();
    assert_eq!(chain.authorities(next()), second, "two of three have");
    assert_eq!(chain.authorities(chain.head().number), first);
    for _ in 0..6 {
        chain.mine().unwrap();
        let author = result(&chain, "eth_getBlockByNumber", &json!(["latest", false]))["author"].clone();
        let author: Address = author.as_str().unwrap().parse().unwrap();
        assert!(
            second.contains(&author) && author != second[2],
            "an authority whose key is elsewhere seals nothing"
        );
    }
    let is_final = number(&result(&chain, "eth_getBlockByNumber", &json!(["finalized", false]))["number"]);
    assert_eq!(is_final, chain.head().number - 2, "three of four");
    chain.reorg(chain.head().number - 1, Returned::Never).unwrap();
    assert_eq!(chain.authorities(next()), first, "the branch on which it was final is gone");
    // The new branch begins later, perhaps in the turn of the authority that sealed the announcement.
    chain.mine().unwrap();
    chain.mine().unwrap();
    assert_eq!(chain.authorities(next()), second);
}

#[test]
fn malformed_announcements_change_nothing() {
    let authority = AccountKey::dev_authority(1).address();
    let good = announcement(&[authority]);
    let bad = [
        Vec::new(),
        good[..64].to_vec(),
        good[..95].to_vec(),
        announcement(&[authority, authority]),
        announcement(&[Address::ZERO]),
        [good.as_slice(), &[0; 32]].concat(),
    ];
    let chain = open(Hardfork::Istanbul, Authorities::fixed(Vec::new()));
    for (nonce, data) in (0..).zip(bad) {
        let call = Draft::call(nonce, ANNOUNCER_ADDRESS, data.into());
        chain.submit(&call.sign(&AccountKey::faucet())).unwrap();
        chain.mine().unwrap();
        assert_eq!(chain.authorities(chain.head().number + 1), [AccountKey::dev_authority(0).address()]);
    }
    let call = Draft::call(6, ANNOUNCER_ADDRESS, good.into());
    chain.submit(&call.sign(&AccountKey::faucet())).unwrap();
    chain.mine().unwrap();
    assert_eq!(chain.authorities(chain.head().number + 1), [authority]);
}

#[test]
fn a_chain_whose_authorities_are_all_elsewhere_stands_still() {
    let chain = open(Hardfork::Istanbul, Authorities::fixed(Vec::new()));
    announce(&chain, 0, &[Address::repeat_byte(9)]);
    chain.mine().unwrap();
    assert!(matches!(chain.mine(), Err(ChainError::NoSealer)));
}
