//! The steps of spec §11 in their order, and the grade that comes of them.

use crate::anchors::Anchors;
use crate::facts::{
    AuthorityFacts, DataOwner, EvidenceFacts, Facts, HardwareFacts, MembersFacts, ReportFacts, StateFacts,
    Usage,
};
use crate::grade::Grade;
use crate::reason::Reason;
use crate::rejection::{Malformed, Rejection};
use crate::steps::approve::{self, Approved};
use crate::steps::history::{self, Kept};
use crate::steps::lifecycle::{self, Steps};
use crate::steps::matched::{self, Match};
use crate::steps::openings::{self, Openings};
use crate::steps::parse::{self, Records};
use crate::steps::quotes::{self, Quotes};
use crate::steps::seal::{self, Anchored};
use crate::steps::{archive, claims, member, policy, receipt, request};
use crate::verdict::{Component, Verdict};
use crate::verified::Verified;
use pox_core::history::At;
use pox_core::proof::Proof;
use pox_core::receipt::RunReport;
use pox_core::{Address, Party, TaskId, UnixTime};

/// Verifies a proof file against trust anchors, at the auditor's time.
///
/// A verdict says what is shown; it never means that the method is right, that the data is true, or that side channels leaked
/// nothing.
pub fn verify(file: &[u8], anchors: &Anchors, required: Grade, now: UnixTime) -> Verdict {
    match Proof::parse(file) {
        Ok(proof) => judge(&proof, anchors, required, now),
        Err(error) => Verdict::rejected(Malformed::from(error).into(), required),
    }
}

/// Verifies a proof that has been parsed already, as [`verify`] does.
///
/// The proof has to come from [`Proof::parse`], which bounds it.
pub fn judge(proof: &Proof, anchors: &Anchors, required: Grade, now: UnixTime) -> Verdict {
    match findings(proof, anchors, now) {
        Ok(findings) => {
            let components = findings.components(anchors);
            Verdict::graded(components, findings.today(), findings.facts(anchors), required)
        }
        Err(rejection) => Verdict::rejected(rejection, required),
    }
}

/// What all the steps established.
struct Findings<'a> {
    records: Verified<Records<'a>>,
    task: Verified<TaskId>,
    steps: Verified<Steps>,
    matched: Verified<Match>,
    approved: Verified<Approved>,
    quotes: Verified<Quotes>,
    kept: Verified<Kept>,
    anchored: Verified<Anchored>,
    openings: Verified<Openings>,
    member: Verified<member::Shown>,
}

fn findings<'a>(proof: &'a Proof, anchors: &Anchors, now: UnixTime) -> Result<Findings<'a>, Rejection> {
    let records = parse::parse(proof)?;
    let task = request::check(&records)?;
    let steps = lifecycle::check(&records, &task)?;
    let matched = matched::check(&records, &steps)?;
    let approved = approve::check(&records, &steps, &matched)?;
    let signed = receipt::check(&records, &task, &steps, &approved)?;
    let archived = archive::check(&records, &signed)?;
    let claimed = claims::check(&records, &task, &steps, &matched, &signed, &archived)?;
    let quotes = quotes::check(&records, &steps, &claimed, anchors, now)?;
    let accepted = policy::check(&records, &quotes, anchors)?;
    let kept = history::check(&records, &task, &steps, &accepted, anchors)?;
    let anchored = seal::check(&records, &kept, anchors, now)?;
    let openings = openings::check(&records, &anchored)?;
    let member = member::check(&records, &openings)?;
    Ok(Findings { records, task, steps, matched, approved, quotes, kept, anchored, openings, member })
}

