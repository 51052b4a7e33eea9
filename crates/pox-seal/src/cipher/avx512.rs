//! ChaCha20-Poly1305 for processors with AVX-512 and its 52-bit multiply-add (IFMA).
//!
//! **Why.** Sealing is bounded by this one primitive. The libraries that run everywhere (ring and AWS-LC carry the same
//! AVX2 code) seal 64 KiB at 2.6 GB/s on a Zen 4 core; BLAKE3 hashes at 5 to 6. OpenSSL's AVX-512 code is faster, but isn't
//! for a static program without a C library of its own. `benches/data-plane.sh` measures this kernel and the library in the
//! same run (`engine` against `engine, portable`).
//!
//! **How.** Sixteen ChaCha20 blocks side by side, one word of all of them in each register; Poly1305 over eight blocks
//! side by side, in limbs of 44, 44 and 42 bits. The two share one loop, since each leaves slots that the other fills:
//! while keystream is made, the authenticator takes in ciphertext that is already there (sealing: of the batch before;
//! opening: of the batch that the keystream is for).
//!
//! **Why it is right.** The tests compare it with ring over every length up to several KiB and random longer ones, both
//! ways, and with the vectors of RFC 8439; nothing branches or indexes on secret bytes; see [`super::poly1305`] for the
//! bounds of limbs, and [`Lanes::times`] for those of the vectors.
//!
//! **Unsafe code** is of two kinds. Functions compiled for a processor that has the features are called from one that
//! was asked ([`Avx512::new`]) at runtime: [`Avx512`] can't be made otherwise. Loads and stores go through [`load`] and
//! [`store`], which take references to exactly the 64 bytes that the instruction touches and need no alignment.

#![allow(unsafe_code)]

use super::poly1305::{Element, OneTimeKey};
use std::arch::x86_64::*;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

/// A key, on a processor that has what the kernel needs. Wiped when dropped.
pub(crate) struct Avx512(Zeroizing<[u32; 8]>);

impl Avx512 {
    /// `None` if this processor lacks an instruction.
    pub(super) fn new(key: &[u8; 32]) -> Option<Self> {
        let has_all = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512ifma")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512dq");
        if !has_all {
            return None;
        }
        let mut words = Zeroizing::new([0; 8]);
        for (word, bytes) in words.iter_mut().zip(key.as_chunks::<4>().0) {
            *word = u32::from_le_bytes(*bytes);
        }
        Some(Self(words))
    }

    pub(super) fn seal(&self, nonce: &[u8; 12], text: &mut [u8]) -> [u8; 16] {
        // SAFETY: `self` exists, so `new` found every feature that the function is compiled for.
        unsafe { seal(&self.0, nonce, text) }
    }

    /// Opens in place; leaves the ciphertext as it was if it isn't authentic.
    pub(super) fn open(&self, nonce: &[u8; 12], text: &mut [u8], tag: &[u8; 16]) -> bool {
        // SAFETY: as above.
        unsafe { open(&self.0, nonce, text, tag) }
    }
}

#[target_feature(enable = "avx512f,avx512ifma,avx512vl,avx512dq")]
fn seal(key: &[u32; 8], nonce: &[u8; 12], text: &mut [u8]) -> [u8; 16] {
    let mut state = initial(key, nonce);
    let (mut first, start) = first_batch(&mut state);
    let one_time = Zeroizing::new(OneTimeKey::new(&start));
    let mut lanes = Lanes::new(one_time.multiplier);
    let (mut at, mut taken) = (text.len().min(FIRST), 0);
    apply(&mut text[..at], &first[64..]);
    first.zeroize();
    while at < text.len() {
        let end = text.len().min(at + BATCH);
        let stream = match text[taken..at].first_chunk::<BATCH>() {
            Some(ciphertext) => {
                taken += BATCH;
                keystream(&mut state, Some((&mut lanes, ciphertext)))
            }
            None => keystream(&mut state, None),
        };
        apply_batch(&mut text[at..end], &stream);
        at = end;
    }
    state.zeroize();
    finish(&one_time, lanes, text, taken)
}

