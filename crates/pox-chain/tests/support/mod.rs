//! Chains to test against, and one task's records by hand. The enclave is a plain key.
#![allow(dead_code, unreachable_pub, reason = "each test file uses another part")]

pub mod proxy;
pub mod server;

use k256::ecdsa::SigningKey;
use pox_chain::{
    Account, Contract, Deployment, Draft, Fees, Outbox, Pace, Patience, Profile, Rpc, Transactions,
};
use pox_core::receipt::{Outcome, Receipt};
use pox_core::secret::SignedSecret;
use pox_core::{
    Address, Amount, Archive, Bytes, DatasetCommitment, ImageDigest, Kinds, MetadataRoot, Offer, Party,
    PolicyHash, Processors, ReportHash, Request, Resources, ResultsCommitment, Salt, TermsRoot, U256,
    UnixTime,
};
use serde_json::{Value, json};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The first account of the mnemonic that development nodes fund.
const FUNDED: [u8; 32] = [
    0xac, 0x09, 0x74, 0xbe, 0xc3, 0x9a, 0x17, 0xe3, 0x6b, 0xa4, 0xa6, 0xb4, 0xd2, 0x38, 0xff, 0x94, 0x4b,
    0xac, 0xb4, 0x78, 0xcb, 0xed, 0x5e, 0xfc, 0xae, 0x78, 0x4d, 0x7b, 0xf4, 0xf2, 0xff, 0x80,
];

pub const QUICK: Pace =
    Pace { rounds: 2, first_pause: Duration::from_millis(10), deadline: Duration::from_secs(20), seed: 1 };

/// A chain that ends with this value.
pub struct Node {
    pub url: String,
    pub chain_id: u64,
    /// The node itself, where `url` is that of a proxy.
    direct: String,
    _proxy: Option<server::Server>,
    funder: [u8; 32],
    _life: Life,
}

enum Life {
    Embedded(pox_devchain::Chain, pox_devchain::Server),
    Process(Child),
}

