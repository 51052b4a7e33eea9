//! Vectors of batches: runs, the terms and the secret that carry them, members and their paths, and a proof that shows one.

use crate::cast::{leaves, proof, secret, word};
use crate::json::{bytes, hexed, integer, number, word as word_in};
use crate::make::Maker;
use crate::malformed::MALFORMED;
use crate::read::message;
use pox_core::members::MAX_MEMBER_BYTES;
use pox_core::proof::{MemberPart, RunPart};
use pox_core::receipt::Outcome;
use pox_core::secret::{Secret, Terms};
use pox_core::{
    B256, MemberReceipt, MemberReceipts, ResultsCommitment, Run, Runs, from_canonical, to_canonical, tree,
};
use serde_json::{Value, json};

/// Five runs, of which some have arguments of their own.
fn runs() -> Runs {
    let args = [&["--seed", "1"][..], &["--seed", "2"], &[], &["--seed", "4", "--long"], &["{run}"]];
    let args = args.map(|list| list.iter().map(ToString::to_string).collect());
    Runs { seed: word("seed"), count: 5, args: Some(args.into()) }
}

fn members() -> MemberReceipts {
    let member = |run: Run| MemberReceipt {
        number: run.number,
        outcome: if run.number == 4 { Outcome::Failed } else { Outcome::Completed },
        exit_code: if run.number == 4 { 137 } else { 0 },
        results: ResultsCommitment(word("results")),
        run: run.leaf(),
        begun_micros: 1_000 * u64::from(run.number),
        wall_micros: 900,
        cpu_micros: 800,
        memory_peak: 1 << 20,
        reason: String::new(),
    };
    MemberReceipts::new(runs().iter().map(member).collect()).unwrap()
}

fn batch_terms() -> Terms {
    let terms = Terms::from_leaves(&leaves()).unwrap();
    Terms { runs: runs().committed(), ..terms }
}

impl Maker {
    pub(crate) fn batches(&mut self) {
        self.runs();
        self.terms_with_runs();
        self.secrets_with_runs();
        self.members();
        self.proofs_of_members();
    }

    fn runs(&mut self) {
        let counted = Runs { seed: word("seed"), count: 1000, args: None };
        for (name, runs, at) in [("first", runs(), 1), ("last", runs(), 5), ("of-a-thousand", counted, 7)] {
            let run = runs.run(at).unwrap();
            let committed = runs.committed().unwrap();
            let case = json!({
                "seed": hexed(runs.seed),
                "number": number(at),
                "salt": hexed(run.salt),
                "args": run.args,
                "cbor": hexed(to_canonical(&run)),
                "leaf": hexed(run.leaf()),
                "path": runs.path(at).unwrap().iter().map(hexed).collect::<Vec<_>>(),
                "root": hexed(committed.root.as_bytes()),
                "texts": committed.to_texts(),
            });
            self.add("run", name, case);
        }
    }

    fn terms_with_runs(&mut self) {
        let terms = batch_terms();
        let salts = ["accept-missing", "args", "env", "inputs", "runs"].map(word);
        let leaves = terms.leaves(salts).unwrap();
        let case = json!({
            "cbor": hexed(leaves.to_bytes()),
            "accepted": true,
            "root": hexed(leaves.root()),
            "acceptMissing": terms.accept_missing,
            "args": terms.args,
            "env": terms.env,
            "inputs": terms.inputs,
            "runs": terms.runs.unwrap().to_texts(),
        });
        self.add("terms", "batch", case);
        let texts = terms.runs.unwrap().to_texts();
        let [count, root] = [&texts[0], &texts[1]].map(String::as_str);
        let refused = [
            ("runs-without-a-root", vec![count]),
            ("runs-with-a-third-text", vec![count, root, root]),
            ("runs-of-none", vec!["0", root]),
            ("runs-with-a-leading-zero", vec!["05", root]),
            ("runs-too-many", vec!["65536", root]),
            ("runs-with-another-root", vec![count, "0x00"]),
        ];
        for (name, texts) in refused {
            let value = to_canonical(&texts);
            let mut list: Vec<_> =
                leaves.iter().map(|(name, value)| crate::cast::leaf(name, value)).collect();
            list[4].value = value;
            let cbor = to_canonical(&list);
            self.add("terms", name, json!({ "cbor": hexed(cbor), "accepted": false }));
        }
    }

    fn secrets_with_runs(&mut self) {
        let salts = ["accept-missing", "args", "env", "inputs", "runs"].map(word);
        let terms = batch_terms().leaves(salts).unwrap();
        let batch = Secret { terms, runs: Some(runs()), ..secret() };
        let value = json!({
            "task": hexed(batch.task.as_bytes()),
            "termsRoot": hexed(batch.terms_root().as_bytes()),
            "inputs": number(batch.inputs.len()),
            "runs": number(5),
        });
        let case = json!({ "cbor": hexed(batch.to_bytes().as_slice()), "accepted": true, "value": value });
        self.add("secret", "batch", case);
        let mut refuse = |name: &str, change: &dyn Fn(&mut Runs)| {
            let mut runs = runs();
            change(&mut runs);
            let cbor = Secret { runs: Some(runs), ..batch.clone() }.to_bytes();
            let case = json!({ "cbor": hexed(cbor.as_slice()), "zeros": "0", "accepted": false, "refusal": MALFORMED });
            self.add("secret", name, case);
        };
        refuse("runs-of-none", &|runs| {
            runs.count = 0;
            runs.args = None;
        });
        refuse("runs-with-a-list-missing", &|runs| runs.count += 1);
        refuse("runs-with-empty-lists-only", &|runs| runs.args = Some(vec![Vec::new(); 5]));
        refuse("runs-with-a-nul", &|runs| runs.args.as_mut().unwrap()[2] = vec!["a\0".into()]);
        refuse("runs-with-too-many-arguments", &|runs| {
            runs.args.as_mut().unwrap()[2] = vec![String::new(); 257];
        });
        refuse("runs-too-large", &|runs| runs.args.as_mut().unwrap()[2] = vec!["x".repeat(48 * 1024)]);
    }

