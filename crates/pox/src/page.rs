//! The page of a verdict, for people. It says nothing that the verdict does not say.

mod diagnosis;
mod evidence;

pub(crate) use diagnosis::diagnosis;
pub(crate) use evidence::evidence;

use crate::quantity::entries;
use jiff::Timestamp;
use pox_core::history::At;
use pox_core::{Amount, UnixTime};
use pox_verify::{
    AuthorityFacts, DataOwner, Facts, Grade, MemberFacts, MembersFacts, Opened, Reason, RunFacts, Verdict,
};
use std::fmt::{Display, Write as _};

/// The whole page: the verdict first, then what it rests on, then what it does not say.
pub(crate) fn verdict(verdict: &Verdict) -> String {
    verdict_with(verdict, &[])
}

/// The same, with what others than the chain say of when the file was there.
pub(crate) fn verdict_with(verdict: &Verdict, timestamps: &[String]) -> String {
    let mut page = Page::default();
    headline(&mut page, verdict);
    if let Some(facts) = &verdict.facts {
        what(&mut page, facts);
        who(&mut page, facts);
        when(&mut page, facts);
        place(&mut page, facts);
        enclave(&mut page, facts);
        used(&mut page, facts);
        disclosed(&mut page, facts);
    }
    if !verdict.components.is_empty() {
        page.section("Why this grade");
        for component in verdict.components.iter().chain(&verdict.today) {
            page.row(component.name, component.grade);
            for reason in &component.reasons {
                page.row("", format!("- {}", plain(&reason.to_string())));
            }
        }
    }
    if !timestamps.is_empty() {
        page.section("Time stamps of this file, which no grade counts");
        timestamps.iter().for_each(|sentence| page.line(&format!("- {sentence}")));
    }
    page.section("What no grade says");
    for sentence in verdict.not_claimed {
        page.line(&format!("- {sentence}"));
    }
    page.section("Next");
    page.line(next(verdict));
    page.text
}

fn headline(page: &mut Page, verdict: &Verdict) {
    let grade = verdict.grade.name().to_uppercase();
    let relation = match (&verdict.rejection, verdict.meets) {
        (Some(_), _) => "this proof is rejected".to_owned(),
        (None, true) => format!("meets the required grade, {}", verdict.required),
        (None, false) if verdict.grade >= verdict.required => {
            format!("met the required grade, {}, when it ran, and falls short of it today", verdict.required)
        }
        (None, false) => format!("falls short of the required grade, {}", verdict.required),
    };
    page.line(&format!("{grade}: {relation}"));
    if let Some(today) = &verdict.today {
        page.line(&format!("today: {}", today.grade.name().to_uppercase()));
    }
    if let Some(rejection) = &verdict.rejection {
        page.line(&format!(
            "at step {} ({}): {}",
            rejection.step(),
            rejection.code(),
            plain(&rejection.to_string())
        ));
    }
    if is_simulated(verdict) {
        page.line(
            "SIMULATED: no hardware protected this run. Its processor could read and alter everything.",
        );
    }
}

fn what(page: &mut Page, facts: &Facts) {
    page.section("What");
    page.row("task", facts.task);
    let code = match (&facts.members, facts.exit_code) {
        (_, 0) => String::new(),
        (None, code) => format!(", exit code {code}"),
        (Some(members), others) => format!(": {others} of {} members did not complete", members.count),
    };
    page.row("outcome", format!("{}{code}", facts.outcome));
    if let Some(members) = &facts.members {
        let shown = if members.member.is_some() { "one of them shown below" } else { "none of them shown" };
        page.row("batch", format!("{} members, {shown}", members.count));
    }
    if !facts.report.reason.is_empty() {
        page.row("because", plain(&facts.report.reason));
    }
    page.row("image", format!("sha256:{}", hex::encode(facts.image.as_bytes())));
    for input in &facts.inputs {
        page.row("input", input);
    }
    if facts.results.is_zero() {
        page.row("results", "none");
    } else {
        page.row("results", facts.results);
    }
    if let Some(MembersFacts { count, member: Some(member), .. }) = &facts.members {
        shown_member(page, member, *count);
    }
}

