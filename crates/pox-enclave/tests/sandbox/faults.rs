//! Tasks that cannot be run, and whose fault that is.

use std::{fs, os::unix::fs::symlink};

use pox_enclave::sandbox::{Culprit, ReadOnlyInput, SandboxError, TaskFault};

use crate::support::{Trial, inside};

fn fault(trial: &Trial) -> TaskFault {
    let error = trial.try_run().unwrap_err();
    assert_eq!(error.culprit(), Culprit::Task, "{error}");
    match error {
        SandboxError::Task(fault) => fault,
        other => panic!("{other}"),
    }
}

#[test]
fn a_missing_or_unusable_program() {
    let mut trial = Trial::new(&[]);
    for program in ["nothing", "/nothing", "./nothing", "/in/data", "/bin"] {
        trial.task.args = vec![program.into()];
        assert!(matches!(fault(&trial), TaskFault::Execute { program: named, .. } if named == program));
    }
    trial.task.args = vec![];
    assert!(matches!(fault(&trial), TaskFault::Arguments(_)));
    trial.task.args = vec!["a\0b".into()];
    assert!(matches!(fault(&trial), TaskFault::Text(0)));
}

#[test]
fn a_missing_working_folder() {
    let mut trial = Trial::new(&["exit", "0"]);
    trial.task.cwd = inside("/nothing");
    assert!(matches!(fault(&trial), TaskFault::WorkingFolder { .. }));
}

#[test]
fn linked_roots_and_inputs() {
    let mut trial = Trial::new(&["exit", "0"]);
    let link = trial.data.path().join("link");
    symlink("/etc", &link).unwrap();
    let root = std::mem::replace(&mut trial.task.root, link.clone());
    assert!(matches!(fault(&trial), TaskFault::Source { .. }));
    trial.task.root = root;
    trial.task.inputs = vec![ReadOnlyInput { source: link, target: inside("/in") }];
    assert!(matches!(fault(&trial), TaskFault::Source { .. }));
}

#[test]
fn links_in_the_image_where_something_is_mounted() {
    for name in ["out", "in", "tmp", "dev", "proc"] {
        let trial = Trial::new(&["exit", "0"]);
        let victim = trial.data.path().join("victim");
        fs::create_dir(&victim).unwrap();
        symlink(&victim, trial.root.path().join(name)).unwrap();
        assert!(matches!(fault(&trial), TaskFault::MountPoint { .. }), "{name}");
        assert_eq!(fs::read_dir(&victim).unwrap().count(), 0);
    }
    let mut trial = Trial::new(&["exit", "0"]);
    symlink("/etc", trial.root.path().join("link")).unwrap();
    trial.task.output = inside("/link/below");
    assert!(matches!(fault(&trial), TaskFault::MountPoint { .. }));
}

#[test]
fn mount_points_within_one_another() {
    for target in ["/", "/out", "/out/in", "/tmp", "/proc/self", "/dev/shm"] {
        let mut trial = Trial::new(&["exit", "0"]);
        trial.task.inputs =
            vec![ReadOnlyInput { source: trial.data.path().to_owned(), target: inside(target) }];
        assert!(matches!(fault(&trial), TaskFault::Overlap(..)), "{target}");
    }
}

#[test]
fn absurd_limits() {
    let mut trial = Trial::new(&["exit", "0"]);
    trial.task.limits.memory_bytes = u64::MAX;
    assert!(matches!(fault(&trial), TaskFault::Limit("memory")));
    let mut trial = Trial::new(&["exit", "0"]);
    trial.task.limits.pids = 0;
    assert!(matches!(fault(&trial), TaskFault::Limit("processes")));
}

#[test]
fn a_single_file_can_be_an_input() {
    let mut trial = Trial::new(&["read", "/deep/down/file", "/in/data"]);
    trial.task.inputs =
        vec![ReadOnlyInput { source: trial.data.path().join("data"), target: inside("/deep/down/file") }];
    let seen = crate::support::answers(&trial.run());
    assert_eq!((seen["read /deep/down/file"].as_str(), seen["read /in/data"].as_str()), ("5", "-2"));
}
