//! What users do with sealed datasets besides opening them whole; and the commands of `docs/datasets.md`, as they stand there.

// Clippy takes helpers of tests for production code.
#![allow(clippy::unwrap_used)]

mod stand_in;
mod support;

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use support::{Ran, Scratch, damage, http};

/// A home with keys, and a tree with one large file, sealed; gives the commitment.
fn with_dataset() -> (Scratch, String) {
    let scratch = Scratch::new();
    scratch.json(&["key", "new"]);
    scratch.write("data/a.csv", "x,y\n1,2\n");
    scratch.write("data/deep/b.bin", vec![7; 200_000]);
    scratch.write("data/deep/c.bin", noise(3_000_000));
    let sealed = scratch.json(&["seal", "data", "--to", "sealed", "--sha256"]);
    let commitment = sealed["commitment"].as_str().unwrap().to_owned();
    (scratch, commitment)
}

fn noise(len: u64) -> Vec<u8> {
    (0..len).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

/// Runs a line of a shell in the scratch folder, with this program in its path.
fn shell(scratch: &Scratch, line: &str) -> Ran {
    let program = scratch.command(&[]);
    let folder = Path::new(program.get_program()).parent().unwrap().to_owned();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("bash");
    shell.args(["-euo", "pipefail", "-c", line]).current_dir(scratch.path(".")).env("PATH", path);
    shell.env("HOME", scratch.path(".")).env_remove("POX_HOME").stdin(Stdio::null());
    Ran::from(shell.output().unwrap())
}

#[test]
fn anybody_verifies_data_without_a_key() {
    let (scratch, commitment) = with_dataset();
    fs::rename(scratch.path(".pox"), scratch.path("away")).unwrap();
    let good = scratch.json(&["verify-data", "sealed", "--commitment", &commitment]);
    assert_eq!((&good["holds"], good["objects"].as_array().unwrap().len()), (&true.into(), 5));
    assert!(!scratch.path(".pox").exists(), "checking makes no home");
    let other = format!("0x{}", "11".repeat(32));
    let wrong = scratch.run(&["verify-data", "sealed", "--commitment", &other]);
    assert!(wrong.code == Some(1) && wrong.out.contains(&format!("is NOT {other}")), "{wrong:?}");
    for object in ["data.age", "manifest.age", "KEYS", "ROOT", "SHA256SUMS"] {
        let path = scratch.path("sealed").join(object);
        let whole = fs::read(&path).unwrap();
        damage(&path);
        let ran = scratch.run(&["verify-data", "sealed", "--commitment", &commitment]);
        assert!(ran.code == Some(1) && ran.out.contains(&format!("{object}: NOT")), "{ran:?}");
        fs::remove_file(&path).unwrap();
        let ran = scratch.run(&["verify-data", "sealed", "--commitment", &commitment]);
        assert!(ran.code == Some(1) && ran.out.contains(&format!("{object}: MISSING")), "{ran:?}");
        fs::write(&path, whole).unwrap();
    }
    damage(&scratch.path("sealed/B3SUMS"));
    assert_eq!(scratch.run(&["verify-data", "sealed", "--commitment", &commitment]).code, Some(1));
    fs::remove_file(scratch.path("sealed/B3SUMS")).unwrap();
    assert!(scratch.fails(&["verify-data", "sealed"]).contains("hint: "));
    assert!(scratch.fails(&["verify-data", "http://127.0.0.1:1/sealed"]).contains("hint: "));
}

#[test]
fn one_file_is_fetched_by_range() {
    let (scratch, commitment) = with_dataset();
    let (server, objects) = http::serve();
    let place = format!("{server}/d");
    scratch.json(&["copy", "sealed", &place]);
    let whole = fs::metadata(scratch.path("sealed/data.age")).unwrap().len() as usize;
    let sent = || {
        let mut objects = objects.lock().unwrap();
        let sent = objects.sent.get("/d/data.age").copied().unwrap_or_default();
        objects.sent.clear();
        sent
    };
    sent();
    scratch.json(&["verify-data", &place, "--commitment", &commitment]);
    assert_eq!(sent(), whole);

    let open = ["open", &place, "--commitment", &commitment, "--file"];
    let opened = scratch.json(&[&open[..], &["a.csv", "--to", "a.csv"]].concat());
    assert_eq!((&opened["files"], &opened["bytes"]), (&1.into(), &8.into()));
    assert_eq!(fs::read(scratch.path("a.csv")).unwrap(), b"x,y\n1,2\n");
    let given = sent();
    assert!(given < 100_000, "{given} of {whole}");

    let range = ["--range", "1000000-1000100", "--to", "-"];
    let ran = scratch.command(&[&open[..], &["deep/c.bin"], &range].concat()).output().unwrap();
    assert!(
        ran.status.success() && ran.stdout == noise(3_000_000)[1_000_000..1_000_100],
        "{}",
        ran.stdout.len()
    );
    assert!(String::from_utf8(ran.stderr).unwrap().contains("a range has no digest"));
    let given = sent();
    assert!(given < 100_000, "{given} of {whole}");

    // A folder, several files, and names that stand for nothing.
    scratch.json(&[&open[..], &["deep", "--file", "a.csv", "--to", "some"]].concat());
    assert!(fs::read(scratch.path("some/deep/c.bin")).unwrap() == noise(3_000_000));
    assert_eq!(scratch.names("some"), ["a.csv", "deep"]);
    let before = scratch.names(".");
    let missing = scratch.fails(&[&open[..], &["a.csv", "--file", "nothing", "--to", "x"]].concat());
    assert!(missing.contains("no file nothing") && missing.contains("--list"), "{missing}");
    scratch.fails(&[&open[..], &["deep", "--to", "-"]].concat());
    scratch.fails(&[&open[..], &["a.csv", "--to", "a.csv"]].concat());
    assert_eq!(scratch.names("."), before);

    // What the storage changed of it is not given out.
    let mut objects = objects.lock().unwrap();
    let data = objects.by_path.get_mut("/d/data.age").unwrap();
    data.truncate(60_000);
    drop(objects);
    let changed = scratch.fails(&[&open[..], &["deep/c.bin", "--to", "c.bin"]].concat());
    assert!(changed.contains("hint: ") && !scratch.path("c.bin").exists(), "{changed}");
}

#[test]
fn of_a_node_of_ipfs_only_what_is_asked_for_is_fetched() {
    let (scratch, node) = (Scratch::new(), stand_in::ipfs::Node::start());
    scratch.json(&["key", "new"]);
    scratch.write("data/large", noise(20_000_000));
    for number in 0..200 {
        scratch.write(&format!("data/many/{number:03}"), format!("content {number}"));
    }
    let sealed = scratch.json(&["seal", "data", "--to", "ipfs:", "--ipfs-api", &node.url]);
    let place = sealed["location"].as_str().unwrap();
    // Everything was read back once, to see whether the node has it.
    assert!(node.leaves_given() >= 20);
    let open = |file: &str, to: &str| {
        scratch.json(&["open", place, "--ipfs-api", &node.url, "--file", file, "--to", to]);
        node.leaves_given()
    };
    let one = open("many/007", "seven");
    assert_eq!(fs::read(scratch.path("seven")).unwrap(), b"content 7");
    let all = open("many", "many");
    assert_eq!(scratch.names("many/many").len(), 200);
    // Of the twenty leaves of the data, the first has its keys, and the last one or two the files; other objects have one each.
    assert!(one <= 12 && all <= one + 2, "{one} for one, {all} for all");
}

#[test]
fn files_are_disclosed_and_forgeries_are_not_believed() {
    let (scratch, commitment) = with_dataset();
    scratch.json(&["disclose", "sealed", "--file", "a.csv", "--to", "a.disclosure"]);
    let verify = ["verify-disclosure", "a.disclosure", "--commitment", &commitment];
    let nobody = ["--home", "nobody"];
    let shown = scratch.json(&[&verify[..], &nobody, &["--content", "data/a.csv"]].concat());
    assert_eq!((&shown["holds"], &shown["content"]), (&true.into(), &true.into()));
    assert_eq!((&shown["files"][0]["path"], &shown["files"][0]["size"]), (&"a.csv".into(), &8.into()));
    let text = fs::read(scratch.path("a.disclosure")).unwrap();
    assert!(!text.windows(5).any(|bytes| bytes == b"b.bin"));

    for (arguments, reason) in [
        (&["--content", "data/deep/b.bin"][..], "NOT as disclosed"),
        (&["--commitment", &format!("0x{}", "11".repeat(32))], "of another dataset"),
    ] {
        let rest = if arguments[0] == "--commitment" { &verify[..2] } else { &verify[..] };
        let ran = scratch.run(&[rest, arguments].concat());
        assert!(ran.code == Some(1) && ran.out.contains(reason), "{ran:?}");
    }
    scratch.json(&["disclose", "sealed", "--file", "deep", "--file", "a.csv", "--to", "all.disclosure"]);
    let all = ["verify-disclosure", "all.disclosure", "--commitment", &commitment, "--content", "data"];
    assert_eq!(scratch.json(&all)["files"].as_array().unwrap().len(), 3);

    damage(&scratch.path("a.disclosure"));
    assert_eq!(scratch.run(&verify).code, Some(1));
    assert_eq!(
        scratch.run(&["verify-disclosure", "a.disclosure"]).code,
        Some(2),
        "it needs something to compare"
    );
    assert!(
        scratch.fails(&["disclose", "sealed", "--file", "no", "--to", "no.disclosure"]).contains("no file")
    );
    let stranger = scratch.json(&["key", "new", "--home", "stranger"]);
    assert!(stranger["address"].is_string());
    let denied = ["disclose", "sealed", "--file", "a.csv", "--to", "x", "--home", "stranger"];
    assert!(scratch.fails(&denied).contains("no key"));
}

#[test]
fn anything_is_inspected_and_garbage_is_said_to_be() {
    let (scratch, commitment) = with_dataset();
    scratch.json(&["disclose", "sealed", "--file", "a.csv", "--to", "a.disclosure"]);
    let mine = scratch.json(&["inspect", "sealed", "--list", "--limit", "2"]);
    assert_eq!((&mine["what"], &mine["commitment"]), (&"sealed-dataset".into(), &commitment.clone().into()));
    assert_eq!(mine["objects"][3]["recipients"]["mlkem768x25519"], 1, "{mine}");
    let contents = &mine["contents"];
    assert_eq!((&contents["entries"], &contents["left_out"]), (&4.into(), &2.into()), "{contents}");
    let others = scratch.json(&["inspect", "sealed", "--home", "nobody"]);
    assert!(others["contents"].is_null() && others["closed"].is_string(), "{others}");
    assert!(!scratch.path("nobody").exists(), "looking makes no home");

    let armored = [&["-----BEGIN AGE ENCRYPTED FILE-----\n"][..], &["AAAA\n"]].concat().concat();
    scratch.write("armored", armored);
    scratch.write("proof", "pox-proof-v1\n garbage");
    scratch.write(
        "journal",
        [&[0, 0, 0, 9, 9][..], &fs::read(scratch.path("sealed/data.age")).unwrap()].concat(),
    );
    scratch.write("noise", noise(5000));
    scratch.write("empty", "");
    scratch.write("cut", &fs::read(scratch.path("sealed/data.age")).unwrap()[..100]);
    scratch.write("task.yaml", "image: oci:x\ninputs: {d: sealed}\nresults: out\n");
    for (file, what) in [
        ("sealed/data.age", "age-file"),
        ("sealed/B3SUMS", "text"),
        ("sealed/KEYS", "text"),
        ("sealed/ROOT", "unknown"),
        ("a.disclosure", "disclosure"),
        ("armored", "age-file"),
        ("proof", "proof"),
        ("journal", "journal"),
        ("noise", "unknown"),
        ("empty", "unknown"),
        ("cut", "age-file"),
        ("task.yaml", "task-file"),
    ] {
        assert_eq!(scratch.json(&["inspect", file])["what"], what, "{file}");
        let ran = scratch.run(&["inspect", file]);
        assert!(ran.code == Some(0) && !ran.out.is_empty(), "{file}: {ran:?}");
    }
    assert_eq!(scratch.json(&["inspect", "sealed/data.age"])["ours"], true);
    assert!(scratch.json(&["inspect", "cut"])["malformed"].is_string());
    scratch.fails(&["inspect", "nowhere"]);

    // Every prefix of what it knows, and every byte of it changed: an answer, and never a crash.
    let known = fs::read(scratch.path("a.disclosure")).unwrap();
    for at in (0..known.len()).step_by(97) {
        scratch.write("part", &known[..at]);
        assert_eq!(scratch.run(&["inspect", "part"]).code, Some(0), "{at}");
    }
}

#[test]
fn pipes_carry_data_in_and_out() {
    let (scratch, _) = with_dataset();
    let ran = shell(&scratch, "tar c data | pox seal - --name data.tar --to piped --quiet");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let ran = shell(
        &scratch,
        "pox open piped --to - --quiet | tar x --one-top-level=back && diff -r data back/data",
    );
    assert_eq!(ran.code, Some(0), "{ran:?}");
    // A tree comes as an archive that any tar reads.
    let ran =
        shell(&scratch, "pox open sealed --to - --quiet | tar x --one-top-level=tree && diff -r data tree");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let ran =
        shell(&scratch, "pox open sealed --file a.csv --to - --quiet | sha256sum; sha256sum < data/a.csv");
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines[0], lines[1]);

    for (arguments, said) in [
        (&["seal", "-", "--to", "x"][..], "--name"),
        (&["seal", "-", "data", "--name", "n", "--to", "x"], "./-"),
        (&["seal", "-", "--name", "a/b", "--to", "x"], "plain relative path"),
        (&["seal", "data", "--name", "n", "--to", "x"], "--name"),
    ] {
        assert!(scratch.fails(arguments).contains(said), "{arguments:?}");
        assert!(!scratch.path("x").exists() && !scratch.path(".x.pox-partial").exists());
    }
}

