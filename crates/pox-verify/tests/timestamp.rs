//! Time anchors: stamps of an authority by openssl, OpenTimestamps files by its own client, and everything that must not pass.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::disallowed_methods, reason = "a test may read files and run programs; the judge may not")]

use alloy_primitives::{B256, hex};
use pox_core::UnixTime;
use pox_verify::timestamp::ots::{
    Attestation, BadBlock, BitcoinBlock, Operation, Ots, OtsError, OtsRejection, Stamp,
};
use pox_verify::timestamp::rfc3161::{self, Link, Nonce, Roots, TsaRejection};
use pox_verify::timestamp::{FileHash, TimeAnchor, Witness};
use proptest::prelude::*;
use std::fs;
use std::path::{Path, PathBuf};

fn data(name: &str) -> Vec<u8> {
    fs::read(folder().join(name)).unwrap()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/timestamp")
}

fn roots(name: &str) -> Roots {
    let pem = pem::parse(data(name)).unwrap();
    Roots::parse(vec![pem.into_contents()]).unwrap()
}

fn file() -> FileHash {
    FileHash::of(&data("file"))
}

/// A day after the stamps of the folder were made, by what they state.
fn later() -> UnixTime {
    let far = UnixTime(u64::from(u32::MAX));
    match rfc3161::verify(&data("rsa.tsr"), file(), &roots("root.pem"), far) {
        Ok(anchor) => UnixTime(anchor.not_after.0 + 86_400),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn stamps_of_every_kind_of_signature_are_believed() {
    for name in ["rsa", "rsa-older", "p256", "p384", "pss", "by-key"] {
        let stamp = data(&format!("{name}.tsr"));
        let anchor = rfc3161::verify(&stamp, file(), &roots("root.pem"), later());
        let TimeAnchor { not_after, witness } =
            anchor.unwrap_or_else(|error| panic!("{name}: {error}")).into_inner();
        let Witness::Authority { name: authority, root, stated, policy, .. } = witness else {
            panic!("{name}")
        };
        assert_eq!(not_after.0, stated.0 + 2, "one second and a half, rounded up");
        assert!(authority.contains("CN=tsa-") && root.contains("CN=root"), "{authority} {root}");
        assert_eq!(policy, "1.2.3.4.1");
    }
    // An authority in between can be the one that is trusted.
    assert!(rfc3161::verify(&data("rsa.tsr"), file(), &roots("issuing-rsa.pem"), later()).is_ok());
}

#[test]
fn a_stamp_is_refused_for_the_right_reason() {
    let refused = |stamp: &[u8], file: FileHash, roots: &Roots, at: UnixTime| {
        rfc3161::verify(stamp, file, roots, at).expect_err("it is refused")
    };
    let (root, at) = (roots("root.pem"), later());
    let rsa = data("rsa.tsr");
    assert_eq!(refused(&rsa, FileHash::of(b"another"), &root, at), TsaRejection::OtherFile);
    assert_eq!(refused(&data("p256.tsr"), file(), &roots("issuing-rsa.pem"), at), TsaRejection::Untrusted);
    assert_eq!(refused(&rsa, file(), &Roots::parse(vec![]).unwrap(), at), TsaRejection::Untrusted);
    for name in ["careless.tsr", "server.tsr"] {
        assert_eq!(refused(&data(name), file(), &root, at), TsaRejection::Purpose, "{name}");
    }
    // Its certificate was in force when it stamped, and had ended two days later.
    let (during, after) = (UnixTime(at.0 - 86_400), UnixTime(at.0 + 86_400));
    assert!(rfc3161::verify(&data("expired.tsr"), file(), &root, during).is_ok());
    assert!(matches!(refused(&data("expired.tsr"), file(), &root, after), TsaRejection::NotInForce { .. }));
    // Refused by the authority: PKIStatus 2, and no token.
    assert_eq!(refused(&hex!("30053003020102"), file(), &root, at), TsaRejection::NotGranted { status: 2 });
    let long = [rsa.as_slice(), &[0]].concat();
    assert!(matches!(refused(&long, file(), &root, at), TsaRejection::Malformed { link: Link::Answer, .. }));
    assert_eq!(refused(&vec![0x30; 70_000], file(), &root, at), TsaRejection::TooLarge);
}

#[test]
fn no_changed_byte_makes_a_stamp_say_anything_else() {
    for name in ["rsa.tsr", "p256.tsr", "pss.tsr"] {
        let (stamp, roots, at) = (data(name), roots("root.pem"), later());
        let genuine = rfc3161::verify(&stamp, file(), &roots, at).unwrap().into_inner();
        let mut passed = 0;
        for index in 0..stamp.len() {
            for bit in [0x01, 0x80] {
                let mut changed = stamp.clone();
                changed[index] ^= bit;
                if let Ok(anchor) = rfc3161::verify(&changed, file(), &roots, at) {
                    assert_eq!(anchor.into_inner(), genuine, "{name}, byte {index}");
                    passed += 1;
                }
            }
        }
        // Versions and the list of hash algorithms are not signed, and say nothing.
        assert!(passed < 60, "{name}: {passed} changes went unseen");
    }
}

#[test]
fn a_query_is_what_openssl_makes_and_its_answer_is_told_from_others() {
    let query = rfc3161::query(file(), &Nonce::new([0xff; 8]));
    let expected = [
        &hex!("3043020101303130 0d060960864801650304020105000420")[..],
        file().0.as_slice(),
        &hex!("02087fffffffffffffff0101ff"),
    ]
    .concat();
    assert_eq!(query, expected);
    let other = rfc3161::answers(&data("rsa.tsr"), file(), &Nonce::new([1; 8]));
    assert_eq!(other, Err(TsaRejection::OtherNonce));
}

#[test]
#[ignore = "needs openssl: run by .ci/run"]
fn openssl_reads_our_query_and_we_read_its_answer() {
    use std::process::Command;
    let scratch = tempfile::tempdir().unwrap();
    let path = |name: &str| scratch.path().join(name);
    let nonce = Nonce::new([7; 8]);
    fs::write(path("file"), b"made just now").unwrap();
    let file = FileHash::of(b"made just now");
    fs::write(path("query"), rfc3161::query(file, &nonce)).unwrap();
    let made = Command::new("bash")
        .arg(folder().join("make.sh"))
        .arg(scratch.path())
        .env("QUERY", path("query"))
        .env("FILE", path("file"))
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let roots =
        Roots::parse(vec![pem::parse(fs::read(path("root.pem")).unwrap()).unwrap().into_contents()]).unwrap();
    let now = UnixTime(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs());
    for name in ["rsa", "rsa-older", "p256", "p384"] {
        let answer = path(&format!("{name}.tsr"));
        let bytes = fs::read(&answer).unwrap();
        rfc3161::answers(&bytes, file, &nonce).unwrap();
        let anchor = rfc3161::verify(&bytes, file, &roots, now).unwrap();
        assert!(anchor.not_after.0.abs_diff(now.0) < 600);
        let judged = Command::new("openssl")
            .args(["ts", "-verify", "-queryfile"])
            .arg(path("query"))
            .arg("-in")
            .arg(&answer)
            .arg("-CAfile")
            .arg(path("root.pem"))
            .output()
            .unwrap();
        assert!(judged.status.success(), "{name}: {}", String::from_utf8_lossy(&judged.stderr));
    }
}

/// Bitcoin's first block, and the only transaction in it.
#[test]
fn an_answer_that_would_make_the_file_unreadable_is_not_added() {
    let mut ots = Ots::begin(file(), [3; 16]);
    let message = ots.submission();
    let pending = Attestation::Pending { uri: "https://a".into() };
    assert!(ots.merge(&message, &Stamp { attestations: vec![pending], branches: vec![] }));
    let before = ots.clone();
    let end = Stamp { attestations: vec![Attestation::Bitcoin { height: 1 }], branches: vec![] };
    let deep = (0..256)
        .fold(end, |stamp, _| Stamp { attestations: vec![], branches: vec![(Operation::Sha256, stamp)] });
    assert_eq!(Stamp::parse(&deep.to_bytes()).as_ref(), Ok(&deep), "by itself it is an answer");
    assert!(!ots.merge(&message, &deep));
    assert_eq!(ots, before);
}

const GENESIS: [u8; 80] = hex!(
    "0100000000000000000000000000000000000000000000000000000000000000000000003ba3edfd7a7b12b27ac72c3e67768f617fc81bc3888a51323a9fb8aa4b1e5e4a29ab5f49ffff001d1dac2b7c"
);
const TRANSACTION: &[u8] = &hex!(
    "01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff4d04ffff001d0104455468652054696d65732030332f4a616e2f32303039204368616e63656c6c6f72206f6e206272696e6b206f66207365636f6e64206261696c6f757420666f722062616e6b73ffffffff0100f2052a01000000434104678afdb0fe5548271967f1a67130b7105cd6a828e03909a67962e0ea1f61deb649f6bc3f4cef38c4f35504e51ec112de5c384df7ba0b8d578a4c702b6bf11d5fac00000000"
);

/// A timestamp that leads to Bitcoin's first block: its "file hash" is 32 bytes of that block's transaction.
fn genesis_stamp() -> Ots {
    let (before, rest) = TRANSACTION.split_at(60);
    let (hash, after) = rest.split_at(32);
    let end = Stamp { attestations: vec![Attestation::Bitcoin { height: 0 }], branches: vec![] };
    let chain = [
        Operation::Prepend(before.to_vec()),
        Operation::Append(after.to_vec()),
        Operation::Sha256,
        Operation::Sha256,
    ];
    let stamp = chain
        .into_iter()
        .rev()
        .fold(end, |stamp, operation| Stamp { attestations: vec![], branches: vec![(operation, stamp)] });
    Ots { file: FileHash(B256::from_slice(hash)), stamp }
}

#[test]
fn a_stamp_leads_to_a_real_block() {
    let ots = genesis_stamp();
    let block: BitcoinBlock = format!("0:{}", hex::encode(GENESIS)).parse().unwrap();
    let anchor = Ots::verify(&ots.to_bytes(), ots.file, &[block]).unwrap().into_inner();
    assert_eq!(anchor.not_after, UnixTime(1_231_006_505 + 7_200));
    let Witness::Bitcoin { height: 0, hash: Some(hash), .. } = anchor.witness else { panic!() };
    assert_eq!(hex::encode(hash), "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f");
    // The same by the root alone, as explorers write it.
    let root = "4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b";
    let block: BitcoinBlock = format!("0:{root}:1231006505").parse().unwrap();
    assert!(Ots::verify(&ots.to_bytes(), ots.file, &[block]).is_ok());
}

#[test]
fn a_stamp_shows_nothing_without_its_block() {
    let ots = genesis_stamp();
    let bytes = ots.to_bytes();
    let known = |height, root: [u8; 32]| BitcoinBlock::dangerously_by_root(height, root.into(), UnixTime(1));
    assert_eq!(Ots::verify(&bytes, FileHash::of(b"x"), &[]), Err(OtsRejection::OtherFile));
    let unknown = OtsRejection::UnknownBlock { blocks: vec![0] };
    assert_eq!(Ots::verify(&bytes, ots.file, &[]), Err(unknown.clone()));
    assert_eq!(Ots::verify(&bytes, ots.file, &[known(1, [7; 32])]), Err(unknown));
    let wrong = Ots::verify(&bytes, ots.file, &[known(0, [7; 32])]);
    assert_eq!(wrong, Err(OtsRejection::NotInBlock { height: 0 }));

    let pending =
        Stamp { attestations: vec![Attestation::Pending { uri: "https://cal".into() }], branches: vec![] };
    let only_pending = Ots { file: file(), stamp: pending };
    let refused = Ots::verify(&only_pending.to_bytes(), file(), &[]);
    assert_eq!(refused, Err(OtsRejection::Pending { calendars: vec!["https://cal".into()] }));
    // Behind a weak hash there can be anything.
    let mut weak = genesis_stamp();
    weak.stamp = Stamp { attestations: vec![], branches: vec![(Operation::Sha1, weak.stamp)] };
    assert_eq!(Ots::verify(&weak.to_bytes(), weak.file, &[]), Err(OtsRejection::Nothing));
}

#[test]
fn a_header_without_work_is_none() {
    let mut header = GENESIS;
    header[76] ^= 1;
    assert_eq!(BitcoinBlock::from_header(0, &header), Err(BadBlock::Work));
    // Work that anybody can do: a target above any that Bitcoin had.
    header[72..76].copy_from_slice(&0x207f_ffff_u32.to_le_bytes());
    assert_eq!(BitcoinBlock::from_header(0, &header), Err(BadBlock::Work));
    for bad in ["", "0", "0:00", "x:00:1", "0:00:1:2", &format!("0:{}:x", "00".repeat(32))] {
        assert_eq!(bad.parse::<BitcoinBlock>(), Err(BadBlock::Form), "{bad}");
    }
}

#[test]
fn calendars_answers_find_their_place() {
    let mut ots = Ots::begin(file(), [3; 16]);
    let message = ots.submission();
    assert_ne!(message, file().0.to_vec(), "a calendar learns nothing of the file");
    let said =
        |uri: &str| Stamp { attestations: vec![Attestation::Pending { uri: uri.into() }], branches: vec![] };
    assert!(ots.merge(&message, &said("https://a")) && ots.merge(&message, &said("https://b")));
    assert!(ots.merge(&message, &said("https://a")), "the same again changes nothing");
    assert!(!ots.merge(&[0; 32], &said("https://c")));
    let pending = ots.attested();
    assert_eq!(pending.len(), 2);
    assert!(pending.iter().all(|attested| attested.message == message));
    assert_eq!(Ots::parse(&ots.to_bytes()), Ok(ots));
}

#[test]
fn other_bytes_are_no_timestamp() {
    let good = genesis_stamp().to_bytes();
    let magic = good[..31].to_vec();
    let with = |rest: &[u8]| Ots::parse(&[magic.as_slice(), rest].concat());
    assert_eq!(Ots::parse(b"no"), Err(OtsError::Magic));
    assert_eq!(with(&[2]), Err(OtsError::Version(2)));
    assert_eq!(with(&[0x81, 0]), Err(OtsError::Bounds), "one has a shorter form");
    assert_eq!(with(&[1, 2]), Err(OtsError::Hash));
    let body = [&[1, 8][..], &[9; 32]].concat();
    let after = |rest: &[u8]| with(&[body.as_slice(), rest].concat());
    assert_eq!(after(&[]), Err(OtsError::Short));
    assert_eq!(after(&[0x55]), Err(OtsError::Operation(0x55)));
    assert_eq!(after(&[0xf0, 0]), Err(OtsError::Bounds), "nothing is appended");
    assert_eq!(after(&[0xf0, 0xff, 0xff, 0xff, 0x7f]), Err(OtsError::Bounds));
    assert_eq!(after(&[0x08; 300]), Err(OtsError::Deep));
    let pending = [&hex!("0083dfe30d2ef90c8e")[..], &[4, 3], b"a b"].concat();
    assert_eq!(after(&pending), Err(OtsError::Uri));
    assert_eq!(Ots::parse(&[good.as_slice(), &[0]].concat()), Err(OtsError::Trailing));
    assert_eq!(Ots::parse(&vec![0; 70_000]), Err(OtsError::TooLarge));
}

fn stamp() -> impl Strategy<Value = Stamp> {
    let attestation = prop_oneof![
        (0..u64::MAX).prop_map(|height| Attestation::Bitcoin { height }),
        "https://[a-z]{1,9}".prop_map(|uri| Attestation::Pending { uri }),
        any::<[u8; 3]>().prop_map(|payload| Attestation::Unknown { tag: [1; 8], payload: payload.to_vec() }),
    ];
    let operation = prop_oneof![
        Just(Operation::Sha256),
        Just(Operation::Sha1),
        Just(Operation::Ripemd160),
        Just(Operation::Keccak256),
        Just(Operation::Reverse),
        Just(Operation::Hexlify),
        prop::collection::vec(any::<u8>(), 1..9).prop_map(Operation::Append),
        prop::collection::vec(any::<u8>(), 1..9).prop_map(Operation::Prepend),
    ];
    let leaf = prop::collection::vec(attestation, 1..3)
        .prop_map(|attestations| Stamp { attestations, branches: vec![] });
    leaf.prop_recursive(6, 40, 3, move |inner| {
        prop::collection::vec((operation.clone(), inner), 1..3)
            .prop_map(|branches| Stamp { attestations: vec![], branches })
    })
}

proptest! {
    #[test]
    fn every_timestamp_is_read_as_it_was_written(stamp in stamp(), hash: [u8; 32]) {
        let ots = Ots { file: FileHash(hash.into()), stamp };
        prop_assert_eq!(Ots::parse(&ots.to_bytes()), Ok(ots));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = Stamp::parse(&bytes);
        let _ = rfc3161::verify(&bytes, file(), &Roots::parse(vec![]).unwrap(), UnixTime(0));
    }
}

/// The program that everybody else makes and reads these files with, in a Python environment of its own.
#[test]
#[ignore = "needs POX_PYTHON, where the client of OpenTimestamps is: run by .ci/run"]
fn the_client_reads_what_we_write_and_we_read_what_it_writes() {
    use std::process::Command;
    let programs = std::env::var_os("POX_PYTHON").expect("POX_PYTHON names the folder of programs from PyPI");
    let [ots, python] = ["ots", "python3"].map(|name| Path::new(&programs).join(name));
    let scratch = tempfile::tempdir().unwrap();
    let path = |name: &str| scratch.path().join(name);
    // Ours, read by the client: the same operations, attestations and messages.
    let mut ours = Ots::begin(file(), [5; 16]);
    let message = ours.submission();
    let mut said = genesis_stamp().stamp;
    said.attestations.push(Attestation::Pending { uri: "https://calendar.example".into() });
    assert!(ours.merge(&message, &said));
    fs::write(path("ours.ots"), ours.to_bytes()).unwrap();
    let info = Command::new(&ots).arg("info").arg(path("ours.ots")).output().unwrap();
    let shown = String::from_utf8_lossy(&info.stdout).into_owned();
    assert!(info.status.success(), "{shown} {}", String::from_utf8_lossy(&info.stderr));
    assert!(shown.contains(&hex::encode(file().0)), "{shown}");
    assert!(shown.contains("PendingAttestation('https://calendar.example')"), "{shown}");
    assert!(shown.contains("BitcoinBlockHeaderAttestation(0)"), "{shown}");
    // The library behind the client writes it again, in an order of its own, and evaluates it as we do.
    let again = "import sys\n\
        from opentimestamps.core.timestamp import DetachedTimestampFile as D\n\
        from opentimestamps.core.serialize import StreamDeserializationContext as R, StreamSerializationContext as W\n\
        d = D.deserialize(R(open(sys.argv[1], 'rb')))\n\
        d.serialize(W(open(sys.argv[2], 'wb')))\n\
        print('\\n'.join(sorted(m.hex() for m, _ in d.timestamp.all_attestations())))";
    let run = Command::new(python)
        .args(["-c", again])
        .arg(path("ours.ots"))
        .arg(path("theirs.ots"))
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let theirs = Ots::parse(&fs::read(path("theirs.ots")).unwrap()).unwrap();
    let messages = |ots: &Ots| {
        let mut list: Vec<String> =
            ots.attested().iter().map(|attested| hex::encode(&attested.message)).collect();
        list.sort();
        list.join("\n")
    };
    assert_eq!(messages(&theirs), messages(&ours));
    assert_eq!(String::from_utf8_lossy(&run.stdout).trim(), messages(&ours));
}

#[test]
fn files_that_others_made_long_ago_say_what_their_own_program_says() {
    let stamped = |name: &str| {
        (data(&format!("recorded/{name}.ots")), FileHash::of(&data(&format!("recorded/{name}"))))
    };
    let bytes = data("recorded/gdp2q25-2nd.pdf.ots");
    let ots = Ots::parse(&bytes).unwrap();
    assert_eq!(ots.to_bytes(), bytes);
    let block = "912095:936131994129988e1932d8c1c6a9780fd42ae4c87204cfb0ac852be1250039ae:1756000000";
    let anchor = Ots::verify(&bytes, ots.file, &[block.parse().unwrap()]).unwrap();
    assert_eq!(anchor.not_after, UnixTime(1_756_000_000 + 7_200));
    // The oldest of all goes through RIPEMD-160, which is not followed.
    let (bytes, hello) = stamped("hello-world.txt");
    assert_eq!(Ots::parse(&bytes).unwrap().to_bytes(), bytes);
    assert_eq!(Ots::verify(&bytes, hello, &[]), Err(OtsRejection::Nothing));

    let (bytes, two) = stamped("two-calendars.txt");
    let Err(OtsRejection::Pending { calendars }) = Ots::verify(&bytes, two, &[]) else { panic!() };
    assert_eq!(calendars.len(), 2);
    let (bytes, unknown) = stamped("unknown-notary.txt");
    assert_eq!(Ots::verify(&bytes, unknown, &[]), Err(OtsRejection::Nothing));
    let refused = |name: &str| Ots::parse(&data(&format!("recorded/{name}.ots"))).err().unwrap();
    assert!(matches!(refused("bad-major-version"), OtsError::Version(_)));
    // Its message grows beyond all bounds: what is attested of that is not followed.
    let long = Ots::parse(&data("recorded/exceeds-max-msg-length.ots")).unwrap();
    assert!(long.attested().is_empty());
    assert_eq!((refused("invalid-file-digest-type"), refused("sha1")), (OtsError::Hash, OtsError::Hash));
}
