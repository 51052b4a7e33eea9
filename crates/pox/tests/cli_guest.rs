//! `pox guest measure`, `pox node doctor`, known releases and endorsements of today, as a user meets them.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

#[path = "../../pox-guest/tests/measure/made.rs"]
#[allow(dead_code, unreachable_pub, reason = "another crate's helper")]
mod made;
mod support;
mod world;

use pox_guest::measure::nitro::Eif;
use pox_guest::measure::snp::{CpuSignature, GuestFeatures, Machine};
use pox_guest::measure::tdx::{Host, InitrdArgument, PageOrder, SetupHeader};
use pox_guest::measure::{Expected, ReleaseManifest, Shape};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use support::Scratch;
use world::{World, wait_until};

/// A guest's files and firmware, and what computes measurements of them.
fn guest() -> Scratch {
    let scratch = Scratch::new();
    scratch.write("kernel", made::kernel());
    scratch.write("initramfs", made::initramfs());
    scratch.write("cmdline", made::COMMAND_LINE);
    scratch.write("firmware", made::firmware());
    scratch
}

const MEASURE: [&str; 8] =
    ["guest", "measure", "--kernel", "kernel", "--initramfs", "initramfs", "--command-line", "cmdline"];

fn measure(scratch: &Scratch, further: &[&str]) -> Value {
    scratch.json(&[&MEASURE[..], further].concat())
}

