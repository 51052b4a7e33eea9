//! Kills sealing and opening at random moments, in real processes, and demands a right result in the end.
//!
//! `CRASH_KILLS` sets how many kills; `tests/crash.sh` makes many and keeps the result.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests fail as tests do

use pox_seal::dataset::{
    Begun, DatasetCommitment, Digests, DirectorySource, Limits, Modes, SealError, Sealing, file_keys, open,
    seal_resumable,
};
use pox_seal::engine::Team;
use pox_seal::{Identity, IdentityKind, OsRandom, Randomness};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Plays the process that is killed; does nothing when the tests run it.
#[test]
fn victim() {
    let Some(place) = std::env::var_os("POX_CRASH_PLACE").map(PathBuf::from) else { return };
    match std::env::var("POX_CRASH_WORK").unwrap().as_str() {
        "seal" => seal(&place),
        "open" => unseal(&place),
        other => panic!("unknown work {other}"),
    }
}

#[test]
fn killed_sealing_and_opening_end_right() {
    let kills: u32 = std::env::var("CRASH_KILLS").map_or(12, |text| text.parse().unwrap());
    let mut told = Told::default();
    let started = Instant::now();
    // Few kills may all miss the moments between a checkpoint and the end.
    while told.kills < kills || (told.resumed == 0 && told.kills < 20 * kills) {
        round(&mut told);
    }
    println!(
        "{} kills: {} while sealing, {} while opening; {} sealings went on, {} began anew, {} sources changed meanwhile; \
         {} datasets sealed, opened and compared; {:.0} s",
        told.kills,
        told.kills - told.openings,
        told.openings,
        told.resumed,
        told.restarted,
        told.changed,
        told.rounds,
        started.elapsed().as_secs_f64()
    );
    assert!(told.resumed > 0, "no sealing went on where it was");
}

#[derive(Default)]
struct Told {
    kills: u32,
    openings: u32,
    resumed: u32,
    restarted: u32,
    changed: u32,
    rounds: u32,
    /// How long a sealing takes here, from the last that was not killed.
    whole: Option<Duration>,
}

/// Seals one tree and opens it, killed up to a few times each.
fn round(told: &mut Told) {
    let scratch = TempDir::new().unwrap();
    let place = scratch.path();
    let identity = Identity::generate(IdentityKind::X25519, &mut OsRandom).unwrap();
    fs::write(place.join("identity"), identity.dangerous_text().unwrap().as_bytes()).unwrap();
    plant(&place.join("tree"));
    let (sealed, opened) = (place.join("sealed"), place.join("opened"));

    let mut before = Vec::<Vec<u8>>::new();
    let mut whole = told.whole.unwrap_or(Duration::from_millis(400));
    for turn in 0.. {
        let start = Instant::now();
        let mut child = start_victim(place, "seal");
        if turn < 4 && wait(&mut child, whole.mul_f64(random())) {
            told.kills += 1;
            if sealed.exists() {
                // Killed after it had got its name: then it is whole, as is checked below.
                break;
            }
            before.extend(fs::read(place.join(".sealed.pox-partial/data.age")));
            if turn == 2 && random() < 0.5 {
                told.changed += 1;
                change(&place.join("tree/large"));
            }
            continue;
        }
        assert!(child.wait().unwrap().success());
        whole = start.elapsed();
        told.whole = Some(whole);
        break;
    }
    for line in fs::read_to_string(place.join("log")).unwrap().lines() {
        told.resumed += u32::from(line == "resumed");
        told.restarted += u32::from(line == "restarted");
    }
    let last = fs::read(sealed.join("data.age")).unwrap();
    before.iter().for_each(|earlier| assert_nonces_are_used_once(earlier, &last));
    before.windows(2).for_each(|pair| assert_nonces_are_used_once(&pair[0], &pair[1]));
    assert_eq!(names(&sealed), ["B3SUMS", "KEYS", "ROOT", "data.age", "manifest.age"]);

    for turn in 0.. {
        let mut child = start_victim(place, "open");
        if turn < 3 && wait(&mut child, whole.mul_f64(random())) {
            told.kills += 1;
            told.openings += 1;
            if opened.exists() {
                break;
            }
            continue;
        }
        assert!(child.wait().unwrap().success());
        break;
    }
    compare(&place.join("tree"), &opened);
    assert_eq!(names(place), ["identity", "log", "opened", "sealed", "tree"], "something is left");
    told.rounds += 1;
}

