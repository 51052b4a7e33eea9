//! What vouches for evidence besides itself: certificates, collateral, revocation lists (spec §8.5).

use crate::evidence::EvidenceKind;
use minicbor::decode::Error;
use minicbor::{Decoder, Encoder};

/// Most endorsements of one archive: twice what the kind that needs most has, for two evidences.
pub const MAX_ENDORSEMENTS: usize = 8;
/// Most bytes of one endorsement: DCAP collateral has 7 to 25 kB, and its revocation lists grow.
pub const MAX_ENDORSEMENT_BYTES: usize = 128 * 1024;
/// Most bytes of all endorsements of one archive: what its other parts leave.
pub const MAX_ALL_ENDORSEMENT_BYTES: usize = 192 * 1024;

/// What an endorsement is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub enum EndorsementKind {
    /// Intel's statements on a platform: TCB info, QE identity, revocation lists (spec §8.7).
    DcapCollateral = 1,
    /// Certificate of the key that signs SNP reports: VCEK or VLEK, DER.
    SnpKey = 2,
    /// Certificate of what issued that: ASK or ASVK, DER.
    SnpIssuer = 3,
    /// Revocation list of an AMD root, DER.
    SnpCrl = 4,
    /// Revocation list of an issuer in a Nitro document's chain, DER.
    NitroCrl = 5,
}

/// One endorsement; nothing in it is believed before it was verified.
#[derive(Debug, Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Endorsement {
    /// What it is, by the codes of spec §8.5; a code that this version does not know endorses nothing.
    #[n(0)]
    pub kind: u16,
    /// Its bytes, in its vendor's format.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub content: Vec<u8>,
}

impl EndorsementKind {
    /// Every kind, in the order of its code.
    pub const ALL: [Self; 5] =
        [Self::DcapCollateral, Self::SnpKey, Self::SnpIssuer, Self::SnpCrl, Self::NitroCrl];

    /// The code in archives.
    pub fn code(self) -> u16 {
        self as u16
    }

    /// The kind with a code; `None` for one that this version does not know.
    pub fn of(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// Whether it has a meaning for evidence of that kind.
    pub fn endorses(self, evidence: EvidenceKind) -> bool {
        match evidence {
            EvidenceKind::Simulated | EvidenceKind::VmSim => false,
            EvidenceKind::Sgx | EvidenceKind::Tdx => self == Self::DcapCollateral,
            EvidenceKind::Snp => matches!(self, Self::SnpKey | Self::SnpIssuer | Self::SnpCrl),
            EvidenceKind::Nitro => self == Self::NitroCrl,
        }
    }
}

impl Endorsement {
    /// An endorsement of that kind.
    pub fn new(kind: EndorsementKind, content: Vec<u8>) -> Self {
        Self { kind: kind.code(), content }
    }

