//! Other programs as judges: ganache, whose EVM isn't ours, and the clients that people use.
//!
//! They come from npm. `POX_NODE_MODULES` is the folder `node_modules` with `ganache`, `ethers` and
//! `@foundry-rs/cast-linux-amd64` in it; without it these tests can't run, and with it they never skip.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on fails")]

mod support;

use std::{
    collections::BTreeMap,
    env,
    io::Write,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use alloy_primitives::{Address, Bytes, U256};
use pox_devchain::{
    AccountKey, Authorities, Chain, Config, EMBEDDED_CHAIN_ID, FAUCET_ADDRESS, FAUCET_BALANCE,
    GenesisAccount, Hardfork, Server,
};
use serde_json::{Value, json};

use crate::support::{DESTROY, Draft, LOAD, REVERT, STORE_AND_LOG, deploys, key, result, words};

/// Accounts that ganache gives one wei at genesis: precompiled contracts, those of later forks included.
const PREFUNDED: std::ops::RangeInclusive<u8> = 0x01..=0x12;

const GAS_LIMIT: u64 = 30_000_000;

#[test]
#[ignore = "needs POX_NODE_MODULES: run by .ci/run"]
fn ganache_comes_to_the_same_roots() {
    for (hardfork, name) in
        [(Hardfork::Istanbul, "istanbul"), (Hardfork::Berlin, "berlin"), (Hardfork::London, "london")]
    {
        let author = AccountKey::dev_authority(0);
        let ganache = Ganache::start(name, author.address());
        let one = GenesisAccount { balance: U256::from(1), ..GenesisAccount::default() };
        let rich = GenesisAccount { balance: FAUCET_BALANCE, ..GenesisAccount::default() };
        let mut genesis: BTreeMap<Address, GenesisAccount> =
            PREFUNDED.map(|n| (Address::with_last_byte(n), one.clone())).collect();
        genesis.insert(FAUCET_ADDRESS, rich);
        let authorities = Authorities::fixed(vec![author]);
        let config = Config { hardfork, genesis, authorities, gas_limit: GAS_LIMIT, ..Config::default() };
        let chain = Chain::open(config).unwrap();
        assert_eq!(fields(&chain, &ganache, 0), Vec::<String>::new(), "{name}, genesis");
        for (index, (draft, reverts)) in session().into_iter().enumerate() {
            let raw = match (hardfork, index % 3) {
                (Hardfork::Berlin | Hardfork::London, 1) => draft.sign_type_1(&AccountKey::faucet()),
                (Hardfork::London, 2) => draft.sign_type_2(&AccountKey::faucet()),
                _ => draft.sign(&AccountKey::faucet()),
            };
            let hash = chain.submit(&raw).unwrap();
            assert_eq!(ganache.result("eth_sendRawTransaction", &json!([Bytes::from(raw)])), json!(hash));
            let receipt = result(&chain, "eth_getTransactionReceipt", &json!([hash]));
            assert_eq!(receipt["status"], if reverts { "0x0" } else { "0x1" }, "{name}, transaction {index}");
            let mut differences = fields(&chain, &ganache, index as u64 + 1);
            // Ganache writes the status of a failed transaction as a zero byte, which isn't canonical RLP.
            differences.retain(|field| !(reverts && field.starts_with("receiptsRoot")));
            assert_eq!(differences, Vec::<String>::new(), "{name}, transaction {index}");
        }
    }
}

/// Transfers, deployments, storage set, changed and cleared, logs, reverts, and a contract that ends.
fn session() -> Vec<(Draft, bool)> {
    let mut session = vec![
        (Draft::transfer(0, key(1).address(), 1_000_000), false),
        (Draft::create(1, deploys(STORE_AND_LOG)), false),
        (Draft::create(2, deploys(LOAD)), false),
        (Draft::create(3, deploys(REVERT)), false),
        (Draft::create(4, deploys(DESTROY)), false),
        (Draft::transfer(5, Address::with_last_byte(2), 7), false),
    ];
    // The precompiled contract runs, so a plain transfer's gas isn't enough.
    session[5].0.gas = 100_000;
    let mut push = |draft: fn(u64) -> Draft, reverts| {
        let nonce = session.len() as u64;
        session.push((draft(nonce), reverts));
    };
    for _ in 0..2 {
        push(|nonce| Draft::call(nonce, FAUCET_ADDRESS.create(1), words(1, 5)), false);
        push(|nonce| Draft::call(nonce, FAUCET_ADDRESS.create(1), words(nonce, nonce)), false);
        push(|nonce| Draft::call(nonce, FAUCET_ADDRESS.create(1), words(1, 6)), false);
        push(|nonce| Draft::call(nonce, FAUCET_ADDRESS.create(1), words(1, 0)), false);
        push(|nonce| Draft::call(nonce, FAUCET_ADDRESS.create(2), words(1, 0)), false);
        push(|nonce| Draft::call(nonce, FAUCET_ADDRESS.create(3), words(1, 2)), true);
    }
    push(
        |nonce| Draft { value: U256::from(9), ..Draft::call(nonce, FAUCET_ADDRESS.create(4), Bytes::new()) },
        false,
    );
    push(
        |nonce| Draft { value: U256::from(9), ..Draft::call(nonce, FAUCET_ADDRESS.create(4), Bytes::new()) },
        false,
    );
    // Runs out of gas.
    push(|nonce| Draft { gas: 30_000, ..Draft::call(nonce, FAUCET_ADDRESS.create(1), words(77, 1)) }, true);
    push(|nonce| Draft::transfer(nonce, Address::repeat_byte(0x99), 0), false);
    session
}

/// The fields of both blocks that follow from the transactions and differ.
fn fields(chain: &Chain, ganache: &Ganache, number: u64) -> Vec<String> {
    let params = json!([format!("{number:#x}"), false]);
    let ours = result(chain, "eth_getBlockByNumber", &params);
    let theirs = ganache.result("eth_getBlockByNumber", &params);
    ["stateRoot", "transactionsRoot", "receiptsRoot", "gasUsed", "logsBloom", "baseFeePerGas"]
        .into_iter()
        .filter(|name| ours.get(name) != theirs.get(name))
        .map(|name| format!("{name}: ours {}, theirs {}", ours[name], theirs[name]))
        .collect()
}

#[test]
#[ignore = "needs POX_NODE_MODULES: run by .ci/run"]
fn cast_works_unchanged() {
    for hardfork in [Hardfork::Istanbul, Hardfork::London, Hardfork::Osaka] {
        let chain = Chain::open(Config { hardfork, ..Config::default() }).unwrap();
        let server = Server::start(&chain, ([127, 0, 0, 1], 0).into()).unwrap();
        // The key is public.
        let secret = hex::encode(AccountKey::faucet().dangerous_to_bytes().as_slice());
        let cast = |arguments: &[&str]| {
            let mut command = Command::new(modules().join("@foundry-rs/cast-linux-amd64/bin/cast"));
            command.arg(arguments[0]).args(["--rpc-url", &server.url()]).args(&arguments[1..]);
            let output = command.env("NO_PROXY", "*").output().unwrap();
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(
                output.status.success() && !output.stdout.is_empty(),
                "{hardfork:?}: {arguments:?}: {error}"
            );
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        let send = |arguments: &[&str]| -> Value {
            // Without a base fee it has to be told which transactions there are.
            let kind = if hardfork < Hardfork::London { vec!["--legacy"] } else { Vec::new() };
            let sender = ["send", "--json", "--private-key", &secret];
            serde_json::from_str(&cast(&[&sender, &kind[..], arguments].concat())).unwrap()
        };
        assert_eq!(cast(&["chain-id"]), EMBEDDED_CHAIN_ID.to_string());
        let code = deploys(STORE_AND_LOG).to_string();
        let receipt = send(&["--create", &code]);
        assert_eq!(receipt["status"], "0x1");
        let contract = receipt["contractAddress"].as_str().unwrap();
        let input = words(3, 4).to_string();
        let receipt = send(&[contract, &input]);
        assert_eq!(receipt["logs"].as_array().unwrap().len(), 1);
        assert_eq!(cast(&["storage", contract, "3"]), format!("{:#066x}", 4));
        assert_eq!(cast(&["call", contract, &input]), "0x");
        assert_eq!(cast(&["nonce", &FAUCET_ADDRESS.to_string()]), "2");
        let logs: Value =
            serde_json::from_str(&cast(&["logs", "--json", "--from-block", "0", "--address", contract]))
                .unwrap();
        assert_eq!(logs.as_array().unwrap().len(), 1);
        let block: Value = serde_json::from_str(&cast(&["block", "latest", "--json"])).unwrap();
        assert_eq!(block["number"], "0x2");
        server.stop();
    }
}

#[test]
#[ignore = "needs POX_NODE_MODULES: run by .ci/run"]
fn ethers_works_unchanged() {
    const SCRIPT: &str = r#"
        const { JsonRpcProvider, Wallet, NonceManager } = require("ethers");
        (async () => {
            const { url, secret, code, input } = JSON.parse(require("fs").readFileSync(0, "utf8"));
            const provider = new JsonRpcProvider(url);
            const wallet = new NonceManager(new Wallet(secret, provider));
            const made = await (await wallet.sendTransaction({ data: code })).wait();
            const ran = await (await wallet.sendTransaction({ to: made.contractAddress, data: input })).wait();
            const logs = await provider.getLogs({ address: made.contractAddress, fromBlock: 0 });
            const block = await provider.getBlock("latest", true);
            const stored = await provider.getStorage(made.contractAddress, 3);
            const balance = await provider.getBalance(wallet.getAddress());
            const many = await Promise.all([1, 2, 3].map((n) => wallet.sendTransaction({ to: made.contractAddress, value: n })));
            const mined = await Promise.all(many.map((sent) => sent.wait()));
            console.log(JSON.stringify({ status: ran.status, logs: logs.length, number: block.number, stored,
                transactions: block.prefetchedTransactions.length, rich: balance > 0n, mined: mined.length }));
            provider.destroy();
        })().catch((error) => { console.error(error); process.exit(1); });
    "#;
    for hardfork in [Hardfork::Istanbul, Hardfork::London, Hardfork::Osaka] {
        let chain = Chain::open(Config { hardfork, ..Config::default() }).unwrap();
        let server = Server::start(&chain, ([127, 0, 0, 1], 0).into()).unwrap();
        let input = json!({
            "url": server.url(),
            "secret": hex::encode(AccountKey::faucet().dangerous_to_bytes().as_slice()),
            "code": deploys(STORE_AND_LOG),
            "input": words(3, 4),
        });
        let mut node = Command::new("node")
            .args(["-e", SCRIPT])
            .env("NODE_PATH", modules())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        node.stdin.take().unwrap().write_all(input.to_string().as_bytes()).unwrap();
        let output = node.wait_with_output().unwrap();
        assert!(output.status.success(), "{hardfork:?}");
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        let expected = json!({ "status": 1, "logs": 1, "number": 2, "stored": format!("{:#066x}", 4),
            "transactions": 1, "rich": true, "mined": 3 });
        assert_eq!(said, expected, "{hardfork:?}");
    }
}

/// Fails, never skips: whoever runs these tests means to have the judges.
fn modules() -> PathBuf {
    let folder = env::var_os("POX_NODE_MODULES").expect("POX_NODE_MODULES names a folder node_modules");
    let folder = PathBuf::from(folder);
    for module in ["ganache", "ethers", "@foundry-rs/cast-linux-amd64"] {
        assert!(folder.join(module).is_dir(), "{module} is not in POX_NODE_MODULES");
    }
    folder
}

struct Ganache {
    process: Child,
    url: String,
}

impl Ganache {
    fn start(hardfork: &str, coinbase: Address) -> Self {
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let secret = hex::encode(AccountKey::faucet().dangerous_to_bytes().as_slice());
        let process = Command::new("node")
            .arg(modules().join("ganache/dist/node/cli.js"))
            .args(["--server.host", "127.0.0.1", "--server.port", &port.to_string()])
            .args(["--chain.hardfork", hardfork, "--chain.chainId", &EMBEDDED_CHAIN_ID.to_string()])
            .args([
                "--miner.coinbase",
                &coinbase.to_string(),
                "--miner.blockGasLimit",
                &GAS_LIMIT.to_string(),
            ])
            .args(["--wallet.accounts", &format!("0x{secret},{FAUCET_BALANCE:#x}"), "--logging.quiet"])
            .current_dir(Path::new(env!("CARGO_TARGET_TMPDIR")))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let ganache = Self { process, url: format!("http://127.0.0.1:{port}") };
        for _ in 0..600 {
            if ganache.call("eth_chainId", &json!([])).is_ok() {
                return ganache;
            }
            thread::sleep(Duration::from_millis(100));
        }
        panic!("ganache doesn't answer");
    }

    fn result(&self, method: &str, params: &Value) -> Value {
        let mut answer = self.call(method, params).unwrap();
        // Ganache answers a transaction that reverts with an error that carries its hash.
        let hash = answer["error"]["data"]["hash"].take();
        if hash.is_string() { hash } else { answer["result"].take() }
    }

    fn call(&self, method: &str, params: &Value) -> Result<Value, ureq::Error> {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let mut answer = ureq::post(&self.url).content_type("application/json").send(request.to_string())?;
        Ok(serde_json::from_str(&answer.body_mut().read_to_string()?).unwrap())
    }
}

impl Drop for Ganache {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}
