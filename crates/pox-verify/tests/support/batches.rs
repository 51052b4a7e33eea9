//! Proofs of batches, and of single members.

use super::Draft;
use super::cases::{Case, graded, rejected};
use alloy_primitives::{B256, keccak256};
use pox_core::proof::{MemberPart, Proof, RunPart};
use pox_core::receipt::Outcome;
use pox_core::{MemberReceipt, MemberReceipts, Members, MembersRoot, ResultsCommitment, Run, Runs};

/// Not a power of two, so that paths have several lengths.
const COUNT: u16 = 7;

fn runs() -> Runs {
    let args = (1..=COUNT).map(|number| vec!["--seed".to_owned(), (number * 10).to_string()]);
    Runs { seed: keccak256("runs"), count: COUNT, args: Some(args.collect()) }
}

/// The fifth failed; the last was not begun.
fn members() -> MemberReceipts {
    let member = |run: Run| match run.number {
        COUNT => MemberReceipt::not_begun(&run, Outcome::TimeLimit),
        number => MemberReceipt {
            outcome: if number == 5 { Outcome::Failed } else { Outcome::Completed },
            exit_code: if number == 5 { 3 } else { 0 },
            results: ResultsCommitment(keccak256([number as u8])),
            begun_micros: 1000 * u64::from(number),
            wall_micros: 900,
            cpu_micros: 800,
            memory_peak: 1 << 20,
            reason: String::new(),
            ..MemberReceipt::not_begun(&run, Outcome::Completed)
        },
    };
    MemberReceipts::new(runs().iter().map(member).collect()).unwrap()
}

fn batch(draft: &mut Draft) {
    draft.members = Some(members().members());
    draft.terms.args = vec!["run".into(), "--out={run}".into()];
    draft.terms.runs = runs().committed();
    draft.receipt = |receipt| receipt.outcome = Outcome::TimeLimit;
}

fn part(number: u16) -> MemberPart {
    let (runs, members) = (runs(), members());
    MemberPart {
        receipt: members.get(number).unwrap().to_bytes(),
        path: members.path(number).unwrap(),
        run: Some(RunPart { run: runs.run(number).unwrap(), path: runs.path(number).unwrap() }),
    }
}

fn show(proof: &mut Proof, number: u16) {
    proof.member = Some(part(number));
}

/// A batch that shows a member, changed in a way.
macro_rules! showing {
    ($name:literal, $change:expr) => {
        rejected($name, "member-mismatch", |d| {
            batch(d);
            d.finish = $change;
        })
    };
}

