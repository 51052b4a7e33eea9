//! Makes the vectors. What is random in use is fixed here, so that everybody makes the same files.

use crate::Cases;
use crate::cast::{
    ENCLAVE, OWNER, PROCESSOR, account, archive, domain, domains, evidence, leaf, leaves, offer, proof,
    receipt, report, request, secret, simulated_quote, with_crypt4gh, word,
};
use crate::common::key;
use crate::json::{domain_out, hexed, number, offer_out, receipt_out, request_out};
use crate::malformed::{self, MALFORMED, NOT_CANONICAL, TOO_LARGE};
use crate::parties;
use alloy_primitives::Uint;
use pox_core::endorsement::{Endorsement, EndorsementKind};
use pox_core::evidence::sha256;
use pox_core::leaves::{Leaf, Leaves};
use pox_core::proof::{ChangeProof, HistoryProof, Proof, ReceiptProof, StateProof};
use pox_core::receipt::{Archive, Outcome, Side};
use pox_core::secret::{Crypt4ghAccess, Secret, SignedSecret, Terms};
use pox_core::signature::Signature;
use pox_core::{Address, B256, TaskId, abi, to_canonical};
use serde_json::{Value, json};

#[derive(Default)]
pub(crate) struct Maker {
    cases: Cases,
}

pub(crate) fn cases() -> Cases {
    let mut maker = Maker::default();
    maker.requests();
    maker.offers();
    maker.releases();
    maker.receipts();
    maker.histories();
    maker.outcomes();
    maker.parties();
    maker.signatures();
    maker.leaves();
    maker.terms();
    maker.messages();
    maker.secrets();
    maker.signed_secrets();
    maker.proofs();
    maker.batches();
    maker.cases
}

impl Maker {
    pub(crate) fn add(&mut self, folder: &str, name: &str, case: Value) {
        let before = self.cases.insert((folder.to_owned(), format!("{name}.json")), case);
        assert!(before.is_none(), "{folder}/{name} twice");
    }

    fn requests(&mut self) {
        let (basic, word) = (request(), word("x"));
        let mut valid = vec![("basic", basic.clone())];
        let mut vary = |name, change: fn(&mut abi::Request)| {
            let mut record = basic.clone();
            change(&mut record);
            valid.push((name, record));
        };
        vary("no-inputs", |record| record.inputs.clear());
        vary("most-inputs", |record| record.inputs = vec![B256::repeat_byte(1); 32]);
        vary("same-input-twice", |record| record.inputs = vec![B256::repeat_byte(1); 2]);
        vary("for-one-processor", |record| record.processors = account(PROCESSOR).into_word());
        vary("free", |record| record.price = Uint::ZERO);
        vary("no-metadata", |record| record.metadata = B256::ZERO);
        vary("highest-numbers", |record| {
            record.price = Uint::from((1u128 << 94) - 1);
            record.kinds = u16::MAX;
            record.cpuMillis = u32::MAX;
            record.memoryMib = u32::MAX;
            record.diskMib = u32::MAX;
            record.timeLimit = 2_592_000;
            record.matchBy = u64::MAX;
            record.approveWithin = 2_592_000;
            record.proveWithin = 31_536_000;
        });
        vary("lowest-numbers", |record| {
            record.kinds = 1;
            record.cpuMillis = 1;
            record.memoryMib = 1;
            record.diskMib = 1;
            record.timeLimit = 1;
            record.approveWithin = 1;
            record.proveWithin = 1;
        });
        for (name, record) in valid.iter().chain(&parties::requests(&basic)) {
            for (suffix, domain) in domains() {
                let id = hexed(domain.digest(record));
                let case = json!({ "domain": domain_out(&domain), "record": request_out(record), "id": id });
                self.add("request", &format!("{name}{suffix}"), case);
            }
        }
        let mut invalid = |name: &str, field: u8, change: &dyn Fn(&mut abi::Request)| {
            let mut record = basic.clone();
            change(&mut record);
            let case = json!({ "record": request_out(&record), "badField": number(field) });
            self.add("request-invalid", name, case);
        };
        invalid("owner-zero", 0, &|record| record.owner = Address::ZERO);
        invalid("price-too-high", 2, &|record| record.price = Uint::from(1u128 << 94));
        invalid("image-zero", 3, &|record| record.image = B256::ZERO);
        invalid("too-many-inputs", 4, &|record| record.inputs = vec![word; 33]);
        invalid("input-zero", 4, &|record| record.inputs[1] = B256::ZERO);
        invalid("terms-zero", 5, &|record| record.terms = B256::ZERO);
        invalid("policy-zero", 7, &|record| record.policy = B256::ZERO);
        invalid("kinds-zero", 8, &|record| record.kinds = 0);
        invalid("cpu-zero", 9, &|record| record.cpuMillis = 0);
        invalid("memory-zero", 10, &|record| record.memoryMib = 0);
        invalid("disk-zero", 11, &|record| record.diskMib = 0);
        invalid("time-limit-zero", 12, &|record| record.timeLimit = 0);
        invalid("time-limit-too-long", 12, &|record| record.timeLimit = 2_592_001);
        invalid("approve-within-zero", 14, &|record| record.approveWithin = 0);
        invalid("approve-within-too-long", 14, &|record| record.approveWithin = 2_592_001);
        invalid("prove-within-below-time-limit", 15, &|record| record.proveWithin = record.timeLimit - 1);
        invalid("prove-within-too-long", 15, &|record| record.proveWithin = 31_536_001);
        for (name, field, change) in parties::INVALID {
            invalid(name, field, &change);
        }
        invalid("two-faults-name-the-first", 5, &|record| {
            record.terms = B256::ZERO;
            record.kinds = 0;
        });
    }