impl Drop for Life {
    fn drop(&mut self) {
        if let Self::Process(child) = self {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Node {
    pub fn embedded() -> Self {
        Self::embedded_with(pox_devchain::Config::default())
    }

    pub fn embedded_at(hardfork: pox_devchain::Hardfork) -> Self {
        Self::embedded_with(pox_devchain::Config { hardfork, ..pox_devchain::Config::default() })
    }

    pub fn embedded_with(config: pox_devchain::Config) -> Self {
        let chain = pox_devchain::Chain::open(config).unwrap();
        let server = pox_devchain::Server::start(&chain, ([127, 0, 0, 1], 0).into()).unwrap();
        Self {
            url: server.url(),
            direct: server.url(),
            _proxy: None,
            chain_id: pox_devchain::EMBEDDED_CHAIN_ID,
            funder: *pox_devchain::AccountKey::faucet().dangerous_to_bytes(),
            _life: Life::Embedded(chain, server),
        }
    }

    pub fn chain(&self) -> &pox_devchain::Chain {
        match &self._life {
            Life::Embedded(chain, _) => chain,
            Life::Process(_) => panic!("not the embedded chain"),
        }
    }

    /// anvil from npm, with bloxberg's chain id.
    pub fn anvil(hardfork: &str, extra: &[&str]) -> Self {
        let program = format!("{}/@foundry-rs/anvil-linux-amd64/bin/anvil", modules());
        let mut command = Command::new(program);
        command.args(["--hardfork", hardfork, "--chain-id", "8995", "--silent"]).args(extra);
        Self::process(command, "--port")
    }

    /// ganache from npm, another EVM, with bloxberg's chain id.
    pub fn ganache() -> Self {
        let mut command = Command::new("node");
        command
            .arg(format!("{}/ganache/dist/node/cli.js", modules()))
            .args(["--hardfork", "istanbul", "--chain.chainId", "8995", "--logging.quiet"])
            .args(["--wallet.mnemonic", "test test test test test test test test test test test junk"]);
        Self::process(command, "--server.port")
    }

    /// hardhat's node from npm, a third dialect.
    pub fn hardhat() -> Self {
        let folder = std::env::var("POX_HARDHAT").expect("POX_HARDHAT names tests/hardhat with its packages");
        let mut command = Command::new("node");
        command
            .arg("node_modules/hardhat/internal/cli/bootstrap.js")
            .args(["node", "--hostname", "127.0.0.1"])
            .current_dir(folder)
            .env("HARDHAT_DISABLE_TELEMETRY_PROMPT", "true");
        Self::process(command, "--port")
    }

    fn process(mut command: Command, port_option: &str) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        command.args([port_option, &port.to_string()]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let url = format!("http://127.0.0.1:{port}");
        let direct = url.clone();
        let node =
            Self { url, direct, _proxy: None, chain_id: 8995, funder: FUNDED, _life: Life::Process(child) };
        let start = Instant::now();
        while Rpc::connect(node.profile(), QUICK).is_err() {
            assert!(start.elapsed() < Duration::from_secs(60), "the node does not answer");
            std::thread::sleep(Duration::from_millis(100));
        }
        node
    }

    /// The same node behind a proxy that takes only what OpenEthereum does.
    #[must_use]
    pub fn strict(mut self) -> Self {
        let proxy = proxy::strict(&self.direct);
        self.url.clone_from(&proxy.url);
        self._proxy = Some(proxy);
        self
    }

    /// As for bloxberg: legacy transactions at a fixed price.
    pub fn profile(&self) -> Profile {
        let mut profile = Profile::generic(self.chain_id, self.url.parse().unwrap());
        profile.transactions = Transactions::Legacy;
        profile.fees = Fees::Fixed { gas_price: 2_000_000_000 };
        profile.poll_millis = 20;
        profile.timeout_millis = 5000;
        profile
    }

    pub fn rpc(&self) -> Rpc {
        Rpc::connect(self.profile(), QUICK).unwrap()
    }

    /// An outbox whose account was given a coin.
    pub fn outbox(&self, rpc: &Rpc, key: u8) -> Outbox {
        let outbox = Outbox::new(rpc, Account::from_bytes(&[key; 32]).unwrap());
        let funder = Outbox::new(rpc, Account::from_bytes(&self.funder).unwrap());
        let coin = U256::from(10u64.pow(18));
        let gift = Draft { to: Some(outbox.address()), value: coin, input: Bytes::new() };
        send(&funder, &gift);
        outbox
    }

    /// The contract, newly deployed.
    pub fn contract(&self, rpc: &Rpc) -> Contract {
        let deployer = self.outbox(rpc, 9);
        let nonce = rpc.nonce(deployer.address()).unwrap();
        let sent = deployer.send(&Contract::deployment(), &patience()).unwrap();
        let address = deployer.account().creates(nonce);
        assert_eq!(sent.receipt.created, Some(address));
        Contract::open(rpc, Deployment { address, block: sent.receipt.block.number }).unwrap()
    }

    /// Calls a method of the node's own.
    pub fn control(&self, method: &str, params: Value) -> Value {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let mut answer = ureq::post(&self.direct)
            .header("content-type", "application/json")
            .send(body.to_string())
            .unwrap();
        let answer: Value = serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap();
        assert_eq!(answer["error"], Value::Null, "{method}");
        answer["result"].clone()
    }
}

fn modules() -> String {
    std::env::var("POX_NODE_MODULES").expect("POX_NODE_MODULES names a node_modules folder")
}

pub fn patience() -> Patience {
    Patience { timeout: Duration::from_secs(20), confirmations: 1, replace_after: None }
}

pub fn send(outbox: &Outbox, draft: &Draft) -> pox_chain::Sent {
    outbox.send(draft, &patience()).unwrap()
}

pub fn wei(amount: u128) -> Amount {
    Amount::from_wei(amount).unwrap()
}

pub fn resources() -> Resources {
    Resources { cpu_millis: 1000, memory_mib: 512, disk_mib: 512, time_limit: 60 }
}

pub fn request(owner: Address, now: UnixTime, salt: u8) -> Request {
    Request {
        owner,
        processors: Processors::Any,
        price: wei(60_000),
        image: ImageDigest::from([1; 32]),
        inputs: vec![DatasetCommitment::from([2; 32]), DatasetCommitment::from([3; 32])],
        terms: TermsRoot::from([4; 32]),
        metadata: MetadataRoot::ZERO,
        policy: PolicyHash::from([5; 32]),
        kinds: Kinds(1),
        resources: resources(),
        match_by: UnixTime(now.0 + 10_000),
        approve_within: 10_000,
        prove_within: 10_000,
        salt: Salt::from([salt; 32]),
        delegate: None,
        co_owners: Vec::new(),
    }
}

pub fn offer(processor: Address, now: UnixTime, salt: u8) -> Offer {
    Offer {
        processor,
        kinds: Kinds(1),
        resources: resources(),
        price_per_second: wei(1000),
        bond: wei(500),
        valid_until: UnixTime(now.0 + 100_000),
        salt: Salt::from([salt; 32]),
    }
}

/// One task from request to receipt, by its five transactions.
pub struct Lifecycle {
    pub owner: Outbox,
    pub processor: Outbox,
    pub enclave: Account,
    pub request: Request,
    pub offer: Offer,
    pub receipt: Receipt,
    pub archive: Archive,
}

/// Fills the owner's key.
const OWNER: u8 = 1;
pub const EVIDENCE: &[u8] = b"what stands for evidence";

impl Lifecycle {
    pub fn new(node: &Node, contract: &Contract, salt: u8) -> Self {
        let rpc = contract.rpc();
        let (owner, processor) = (node.outbox(rpc, OWNER), node.outbox(rpc, 2));
        let now = rpc.head().unwrap().time;
        let request = request(owner.address(), now, salt);
        let offer = offer(processor.address(), now, salt);
        let enclave = Account::from_bytes(&[3; 32]).unwrap();
        let receipt = Receipt {
            task: request.id(contract.domain()),
            enclave: enclave.address(),
            outcome: Outcome::Completed,
            exit_code: 0,
            results: ResultsCommitment::from([6; 32]),
            report: ReportHash::from([7; 32]),
            cpu_micros: 1,
            wall_micros: 2,
            memory_peak: 3,
        };
        Self { owner, processor, enclave, request, offer, receipt, archive: Archive::from([8; 32]) }
    }

    pub fn offer_and_match(&self, contract: &Contract) {
        send(&self.owner, &contract.request(&self.request));
        send(&self.processor, &contract.offer(&self.offer));
        let matched = contract.match_task(
            &self.request,
            &self.offer,
            self.enclave.address(),
            Bytes::from_static(EVIDENCE),
            None,
        );
        send(&self.processor, &matched);
    }

    /// What stands for a sealed secret, truly signed.
    pub fn secret(&self, contract: &Contract) -> Bytes {
        let (domain, enclave) = (contract.domain(), self.enclave.address());
        let owner = SigningKey::from_slice(&[OWNER; 32]).unwrap();
        SignedSecret::sign(domain, self.request.id(domain), enclave, b"sealed".to_vec(), &owner)
            .to_bytes()
            .into()
    }

    pub fn approve_and_prove(&self, contract: &Contract) {
        let (enclave, secret) = (self.enclave.address(), self.secret(contract));
        send(&self.owner, &contract.approve(&self.request, Party::OWNER, enclave, secret));
        let statement = self.receipt.archived(contract.domain(), self.archive);
        let signature = self.enclave.sign(statement.0);
        send(&self.processor, &contract.prove(&self.receipt, self.archive, None, &signature));
    }
}