#[test]
fn more_files_than_a_process_may_hold_open_are_sealed_and_opened() {
    let scratch = Scratch::new();
    scratch.json(&["key", "new"]);
    for number in 0..3_000 {
        scratch.write(&format!("many/{}/{number}", number % 7), noise(number % 1_500));
    }
    let done = shell(
        &scratch,
        "ulimit -n 128; pox seal many --to sealed; pox open sealed --to opened; diff -r many opened",
    );
    assert_eq!(done.code, Some(0), "{done:?}");
}

#[test]
fn who_reads_no_more_hears_no_more_and_damage_is_told_by_the_exit_code() {
    let (scratch, _) = with_dataset();
    let mut open = scratch.command(&["open", "sealed", "--to", "-", "--quiet"]);
    let mut child = open.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut some = [0; 10];
    child.stdout.take().unwrap().read_exact(&mut some).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), ended.stderr.len()), (Some(2), 0), "{ended:?}");

    damage(&scratch.path("sealed/data.age"));
    let ran = scratch.command(&["open", "sealed", "--to", "-", "--quiet"]).output().unwrap();
    let said = String::from_utf8(ran.stderr).unwrap();
    assert!(ran.status.code() == Some(2) && said.contains("is not to be used"), "{said}");
    assert!(ran.stdout.len() < 3_200_000, "nothing of the damaged chunk comes out");
}

#[test]
fn the_guides_commands_work_as_written() {
    let guide =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/datasets.md")).unwrap();
    let blocks: Vec<&str> =
        guide.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(blocks.len() >= 5, "{} blocks", blocks.len());
    let scratch = Scratch::new();
    scratch.json(&["key", "new"]);
    scratch.write("survey/answers.csv", "a,b\n");
    scratch.write("survey/notes/day1.txt", "rain\n");
    scratch.write("survey/notes/large.bin", noise(300_000));
    let ran = shell(&scratch, &blocks.concat());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(fs::read(scratch.path("day1.txt")).unwrap(), b"rain\n");
}