    fn offers(&mut self) {
        let basic = offer();
        let free = abi::Offer { pricePerSecond: Uint::ZERO, bond: Uint::ZERO, ..basic.clone() };
        let highest = abi::Offer {
            kinds: u16::MAX,
            cpuMillis: u32::MAX,
            pricePerSecond: Uint::MAX,
            bond: Uint::MAX,
            validUntil: u64::MAX,
            ..basic.clone()
        };
        for (name, record) in [("basic", &basic), ("free", &free), ("highest-numbers", &highest)] {
            for (suffix, domain) in domains() {
                let id = hexed(domain.digest(record));
                let case = json!({ "domain": domain_out(&domain), "record": offer_out(record), "id": id });
                self.add("offer", &format!("{name}{suffix}"), case);
            }
        }
        let kinds = abi::Offer { kinds: 0, ..basic.clone() };
        let processor = abi::Offer { processor: Address::ZERO, ..basic };
        for (name, record, field) in [("kinds-zero", kinds, 1), ("processor-zero", processor, 0)] {
            let case = json!({ "record": offer_out(&record), "badField": number(field) });
            self.add("offer-invalid", name, case);
        }
    }

    fn releases(&mut self) {
        for (suffix, domain) in domains() {
            let task = domain.digest(&request());
            let record = abi::Release { task, enclave: account(ENCLAVE), secretHash: word("sealed") };
            let case = json!({
                "domain": domain_out(&domain),
                "record": {
                    "task": hexed(record.task),
                    "enclave": hexed(record.enclave),
                    "secretHash": hexed(record.secretHash),
                },
                "id": hexed(domain.digest(&record)),
            });
            self.add("release", &format!("basic{suffix}"), case);
        }
    }

