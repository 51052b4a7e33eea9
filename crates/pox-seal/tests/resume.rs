//! Sealing that was interrupted: what is gone on with, and what never is.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests fail as tests do

use pox_seal::dataset::{
    Begun, Comparison, Digests, DirectorySink, DirectorySource, Limits, Modes, SealError, SealedDataset,
    Sealing, check, file_keys, open, seal_resumable,
};
use pox_seal::engine::Team;
use pox_seal::{Identity, IdentityKind, NoRandomness, OsRandom, Randomness, Recipient};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

struct Owner {
    scratch: TempDir,
    identity: Identity,
    recipients: Vec<Recipient>,
}

const SEGMENT: u64 = 4 << 20;

impl Owner {
    fn new() -> Self {
        let identity = Identity::generate(IdentityKind::X25519, &mut OsRandom).unwrap();
        let recipients = vec![identity.recipient().unwrap()];
        Self { scratch: TempDir::new().unwrap(), identity, recipients }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Seals, and panics once so many bytes went by: as a process that is killed, this leaves everything where it is.
    fn seal(&self, input: &str, stop: u64) -> (Result<SealedDataset, String>, Vec<Begun>) {
        let (input, directory) = (self.path(input), self.path("sealed"));
        let sealing = Sealing {
            inputs: &[&input],
            recipients: &self.recipients,
            identities: std::slice::from_ref(&self.identity),
            directory: &directory,
            digests: Digests::Sha256Beside,
            every: Duration::ZERO,
            team: Team::of(2),
        };
        let mut begun = Vec::new();
        let result = catch_unwind(AssertUnwindSafe(|| {
            seal_resumable(&sealing, &mut OsRandom, &mut |how| begun.push(how), &mut |bytes| {
                // A panic leaves through destructors, which a kill doesn't: what they would remove is moved away.
                if bytes >= stop {
                    fs::rename(self.path(PARTIAL), self.path("kept")).unwrap();
                    panic!("killed");
                }
            })
        }));
        let result = match result {
            Ok(result) => result.map_err(|error| error.to_string()),
            Err(_) => {
                fs::rename(self.path("kept"), self.path(PARTIAL)).unwrap();
                Err("killed".into())
            }
        };
        (result, begun)
    }

    fn data(&self) -> Vec<u8> {
        fs::read(self.path(PARTIAL).join("data.age")).unwrap()
    }

    fn assert_opens_to(&self, sealed: &SealedDataset, content: &[u8]) {
        let mut source = DirectorySource::new(self.path("sealed"));
        let keys = file_keys(&mut source, std::slice::from_ref(&self.identity)).unwrap();
        let dest = self.path("opened");
        open(&mut source, &sealed.commitment, &keys, &dest, Limits::NONE, Modes::AsSealed, &mut |_| ())
            .unwrap();
        assert!(fs::read(dest.join("file")).unwrap() == content);
    }
}

const PARTIAL: &str = ".sealed.pox-partial";

fn noise(len: usize) -> Vec<u8> {
    (0..len as u64).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

fn head(bytes: &[u8]) -> &[u8] {
    &bytes[..200]
}

#[test]
fn what_is_done_is_not_read_again_and_the_result_is_the_same() {
    let owner = Owner::new();
    let content = noise(6 * SEGMENT as usize + 12_345);
    fs::write(owner.path("file"), &content).unwrap();
    let (killed, begun) = owner.seal("file", 3 * SEGMENT);
    assert_eq!((killed.unwrap_err().as_str(), begun), ("killed", vec![Begun::Anew]));
    let before = owner.data();
    let (sealed, begun) = owner.seal("file", u64::MAX);
    let sealed = sealed.unwrap();
    assert_eq!(begun, [Begun::Resumed { bytes: 2 * SEGMENT }]);
    let after = fs::read(owner.path("sealed/data.age")).unwrap();
    assert!(after.starts_with(&before[..before.len().min(2 * SEGMENT as usize)]));
    assert_eq!(sealed.objects[0].digest, pox_seal::Blake3Digest::of(&after));
    // Both digests are of all of it, though BLAKE3 alone goes on where it was.
    let checked = check(&mut DirectorySource::new(owner.path("sealed")), &mut |_| ()).unwrap();
    assert_eq!(checked.objects.len(), 5);
    assert!(checked.objects.iter().all(|object| object.comparison == Comparison::Same));
    owner.assert_opens_to(&sealed, &content);
}

#[test]
fn a_source_that_changed_is_sealed_anew_with_another_key() {
    for restore_time in [false, true] {
        for at in [0, 5 * SEGMENT as usize] {
            let owner = Owner::new();
            let mut content = noise(6 * SEGMENT as usize);
            let file = owner.path("file");
            fs::write(&file, &content).unwrap();
            owner.seal("file", 3 * SEGMENT).0.unwrap_err();
            let before = owner.data();
            let modified = fs::metadata(&file).unwrap().modified().unwrap();
            content[at] ^= 1;
            fs::write(&file, &content).unwrap();
            if restore_time {
                fs::File::options().write(true).open(&file).unwrap().set_modified(modified).unwrap();
            }
            let (sealed, begun) = owner.seal("file", u64::MAX);
            assert_eq!(begun, [Begun::Restarted]);
            let after = fs::read(owner.path("sealed/data.age")).unwrap();
            assert_ne!(head(&before), head(&after));
            owner.assert_opens_to(&sealed.unwrap(), &content);
        }
    }
}

/// The system may miss a change (a clock that stood still, a network file system): then only the bytes tell.
#[test]
fn bytes_that_come_out_otherwise_are_never_written_under_the_same_key() {
    let owner = Owner::new();
    let content = noise(6 * SEGMENT as usize);
    fs::write(owner.path("file"), &content).unwrap();
    owner.seal("file", 3 * SEGMENT).0.unwrap_err();
    let before = owner.data();
    // As if it had been sealed from other bytes: what lies behind the checkpoint differs from what would be written.
    let mut other = before.clone();
    let behind = 2 * 64 * 65_552 + 1_000;
    other[behind] ^= 1;
    fs::write(owner.path(PARTIAL).join("data.age"), &other).unwrap();
    let (sealed, begun) = owner.seal("file", u64::MAX);
    assert_eq!(begun, [Begun::Resumed { bytes: 2 * SEGMENT }, Begun::Restarted]);
    assert_ne!(head(&fs::read(owner.path("sealed/data.age")).unwrap()), head(&before));
    owner.assert_opens_to(&sealed.unwrap(), &content);
}

#[test]
fn pages_that_were_not_written_are_no_obstacle() {
    let owner = Owner::new();
    let content = noise(6 * SEGMENT as usize);
    fs::write(owner.path("file"), &content).unwrap();
    owner.seal("file", 3 * SEGMENT).0.unwrap_err();
    let mut torn = owner.data();
    let behind = 2 * 64 * 65_552 + 8_192;
    torn[behind / 4096 * 4096..][..8192].fill(0);
    fs::write(owner.path(PARTIAL).join("data.age"), &torn).unwrap();
    let (sealed, begun) = owner.seal("file", u64::MAX);
    assert_eq!(begun, [Begun::Resumed { bytes: 2 * SEGMENT }]);
    owner.assert_opens_to(&sealed.unwrap(), &content);
}

#[test]
fn what_does_not_fit_together_is_begun_anew() {
    let cut = |path: PathBuf, len: u64| {
        fs::File::options().write(true).open(path).unwrap().set_len(len).unwrap();
    };
    let damages: [&dyn Fn(&Owner); 5] = [
        &|owner| cut(owner.path(PARTIAL).join("data.age"), 1000),
        &|owner| cut(owner.path(PARTIAL).join("journal"), 100),
        &|owner| fs::remove_file(owner.path(PARTIAL).join("journal")).unwrap(),
        &|owner| {
            let path = owner.path(PARTIAL).join("data.age");
            let mut bytes = fs::read(&path).unwrap();
            bytes[100] ^= 1;
            fs::write(path, bytes).unwrap();
        },
        &|owner| {
            // Another file of the same name takes its place.
            fs::copy(owner.path("file"), owner.path("copy")).unwrap();
            fs::rename(owner.path("copy"), owner.path("file")).unwrap();
        },
    ];
    for (index, damage) in damages.into_iter().enumerate() {
        let owner = Owner::new();
        let content = noise(4 * SEGMENT as usize);
        fs::write(owner.path("file"), &content).unwrap();
        owner.seal("file", 3 * SEGMENT).0.unwrap_err();
        let before = owner.data();
        damage(&owner);
        let (sealed, begun) = owner.seal("file", u64::MAX);
        assert_eq!(begun.last(), Some(&Begun::Restarted), "damage {index}");
        assert_ne!(head(&fs::read(owner.path("sealed/data.age")).unwrap()), head(&before), "damage {index}");
        owner.assert_opens_to(&sealed.unwrap(), &content);
    }
}

#[test]
fn the_journal_tells_nothing_to_others() {
    let owner = Owner::new();
    let secret = b"nobody else may read this line of a file";
    let tree = owner.path("tree");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("a-telling-name"), secret.repeat(100)).unwrap();
    fs::write(tree.join("large"), noise(5 * SEGMENT as usize)).unwrap();
    owner.seal("tree", 3 * SEGMENT).0.unwrap_err();
    let journal = fs::read(owner.path(PARTIAL).join("journal")).unwrap();
    assert!(journal.len() > 500);
    for needle in [&secret[..], b"telling"] {
        assert!(!journal.windows(needle.len()).any(|window| window == needle));
    }
    let stranger = Owner { identity: Owner::new().identity, ..owner };
    let (sealed, begun) = stranger.seal("tree", u64::MAX);
    assert_eq!(begun, [Begun::Restarted]);
    assert_eq!(sealed.unwrap().entries, 2);
}

#[test]
fn one_process_at_a_time() {
    let owner = Owner::new();
    fs::write(owner.path("file"), "x").unwrap();
    let _other = DirectorySink::create(owner.path("sealed")).unwrap();
    let (refused, _) = owner.seal("file", u64::MAX);
    assert!(refused.unwrap_err().contains("another process"));
}

#[test]
fn a_failure_of_the_machine_can_be_gone_on_with_and_another_leaves_nothing() {
    struct Never;
    impl Randomness for Never {
        fn fill(&mut self, _: &mut [u8]) -> Result<(), NoRandomness> {
            Err(NoRandomness)
        }
    }
    let owner = Owner::new();
    fs::write(owner.path("file"), "x").unwrap();
    let (input, directory) = (owner.path("file"), owner.path("sealed"));
    let sealing = Sealing {
        inputs: &[&input],
        recipients: &owner.recipients,
        identities: &[],
        directory: &directory,
        digests: Digests::Blake3,
        every: Duration::ZERO,
        team: Team::of(2),
    };
    let result = seal_resumable(&sealing, &mut Never, &mut |_| (), &mut |_| ());
    assert!(matches!(result, Err(SealError::Randomness(_))));
    assert!(!directory.exists() && !Path::new(&owner.path(PARTIAL)).exists());
}