#[target_feature(enable = "avx512f,avx512ifma,avx512vl,avx512dq")]
fn open(key: &[u32; 8], nonce: &[u8; 12], text: &mut [u8], tag: &[u8; 16]) -> bool {
    let mut state = initial(key, nonce);
    let (mut first, start) = first_batch(&mut state);
    let one_time = Zeroizing::new(OneTimeKey::new(&start));
    let mut lanes = Lanes::new(one_time.multiplier);
    let mut taken = 0;
    // Whatever a batch overwrites was taken in before.
    let mut sum = None;
    match text.first_chunk::<BATCH>() {
        Some(ciphertext) => {
            lanes.absorb_batch(ciphertext);
            taken = BATCH;
        }
        None => sum = Some(finish(&one_time, Lanes::new(one_time.multiplier), text, 0)),
    }
    let mut at = text.len().min(FIRST);
    apply(&mut text[..at], &first[64..]);
    first.zeroize();
    while at < text.len() {
        let end = text.len().min(at + BATCH);
        let stream = match text[taken..].first_chunk::<BATCH>() {
            Some(ciphertext) => {
                taken += BATCH;
                keystream(&mut state, Some((&mut lanes, ciphertext)))
            }
            None => {
                if sum.is_none() {
                    let lanes = std::mem::replace(&mut lanes, Lanes::new(one_time.multiplier));
                    sum = Some(finish(&one_time, lanes, text, taken));
                }
                keystream(&mut state, None)
            }
        };
        apply_batch(&mut text[at..end], &stream);
        at = end;
    }
    state.zeroize();
    let sum = sum.unwrap_or_else(|| finish(&one_time, lanes, text, taken));
    if sum.ct_eq(tag).into() {
        return true;
    }
    // What was made of a forgery is made undone: the same keystream again.
    decipher(key, nonce, text);
    false
}

/// Applies the keystream alone.
#[target_feature(enable = "avx512f,avx512ifma,avx512vl,avx512dq")]
fn decipher(key: &[u32; 8], nonce: &[u8; 12], text: &mut [u8]) {
    let mut state = initial(key, nonce);
    let (mut first, _) = first_batch(&mut state);
    let at = text.len().min(FIRST);
    apply(&mut text[..at], &first[64..]);
    first.zeroize();
    for part in text[at..].chunks_mut(BATCH) {
        let stream = keystream(&mut state, None);
        apply_batch(part, &stream);
    }
    state.zeroize();
}

/// The tag, given what the lanes took in of the text.
#[target_feature(enable = "avx512f,avx512ifma,avx512vl,avx512dq")]
fn finish(key: &OneTimeKey, mut lanes: Lanes, text: &[u8], mut taken: usize) -> [u8; 16] {
    while let Some(group) = text[taken..].first_chunk::<GROUP>() {
        lanes.absorb(group);
        taken += GROUP;
    }
    let sum = if taken == 0 { Element::default() } else { lanes.sum() };
    key.tag(key.absorb(sum, &text[taken..]), text.len())
}

/// Block 0 makes the authenticator's key; blocks 1 to 15 are the first keystream.
#[target_feature(enable = "avx512f,avx512ifma,avx512vl,avx512dq")]
fn first_batch(state: &mut [u32; 16]) -> ([u8; BATCH], Zeroizing<[u8; 32]>) {
    let stream = keystream(state, None);
    let mut bytes = [0; BATCH];
    for (block, out) in stream.iter().zip(bytes.as_chunks_mut::<64>().0) {
        store(out, *block);
    }
    let mut key = Zeroizing::new([0; 32]);
    key.copy_from_slice(&bytes[..32]);
    (bytes, key)
}

/// Constants, key, counter and nonce: RFC 8439 §2.3.
fn initial(key: &[u32; 8], nonce: &[u8; 12]) -> [u32; 16] {
    let mut state = [0; 16];
    state[..4].copy_from_slice(&[0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574]);
    state[4..12].copy_from_slice(key);
    for (word, bytes) in state[13..].iter_mut().zip(nonce.as_chunks::<4>().0) {
        *word = u32::from_le_bytes(*bytes);
    }
    state
}

