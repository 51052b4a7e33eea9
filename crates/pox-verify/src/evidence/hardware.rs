//! The kinds that hardware signs: from what a vendor's verifier finds to standing at two times (spec §8.6).

use super::launch::{Launch, LaunchBinding, PlatformId, PlatformTrait, TcbStatus, Window};
use super::roots::{RootStanding, VendorRoots};
use super::vendors::Known;
use super::{
    Assessment, Context, EvidenceClaims, EvidenceRejection, Fault, Standing, VendorRejection, vendors,
};
use crate::anchors::Fresh;
use crate::grade::Grade;
use crate::reason::Reason;
use pox_core::UnixTime;
use pox_core::endorsement::{Endorsement, EndorsementKind};
use pox_core::evidence::{Evidence, EvidenceKind};

/// What hardware says of a launch, and who vouches for that.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Hardware {
    /// What it says.
    pub launch: Launch,
    /// Whether the launch itself was made for the task.
    pub binding: LaunchBinding,
    /// Whose roots it leads to.
    pub roots: RootStanding,
}

/// What a vendor's verifier judges by.
#[derive(Clone, Copy)]
pub(super) struct Basis<'a> {
    pub(super) endorsements: &'a [Endorsement],
    pub(super) roots: &'a VendorRoots,
    /// When the endorsements must be in force.
    pub(super) at: UnixTime,
    /// When the quote can have been made, for kinds that state it.
    pub(super) made: Window,
}

/// Asks the verifier of the kind's vendor, and weighs what it says.
pub(super) fn verify(
    evidence: &Evidence,
    context: &Context<'_>,
    known: &Known,
) -> Result<EvidenceClaims, EvidenceRejection> {
    weigh(evidence, context, &|evidence, basis| {
        vendors::appraise(evidence.kind, &evidence.quote, basis, known)
    })
}

/// A vendor's verifier: what launch a quote vouches for, or why it doesn't.
type Appraise<'f> = &'f dyn Fn(&Evidence, &Basis<'_>) -> Result<Launch, EvidenceRejection>;

fn weigh(
    evidence: &Evidence,
    context: &Context<'_>,
    appraise: Appraise<'_>,
) -> Result<EvidenceClaims, EvidenceRejection> {
    let roots = &context.anchors.vendor_roots;
    let basis = Basis { endorsements: context.endorsements, roots, at: context.ran, made: context.made };
    let hardware = bound(evidence, &basis, appraise)?;
    let when_it_ran = hardware.assess();
    let today = context.anchors.fresh.as_ref().and_then(|fresh| {
        let today = Today { fresh, evidence, hardware: &hardware, basis, now: context.now };
        today.assess(appraise)
    });
    Ok(EvidenceClaims {
        kind: evidence.kind,
        measurement: hardware.launch.measurement(),
        claims: evidence.claims.clone(),
        hardware: Some(hardware),
        standing: Standing { when_it_ran, today },
    })
}

/// What hardware says of the launch of one evidence, and that this was made for its task or for none.
fn bound(
    evidence: &Evidence,
    basis: &Basis<'_>,
    appraise: Appraise<'_>,
) -> Result<Hardware, EvidenceRejection> {
    let launch = appraised(evidence, basis, appraise)?;
    let binding = launch.binding(evidence.claims.task)?;
    Ok(Hardware { binding, roots: basis.roots.standing_for(evidence.kind), launch })
}

/// The same, for those who have an evidence by itself.
pub(super) fn judge(evidence: &Evidence, basis: &Basis<'_>) -> Result<Hardware, EvidenceRejection> {
    let known = Known::default();
    bound(evidence, basis, &|evidence, basis| {
        vendors::appraise(evidence.kind, &evidence.quote, basis, &known)
    })
}

/// What the vendor's verifier says, held to what every kind must keep, whatever the verifier has looked at already.
fn appraised(
    evidence: &Evidence,
    basis: &Basis<'_>,
    appraise: Appraise<'_>,
) -> Result<Launch, EvidenceRejection> {
    let launch = in_force(evidence.kind, appraise(evidence, basis)?, basis.at)?;
    if launch.report_data == evidence.claims.report_data() {
        Ok(launch)
    } else {
        Err(EvidenceRejection::ReportData)
    }
}

/// Checks that a launch is of this kind, and that what endorses it was in force and revokes nothing.
pub(super) fn in_force(
    kind: EvidenceKind,
    launch: Launch,
    at: UnixTime,
) -> Result<Launch, EvidenceRejection> {
    if launch.kind != kind {
        return Err(reject(Fault::WrongPart, format!("the quote is of kind {}", launch.kind)));
    }
    if launch.tcb.status == TcbStatus::Revoked {
        return Err(reject(Fault::TcbRevoked, "the platform's security level is revoked".into()));
    }
    match launch.endorsed {
        Some(window) if at < window.from => {
            Err(reject(Fault::NotYetValid, format!("its endorsements are in force from {}", window.from.0)))
        }
        Some(window) if at > window.until => {
            Err(reject(Fault::Expired, format!("its endorsements were in force until {}", window.until.0)))
        }
        _ => Ok(launch),
    }
}

fn reject(fault: Fault, message: String) -> EvidenceRejection {
    VendorRejection { fault, message }.into()
}

impl Hardware {
    /// The grade, and what it rests on; what a policy says of it is not looked at.
    fn assess(&self) -> Assessment {
        let Launch { kind, tcb, platform, traits, endorsed, .. } = &self.launch;
        let by_status = if tcb.status.is_superseded() { Grade::HardwareTcbOutdated } else { Grade::Hardware };
        let (grade, root) = match self.roots {
            RootStanding::Vendor => (by_status, None),
            RootStanding::Development => (Grade::Simulated, Some(Reason::DevelopmentRoot(*kind))),
        };
        let advisories = (!tcb.advisories.is_empty()).then(|| Reason::Advisories(tcb.advisories.clone()));
        let traits = (!traits.is_empty()).then(|| Reason::PlatformTraits(traits.clone()));
        let reasons = [
            root,
            Some(Reason::Tcb { status: tcb.status, level: tcb.level.clone() }),
            advisories,
            Some(platform.clone().map_or(Reason::NoPlatform, Reason::Platform)),
            traits,
            Some(match self.binding {
                LaunchBinding::Task => Reason::LaunchBound,
                LaunchBinding::Unbound => Reason::LaunchUnbound,
            }),
            endorsed.map(Reason::Endorsed),
        ];
        Assessment { grade, reasons: reasons.into_iter().flatten().collect() }
    }
}

/// A second look, with what the auditor knows today.
struct Today<'a> {
    fresh: &'a Fresh,
    evidence: &'a Evidence,
    /// What held when it ran.
    hardware: &'a Hardware,
    /// By what it held then.
    basis: Basis<'a>,
    now: UnixTime,
}

