//! `pox contract` on the embedded chain, anvil (which has the deployment proxy) and ganache (which has not).

// Clippy takes helpers of tests for production code.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

mod support;

use pox_chain::{ARTIFACT, Contract, DEPLOYMENT_PROXY};
use serde_json::{Value, json};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use support::{Ran, Scratch};

/// A chain that ends with this value, and a home with coins on it.
struct World {
    scratch: Scratch,
    url: String,
    chain: &'static str,
    child: Option<Child>,
    _embedded: Option<(pox_devchain::Chain, pox_devchain::Server)>,
}

impl World {
    fn embedded() -> Self {
        let scratch = Scratch::new();
        let chain = pox_devchain::Chain::open(pox_devchain::Config::default()).unwrap();
        let server = pox_devchain::Server::start(&chain, ([127, 0, 0, 1], 0).into()).unwrap();
        let world = Self {
            scratch,
            url: server.url(),
            chain: "embedded",
            child: None,
            _embedded: Some((chain, server)),
        };
        world.scratch.json(&["key", "new"]);
        world.json(&["fund"]);
        world
    }

    fn anvil(hardfork: &str) -> Self {
        let mut command = Command::new(format!("{}/@foundry-rs/anvil-linux-amd64/bin/anvil", modules()));
        command.args(["--hardfork", hardfork, "--chain-id", "8995", "--silent"]);
        Self::process(command, "--port", "anvil_setBalance", "anvil_setCode")
    }

    fn ganache() -> Self {
        let mut command = Command::new("node");
        command.arg(format!("{}/ganache/dist/node/cli.js", modules()));
        command.args(["--hardfork", "istanbul", "--chain.chainId", "8995", "--logging.quiet"]);
        Self::process(command, "--server.port", "evm_setAccountBalance", "evm_setAccountCode")
    }