/// Four quarter rounds, step by step side by side: they depend on nothing of each other. A macro, as is the next: calls
/// would put the sixteen registers into memory.
macro_rules! quarters {
    ($x:ident: $([$a:literal $b:literal $c:literal $d:literal])+) => {
        quarters!(step $x: $([$a $b $d])+; 16);
        quarters!(step $x: $([$c $d $b])+; 12);
        quarters!(step $x: $([$a $b $d])+; 8);
        quarters!(step $x: $([$c $d $b])+; 7);
    };
    (step $x:ident: $([$to:literal $add:literal $turned:literal])+; $by:literal) => {
        $($x[$to] = _mm512_add_epi32($x[$to], $x[$add]);)+
        $($x[$turned] = _mm512_xor_si512($x[$turned], $x[$to]);)+
        $($x[$turned] = _mm512_rol_epi32::<$by>($x[$turned]);)+
    };
}

macro_rules! double_round {
    ($x:ident) => {
        quarters!($x: [0 4 8 12] [1 5 9 13] [2 6 10 14] [3 7 11 15]);
        quarters!($x: [0 5 10 15] [1 6 11 12] [2 7 8 13] [3 4 9 14]);
    };
}

/// Makes sixteen blocks of keystream, and lets the authenticator take in ciphertext meanwhile.
///
/// The counter wraps after 256 GiB; a chunk has 64 KiB.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma,avx512vl,avx512dq")]
fn keystream(state: &mut [u32; 16], aside: Option<(&mut Lanes, &[u8; BATCH])>) -> [__m512i; 16] {
    let mut start = [_mm512_setzero_si512(); 16];
    for (register, word) in start.iter_mut().zip(*state) {
        *register = _mm512_set1_epi32(word.cast_signed());
    }
    let counters = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    start[12] = _mm512_add_epi32(start[12], counters);
    state[12] = state[12].wrapping_add(16);

    let mut x = start;
    match aside {
        Some((lanes, ciphertext)) => {
            let mut taking = *lanes;
            for group in ciphertext.as_chunks::<GROUP>().0 {
                double_round!(x);
                taking.absorb(group);
            }
            *lanes = taking;
            for _ in 0..2 {
                double_round!(x);
            }
        }
        None => {
            for _ in 0..10 {
                double_round!(x);
            }
        }
    }
    for (register, start) in x.iter_mut().zip(start) {
        *register = _mm512_add_epi32(*register, start);
    }
    transposed(&x)
}

/// From one word of sixteen blocks in each register to one block in each.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma,avx512vl,avx512dq")]
fn transposed(x: &[__m512i; 16]) -> [__m512i; 16] {
    let zero = _mm512_setzero_si512();
    // Words 4g to 4g+3 of the blocks m, 4+m, 8+m and 12+m.
    let mut quads = [[zero; 4]; 4];
    for (quad, words) in quads.iter_mut().zip(x.as_chunks::<4>().0) {
        let (low01, high01) =
            (_mm512_unpacklo_epi32(words[0], words[1]), _mm512_unpackhi_epi32(words[0], words[1]));
        let (low23, high23) =
            (_mm512_unpacklo_epi32(words[2], words[3]), _mm512_unpackhi_epi32(words[2], words[3]));
        *quad = [
            _mm512_unpacklo_epi64(low01, low23),
            _mm512_unpackhi_epi64(low01, low23),
            _mm512_unpacklo_epi64(high01, high23),
            _mm512_unpackhi_epi64(high01, high23),
        ];
    }
    let mut out = [zero; 16];
    for m in 0..4 {
        let low01 = _mm512_shuffle_i32x4::<0x44>(quads[0][m], quads[1][m]);
        let low23 = _mm512_shuffle_i32x4::<0x44>(quads[2][m], quads[3][m]);
        let high01 = _mm512_shuffle_i32x4::<0xee>(quads[0][m], quads[1][m]);
        let high23 = _mm512_shuffle_i32x4::<0xee>(quads[2][m], quads[3][m]);
        out[m] = _mm512_shuffle_i32x4::<0x88>(low01, low23);
        out[m + 4] = _mm512_shuffle_i32x4::<0xdd>(low01, low23);
        out[m + 8] = _mm512_shuffle_i32x4::<0x88>(high01, high23);
        out[m + 12] = _mm512_shuffle_i32x4::<0xdd>(high01, high23);
    }
    out
}