    /// Whether it has a meaning for evidence of that kind.
    pub fn endorses(&self, evidence: EvidenceKind) -> bool {
        EndorsementKind::of(self.kind).is_some_and(|kind| kind.endorses(evidence))
    }
}

/// Leaves out what has no meaning for that kind of evidence, what was there already, and what an archive has no room for.
///
/// So whoever hands endorsements to an enclave can withhold some, and can't make its archive one that nobody reads.
pub fn fitting(endorsements: Vec<Endorsement>, evidence: EvidenceKind) -> Vec<Endorsement> {
    let (mut kept, mut bytes) = (Vec::<Endorsement>::new(), 0);
    for endorsement in endorsements {
        let length = endorsement.content.len();
        let fits = kept.len() < MAX_ENDORSEMENTS
            && length <= MAX_ENDORSEMENT_BYTES
            && bytes + length <= MAX_ALL_ENDORSEMENT_BYTES;
        if fits && endorsement.endorses(evidence) && !kept.contains(&endorsement) {
            bytes += length;
            kept.push(endorsement);
        }
    }
    kept
}

/// Encodes endorsements; for `#[cbor(with = "...")]`.
pub(crate) fn encode<C, W: minicbor::encode::Write>(
    endorsements: &[Endorsement],
    e: &mut Encoder<W>,
    context: &mut C,
) -> Result<(), minicbor::encode::Error<W::Error>> {
    e.array(endorsements.len() as u64)?;
    for endorsement in endorsements {
        e.encode_with(endorsement, context)?;
    }
    e.ok()
}

/// Decodes endorsements within their bounds.
pub(crate) fn decode<C>(d: &mut Decoder<'_>, context: &mut C) -> Result<Vec<Endorsement>, Error> {
    let position = d.position();
    let bounds = |what: &str| Error::message(format!("{what} out of bounds")).at(position);
    let count = d.array()?.ok_or_else(|| Error::message("indefinite length").at(position))?;
    if count > MAX_ENDORSEMENTS as u64 {
        return Err(bounds("number of endorsements"));
    }
    let (mut endorsements, mut bytes) = (Vec::new(), 0);
    for _ in 0..count {
        let endorsement: Endorsement = d.decode_with(context)?;
        bytes += endorsement.content.len();
        if endorsement.content.len() > MAX_ENDORSEMENT_BYTES || bytes > MAX_ALL_ENDORSEMENT_BYTES {
            return Err(bounds("endorsements"));
        }
        endorsements.push(endorsement);
    }
    Ok(endorsements)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_keeps_what_fits_and_means_something() {
        let of = |kind, length| Endorsement::new(kind, vec![7; length]);
        let key = of(EndorsementKind::SnpKey, 100);
        let kept = fitting(
            vec![
                of(EndorsementKind::DcapCollateral, 10),
                Endorsement { kind: 9, content: vec![] },
                key.clone(),
                key.clone(),
                of(EndorsementKind::SnpCrl, MAX_ENDORSEMENT_BYTES + 1),
                of(EndorsementKind::SnpCrl, MAX_ENDORSEMENT_BYTES),
                of(EndorsementKind::SnpCrl, MAX_ENDORSEMENT_BYTES - 1),
                of(EndorsementKind::SnpIssuer, 200),
            ],
            EvidenceKind::Snp,
        );
        let lengths: Vec<usize> = kept.iter().map(|endorsement| endorsement.content.len()).collect();
        assert_eq!(lengths, [100, MAX_ENDORSEMENT_BYTES, 200]);
        let many = (0..20).map(|n| of(EndorsementKind::SnpCrl, n)).collect();
        assert_eq!(fitting(many, EvidenceKind::Snp).len(), MAX_ENDORSEMENTS);
    }

    #[test]
    fn what_is_over_a_bound_is_not_decoded() {
        let sized = |length| Endorsement::new(EndorsementKind::SnpCrl, vec![7; length]);
        let decoded = |endorsements: &[Endorsement]| {
            let mut bytes = Vec::new();
            encode(endorsements, &mut Encoder::new(&mut bytes), &mut ()).unwrap();
            decode(&mut Decoder::new(&bytes), &mut ()).ok()
        };
        let most =
            vec![sized(MAX_ENDORSEMENT_BYTES), sized(MAX_ALL_ENDORSEMENT_BYTES - MAX_ENDORSEMENT_BYTES)];
        assert_eq!(decoded(&most), Some(most.clone()));
        assert_eq!(decoded(&[most.as_slice(), &[sized(1)]].concat()), None);
        assert_eq!(decoded(&[sized(MAX_ENDORSEMENT_BYTES + 1)]), None);
        assert_eq!(decoded(&vec![sized(0); MAX_ENDORSEMENTS]).map(|all| all.len()), Some(MAX_ENDORSEMENTS));
        assert_eq!(decoded(&vec![sized(0); MAX_ENDORSEMENTS + 1]), None);
    }

    #[test]
    fn each_kind_endorses_one_vendor() {
        for kind in EndorsementKind::ALL {
            assert_eq!(EndorsementKind::of(kind.code()), Some(kind));
            let endorsed = EvidenceKind::ALL.into_iter().filter(|evidence| kind.endorses(*evidence)).count();
            assert_eq!(endorsed, if kind == EndorsementKind::DcapCollateral { 2 } else { 1 });
        }
        assert_eq!(EndorsementKind::of(0), None);
        assert_eq!(EndorsementKind::of(6), None);
    }
}
