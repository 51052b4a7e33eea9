//! Revocation lists of a chain's authorities.

use super::super::launch::Window;
use super::certificate::signed;
use super::chain::Chain;
use super::ecdsa::Held;
use super::rejection::{CrlFault, NitroRejection};
use pox_core::UnixTime;
use pox_core::receipt::Endorsement;
use x509_cert::crl::TbsCertList;
use x509_cert::der::Decode;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::crl::dp::IssuingDistributionPoint;

/// Checks that no certificate of the chain is on a list of its issuer's; returns when all the lists hold that were used.
///
/// What is revoked is revoked, whatever date the list gives for it: these certificates live days, and a key that had to be
/// revoked in that time may have been another's before anybody noticed.
pub(super) fn check(
    chain: &Chain,
    endorsements: &[Endorsement],
    held: &Held,
) -> Result<Option<Window>, NitroRejection> {
    if let Some(other) = endorsements.iter().find(|endorsement| endorsement.kind != NITRO_CRL) {
        return Err(NitroRejection::Endorsement(other.kind));
    }
    if endorsements.len() > MAX_CRLS {
        return Err(NitroRejection::TooManyCrls { actual: endorsements.len(), most: MAX_CRLS });
    }
    let mut common: Option<Window> = None;
    for endorsement in endorsements {
        let Some((position, window)) = check_one(chain, &endorsement.content, held)? else { continue };
        let both = common.map_or(Some(window), |common| common.and(window));
        common = Some(both.ok_or(NitroRejection::Crl { position, fault: CrlFault::Disjoint })?);
    }
    Ok(common)
}

/// Checks the chain against one list; `None` if no authority of the chain issued it.
fn check_one(chain: &Chain, der: &[u8], held: &Held) -> Result<Option<(usize, Window)>, NitroRejection> {
    let (content, algorithm, signed) = signed(der).map_err(|_| NitroRejection::MalformedCrl)?;
    let list = TbsCertList::from_der(content).map_err(|_| NitroRejection::MalformedCrl)?;
    if list.signature != algorithm {
        return Err(NitroRejection::MalformedCrl);
    }
    let issuers = chain.authorities().iter().enumerate();
    let Some((position, issuer)) = issuers.rev().find(|(_, issuer)| issuer.subject == list.issuer) else {
        return Ok(None);
    };
    let at = |fault| NitroRejection::Crl { position, fault };
    if !issuer.signs_crls() {
        return Err(at(CrlFault::NotIssuer));
    }
    if !signed.is_by(&issuer.key, held) {
        return Err(at(CrlFault::Signature));
    }
    let window = window(&list).map_err(at)?;
    check_complete(&list).map_err(at)?;
    let revoked = list.revoked_certificates.unwrap_or_default();
    for (by, certificate) in chain.links() {
        if by == position && revoked.iter().any(|entry| entry.serial_number == certificate.serial) {
            return Err(NitroRejection::Revoked(by + 1));
        }
    }
    Ok(Some((position, window)))
}

fn window(list: &TbsCertList) -> Result<Window, CrlFault> {
    let until = list.next_update.ok_or(CrlFault::Window)?;
    let window = Window {
        from: UnixTime(list.this_update.to_unix_duration().as_secs()),
        until: UnixTime(until.to_unix_duration().as_secs()),
    };
    if window.from <= window.until { Ok(window) } else { Err(CrlFault::Window) }
}

/// Refuses lists that leave certificates out: deltas, those for some reasons or some kinds of certificate, and whatever else
/// a critical extension may say. The name of the place where the list is kept is no restriction here.
fn check_complete(list: &TbsCertList) -> Result<(), CrlFault> {
    let of_list = list.crl_extensions.iter().flatten();
    let of_entries = list.revoked_certificates.iter().flatten();
    let of_entries = of_entries.flat_map(|entry| entry.crl_entry_extensions.iter().flatten());
    for extension in of_list.chain(of_entries).filter(|extension| extension.critical) {
        if !is_for_all(extension) {
            return Err(CrlFault::Partial);
        }
    }
    Ok(())
}

fn is_for_all(extension: &Extension) -> bool {
    let point = IssuingDistributionPoint::from_der(extension.extn_value.as_bytes());
    extension.extn_id == ISSUING_DISTRIBUTION_POINT
        && point.is_ok_and(|point| {
            !(point.only_contains_user_certs
                || point.only_contains_ca_certs
                || point.only_contains_attribute_certs
                || point.indirect_crl
                || point.only_some_reasons.is_some())
        })
}

/// The code of a Nitro revocation list among endorsements (spec §8.5).
const NITRO_CRL: u16 = 5;
/// Two evidences with chains of their own have three authorities each that issue lists.
const MAX_CRLS: usize = 16;
/// RFC 5280 §5.2.5; the crate's constant for it is that of another extension.
const ISSUING_DISTRIBUTION_POINT: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.28");