impl Today<'_> {
    /// `None` if nothing that the auditor has tells.
    ///
    /// What fails today is no contradiction in the proof, so it makes no rejection: then nothing vouches for the run today.
    fn assess(&self, appraise: Appraise<'_>) -> Option<Assessment> {
        let renewed = self.renewed(appraise);
        let denied = self.denied();
        if denied.is_empty() {
            return renewed;
        }
        let reasons = renewed.map_or_else(Vec::new, |assessment| assessment.reasons);
        Some(Assessment { grade: Grade::Asserted, reasons: denied.into_iter().chain(reasons).collect() })
    }

    /// The grade by fresh endorsements. Certificates of keys stay what they were, so the archived ones serve; what vendors
    /// revise has to be fresh.
    fn renewed(&self, appraise: Appraise<'_>) -> Option<Assessment> {
        let kind = self.evidence.kind;
        let fresh = || self.fresh.endorsements.iter().filter(|one| one.endorses(kind));
        // A Nitro document needs no endorsement but what it carries.
        if fresh().next().is_none() && kind != EvidenceKind::Nitro {
            return None;
        }
        let lasting =
            self.basis.endorsements.iter().filter(|archived| {
                is_certificate(archived) && !fresh().any(|fresh| fresh.kind == archived.kind)
            });
        let endorsements: Vec<Endorsement> = fresh().chain(lasting).cloned().collect();
        let basis = Basis { endorsements: &endorsements, at: self.now, ..self.basis };
        match appraised(self.evidence, &basis, appraise) {
            Ok(launch) => Some(Hardware { launch, ..self.hardware.clone() }.assess()),
            Err(error) if error.as_unknown().is_some() => None,
            Err(error) => {
                let reasons = vec![Reason::NotToday { name: error.name(), message: error.to_string() }];
                Some(Assessment { grade: Grade::Asserted, reasons })
            }
        }
    }

    fn denied(&self) -> Vec<Reason> {
        let launch = &self.hardware.launch;
        let advisories = launch.tcb.advisories.intersection(&self.fresh.denied_advisories);
        let advisories = advisories.map(|advisory| Reason::AdvisoryDenied(advisory.clone()));
        self.denied_platform().into_iter().chain(advisories).collect()
    }

    fn denied_platform(&self) -> Option<Reason> {
        denied_platform(&self.hardware.launch, &self.fresh.denied_platforms).map(|id| match id {
            Some(id) => Reason::PlatformDenied(id),
            None => Reason::PlatformUnknown,
        })
    }
}

/// The denied platform that a launch is on; `Some(None)` if it hides which it is, and one of its vendor's is denied.
pub(crate) fn denied_platform<'a>(
    launch: &Launch,
    denied: impl IntoIterator<Item = &'a PlatformId>,
) -> Option<Option<PlatformId>> {
    let name = PlatformId::name_for(launch.kind);
    let mut of_vendor = denied.into_iter().filter(|id| Some(id.name) == name);
    match &launch.platform {
        Some(platform) => of_vendor.any(|id| id == platform).then(|| Some(platform.clone())),
        None => of_vendor.next().map(|_| None),
    }
}

fn is_certificate(endorsement: &Endorsement) -> bool {
    matches!(
        EndorsementKind::of(endorsement.kind),
        Some(EndorsementKind::SnpKey | EndorsementKind::SnpIssuer)
    )
}

/// Whether a launch has a trait; for the policy.
pub(crate) fn has(launch: &Launch, name: PlatformTrait) -> bool {
    launch.traits.contains(&name)
}

#[cfg(test)]
mod tests;