pub fn batches() -> Vec<Case> {
    vec![
        graded("batch", "simulated", batch),
        graded("batch-of-a-thousand", "simulated", |d| {
            batch(d);
            let root = MembersRoot(keccak256("members"));
            d.members = Some(Members { root, count: 1_000 });
            d.terms.runs = Runs { seed: B256::ZERO, count: 1_000, args: None }.committed();
        }),
        graded("batch-by-receipts", "simulated", |d| {
            batch(d);
            d.receipts = Some(|_| {});
        }),
        graded("batch-whose-secret-was-invalid", "simulated", |d| {
            batch(d);
            d.members = None;
            d.receipt = |receipt| receipt.outcome = Outcome::SecretInvalid;
        }),
        graded("batch-without-openings", "simulated", |d| {
            batch(d);
            d.finish = |p| {
                show(p, 2);
                p.terms = None;
                p.member.as_mut().unwrap().run = None;
            };
        }),
        graded("member", "simulated", |d| {
            batch(d);
            d.finish = |p| show(p, 5);
        }),
        graded("member-that-is-last", "simulated", |d| {
            batch(d);
            d.finish = |p| show(p, COUNT);
        }),
        graded("member-whose-run-is-closed", "simulated", |d| {
            batch(d);
            d.finish = |p| {
                show(p, 1);
                p.member.as_mut().unwrap().run = None;
            };
        }),
        rejected("batch-with-other-members", "receipt-mismatch", |d| {
            batch(d);
            d.finish = |p| p.proven.members.as_mut().unwrap().count += 1;
        }),
        rejected("batch-shown-as-one", "receipt-mismatch", |d| {
            batch(d);
            d.finish = |p| p.proven.members = None;
        }),
        rejected("one-shown-as-a-batch", "receipt-mismatch", |d| {
            d.finish = |p| p.proven.members = Some(Members { root: MembersRoot::ZERO, count: 1 });
        }),
        rejected("batch-that-was-closed-as-one", "member-mismatch", |d| {
            batch(d);
            d.members = None;
        }),
        rejected("batch-that-nobody-asked-for", "member-mismatch", |d| {
            batch(d);
            d.terms.runs = None;
        }),
        rejected("batch-of-fewer-members-than-runs", "member-mismatch", |d| {
            batch(d);
            d.members.as_mut().unwrap().count -= 1;
        }),
        rejected("member-of-no-batch", "member-mismatch", |d| d.finish = |p| show(p, 5)),
        rejected("member-beyond-the-batch", "member-mismatch", |d| {
            batch(d);
            d.members = Some(Members { root: members().members().root, count: 4 });
            d.terms.runs.as_mut().unwrap().count = 4;
            d.finish = |p| show(p, 5);
        }),
        showing!("member-under-another-number", |p| {
            show(p, 5);
            let member = p.member.as_mut().unwrap();
            let receipt = MemberReceipt::parse(&member.receipt).unwrap();
            member.receipt = MemberReceipt { number: 6, ..receipt }.to_bytes();
        }),
        showing!("member-with-another-outcome", |p| {
            show(p, 5);
            let member = p.member.as_mut().unwrap();
            let receipt = MemberReceipt::parse(&member.receipt).unwrap();
            member.receipt =
                MemberReceipt { outcome: Outcome::Completed, exit_code: 0, ..receipt }.to_bytes();
        }),
        showing!("member-with-the-path-of-another", |p| {
            show(p, 5);
            p.member.as_mut().unwrap().path = part(1).path;
        }),
        showing!("member-with-its-path-cut-short", |p| {
            show(p, 5);
            p.member.as_mut().unwrap().path.pop();
        }),
        showing!("member-without-a-path", |p| {
            show(p, 5);
            p.member.as_mut().unwrap().path.clear();
        }),
        rejected("member-of-another-batch", "member-mismatch", |d| {
            batch(d);
            d.members.as_mut().unwrap().root = MembersRoot(keccak256("another batch"));
            d.finish = |p| show(p, 5);
        }),
        rejected("malformed-member", "malformed", |d| {
            batch(d);
            d.finish = |p| {
                show(p, 5);
                p.member.as_mut().unwrap().receipt.pop();
            };
        }),
        showing!("run-of-another-member", |p| {
            show(p, 5);
            p.member.as_mut().unwrap().run = part(6).run;
        }),
        showing!("run-with-other-arguments", |p| {
            show(p, 5);
            p.member.as_mut().unwrap().run.as_mut().unwrap().run.args[1] = "51".into();
        }),
        showing!("run-with-its-path-cut-short", |p| {
            show(p, 5);
            p.member.as_mut().unwrap().run.as_mut().unwrap().path.pop();
        }),
        rejected("run-under-other-terms", "member-mismatch", |d| {
            batch(d);
            d.terms.runs = Runs { seed: keccak256("other runs"), ..runs() }.committed();
            d.finish = |p| show(p, 5);
        }),
        rejected("run-opened-under-hidden-terms", "member-mismatch", |d| {
            batch(d);
            d.finish = |p| {
                show(p, 5);
                p.terms = None;
            };
        }),
        rejected("terms-with-runs-of-another-form", "opening-mismatch", |d| {
            batch(d);
            d.terms_leaves = |leaves| leaves[4].value = pox_core::to_canonical(&vec!["7".to_owned()]);
        }),
    ]
}
