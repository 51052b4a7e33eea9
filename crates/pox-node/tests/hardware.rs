//! Launches on TDX and SNP hosts, as far as they can be shown without one: a stand-in takes QEMU's command line, plays the hardware
//! that measures what it names, and runs the real runtime on played kernel interfaces (`examples/stand_in_qemu.rs`).
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

#[path = "../../pox-guest/tests/measure/made.rs"]
#[allow(dead_code, unreachable_pub, reason = "another crate's helper")]
mod made;

use pox_core::channel::HostMessage;
use pox_core::endorsement::{Endorsement, EndorsementKind};
use pox_core::evidence::{Evidence, EvidenceKind};
use pox_core::{Address, Amount, B256, Domain, Processors, Request, Resources, Salt, TaskId, UnixTime};
use pox_devtee::Seed;
use pox_devtee::dcap::{Collateral, Statements, Tee, Validity, Vendor};
use pox_devtee::snp::{self, Line, Tcb, VekCertificate};
use pox_guest::image::GuestImage;
use pox_guest::measure::snp::{CpuSignature, GuestFeatures, Machine};
use pox_guest::measure::tdx::Host;
use pox_guest::measure::{Expected, Shape};
use pox_node::host::{Enclave, Report, Storage};
use pox_node::{Guest, GuestHost, NoEndorsements, Platform, Runtime};
use pox_store::Access;
use pox_verify::evidence::launch::{LaunchBinding, Window};
use pox_verify::evidence::roots::{RootStanding, VendorRoots};
use pox_verify::evidence::{Context, EvidenceClaims, verify};
use pox_verify::{Anchors, Grade, Measurement};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;
use tempfile::TempDir;

/// The stand-in has the same.
const SEED: Seed = Seed([0x51; 32]);
const NOW: UnixTime = UnixTime(1_767_225_600);
const DOMAIN: Domain = Domain { chain_id: 1337, contract: Address::repeat_byte(0xcc) };

#[test]
#[ignore = "needs /dev/fuse and the right to mount: run by .ci/run"]
fn a_tdx_guest_is_launched_for_its_task_and_its_evidence_says_so() {
    let world = World::new();
    let platform = Platform::Tdx { firmware: world.firmware(), quote_service_port: 4050 };
    let vendor = Vendor::new(SEED);
    let tables = Validity { from: NOW.0 - 1000, until: NOW.0 + 1000 };
    let collateral: Collateral = Statements::of(&vendor, Tee::Tdx, tables).sign(&vendor);
    let endorsements = [Endorsement::new(EndorsementKind::DcapCollateral, collateral.to_bytes())];
    let roots = VendorRoots { intel: vendor.root(), ..no_roots() };
    let claims = judged(&world.evidence(platform, 1), &endorsements, roots);
    let firmware = made::firmware();
    let expected = expected(Shape::Tdx { firmware: &firmware, host: Host::default() });
    assert_eq!((claims.kind, claims.measurement), (EvidenceKind::Tdx, expected));
}

#[test]
#[ignore = "needs /dev/fuse and the right to mount: run by .ci/run"]
fn an_snp_guest_is_launched_for_its_task_and_its_evidence_says_so() {
    let world = World::new();
    let (cpu, firmware) = ("EPYC-Genoa-v1".to_owned(), world.firmware());
    let platform = Platform::Snp { firmware, cpu, encryption_bit: 51 };
    let vendor = snp::Vendor::new(&SEED, Line::Genoa);
    let chip = Line::Genoa.chip(&SEED, "host");
    let snp::Endorsements { vek, ask, crl } =
        vendor.endorsements(&VekCertificate::vcek(chip, Tcb::default()));
    let endorsements = [
        Endorsement::new(EndorsementKind::SnpKey, vek),
        Endorsement::new(EndorsementKind::SnpIssuer, ask),
        Endorsement::new(EndorsementKind::SnpCrl, crl),
    ];
    let roots = VendorRoots { amd: vec![vendor.ark()], ..no_roots() };
    let firmware = made::firmware();
    for vcpus in [1, 3] {
        let claims = judged(&world.evidence(platform.clone(), vcpus), &endorsements, roots.clone());
        let machine = Machine::new(vcpus, CpuSignature::GENOA, GuestFeatures(1)).unwrap();
        let expected = expected(Shape::Snp { firmware: &firmware, machine });
        assert_eq!((claims.kind, claims.measurement), (EvidenceKind::Snp, expected), "{vcpus} vCPU");
    }
}

#[test]
fn a_host_that_answers_with_another_kind_is_refused() {
    let world = World::new();
    for platform in [
        Platform::Tdx { firmware: world.firmware(), quote_service_port: 4050 },
        Platform::Snp { firmware: world.firmware(), cpu: "EPYC-v4".into(), encryption_bit: 51 },
    ] {
        let simulating = world.path("qemu-that-simulates");
        let script = format!("#!/bin/sh\nexec '{}' --simulated\n", stand_in().display());
        fs::write(&simulating, script).unwrap();
        fs::set_permissions(&simulating, fs::Permissions::from_mode(0o755)).unwrap();
        let Report::Gone(reason) = world.launched(&simulating, platform, 1) else {
            panic!("it was believed")
        };
        assert!(reason.contains("evidence of another kind than was launched"), "{reason}");
    }
}

