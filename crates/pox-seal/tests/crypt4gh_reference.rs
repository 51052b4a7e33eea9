//! The reference tool opens our Crypt4GH files and key files, and we open its: edit lists, re-keyed headers and passphrases.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests fail as tests do

use pox_seal::OsRandom;
use pox_seal::crypt4gh::{
    ContentKeys, EditList, Header, Identity, Recipient, SecretKey, Told, open_file, seal_file,
};
use pox_seal::engine::Team;
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

const SIZES: [usize; 9] = [0, 1, 65_535, 65_536, 65_537, 131_072, 4_194_303, 4_194_304, 5_000_001];

struct Reference {
    dir: TempDir,
    programs: PathBuf,
}

impl Reference {
    fn new() -> Self {
        let programs =
            std::env::var_os("POX_PYTHON").expect("POX_PYTHON names the folder of Python's programs");
        Self { dir: TempDir::new().unwrap(), programs: programs.into() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs the tool on a file, and keeps what it prints in another.
    fn run(&self, args: &[&str], from: &str, to: &str) {
        let mut tool = Command::new(self.programs.join("crypt4gh"));
        tool.args(args).current_dir(self.dir.path()).env("C4GH_PASSPHRASE", "secret");
        tool.stdin(File::open(self.path(from)).unwrap()).stdout(File::create(self.path(to)).unwrap());
        let output = tool.stderr(Stdio::piped()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "crypt4gh {args:?}: {said}");
    }

    /// Makes a key pair, and reads both of its files.
    fn key(&self, name: &str) -> (Identity, Recipient) {
        let (secret, public) = (format!("{name}.sec"), format!("{name}.pub"));
        let mut tool = Command::new(self.programs.join("crypt4gh-keygen"));
        tool.args(["--nocrypt", "-f", "--sk", &secret, "--pk", &public]).current_dir(self.dir.path());
        assert!(tool.output().unwrap().status.success());
        let SecretKey::Open(identity) = SecretKey::from_file(&fs::read(self.path(&secret)).unwrap()).unwrap()
        else {
            panic!("it has no passphrase")
        };
        let recipient = Recipient::from_file(&fs::read(self.path(&public)).unwrap()).unwrap();
        assert_eq!(identity.recipient(), recipient);
        (identity, recipient)
    }

    fn header(&self, name: &str) -> Header {
        Header::read(&mut File::open(self.path(name)).unwrap()).unwrap()
    }

    /// What we make of a file.
    fn open(&self, name: &str, identity: &Identity) -> Vec<u8> {
        let content = self.header(name).unlock(std::slice::from_ref(identity)).unwrap();
        let to = new_file(&self.path("ours"));
        let from = File::open(self.path(name)).unwrap();
        open_file(&from, &to, &content, u64::MAX, Team::of_machine(), &mut |_| ()).unwrap();
        fs::read(self.path("ours")).unwrap()
    }
}

fn new_file(path: &Path) -> File {
    OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path).unwrap()
}

#[test]
#[ignore = "needs crypt4gh from PyPI: run by .ci/run"]
fn the_reference_tool_and_we_read_each_other() {
    let tool = Reference::new();
    let ((alice, to_alice), (bob, to_bob)) = (tool.key("alice"), tool.key("bob"));
    for len in SIZES {
        let text: Vec<u8> = (0..len).map(|at| (at / 3) as u8).collect();
        fs::write(tool.path("plain"), &text).unwrap();
        tool.run(
            &["encrypt", "--recipient_pk", "alice.pub", "--recipient_pk", "bob.pub"],
            "plain",
            "theirs.c4gh",
        );
        assert!(tool.open("theirs.c4gh", &alice) == text, "{len}");
        assert!(tool.open("theirs.c4gh", &bob) == text, "{len}");

        let (from, to) = (File::open(tool.path("plain")).unwrap(), new_file(&tool.path("ours.c4gh")));
        seal_file(&from, &to, &[to_alice, to_bob], &mut OsRandom, Team::of_machine(), &mut |_| ()).unwrap();
        for who in ["alice.sec", "bob.sec"] {
            tool.run(&["decrypt", "--sk", who], "ours.c4gh", "opened");
            assert!(fs::read(tool.path("opened")).unwrap() == text, "{len}");
        }
    }

    // Its edit lists and ours, the example of the specification among them.
    let text: Vec<u8> = (0..5_000_001usize).map(|at| (at / 3) as u8).collect();
    for range in ["0-100000", "70000-150000", "65536-131072", "4999990-5000001"] {
        tool.run(&["rearrange", "--sk", "alice.sec", "--range", range], "ours.c4gh", "part.c4gh");
        tool.run(&["decrypt", "--sk", "alice.sec"], "part.c4gh", "opened");
        let opened = fs::read(tool.path("opened")).unwrap();
        assert!(!opened.is_empty() && tool.open("part.c4gh", &alice) == opened, "{range}");
        let told = tool.header("part.c4gh").describe(std::slice::from_ref(&alice)).opened;
        assert_eq!(told, Some(Told { data_keys: 1, edits: Some(2) }));
    }
    let keys = tool.header("ours.c4gh").unlock(std::slice::from_ref(&alice)).unwrap().keys().to_vec();
    let ours = fs::read(tool.path("ours.c4gh")).unwrap();
    let body = &ours[tool.header("ours.c4gh").size() as usize..];
    for lengths in [&[0, 7853, 71_721, 307_929, 51_299, 38][..], &[10, 70_000], &[200_000], &[5, 5, 70_000]] {
        let content = ContentKeys::new(keys.clone(), Some(EditList::new(lengths.to_vec()).unwrap())).unwrap();
        let header = Header::seal(&content, &[to_bob], &mut OsRandom).unwrap().to_bytes();
        fs::write(tool.path("edited.c4gh"), [&header[..], body].concat()).unwrap();
        tool.run(&["decrypt", "--sk", "bob.sec"], "edited.c4gh", "opened");
        let opened = fs::read(tool.path("opened")).unwrap();
        assert!(tool.open("edited.c4gh", &bob) == opened, "{lengths:?}");
        assert_eq!(opened[..5], text[lengths[0] as usize..][..5]);
    }

    // Headers that it re-keys and we re-key.
    tool.run(&["encrypt", "--recipient_pk", "alice.pub"], "plain", "theirs.c4gh");
    tool.run(
        &["reencrypt", "--sk", "alice.sec", "--recipient_pk", "bob.pub", "--trim"],
        "theirs.c4gh",
        "bobs.c4gh",
    );
    assert!(tool.open("bobs.c4gh", &bob) == text);
    assert!(tool.header("bobs.c4gh").unlock(&[alice]).is_err());
}

/// As [`key_file`](pox_seal::crypt4gh::LockedKey)'s own tests do for files that were made once.
#[test]
#[ignore = "needs crypt4gh from PyPI: run by .ci/run"]
fn key_files_under_a_passphrase_go_both_ways() {
    let tool = Reference::new();
    let (_, recipient) = tool.key("carol");
    let lock = "import sys\nfrom crypt4gh.keys import get_private_key\nfrom crypt4gh.keys import c4gh\n\
                c4gh.scrypt_supported = sys.argv[1] == 'scrypt'\n\
                key = get_private_key('carol.sec', None)\n\
                sys.stdout.buffer.write(c4gh.encode_private_key(key, b'secret', b'carol'))";
    for kdf in ["scrypt", "bcrypt"] {
        let mut python = Command::new(tool.programs.join("python"));
        let output = python.args(["-c", lock, kdf]).current_dir(tool.dir.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, output.stdout);
        let frame = |edge| format!("-----{edge} CRYPT4GH PRIVATE KEY-----\n");
        let file = frame("BEGIN") + &text + "\n" + &frame("END");
        let SecretKey::Locked(locked) = SecretKey::from_file(file.as_bytes()).unwrap() else {
            panic!("it has a passphrase")
        };
        assert!(locked.unlock("wrong").is_err());
        assert_eq!(locked.unlock("secret").unwrap().recipient(), recipient, "{kdf}");
    }

    // Ours, in its hands.
    let identity = Identity::from_bytes(&[7; 32]);
    fs::write(tool.path("ours.pub"), identity.recipient().to_file()).unwrap();
    fs::write(tool.path("ours.sec"), identity.dangerous_file().as_bytes()).unwrap();
    fs::write(tool.path("plain"), "content").unwrap();
    tool.run(&["encrypt", "--recipient_pk", "ours.pub"], "plain", "theirs.c4gh");
    tool.run(&["decrypt", "--sk", "ours.sec"], "theirs.c4gh", "opened");
    assert_eq!(fs::read_to_string(tool.path("opened")).unwrap(), "content");
    assert_eq!(tool.open("theirs.c4gh", &identity), b"content");
}
