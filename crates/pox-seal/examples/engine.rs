//! The engine by itself, once, as `benches/data-plane.sh` asks. `TO` is overwritten if it is there, and made otherwise.
//!
//! ```text
//! engine primitive
//! engine seal|open copy|hash|cipher|both|both-sides FROM TO [THREADS]   one part of the work after the other
//! engine identity FILE                                       makes an X25519 identity
//! engine seal-file|open-file IDENTITY FROM TO                a whole age file
//! engine seal-dataset|open-dataset IDENTITY FROM TO          what `pox seal` and `pox open` do, synced to the disk
//! engine gather|scatter FROM TO    what the system takes for a tree by itself, on all cores: all files of FROM read and written
//!                                  to one; files like those of FROM made below TO, from memory
//! ```
#![allow(clippy::unwrap_used, clippy::panic)] // a measurement that can't be made has nothing to tell

use pox_seal::age::measure::{Work, open, seal};
use pox_seal::age::{Locked, open_file, seal_file};
use pox_seal::dataset::{
    self, DatasetCommitment, DirectorySource, Limits, Modes, Sealing, file_keys, seal_resumable,
};
use pox_seal::engine::Team;
use pox_seal::{Identity, IdentityKind, OsRandom, parse_identities};
use std::fs::{self, File, OpenOptions};
use std::io::{BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let start = Instant::now();
    match args[..] {
        ["primitive"] => println!("{}", pox_seal::primitive()),
        ["identity", file] => {
            let identity = Identity::generate(IdentityKind::X25519, &mut OsRandom).unwrap();
            fs::write(file, identity.dangerous_text().unwrap().as_bytes()).unwrap();
            println!("{}", identity.recipient().unwrap());
        }
        ["seal-file", key, from, to] => {
            let sealed =
                seal_file(&input(from), &output(to), &[recipient(key)], &mut OsRandom, Team::of_machine());
            println!("{}", sealed.unwrap().digest);
        }
        ["open-file", key, from, to] => {
            let locked = Locked::read(BufReader::new(input(from))).unwrap();
            let key = locked.file_key(&[identity(key)]).unwrap();
            let commitment = locked.key_commitment(&key);
            let digest = open_file(&input(from), &output(to), &key, &commitment, Team::of_machine());
            println!("{}", digest.unwrap());
        }
        ["seal-dataset", key, from, to] => {
            let sealing = Sealing {
                inputs: &[Path::new(from)],
                recipients: &[recipient(key)],
                identities: &[],
                directory: Path::new(to),
                digests: pox_seal::dataset::Digests::Blake3,
                every: Duration::from_secs(5),
                team: Team::of_machine(),
            };
            seal_resumable(&sealing, &mut OsRandom, &mut |_| (), &mut |_| ()).unwrap();
        }
        ["open-dataset", key, from, to] => {
            let mut source = DirectorySource::new(from);
            let commitment = DatasetCommitment::of(&fs::read(Path::new(from).join("B3SUMS")).unwrap());
            let keys = file_keys(&mut source, &[identity(key)]).unwrap();
            let (to, modes) = (Path::new(to), Modes::AsSealed);
            dataset::open(&mut source, &commitment, &keys, to, Limits::NONE, modes, &mut |_| ()).unwrap();
        }
        ["gather", from, to] => bare_tree(Path::new(from), |file, room, at| {
            let mut source = File::open(file).unwrap();
            let before = source.metadata().unwrap();
            room.clear();
            source.read_to_end(room).unwrap();
            assert_eq!(source.metadata().unwrap().modified().unwrap(), before.modified().unwrap());
            let at = at.fetch_add(room.len() as u64, Ordering::Relaxed);
            thread_local!(static TO: std::cell::OnceCell<File> = const { std::cell::OnceCell::new() });
            TO.with(|place| place.get_or_init(|| output(to)).write_all_at(room, at)).unwrap();
        }),
        ["scatter", from, to] => {
            fs::create_dir(to).unwrap();
            bare_tree(Path::new(from), |file, room, _| {
                let target = Path::new(to).join(file.strip_prefix(from).unwrap());
                let len = file.metadata().unwrap().len() as usize;
                room.resize(room.len().max(len), 7);
                let mut made = OpenOptions::new().write(true).create_new(true).open(&target);
                if made.is_err() {
                    fs::create_dir_all(target.parent().unwrap()).unwrap();
                    made = OpenOptions::new().write(true).create_new(true).open(&target);
                }
                let mut made = made.unwrap();
                made.write_all(&room[..len]).unwrap();
                made.set_modified(std::time::UNIX_EPOCH).unwrap();
            });
        }
        [direction, work, from, to] => part(direction, work, from, to, Team::of_machine()),
        [direction, work, from, to, threads] => {
            part(direction, work, from, to, Team::of(threads.parse().unwrap()));
        }
        _ => panic!("unknown arguments"),
    }
    eprintln!("{:.4} s", start.elapsed().as_secs_f64());
}

/// Does one thing with each file below a folder, each core with half of them, or whatever its share is.
fn bare_tree(from: &Path, each: impl Fn(&Path, &mut Vec<u8>, &AtomicU64) + Sync) {
    let (mut folders, mut files) = (vec![from.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(entry.path()),
                false => files.push(entry.path()),
            }
        }
    }
    let (at, share) = (AtomicU64::new(0), files.len().div_ceil(Team::of_machine().workers()).max(1));
    std::thread::scope(|scope| {
        for files in files.chunks(share) {
            scope.spawn(|| {
                let mut room = Vec::new();
                files.iter().for_each(|file| each(file, &mut room, &at));
            });
        }
    });
}

fn part(direction: &str, work: &str, from: &str, to: &str, team: Team) {
    let work = match work {
        "copy" => Work::Copy,
        "hash" => Work::Hash,
        "cipher" => Work::Cipher,
        "both" => Work::Both,
        "both-sides" => Work::BothSides,
        other => panic!("no such work: {other}"),
    };
    let (from, to) = (input(from), output(to));
    match direction {
        "seal" => seal(&from, &to, work, team, HEADER),
        "open" => open(&from, &to, work, team, HEADER),
        other => panic!("no such direction: {other}"),
    }
    .unwrap();
}

fn input(path: &str) -> File {
    File::open(path).unwrap()
}

fn output(path: &str) -> File {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).unwrap()
}

fn identity(path: &str) -> Identity {
    parse_identities(&fs::read_to_string(path).unwrap()).unwrap().remove(0)
}

fn recipient(path: &str) -> pox_seal::Recipient {
    identity(path).recipient().unwrap()
}

/// What a header for one X25519 recipient takes, with the nonce.
const HEADER: u64 = 216;
