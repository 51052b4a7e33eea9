//! Runs of headers, packed: of each header only what does not follow from the one before it (spec §10.3).
//!
//! A packed run has one form, and can't say anything but a chain: parents and numbers are never written. There is no general
//! compressor in it: what is left is mostly signatures, which nothing makes smaller, and its decoder can't blow up.

use super::header::{BadHeader, COMMON_FIELDS, Header, MOST_DIGITS, MOST_FIELDS, SEAL_FIELDS, Seal};
use super::rlp::{self, Item};
use alloy_primitives::{B256, U256, b256, keccak256};
use pox_core::proof::{MAX_HEADER_BYTES, MAX_RUN_HEADERS};

/// Root of an empty trie: the transactions and receipts of an empty block.
static EMPTY_ROOT: B256 = b256!("0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421");
const PARENT: usize = 0;
const UNCLES: usize = 1;
const AUTHOR: usize = 2;
const STATE: usize = 3;
const TRANSACTIONS: usize = 4;
const RECEIPTS: usize = 5;
const BLOOM: usize = 6;
const DIFFICULTY: usize = 7;
const NUMBER: usize = 8;
const GAS_LIMIT: usize = 9;
const GAS_USED: usize = 10;
const TIME: usize = 11;
const EXTRA: usize = 12;
/// The fields that a flag speaks of, from the lowest bit; those after the seal follow.
const FLAGGED: [usize; 9] =
    [UNCLES, STATE, TRANSACTIONS, RECEIPTS, BLOOM, DIFFICULTY, GAS_LIMIT, GAS_USED, EXTRA];
const BLOOM_BYTES: usize = 256;
/// A filter with more bytes than this that are not zero is written as it is.
const MOST_SPARSE: usize = 127;
/// How far back an author is looked for.
const AUTHORS_BACK: usize = 255;

/// Headers that can't be packed into one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unpackable {
    /// None, or more than a run has.
    #[error("a run has 1 to {MAX_RUN_HEADERS} headers")]
    Count,
    /// A header is none, or larger than any; counted from 0.
    #[error("header {0} is malformed")]
    Header(usize),
    /// A header does not follow the one before it, or has another form: a fork of the rules lies between them.
    #[error("header {0} does not continue the run")]
    Break(usize),
}

/// Bytes are no packed run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadRun {
    /// They end inside a header, or are none.
    #[error("the run is cut short")]
    Short,
    /// There are more headers than a run has.
    #[error("the run has more than {MAX_RUN_HEADERS} headers")]
    Long,
    /// A number or a reference is out of its bounds; the header counts from 0.
    #[error("header {0} of the run is malformed")]
    Form(usize),
    /// What was unpacked is no header.
    #[error("header {position} of the run: {error}")]
    Header {
        /// Counted from 0.
        position: usize,
        /// Why.
        error: BadHeader,
    },
    /// The same headers have another, the only right form.
    #[error("the run is not packed in the one form")]
    NotCanonical,
}

/// Packs headers, each the child of the one before it.
///
/// # Errors
/// They are no run.
pub fn pack(headers: &[Vec<u8>]) -> Result<Vec<u8>, Unpackable> {
    let (first, rest) = headers.split_first().ok_or(Unpackable::Count)?;
    if headers.len() > MAX_RUN_HEADERS {
        return Err(Unpackable::Count);
    }
    let mut before = Whole::parse(first).ok_or(Unpackable::Header(0))?;
    let mut out = length(first.len()).to_vec();
    out.extend_from_slice(first);
    let mut authors = vec![before.fields[AUTHOR].payload];
    for (position, bytes) in (1..).zip(rest) {
        let header = Whole::parse(bytes).ok_or(Unpackable::Header(position))?;
        header.pack_after(&before, &authors, &mut out).ok_or(Unpackable::Break(position))?;
        authors.push(header.fields[AUTHOR].payload);
        before = header;
    }
    Ok(out)
}

/// Unpacks a run; its headers are linked by parent and number, and their times do not decrease.
///
/// # Errors
/// Not a packed run in its one form.
pub fn unpack(packed: &[u8]) -> Result<Vec<Header>, BadRun> {
    let headers = unpack_bytes(packed)?;
    let parsed = headers.iter().enumerate().map(|(position, bytes)| parse(position, bytes));
    let parsed = parsed.collect::<Result<_, _>>()?;
    if pack(&headers).as_deref() == Ok(packed) { Ok(parsed) } else { Err(BadRun::NotCanonical) }
}

