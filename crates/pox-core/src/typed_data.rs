//! What a wallet shows before it signs: EIP-712 typed data, in the JSON that `eth_signTypedData_v4` takes.
//!
//! The types are read off those that the digests are computed with, so they can't drift apart. Integers are decimal strings:
//! JSON's numbers lose digits beyond 53 bits.

use crate::abi;
use crate::domain::Domain;
use crate::id::TaskId;
use alloy_sol_types::SolStruct;
use serde_json::{Map, Value, json};

/// What an owner signs to have its request posted by a sponsor; its digest is the task id.
pub fn of_request(domain: &Domain, record: &abi::Request) -> Value {
    let co_owners: Vec<_> = record
        .coOwners
        .iter()
        .map(
            |other| json!({ "account": other.account.to_checksum(None), "inputs": other.inputs.to_string() }),
        )
        .collect();
    let message = json!({
        "owner": record.owner.to_checksum(None),
        "processors": record.processors,
        "price": record.price.to_string(),
        "image": record.image,
        "inputs": record.inputs,
        "terms": record.terms,
        "metadata": record.metadata,
        "policy": record.policy,
        "kinds": record.kinds.to_string(),
        "cpuMillis": record.cpuMillis.to_string(),
        "memoryMib": record.memoryMib.to_string(),
        "diskMib": record.diskMib.to_string(),
        "timeLimit": record.timeLimit.to_string(),
        "matchBy": record.matchBy.to_string(),
        "approveWithin": record.approveWithin.to_string(),
        "proveWithin": record.proveWithin.to_string(),
        "salt": record.salt,
        "delegate": record.delegate.to_checksum(None),
        "coOwners": co_owners,
    });
    document::<abi::Request>(domain, &message)
}

/// What an owner signs to take a request back.
pub fn of_cancellation(domain: &Domain, task: TaskId) -> Value {
    document::<abi::Cancellation>(domain, &json!({ "task": task.0 }))
}

fn document<S: SolStruct>(domain: &Domain, message: &Value) -> Value {
    let own = domain.eip712();
    let types = types([own.encode_type().as_str(), &S::eip712_encode_type()]);
    json!({
        "types": types,
        "primaryType": S::NAME,
        "domain": {
            "name": own.name,
            "version": own.version,
            "chainId": domain.chain_id,
            "verifyingContract": domain.contract.to_checksum(None),
        },
        "message": message,
    })
}

/// The types of `Name(type field,…)Name(…)`, as EIP-712 writes them one behind the other.
fn types<'a>(written: impl IntoIterator<Item = &'a str>) -> Map<String, Value> {
    let structs = written.into_iter().flat_map(|text| text.split_terminator(')'));
    let named = structs.filter_map(|one| {
        let (name, fields) = one.split_once('(')?;
        let fields = fields.split(',').filter_map(|field| {
            let (kind, name) = field.split_once(' ')?;
            Some(json!({ "name": name, "type": kind }))
        });
        Some((name.to_owned(), fields.collect()))
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{Address, B256, aliases::U96};
    use std::collections::BTreeSet;

    fn request() -> abi::Request {
        abi::Request {
            owner: Address::repeat_byte(1),
            processors: B256::ZERO,
            price: U96::from(3600),
            image: B256::repeat_byte(2),
            inputs: vec![B256::repeat_byte(3)],
            terms: B256::repeat_byte(4),
            metadata: B256::ZERO,
            policy: B256::repeat_byte(5),
            kinds: 2,
            cpuMillis: 1000,
            memoryMib: 1024,
            diskMib: 1024,
            timeLimit: 60,
            matchBy: 1_800_000_000,
            approveWithin: 60,
            proveWithin: 600,
            salt: B256::repeat_byte(6),
            delegate: Address::ZERO,
            coOwners: vec![abi::CoOwner { account: Address::repeat_byte(7), inputs: 1 }],
        }
    }

    fn domain() -> Domain {
        Domain { chain_id: 8995, contract: Address::repeat_byte(0xcc) }
    }

    /// Every field of the type, and no other, down to the structs in it.
    fn agree(types: &Value, name: &str, value: &Value) {
        let fields = types[name].as_array().unwrap();
        let named: BTreeSet<_> = fields.iter().map(|field| field["name"].as_str().unwrap()).collect();
        let told: BTreeSet<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(named, told, "{name}");
        for field in fields {
            let kind = field["type"].as_str().unwrap().trim_end_matches("[]");
            if types.get(kind).is_some() {
                let values = value[field["name"].as_str().unwrap()].as_array().unwrap();
                assert!(!values.is_empty());
                values.iter().for_each(|value| agree(types, kind, value));
            }
        }
    }

    #[test]
    fn a_message_has_the_fields_of_its_type_and_no_other() {
        let documents =
            [of_request(&domain(), &request()), of_cancellation(&domain(), TaskId([7; 32].into()))];
        for document in documents {
            let types = &document["types"];
            agree(types, document["primaryType"].as_str().unwrap(), &document["message"]);
            agree(types, "EIP712Domain", &document["domain"]);
        }
    }

    #[test]
    fn types_stand_in_the_order_of_the_spec() {
        let document = of_request(&domain(), &request());
        let fields = document["types"]["Request"].as_array().unwrap();
        assert_eq!(fields.len(), 19);
        assert_eq!(fields[2], json!({ "name": "price", "type": "uint96" }));
        assert_eq!(fields[18], json!({ "name": "coOwners", "type": "CoOwner[]" }));
        assert_eq!(document["types"]["CoOwner"][1], json!({ "name": "inputs", "type": "uint32" }));
        assert_eq!(document["types"].as_object().unwrap().len(), 3);
    }
}
