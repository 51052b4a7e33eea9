//! What is stated (`TSTInfo`, RFC 3161 §2.4.2).

use super::rejection::{Link, TsaRejection, malformed};
use super::signed::{Der, SHA256, object};
use pox_core::UnixTime;
use x509_cert::der::Tag;
use x509_cert::der::asn1::ObjectIdentifier;

/// An authority's statement, taken apart; nothing in it is believed before its signature holds.
pub(super) struct Statement<'a> {
    /// SHA-256 of what existed.
    pub(super) imprint: [u8; 32],
    /// When, in whole seconds, rounded down.
    pub(super) stated: UnixTime,
    /// The policy that the authority followed.
    pub(super) policy: ObjectIdentifier,
    /// The statement's number.
    pub(super) serial: &'a [u8],
    /// What the query had.
    pub(super) nonce: Option<&'a [u8]>,
    /// Whether the time has a fraction of a second, or an accuracy of one.
    slack: u64,
}

impl<'a> Statement<'a> {
    /// Takes a statement apart.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, TsaRejection> {
        let mut fields = Der::sequence(bytes, Link::Statement)?;
        if fields.next(Tag::Integer)? != [1] {
            return Err(malformed(Link::Statement, "its version is not 1"));
        }
        let policy = object(fields.next(Tag::ObjectIdentifier)?, Link::Statement)?;
        let mut imprint = fields.inner(Tag::Sequence)?;
        let mut algorithm = imprint.inner(Tag::Sequence)?;
        let hash = object(algorithm.next(Tag::ObjectIdentifier)?, Link::Statement)?;
        if hash != SHA256 {
            return Err(TsaRejection::Algorithm { oid: hash.to_string() });
        }
        let imprinted = imprint.next(Tag::OctetString)?.try_into();
        let imprinted = imprinted.map_err(|_| malformed(Link::Statement, "its hash has not 32 bytes"))?;
        imprint.end()?;
        let serial = fields.next(Tag::Integer)?;
        let (stated, has_fraction) = general_time(fields.next(Tag::GeneralizedTime)?)
            .ok_or_else(|| malformed(Link::Statement, "its time is none"))?;
        let accuracy = match fields.maybe(Tag::Sequence)? {
            Some(accuracy) => accuracy_seconds(accuracy)?,
            None => 0,
        };
        if fields.maybe(Tag::Boolean)?.is_some_and(|ordering| ordering != [0xff]) {
            return Err(malformed(Link::Statement, "its order is no boolean in DER"));
        }
        let nonce = fields.maybe(Tag::Integer)?;
        fields.maybe_context(0)?;
        if fields.maybe_context(1)?.is_some() {
            // None is registered; one that matters can't be left unread.
            return Err(malformed(Link::Statement, "it has extensions"));
        }
        fields.end()?;
        let slack = accuracy + u64::from(has_fraction);
        Ok(Self { imprint: imprinted, stated, policy, serial, nonce, slack })
    }

    /// The file existed not after this time: what is stated, and as much later as the authority may be wrong.
    pub(super) fn not_after(&self) -> UnixTime {
        UnixTime(self.stated.0.saturating_add(self.slack))
    }
}

/// Seconds, rounded up: `SEQUENCE { seconds INTEGER OPTIONAL, millis [0] OPTIONAL, micros [1] OPTIONAL }`.
fn accuracy_seconds(bytes: &[u8]) -> Result<u64, TsaRejection> {
    let mut fields = Der::content(bytes, Link::Statement);
    let seconds = match fields.maybe(Tag::Integer)? {
        Some([]) => return Err(malformed(Link::Statement, "its accuracy is no number")),
        Some(number) if number.len() <= 4 && number[0] < 0x80 => {
            number.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
        }
        Some(_) => return Err(malformed(Link::Statement, "its accuracy is out of all bounds")),
        None => 0,
    };
    let fractions = [fields.maybe_context(0)?.is_some(), fields.maybe_context(1)?.is_some()];
    fields.end()?;
    Ok(seconds + u64::from(fractions.contains(&true)))
}

/// `YYYYMMDDhhmmss[.f…]Z` (RFC 3161 §2.4.2), and whether it is up to a second later.
fn general_time(bytes: &[u8]) -> Option<(UnixTime, bool)> {
    let text = bytes.strip_suffix(b"Z")?;
    let (whole, fraction) = text.split_at_checked(14)?;
    let digits = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
    let has_fraction = match fraction {
        [] => false,
        // DER writes no zero at its end.
        [b'.', digits_of @ ..] => {
            if digits_of.is_empty() || !digits(digits_of) || digits_of.last() == Some(&b'0') {
                return None;
            }
            true
        }
        _ => return None,
    };
    if !digits(whole) {
        return None;
    }
    let number = |from: usize, to: usize| {
        whole[from..to].iter().fold(0u64, |sum, digit| sum * 10 + u64::from(digit - b'0'))
    };
    let date = x509_cert::der::DateTime::new(
        number(0, 4) as u16,
        number(4, 6) as u8,
        number(6, 8) as u8,
        number(8, 10) as u8,
        number(10, 12) as u8,
        // A leap second counts as the one before it, and up to a second later.
        number(12, 14).min(59) as u8,
    );
    if number(12, 14) > 60 {
        return None;
    }
    let is_later = has_fraction || number(12, 14) == 60;
    Some((UnixTime(date.ok()?.unix_duration().as_secs()), is_later))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_one_form() {
        assert_eq!(general_time(b"20231114221320Z"), Some((UnixTime(1_700_000_000), false)));
        assert_eq!(general_time(b"20231114221320.25Z"), Some((UnixTime(1_700_000_000), true)));
        assert_eq!(general_time(b"20161231235960Z"), Some((UnixTime(1_483_228_799), true)));
        for bad in [
            "",
            "Z",
            "20231114221320",
            "20231114221320.Z",
            "20231114221320.0Z",
            "20231314221320Z",
            "2023111422132aZ",
            "20231114221320+0100",
            "20231114221361Z",
        ] {
            assert_eq!(general_time(bad.as_bytes()), None, "{bad}");
        }
    }
}
