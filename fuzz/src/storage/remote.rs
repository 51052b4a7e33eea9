//! What storage answers: blocks and their archives, and S3's documents.

use pox_store::ipfs::{Car, Cid, Node};
use pox_store::s3::parse_answer;
use std::path::Path;

/// An archive gives the same blocks however its bytes arrive, and what is decoded agrees with itself.
pub(crate) fn archive(input: &[u8]) {
    let sections = |piece: usize| {
        let (mut car, mut found) = (Car::default(), Vec::new());
        for bytes in input.chunks(piece) {
            car.push(bytes);
            loop {
                match car.section() {
                    Ok(Some(section)) => found.push(section),
                    Ok(None) => break,
                    Err(_) => return found,
                }
            }
        }
        found
    };
    let whole = sections(input.len().max(1));
    assert_eq!(whole, sections(7));
    for section in whole {
        let text = section.cid.to_string();
        assert_eq!(text.parse::<Cid>().as_ref(), Ok(&section.cid));
        node(&section.cid, &section.block);
    }
}

/// A block, as each kind that an identifier can say that it is.
pub(crate) fn block(input: &[u8]) {
    for text in [
        "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn",
        "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e",
    ] {
        node(&text.parse().expect("both are identifiers"), input);
    }
}

fn node(cid: &Cid, block: &[u8]) {
    if let Ok(Node::File { data, children, size }) = Node::decode(cid, block) {
        let sum: u64 = children.iter().map(|(_, size)| size).sum();
        assert_eq!(size, sum + block[data].len() as u64);
    }
}

/// An identifier has one text in the form that is shown.
pub(crate) fn cid(input: &[u8]) {
    if let Ok(cid) = std::str::from_utf8(input).unwrap_or_default().parse::<Cid>() {
        assert_eq!(cid.to_string().parse::<Cid>(), Ok(cid));
    }
}

/// An answer of S3.
pub(crate) fn answer(input: &[u8]) {
    if let Some(answer) = parse_answer(input) {
        assert!(answer.items.len() <= 10_000);
    }
}

fn tests() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/pox-store/tests/ipfs")
}

pub(crate) fn archive_seeds() -> Vec<Vec<u8>> {
    ["v0.car", "v1.car"].map(|name| std::fs::read(tests().join(name)).expect("it is committed")).into()
}

pub(crate) fn block_seeds() -> Vec<Vec<u8>> {
    let mut car = Car::default();
    car.push(&archive_seeds()[1]);
    std::iter::from_fn(|| car.section().ok().flatten())
        .map(|section| section.block.to_vec())
        .take(20)
        .collect()
}

pub(crate) fn cid_seeds() -> Vec<Vec<u8>> {
    let committed =
        ["v0.cid", "v1.cid"].map(|name| std::fs::read(tests().join(name)).expect("it is committed"));
    committed.map(|text| text.trim_ascii().to_vec()).into()
}

pub(crate) fn answer_seeds() -> Vec<Vec<u8>> {
    [
        "<?xml version=\"1.0\"?><Error><Code>NoSuchKey</Code></Error>",
        "<R><UploadId>u&amp;1</UploadId><IsTruncated>true</IsTruncated><Part><PartNumber>1</PartNumber><ETag>&quot;ab&quot;</ETag><Size>5</Size></Part></R>",
        "<R><Upload><Key>a/b</Key><UploadId>7</UploadId></Upload></R>",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}