/// Applies keystream to at most one batch.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma,avx512vl,avx512dq")]
fn apply_batch(text: &mut [u8], stream: &[__m512i; 16]) {
    if let Ok(batch) = <&mut [u8; BATCH]>::try_from(&mut *text) {
        for (block, bytes) in stream.iter().zip(batch.as_chunks_mut::<64>().0) {
            let done = _mm512_xor_si512(load(bytes), *block);
            store(bytes, done);
        }
        return;
    }
    let mut bytes = [0; BATCH];
    for (block, out) in stream.iter().zip(bytes.as_chunks_mut::<64>().0) {
        store(out, *block);
    }
    apply(text, &bytes);
    bytes.zeroize();
}

fn apply(text: &mut [u8], stream: &[u8]) {
    text.iter_mut().zip(stream).for_each(|(byte, key)| *byte ^= key);
}

/// The authenticator over eight interleaved sequences of blocks; block `b` is in the sequence `b % 8`.
#[derive(Clone, Copy)]
struct Lanes {
    sums: [__m512i; 3],
    /// The eighth power of the multiplier in every lane, and 20 times its upper limbs.
    eighth: [__m512i; 3],
    eighth20: [__m512i; 2],
    /// For each lane the power that its last block needs.
    last: [__m512i; 3],
}

impl Lanes {
    #[target_feature(enable = "avx512f,avx512ifma,avx512vl,avx512dq")]
    fn new(multiplier: Element) -> Self {
        let mut powers = [multiplier; 8];
        for at in 1..8 {
            powers[at] = powers[at - 1].times(multiplier);
        }
        let limb = |limb: usize| {
            // In the order in which `absorb` finds blocks in the lanes: the first block needs the highest power.
            let order = [7, 3, 6, 2, 5, 1, 4, 0].map(|power: usize| powers[power].0[limb].cast_signed());
            let [a, b, c, d, e, f, g, h] = order;
            _mm512_setr_epi64(a, b, c, d, e, f, g, h)
        };
        let eighth = powers[7].0.map(u64::cast_signed);
        let lanes = Self {
            sums: [_mm512_setzero_si512(); 3],
            eighth: [
                _mm512_set1_epi64(eighth[0]),
                _mm512_set1_epi64(eighth[1]),
                _mm512_set1_epi64(eighth[2]),
            ],
            eighth20: [_mm512_set1_epi64(20 * eighth[1]), _mm512_set1_epi64(20 * eighth[2])],
            last: [limb(0), limb(1), limb(2)],
        };
        powers.zeroize();
        lanes
    }

    /// Takes in eight blocks.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma,avx512vl,avx512dq")]
    fn absorb(&mut self, group: &[u8; GROUP]) {
        let sums = times(&self.sums, &self.eighth, &self.eighth20);
        let (front, back) = group.split_at(64);
        let (front, back) = match (front.first_chunk(), back.first_chunk()) {
            (Some(front), Some(back)) => (load(front), load(back)),
            _ => unreachable!("both halves have 64 bytes"),
        };
        let (low, high) = (_mm512_unpacklo_epi64(front, back), _mm512_unpackhi_epi64(front, back));
        let mask = _mm512_set1_epi64(MASK44);
        let limb0 = _mm512_and_si512(low, mask);
        let middle = _mm512_or_si512(_mm512_srli_epi64::<44>(low), _mm512_slli_epi64::<20>(high));
        let limb1 = _mm512_and_si512(middle, mask);
        let limb2 = _mm512_or_si512(_mm512_srli_epi64::<24>(high), _mm512_set1_epi64(1 << 40));
        self.sums = [
            _mm512_add_epi64(sums[0], limb0),
            _mm512_add_epi64(sums[1], limb1),
            _mm512_add_epi64(sums[2], limb2),
        ];
    }

    #[target_feature(enable = "avx512f,avx512ifma,avx512vl,avx512dq")]
    fn absorb_batch(&mut self, batch: &[u8; BATCH]) {
        for group in batch.as_chunks::<GROUP>().0 {
            self.absorb(group);
        }
    }

