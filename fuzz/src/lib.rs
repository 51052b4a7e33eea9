//! What the fuzz programs share: how one of them picks a target, and how it tells its targets and seeds to `run.sh`.
//!
//! A program holds the targets of crates that belong together, because one link then serves them all, and each run only walks
//! the counters of code that its targets can reach.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::exit;
use std::sync::OnceLock;

/// One decoder under test.
#[derive(Clone, Copy)]
pub struct Target {
    /// What it is called.
    pub name: &'static str,
    /// Decodes the input; panics if the decoder breaks a promise.
    pub run: fn(&[u8]),
    /// Valid inputs to start from; each has to run.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

static CHOSEN: OnceLock<Target> = OnceLock::new();

/// Chooses the target that `FUZZ_TARGET` names. Without it, prints the names of all and ends. With `FUZZ_SEEDS`, writes
/// every target's seeds below that folder, runs each once, and ends.
pub fn start(targets: &[Target]) {
    if let Some(folder) = std::env::var_os("FUZZ_SEEDS") {
        targets.iter().for_each(|target| write_seeds(target, Path::new(&folder)));
        exit(0);
    }
    let Ok(name) = std::env::var("FUZZ_TARGET") else {
        targets.iter().for_each(|target| println!("{}", target.name));
        exit(0);
    };
    let Some(target) = targets.iter().find(|target| target.name == name) else {
        eprintln!("error: there is no target {name} here");
        exit(2);
    };
    let _ = CHOSEN.set(*target);
}

/// Runs the chosen target.
pub fn run(input: &[u8]) {
    (CHOSEN.get().expect("the engine starts before it runs").run)(input);
}

fn write_seeds(target: &Target, below: &Path) {
    let folder = below.join(target.name);
    fs::create_dir_all(&folder).expect("the folder of the seeds can be made");
    let seeds = (target.seeds)();
    assert!(!seeds.is_empty(), "{} has no seeds", target.name);
    for (number, seed) in seeds.iter().enumerate() {
        (target.run)(seed);
        fs::write(folder.join(format!("seed-{number:03}")), seed).expect("a seed can be written");
    }
}

/// A path in the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// The content of every file in a folder of the repository, in the order of their names.
pub fn files(folder: &str) -> Vec<Vec<u8>> {
    let mut paths: Vec<PathBuf> = fs::read_dir(repository(folder))
        .expect("the repository has the folder")
        .map(|entry| entry.expect("its entries can be read").path())
        .filter(|path| path.is_file())
        .collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("its files can be read")).collect()
}

/// Takes a number of bytes off the front, or as many as there are.
pub fn take<'a>(input: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (front, rest) = input.split_at(count.min(input.len()));
    *input = rest;
    front
}

/// Takes one number off the front; zero if nothing is left.
pub fn byte(input: &mut &[u8]) -> u8 {
    take(input, 1).first().copied().unwrap_or(0)
}

/// Takes a part with its length in front, two bytes, big-endian.
pub fn part<'a>(input: &mut &'a [u8]) -> &'a [u8] {
    let length = take(input, 2).iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    take(input, length)
}

/// Writes parts as [`part`] takes them; parts longer than 64 KiB are no good seeds.
pub fn parts(list: &[&[u8]]) -> Vec<u8> {
    list.iter()
        .flat_map(|part| {
            let length = u16::try_from(part.len()).expect("a part of a seed is short");
            [&length.to_be_bytes(), *part].concat()
        })
        .collect()
}
