//! The cast of the vectors: fixed accounts, records and messages.

use crate::common::key;
use alloy_primitives::Uint;
use alloy_sol_types::SolValue;
use pox_core::evidence::{Claims, Evidence, EvidenceKind, Purpose, SimulatedQuote, sha256};
use pox_core::history::{At, Payload};
use pox_core::leaves::{Leaf, Leaves};
use pox_core::proof::{
    ChainProof, ChangeProof, HistoryProof, MatchPart, Proof, ProvePart, ReceiptProof, StateProof,
};
use pox_core::receipt::{Archive, RunReport};
use pox_core::secret::{Crypt4ghAccess, Crypt4ghKey, InputAccess, ObjectKey, Secret, Terms};
use pox_core::signature::{Signature, address_of};
use pox_core::{Address, B256, Domain, TaskId, UnixTime, abi, keccak256};

/// Keys of the cast.
pub(crate) const OWNER: u8 = 1;
pub(crate) const PROCESSOR: u8 = 2;
pub(crate) const ENCLAVE: u8 = 3;
pub(crate) const CO_OWNER: u8 = 4;
pub(crate) const DELEGATE: u8 = 5;
pub(crate) const NOW: u64 = 1_700_000_000;

pub(crate) fn account(number: u8) -> Address {
    address_of(key(number).verifying_key())
}

pub(crate) fn word(name: &str) -> B256 {
    keccak256(name)
}