fn parse(position: usize, bytes: &[u8]) -> Result<Header, BadRun> {
    Header::parse(bytes).map_err(|error| BadRun::Header { position, error })
}

fn unpack_bytes(packed: &[u8]) -> Result<Vec<Vec<u8>>, BadRun> {
    let mut reader = Reader(packed);
    let first = reader.long().ok_or(BadRun::Short)?.to_vec();
    parse(0, &first)?;
    let mut headers = vec![first];
    let mut authors = Vec::new();
    while !reader.0.is_empty() {
        let position = headers.len();
        if position == MAX_RUN_HEADERS {
            return Err(BadRun::Long);
        }
        let parent = headers.last().map(Vec::as_slice).unwrap_or_default();
        // Only what the last turn made can be refused here, and the first header.
        let before = Whole::parse(parent).ok_or(BadRun::Form(position - 1))?;
        authors.push(before.fields[AUTHOR].payload.to_vec());
        let bytes = reader.header(&before, &authors).ok_or(BadRun::Form(position))?;
        headers.push(bytes);
    }
    Ok(headers)
}

/// A header with its fields.
struct Whole<'a> {
    bytes: &'a [u8],
    fields: Vec<Item<'a>>,
    header: Header,
}

impl<'a> Whole<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let fields = rlp::list(bytes, MOST_FIELDS).ok().filter(|_| bytes.len() <= MAX_HEADER_BYTES)?;
        Some(Self { bytes, fields, header: Header::parse(bytes).ok()? })
    }

    /// What a field of the header after this one is, unless that says otherwise.
    fn expected<'b>(&'b self, field: usize, difficulty: &'b [u8]) -> &'b [u8] {
        match field {
            TRANSACTIONS | RECEIPTS => EMPTY_ROOT.as_slice(),
            BLOOM => &[0; BLOOM_BYTES],
            GAS_USED => &[],
            DIFFICULTY => difficulty,
            _ => self.fields[field].payload,
        }
    }

    /// `None` if it is no successor that a run can have.
    fn pack_after(&self, before: &Whole<'_>, authors: &[&[u8]], out: &mut Vec<u8>) -> Option<()> {
        let (this, parent) = (&self.header, &before.header);
        let follows = this.parent == keccak256(before.bytes)
            && Some(this.number) == parent.number.checked_add(1)
            && self.fields.len() == before.fields.len();
        let elapsed = this.time.0.checked_sub(parent.time.0).filter(|_| follows)?;
        let digits = expected_difficulty(parent, &this.seal)?;
        let fields = FLAGGED.into_iter().chain(COMMON_FIELDS + SEAL_FIELDS..self.fields.len());
        let told: Vec<(usize, usize)> = fields
            .enumerate()
            .filter(|(_, field)| self.fields[*field].payload != before.expected(*field, &digits))
            .collect();
        let flags = told.iter().fold(0u16, |flags, (bit, _)| flags | 1 << bit);
        out.extend(flags.to_be_bytes());
        let author = self.fields[AUTHOR].payload;
        match authors.iter().rev().take(AUTHORS_BACK).position(|known| *known == author) {
            Some(back) => out.push(u8::try_from(back + 1).ok()?),
            None => {
                out.push(0);
                out.extend_from_slice(author);
            }
        }
        put_number(elapsed, out);
        match (&parent.seal, &this.seal) {
            (Seal::Aura { step: from, .. }, Seal::Aura { step, signature }) => {
                put_number(step.checked_sub(*from)?, out);
                out.extend_from_slice(signature);
            }
            (Seal::Other, Seal::Other) => {
                self.fields[COMMON_FIELDS..COMMON_FIELDS + SEAL_FIELDS]
                    .iter()
                    .for_each(|field| out.extend_from_slice(field.payload));
            }
            _ => return None,
        }
        for (_, field) in told {
            put_field(field, self.fields[field].payload, out)?;
        }
        Some(())
    }
}

/// The difficulty that Aura demands of a block with this seal, in digits; elsewhere the parent's.
fn expected_difficulty(parent: &Header, seal: &Seal) -> Option<Vec<u8>> {
    let difficulty = match (&parent.seal, seal) {
        (Seal::Aura { step: from, .. }, Seal::Aura { step, .. }) => {
            U256::from(u128::MAX) - U256::from(step.checked_sub(*from)?)
        }
        _ => parent.difficulty,
    };
    Some(difficulty.to_be_bytes_trimmed_vec())
}