    /// What the sequences come to together.
    #[target_feature(enable = "avx512f,avx512ifma,avx512vl,avx512dq")]
    fn sum(&self) -> Element {
        let twenty = _mm512_set1_epi64(20);
        let last20 = [_mm512_mullo_epi64(self.last[1], twenty), _mm512_mullo_epi64(self.last[2], twenty)];
        let sums = times(&self.sums, &self.last, &last20);
        let limb = |at: usize| _mm512_reduce_add_epi64(sums[at]).cast_unsigned();
        Element([limb(0), limb(1), limb(2)])
    }
}

/// Multiplies lane by lane.
///
/// Bounds: sums have limbs below 2^44 + 2^44, 2^44 + 2^9 + 2^44 and 2^42 + 2^41, all below 2^46, and factors below 2^45, 20
/// times factors below 2^50: the instruction uses 52 bits of each. Of a product it adds the low 52 bits to one number and
/// the rest, below 2^(46 + 50 - 52) = 2^44, to another; three of each stay below 2^54. Carries add less than 2^55 more.
/// The highest, below 3 * 2^39 times 2^10, plus 2^12, times 5, is below 2^54, and its carry into limb 1 below 2^10.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma,avx512vl,avx512dq")]
fn times(h: &[__m512i; 3], r: &[__m512i; 3], r20: &[__m512i; 2]) -> [__m512i; 3] {
    let zero = _mm512_setzero_si512();
    let row = |one: __m512i, two: __m512i, three: __m512i| {
        let low = _mm512_madd52lo_epu64(zero, h[0], one);
        let high = _mm512_madd52hi_epu64(zero, h[0], one);
        let low = _mm512_madd52lo_epu64(low, h[1], two);
        let high = _mm512_madd52hi_epu64(high, h[1], two);
        (_mm512_madd52lo_epu64(low, h[2], three), _mm512_madd52hi_epu64(high, h[2], three))
    };
    let (low0, high0) = row(r[0], r20[1], r20[0]);
    let (low1, high1) = row(r[1], r[0], r20[1]);
    let (low2, high2) = row(r[2], r[1], r[0]);

    let (mask44, mask42) = (_mm512_set1_epi64(MASK44), _mm512_set1_epi64(MASK42));
    // The upper half of a product stands 52 bits above the lower, 8 above the next limb, and 10 above the prime's size.
    let low1 = _mm512_add_epi64(low1, _mm512_slli_epi64::<8>(high0));
    let low1 = _mm512_add_epi64(low1, _mm512_srli_epi64::<44>(low0));
    let low2 = _mm512_add_epi64(low2, _mm512_slli_epi64::<8>(high1));
    let low2 = _mm512_add_epi64(low2, _mm512_srli_epi64::<44>(low1));
    let top = _mm512_add_epi64(_mm512_slli_epi64::<10>(high2), _mm512_srli_epi64::<42>(low2));
    let five = _mm512_add_epi64(top, _mm512_slli_epi64::<2>(top));
    let low0 = _mm512_add_epi64(_mm512_and_si512(low0, mask44), five);
    [
        _mm512_and_si512(low0, mask44),
        _mm512_add_epi64(_mm512_and_si512(low1, mask44), _mm512_srli_epi64::<44>(low0)),
        _mm512_and_si512(low2, mask42),
    ]
}

#[inline]
#[target_feature(enable = "avx512f,avx512ifma,avx512vl,avx512dq")]
fn load(bytes: &[u8; 64]) -> __m512i {
    // SAFETY: the reference is valid for reading its 64 bytes, and the instruction needs no alignment.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512ifma,avx512vl,avx512dq")]
fn store(bytes: &mut [u8; 64], value: __m512i) {
    // SAFETY: the reference is valid for writing its 64 bytes and nobody else has it; no alignment is needed.
    unsafe { _mm512_storeu_si512(bytes.as_mut_ptr().cast(), value) }
}

/// Bytes of keystream that are made at a time.
const BATCH: usize = 1024;
/// Bytes that the authenticator takes in at a time.
const GROUP: usize = 128;
/// Text bytes of the first batch, of which one block is the authenticator's.
const FIRST: usize = BATCH - 64;
const MASK44: i64 = (1 << 44) - 1;
const MASK42: i64 = (1 << 42) - 1;
