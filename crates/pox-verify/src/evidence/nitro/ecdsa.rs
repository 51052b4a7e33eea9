//! ECDSA over P-384, for public data, fast enough to do it five times a document.
//!
//! Keys, signatures, field and scalars are those of the `p384` crate; only the sum `a·G + b·Q` is our own. The crate works
//! it out in constant time, which public data has no use for, and which takes three times as long: more than a document may
//! take. C and assembly would be faster still, but then the page would not judge with the code that the command line judges with.
//!
//! Why it can be trusted: what comes in is checked before (keys are on the curve, which has no small subgroup; `r` and `s` are
//! neither zero nor above the order), what comes out is one comparison, and nothing is secret. In between are two group formulas and
//! one recoding of scalars. A wrong sum makes a verdict wrong, so every test here holds the verdict or the sum against the crate's:
//! where the formulas have exceptions (infinity, equal and opposite points), at both ends of every scalar, and at random.

use p384::ecdsa::Signature;
use p384::elliptic_curve::Curve;
use p384::elliptic_curve::PrimeField;
use p384::elliptic_curve::bigint::CheckedAdd;
use p384::elliptic_curve::group::prime::PrimeCurveAffine;
use p384::elliptic_curve::ops::{Invert, Reduce};
use p384::elliptic_curve::sec1::ToEncodedPoint;
use p384::{AffinePoint, FieldBytes, FieldElement, NistP384, PublicKey, Scalar, U384};
use std::cell::RefCell;
use std::sync::LazyLock;

/// Signatures that hold, so that each is looked at once: the documents of one enclave have the same certificates.
#[derive(Debug, Default)]
pub(in crate::evidence) struct Held(RefCell<Vec<(PublicKey, [u8; 48], Signature)>>);

impl Held {
    /// As [`signed`]; what does not hold is not remembered.
    pub(super) fn signed(&self, key: &PublicKey, digest: [u8; 48], signature: &Signature) -> bool {
        let this = (*key, digest, *signature);
        if self.0.borrow().contains(&this) {
            return true;
        }
        let holds = signed(key, digest, signature);
        if holds {
            self.0.borrow_mut().push(this);
        }
        holds
    }
}

/// Whether a key signed a SHA-384 digest (FIPS 186-5 §6.4.2).
fn signed(key: &PublicKey, digest: [u8; 48], signature: &Signature) -> bool {
    let (r, s) = signature.split_scalars();
    let inverse = *s.invert_vartime();
    let digest = <Scalar as Reduce<U384>>::reduce_bytes(&FieldBytes::from(digest));
    let sum = generator_and(&(digest * inverse), &Point::from(key.as_affine()), &(*r * inverse));
    sum.has_x(&r)
}

/// A point (x/z², y/z³); the one at infinity if z is zero.
#[derive(Clone, Copy)]
struct Point {
    x: FieldElement,
    y: FieldElement,
    z: FieldElement,
}

/// `a·G + b·Q`, in time that depends on them: the two chains of doublings run as one.
fn generator_and(a: &Scalar, q: &Point, b: &Scalar) -> Point {
    static MULTIPLES_OF_G: LazyLock<Vec<Point>> =
        LazyLock::new(|| odd_multiples(&Point::from(&AffinePoint::generator()), WINDOW_OF_G));
    let terms = [
        (digits(a, WINDOW_OF_G), MULTIPLES_OF_G.as_slice()),
        (digits(b, WINDOW_OF_Q), &odd_multiples(q, WINDOW_OF_Q)),
    ];
    let mut sum = Point::INFINITY;
    for position in (0..DIGITS).rev() {
        sum = sum.double();
        for (digits, multiples) in &terms {
            let digit = digits[position];
            if digit != 0 {
                let multiple = multiples[usize::from(digit.unsigned_abs() / 2)];
                sum = sum.add(&if digit < 0 { multiple.negated() } else { multiple });
            }
        }
    }
    sum
}

/// `P`, `3P`, `5P`, … as far as the digits of a window go.
fn odd_multiples(point: &Point, window: usize) -> Vec<Point> {
    let twice = point.double();
    std::iter::successors(Some(*point), |last| Some(last.add(&twice))).take(1 << (window - 2)).collect()
}