/// Every sealed byte of the earlier file is in the later one too, unless that has other keys: or one nonce served for two
/// texts.
fn assert_nonces_are_used_once(earlier: &[u8], later: &[u8]) {
    let head = earlier.len().min(later.len()).min(200);
    if earlier[..head] != later[..head] {
        return;
    }
    for (page, (one, other)) in earlier.chunks(4096).zip(later.chunks(4096)).enumerate() {
        // Two segments can share a page, and either can be the one that was not written: what was not is zero.
        let holds = one.iter().zip(other).all(|(one, other)| one == other || *one == 0);
        assert!(holds, "page {page} was sealed twice, differently");
    }
}

fn seal(place: &Path) {
    let identity = identity(place);
    let (tree, directory) = (place.join("tree"), place.join("sealed"));
    let recipients = [identity.recipient().unwrap()];
    let log = |word: &str| {
        use std::io::Write;
        let mut log = fs::OpenOptions::new().create(true).append(true).open(place.join("log")).unwrap();
        writeln!(log, "{word}").unwrap();
    };
    let sealing = Sealing {
        inputs: &[&tree],
        recipients: &recipients,
        identities: &[identity],
        directory: &directory,
        digests: Digests::Blake3,
        every: Duration::from_millis(5),
        team: Team::of(2),
    };
    let mut begun = |begun: Begun| match begun {
        Begun::Anew => log("anew"),
        Begun::Resumed { .. } => log("resumed"),
        Begun::Restarted => log("restarted"),
    };
    let sealed = seal_resumable(&sealing, &mut OsRandom, &mut begun, &mut |_| ());
    if let Err(SealError::Changed { .. }) = &sealed {
        panic!("nothing changes while this process runs");
    }
    sealed.unwrap();
}

fn unseal(place: &Path) {
    let mut source = DirectorySource::new(place.join("sealed"));
    let commitment = DatasetCommitment::of(&fs::read(place.join("sealed/B3SUMS")).unwrap());
    let keys = file_keys(&mut source, &[identity(place)]).unwrap();
    let dest = place.join("opened");
    open(&mut source, &commitment, &keys, &dest, Limits::NONE, Modes::AsSealed, &mut |_| ()).unwrap();
}

fn identity(place: &Path) -> Identity {
    fs::read_to_string(place.join("identity")).unwrap().parse().unwrap()
}

fn start_victim(place: &Path, work: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "victim", "--quiet"])
        .env("POX_CRASH_PLACE", place)
        .env("POX_CRASH_WORK", work)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// Kills the process after a while; false if it had ended by then.
fn wait(child: &mut Child, while_: Duration) -> bool {
    std::thread::sleep(while_);
    if child.try_wait().unwrap().is_some() {
        return false;
    }
    child.kill().unwrap();
    // It may have ended meanwhile.
    !child.wait().unwrap().success()
}

/// One file of some segments, and small ones around it.
fn plant(tree: &Path) {
    fs::create_dir_all(tree.join("zoo/empty")).unwrap();
    for at in 0..300 {
        fs::write(tree.join(format!("a{at:03}")), noise(at * 37)).unwrap();
        fs::write(tree.join(format!("zoo/{at}")), noise(at * 5)).unwrap();
    }
    fs::write(tree.join("large"), noise(21_000_001)).unwrap();
    std::os::unix::fs::symlink("large", tree.join("link")).unwrap();
}

/// Changes a byte and puts the time back, as a tool that means well would.
fn change(path: &Path) {
    let modified = fs::metadata(path).unwrap().modified().unwrap();
    let mut bytes = fs::read(path).unwrap();
    let at = (random() * bytes.len() as f64) as usize;
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
    fs::File::options().write(true).open(path).unwrap().set_modified(modified).unwrap();
}

fn compare(one: &Path, other: &Path) {
    assert_eq!(names(one), names(other));
    for name in names(one) {
        let (one, other) = (one.join(&name), other.join(&name));
        let kind = one.symlink_metadata().unwrap().file_type();
        if kind.is_dir() {
            compare(&one, &other);
        } else if kind.is_symlink() {
            assert_eq!(fs::read_link(&one).unwrap(), fs::read_link(&other).unwrap());
        } else {
            assert!(fs::read(&one).unwrap() == fs::read(&other).unwrap(), "{name}");
        }
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn noise(len: usize) -> Vec<u8> {
    (0..len as u64).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

/// Between 0 and 1.
fn random() -> f64 {
    let mut bytes = [0; 4];
    OsRandom.fill(&mut bytes).unwrap();
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
}
