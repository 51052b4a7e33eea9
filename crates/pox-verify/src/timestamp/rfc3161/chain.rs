//! From the signer to a certificate that the auditor trusts.

use super::certificate::Certificate;
use super::rejection::{Link, TsaRejection, UnixTimeText, malformed};
use pox_core::UnixTime;

/// Most certificates between the signer and the root, both left out.
const MAX_BETWEEN: usize = 6;
/// Most signatures that are checked for one chain: cross-signed authorities lead many ways.
const MAX_CHECKS: usize = 64;
/// Most trusted certificates.
const MAX_ROOTS: usize = 256;

/// Certificates that an auditor trusts to vouch for authorities.
#[derive(Debug, Clone)]
pub struct Roots(Vec<Vec<u8>>);

/// A way from the signer to a root.
pub(super) struct Trusted {
    /// The root's name.
    pub(super) root: String,
    /// The last second in which the whole chain is in force.
    pub(super) until: UnixTime,
}

impl Roots {
    /// Takes certificates, DER.
    ///
    /// # Errors
    /// One of them is none, or there are too many.
    pub fn parse(certificates: Vec<Vec<u8>>) -> Result<Self, TsaRejection> {
        if certificates.len() > MAX_ROOTS {
            return Err(malformed(Link::Certificate, "there are too many roots"));
        }
        for certificate in &certificates {
            Certificate::parse(certificate)?;
        }
        Ok(Self(certificates))
    }
}

/// Finds a way from the signer to a root over the certificates at hand, all of it in force at these times.
pub(super) fn check(
    signer: &Certificate<'_>,
    at_hand: &[Certificate<'_>],
    roots: &Roots,
    times: &[UnixTime],
) -> Result<Trusted, TsaRejection> {
    let roots = roots.0.iter().map(|der| Certificate::parse(der)).collect::<Result<Vec<_>, _>>()?;
    let mut search = Search { at_hand, roots: &roots, times, left: MAX_CHECKS, late: None };
    let found = in_force(signer, times).and_then(|until| search.up(signer, 0, until).ok_or(None));
    found.map_err(|late| match late.or(search.late) {
        Some(at) => TsaRejection::NotInForce { at: UnixTimeText(at) },
        None => TsaRejection::Untrusted,
    })
}

struct Search<'a> {
    at_hand: &'a [Certificate<'a>],
    roots: &'a [Certificate<'a>],
    times: &'a [UnixTime],
    left: usize,
    /// A way that was there, but not in force.
    late: Option<UnixTime>,
}

impl Search<'_> {
    /// A way up from a certificate that is `depth` above the signer.
    fn up(&mut self, from: &Certificate<'_>, depth: usize, until: UnixTime) -> Option<Trusted> {
        let (roots, at_hand) = (self.roots, self.at_hand);
        for (issuer, is_root) in
            roots.iter().map(|root| (root, true)).chain(at_hand.iter().map(|other| (other, false)))
        {
            if !issuer.may_issue(depth) || issuer.subject_der != from.issuer_der || self.left == 0 {
                continue;
            }
            self.left -= 1;
            if !issuer.issued(from) {
                continue;
            }
            let until = match in_force(issuer, self.times) {
                Ok(last) => until.min(last),
                Err(at) => {
                    self.late = self.late.or(at);
                    continue;
                }
            };
            if is_root {
                return Some(Trusted { root: issuer.subject(), until });
            }
            if depth < MAX_BETWEEN
                && issuer.der != from.der
                && let Some(found) = self.up(issuer, depth + 1, until)
            {
                return Some(found);
            }
        }
        None
    }
}

/// The last second of a certificate that is in force at all of these times, or the first time at which it is not.
fn in_force(certificate: &Certificate<'_>, times: &[UnixTime]) -> Result<UnixTime, Option<UnixTime>> {
    let (from, until) = certificate.window();
    match times.iter().find(|time| **time < from || **time > until) {
        Some(at) => Err(Some(*at)),
        None => Ok(until),
    }
}
