//! Crypt4GH files, one by one, as `benches/crypt4gh.sh` asks. `TO` is overwritten if it is there, and made otherwise.
//!
//! ```text
//! crypt4gh seal KEY.pub FROM TO     a whole file, with its digest
//! crypt4gh open KEY.sec FROM TO     the same back, every segment and the digest checked
//! ```
#![allow(clippy::unwrap_used, clippy::panic)] // a measurement that can't be made has nothing to tell

use pox_seal::OsRandom;
use pox_seal::crypt4gh::{Header, Recipient, SecretKey, open_file, seal_file};
use pox_seal::engine::Team;
use std::fs::{self, File, OpenOptions};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let (team, progress) = (Team::of_machine(), &mut |_| ());
    match args[..] {
        ["seal", key, from, to] => {
            let recipient = Recipient::from_file(&fs::read(key).unwrap()).unwrap();
            let (from, to) = (File::open(from).unwrap(), output(to));
            let sealed = seal_file(&from, &to, &[recipient], &mut OsRandom, team, progress).unwrap();
            println!("{}", sealed.digest);
        }
        ["open", key, from, to] => {
            let SecretKey::Open(identity) = SecretKey::from_file(&fs::read(key).unwrap()).unwrap() else {
                panic!("a key without a passphrase is needed")
            };
            let (from, to) = (File::open(from).unwrap(), output(to));
            let content = Header::read(&mut &from).unwrap().unlock(&[identity]).unwrap();
            println!("{}", open_file(&from, &to, &content, u64::MAX, team, progress).unwrap().digest);
        }
        _ => panic!("unknown arguments"),
    }
}

fn output(path: &str) -> File {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).unwrap()
}