    fn members(&mut self) {
        let all = members();
        let fourth = all.get(4).unwrap();
        let value = json!({
            "number": number(4),
            "outcome": number(1),
            "exitCode": number(137),
            "leaf": hexed(fourth.leaf()),
            "path": all.path(4).unwrap().iter().map(hexed).collect::<Vec<_>>(),
            "root": hexed(all.members().root.as_bytes()),
        });
        self.message("member", &fourth.to_bytes(), value, MAX_MEMBER_BYTES);
        let mut refuse = |name: &str, bytes: Vec<u8>| {
            let case = json!({ "cbor": hexed(bytes), "zeros": "0", "accepted": false, "refusal": MALFORMED });
            self.add("member", name, case);
        };
        refuse("number-zero", MemberReceipt { number: 0, ..fourth.clone() }.to_bytes());
        refuse("reason-too-long", MemberReceipt { reason: "x".repeat(401), ..fourth.clone() }.to_bytes());
        let mut unknown = fourth.to_bytes();
        assert_eq!(unknown[3..5], [0x01, 0x01], "the outcome");
        unknown[4] = 0x05;
        refuse("unknown-outcome", unknown);
    }

    fn proofs_of_members(&mut self) {
        let (all, runs) = (members(), runs());
        let run = RunPart { run: runs.run(4).unwrap(), path: runs.path(4).unwrap() };
        let member = MemberPart {
            receipt: all.get(4).unwrap().to_bytes(),
            path: all.path(4).unwrap(),
            run: Some(run.clone()),
        };
        let with = |member: MemberPart| {
            let mut proof = proof();
            proof.proven.members = Some(all.members());
            proof.member = Some(member);
            hexed(proof.to_bytes())
        };
        self.add("proof", "with-a-member", json!({ "file": with(member.clone()), "accepted": true }));
        let closed = MemberPart { run: None, ..member.clone() };
        self.add(
            "proof",
            "with-a-member-whose-run-is-closed",
            json!({ "file": with(closed), "accepted": true }),
        );
        let long_run = Run { args: vec![String::new(); 257], ..run.run.clone() };
        let far = RunPart { path: vec![word("node"); 33], ..run.clone() };
        for (name, part) in [
            ("member-too-long", MemberPart { receipt: vec![0; 641], ..member.clone() }),
            ("member-path-too-long", MemberPart { path: vec![word("node"); 33], ..member.clone() }),
            ("run-path-too-long", MemberPart { run: Some(far), ..member.clone() }),
            (
                "run-with-too-many-arguments",
                MemberPart { run: Some(RunPart { run: long_run, ..run }), ..member.clone() },
            ),
        ] {
            self.add("proof-malformed", name, json!({ "file": with(part), "zeros": "0" }));
        }
    }
}

pub(crate) fn check(folder: &str, case: &Value, context: &str) {
    let path = |case: &Value| -> Vec<B256> { case["path"].as_array().unwrap().iter().map(word_in).collect() };
    if folder == "member" {
        message(case, context, MemberReceipt::parse, |member, value| {
            assert_eq!(u128::from(member.number), integer(&value["number"]), "{context}");
            assert_eq!(u128::from(member.outcome.code()), integer(&value["outcome"]), "{context}");
            assert_eq!(u128::from(member.exit_code), integer(&value["exitCode"]), "{context}");
            assert_eq!(member.leaf(), word_in(&value["leaf"]), "{context}");
            assert_eq!(tree::climb(member.leaf(), &path(value)), Some(word_in(&value["root"])), "{context}");
            member.to_bytes()
        });
        return;
    }
    let cbor = bytes(&case["cbor"]);
    let run: Run = from_canonical(&cbor, 16 * 1024).unwrap();
    let runs = Runs { seed: word_in(&case["seed"]), count: u16::MAX, args: None };
    assert_eq!(u128::from(run.number), integer(&case["number"]), "{context}");
    assert_eq!(runs.run(run.number).unwrap().salt, run.salt, "{context}");
    assert_eq!((run.salt, run.leaf()), (word_in(&case["salt"]), word_in(&case["leaf"])), "{context}");
    assert_eq!(serde_json::to_value(&run.args).unwrap(), case["args"], "{context}");
    assert_eq!(tree::climb(run.leaf(), &path(case)), Some(word_in(&case["root"])), "{context}");
    assert_eq!(case["texts"][1], case["root"], "{context}");
}