fn put_field(field: usize, payload: &[u8], out: &mut Vec<u8>) -> Option<()> {
    match field {
        UNCLES | STATE | TRANSACTIONS | RECEIPTS => out.extend_from_slice(payload),
        BLOOM => put_bloom(payload, out),
        EXTRA => {
            out.extend(length(payload.len()));
            out.extend_from_slice(payload);
        }
        _ => {
            out.push(u8::try_from(payload.len()).ok().filter(|length| usize::from(*length) <= MOST_DIGITS)?);
            out.extend_from_slice(payload);
        }
    }
    Some(())
}

/// Few bytes that are not zero are written with their places.
fn put_bloom(bloom: &[u8], out: &mut Vec<u8>) {
    let set: Vec<(u8, u8)> =
        (0..=u8::MAX).zip(bloom.iter().copied()).filter(|(_, byte)| *byte != 0).collect();
    match u8::try_from(set.len()) {
        Ok(count) if set.len() <= MOST_SPARSE => {
            out.push(count);
            set.iter().for_each(|(at, byte)| out.extend([*at, *byte]));
        }
        _ => {
            out.push(0);
            out.extend_from_slice(bloom);
        }
    }
}

/// Seven bits a byte, the lowest first; the last has its top bit clear.
fn put_number(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Two bytes, which say the length of any header.
fn length(bytes: usize) -> [u8; 2] {
    u16::try_from(bytes).unwrap_or(u16::MAX).to_be_bytes()
}

/// What is left of a packed run.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|taken| taken[0])
    }

    fn short(&mut self) -> Option<u16> {
        self.take(2).map(|taken| u16::from_be_bytes([taken[0], taken[1]]))
    }

    /// Bytes behind their length.
    fn long(&mut self) -> Option<&'a [u8]> {
        let length = usize::from(self.short()?);
        self.take(length).filter(|_| length <= MAX_HEADER_BYTES)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            number |= bits.checked_shl(shift).filter(|shifted| shifted >> shift == bits)?;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    /// The next header's bytes.
    fn header(&mut self, before: &Whole<'_>, authors: &[Vec<u8>]) -> Option<Vec<u8>> {
        let parent = &before.header;
        let flags = self.short()?;
        let author = match usize::from(self.byte()?) {
            0 => self.take(20)?.to_vec(),
            back => authors.get(authors.len().checked_sub(back)?)?.clone(),
        };
        let time = parent.time.0.checked_add(self.number()?)?;
        let (seal, difficulty) = self.seal(parent)?;
        let count = before.fields.len();
        let mut fields: Vec<Vec<u8>> = (0..count)
            .map(|field| match field {
                PARENT => keccak256(before.bytes).to_vec(),
                AUTHOR => author.clone(),
                NUMBER => digits(parent.number.wrapping_add(1)),
                TIME => digits(time),
                _ if (COMMON_FIELDS..COMMON_FIELDS + SEAL_FIELDS).contains(&field) => {
                    seal[field - COMMON_FIELDS].clone()
                }
                _ => before.expected(field, &difficulty).to_vec(),
            })
            .collect();
        let flagged = FLAGGED.into_iter().chain(COMMON_FIELDS + SEAL_FIELDS..count).enumerate();
        let mut known = 0;
        for (bit, field) in flagged {
            known |= 1 << bit;
            if flags & (1 << bit) != 0 {
                fields[field] = self.field(field)?;
            }
        }
        if flags & !known != 0 || parent.number == u64::MAX {
            return None;
        }
        let mut payload = Vec::with_capacity(700);
        fields.iter().for_each(|field| rlp::put_string(field, &mut payload));
        Some(rlp::list_of(&payload)).filter(|header| header.len() <= MAX_HEADER_BYTES)
    }

    /// The seal's fields, and the difficulty that it makes.
    fn seal(&mut self, parent: &Header) -> Option<([Vec<u8>; 2], Vec<u8>)> {
        match &parent.seal {
            Seal::Aura { step: from, .. } => {
                let step = from.checked_add(self.number()?)?;
                let signature = self.take(super::header::SIGNATURE_BYTES)?;
                let seal = Seal::Aura { step, signature: signature.try_into().ok()? };
                Some(([digits(step), signature.to_vec()], expected_difficulty(parent, &seal)?))
            }
            Seal::Other => {
                let fields = [self.take(32)?.to_vec(), self.take(8)?.to_vec()];
                Some((fields, expected_difficulty(parent, &Seal::Other)?))
            }
        }
    }

    fn field(&mut self, field: usize) -> Option<Vec<u8>> {
        match field {
            UNCLES | STATE | TRANSACTIONS | RECEIPTS => self.take(32).map(<[u8]>::to_vec),
            BLOOM => self.bloom(),
            EXTRA => self.long().map(<[u8]>::to_vec),
            _ => {
                let length = usize::from(self.byte()?);
                self.take(length).filter(|_| length <= MOST_DIGITS).map(<[u8]>::to_vec)
            }
        }
    }

    fn bloom(&mut self) -> Option<Vec<u8>> {
        let count = usize::from(self.byte()?);
        if count == 0 {
            return self.take(BLOOM_BYTES).map(<[u8]>::to_vec);
        }
        let mut bloom = vec![0; BLOOM_BYTES];
        for pair in self.take(count.checked_mul(2)?)?.chunks_exact(2) {
            bloom[usize::from(pair[0])] = pair[1];
        }
        Some(bloom)
    }
}