    fn process(mut command: Command, port_option: &str, set_balance: &str, set_code: &str) -> Self {
        let scratch = Scratch::new();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        command.args([port_option, &port.to_string()]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let url = format!("http://127.0.0.1:{port}");
        let world = Self { scratch, url, chain: "chain.toml", child: Some(child), _embedded: None };
        world.scratch.write("chain.toml", PROFILE);
        let address = world.scratch.json(&["key", "new"])["address"].clone();
        let start = Instant::now();
        while world.ask("eth_chainId", json!([])).is_none() {
            assert!(start.elapsed() < Duration::from_secs(60), "the node does not answer");
            sleep(Duration::from_millis(100));
        }
        world.ask(set_balance, json!([address, "0x8ac7230489e80000"])).unwrap();
        let changed = format!("{}fea164736f6c6343000825000a", ARTIFACT.runtime);
        world.ask(set_code, json!([METADATA_AT, changed])).unwrap();
        let proxy = format!("0x363d3d373d3d3d363d73{}5af43d82803e903d91602b57fd5bf3", "7a".repeat(20));
        world.ask(set_code, json!([PROXY_AT, proxy])).unwrap();
        world
    }

    fn ask(&self, method: &str, params: Value) -> Option<Value> {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let request = ureq::post(&self.url).header("content-type", "application/json");
        let mut answer = request.send(body.to_string()).ok()?;
        let answer: Value = serde_json::from_str(&answer.body_mut().read_to_string().ok()?).ok()?;
        assert!(answer.get("error").is_none_or(Value::is_null), "{method}: {answer}");
        Some(answer["result"].clone())
    }

    fn has_proxy(&self) -> bool {
        self.ask("eth_getCode", json!([DEPLOYMENT_PROXY, "latest"])).unwrap() != "0x"
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        self.scratch.run(&[arguments, &["--chain", self.chain, "--rpc", &self.url]].concat())
    }

    fn json(&self, arguments: &[&str]) -> Value {
        self.scratch.json(&[arguments, &["--chain", self.chain, "--rpc", &self.url]].concat())
    }

    /// The verdict on an address, and the words for it.
    fn judge(&self, address: &str) -> (String, String) {
        let ran = self.run(&["contract", "check", address, "--json"]);
        let verdict: Value = serde_json::from_str(&ran.out).unwrap();
        let name = verdict["verdict"].as_str().unwrap().to_owned();
        assert_eq!(ran.code, Some(if name == "this-version" { 0 } else { 1 }), "{ran:?}");
        let plain = self.run(&["contract", "check", address]);
        assert_eq!(plain.code, ran.code);
        (name, plain.out.to_lowercase())
    }

    /// Deployed twice by this home and once by another, there is one contract, at the address that the recipe says.
    fn deploys_deterministically(&self) {
        let address = Contract::deterministic_address().to_string().to_lowercase();
        let before = self.judge(&address);
        assert!(before.0 == "no-code" && before.1.contains("nothing is deployed"), "{before:?}");
        let deployed = self.json(&["contract", "deploy", "--deterministic"]);
        assert_eq!(
            (&deployed["contract"], &deployed["deterministic"]),
            (&address.as_str().into(), &true.into())
        );
        assert!(deployed["transaction"].is_string() && self.has_proxy());
        assert_eq!(self.judge(&address).0, "this-version");

        let again = self.run(&["contract", "deploy", "--deterministic"]);
        assert!(again.code == Some(0) && again.out.contains("it was there already"), "{again:?}");
        // Found without being named.
        let found = self.json(&["contract", "check", "--home", "other"]);
        assert!(found["verdict"] == "this-version", "{found}");
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[test]
fn the_embedded_chain_gets_proxy_and_contract() {
    let world = World::embedded();
    assert!(!world.has_proxy());
    world.deploys_deterministically();
    let other = world.judge(&DEPLOYMENT_PROXY.to_string());
    assert!(other.0 == "other-code" && other.1.contains("69 bytes"), "{other:?}");
}

#[test]
fn whoever_can_not_pay_for_the_proxy_is_told() {
    let world = World::embedded();
    world.scratch.json(&["key", "new", "--home", "poor"]);
    let ran = world.run(&["contract", "deploy", "--deterministic", "--home", "poor"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.err.contains("too little money") && ran.err.contains("hint: "), "{ran:?}");
}

#[test]
fn an_unreachable_chain_is_no_verdict() {
    let scratch = Scratch::new();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let told = scratch.fails(&["contract", "check", "--rpc", &format!("http://{nobody}")]);
    assert!(told.contains("cannot reach the chain"), "{told}");
}

#[test]
#[ignore = "needs anvil: run by .ci/run"]
fn anvil_at_istanbul_and_later_gets_the_contract() {
    for hardfork in ["istanbul", "osaka"] {
        let world = World::anvil(hardfork);
        assert!(world.has_proxy(), "anvil begins with it");
        world.deploys_deterministically();
        judges_like_code(&world);
    }
}

#[test]
#[ignore = "needs ganache: run by .ci/run"]
fn ganache_gets_proxy_and_contract() {
    let world = World::ganache();
    assert!(!world.has_proxy());
    world.deploys_deterministically();
    judges_like_code(&world);
}

fn judges_like_code(world: &World) {
    let metadata = world.judge(METADATA_AT);
    assert!(
        metadata.0 == "metadata-only" && metadata.1.contains("13 bytes of compiler metadata"),
        "{metadata:?}"
    );
    let proxy = world.judge(PROXY_AT);
    assert!(proxy.0 == "proxy" && proxy.1.contains(&format!("0x{}", "7a".repeat(20))), "{proxy:?}");
}

/// Compiled by the compiler from npm, what the program writes for explorers is the committed bytecode.
#[test]
#[ignore = "needs solc from npm: run by .ci/run"]
fn the_source_for_explorers_compiles_to_the_contract() {
    let scratch = Scratch::new();
    let written = scratch.json(&["contract", "metadata", "--to", "explorer"]);
    assert_eq!(scratch.names("explorer"), ["metadata.json", "standard-input.json"]);
    let script = scratch.write("compile.cjs", COMPILE);
    let contract = written["contract_name"].as_str().unwrap();
    let ran = Ran::from(
        Command::new("node")
            .arg(script)
            .args([&modules(), contract])
            .current_dir(scratch.path("explorer"))
            .output()
            .unwrap(),
    );
    let answer: Value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:?}"));
    assert_eq!(answer["bytecode"], hex::encode(&ARTIFACT.bytecode));
    assert_eq!(answer["runtime"], hex::encode(&ARTIFACT.runtime));
    assert_eq!(answer["metadata"], true, "the written metadata is what the compiler says");
    assert!(
        answer["version"].as_str().unwrap().starts_with(written["compiler"].as_str().unwrap()),
        "{answer}"
    );
}

fn modules() -> String {
    std::env::var("POX_NODE_MODULES").expect("POX_NODE_MODULES names a node_modules folder")
}

/// The contract with the version of its compiler behind it.
const METADATA_AT: &str = "0x1111111111111111111111111111111111111111";
const PROXY_AT: &str = "0x2222222222222222222222222222222222222222";

const PROFILE: &str = r#"
name = "test"
chain_id = 8995
endpoints = ["http://127.0.0.1:1"]
transactions = "legacy"
poll_millis = 50
log_range = 1000
[fees]
rule = "fixed"
gas_price = 2000000000
[finality]
rule = "depth"
blocks = 1
"#;

const COMPILE: &str = r"
const fs = require('fs');
const [, , modules, contract] = process.argv;
const solc = require(`${modules}/solc`);
const [source, name] = contract.split(':');
const output = JSON.parse(solc.compile(fs.readFileSync('standard-input.json', 'utf8')));
const made = output.contracts[source][name];
console.log(JSON.stringify({
  bytecode: made.evm.bytecode.object,
  runtime: made.evm.deployedBytecode.object,
  metadata: made.metadata === fs.readFileSync('metadata.json', 'utf8'),
  version: solc.version(),
}));
";
