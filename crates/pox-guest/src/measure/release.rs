//! The release manifest: the measurements of one build of the runtime or the guest, under a name, in one canonical form that can be
//! certified, and that verifiers load as known releases.

use super::expected::{Expected, FileDigests};
use alloy_primitives::B256;
use pox_core::evidence::EvidenceKind;
use pox_verify::anchors::Release;
use pox_verify::{MAX_MEASUREMENTS, Measurement};

/// Most bytes of a manifest: some hundred launches with texts as they are here.
pub const MAX_RELEASE_BYTES: usize = 256 << 10;
/// Most bytes of a release's name: what a policy can name.
pub const MAX_NAME_BYTES: usize = 64;
/// Most bytes of a shape's text.
pub const MAX_SHAPE_BYTES: usize = 256;
/// The manifest format that this version reads and writes.
const VERSION: u32 = 1;

/// One release. The order of the fields is the canonical one.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseManifest {
    version: u32,
    name: String,
    files: FileDigests,
    launches: Vec<ReleasedLaunch>,
}

/// One way of launching a release.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct ReleasedLaunch {
    kind: EvidenceKind,
    shape: String,
    firmware: Option<B256>,
    measurement: B256,
}

/// Bytes are no release manifest, or values give none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRelease {
    /// More bytes than any manifest has.
    #[error("the release manifest has {0} bytes, at most {MAX_RELEASE_BYTES} are allowed")]
    TooLarge(usize),
    /// Not JSON of this form.
    #[error("the release manifest is not one of this version: {0}")]
    Json(String),
    /// Another version.
    #[error("the release manifest has version {0}, and this program reads version {VERSION}")]
    Version(u32),
    /// A name or a shape that can't be shown on one line.
    #[error(
        "a text of the release manifest is empty, too long, or not printable ASCII: a name has at most {MAX_NAME_BYTES} bytes"
    )]
    Text,
    /// None, or more than a policy takes.
    #[error("the release manifest has {0} launches; 1 to {MAX_MEASUREMENTS} are allowed")]
    Launches(usize),
    /// The same manifest has another, canonical form.
    #[error("the release manifest is not in canonical form")]
    NotCanonical,
}

impl ReleaseManifest {
    /// A release of what was measured.
    ///
    /// # Errors
    /// No launch or too many, or a name that is none.
    pub fn new(name: &str, expected: &Expected) -> Result<Self, BadRelease> {
        let launches = expected.launches.iter().map(|launch| ReleasedLaunch {
            kind: launch.kind,
            shape: launch.shape.clone(),
            firmware: launch.firmware,
            measurement: launch.measurement.0,
        });
        let mut release = Self {
            version: VERSION,
            name: name.to_owned(),
            files: expected.files.clone(),
            launches: launches.collect(),
        };
        release.launches.sort_by_key(ReleasedLaunch::rank);
        release.launches.dedup_by_key(|launch| launch.rank());
        release.check()?;
        Ok(release)
    }

    /// Parses the canonical form, and nothing else.
    ///
    /// # Errors
    /// No manifest, or another form of one.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadRelease> {
        if bytes.len() > MAX_RELEASE_BYTES {
            return Err(BadRelease::TooLarge(bytes.len()));
        }
        let release: Self =
            serde_json::from_slice(bytes).map_err(|error| BadRelease::Json(error.to_string()))?;
        release.check()?;
        let ascending = release.launches.is_sorted_by(|one, other| one.rank() < other.rank());
        if ascending && release.canonical_bytes() == bytes {
            Ok(release)
        } else {
            Err(BadRelease::NotCanonical)
        }
    }

    /// The canonical form: JSON without white space, every key present and in order, launches ascending by kind and measurement.
    pub fn canonical_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and hexadecimal digits always serialise")
    }

    /// SHA-256 of the canonical form: what is certified.
    pub fn digest(&self) -> B256 {
        super::sha256(&self.canonical_bytes())
    }

    /// The release's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What a verifier knows by this manifest: every launch of it, under the release's name.
    ///
    /// Says nothing of whom to believe: the caller has reason to trust the manifest, or does not load it.
    pub fn releases(&self) -> impl Iterator<Item = Release> {
        self.launches
            .iter()
            .map(|launch| Release { name: self.name.clone(), measurement: Measurement(launch.measurement) })
    }

    fn check(&self) -> Result<(), BadRelease> {
        if self.version != VERSION {
            return Err(BadRelease::Version(self.version));
        }
        if self.launches.is_empty() || self.launches.len() > MAX_MEASUREMENTS {
            return Err(BadRelease::Launches(self.launches.len()));
        }
        let good = |text: &str, most| {
            (1..=most).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
        };
        let shapes_are_good = self.launches.iter().all(|launch| good(&launch.shape, MAX_SHAPE_BYTES));
        if shapes_are_good && good(&self.name, MAX_NAME_BYTES) { Ok(()) } else { Err(BadRelease::Text) }
    }
}

impl ReleasedLaunch {
    fn rank(&self) -> (u8, B256) {
        (self.kind as u8, self.measurement)
    }
}
