//! The time of a block against the size of the state: it must not grow with it.

use std::{collections::BTreeMap, hint::black_box};

use alloy_consensus::{EthereumTxEnvelope, SignableTransaction, TxEip4844, TxLegacy};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, Bytes, Signature, TxKind, U256, hex};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use pox_devchain::{AccountKey, Chain, Clock, Config, FAUCET_ADDRESS, FAUCET_BALANCE, GenesisAccount};

/// A contract that stores its input's second word in the slot that is its first.
const STORE: &[u8] = &hex!("602035600035550000");

fn block_time(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("one block with one SSTORE");
    group.sample_size(20);
    for size in [1_000u64, 10_000, 100_000] {
        let store = Address::repeat_byte(0xcc);
        let chain = chain(size, store);
        let faucet = AccountKey::faucet();
        let mut nonce = 0;
        group.bench_function(BenchmarkId::new("accounts and slots", size), |bencher| {
            bencher.iter(|| {
                let input =
                    [U256::from(nonce % size).to_be_bytes::<32>(), U256::from(nonce + 1).to_be_bytes()];
                let raw = sign(&faucet, nonce, store, input.concat().into());
                nonce += 1;
                black_box(chain.submit(&raw).expect("the transaction is valid"))
            });
        });
    }
    group.finish();
}

fn chain(size: u64, store: Address) -> Chain {
    let rich = |balance: u64| GenesisAccount { balance: U256::from(balance), ..GenesisAccount::default() };
    let mut genesis: BTreeMap<Address, GenesisAccount> =
        (1..=size).map(|n| (Address::left_padding_from(&(n << 20).to_be_bytes()), rich(n))).collect();
    genesis.insert(FAUCET_ADDRESS, GenesisAccount { balance: FAUCET_BALANCE, ..GenesisAccount::default() });
    let storage = (0..size).map(|slot| (U256::from(slot), U256::from(1))).collect();
    let contract = GenesisAccount { code: Bytes::from_static(STORE), storage, ..GenesisAccount::default() };
    genesis.insert(store, contract);
    let config = Config { genesis, clock: Clock::Manual(0), ..Config::default() };
    Chain::open(config).expect("a chain in memory opens")
}

fn sign(key: &AccountKey, nonce: u64, to: Address, input: Bytes) -> Vec<u8> {
    let tx = TxLegacy {
        chain_id: Some(pox_devchain::EMBEDDED_CHAIN_ID),
        nonce,
        gas_price: 1_000_000,
        gas_limit: 100_000,
        to: TxKind::Call(to),
        value: U256::ZERO,
        input,
    };
    let signature = key.sign(&tx.signature_hash()).expect("the key signs");
    let signature = Signature::from_raw_array(&signature).expect("it is a signature");
    EthereumTxEnvelope::<TxEip4844>::Legacy(tx.into_signed(signature)).encoded_2718()
}

criterion_group!(benches, block_time);
criterion_main!(benches);
