//! What vouches for a quote besides itself, fetched from the vendors' public services (spec §8.5).
//!
//! Nothing here verifies anything: whoever answers, each part is signed up to a pinned root, and the judge checks it. A service
//! that lies can withhold, and no more. What is asked for names the machine (Intel: its family and firmware; AMD: the chip), so
//! a cache of one's own tells nobody.

mod amd;
mod http;
mod intel;

use crate::endorser::Endorser;
use http::Client;
use pox_core::endorsement::{Endorsement, EndorsementKind};
use pox_core::evidence::EvidenceKind;
use std::time::Duration;

/// Where endorsements are fetched, and with how much patience.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sources {
    /// Intel's Provisioning Certification Service, version 4, or a cache that answers like it (PCCS): what stands before
    /// `/sgx/certification/v4`.
    pub intel: String,
    /// Revocation list of Intel's root: DER, or hexadecimal text as caches have it.
    pub intel_root_crl: String,
    /// AMD's Key Distribution Service, or a cache that answers like it: what stands before `/vcek/v1`.
    pub amd: String,
    /// Revocation lists of Nitro's authorities; AWS's documents are complete without.
    pub nitro_crls: Vec<String>,
    /// How long one request may take, from the name's resolution to the last byte.
    pub timeout: Duration,
    /// How often a request is made that fails for a reason that may pass; at least once.
    pub rounds: u32,
    /// How long to wait before the second one; twice as long before each after it, and as long as the service asks for.
    pub first_pause: Duration,
}

impl Default for Sources {
    fn default() -> Self {
        Self {
            intel: "https://api.trustedservices.intel.com".to_owned(),
            intel_root_crl: "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der".to_owned(),
            amd: "https://kdsintf.amd.com".to_owned(),
            nitro_crls: Vec::new(),
            timeout: Duration::from_secs(20),
            rounds: 4,
            first_pause: Duration::from_secs(1),
        }
    }
}

impl Sources {
    /// With a cache of Intel's service (PCCS), which has the root's revocation list too.
    pub fn with_intel_cache(mut self, base: &str) -> Self {
        self.intel = base.trim_end_matches('/').to_owned();
        self.intel_root_crl = format!("{}/sgx/certification/v4/rootcacrl", self.intel);
        self
    }
}

/// Endorsements can't be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The quote's doing: it does not say what to ask for.
    #[error("the quote does not say what to ask for: {0}")]
    Quote(&'static str),
    /// The configuration's doing: this is no URL of HTTP or HTTPS.
    #[error("{0:?} is no URL of a service")]
    Url(String),
    /// The service gave no answer, or said that it can't now.
    #[error("{service} can't be reached: {reason}")]
    Unreachable {
        /// Who was asked.
        service: String,
        /// Why there is no answer.
        reason: String,
    },
    /// The service does not know the machine, or has no such thing.
    #[error("{service} has no {what} for it")]
    NotFound {
        /// Who was asked.
        service: String,
        /// What for.
        what: &'static str,
    },
    /// The service does not answer such requests.
    #[error("{service} refuses to give the {what}: HTTP status {status}")]
    Refused {
        /// Who was asked.
        service: String,
        /// What for.
        what: &'static str,
        /// What it said.
        status: u16,
    },
    /// The service answered with something else.
    #[error("{service} gave something else than a {what}: {reason}")]
    Malformed {
        /// Who was asked.
        service: String,
        /// What for.
        what: &'static str,
        /// What is wrong with the answer.
        reason: String,
    },
}

/// Fetches what an enclave's quotes need besides themselves, of those things that are not there already.
///
/// `held` is what came with the quotes, such as the certificates that a host gives its SNP guests; the answer has them too. What
/// several quotes need is fetched once. Says nothing about whether any of it holds, or whether a quote is genuine. Simulated
/// kinds need nothing.
///
/// # Errors
/// A quote does not say what to ask for, or a service does not give it.
///
/// # Sources
/// Intel, "Provisioning Certification Service API", version 4; AMD 57230, "VCEK Certificate and KDS Interface".
pub fn fetch(
    kind: EvidenceKind,
    quotes: &[Vec<u8>],
    held: &[Endorsement],
    sources: &Sources,
) -> Result<Vec<Endorsement>, FetchError> {
    let client = Client::new(sources);
    let mut all = held.to_vec();
    for quote in quotes {
        let fetched = match kind {
            EvidenceKind::Simulated | EvidenceKind::VmSim => Vec::new(),
            EvidenceKind::Sgx | EvidenceKind::Tdx => intel::fetch(&client, sources, kind, quote, held)?,
            EvidenceKind::Snp => amd::fetch(&client, sources, quote, held)?,
            EvidenceKind::Nitro => nitro(&client, sources)?,
        };
        for endorsement in fetched {
            if !all.contains(&endorsement) {
                all.push(endorsement);
            }
        }
    }
    Ok(all)
}

impl Endorser for Sources {
    fn endorse(&self, kind: EvidenceKind, quotes: &[Vec<u8>]) -> Result<Vec<Endorsement>, String> {
        fetch(kind, quotes, &[], self).map_err(|error| error.to_string())
    }
}

fn nitro(client: &Client, sources: &Sources) -> Result<Vec<Endorsement>, FetchError> {
    let lists = sources.nitro_crls.iter().map(|url| {
        let list = client.get(url, "revocation list", MAX_CRL_BYTES)?.der()?;
        Ok(Endorsement::new(EndorsementKind::NitroCrl, list))
    });
    lists.collect()
}

fn holds(held: &[Endorsement], kind: EndorsementKind) -> bool {
    held.iter().any(|endorsement| endorsement.kind == kind.code())
}

/// The first certificate of a PEM text, as DER.
fn first_certificate(pem: &[u8]) -> Option<Vec<u8>> {
    let block = pem::parse_many(pem).ok()?.into_iter().next()?;
    (block.tag() == "CERTIFICATE").then(|| block.into_contents())
}

/// Intel's list of platform certificates is the largest.
const MAX_CRL_BYTES: u64 = 96 * 1024;