    fn receipts(&mut self) {
        let basic = receipt();
        let failed = abi::Receipt { outcome: 1, exitCode: 137, ..basic.clone() };
        let unavailable = abi::Receipt { outcome: 33, results: B256::ZERO, ..basic.clone() };
        let highest = abi::Receipt {
            outcome: 63,
            exitCode: u32::MAX,
            cpuMicros: u64::MAX,
            wallMicros: u64::MAX,
            memoryPeak: u64::MAX,
            ..basic.clone()
        };
        let records = [
            ("basic", basic),
            ("failed", failed),
            ("unavailable", unavailable),
            ("highest-numbers", highest),
        ];
        for (name, record) in &records {
            for (suffix, domain) in domains() {
                let (id, archive) = (domain.digest(record), word("archive"));
                let archived = domain.digest(&abi::ArchivedReceipt { receipt: id, archive });
                let case = json!({
                    "domain": domain_out(&domain),
                    "record": receipt_out(record),
                    "id": hexed(id),
                    "archive": hexed(archive),
                    "archivedId": hexed(archived),
                    "signature": hexed(Signature::sign(&key(ENCLAVE), archived).to_bytes()),
                });
                self.add("receipt", &format!("{name}{suffix}"), case);
            }
        }
    }

    fn outcomes(&mut self) {
        let name = |party| match party {
            Side::Owner => "owner",
            Side::Processor => "processor",
        };
        for outcome in Outcome::ALL {
            let settlement = outcome.settlement();
            let case = json!({
                "record": { "outcome": number(outcome.code()) },
                "accepted": true,
                "price": name(settlement.price_to),
                "bond": name(settlement.bond_to),
            });
            let words = outcome.to_string().replace(' ', "-");
            self.add("outcome", &format!("{:03}-{words}", outcome.code()), case);
        }
        let unnamed =
            [(5, "processor", "processor"), (31, "processor", "processor"), (47, "owner", "processor")];
        for (code, price, bond) in unnamed.into_iter().chain([(63, "owner", "owner")]) {
            let record = json!({ "outcome": number(code) });
            let case = json!({ "record": record, "accepted": true, "price": price, "bond": bond });
            self.add("outcome", &format!("{code:03}-without-a-name"), case);
        }
        for code in [64, 128, 255] {
            let record = json!({ "outcome": number(code) });
            let case = json!({ "record": record, "accepted": false, "price": "", "bond": "" });
            self.add("outcome", &format!("{code:03}-refused"), case);
        }
    }

