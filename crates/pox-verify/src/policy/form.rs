//! A policy as JSON: the one canonical form, and what a person writes.

use super::{Measurement, Policy, SnpMinimums};
use crate::evidence::launch::{PlatformId, TcbStatus};
use core::str::FromStr;
use pox_core::evidence::EvidenceKind;
use pox_core::proof::MAX_POLICY_BYTES;
use std::collections::BTreeSet;

/// Most measurements in one policy: years of releases, and little enough for a policy's bound.
pub const MAX_MEASUREMENTS: usize = 256;
/// Most releases, and most platforms in each of a policy's lists.
const MAX_NAMES: usize = 64;
/// Most advisories in each of a policy's lists: Intel has published some hundred for its TEEs.
const MAX_ADVISORIES: usize = 256;
/// Most characters of a release's or an advisory's name.
const MAX_NAME_CHARS: usize = 64;
/// The policy format that this version reads and writes.
const VERSION: u32 = 1;

/// Bytes or settings are no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadPolicy {
    /// More bytes than any policy has.
    #[error("the policy has {0} bytes, at most {MAX_POLICY_BYTES} are allowed")]
    TooLarge(usize),
    /// Not JSON, a key that this version does not know, or a value of another type.
    #[error("the policy is not one of this version: {0}")]
    Json(String),
    /// Another version.
    #[error("the policy has version {0}, and this program reads version {VERSION}")]
    Version(u32),
    /// It would accept nothing.
    #[error("the policy names no kind of evidence")]
    NoKinds,
    /// It would accept no hardware.
    #[error("the policy accepts no TCB status")]
    NoTcb,
    /// It would believe revoked keys.
    #[error("no policy can accept platforms whose TCB is revoked")]
    RevokedTcb,
    /// More measurements than the bound.
    #[error("the policy names {0} measurements, at most {MAX_MEASUREMENTS} are allowed")]
    Measurements(usize),
    /// More entries in another list than its bound.
    #[error("the policy has {count} {key}, at most {most} are allowed")]
    TooMany {
        /// The list's key.
        key: &'static str,
        /// Entries.
        count: usize,
        /// The bound.
        most: usize,
    },
    /// The same policy has another, canonical form.
    #[error("the policy is not in canonical form")]
    NotCanonical,
}

/// The canonical form: the version, then the policy's fields in their order.
#[derive(serde::Serialize)]
struct Canonical<'a> {
    version: u32,
    #[serde(flatten)]
    policy: &'a Policy,
}

/// What a person writes: any order, any white space, keys left out.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    version: u32,
    kinds: Option<Vec<EvidenceKind>>,
    #[serde(default)]
    measurements: Vec<String>,
    #[serde(default)]
    releases: Vec<String>,
    tcb: Option<Vec<TcbStatus>>,
    #[serde(default)]
    allowed_advisories: Option<Vec<String>>,
    #[serde(default)]
    denied_advisories: Vec<String>,
    #[serde(default)]
    minimum_tcb_evaluation: u32,
    #[serde(default)]
    minimum_snp_tcb: SnpMinimums,
    #[serde(default)]
    platforms: Vec<String>,
    #[serde(default)]
    denied_platforms: Vec<String>,
    #[serde(default)]
    allow_milan: bool,
    #[serde(default)]
    allow_unchecked_revocation: bool,
    #[serde(default)]
    require_launch_binding: bool,
    #[serde(default)]
    allow_simulated: bool,
}

impl Policy {
    /// Reads what a person wrote: `version`, and any of the other keys, which default to those of [`Policy::default`].
    ///
    /// # Errors
    /// Not JSON of this form; unknown keys are refused, because they would be promises that nobody keeps.
    pub fn from_written(json: &[u8]) -> Result<Self, BadPolicy> {
        if json.len() > MAX_POLICY_BYTES {
            return Err(BadPolicy::TooLarge(json.len()));
        }
        let written: Written =
            serde_json::from_slice(json).map_err(|error| BadPolicy::Json(error.to_string()))?;
        if written.version != VERSION {
            return Err(BadPolicy::Version(written.version));
        }
        written.policy()?.checked()
    }

