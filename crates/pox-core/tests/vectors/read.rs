//! Readers of the vectors, one per folder.

use crate::batches;
use crate::json::{address, bytes, domain_in, integer, offer_in, receipt_in, request_in, request_out, word};
use crate::malformed::class;
use pox_core::evidence::{Evidence, SimulatedQuote};
use pox_core::history::{At, Payload, Step};
use pox_core::leaves::{Leaf, Leaves, Opening};
use pox_core::proof::Proof;
use pox_core::receipt::{Archive, Doing, RunReport, Side, archived};
use pox_core::secret::{Secret, SignedSecret, Terms};
use pox_core::signature::Signature;
use pox_core::{
    ArchivedReceiptId, CodecError, History, Offer, OfferId, ReceiptId, Request, TaskId, UnixTime, abi,
    from_canonical, keccak256, to_canonical,
};
use serde_json::Value;

/// Checks one vector; fails for a folder that no reader knows.
pub(crate) fn check(folder: &str, name: &str, case: &Value) {
    let context = &format!("{folder}/{name}");
    match folder {
        "request" => request(case, context),
        "consent" => consent(case, context),
        "list" => list(case, context),
        "request-invalid" => request_invalid(case, context),
        "offer" => offer(case, context),
        "offer-invalid" => {
            let bad = Offer::try_from(offer_in(&case["record"])).unwrap_err();
            assert_eq!(u128::from(bad.field), integer(&case["badField"]), "{context}");
        }
        "release" => release(case, context),
        "receipt" => receipt(case, context),
        "history" => history(case, context),
        "outcome" => outcome(case, context),
        "signature" => signature(case, context),
        "leaves" => leaves(case, context),
        "leaves-invalid" => assert!(Leaves::parse(&bytes(&case["cbor"])).is_err(), "{context}"),
        "opening-invalid" => opening_invalid(case, context),
        "terms" => terms(case, context),
        "evidence" => message(case, context, Evidence::parse, |evidence, value| {
            assert_eq!(evidence.kind.name(), value["kind"], "{context}");
            assert_eq!(evidence.claims.task.0, word(&value["task"]), "{context}");
            assert_eq!(evidence.claims.enclave, address(&value["enclave"]), "{context}");
            assert_eq!(evidence.claims.processor, address(&value["processor"]), "{context}");
            assert_eq!(evidence.claims.report_data().to_vec(), bytes(&value["reportData"]), "{context}");
            evidence.to_bytes()
        }),
        "simulated-quote" => message(case, context, SimulatedQuote::parse, |quote, value| {
            assert_eq!(quote.measurement, word(&value["measurement"]), "{context}");
            assert_eq!(quote.signature, bytes(&value["signature"]), "{context}");
            quote.to_bytes()
        }),
        "run-report" => message(case, context, RunReport::parse, |report, value| {
            let (bytes, hash) = report.seal();
            assert_eq!(hash.0, word(&value["hash"]), "{context}");
            bytes
        }),
        "archive" => message(case, context, Archive::parse, |archive, value| {
            let (bytes, hash) = archive.seal();
            assert_eq!(hash.0, word(&value["hash"]), "{context}");
            bytes
        }),
        "secret" => message(case, context, Secret::parse, |secret, value| {
            assert_eq!(secret.task.0, word(&value["task"]), "{context}");
            assert_eq!(secret.terms_root().0, word(&value["termsRoot"]), "{context}");
            assert_eq!(secret.inputs.len() as u128, integer(&value["inputs"]), "{context}");
            let runs = secret.runs.as_ref().map(|runs| runs.count.to_string());
            assert_eq!(serde_json::to_value(runs).unwrap(), value["runs"], "{context}");
            secret.to_bytes().to_vec()
        }),
        "member" | "run" => batches::check(folder, case, context),
        "signed-secret" => signed_secret(case, context),
        "proof" => {
            let file = bytes(&case["file"]);
            let proof = Proof::parse(&file).unwrap_or_else(|error| panic!("{context}: {error}"));
            assert_eq!(proof.to_bytes(), file, "{context}");
        }
        "proof-malformed" => assert!(Proof::parse(&padded(case, "file")).is_err(), "{context}"),
        _ => panic!("no reader for {context}"),
    }
}

/// Bytes of a case, followed by as many zeros as it says.
fn padded(case: &Value, field: &str) -> Vec<u8> {
    let mut bytes = bytes(&case[field]);
    bytes.resize(bytes.len() + integer(&case["zeros"]) as usize, 0);
    bytes
}

