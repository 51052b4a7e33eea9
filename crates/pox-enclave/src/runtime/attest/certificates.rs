//! The certificate table that an SNP host gives beside a report (GHCB specification 2.03, §4.1.8.1).

use pox_core::endorsement::{Endorsement, EndorsementKind};

/// Takes the certificates and revocation lists that evidence can carry out of a host's table, in its order.
///
/// It reads what a hostile host wrote: an entry that points outside the table, or to something that can't be DER, is left out.
/// Nothing is checked but the form. AMD's root is left out too: verifiers have it pinned.
pub fn certificates(table: &[u8]) -> Vec<Endorsement> {
    table
        .chunks_exact(ENTRY_BYTES)
        .take(MAX_ENTRIES)
        .map_while(|entry| content(table, entry))
        .flatten()
        .collect()
}

/// What an entry points to: `None` at the end of the table, nothing inside where it is of no use.
fn content(table: &[u8], entry: &[u8]) -> Option<Option<Endorsement>> {
    let (guid, place) = entry.split_at(16);
    let number = |bytes: &[u8]| bytes.try_into().map(u32::from_le_bytes).ok().map(|n| n as usize);
    let (offset, length) = (number(&place[..4])?, number(&place[4..])?);
    if guid.iter().all(|byte| *byte == 0) {
        return None;
    }
    let kind = KINDS.iter().find(|(known, _)| known.as_slice() == guid).map(|(_, kind)| *kind);
    let content = offset.checked_add(length).and_then(|end| table.get(offset..end));
    let der = content.filter(|content| content.first() == Some(&DER_SEQUENCE));
    Some(kind.zip(der).map(|(kind, der)| Endorsement::new(kind, der.to_vec())))
}

/// A GUID, an offset and a length.
const ENTRY_BYTES: usize = 24;
/// Five kinds of entry are defined.
const MAX_ENTRIES: usize = 16;
/// What certificates and revocation lists begin with.
const DER_SEQUENCE: u8 = 0x30;

/// GUIDs in the order of their text's digits: VCEK, VLEK, ASK (or ASVK), CRL.
const KINDS: [([u8; 16], EndorsementKind); 4] = [
    (0x63da_758d_e664_4564_adc5_f4b9_3be8_accd_u128.to_be_bytes(), EndorsementKind::SnpKey),
    (0xa807_4bc2_a25a_483e_aae6_39c0_45a0_b8a1_u128.to_be_bytes(), EndorsementKind::SnpKey),
    (0x4ab7_b379_bbac_4fe4_a02f_05ae_f327_c782_u128.to_be_bytes(), EndorsementKind::SnpIssuer),
    (0x92f8_1bc3_5811_4d3d_97ff_d19f_88dc_67ea_u128.to_be_bytes(), EndorsementKind::SnpCrl),
];
