//! Other people's age clients open ours, and ours opens theirs.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests fail as tests do

use pox_seal::age::{open_bytes, seal_bytes};
use pox_seal::dataset::{DirectorySink, seal};
use pox_seal::{Identity, IdentityKind, OsRandom, parse_identities};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};
use tempfile::TempDir;

const SIZES: [usize; 9] = [0, 1, 65_535, 65_536, 65_537, 131_072, 4_194_303, 4_194_304, 5_000_000];

#[test]
#[ignore = "needs age: run by .ci/run"]
fn the_age_tool_and_we_read_each_other() {
    assert_eq!(env::var("POX_APT_TOOLS").as_deref(), Ok("1"), "set POX_APT_TOOLS=1 where age is installed");
    let dir = TempDir::new().unwrap();
    let key = dir.path().join("key.txt");
    run(Command::new("age-keygen").arg("-o").arg(&key));
    let theirs = parse_identities(&fs::read_to_string(&key).unwrap()).unwrap();
    let recipient = theirs[0].recipient().unwrap();

    let (plain, sealed) = (dir.path().join("plain"), dir.path().join("sealed"));
    for len in SIZES {
        let text: Vec<u8> = (0..len).map(|at| (at / 3) as u8).collect();
        let ours = seal_bytes(std::slice::from_ref(&recipient), &text, &mut OsRandom).unwrap();
        fs::write(&sealed, ours).unwrap();
        assert!(run(Command::new("age").arg("-d").arg("-i").arg(&key).arg(&sealed)) == text, "{len}");

        fs::write(&plain, &text).unwrap();
        run(Command::new("age").arg("-r").arg(recipient.to_string()).arg("-o").arg(&sealed).arg(&plain));
        assert!(*open_bytes(&theirs, &fs::read(&sealed).unwrap(), usize::MAX).unwrap() == text, "{len}");
    }

    // Their reader of our keys, and a whole dataset through age and tar.
    let ours = Identity::generate(IdentityKind::X25519, &mut OsRandom).unwrap();
    fs::write(&key, ours.dangerous_text().unwrap().as_bytes()).unwrap();
    let tree = dir.path().join("tree");
    fs::create_dir_all(tree.join("sub/empty")).unwrap();
    let names = ["short".to_owned(), "sub/".to_owned() + &"long".repeat(50), "ünï".to_owned()];
    for name in &names {
        fs::write(tree.join(name), name).unwrap();
    }
    std::os::unix::fs::symlink("sub/".to_owned() + &"long".repeat(50), tree.join("link")).unwrap();
    let mut sink = DirectorySink::create(dir.path().join("dataset")).unwrap();
    seal(&[&tree], &[ours.recipient().unwrap()], &mut sink, &mut OsRandom, &mut |_| ()).unwrap();
    let archive = dir.path().join("archive.tar");
    let data = dir.path().join("dataset/data.age");
    run(Command::new("age").arg("-d").arg("-i").arg(&key).arg("-o").arg(&archive).arg(data));
    let out = dir.path().join("out");
    fs::create_dir(&out).unwrap();
    run(Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(&out));
    for name in &names {
        assert_eq!(fs::read_to_string(out.join(name)).unwrap(), *name);
    }
    assert!(out.join("sub/empty").is_dir());
    assert_eq!(fs::read_link(out.join("link")).unwrap(), fs::read_link(tree.join("link")).unwrap());
}

#[test]
#[ignore = "needs age-encryption from npm: run by .ci/run"]
fn the_typescript_client_and_we_read_each_other() {
    let modules =
        PathBuf::from(env::var("POX_NODE_MODULES").expect("POX_NODE_MODULES names a node_modules folder"));
    let dir = TempDir::new().unwrap();
    std::os::unix::fs::symlink(&modules, dir.path().join("node_modules")).unwrap();
    let script = dir.path().join("age.mjs");
    fs::write(&script, SCRIPT).unwrap();
    let (plain, sealed, opened) =
        (dir.path().join("plain"), dir.path().join("sealed"), dir.path().join("opened"));
    for (kind, option) in [(IdentityKind::Hybrid, "hybrid"), (IdentityKind::X25519, "x25519")] {
        let theirs = line(node(&script).arg("keygen").arg(option));
        let theirs: Identity = theirs.parse().unwrap();
        assert_eq!(theirs.recipient().unwrap().kind(), kind);
        let recipient = theirs.recipient().unwrap();
        let same = line(node(&script).arg("recipient").arg(theirs.dangerous_text().unwrap().as_str()));
        assert_eq!(same, recipient.to_string());
        for len in SIZES {
            let text: Vec<u8> = (0..len).map(|at| (at / 3) as u8).collect();
            let ours = seal_bytes(std::slice::from_ref(&recipient), &text, &mut OsRandom).unwrap();
            fs::write(&sealed, ours).unwrap();
            let secret = theirs.dangerous_text().unwrap();
            run(node(&script).arg("open").arg(secret.as_str()).arg(&sealed).arg(&opened));
            assert!(fs::read(&opened).unwrap() == text, "{len}");

            fs::write(&plain, &text).unwrap();
            run(node(&script).arg("seal").arg(recipient.to_string()).arg(&plain).arg(&sealed));
            let again = open_bytes(std::slice::from_ref(&theirs), &fs::read(&sealed).unwrap(), usize::MAX);
            assert!(*again.unwrap() == text, "{len}");
        }
    }
}

const SCRIPT: &str = r#"
import * as age from 'age-encryption';
import { readFileSync, writeFileSync } from 'node:fs';
const [verb, key, from, to] = process.argv.slice(2);
switch (verb) {
  case 'keygen':
    console.log(key === 'hybrid' ? await age.generateHybridIdentity() : await age.generateX25519Identity());
    break;
  case 'recipient':
    console.log(await age.identityToRecipient(key));
    break;
  case 'seal': {
    const e = new age.Encrypter();
    e.addRecipient(key);
    writeFileSync(to, await e.encrypt(readFileSync(from)));
    break;
  }
  case 'open': {
    const d = new age.Decrypter();
    d.addIdentity(key);
    writeFileSync(to, await d.decrypt(readFileSync(from)));
    break;
  }
}
"#;

fn node(script: &Path) -> Command {
    let mut command = Command::new("node");
    command.arg(script);
    command
}

fn run(command: &mut Command) -> Vec<u8> {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn line(command: &mut Command) -> String {
    String::from_utf8(run(command)).unwrap().trim().to_owned()
}
