//! A task on Crypt4GH files that the reference tool made, as a user runs it.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use world::{PENGUINS, World, text, wait_until};

/// Runs a program of the reference tool's in the world's folder.
fn reference(world: &World, program: &str, args: &[&str], from: &str, to: &str) {
    let programs = std::env::var_os("POX_PYTHON").expect("POX_PYTHON names the folder of Python's programs");
    let mut tool = Command::new(PathBuf::from(programs).join(program));
    tool.args(args).current_dir(world.folder.path());
    tool.stdin(File::open(world.path(from)).unwrap()).stdout(File::create(world.path(to)).unwrap());
    let output = tool.output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {}", text(&output.stderr));
}

/// The penguins behind an edit list: what comes before the table in the file is not the task's to see.
fn with_reference_files() -> World {
    let world = World::embedded();
    let table = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/penguins/data/penguins.csv");
    let table = fs::read(table).unwrap();
    let hidden = b"a line that is cut off\n".repeat(4_000);
    fs::write(world.path("whole.csv"), [&hidden[..], &table, &hidden].concat()).unwrap();
    reference(
        &world,
        "crypt4gh-keygen",
        &["--nocrypt", "--sk", "lab.sec", "--pk", "lab.pub"],
        "whole.csv",
        "said",
    );
    let (start, end) = (hidden.len(), hidden.len() + table.len());
    reference(&world, "crypt4gh", &["encrypt", "--recipient_pk", "lab.pub"], "whole.csv", "whole.c4gh");
    fs::create_dir(world.path("cohort")).unwrap();
    // The tool takes the end of a range for one byte less than it says.
    let range = format!("{start}-{}", end + 1);
    let rearrange = ["rearrange", "--sk", "lab.sec", "--range", &range];
    reference(&world, "crypt4gh", &rearrange, "whole.c4gh", "cohort/penguins.csv.c4gh");
    let opened = ["decrypt", "--sk", "lab.sec"];
    reference(&world, "crypt4gh", &opened, "cohort/penguins.csv.c4gh", "theirs.csv");
    assert!(fs::read(world.path("theirs.csv")).unwrap() == table);
    world
}

#[test]
#[ignore = "needs crypt4gh from PyPI: run by .ci/run"]
fn a_task_runs_on_files_of_the_reference_tool_as_they_are() {
    let world = with_reference_files();
    let file = world.path("cohort/penguins.csv.c4gh");
    let before = fs::read(&file).unwrap();
    world.json("owner", &["adopt", "cohort", "--identity", "lab.sec"]);
    assert!(fs::read(&file).unwrap() == before);
    world.pox("owner", &["image", "pack", PENGUINS, "oci:image"]);
    world.task_file("task.yaml", "oci:image", "");
    let task = fs::read_to_string(world.path("task.yaml")).unwrap().replace("sealed}", "cohort}");
    fs::write(world.path("task.yaml"), &task).unwrap();
    let _node = world.node(&[]);
    wait_until("the offer stands", || !world.json("owner", &["offers"]).as_array().unwrap().is_empty());
    world.json("owner", &["run", "task.yaml", "--to", "results"]);
    let printed = fs::read_to_string(world.path("results/stdout.txt")).unwrap();
    assert!(printed.contains("342 penguins"), "{printed}");

    // Another task on the same data, whose storage repeats a segment: the format would not show it.
    fs::write(world.path("again.yaml"), task.replace("sealed-results-task.yaml", "sealed-again")).unwrap();
    let body = &before[16 + 108 + 92..];
    assert_eq!(body.len() % 65_564, 0, "whole segments");
    fs::write(&file, [&before[..], &body[..65_564]].concat()).unwrap();
    world.json("owner", &["open", "cohort/penguins.csv.c4gh", "--to", "unnoticed", "--identity", "lab.sec"]);
    let again =
        world.try_pox("owner", &["run", "again.yaml", "--to", "again", "--proof", "again.pox", "--json"]);
    let again: serde_json::Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(again["outcome"], "input-unavailable", "{again}");
    assert!(!world.path("again").exists());
}