    /// Parses the canonical form, and nothing else.
    ///
    /// # Errors
    /// No policy, or another form of one.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadPolicy> {
        let policy = Self::from_written(bytes)?;
        if policy.canonical_bytes() == bytes { Ok(policy) } else { Err(BadPolicy::NotCanonical) }
    }

    /// The canonical form, whose hash a request commits to.
    pub fn canonical_bytes(&self) -> Vec<u8> {
        let canonical = Canonical { version: VERSION, policy: self };
        serde_json::to_vec(&canonical).expect("names, numbers and hexadecimal digits always serialise")
    }

    /// The policy, if it is within its bounds.
    pub(super) fn checked(self) -> Result<Self, BadPolicy> {
        if self.kinds.is_empty() {
            return Err(BadPolicy::NoKinds);
        }
        if self.tcb.is_empty() {
            return Err(BadPolicy::NoTcb);
        }
        if self.tcb.contains(&TcbStatus::Revoked) {
            return Err(BadPolicy::RevokedTcb);
        }
        if self.measurements.len() > MAX_MEASUREMENTS {
            return Err(BadPolicy::Measurements(self.measurements.len()));
        }
        let allowed = self.allowed_advisories.as_ref().map_or(0, BTreeSet::len);
        let lists = [
            ("releases", self.releases.len(), MAX_NAMES),
            ("allowed_advisories", allowed, MAX_ADVISORIES),
            ("denied_advisories", self.denied_advisories.len(), MAX_ADVISORIES),
            ("platforms", self.platforms.len(), MAX_NAMES),
            ("denied_platforms", self.denied_platforms.len(), MAX_NAMES),
        ];
        if let Some((key, count, most)) = lists.into_iter().find(|(_, count, most)| count > most) {
            return Err(BadPolicy::TooMany { key, count, most });
        }
        match self.canonical_bytes().len() {
            length if length > MAX_POLICY_BYTES => Err(BadPolicy::TooLarge(length)),
            _ => Ok(self),
        }
    }
}

impl Written {
    fn policy(self) -> Result<Policy, BadPolicy> {
        let default = Policy::default();
        let allowed = self.allowed_advisories;
        Ok(Policy {
            kinds: self.kinds.map_or(default.kinds, |kinds| kinds.into_iter().collect()),
            measurements: parsed::<Measurement>("measurements", &self.measurements)?,
            releases: named("releases", self.releases, |_| true)?,
            tcb: self.tcb.map_or(default.tcb, |statuses| statuses.into_iter().collect()),
            allowed_advisories: allowed
                .map(|names| named("allowed_advisories", names, in_advisory))
                .transpose()?,
            denied_advisories: named("denied_advisories", self.denied_advisories, in_advisory)?,
            minimum_tcb_evaluation: self.minimum_tcb_evaluation,
            minimum_snp_tcb: self.minimum_snp_tcb,
            platforms: parsed::<PlatformId>("platforms", &self.platforms)?,
            denied_platforms: parsed::<PlatformId>("denied_platforms", &self.denied_platforms)?,
            allow_milan: self.allow_milan,
            allow_unchecked_revocation: self.allow_unchecked_revocation,
            require_launch_binding: self.require_launch_binding,
            allow_simulated: self.allow_simulated,
        })
    }
}

fn parsed<T: FromStr<Err: core::fmt::Display> + Ord>(
    key: &'static str,
    texts: &[String],
) -> Result<BTreeSet<T>, BadPolicy> {
    let items = texts.iter().map(|text| text.parse());
    items.collect::<Result<_, _>>().map_err(|error| BadPolicy::Json(format!("{key}: {error}")))
}

fn named(
    key: &'static str,
    names: Vec<String>,
    allowed: fn(char) -> bool,
) -> Result<BTreeSet<String>, BadPolicy> {
    match names.iter().find(|name| !is_name(name, allowed)) {
        Some(_) => Err(BadPolicy::Json(format!("{key}: one of them is no name"))),
        None => Ok(names.into_iter().collect()),
    }
}

fn is_name(name: &str, allowed: fn(char) -> bool) -> bool {
    let count = name.chars().count();
    (1..=MAX_NAME_CHARS).contains(&count) && !name.chars().any(|c| c.is_control() || !allowed(c))
}

/// Whether a text can be a vendor's name of a flaw.
pub(crate) fn is_advisory(name: &str) -> bool {
    is_name(name, in_advisory)
}

/// What vendors' names of flaws are made of; a name in another case would never be found.
fn in_advisory(c: char) -> bool {
    matches!(c, 'A'..='Z' | '0'..='9' | '-')
}