fn shown_member(page: &mut Page, member: &MemberFacts, count: u16) {
    page.section("Member");
    let (number, outcome, code) = (member.number, member.outcome, member.exit_code);
    page.row("member", format!("{number} of {count}: {outcome}, exit code {code}"));
    if !member.reason.is_empty() {
        page.row("because", plain(&member.reason));
    }
    if member.results.is_zero() {
        page.row("results", "none");
    } else {
        page.row("results", member.results);
    }
    match &member.run {
        None => page.row("arguments", "kept secret"),
        Some(RunFacts { arguments: Some(all), .. }) => page.row("arguments", words(all)),
        Some(RunFacts { args, arguments: None }) => page.row("arguments", format!("… {}", words(args))),
    }
    page.row("began", format!("{} after the first", seconds(member.begun_micros)));
    page.row("time", seconds(member.wall_micros));
    page.row("processor", seconds(member.cpu_micros));
    page.row("memory", bytes(member.memory_peak));
}

fn words(texts: &[String]) -> String {
    texts.iter().map(|text| plain(text)).collect::<Vec<_>>().join(" ")
}

fn who(page: &mut Page, facts: &Facts) {
    page.section("Who");
    page.row("owner", facts.owner);
    // Whose data was used is only worth a line where it is not all the owner's.
    for DataOwner { account, inputs, released } in facts.owners.iter().filter(|_| facts.owners.len() > 1) {
        let inputs: Vec<_> = inputs.iter().map(|place| (place + 1).to_string()).collect();
        let inputs = if inputs.is_empty() { "none".to_owned() } else { inputs.join(", ") };
        let At { number, time } = released;
        page.row("data of", account);
        page.row("", format!("inputs {inputs}; released {}, block {number}", utc(*time)));
    }
    page.row("processor", facts.processor);
    page.row("enclave", facts.enclave);
    page.row("price", coins(facts.price));
}

fn when(page: &mut Page, facts: &Facts) {
    page.section("When");
    let steps = [
        ("requested", facts.requested),
        ("matched", facts.matched),
        ("approved", facts.approved),
        ("proven", facts.proven),
    ];
    for (step, At { number, time }) in steps {
        page.row(step, format!("{}, block {number}", utc(time)));
    }
}

fn place(page: &mut Page, facts: &Facts) {
    page.section("Where");
    let name = facts.chain.as_deref().map(plain).unwrap_or_else(|| "unknown to this verifier".to_owned());
    page.row("chain", format!("{} ({name})", facts.chain_id));
    page.row("contract", facts.contract);
    let state = &facts.state;
    let shown = if state.rests_on == [state.number] { "state of" } else { "events up to" };
    page.row(shown, format!("block {}, {}", state.number, utc(state.time)));
    page.row("", state.hash);
    if let Some(sealer) = &state.sealer {
        page.row("sealed by", authority(sealer));
    }
    if let (Some(built), Some(authorities)) = (&state.built, state.authorities) {
        page.row("built on by", format!("{} of {authorities} authorities", built.len()));
        for builder in built {
            page.row("", authority(builder));
        }
    }
}

fn authority(authority: &AuthorityFacts) -> String {
    match &authority.name {
        Some(name) => format!("{} ({})", authority.address, plain(name)),
        None => authority.address.to_string(),
    }
}

fn enclave(page: &mut Page, facts: &Facts) {
    let (evidence, report) = (&facts.evidence, &facts.report);
    page.section("How it was protected");
    page.row("evidence", evidence.kind);
    match (evidence.measurement, &evidence.release) {
        (Some(measurement), Some(release)) => {
            page.row("measurement", measurement);
            page.row("", format!("{}, a release that this verifier knows", plain(release)));
        }
        (Some(measurement), None) => page.row("measurement", measurement),
        (None, _) => page.row("measurement", "unknown: this version can't verify that kind"),
    }
    page.row("when it ran", evidence.when_it_ran);
    match evidence.today {
        Some(today) => page.row("today", today),
        None => page.row("today", "unknown without current collateral"),
    }
    page.row("policy", facts.policy);
    page.row("sandbox", list(&report.protections));
    page.row("missing", list(&report.missing));
    if let Some(config) = &report.image_config {
        page.row("image config", plain(config));
    }
}

fn used(page: &mut Page, facts: &Facts) {
    let (usage, report, allowed) = (&facts.usage, &facts.report, &facts.resources);
    page.section("What it used");
    page.row(
        "processor",
        format!(
            "{} ({} user, {} system), up to {} cores",
            seconds(usage.cpu_micros),
            seconds(report.user_micros),
            seconds(report.system_micros),
            f64::from(allowed.cpu_millis) / 1000.0
        ),
    );
    page.row("time", format!("{} of {} s", seconds(usage.wall_micros), allowed.time_limit));
    page.row("memory", format!("{} of {} MiB", bytes(usage.memory_peak), allowed.memory_mib));
    page.row("disk", format!("up to {} MiB", allowed.disk_mib));
    page.row("input", bytes(report.input_bytes));
    page.row("results", bytes(report.result_bytes));
    page.row("image", entries(report.image_entries));
    page.row("measured by", plain(&report.accounting));
}

