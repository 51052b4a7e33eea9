//! Records as JSON, in the form that `contracts/test/VECTORS.md` lays down: decimal and hexadecimal strings.

use alloy_primitives::Uint;
use pox_core::{Address, B256, Domain, abi};
use serde_json::{Value, json};

pub(crate) fn hexed(bytes: impl AsRef<[u8]>) -> Value {
    Value::String(format!("0x{}", hex::encode(bytes)))
}

pub(crate) fn number(value: impl ToString) -> Value {
    Value::String(value.to_string())
}

pub(crate) fn bytes(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap_or_else(|| panic!("expected bytes, not {value}"));
    hex::decode(text.strip_prefix("0x").unwrap()).unwrap()
}

pub(crate) fn word(value: &Value) -> B256 {
    B256::try_from(bytes(value).as_slice()).unwrap()
}

pub(crate) fn address(value: &Value) -> Address {
    Address::from_slice(&bytes(value))
}

pub(crate) fn integer(value: &Value) -> u128 {
    value.as_str().unwrap_or_else(|| panic!("expected an integer, not {value}")).parse().unwrap()
}

fn small<T: TryFrom<u128>>(value: &Value) -> T {
    T::try_from(integer(value)).unwrap_or_else(|_| panic!("{value} is too large"))
}

pub(crate) fn domain_out(domain: &Domain) -> Value {
    json!({ "chainId": number(domain.chain_id), "verifyingContract": hexed(domain.contract) })
}

pub(crate) fn domain_in(value: &Value) -> Domain {
    Domain { chain_id: small(&value["chainId"]), contract: address(&value["verifyingContract"]) }
}

pub(crate) fn request_out(record: &abi::Request) -> Value {
    json!({
        "owner": hexed(record.owner),
        "processors": hexed(record.processors),
        "price": number(record.price),
        "image": hexed(record.image),
        "inputs": record.inputs.iter().map(hexed).collect::<Vec<_>>(),
        "terms": hexed(record.terms),
        "metadata": hexed(record.metadata),
        "policy": hexed(record.policy),
        "kinds": number(record.kinds),
        "cpuMillis": number(record.cpuMillis),
        "memoryMib": number(record.memoryMib),
        "diskMib": number(record.diskMib),
        "timeLimit": number(record.timeLimit),
        "matchBy": number(record.matchBy),
        "approveWithin": number(record.approveWithin),
        "proveWithin": number(record.proveWithin),
        "salt": hexed(record.salt),
        "delegate": hexed(record.delegate),
        "coOwners": record
            .coOwners
            .iter()
            .map(|other| json!({ "account": hexed(other.account), "inputs": number(other.inputs) }))
            .collect::<Vec<_>>(),
    })
}

pub(crate) fn request_in(value: &Value) -> abi::Request {
    abi::Request {
        owner: address(&value["owner"]),
        processors: word(&value["processors"]),
        price: Uint::from(integer(&value["price"])),
        image: word(&value["image"]),
        inputs: value["inputs"].as_array().unwrap().iter().map(word).collect(),
        terms: word(&value["terms"]),
        metadata: word(&value["metadata"]),
        policy: word(&value["policy"]),
        kinds: small(&value["kinds"]),
        cpuMillis: small(&value["cpuMillis"]),
        memoryMib: small(&value["memoryMib"]),
        diskMib: small(&value["diskMib"]),
        timeLimit: small(&value["timeLimit"]),
        matchBy: small(&value["matchBy"]),
        approveWithin: small(&value["approveWithin"]),
        proveWithin: small(&value["proveWithin"]),
        salt: word(&value["salt"]),
        delegate: address(&value["delegate"]),
        coOwners: value["coOwners"]
            .as_array()
            .unwrap()
            .iter()
            .map(|other| abi::CoOwner {
                account: address(&other["account"]),
                inputs: small(&other["inputs"]),
            })
            .collect(),
    }
}

pub(crate) fn offer_out(record: &abi::Offer) -> Value {
    json!({
        "processor": hexed(record.processor),
        "kinds": number(record.kinds),
        "cpuMillis": number(record.cpuMillis),
        "memoryMib": number(record.memoryMib),
        "diskMib": number(record.diskMib),
        "timeLimit": number(record.timeLimit),
        "pricePerSecond": number(record.pricePerSecond),
        "bond": number(record.bond),
        "validUntil": number(record.validUntil),
        "salt": hexed(record.salt),
    })
}

pub(crate) fn offer_in(value: &Value) -> abi::Offer {
    abi::Offer {
        processor: address(&value["processor"]),
        kinds: small(&value["kinds"]),
        cpuMillis: small(&value["cpuMillis"]),
        memoryMib: small(&value["memoryMib"]),
        diskMib: small(&value["diskMib"]),
        timeLimit: small(&value["timeLimit"]),
        pricePerSecond: Uint::from(integer(&value["pricePerSecond"])),
        bond: Uint::from(integer(&value["bond"])),
        validUntil: small(&value["validUntil"]),
        salt: word(&value["salt"]),
    }
}

pub(crate) fn receipt_out(record: &abi::Receipt) -> Value {
    json!({
        "task": hexed(record.task),
        "enclave": hexed(record.enclave),
        "outcome": number(record.outcome),
        "exitCode": number(record.exitCode),
        "results": hexed(record.results),
        "report": hexed(record.report),
        "cpuMicros": number(record.cpuMicros),
        "wallMicros": number(record.wallMicros),
        "memoryPeak": number(record.memoryPeak),
    })
}

pub(crate) fn receipt_in(value: &Value) -> abi::Receipt {
    abi::Receipt {
        task: word(&value["task"]),
        enclave: address(&value["enclave"]),
        outcome: small(&value["outcome"]),
        exitCode: small(&value["exitCode"]),
        results: word(&value["results"]),
        report: word(&value["report"]),
        cpuMicros: small(&value["cpuMicros"]),
        wallMicros: small(&value["wallMicros"]),
        memoryPeak: small(&value["memoryPeak"]),
    }
}