/// A scalar in digits of weight 2^position, each zero or odd and below 2^(window − 1) in size; at most one in any `window`
/// positions is not zero.
fn digits(scalar: &Scalar, window: usize) -> [i8; DIGITS] {
    let bytes = scalar.to_repr();
    let bit = |position: usize| {
        bytes.iter().rev().nth(position / 8).map_or(0, |byte| i16::from(byte >> (position % 8) & 1))
    };
    let (mut digits, mut carry, mut position) = ([0; DIGITS], 0, 0);
    while position < DIGITS {
        if bit(position) == carry {
            position += 1;
            continue;
        }
        let width = window.min(DIGITS - position);
        let value = (0..width).fold(carry, |sum, offset| sum + (bit(position + offset) << offset));
        carry = value >> (window - 1);
        digits[position] = (value - (carry << window)) as i8;
        position += width;
    }
    digits
}

impl Point {
    const INFINITY: Self = Self { x: FieldElement::ONE, y: FieldElement::ONE, z: FieldElement::ZERO };

    /// The formulas of Bernstein and Lange's database, `dbl-2001-b`; they hold for the point at infinity too, and the group
    /// has no point of order two. Squares are products here, because those are faster in this field's code.
    fn double(&self) -> Self {
        let delta = self.z * self.z;
        let gamma = self.y * self.y;
        let beta = self.x * gamma;
        let third = (self.x - delta) * (self.x + delta);
        let alpha = third + third + third;
        let beta_4 = times_4(&beta);
        let x = alpha * alpha - beta_4 - beta_4;
        let half = self.y * self.z;
        let gamma_8 = times_4(&(gamma * (gamma + gamma)));
        Self { x, y: alpha * (beta_4 - x) - gamma_8, z: half + half }
    }

    /// The formulas of the same database, `add-1998-cmo-2`, and the cases that they leave out.
    fn add(&self, other: &Self) -> Self {
        if bool::from(self.z.is_zero()) {
            return *other;
        }
        if bool::from(other.z.is_zero()) {
            return *self;
        }
        let (zz_1, zz_2) = (self.z * self.z, other.z * other.z);
        let (u_1, u_2) = (self.x * zz_2, other.x * zz_1);
        let (s_1, s_2) = (self.y * (other.z * zz_2), other.y * (self.z * zz_1));
        let (h, r) = (u_2 - u_1, s_2 - s_1);
        if bool::from(h.is_zero()) {
            return if bool::from(r.is_zero()) { self.double() } else { Self::INFINITY };
        }
        let hh = h * h;
        let hhh = h * hh;
        let v = u_1 * hh;
        let x = r * r - hhh - v - v;
        Self { x, y: r * (v - x) - (s_1 * hhh), z: self.z * other.z * h }
    }

    fn negated(self) -> Self {
        Self { y: -self.y, ..self }
    }

    /// Whether the affine x, which is a number below the field's order, is this scalar modulo the group's order.
    fn has_x(&self, scalar: &Scalar) -> bool {
        let zz = self.z * self.z;
        let is = |x: U384| {
            let x: Option<FieldElement> = FieldElement::from_uint(x).into();
            x.is_some_and(|x| self.x == x * zz)
        };
        let small = U384::from(scalar);
        let large: Option<U384> = small.checked_add(&NistP384::ORDER).into();
        !bool::from(self.z.is_zero()) && (is(small) || large.is_some_and(is))
    }
}

impl From<&AffinePoint> for Point {
    fn from(point: &AffinePoint) -> Self {
        let encoded = point.to_encoded_point(false);
        let coordinate = |bytes: Option<&FieldBytes>| {
            bytes.and_then(|bytes| Option::from(FieldElement::from_bytes(bytes)))
        };
        match (coordinate(encoded.x()), coordinate(encoded.y())) {
            (Some(x), Some(y)) => Self { x, y, z: FieldElement::ONE },
            _ => Self::INFINITY,
        }
    }
}

fn times_4(value: &FieldElement) -> FieldElement {
    let twice = *value + value;
    twice + twice
}