/// A message in canonical CBOR: parsed, compared and encoded again, or refused for the reason named.
pub(crate) fn message<T: core::fmt::Debug>(
    case: &Value,
    context: &str,
    parse: fn(&[u8]) -> Result<T, CodecError>,
    compare: impl Fn(&T, &Value) -> Vec<u8>,
) {
    if case["accepted"] == true {
        let cbor = bytes(&case["cbor"]);
        let parsed = parse(&cbor).unwrap_or_else(|error| panic!("{context}: {error}"));
        assert_eq!(compare(&parsed, &case["value"]), cbor, "{context}");
    } else {
        let error = parse(&padded(case, "cbor")).expect_err(context);
        assert_eq!(class(&error), case["refusal"], "{context}: {error}");
    }
}

fn request(case: &Value, context: &str) {
    let (domain, record) = (domain_in(&case["domain"]), request_in(&case["record"]));
    assert_eq!(request_out(&record), case["record"], "{context}");
    let parsed = Request::try_from(record.clone()).unwrap_or_else(|error| panic!("{context}: {error}"));
    assert_eq!(parsed.to_abi(), record, "{context}");
    assert_eq!(parsed.id(&domain).0, word(&case["id"]), "{context}");
    assert_eq!(Request::parse(&parsed.to_bytes()).as_ref(), Ok(&parsed), "{context}");
}

fn request_invalid(case: &Value, context: &str) {
    let bad = Request::try_from(request_in(&case["record"])).unwrap_err();
    assert_eq!(u128::from(bad.field), integer(&case["badField"]), "{context}");
}

fn offer(case: &Value, context: &str) {
    let (domain, record) = (domain_in(&case["domain"]), offer_in(&case["record"]));
    let parsed = Offer::try_from(record.clone()).unwrap_or_else(|error| panic!("{context}: {error}"));
    assert_eq!(parsed.to_abi(), record, "{context}");
    assert_eq!(parsed.id(&domain).0, word(&case["id"]), "{context}");
}

fn release(case: &Value, context: &str) {
    let record = &case["record"];
    let release = abi::Release {
        task: word(&record["task"]),
        enclave: address(&record["enclave"]),
        secretHash: word(&record["secretHash"]),
    };
    assert_eq!(domain_in(&case["domain"]).digest(&release), word(&case["id"]), "{context}");
}

fn consent(case: &Value, context: &str) {
    let (domain, record) = (domain_in(&case["domain"]), &case["record"]);
    let task = || TaskId(word(&record["task"]));
    let id = match case["kind"].as_str().unwrap() {
        "refusal" => {
            let reason = integer(&record["reason"]) as u8;
            pox_core::consent::refusal(&domain, task(), address(&record["enclave"]), reason)
        }
        "cancellation" => pox_core::consent::cancellation(&domain, task()),
        _ => domain.digest(&abi::ArchivedBatch {
            receipt: word(&record["receipt"]),
            archive: word(&record["archive"]),
            members: word(&record["members"]),
            count: integer(&record["count"]) as u16,
        }),
    };
    assert_eq!(id, word(&case["id"]), "{context}");
}

fn list(case: &Value, context: &str) {
    let path: Vec<_> = case["path"].as_array().unwrap().iter().map(word).collect();
    let processors = pox_core::Processors::of(word(&case["root"]));
    let listed = processors.allow(address(&case["account"]), Some(&path));
    assert_eq!(listed, case["listed"] == true, "{context}");
    assert!(!processors.allow(address(&case["account"]), None), "{context}");
}

fn receipt(case: &Value, context: &str) {
    let (domain, record) = (domain_in(&case["domain"]), receipt_in(&case["record"]));
    let (id, archive) = (domain.digest(&record), pox_core::Archive(word(&case["archive"])));
    assert_eq!(id, word(&case["id"]), "{context}");
    let statement = archived(&domain, ReceiptId(id), archive);
    assert_eq!(statement.0, word(&case["archivedId"]), "{context}");
    let signature = Signature::parse(&bytes(&case["signature"])).unwrap();
    assert_eq!(signature.signer(statement.0), Ok(record.enclave), "{context}");
}

fn history(case: &Value, context: &str) {
    let steps: Vec<Step> = case["steps"].as_array().unwrap().iter().map(step).collect();
    for (step, listed) in steps.iter().zip(case["steps"].as_array().unwrap()) {
        assert_eq!(u128::from(step.code), integer(&listed["step"]), "{context}");
        assert_eq!(step.payload, word(&listed["payload"]), "{context}");
    }
    assert_eq!(History::over(&steps).0, word(&case["history"]), "{context}");
}

