//! The published age test vectors (C2SP CCTV): each file of the folder, or the run fails.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests fail as tests do

use pox_seal::Identity;
use pox_seal::age::{AgeError, Header, Locked, armor, dearmor};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use zeroize::Zeroizing;

#[test]
fn every_vector_ends_as_published() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/cctv");
    let mut outcomes = BTreeMap::<String, usize>::new();
    let mut wrong = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let vector = Vector::parse(&std::fs::read(&path).unwrap());
        *outcomes.entry(vector.expect.clone()).or_default() += 1;
        if let Err(reason) = vector.run() {
            wrong.push(format!("{name}: {reason}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let counts: Vec<_> = outcomes.iter().map(|(name, count)| (name.as_str(), *count)).collect();
    let published = [
        ("HMAC failure", 1),
        ("armor failure", 22),
        ("header failure", 62),
        ("no match", 13),
        ("payload failure", 19),
        ("success", 26),
    ];
    assert_eq!(counts, published);
}

struct Vector {
    expect: String,
    payload: Option<String>,
    identities: Vec<Identity>,
    armored: bool,
    file: Vec<u8>,
}

impl Vector {
    fn parse(bytes: &[u8]) -> Self {
        let split = bytes.windows(2).position(|pair| pair == b"\n\n").unwrap();
        let (head, body) = (std::str::from_utf8(&bytes[..split]).unwrap(), &bytes[split + 2..]);
        let (mut file, mut armored) = (body.to_vec(), false);
        let (mut expect, mut payload, mut identities) = (String::new(), None, Vec::new());
        for line in head.lines() {
            let (key, value) = line.split_once(": ").unwrap();
            match key {
                "expect" => expect = value.into(),
                "payload" => payload = Some(value.into()),
                "identity" => identities.push(value.parse().unwrap()),
                "passphrase" => {
                    identities.push(Identity::from_passphrase(Zeroizing::new(value.into())));
                }
                "armored" => armored = value == "yes",
                "compressed" => {
                    assert_eq!(value, "zlib");
                    file = Vec::new();
                    flate2::read::ZlibDecoder::new(body).read_to_end(&mut file).unwrap();
                }
                "file key" | "comment" => {}
                other => panic!("unknown key {other}"),
            }
        }
        Self { expect, payload, identities, armored, file }
    }

    fn run(&self) -> Result<(), String> {
        let mut released = Vec::new();
        let outcome = match self.open(&mut released) {
            Ok(()) => "success",
            Err(AgeError::Header(_)) => "header failure",
            Err(AgeError::NoMatch) => "no match",
            Err(AgeError::Mac) => "HMAC failure",
            Err(AgeError::Payload(_)) => "payload failure",
            Err(AgeError::Armor(_)) => "armor failure",
            Err(other) => return Err(other.to_string()),
        };
        if outcome != self.expect {
            return Err(format!("{outcome} instead of {}", self.expect));
        }
        match &self.payload {
            Some(digest) if *digest != sha256(&released) => {
                Err(format!("released {} bytes with another digest", released.len()))
            }
            None if !released.is_empty() => Err("released bytes".into()),
            _ => Ok(()),
        }
    }

    fn open(&self, released: &mut Vec<u8>) -> Result<(), AgeError> {
        let file = if self.armored { dearmor(&self.file)? } else { self.file.clone() };
        if self.armored {
            let text = String::from_utf8(self.file.clone()).unwrap().replace("\r\n", "\n");
            assert_eq!(armor(&file).trim(), text.trim(), "armor isn't canonical");
        }
        let locked = Locked::read(file.as_slice())?;
        let header = locked.header().to_bytes();
        assert_eq!(header, file[..header.len()], "the header doesn't round-trip");
        assert_eq!(Header::parse(&header)?.to_bytes(), header);
        let key = locked.file_key(&self.identities)?;
        locked.open(&key)?.read_to_end(released)?;
        Ok(())
    }
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(ring::digest::digest(&ring::digest::SHA256, bytes))
}