    fn signatures(&mut self) {
        let digest = word("digest");
        let valid = Signature::sign(&key(ENCLAVE), digest).to_bytes();
        let mut add = |name: &str, bytes: Vec<u8>, accepted: bool| {
            let mut case =
                json!({ "digest": hexed(digest), "signature": hexed(bytes), "accepted": accepted });
            if accepted {
                case["signer"] = hexed(account(ENCLAVE));
            }
            self.add("signature", name, case);
        };
        let change = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = valid.to_vec();
            change(&mut bytes);
            bytes
        };
        add("basic", valid.to_vec(), true);
        for v in [0, 1, 26, 29, 37] {
            add(&format!("v-{v}"), change(&|bytes| bytes[64] = v), false);
        }
        add(
            "high-s",
            change(&|bytes| {
                let s = k256::NonZeroScalar::try_from(&bytes[32..64]).unwrap();
                bytes[32..64].copy_from_slice(&(-s).to_bytes());
                bytes[64] = 55 - bytes[64];
            }),
            false,
        );
        add("r-zero", change(&|bytes| bytes[..32].fill(0)), false);
        add("s-zero", change(&|bytes| bytes[32..64].fill(0)), false);
        add("r-above-the-order", change(&|bytes| bytes[..32].fill(0xff)), false);
        add("without-v", change(&|bytes| bytes.truncate(64)), false);
        add("one-byte-more", change(&|bytes| bytes.push(0)), false);
        add("empty", Vec::new(), false);
    }

    fn leaves(&mut self) {
        let named = ["a", "args", "metadata-title", "ä"].map(|name| leaf(name, name.as_bytes()));
        let sets = [
            ("none", Vec::new()),
            ("one", vec![leaf("title", b"")]),
            ("several", named.to_vec()),
            ("longest", vec![leaf(&"n".repeat(64), &[7; 16 * 1024])]),
            ("most", (0..64).map(|i| leaf(&format!("{i:02}"), b"v")).collect()),
        ];
        for (name, set) in sets {
            let leaves = Leaves::new(set.clone()).unwrap();
            let listed: Vec<_> = set
                .iter()
                .map(|leaf| json!({ "salt": hexed(leaf.salt), "name": leaf.name, "value": hexed(&leaf.value) }))
                .collect();
            let opening = leaves.open(|name| name.len() % 2 == 0);
            let case = json!({
                "leaves": listed,
                "root": hexed(leaves.root()),
                "opening": { "cbor": hexed(to_canonical(&opening)), "hidden": number(opening.hidden()) },
            });
            self.add("leaves", name, case);
        }
        let opening = Leaves::new(named.to_vec()).unwrap().open(|name| name.starts_with('a'));
        self.openings(&to_canonical(&opening));
        let lists: [(&str, Vec<Leaf>); 6] = [
            ("out-of-order", vec![leaf("b", b""), leaf("a", b"")]),
            ("repeated-name", vec![leaf("a", b"1"), leaf("a", b"2")]),
            ("empty-name", vec![leaf("", b"")]),
            ("name-too-long", vec![leaf(&"n".repeat(65), b"")]),
            ("value-too-long", vec![leaf("a", &[0; 16 * 1024 + 1])]),
            ("too-many", (0..65).map(|i| leaf(&format!("{i:02}"), b"")).collect()),
        ];
        for (name, list) in lists {
            self.add("leaves-invalid", name, json!({ "cbor": hexed(to_canonical(&list)) }));
        }
    }

    fn openings(&mut self, valid: &[u8]) {
        for (name, cbor, class) in malformed::spoil(valid) {
            self.add("opening-invalid", name, json!({ "cbor": hexed(cbor), "refusal": class }));
        }
        let hash = word("hash").to_vec();
        type Case = (&'static str, Vec<(u32, Leaf)>, Vec<Vec<u8>>);
        let lists: [Case; 5] = [
            ("gap", vec![(0, leaf("a", b"")), (2, leaf("b", b""))], Vec::new()),
            ("repeated-position", vec![(0, leaf("a", b"")), (0, leaf("b", b""))], Vec::new()),
            ("positions-out-of-order", vec![(1, leaf("a", b"")), (0, leaf("b", b""))], Vec::new()),
            ("short-hash", vec![(0, leaf("a", b""))], vec![hash[1..].to_vec()]),
            ("too-many-leaves", Vec::new(), vec![hash; 65]),
        ];
        for (name, opened, hidden) in lists {
            let hidden: Vec<minicbor::bytes::ByteVec> = hidden.into_iter().map(Into::into).collect();
            let mut cbor = vec![0xa2, 0x00];
            cbor.extend(to_canonical(&opened));
            cbor.push(0x01);
            cbor.extend(to_canonical(&hidden));
            self.add("opening-invalid", name, json!({ "cbor": hexed(cbor), "refusal": "incomplete" }));
        }
    }

    fn terms(&mut self) {
        let list = |leaves: &Leaves, name: &str| -> Vec<String> {
            minicbor::decode(leaves.value(name).unwrap()).unwrap()
        };
        let basic = leaves();
        let empty = Terms::default().leaves(["a", "b", "c", "d"].map(word)).unwrap();
        for (name, leaves) in [("basic", &basic), ("empty", &empty)] {
            let case = json!({
                "cbor": hexed(leaves.to_bytes()),
                "accepted": true,
                "root": hexed(leaves.root()),
                "acceptMissing": list(leaves, "accept-missing"),
                "args": list(leaves, "args"),
                "env": list(leaves, "env"),
                "inputs": list(leaves, "inputs"),
            });
            self.add("terms", name, case);
        }
        let none = to_canonical(&Vec::<String>::new());
        let with = |name: &str, value: Vec<u8>| {
            let names = ["accept-missing", "args", "env", "inputs"];
            let leaf_of = |known: &str| leaf(known, if known == name { &value } else { &none });
            Leaves::new(names.map(leaf_of).to_vec()).unwrap()
        };
        let unknown = ["accept-missing", "args", "env", "inputs", "network"].map(|name| leaf(name, &none));
        let invalid = [
            ("missing-leaf", Leaves::new(unknown[..3].to_vec()).unwrap()),
            ("unknown-leaf", Leaves::new(unknown.to_vec()).unwrap()),
            ("text-with-nul", with("args", to_canonical(&vec!["a\0b"]))),
            ("too-many-texts", with("args", to_canonical(&vec!["a"; 257]))),
            ("value-not-canonical", with("env", vec![0x98, 0x00])),
            ("value-no-array", with("env", to_canonical(&"A=b"))),
            ("folder-with-slash", with("inputs", to_canonical(&vec!["a/b"]))),
            ("folder-hidden", with("inputs", to_canonical(&vec![".a"]))),
            ("folder-without-name", with("inputs", to_canonical(&vec![""]))),
            ("folder-name-too-long", with("inputs", to_canonical(&vec!["a".repeat(65)]))),
            ("entry-without-name", with("env", to_canonical(&vec!["=b"]))),
            ("entry-without-equals", with("env", to_canonical(&vec!["A"]))),
        ];
        for (name, leaves) in invalid {
            self.add("terms", name, json!({ "cbor": hexed(leaves.to_bytes()), "accepted": false }));
        }
    }

    fn messages(&mut self) {
        let (evidence, archive) = (evidence(), archive());
        let claims = &evidence.claims;
        let value = json!({
            "kind": evidence.kind.name(),
            "task": hexed(claims.task.as_bytes()),
            "enclave": hexed(claims.enclave),
            "processor": hexed(claims.processor),
            "reportData": hexed(claims.report_data()),
        });
        self.message("evidence", &evidence.to_bytes(), value, 18_112);
        let quote = simulated_quote(claims);
        let value = json!({ "measurement": hexed(quote.measurement), "signature": hexed(&quote.signature) });
        self.message("simulated-quote", &quote.to_bytes(), value, 16 * 1024);
        let (bytes, hash) = report().seal();
        self.message("run-report", &bytes, json!({ "hash": hexed(hash.as_bytes()) }), 8 * 1024);
        let (bytes, hash) = archive.seal();
        self.message("archive", &bytes, json!({ "hash": hexed(hash.as_bytes()) }), 256 * 1024);
        self.endorsements(&archive);
    }

    /// Codes of every kind and an unknown one; and what is over a bound, its content cut off behind its length.
    fn endorsements(&mut self, archive: &Archive) {
        let with = |endorsements: Vec<Endorsement>| Archive { endorsements, ..archive.clone() }.seal();
        let kinds = EndorsementKind::ALL.into_iter().map(EndorsementKind::code).chain([6]);
        let (bytes, hash) =
            with(kinds.map(|kind| Endorsement { kind, content: vec![0xe0, kind as u8] }).collect());
        let value = json!({ "hash": hexed(hash.as_bytes()) });
        let case = json!({ "cbor": hexed(&bytes), "accepted": true, "value": value });
        self.add("archive", "endorsed", case);
        let sized = |length: usize| Endorsement { kind: 1, content: vec![0; length] };
        let refused = [
            ("too-many-endorsements", vec![sized(0); 9]),
            ("endorsement-too-large", vec![sized(128 * 1024 + 1)]),
        ];
        for (name, endorsements) in refused {
            let zeros = endorsements.last().map_or(0, |last| last.content.len());
            let (bytes, _) = with(endorsements);
            let cbor = hexed(&bytes[..bytes.len() - zeros]);
            let case =
                json!({ "cbor": cbor, "zeros": number(zeros), "accepted": false, "refusal": MALFORMED });
            self.add("archive", name, case);
        }
    }

    /// A message that is a map: the valid one, what is not quite it, and one byte more than its bound.
    pub(crate) fn message(&mut self, folder: &str, valid: &[u8], value: Value, most: usize) {
        self.add(folder, "basic", json!({ "cbor": hexed(valid), "accepted": true, "value": value }));
        let mut refuse = |name: &str, cbor: &[u8], zeros: usize, class: &str| {
            let cbor = hexed(cbor);
            let case = json!({ "cbor": cbor, "zeros": number(zeros), "accepted": false, "refusal": class });
            self.add(folder, name, case);
        };
        for (name, cbor, class) in malformed::spoil(valid) {
            refuse(name, &cbor, 0, class);
        }
        // `zeros` bytes of zero follow: over the bound nothing is even looked at.
        refuse("over-the-bound", valid, most + 1 - valid.len(), TOO_LARGE);
    }

    fn secrets(&mut self) {
        let basic = secret();
        let value = json!({
            "task": hexed(basic.task.as_bytes()),
            "termsRoot": hexed(basic.terms_root().as_bytes()),
            "inputs": number(basic.inputs.len()),
        });
        self.message("secret", &basic.to_bytes(), value.clone(), 64 * 1024);
        let with_files = with_crypt4gh();
        let cbor = hexed(with_files.to_bytes().as_slice());
        self.add("secret", "crypt4gh", json!({ "cbor": cbor, "accepted": true, "value": value }));
        let mut refuse = |name: &str, change: &dyn Fn(&mut Secret)| {
            let mut secret = if name.starts_with("crypt4gh") { with_files.clone() } else { basic.clone() };
            change(&mut secret);
            let cbor = hexed(secret.to_bytes().as_slice());
            let case = json!({ "cbor": cbor, "zeros": "0", "accepted": false, "refusal": MALFORMED });
            self.add("secret", name, case);
        };
        refuse("without-recipients", &|secret| secret.recipients.clear());
        refuse("short-file-key", &|secret| secret.inputs[0].keys[0].key.truncate(15));
        refuse("long-file-key", &|secret| secret.inputs[0].keys[0].key.push(0));
        refuse("crypt4gh-beside-file-keys", &|secret| {
            secret.inputs[0].keys = basic.inputs[0].keys.clone();
        });
        let files = |change: &dyn Fn(&mut Vec<Crypt4ghAccess>), secret: &mut Secret| {
            secret.inputs[0].crypt4gh.iter_mut().for_each(change);
        };
        refuse("crypt4gh-without-files", &|secret| files(&Vec::clear, secret));
        refuse("crypt4gh-out-of-order", &|secret| files(&|files| files.reverse(), secret));
        refuse("crypt4gh-repeated", &|secret| files(&|files| files[1] = files[0].clone(), secret));
        refuse("crypt4gh-without-keys", &|secret| files(&|files| files[0].keys.clear(), secret));
        refuse("crypt4gh-short-key", &|secret| files(&|files| files[0].keys[0].0.truncate(31), secret));
        refuse("crypt4gh-no-edits", &|secret| files(&|files| files[1].edits = Some(Vec::new()), secret));
    }

    fn signed_secrets(&mut self) {
        let (domain, enclave, sealed) = (domain(), account(ENCLAVE), b"a sealed secret".to_vec());
        let task = TaskId(domain.digest(&request()));
        let sign = |task, enclave, signer| {
            SignedSecret::sign(&domain, task, enclave, sealed.clone(), &key(signer)).to_bytes()
        };
        let valid = sign(task, enclave, OWNER);
        let mut changed = valid.clone();
        changed[70] ^= 1;
        let cases = [
            ("basic", valid.clone(), true),
            ("signed-by-the-processor", sign(task, enclave, PROCESSOR), false),
            ("for-another-task", sign(TaskId(word("another")), enclave, OWNER), false),
            ("for-another-enclave", sign(task, account(PROCESSOR), OWNER), false),
            ("changed", changed, false),
            ("nothing-sealed", valid[..65].to_vec(), false),
            ("over-the-bound", [valid.clone(), vec![0; 72 * 1024]].concat(), false),
            ("without-signature", sealed.clone(), false),
        ];
        for (name, bytes, accepted) in cases {
            let zeros = bytes.iter().rev().take_while(|byte| **byte == 0).count();
            let case = json!({
                "domain": domain_out(&domain),
                "owner": hexed(account(OWNER)),
                "task": hexed(task.as_bytes()),
                "enclave": hexed(enclave),
                "bytes": hexed(&bytes[..bytes.len() - zeros]),
                "zeros": number(zeros),
                "accepted": accepted,
            });
            self.add("signed-secret", name, case);
        }
    }

    fn proofs(&mut self) {
        let proof = proof();
        let file = proof.to_bytes();
        self.add("proof", "form-only", json!({ "file": hexed(&file), "accepted": true }));
        let body = &file[45..];
        let sealed = |body: &[u8]| [b"pox-proof-v1\n".as_slice(), sha256(body).as_slice(), body].concat();
        let mut by_receipts = proof.clone();
        let receipt = ReceiptProof { index: 3, log: 1, nodes: vec![vec![0xc0]] };
        by_receipts.chain.history = HistoryProof::Receipts(vec![receipt]);
        self.add("proof", "by-receipts", json!({ "file": hexed(by_receipts.to_bytes()), "accepted": true }));
        let mut refuse = |name: &str, file: Vec<u8>, zeros: usize| {
            self.add("proof-malformed", name, json!({ "file": hexed(file), "zeros": number(zeros) }));
        };
        for (name, body, class) in malformed::spoil(body) {
            assert!(class == MALFORMED || class == NOT_CANONICAL);
            refuse(name, sealed(&body), 0);
        }
        let mut other_version = file.clone();
        other_version[11] = b'2';
        let mut damaged = file.clone();
        damaged[200] ^= 1;
        refuse("other-version", other_version, 0);
        refuse("damaged", damaged, 0);
        refuse("no-body", file[..45].to_vec(), 0);
        refuse("shorter-than-its-digest", file[..40].to_vec(), 0);
        refuse("nothing", Vec::new(), 0);
        refuse("over-the-bound", file.clone(), 1024 * 1024 + 1 - file.len());
        let mut bounds = |name: &str, change: &dyn Fn(&mut Proof)| {
            let mut proof = proof.clone();
            change(&mut proof);
            refuse(name, proof.to_bytes(), 0);
        };
        bounds("too-many-steps", &|proof| proof.steps = vec![proof.steps[0]; 1025]);
        let nodes = |count: usize| vec![vec![1]; count];
        let state = |a, s| HistoryProof::State(StateProof { account: nodes(a), storage: nodes(s) });
        bounds("too-many-account-nodes", &|proof| proof.chain.history = state(66, 1));
        bounds("too-many-storage-nodes", &|proof| proof.chain.history = state(1, 66));
        let receipt = |nodes: usize| ReceiptProof { nodes: vec![vec![1]; nodes], ..ReceiptProof::default() };
        let receipts = |nodes: usize, count: usize| HistoryProof::Receipts(vec![receipt(nodes); count]);
        bounds("too-many-receipt-nodes", &|proof| proof.chain.history = receipts(66, 1));
        bounds("too-many-receipts", &|proof| proof.chain.history = receipts(0, 1025));
        bounds("too-many-runs", &|proof| proof.chain.runs = vec![vec![1]; 65]);
        bounds("too-many-changes", &|proof| proof.chain.changes = vec![ChangeProof::default(); 129]);
        let change = ChangeProof { run: vec![0], announcement: receipt(66) };
        bounds("too-many-announcement-nodes", &|proof| proof.chain.changes = vec![change.clone()]);
        bounds("too-many-secrets", &|proof| proof.secrets = vec![word("secret"); 9]);
        bounds("no-secrets", &|proof| proof.secrets.clear());
        bounds("path-too-long", &|proof| proof.matched.path = vec![word("node"); 33]);
    }
}