fn disclosed(page: &mut Page, facts: &Facts) {
    if let Some(terms) = &facts.terms {
        leaves(page, "Terms", terms, |values| words(values));
    }
    if let Some(metadata) = &facts.metadata {
        leaves(page, "Metadata", metadata, |value| plain(value));
    }
}

fn leaves<T>(page: &mut Page, title: &str, opened: &Opened<T>, show: impl Fn(&T) -> String) {
    page.section(title);
    for leaf in &opened.leaves {
        let value = show(&leaf.value);
        page.row(&plain(&leaf.name), if value.is_empty() { "none" } else { &value });
    }
    if opened.hidden > 0 {
        page.row("kept secret", format!("{} more", opened.hidden));
    }
}

fn next(verdict: &Verdict) -> &'static str {
    let has_no_anchor = verdict
        .components
        .iter()
        .flat_map(|component| &component.reasons)
        .any(|reason| matches!(reason, Reason::NoAuthorities(_) | Reason::NotFinal { .. }));
    match (verdict.grade, verdict.meets) {
        (Grade::Inconsistent, _) => {
            "Do not rely on it. Get the file again from who made it, or from the chain: `pox proof <task id>`."
        }
        (_, true) => {
            "Compare image, inputs and results with what you expect them to be: the commitments above name them."
        }
        (grade, false) if grade >= verdict.required => {
            "What it showed when it ran still stands; whether that is enough today, the reasons under `today` tell."
        }
        (Grade::Asserted, false) if has_no_anchor => {
            "Ask an endpoint of the chain whether it has this block: `pox verify --live`."
        }
        (Grade::Simulated, false) => {
            "Demonstrations can be accepted with `--require simulated`; for a higher grade, run on a processor with TEE hardware."
        }
        (_, false) => {
            "Accept this grade with --require if it is enough for you; the reasons above say what is missing."
        }
    }
}

/// Whether a simulated part is among those that vouch, also where the verdict is worse than that.
fn is_simulated(verdict: &Verdict) -> bool {
    let graded = verdict.components.iter().any(|component| component.grade == Grade::Simulated);
    graded || verdict.facts.as_ref().is_some_and(|facts| facts.evidence.kind.is_simulated())
}

/// Rows under headings, with one column for names.
#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn section(&mut self, title: &str) {
        let _ = write!(self.text, "\n{title}\n");
    }

    fn row(&mut self, name: &str, value: impl Display) {
        let _ = writeln!(self.text, "  {name:<NAMES$}{value}");
    }

    fn line(&mut self, line: &str) {
        // Under a heading lines are indented as rows are.
        let indent = if self.text.contains("\n\n") { "  " } else { "" };
        let _ = writeln!(self.text, "{indent}{line}");
    }
}

/// Text of others: nothing in it may move the cursor, change colours, or turn the reading direction.
pub(crate) fn plain(text: &str) -> String {
    let is_harmless = |c: char| !c.is_control() && !TURNING.contains(&c);
    text.chars().map(|c| if is_harmless(c) { c } else { char::REPLACEMENT_CHARACTER }).collect()
}

/// RFC 3339, in UTC.
pub(crate) fn utc(time: UnixTime) -> String {
    let stamp = i64::try_from(time.0).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    stamp.map_or_else(|| format!("{} s after 1970", time.0), |stamp| stamp.to_string())
}

fn coins(amount: Amount) -> String {
    amount.to_string()
}

pub(crate) fn seconds(micros: u64) -> String {
    format!("{}.{:03} s", micros / 1_000_000, micros % 1_000_000 / 1000)
}

/// A size in the largest unit that it has one of, rounded down to a tenth.
fn bytes(count: u64) -> String {
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    match units.into_iter().find(|(_, shift)| count >> shift > 0) {
        Some((unit, shift)) => {
            let tenths = (u128::from(count) * 10) >> shift;
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        }
        None => format!("{count} B"),
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        return "nothing".to_owned();
    }
    names.iter().map(|name| plain(name)).collect::<Vec<_>>().join(", ")
}