impl Findings<'_> {
    fn components(&self, anchors: &Anchors) -> Vec<Component> {
        let when_it_ran = &self.quotes.standing.when_it_ran;
        let mut evidence = when_it_ran.reasons.clone();
        if let Some(measurement) = self.quotes.measurement {
            evidence.push(match anchors.release(measurement) {
                Some(name) => Reason::KnownRelease(name.to_owned()),
                None => Reason::ListedMeasurement,
            });
        }
        vec![
            Component { name: "evidence", grade: when_it_ran.grade, reasons: evidence },
            Component { name: "chain", grade: self.anchored.grade, reasons: self.anchored.reasons.clone() },
        ]
    }

    fn today(&self) -> Option<Component> {
        let today = self.quotes.standing.today.as_ref()?;
        Some(Component { name: "today", grade: today.grade, reasons: today.reasons.clone() })
    }

    fn facts(&self, anchors: &Anchors) -> Facts {
        let Records { request, receipt, domain, report, .. } = &*self.records;
        Facts {
            task: *self.task,
            chain_id: domain.chain_id,
            chain: anchors.chains.get(&domain.chain_id).map(|chain| chain.name.clone()),
            contract: domain.contract,
            owner: request.owner,
            owners: self.owners(),
            processor: self.matched.processor,
            requested: self.steps.requested,
            matched: self.steps.matched.at,
            approved: self.steps.approved_at(),
            proven: self.steps.proven.at,
            image: request.image,
            inputs: request.inputs.clone(),
            resources: request.resources,
            price: request.price,
            policy: request.policy,
            enclave: self.matched.enclave,
            evidence: self.evidence_facts(anchors),
            outcome: receipt.outcome,
            exit_code: receipt.exit_code,
            results: receipt.results,
            members: self.records.proof.proven.members.map(|members| MembersFacts {
                root: members.root,
                count: members.count,
                member: self.member.0.clone(),
            }),
            usage: Usage {
                cpu_micros: receipt.cpu_micros,
                wall_micros: receipt.wall_micros,
                memory_peak: receipt.memory_peak,
            },
            report: report_facts(report),
            terms: self.openings.terms.clone(),
            metadata: self.openings.metadata.clone(),
            state: self.state_facts(anchors),
        }
    }

    fn owners(&self) -> Vec<DataOwner> {
        let owner = |(party, account, released): &(Party, Address, At)| DataOwner {
            account: *account,
            inputs: self.records.request.inputs_of(*party).collect(),
            released: *released,
        };
        self.approved.owners.iter().map(owner).collect()
    }

    fn evidence_facts(&self, anchors: &Anchors) -> EvidenceFacts {
        let Quotes { kind, measurement, hardware, standing } = &*self.quotes;
        EvidenceFacts {
            kind: *kind,
            measurement: *measurement,
            release: measurement.and_then(|measurement| anchors.release(measurement)).map(str::to_owned),
            when_it_ran: standing.when_it_ran.grade,
            today: standing.today.as_ref().map(|today| today.grade),
            hardware: hardware.as_ref().map(|both| HardwareFacts::of_both(&both.key, &both.result)),
        }
    }

    fn state_facts(&self, anchors: &Anchors) -> StateFacts {
        let chain = anchors.chains.get(&self.records.domain.chain_id);
        let authority = |address: &Address| AuthorityFacts {
            address: *address,
            name: chain.and_then(|chain| chain.names.get(address)).cloned(),
        };
        let (header, sealed) = (&self.kept.block, self.anchored.sealed.as_ref());
        StateFacts {
            number: header.number,
            hash: header.hash,
            time: header.time,
            rests_on: self.kept.blocks.iter().copied().collect(),
            sealer: sealed.map(|sealed| authority(&sealed.by)),
            built: sealed.map(|sealed| sealed.builders.iter().map(authority).collect()),
            authorities: sealed.map(|sealed| sealed.of),
        }
    }
}

fn report_facts(report: &RunReport) -> ReportFacts {
    let config = &report.image_config;
    ReportFacts {
        protections: report.protections.clone(),
        missing: report.missing.clone(),
        accounting: report.accounting.clone(),
        user_micros: report.user_micros,
        system_micros: report.system_micros,
        image_config: (!config.is_empty()).then(|| format!("0x{}", hex::encode(config))),
        image_entries: report.image_entries,
        input_bytes: report.input_bytes,
        result_bytes: report.result_bytes,
        reason: report.reason.clone(),
    }
}