/// Bits of a scalar, and one for the last carry.
const DIGITS: usize = 385;
/// 64 multiples of the generator, worked out once.
const WINDOW_OF_G: usize = 8;
/// 8 multiples of each key.
const WINDOW_OF_Q: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use p384::ecdsa::SigningKey;
    use p384::ecdsa::signature::hazmat::{PrehashSigner, PrehashVerifier};
    use proptest::prelude::*;

    fn scalar(bytes: &[u8; 48]) -> Scalar {
        <Scalar as Reduce<U384>>::reduce_bytes(&FieldBytes::from(*bytes))
    }

    /// `a·G + b·(k·G)` has the x of `(a + b·k)·G` as the crate has it.
    fn agrees(a: Scalar, b: Scalar, k: Scalar) -> bool {
        let q = (p384::ProjectivePoint::GENERATOR * k).to_affine();
        let sum = generator_and(&a, &Point::from(&q), &b);
        let expected = (p384::ProjectivePoint::GENERATOR * (a + b * k)).to_affine().to_encoded_point(false);
        match expected.x() {
            Some(x) => sum.has_x(&<Scalar as Reduce<U384>>::reduce_bytes(x)),
            None => bool::from(sum.z.is_zero()),
        }
    }

    #[test]
    fn sums_are_right_where_the_formulas_have_exceptions() {
        let small: Vec<Scalar> = (0..6).flat_map(|n| [Scalar::from_u64(n), -Scalar::from_u64(n)]).collect();
        for a in &small {
            for b in &small {
                for k in [
                    Scalar::ONE,
                    -Scalar::ONE,
                    Scalar::from_u64(2),
                    Scalar::from_u64(63),
                    scalar(&[0xff; 48]),
                ] {
                    assert!(agrees(*a, *b, k), "{a:?} {b:?} {k:?}");
                }
            }
        }
    }

    #[test]
    fn an_x_above_the_order_of_the_group_is_its_remainder() {
        // A point whose x is not below the order: the first from there on that is on the curve.
        let mut x = NistP384::ORDER;
        let point = loop {
            let bytes = FieldElement::from_uint(x).unwrap().to_bytes();
            let compressed = [&[2], &bytes[..]].concat();
            if let Ok(key) = PublicKey::from_sec1_bytes(&compressed) {
                break key;
            }
            x = x.wrapping_add(&U384::ONE);
        };
        let remainder = x.wrapping_sub(&NistP384::ORDER);
        assert!(Point::from(point.as_affine()).has_x(&<Scalar as Reduce<U384>>::reduce(remainder)));
        let next = remainder.wrapping_add(&U384::ONE);
        assert!(!Point::from(point.as_affine()).has_x(&<Scalar as Reduce<U384>>::reduce(next)));
        assert!(!Point::INFINITY.has_x(&Scalar::ZERO));
    }

    /// Ours; it has to be the crate's.
    fn verdict(key: &SigningKey, digest: [u8; 48], r: Scalar, s: Scalar) -> bool {
        let signature = Signature::from_scalars(r, s).unwrap();
        let ours = signed(&PublicKey::from(key.verifying_key()), digest, &signature);
        let crates = key.verifying_key().verify_prehash(&digest, &signature).is_ok();
        assert_eq!(ours, crates, "digest {digest:02x?}, {signature:?}");
        ours
    }

    /// Numbers at both ends of the scalars, around their middle, and with their highest bits set.
    fn edges() -> Vec<Scalar> {
        let half = Scalar::from_u64(2).invert_vartime().unwrap();
        let high = Scalar::from_u64(2).pow_vartime(&[383]);
        let ends = (1..4).map(Scalar::from_u64).chain([half, high, high - Scalar::ONE, scalar(&[0xff; 48])]);
        ends.flat_map(|edge| [edge, -edge]).collect()
    }

    #[test]
    fn verdicts_at_the_edges_are_those_of_the_crate() {
        let digests: [[u8; 48]; 4] =
            [[0; 48], [0xff; 48], Scalar::ONE.to_repr().into(), (-Scalar::ONE).to_repr().into()];
        for secret in edges().into_iter().step_by(3) {
            let key = SigningKey::from_bytes(&secret.to_repr()).unwrap();
            for digest in digests {
                for r in edges() {
                    for s in [Scalar::ONE, -Scalar::ONE, edges()[6]] {
                        verdict(&key, digest, r, s);
                    }
                }
            }
        }
    }

    #[test]
    fn signatures_with_every_kind_of_nonce_hold() {
        for secret in edges().into_iter().step_by(3) {
            let key = SigningKey::from_bytes(&secret.to_repr()).unwrap();
            for nonce in edges() {
                let point = (p384::ProjectivePoint::GENERATOR * nonce).to_affine().to_encoded_point(false);
                let r = <Scalar as Reduce<U384>>::reduce_bytes(point.x().unwrap());
                for e in [Scalar::ZERO, Scalar::ONE, -Scalar::ONE, edges()[6]] {
                    let s = nonce.invert_vartime().unwrap() * (e + r * secret);
                    assert!(verdict(&key, e.to_repr().into(), r, s));
                    assert!(!verdict(&key, (e + Scalar::ONE).to_repr().into(), r, s));
                }
            }
        }
    }

    #[test]
    fn a_sum_at_infinity_is_no_signature_and_equal_summands_are_doubled() {
        for secret in edges() {
            let key = SigningKey::from_bytes(&secret.to_repr()).unwrap();
            for (r, s) in edges().into_iter().zip(edges().into_iter().rev()) {
                // a·G = −b·Q, and a·G = b·Q.
                assert!(!verdict(&key, (-(r * secret)).to_repr().into(), r, s));
                verdict(&key, (r * secret).to_repr().into(), r, s);
            }
        }
    }

    /// What the digits come to, and whether each is as it has to be.
    fn recodes(scalar: &Scalar, window: usize) -> bool {
        let digits = digits(scalar, window);
        let sum = digits.iter().rev().fold(Scalar::ZERO, |sum, digit| {
            let magnitude = Scalar::from_u64(u64::from(digit.unsigned_abs()));
            sum + sum + if *digit < 0 { -magnitude } else { magnitude }
        });
        let are_odd = digits.iter().all(|digit| *digit == 0 || digit % 2 != 0);
        let are_small = digits.iter().all(|digit| usize::from(digit.unsigned_abs()) < 1 << (window - 1));
        let are_apart =
            digits.windows(window).all(|some| some.iter().filter(|digit| **digit != 0).count() < 2);
        sum == *scalar && are_odd && are_small && are_apart
    }

    #[test]
    fn only_what_holds_is_remembered_and_only_as_it_is() {
        let (key, other) =
            (SigningKey::from_slice(&[3; 48]).unwrap(), SigningKey::from_slice(&[4; 48]).unwrap());
        let signature: Signature = key.sign_prehash(&[5; 48]).unwrap();
        let of = |key: &SigningKey| PublicKey::from(key.verifying_key());
        let held = Held::default();
        for _ in 0..2 {
            assert!(held.signed(&of(&key), [5; 48], &signature));
            assert!(!held.signed(&of(&key), [6; 48], &signature));
            assert!(!held.signed(&of(&other), [5; 48], &signature));
        }
        assert_eq!(held.0.borrow().len(), 1);
    }

    #[test]
    fn digits_of_the_edges_come_to_them() {
        for edge in edges().into_iter().chain([Scalar::ZERO]) {
            assert!(recodes(&edge, WINDOW_OF_G) && recodes(&edge, WINDOW_OF_Q), "{edge:?}");
        }
    }

    proptest! {
        #[test]
        fn digits_come_to_their_scalar(low: [u8; 32], top: [u8; 16]) {
            let bytes: [u8; 48] = [&top[..], &low].concat().try_into().unwrap();
            prop_assert!(recodes(&scalar(&bytes), WINDOW_OF_G) && recodes(&scalar(&bytes), WINDOW_OF_Q));
        }

        #[test]
        fn sums_are_those_of_the_crate(a: [u8; 32], b: [u8; 32], c: [u8; 32], top: [u8; 16]) {
            let wide = |low: [u8; 32]| {
                let mut bytes = [0; 48];
                bytes[..16].copy_from_slice(&top);
                bytes[16..].copy_from_slice(&low);
                scalar(&bytes)
            };
            prop_assert!(agrees(wide(a), wide(b), wide(c)));
        }

        #[test]
        fn a_verdict_is_that_of_the_crate(key: [u8; 32], digest: [u8; 32], flip in 0usize..96 * 8) {
            let key = SigningKey::from_slice(&[&[1; 16], key.as_slice()].concat()).unwrap();
            let digest: [u8; 48] = [&[7; 16], digest.as_slice()].concat().try_into().unwrap();
            let signature: Signature = key.sign_prehash(&digest).unwrap();
            let public = PublicKey::from(key.verifying_key());
            prop_assert!(signed(&public, digest, &signature));
            let mut bytes = signature.to_vec();
            bytes[flip / 8] ^= 1 << (flip % 8);
            if let Ok(flipped) = Signature::from_slice(&bytes) {
                let verdict = key.verifying_key().verify_prehash(&digest, &flipped).is_ok();
                prop_assert_eq!(signed(&public, digest, &flipped), verdict);
            }
        }
    }
}
