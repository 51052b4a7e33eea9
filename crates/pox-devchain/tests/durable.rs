//! Durable chains: what was acknowledged is there after any end of the process.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on fails")]

mod support;

use std::{
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_trie::{Nibbles, TrieAccount, proof::verify_proof};
use pox_devchain::{
    ANNOUNCER_ADDRESS, AccountKey, Chain, Config, FAUCET_ADDRESS, Hardfork, Mining, OpenError, Returned,
};
use serde_json::json;

use crate::support::{Draft, STORE_AND_LOG, bytes, deploys, error, number, result, word, words};

/// Set in the process that is to be killed: the folder of its chain.
const CHILD_FOLDER: &str = "POX_DEVCHAIN_TEST_CHILD";

const KILLS: u64 = 36;

fn config(folder: &Path) -> Config {
    Config { data_dir: Some(folder.to_owned()), ..Config::default() }
}

#[test]
fn a_killed_chain_has_every_acknowledged_block_whole() {
    if let Some(folder) = env::var_os(CHILD_FOLDER) {
        mine_until_killed(Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged: Vec<B256> = Vec::new();
    let mut random = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    println!("seed {random}");
    for _ in 0..KILLS {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        acknowledged.extend(run_and_kill(folder.path(), Duration::from_micros((random >> 33) % 150_000)));
        let chain = Chain::open(config(folder.path())).unwrap();
        verify(&chain, &acknowledged);
    }
    assert!(acknowledged.len() as u64 > KILLS, "only {} transactions came through", acknowledged.len());
}

/// Runs this test's executable as the child and kills it after `delay` in which it mines.
fn run_and_kill(folder: &Path, delay: Duration) -> Vec<B256> {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "a_killed_chain_has_every_acknowledged_block_whole", "--nocapture"])
        .env(CHILD_FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap());
    let reader = thread::spawn(move || {
        let lines = lines.lines().map_while(Result::ok);
        lines.filter_map(|line| line.strip_prefix("mined ").and_then(|hash| hash.parse().ok())).collect()
    });
    thread::sleep(delay + Duration::from_millis(30));
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap()
}

fn mine_until_killed(folder: &Path) -> ! {
    let chain = Chain::open(config(folder)).unwrap();
    let faucet = AccountKey::faucet();
    let mut nonce = number(&result(&chain, "eth_getTransactionCount", &json!([FAUCET_ADDRESS])));
    loop {
        let draft = match nonce {
            0 => Draft::create(0, deploys(STORE_AND_LOG)),
            _ => Draft::call(nonce, FAUCET_ADDRESS.create(0), words(nonce % 50, nonce)),
        };
        let hash = chain.submit(&draft.sign(&faucet)).unwrap();
        let mut out = std::io::stdout().lock();
        writeln!(out, "mined {hash}").unwrap();
        out.flush().unwrap();
        nonce += 1;
    }
}

/// Everything that the chain says about itself fits together, and nothing acknowledged is missing.
fn verify(chain: &Chain, acknowledged: &[B256]) {
    for hash in acknowledged {
        let receipt = result(chain, "eth_getTransactionReceipt", &json!([hash]));
        assert_eq!(receipt["status"], "0x1", "{hash}");
    }
    let head = chain.head().number;
    assert!(head >= acknowledged.len() as u64);
    let mut parent = json!(B256::ZERO);
    for height in 0..=head {
        let at = format!("{height:#x}");
        let block = result(chain, "eth_getBlockByNumber", &json!([at, false]));
        assert_eq!(block["parentHash"], parent);
        let header = bytes(&result(chain, "debug_getRawHeader", &json!([at])));
        assert_eq!(json!(keccak256(header)), block["hash"]);
        parent = block["hash"].clone();
        // The state of each block proves the sender's nonce, which tells how many blocks there were.
        let proof = result(chain, "eth_getProof", &json!([FAUCET_ADDRESS, [], at]));
        assert_eq!(number(&proof["nonce"]), height);
        let account = TrieAccount::new(
            height,
            word(&proof["balance"]),
            hash(&proof["storageHash"]),
            hash(&proof["codeHash"]),
        );
        let nodes: Vec<Bytes> =
            proof["accountProof"].as_array().unwrap().iter().map(|node| bytes(node).into()).collect();
        let key = Nibbles::unpack(keccak256(FAUCET_ADDRESS));
        verify_proof(hash(&block["stateRoot"]), key, Some(alloy_rlp::encode(account)), &nodes).unwrap();
    }
    for slot in 1..head.min(50) {
        let last = (1..head).rev().find(|nonce| nonce % 50 == slot).unwrap();
        let stored =
            result(chain, "eth_getStorageAt", &json!([FAUCET_ADDRESS.create(0), format!("{slot:#x}")]));
        assert_eq!(word(&stored), U256::from(last));
    }
}

fn hash(value: &serde_json::Value) -> B256 {
    value.as_str().unwrap().parse().unwrap()
}

#[test]
fn a_reopened_chain_continues_with_all_its_states() {
    let folder = tempfile::tempdir().unwrap();
    let to = Address::repeat_byte(7);
    let head = {
        let chain = Chain::open(config(folder.path())).unwrap();
        for nonce in 0..30 {
            chain.submit(&Draft::transfer(nonce, to, 1).sign(&AccountKey::faucet())).unwrap();
        }
        chain.head()
    };
    let chain = Chain::open(config(folder.path())).unwrap();
    assert_eq!(chain.head(), head);
    for height in 0..=30u64 {
        let balance = result(&chain, "eth_getBalance", &json!([to, format!("{height:#x}")]));
        assert_eq!(number(&balance), height);
    }
    chain.submit(&Draft::transfer(30, to, 1).sign(&AccountKey::faucet())).unwrap();
    assert_eq!(chain.head().number, 31);
}

#[test]
fn a_reorganisation_lasts() {
    let folder = tempfile::tempdir().unwrap();
    let to = Address::repeat_byte(7);
    let (dropped, head) = {
        let chain = Chain::open(config(folder.path())).unwrap();
        let send = |nonce, value| {
            chain.submit(&Draft::transfer(nonce, to, value).sign(&AccountKey::faucet())).unwrap()
        };
        send(0, 1);
        let dropped = send(1, 1);
        chain.reorg(1, Returned::Never).unwrap();
        send(1, 5);
        (dropped, chain.head())
    };
    let chain = Chain::open(config(folder.path())).unwrap();
    assert_eq!(chain.head(), head);
    assert!(result(&chain, "eth_getTransactionByHash", &json!([dropped])).is_null());
    assert_eq!(number(&result(&chain, "eth_getBalance", &json!([to]))), 6);
}

#[test]
fn another_chain_in_the_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let first = Chain::open(config(folder.path())).unwrap();
    assert!(matches!(Chain::open(config(folder.path())), Err(OpenError::InUse)));
    drop(first);
    let others: [fn(&mut Config); 4] = [
        |config| config.chain_id = 1,
        |config| config.hardfork = Hardfork::Berlin,
        |config| config.step = Duration::from_secs(5),
        |config| config.genesis.clear(),
    ];
    for change in others {
        let mut other = config(folder.path());
        change(&mut other);
        assert!(matches!(Chain::open(other), Err(OpenError::OtherChain)));
    }
    let mut same = config(folder.path());
    same.mining = Mining::Manual;
    Chain::open(same).unwrap();
}