#[test]
fn firmware_that_is_none_for_the_platform_is_refused_before_anything_is_launched() {
    let world = World::new();
    let firmware = world.path("not-firmware");
    let refused = |platform| {
        let host = GuestHost { emulator: "/nowhere".into(), platform, room_mib: 0 };
        Guest::install(&world.image, &world.path("node"), host).unwrap_err().to_string()
    };
    let tdx = || Platform::Tdx { firmware: firmware.clone(), quote_service_port: 1 };
    let snp = || Platform::Snp { firmware: firmware.clone(), cpu: "EPYC-v4".into(), encryption_bit: 51 };
    assert!(refused(tdx()).contains("not-firmware"));
    fs::write(&firmware, vec![0; 8192]).unwrap();
    assert!(refused(tdx()).contains("no OVMF table") && refused(snp()).contains("no OVMF table"));
}

/// A guest's files, and a processor's folders.
struct World {
    folder: TempDir,
    image: GuestImage,
}

impl World {
    fn new() -> Self {
        let world = Self { folder: TempDir::new().unwrap(), image: made::image(b"in the stand-in") };
        fs::write(world.firmware(), made::firmware()).unwrap();
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn firmware(&self) -> PathBuf {
        self.path("firmware.fd")
    }

    /// The key evidence of a guest that the stand-in launched.
    fn evidence(&self, platform: Platform, cpus: u16) -> Evidence {
        match self.launched(&stand_in(), platform, cpus) {
            Report::Ready { evidence, .. } => Evidence::parse(&evidence).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn launched(&self, emulator: &Path, platform: Platform, cpus: u16) -> Report {
        let host = GuestHost { emulator: emulator.to_owned(), platform, room_mib: 64 };
        let runtime = Runtime::Vm(Guest::install(&self.image, &self.path("node"), host).unwrap());
        let storage = Storage { access: Access::default(), spool: self.path("spool"), max_upload: 0 };
        let request = request(cpus);
        let boot = HostMessage::Boot {
            domain: DOMAIN,
            request: request.to_bytes(),
            block_number: 7,
            block_hash: B256::repeat_byte(7),
            processor: Address::repeat_byte(0xbb),
        };
        let (sender, reports) = channel();
        let (task, none) = (task(cpus), Arc::new(NoEndorsements));
        let _enclave =
            Enclave::launch(&runtime, task, &request.resources, boot, storage, none, sender).unwrap();
        reports.recv_timeout(Duration::from_secs(60)).expect("the stand-in says nothing").1
    }
}

/// By the production verifier, with the development vendor's root in the place of the real one.
fn judged(evidence: &Evidence, endorsements: &[Endorsement], vendor_roots: VendorRoots) -> EvidenceClaims {
    let anchors = Anchors { vendor_roots, ..Anchors::default() };
    let made = Window { from: UnixTime(0), until: NOW };
    let context = Context { endorsements, ran: NOW, made, now: NOW, anchors: &anchors };
    let claims = verify(evidence, &context).unwrap().into_inner();
    assert_eq!(claims.standing.when_it_ran.grade, Grade::Simulated, "it is a development vendor's");
    assert_eq!(claims.hardware.as_ref().unwrap().binding, LaunchBinding::Task, "the launch is for the task");
    claims
}

fn expected(shape: Shape<'_>) -> Measurement {
    let (kernel, initramfs) = (made::kernel(), made::initramfs());
    Expected::of(&made::files(&kernel, &initramfs), &[shape]).unwrap().launches[0].measurement
}

fn no_roots() -> VendorRoots {
    VendorRoots { intel: vec![], amd: vec![], aws: vec![], standing: RootStanding::Development }
}

fn request(cpus: u16) -> Request {
    Request {
        owner: Address::repeat_byte(1),
        processors: Processors::Any,
        price: Amount::from_wei(1).unwrap(),
        image: [1; 32].into(),
        inputs: vec![],
        terms: [2; 32].into(),
        metadata: [0; 32].into(),
        policy: [3; 32].into(),
        kinds: EvidenceKind::Tdx.bit(),
        resources: Resources {
            cpu_millis: u32::from(cpus) * 1000,
            memory_mib: 1,
            disk_mib: 1,
            time_limit: 1,
        },
        match_by: UnixTime(1),
        approve_within: 1,
        prove_within: 1,
        salt: Salt::from([4; 32]),
        delegate: None,
        co_owners: vec![],
    }
}

fn task(cpus: u16) -> TaskId {
    request(cpus).id(&DOMAIN)
}

/// Cargo builds it with the tests, beside their folder.
fn stand_in() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let built = tests.parent().unwrap().parent().unwrap().join("examples/stand_in_qemu");
    assert!(built.is_file(), "build it with `cargo build -p pox-node --example stand_in_qemu`");
    built
}
