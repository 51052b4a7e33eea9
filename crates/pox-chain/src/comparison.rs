//! What the code at an address is, beside this version's.

use crate::artifact::Artifact;
use alloy_primitives::Address;

/// How deployed code differs from the contract of this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// Not at all: this is the contract.
    Same,
    /// There is no code: nothing was deployed there, or on another chain.
    NoCode,
    /// By compiler metadata behind it, which never runs. It does the same, and has another code hash.
    MetadataOnly {
        /// Bytes of metadata.
        bytes: usize,
    },
    /// It hands every call on to the code of another address (EIP-1167), which has to be compared itself.
    Proxy {
        /// Where to.
        target: Address,
    },
    /// It is something else.
    OtherCode {
        /// How long it is.
        bytes: usize,
        /// The first byte that differs, or where the shorter of the two ends.
        first_difference: usize,
    },
}

impl Artifact {
    /// Compares code with what this artifact deploys.
    pub fn compare(&self, code: &[u8]) -> Comparison {
        if code == &self.runtime[..] {
            return Comparison::Same;
        }
        if code.is_empty() {
            return Comparison::NoCode;
        }
        if code.strip_prefix(&self.runtime[..]).is_some_and(is_metadata) {
            return Comparison::MetadataOnly { bytes: code.len() - self.runtime.len() };
        }
        if let Some(target) = proxied(code) {
            return Comparison::Proxy { target };
        }
        let first_difference = code.iter().zip(&self.runtime[..]).take_while(|(a, b)| a == b).count();
        Comparison::OtherCode { bytes: code.len(), first_difference }
    }
}

/// Whether this is what the compiler puts behind code: an instruction that stops, a map in CBOR, and the map's length. The
/// stop and the exact length matter: behind them nothing can be reached by a jump, since no jump of the code leads there.
fn is_metadata(rest: &[u8]) -> bool {
    let [INVALID, map @ .., high, low] = rest else { return false };
    usize::from(u16::from_be_bytes([*high, *low])) == map.len() && matches!(map.first(), Some(0xa1..=0xa4))
}

/// Whom a minimal proxy of EIP-1167 stands for.
fn proxied(code: &[u8]) -> Option<Address> {
    let target = code.strip_prefix(PROXY_HEAD)?.strip_suffix(PROXY_TAIL)?;
    (target.len() == Address::len_bytes()).then(|| Address::from_slice(target))
}

/// The instruction that the compiler puts before metadata.
const INVALID: u8 = 0xfe;
const PROXY_HEAD: &[u8] = &[0x36, 0x3d, 0x3d, 0x37, 0x3d, 0x3d, 0x3d, 0x36, 0x3d, 0x73];
const PROXY_TAIL: &[u8] =
    &[0x5a, 0xf4, 0x3d, 0x82, 0x80, 0x3e, 0x90, 0x3d, 0x91, 0x60, 0x2b, 0x57, 0xfd, 0x5b, 0xf3];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::ARTIFACT;
    use alloy_primitives::hex;

    /// What the compiler appended when it was asked for a hash of the metadata, and when for its version only.
    const WITH_HASH: [u8; 54] = hex!(
        "fea2646970667358221220f95c220f6b6ad5fa6f986650b7898f0274a62c57dfd0150cc5dbf77a187f223064736f6c63430008250033"
    );
    const WITH_VERSION: [u8; 13] = hex!("fea164736f6c6343000825000a");

    fn followed_by(rest: &[u8]) -> Comparison {
        ARTIFACT.compare(&[&ARTIFACT.runtime[..], rest].concat())
    }

    #[test]
    fn the_contract_is_the_contract() {
        assert_eq!(ARTIFACT.compare(&ARTIFACT.runtime), Comparison::Same);
        assert_eq!(ARTIFACT.compare(&[]), Comparison::NoCode);
    }

    #[test]
    fn only_what_the_compiler_appends_is_metadata() {
        assert_eq!(followed_by(&WITH_HASH), Comparison::MetadataOnly { bytes: 54 });
        assert_eq!(followed_by(&WITH_VERSION), Comparison::MetadataOnly { bytes: 13 });
        let length = ARTIFACT.runtime.len();
        // Without the stop; a length that is not the map's; no map; half of it.
        for rest in [
            &WITH_HASH[1..],
            &[&[0xfe][..], &WITH_HASH].concat(),
            &[0xfe, 0x01, 0, 1],
            &[0xfe],
            &[0xfe, 0, 0],
        ] {
            let other = Comparison::OtherCode { bytes: length + rest.len(), first_difference: length };
            assert_eq!(followed_by(rest), other, "{rest:?}");
        }
    }

    #[test]
    fn a_changed_or_shortened_code_is_another() {
        let bytes = ARTIFACT.runtime.len();
        let mut code = ARTIFACT.runtime.to_vec();
        code[100] ^= 1;
        assert_eq!(ARTIFACT.compare(&code), Comparison::OtherCode { bytes, first_difference: 100 });
        let shorter = Comparison::OtherCode { bytes: bytes - 1, first_difference: bytes - 1 };
        assert_eq!(ARTIFACT.compare(&ARTIFACT.runtime[..bytes - 1]), shorter);
        // Changed code is not excused by metadata behind it.
        code.extend(WITH_HASH);
        assert!(matches!(ARTIFACT.compare(&code), Comparison::OtherCode { first_difference: 100, .. }));
    }

    #[test]
    fn a_minimal_proxy_is_named_with_its_target() {
        let target = Address::repeat_byte(0x7a);
        let code = [PROXY_HEAD, target.as_slice(), PROXY_TAIL].concat();
        assert_eq!(ARTIFACT.compare(&code), Comparison::Proxy { target });
        assert!(matches!(ARTIFACT.compare(&code[1..]), Comparison::OtherCode { .. }));
    }
}