/// Width of the names' column.
const NAMES: usize = 16;
/// Characters that change the direction in which the text around them is read, or that nobody sees.
const TURNING: [char; 16] = [
    '\u{61c}', '\u{200b}', '\u{200c}', '\u{200d}', '\u{200e}', '\u{200f}', '\u{202a}', '\u{202b}',
    '\u{202c}', '\u{202d}', '\u{202e}', '\u{2066}', '\u{2067}', '\u{2068}', '\u{2069}', '\u{feff}',
];

#[cfg(test)]
mod tests {
    use super::*;
    use pox_core::evidence::EvidenceKind;
    use pox_core::receipt::Outcome;
    use pox_core::{Address, B256, Resources};
    use pox_verify::{
        Anchors, Component, EvidenceFacts, Measurement, NOT_CLAIMED, OpenedLeaf, ReportFacts, StateFacts,
        Usage, verify,
    };

    #[test]
    fn a_rejected_proof_says_so_first_and_shows_no_facts() {
        let rejected = verify(b"nothing", &Anchors::default(), Grade::Simulated, UnixTime(0));
        let page = verdict(&rejected);
        assert!(page.starts_with("INCONSISTENT: this proof is rejected\nat step 1 (malformed): "), "{page}");
        assert!(!page.contains("\nWho\n"), "{page}");
        assert!(page.contains("- that the data is true"), "{page}");
    }

    #[test]
    fn every_fact_has_its_place() {
        let shown = verdict(&simulated());
        let lines = [
            "SIMULATED: falls short of the required grade, hardware",
            "SIMULATED: no hardware protected this run. Its processor could read and alter everything.",
            "  task            0x0101010101010101010101010101010101010101010101010101010101010101",
            "  outcome         failed, exit code 3",
            "  image           sha256:0202020202020202020202020202020202020202020202020202020202020202",
            "  input           0x0303030303030303030303030303030303030303030303030303030303030303",
            "  results         0x0404040404040404040404040404040404040404040404040404040404040404",
            "  owner           0x0505050505050505050505050505050505050505",
            "  data of         0x0707070707070707070707070707070707070707",
            "                  inputs 1; released 2023-11-14T22:13:40Z, block 3",
            "  approved        2023-11-14T22:13:40Z, block 3",
            "  chain           7368568 (embedded)",
            "  built on by     1 of 1 authorities",
            "                  0x0C0c0C0c0c0c0c0c0c0c0C0C0C0c0c0C0c0c0c0c (A University)",
            "                  pox-enclave 0.1.0, a release that this verifier knows",
            "  sandbox         seccomp, no-network",
            "  missing         nothing",
            "  processor       1.500 s (1.000 s user, 0.500 s system), up to 1.5 cores",
            "  memory          12.0 MiB of 512 MiB",
            "  args            /task -v",
            "  kept secret     3 more",
            "  title           Penguins\u{fffd}[31m",
            "  evidence        simulated",
            "                  - the evidence is simulated: anyone can sign it, and it protects nothing",
            "  - that the method is right",
        ];
        for line in lines {
            assert!(shown.lines().any(|shown| shown == line), "{line:?} is not in\n{shown}");
        }
        assert!(shown.lines().all(|line| !line.contains(char::is_control)));
    }