pub(crate) fn domains() -> [(&'static str, Domain); 2] {
    let contract = Address::from_slice(&word("contract")[12..]);
    [
        ("", Domain { chain_id: 8995, contract }),
        ("-on-another-chain", Domain { chain_id: u64::MAX, contract }),
    ]
}

pub(crate) fn domain() -> Domain {
    domains()[0].1
}

pub(crate) fn request() -> abi::Request {
    abi::Request {
        owner: account(OWNER),
        processors: B256::ZERO,
        price: Uint::from(1_000_000_000_000_000_000u64),
        image: word("image"),
        inputs: vec![word("input a"), word("input b")],
        terms: leaves().root(),
        metadata: word("metadata"),
        policy: word("policy"),
        kinds: 0b11_1100,
        cpuMillis: 2_000,
        memoryMib: 4_096,
        diskMib: 10_240,
        timeLimit: 3_600,
        matchBy: NOW + 86_400,
        approveWithin: 3_600,
        proveWithin: 7_200,
        salt: word("salt"),
        delegate: Address::ZERO,
        coOwners: Vec::new(),
    }
}

pub(crate) fn offer() -> abi::Offer {
    abi::Offer {
        processor: account(PROCESSOR),
        kinds: 0b1000,
        cpuMillis: 8_000,
        memoryMib: 32_768,
        diskMib: 102_400,
        timeLimit: 86_400,
        pricePerSecond: Uint::from(100_000_000_000_000u64),
        bond: Uint::from(500_000_000_000_000_000u64),
        validUntil: NOW + 864_000,
        salt: word("offer"),
    }
}

pub(crate) fn receipt() -> abi::Receipt {
    abi::Receipt {
        task: domain().digest(&request()),
        enclave: account(ENCLAVE),
        outcome: 0,
        exitCode: 0,
        results: word("results"),
        report: word("report"),
        cpuMicros: 12_345_678,
        wallMicros: 23_456_789,
        memoryPeak: 1 << 30,
    }
}

pub(crate) fn leaf(name: &str, value: &[u8]) -> Leaf {
    Leaf { salt: word(name), name: name.into(), value: value.into() }
}

pub(crate) fn leaves() -> Leaves {
    let terms = Terms {
        args: vec!["analyse".into(), "--all".into()],
        env: vec!["LANG=C.UTF-8".into()],
        inputs: vec!["a".into(), "b.v2".into()],
        accept_missing: Vec::new(),
        runs: None,
    };
    terms.leaves(["accept-missing", "args", "env", "inputs"].map(word)).unwrap()
}

pub(crate) fn evidence() -> Evidence {
    let recipient = word("recipient").repeat(38);
    let claims = Claims {
        purpose: Purpose::Key,
        task: TaskId(domain().digest(&request())),
        enclave: account(ENCLAVE),
        recipient: sha256(&recipient),
        block_number: 1_234_567,
        block_hash: word("block"),
        previous: B256::ZERO,
        receipt: pox_core::ReceiptId::ZERO,
        processor: account(PROCESSOR),
    };
    let quote = simulated_quote(&claims).to_bytes();
    Evidence { kind: EvidenceKind::Simulated, claims, quote, recipient }
}

pub(crate) fn simulated_quote(claims: &Claims) -> SimulatedQuote {
    let secret = sha256(b"pox simulated vendor root: anyone can sign with this key, it protects nothing");
    let root = k256::ecdsa::SigningKey::from_slice(&secret[..]).unwrap();
    let (measurement, report_data) = (word("program"), claims.report_data());
    let signature = Signature::sign(&root, SimulatedQuote::digest(measurement, &report_data));
    SimulatedQuote {
        measurement,
        report_data: report_data.to_vec(),
        signature: signature.to_bytes().to_vec(),
    }
}

pub(crate) fn secret() -> Secret {
    let input = |name: &str| InputAccess {
        location: format!("https://example.org/{name}/"),
        keys: vec![ObjectKey { object: "data.age".into(), key: word(name)[..16].to_vec() }],
        crypt4gh: None,
    };
    Secret {
        task: TaskId(domain().digest(&request())),
        terms: leaves(),
        image: "https://example.org/image".into(),
        inputs: vec![input("a"), input("b")],
        results: "https://example.org/results/".into(),
        recipients: vec!["age1owner".into()],
        buckets: None,
        runs: None,
    }
}

/// The same with an input of Crypt4GH files, one with an edit list and two keys.
pub(crate) fn with_crypt4gh() -> Secret {
    let key = |name: &str| Crypt4ghKey(word(name).to_vec());
    let files = vec![
        Crypt4ghAccess { object: "one.c4gh".into(), keys: vec![key("one")], edits: None },
        Crypt4ghAccess {
            object: "two.c4gh".into(),
            keys: vec![key("two"), key("three")],
            edits: Some(vec![0, 7_853, 71_721]),
        },
    ];
    let mut secret = secret();
    let input = &mut secret.inputs[0];
    (input.keys, input.crypt4gh) = (Vec::new(), Some(files));
    secret
}

pub(crate) fn report() -> RunReport {
    RunReport {
        protections: vec!["namespaces".into(), "seccomp".into()],
        missing: Vec::new(),
        accounting: "cgroup-v2".into(),
        user_micros: 10_000_000,
        system_micros: 2_345_678,
        image_config: word("config").to_vec(),
        image_entries: 321,
        input_bytes: 1 << 20,
        result_bytes: 4_096,
        reason: String::new(),
    }
}

pub(crate) fn archive() -> Archive {
    let key_evidence = evidence();
    let claims = Claims {
        purpose: Purpose::Result,
        previous: sha256(&key_evidence.to_bytes()),
        receipt: pox_core::ReceiptId(domain().digest(&receipt())),
        ..key_evidence.claims
    };
    let quote = simulated_quote(&claims).to_bytes();
    let evidence = Evidence { kind: EvidenceKind::Simulated, claims, quote, recipient: Vec::new() };
    Archive { evidence, report: report().seal().0, endorsements: Vec::new() }
}

/// Well-formed, and true in nothing.
pub(crate) fn proof() -> Proof {
    let step = Payload::Request(TaskId(domain().digest(&request())));
    let (archive, _) = archive().seal();
    Proof {
        domain: domain(),
        request: request().abi_encode(),
        steps: vec![step.step(At { number: 7, time: UnixTime(NOW) })],
        matched: MatchPart {
            offer: offer().abi_encode(),
            enclave: account(ENCLAVE),
            evidence: evidence().to_bytes(),
            path: Vec::new(),
        },
        secrets: vec![word("secret")],
        proven: ProvePart {
            receipt: receipt().abi_encode(),
            signature: vec![27; 65],
            archive,
            members: None,
        },
        policy: b"{}".to_vec(),
        chain: ChainProof {
            history: HistoryProof::State(StateProof { account: vec![vec![0xc0]], storage: vec![vec![0xc0]] }),
            runs: vec![vec![0]],
            changes: vec![ChangeProof {
                run: vec![0],
                announcement: ReceiptProof { index: 1, log: 2, nodes: vec![vec![0xc0]] },
            }],
        },
        terms: Some(leaves().open(|name| name == "args")),
        metadata: None,
        member: None,
    }
}