/// An integer without leading zeros.
fn digits(number: u64) -> Vec<u8> {
    U256::from(number).to_be_bytes_trimmed_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a header of a test differs in from the one before it.
    #[derive(Debug, Clone)]
    struct Block {
        author: u8,
        seconds: u64,
        steps: u64,
        state: Option<u8>,
        bloom: Vec<(u8, u8)>,
        difficulty: Option<u64>,
        gas_used: u64,
        extra: u8,
        base_fee: u64,
    }

    fn headers(blocks: &[Block], aura: bool, london: bool) -> Vec<Vec<u8>> {
        let mut headers: Vec<Vec<u8>> = Vec::new();
        let (mut time, mut step) = (1_700_000_000u64, 340_000_000u64);
        for (number, block) in (7u64..).zip(blocks) {
            time += block.seconds;
            step += block.steps;
            let difficulty =
                block.difficulty.map_or_else(|| U256::from(u128::MAX) - U256::from(block.steps), U256::from);
            let mut bloom = vec![0; BLOOM_BYTES];
            block.bloom.iter().for_each(|(at, byte)| bloom[usize::from(*at)] |= byte);
            let (root, busy) = (B256::repeat_byte(block.state.unwrap_or(9)), block.state.is_some());
            let roots = if busy { root } else { EMPTY_ROOT };
            let parent = headers.last().map_or(B256::ZERO, keccak256);
            let mut fields = vec![
                parent.to_vec(),
                vec![1; 32],
                vec![block.author; 20],
                root.to_vec(),
                roots.to_vec(),
                roots.to_vec(),
                bloom,
                difficulty.to_be_bytes_trimmed_vec(),
                digits(number),
                digits(8_000_000),
                digits(block.gas_used),
                digits(time),
                vec![block.extra; usize::from(block.extra % 33)],
            ];
            if aura {
                fields.extend([digits(step), vec![block.author; 65]]);
            } else {
                fields.extend([vec![block.author; 32], vec![0; 8]]);
            }
            if london {
                fields.push(digits(block.base_fee));
            }
            let mut payload = Vec::new();
            fields.iter().for_each(|field| rlp::put_string(field, &mut payload));
            headers.push(rlp::list_of(&payload));
        }
        headers
    }

    fn block() -> impl Strategy<Value = Block> {
        let seal = (0u8..4, 0u64..400, 0u64..400);
        let rest = (
            prop::option::of(any::<u8>()),
            prop::collection::vec(any::<(u8, u8)>(), 0..200),
            prop::option::weighted(0.1, any::<u64>()),
            0u64..3,
            0u8..3,
            0u64..3,
        );
        (seal, rest).prop_map(
            |((author, seconds, steps), (state, bloom, difficulty, gas_used, extra, base_fee))| Block {
                author,
                seconds,
                steps,
                state,
                bloom,
                difficulty,
                gas_used,
                extra,
                base_fee,
            },
        )
    }

    fn quiet(author: u8) -> Block {
        Block {
            author,
            seconds: 5,
            steps: 1,
            state: None,
            bloom: Vec::new(),
            difficulty: None,
            gas_used: 0,
            extra: 30,
            base_fee: 7,
        }
    }

    proptest! {
        #[test]
        fn runs_come_back_as_they_were(
            blocks in prop::collection::vec(block(), 1..12), aura in any::<bool>(), london in any::<bool>()
        ) {
            let headers = headers(&blocks, aura, london);
            let packed = pack(&headers).unwrap();
            let parsed: Vec<Header> = headers.iter().map(|header| Header::parse(header).unwrap()).collect();
            prop_assert_eq!(unpack(&packed), Ok(parsed));
        }

        #[test]
        fn every_other_form_is_refused(blocks in prop::collection::vec(block(), 1..5), at: prop::sample::Index, bit in 0u8..8) {
            let mut packed = pack(&headers(&blocks, true, true)).unwrap();
            let at = at.index(packed.len());
            packed[at] ^= 1 << bit;
            // What is changed is another run, or none.
            if let Ok(bytes) = unpack_bytes(&packed)
                && unpack(&packed).is_ok()
            {
                prop_assert_eq!(pack(&bytes), Ok(packed.clone()));
            }
            packed.truncate(at);
            prop_assert!(unpack(&packed).is_err() || pack(&unpack_bytes(&packed).unwrap()) == Ok(packed));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = unpack(&bytes);
        }
    }

    #[test]
    fn longer_numbers_and_needless_fields_are_refused() {
        let headers = headers(&[quiet(1), quiet(2)], true, false);
        let packed = pack(&headers).unwrap();
        let first = 2 + headers[0].len();
        assert_eq!(packed.len() - first, 2 + 21 + 1 + 1 + 65, "flags, author, time, step, signature");
        let time = first + 2 + 21;
        let long = [&packed[..time], &[packed[time] | 0x80, 0], &packed[time + 1..]].concat();
        assert_eq!(unpack(&long), Err(BadRun::NotCanonical));
        let mut needless = packed.clone();
        needless[first + 1] |= 1;
        needless.extend([1; 32]);
        assert_eq!(unpack(&needless), Err(BadRun::NotCanonical), "the uncles are those of the parent");
        let mut unknown = packed.clone();
        unknown[first] |= 0x80;
        assert_eq!(unpack(&unknown), Err(BadRun::Form(1)));
        let known = headers_by_the_same_author();
        assert!(unpack(&pack(&known).unwrap()).is_ok());
    }

    fn headers_by_the_same_author() -> Vec<Vec<u8>> {
        headers(&[quiet(1), quiet(2), quiet(1)], true, false)
    }

    #[test]
    fn only_chains_of_one_form_are_packed() {
        let good = headers(&[quiet(1), quiet(2), quiet(3)], true, false);
        assert_eq!(pack(&[]), Err(Unpackable::Count));
        assert_eq!(pack(&vec![good[0].clone(); MAX_RUN_HEADERS + 1]), Err(Unpackable::Count));
        assert_eq!(pack(&[good[0].clone(), good[2].clone()]), Err(Unpackable::Break(1)));
        assert_eq!(pack(&[good[0].clone(), vec![0xc0]]), Err(Unpackable::Header(1)));
        let other = headers(&[quiet(1), quiet(2)], true, true);
        assert_eq!(pack(&[good[0].clone(), other[1].clone()]), Err(Unpackable::Break(1)));
    }

    /// As many as make a block of bloxberg final, most of them empty; what the numbers in the documentation are of.
    #[test]
    fn a_final_block_of_51_authorities_takes_three_kilobytes() {
        let mut blocks: Vec<Block> = (0..26).map(quiet).collect();
        blocks[0].state = Some(77);
        blocks[0].bloom = (0..12).map(|at| (at * 20, 1)).collect();
        for busy in [5, 11, 20] {
            blocks[busy] = Block { gas_used: 60_000, ..Block { author: busy as u8, ..blocks[0].clone() } };
        }
        let headers = headers(&blocks, true, false);
        let plain: usize = headers.iter().map(Vec::len).sum();
        let packed = pack(&headers).unwrap().len();
        println!("26 headers: {plain} bytes plain, {packed} packed");
        assert!(packed * 4 < plain && packed <= 3_400, "{plain} bytes, {packed} packed");
    }
}