    fn simulated() -> Verdict {
        let at = |number| At { number, time: UnixTime(1_700_000_000 + 10 * (number - 1)) };
        let leaf = |name: &str, value: &str| OpenedLeaf { name: name.into(), value: value.to_owned() };
        let facts = Facts {
            task: [1; 32].into(),
            chain_id: 7_368_568,
            chain: Some("embedded".into()),
            contract: Address::repeat_byte(9),
            owner: Address::repeat_byte(5),
            owners: vec![
                DataOwner { account: Address::repeat_byte(5), inputs: vec![], released: at(3) },
                DataOwner { account: Address::repeat_byte(7), inputs: vec![0], released: at(3) },
            ],
            processor: Address::repeat_byte(6),
            requested: at(1),
            matched: at(2),
            approved: at(3),
            proven: at(4),
            image: [2; 32].into(),
            inputs: vec![[3; 32].into()],
            resources: Resources { cpu_millis: 1500, memory_mib: 512, disk_mib: 64, time_limit: 60 },
            price: Amount::default(),
            policy: [7; 32].into(),
            enclave: Address::repeat_byte(8),
            evidence: EvidenceFacts {
                kind: EvidenceKind::Simulated,
                measurement: Some(Measurement(B256::repeat_byte(10))),
                release: Some("pox-enclave 0.1.0".into()),
                when_it_ran: Grade::Simulated,
                today: None,
                hardware: None,
            },
            outcome: Outcome::Failed,
            exit_code: 3,
            results: [4; 32].into(),
            members: None,
            usage: Usage { cpu_micros: 1_500_000, wall_micros: 2_000_000, memory_peak: 12 << 20 },
            report: ReportFacts {
                protections: vec!["seccomp".into(), "no-network".into()],
                missing: vec![],
                accounting: "rusage".into(),
                user_micros: 1_000_000,
                system_micros: 500_000,
                image_config: None,
                image_entries: 1,
                input_bytes: 10,
                result_bytes: 20,
                reason: "a\nline".into(),
            },
            terms: Some(Opened {
                leaves: vec![OpenedLeaf { name: "args".into(), value: vec!["/task".into(), "-v".into()] }],
                hidden: 3,
            }),
            metadata: Some(Opened { leaves: vec![leaf("title", "Penguins\u{1b}[31m")], hidden: 0 }),
            state: StateFacts {
                number: 5,
                hash: B256::repeat_byte(11),
                time: UnixTime(1_700_000_050),
                rests_on: vec![5],
                sealer: Some(AuthorityFacts { address: Address::repeat_byte(12), name: None }),
                built: Some(vec![AuthorityFacts {
                    address: Address::repeat_byte(12),
                    name: Some("A University".into()),
                }]),
                authorities: Some(1),
            },
        };
        let component = |name, reason| Component { name, grade: Grade::Simulated, reasons: vec![reason] };
        Verdict {
            grade: Grade::Simulated,
            required: Grade::Hardware,
            meets: false,
            components: vec![
                component("evidence", Reason::SimulatedKind(EvidenceKind::Simulated)),
                component("chain", Reason::EmbeddedChain("embedded".into())),
            ],
            today: None,
            rejection: None,
            facts: Some(Box::new(facts)),
            not_claimed: NOT_CLAIMED,
        }
    }

    #[test]
    fn a_batch_says_how_many_it_has_and_which_is_shown() {
        let batch = |member: Option<MemberFacts>| {
            let mut proof = simulated();
            let facts = proof.facts.as_mut().unwrap();
            facts.members = Some(MembersFacts { root: pox_core::MembersRoot::ZERO, count: 1000, member });
            verdict(&proof)
        };
        let page = batch(None);
        assert!(page.contains("  outcome         failed: 3 of 1000 members did not complete\n"), "{page}");
        assert!(page.contains("  batch           1000 members, none of them shown\n"), "{page}");
        let run = RunFacts { args: vec!["--seed".into(), "\u{1b}[2J".into()], arguments: None };
        let page = batch(Some(MemberFacts {
            number: 7,
            outcome: Outcome::Completed,
            exit_code: 0,
            results: pox_core::ResultsCommitment::ZERO,
            begun_micros: 1_500_000,
            wall_micros: 250_000,
            cpu_micros: 200_000,
            memory_peak: 1 << 20,
            reason: String::new(),
            run: Some(run),
        }));
        for line in [
            "  member          7 of 1000: completed, exit code 0\n",
            "  arguments       … --seed \u{fffd}[2J\n",
            "  began           1.500 s after the first\n",
        ] {
            assert!(page.contains(line), "{page}");
        }
    }

    #[test]
    fn both_grades_are_shown_where_today_was_asked_for() {
        let denied = Reason::AdvisoryDenied("INTEL-SA-1".into());
        let today = Component { name: "today", grade: Grade::Asserted, reasons: vec![denied] };
        let proof = Verdict { required: Grade::Simulated, meets: false, today: Some(today), ..simulated() };
        let shown = verdict(&proof);
        let first = "SIMULATED: met the required grade, simulated, when it ran, and falls short of it today\n\
                     today: ASSERTED\n";
        assert!(shown.starts_with(first), "{shown}");
        assert!(shown.contains("  today           asserted\n                  - "), "{shown}");
        assert!(shown.contains("What it showed when it ran still stands"), "{shown}");
    }

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(utc(UnixTime(1_700_000_000)), "2023-11-14T22:13:20Z");
        assert_eq!(utc(UnixTime(u64::MAX)), "18446744073709551615 s after 1970");
        assert_eq!(
            [0, 1023, 1024, 1_600_000, u64::MAX].map(bytes),
            ["0 B", "1023 B", "1.0 KiB", "1.5 MiB", "17179869183.9 GiB"]
        );
        assert_eq!(seconds(1_234_567), "1.234 s");
    }

    #[test]
    fn texts_of_others_are_made_harmless() {
        assert_eq!(plain("a\u{1b}[2Jb\nc\u{202e}d"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d");
    }
}