#[test]
fn a_chain_of_another_version_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    drop(Chain::open(config(folder.path())).unwrap());
    let database = redb::Database::open(folder.path().join("chain.redb")).unwrap();
    let writing = database.begin_write().unwrap();
    let meta = redb::TableDefinition::<&str, &[u8]>::new("meta");
    writing.open_table(meta).unwrap().insert("format", 1u64.to_be_bytes().as_slice()).unwrap();
    writing.commit().unwrap();
    drop(database);
    assert!(matches!(Chain::open(config(folder.path())), Err(OpenError::OtherVersion)));
}

#[test]
fn announced_authorities_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let chain = Chain::open(Config { mining: Mining::Manual, ..config(folder.path()) }).unwrap();
    let set: Vec<Address> = (1..4).map(|index| AccountKey::dev_authority(index).address()).collect();
    let mut data = [U256::from(32), U256::from(3)].map(|word| word.to_be_bytes::<32>()).concat();
    set.iter().for_each(|authority| data.extend(authority.into_word()));
    let call = Draft::call(0, ANNOUNCER_ADDRESS, data.into());
    chain.submit(&call.sign(&AccountKey::faucet())).unwrap();
    chain.mine().unwrap();
    let next = chain.head().number + 1;
    assert_eq!(chain.authorities(next), set);
    drop(chain);
    let chain = Chain::open(Config { mining: Mining::Manual, ..config(folder.path()) }).unwrap();
    assert_eq!(chain.authorities(next), set);
    assert_ne!(chain.authorities(next - 1), set);
    chain.mine().unwrap();
}

#[test]
fn a_folder_that_is_a_file_or_holds_rubbish_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "x").unwrap();
    assert!(matches!(Chain::open(config(&file)), Err(OpenError::Folder(_))));
    std::fs::write(folder.path().join("chain.redb"), vec![7; 10_000]).unwrap();
    assert!(matches!(Chain::open(config(folder.path())), Err(OpenError::Folder(_) | OpenError::Store(_))));
}

#[test]
fn durable_chains_refuse_snapshots() {
    let folder = tempfile::tempdir().unwrap();
    let chain = Chain::open(config(folder.path())).unwrap();
    for (method, params) in [("evm_snapshot", json!([])), ("evm_revert", json!(["0x1"]))] {
        let (code, message) = error(&chain, method, &params);
        assert!(code == -32000 && message.contains("durable"), "{message}");
    }
}