fn expected(shapes: &[Shape<'_>]) -> Expected {
    let (kernel, initramfs) = (made::kernel(), made::initramfs());
    Expected::of(&made::files(&kernel, &initramfs), shapes).unwrap()
}

#[test]
fn what_is_measured_is_what_the_library_computes() {
    let scratch = guest();
    let said = measure(
        &scratch,
        &[
            "--tdx-firmware",
            "firmware",
            "--tdx-linux",
            "patched",
            "--tdx-qemu",
            "older",
            "--tdx-argument",
            "first",
            "--tdx-argument",
            "last",
            "--snp-firmware",
            "firmware",
            "--snp-cpu",
            "EPYC-Genoa",
            "--snp-cpu",
            "0x00a10f10",
            "--snp-vcpus",
            "1-2",
            "--snp-features",
            "0x21",
        ],
    );
    let firmware = made::firmware();
    let host = |argument| Host {
        pages: PageOrder::SectionBySection,
        header: SetupHeader::Written { memory: 4 << 30 },
        argument,
    };
    let tdx = |argument| Shape::Tdx { firmware: &firmware, host: host(argument) };
    let snp = |vcpus| Shape::Snp {
        firmware: &firmware,
        machine: Machine::new(vcpus, CpuSignature::GENOA, GuestFeatures(0x21)).unwrap(),
    };
    let shapes = [
        Shape::VmSim,
        tdx(InitrdArgument::First),
        tdx(InitrdArgument::Last),
        snp(1),
        snp(2),
        snp(1),
        snp(2),
        Shape::Nitro { over: None },
    ];
    assert_eq!(said, serde_json::to_value(expected(&shapes)).unwrap());
}

#[test]
fn the_default_is_every_kind_that_needs_no_firmware() {
    let said = measure(&guest(), &[]);
    assert_eq!(said, serde_json::to_value(expected(&[Shape::VmSim, Shape::Nitro { over: None }])).unwrap());
    let page = guest().run(&MEASURE).out;
    assert!(page.contains("\nnitro: one ramdisk\n  PCR0 ") && page.contains("PROTECTS NOTHING"), "{page}");
}

#[test]
fn the_enclave_image_is_the_one_that_was_measured() {
    let scratch = guest();
    scratch.write("over", made::noise(100, 9));
    let said = measure(&scratch, &["--nitro-over", "over", "--eif", "guest.eif"]);
    let bytes = fs::read(scratch.path("guest.eif")).unwrap();
    let image = Eif::parse(&bytes).unwrap();
    assert_eq!(image.ramdisks.len(), 2);
    let pcr0 = &said["launches"][1]["registers"][0];
    assert_eq!((&pcr0["name"], &pcr0["value"]), (&"PCR0".into(), &format!("0x{}", image.pcrs().pcr0).into()));
    let again = scratch.fails(&[&MEASURE[..], &["--eif", "guest.eif"]].concat());
    assert!(again.contains("nothing is overwritten"), "{again}");
}

#[test]
fn a_release_that_was_written_is_known_where_it_is_named() {
    let scratch = guest();
    let said =
        measure(&scratch, &["--snp-firmware", "firmware", "--release", "release.json", "--name", "guest 7"]);
    let manifest = ReleaseManifest::parse(&fs::read(scratch.path("release.json")).unwrap()).unwrap();
    assert_eq!(manifest.name(), "guest 7");
    assert_eq!(said["release"]["sha256"], manifest.digest().to_string());
    scratch.write("policy.json", r#"{"version": 1, "releases": ["guest 7"]}"#);
    let check = ["policy", "check", "policy.json"];
    assert!(scratch.run(&check).err.contains("knows no release \"guest 7\""));
    let known = scratch.run(&[&check[..], &["--releases", "release.json"]].concat());
    assert_eq!((known.code, known.err.contains("knows no release")), (Some(0), false), "{known:?}");
    // Every byte of a manifest counts, and an ordinary JSON file is none.
    let text = fs::read_to_string(scratch.path("release.json")).unwrap();
    for (name, other) in [("spaced.json", text.replace(":1,", ": 1,")), ("other.json", "{}".into())] {
        scratch.write(name, other);
        let refused = scratch.fails(&[&check[..], &["--releases", name]].concat());
        assert!(refused.contains(name) && refused.contains("hint: "), "{refused}");
    }
}

#[test]
fn what_can_not_be_measured_is_refused_whole() {
    let scratch = guest();
    scratch.write("plain", made::noise(8192, 5));
    for (arguments, word) in [
        (vec!["--tdx-firmware", "plain"], "no OVMF table"),
        (vec!["--snp-firmware", "plain"], "no OVMF table"),
        (vec!["--snp-firmware", "firmware", "--snp-cpu", "Pentium"], "no processor model"),
        (vec!["--snp-firmware", "firmware", "--snp-vcpus", "0"], "0 virtual processors"),
        (vec!["--snp-firmware", "firmware", "--snp-vcpus", "8-1"], "no number or range"),
        (vec!["--snp-firmware", "firmware", "--snp-vcpus", "1-512"], "at most 256"),
        (vec!["--snp-firmware", "firmware", "--snp-features", "0x20"], "not those of an SNP guest"),
        (vec!["--nitro-over", "nowhere"], "nowhere"),
    ] {
        let arguments = [&MEASURE[..], &arguments, &["--eif", "made.eif"]].concat();
        let said = scratch.fails(&arguments);
        assert!(said.contains(word), "{said}");
        assert!(!scratch.path("made.eif").exists(), "{word}");
    }
}

#[test]
fn a_doctor_looks_at_this_machine() {
    let scratch = Scratch::new();
    let said = scratch.json(&["node", "doctor"]);
    let kinds: Vec<&str> =
        said["tees"].as_array().unwrap().iter().map(|tee| tee["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["tdx", "snp", "sgx", "nitro", "vm-sim", "simulated"]);
    let page = scratch.run(&["node", "doctor"]).out;
    assert!(
        page.contains("Which TEEs this machine has") && page.contains("What the sandbox needs"),
        "{page}"
    );
    assert!(!scratch.path(".pox").exists(), "nothing is changed");
}

#[test]
fn a_host_without_the_tee_is_refused_and_nothing_weaker_is_launched() {
    let scratch = guest();
    for tee in ["tdx", "snp"] {
        let said = scratch.fails(&[
            "node",
            "--guest",
            "guest",
            "--tee",
            tee,
            "--firmware",
            "firmware",
            "--qemu",
            "/bin/true",
        ]);
        assert!(said.contains(&format!("this machine can't launch guests of kind {tee}")), "{said}");
        assert!(said.contains("`pox node doctor`"), "{said}");
    }
}

#[test]
fn what_today_is_said_to_be_has_to_be_there() {
    let scratch = Scratch::new();
    let proof = scratch.write("proof.pox", "no proof").display().to_string();
    let verify = |further: &[&str]| scratch.run(&[&["verify", &proof], further].concat());
    fs::create_dir(scratch.path("empty")).unwrap();
    scratch.write("denied", "# of 2026\nppid:0x00ff  # a machine\n\nINTEL-SA-00615\nsomething else\n");
    for (further, word) in [
        (["--today", "nowhere"], "nowhere has no endorsements"),
        (["--today", "empty"], "empty has no endorsements"),
        (["--deny-platform", "ppid:0xZZ"], "names no platform"),
        (["--deny-advisory", "intel-sa-1"], "no advisory"),
        (["--deny-list", "denied"], "denied, line 5"),
        (["--releases", "nowhere"], "nowhere"),
    ] {
        let ran = verify(&further);
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{further:?}");
        assert!(ran.err.contains(word), "{ran:?}");
    }
    // What is no proof is rejected, whatever is known today.
    assert_eq!(verify(&["--deny-advisory", "INTEL-SA-00615"]).code, Some(1));
}

#[test]
fn an_enclave_that_dies_while_it_boots_is_launched_again_and_then_given_up() {
    let world = World::embedded();
    world.penguins("");
    let task = fs::read_to_string(world.path("task.yaml")).unwrap();
    fs::write(world.path("task.yaml"), task.replace("kinds: [simulated]", "kinds: [vm-sim]")).unwrap();
    made::image(b"none").write(&world.path("guest")).unwrap();
    let (emulator, launches) = (world.path("emulator"), world.path("launches"));
    fs::write(&emulator, format!("#!/bin/sh\necho once >> '{}'\n", launches.display())).unwrap();
    fs::set_permissions(&emulator, fs::Permissions::from_mode(0o755)).unwrap();
    let _node = world.node(&["--guest", "guest", "--qemu", emulator.to_str().unwrap()]);
    wait_until("the offer stands", || !world.json("owner", &["offers"]).as_array().unwrap().is_empty());
    world.json("owner", &["request", "task.yaml"]);
    wait_until("the node gives it up", || world.node_log().contains("no enclave would launch"));
    assert_eq!(fs::read_to_string(&launches).unwrap().lines().count(), 3);
}