fn step(listed: &Value) -> Step {
    let payload = match integer(&listed["step"]) {
        1 => Payload::Request(TaskId(word(&listed["payload"]))),
        2 => Payload::Match {
            offer: OfferId(word(&listed["offer"])),
            processor: address(&listed["processor"]),
            enclave: address(&listed["enclave"]),
            evidence: keccak256(bytes(&listed["evidence"])),
        },
        3 => {
            Payload::Reject { account: address(&listed["account"]), reason: integer(&listed["reason"]) as u8 }
        }
        4 => Payload::Approve {
            enclave: address(&listed["enclave"]),
            secret: keccak256(bytes(&listed["secret"])),
        },
        5 => Payload::Prove(ArchivedReceiptId(word(&listed["payload"]))),
        6 => Payload::Cancel,
        7 => Payload::Expire,
        8 => Payload::Release {
            account: address(&listed["account"]),
            enclave: address(&listed["enclave"]),
            secret: keccak256(bytes(&listed["secret"])),
        },
        _ => Payload::ProveMany(pox_core::ArchivedBatchId(word(&listed["payload"]))),
    };
    let time = UnixTime(integer(&listed["time"]) as u64);
    payload.step(At { number: integer(&listed["number"]) as u64, time })
}

fn outcome(case: &Value, context: &str) {
    let code = integer(&case["record"]["outcome"]) as u8;
    let name = |party| match party {
        Side::Owner => "owner",
        Side::Processor => "processor",
    };
    let settlement = Doing::of(code).map(Doing::settlement);
    assert_eq!(settlement.is_some(), case["accepted"] == true, "{context}");
    assert_eq!(settlement.map_or("", |settlement| name(settlement.price_to)), case["price"], "{context}");
    assert_eq!(settlement.map_or("", |settlement| name(settlement.bond_to)), case["bond"], "{context}");
}

fn signature(case: &Value, context: &str) {
    let parsed = Signature::parse(&bytes(&case["signature"]));
    let signer = parsed.and_then(|signature| signature.signer(word(&case["digest"])));
    assert_eq!(signer.is_ok(), case["accepted"] == true, "{context}");
    if let Ok(signer) = signer {
        assert_eq!(signer, address(&case["signer"]), "{context}");
    }
}

fn leaves(case: &Value, context: &str) {
    let leaf = |listed: &Value| Leaf {
        salt: word(&listed["salt"]),
        name: listed["name"].as_str().unwrap().to_owned(),
        value: bytes(&listed["value"]),
    };
    let list: Vec<_> = case["leaves"].as_array().unwrap().iter().map(leaf).collect();
    let all = Leaves::new(list).unwrap();
    assert_eq!(Leaves::parse(&all.to_bytes()).as_ref(), Ok(&all), "{context}");
    assert_eq!(all.root(), word(&case["root"]), "{context}");
    let cbor = bytes(&case["opening"]["cbor"]);
    let opening: Opening = from_canonical(&cbor, pox_core::leaves::MAX_OPENING_BYTES).unwrap();
    assert_eq!(opening.root(), Ok(all.root()), "{context}");
    assert_eq!(opening.hidden() as u128, integer(&case["opening"]["hidden"]), "{context}");
    assert_eq!(to_canonical(&opening), cbor, "{context}");
}

fn opening_invalid(case: &Value, context: &str) {
    let cbor = bytes(&case["cbor"]);
    match from_canonical::<Opening>(&cbor, pox_core::leaves::MAX_OPENING_BYTES) {
        Ok(opening) => {
            assert_eq!(case["refusal"], "incomplete", "{context}");
            assert!(opening.root().is_err(), "{context}");
        }
        Err(error) => assert_eq!(class(&error), case["refusal"], "{context}: {error}"),
    }
}

fn terms(case: &Value, context: &str) {
    let leaves = Leaves::parse(&bytes(&case["cbor"])).unwrap_or_else(|error| panic!("{context}: {error}"));
    let terms = Terms::from_leaves(&leaves);
    assert_eq!(terms.is_ok(), case["accepted"] == true, "{context}: {terms:?}");
    if let Ok(terms) = terms {
        let lists = [
            ("acceptMissing", &terms.accept_missing),
            ("args", &terms.args),
            ("env", &terms.env),
            ("inputs", &terms.inputs),
        ];
        for (name, list) in lists {
            assert_eq!(serde_json::to_value(list).unwrap(), case[name], "{context}");
        }
        let runs = terms.runs.map(pox_core::runs::CommittedRuns::to_texts);
        assert_eq!(serde_json::to_value(runs).unwrap(), case["runs"], "{context}");
        assert_eq!(leaves.root(), word(&case["root"]), "{context}");
    }
}

fn signed_secret(case: &Value, context: &str) {
    let (domain, owner) = (domain_in(&case["domain"]), address(&case["owner"]));
    let (task, enclave) = (TaskId(word(&case["task"])), address(&case["enclave"]));
    let bytes = padded(case, "bytes");
    let released = SignedSecret::parse(&bytes)
        .and_then(|secret| secret.released_by(owner, &domain, task, enclave).map(<[u8]>::to_vec));
    assert_eq!(released.is_ok(), case["accepted"] == true, "{context}");
    if let Ok(sealed) = released {
        assert_eq!(sealed, bytes[65..], "{context}");
    }
}
