//! A whole task in a guest: Debian's kernel, the real runtime as its first process, the real channel, software emulation.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on fails")]

mod debian;
mod programs;

use k256::ecdsa::SigningKey;
use pox_core::channel::HostMessage;
use pox_core::evidence::{Evidence, EvidenceKind};
use pox_core::history::At;
use pox_core::receipt::{Archive, Outcome, Receipt, RunReport, archive_hash, report_hash};
use pox_core::signature::{Signature, address_of};
use pox_core::{
    Address, Amount, B256, Domain, ImageDigest, Processors, Request, Resources, TaskId, UnixTime,
};
use pox_guest::image::{GuestImage, Inputs};
use pox_node::host::{Enclave, Report, Storage};
use pox_node::owner::{
    Deadlines, FoundMatch, InputSource, KeptTask, Plan, PlannedInput, check_match, open_results, prepare,
};
use pox_node::{Guest, GuestHost, NoEndorsements, Platform, Runtime, emulator};
use pox_seal::dataset::{self, DirectorySink};
use pox_seal::{Identity, IdentityKind, OsRandom};
use pox_store::Access;
use pox_store::image::{Architecture, Pack, copy};
use pox_verify::evidence::launch::Window;
use pox_verify::evidence::{Context, verify};
use pox_verify::{Anchors, Grade, Measurement, Policy, SimulatedEvidence};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Loaded machines emulate at a tenth of their speed.
const PATIENCE: Duration = Duration::from_secs(170);

#[test]
#[ignore = "needs apt-get, dpkg-deb and qemu-system-x86: run by .ci/run"]
fn a_task_in_a_guest_ends_in_a_receipt_that_is_vouched_for() {
    assert!(std::env::var_os("POX_APT_TOOLS").is_some(), "set POX_APT_TOOLS=1 where the tools are");
    let image = built_twice();
    let world = World::new(&image);
    let begin = Instant::now();
    let (sender, reports) = channel();
    let enclave = world.launch(sender);
    let Report::Ready { enclave: account, evidence } = next(&reports) else { panic!("not ready") };
    eprintln!("ready after {:.1?}", begin.elapsed());
    let sockets = sockets(&running(world.folder.path()).unwrap());
    assert!(sockets.join("tee").exists());
    let (matched, now) = (At { number: 8, time: UnixTime(1000) }, UnixTime(1000));
    let found = FoundMatch {
        processor: PROCESSOR,
        enclave: account,
        evidence: &evidence,
        requested: matched,
        matched,
    };
    let checked = check_match(&world.kept, &found, &[], now, &Anchors::default(), None).unwrap();
    assert_eq!(checked.evidence().kind, EvidenceKind::VmSim);
    assert_eq!(checked.evidence().measurement, image.digests().vm_sim());
    let secret = checked.release(&world.identity, &owner_key(), &world.access).unwrap();
    enclave.deliver(vec![secret]);
    let (receipt, signature, archive) = loop {
        match next(&reports) {
            Report::Progress(_) => {}
            Report::Finished { receipt, signature, archive, .. } => break (receipt, signature, archive),
            other => panic!("{other:?}"),
        }
    };
    eprintln!("receipt after {:.1?}", begin.elapsed());
    drop(enclave);
    let (receipt, signature) = (Receipt::parse(&receipt).unwrap(), Signature::parse(&signature).unwrap());
    let signer = receipt.signer(&DOMAIN, archive_hash(&archive), &signature).unwrap();
    let archive = Archive::parse(&archive).unwrap();
    let report = RunReport::parse(&archive.report).unwrap();
    assert_eq!((receipt.outcome, receipt.exit_code), (Outcome::Completed, 0), "{report:?}");
    assert_eq!((signer, receipt.task), (account, world.task()));
    assert_eq!(report_hash(&archive.report), receipt.report);
    is_vouched_for(&archive.evidence, image.digests().vm_sim());
    every_protection_is_in_force(&report);
    let found = world.results(&receipt);
    eprintln!("inside: up {} s, {} of {} free", found["up"], found["MemAvailable"], found["MemTotal"]);
    assert_eq!(found["sum"], "5050");
    for hidden in
        ["/dev/vport0p1", "/dev/vport0p2", "/dev/vport1p1", "/sys", "/init", "/modules", "/work", "/new"]
    {
        assert_eq!(found[hidden], "absent", "{found:?}");
    }
    assert_eq!(found["connect"], "refused");
    assert_eq!(running(world.folder.path()), None);
    assert!(!sockets.exists());
}

#[test]
#[ignore = "needs apt-get, dpkg-deb and qemu-system-x86: run by .ci/run"]
fn a_guest_that_is_not_booted_for_a_task_says_so_and_is_gone() {
    assert!(std::env::var_os("POX_APT_TOOLS").is_some(), "set POX_APT_TOOLS=1 where the tools are");
    let image = built_twice();
    let world = World::new(&image);
    let (sender, reports) = channel();
    let boot = HostMessage::Secrets { secrets: vec![vec![1]] };
    let runtime = Runtime::Vm(world.guest.clone());
    let none = Arc::new(NoEndorsements);
    let enclave =
        Enclave::launch(&runtime, world.task(), &RESOURCES, boot, world.storage(), none, sender).unwrap();
    let Report::Gone(reason) = next(&reports) else { panic!("not gone") };
    assert!(reason.contains("the first message is not boot"), "{reason}");
    drop(enclave);
}

/// Everything that the test's owner and processor have.
struct World {
    folder: TempDir,
    guest: Guest,
    identity: Identity,
    access: Access,
    kept: KeptTask,
}

impl World {
    fn new(image: &GuestImage) -> Self {
        let folder = TempDir::new().unwrap();
        let at = |name: &str| folder.path().join(name);
        let host = GuestHost { emulator: emulator().unwrap(), platform: Platform::Emulated, room_mib: 64 };
        let guest = Guest::install(image, &at("node"), host).unwrap();
        let access = Access::default().allow_root(folder.path());
        let identity = Identity::generate(IdentityKind::Hybrid, &mut OsRandom).unwrap();
        let recipient = identity.recipient().unwrap();
        let mut pack = Pack::new(Architecture::native());
        pack.add_file(&programs::task(), "/sum").unwrap();
        pack.entrypoint.push("/sum".into());
        let to = format!("oci:{}", at("image").display());
        let digest = copy(&pack.build().unwrap(), &to.parse().unwrap(), &access).unwrap();
        fs::write(at("numbers.txt"), (1..=100).map(|n| format!("{n}\n")).collect::<String>()).unwrap();
        let numbers = at("numbers.txt");
        let mut sink = DirectorySink::create(at("sealed")).unwrap();
        let recipients = [recipient.clone()];
        let sealed = dataset::seal(&[&numbers], &recipients, &mut sink, &mut OsRandom, &mut |_| ()).unwrap();
        for name in ["results", "spool"] {
            fs::create_dir(at(name)).unwrap();
        }
        let input = PlannedInput {
            name: "numbers".into(),
            source: InputSource::Own(at("sealed").display().to_string()),
            commitment: (*sealed.commitment.as_bytes()).into(),
        };
        let digest = ImageDigest::from(<[u8; 32]>::try_from(hex::decode(digest.hex()).unwrap()).unwrap());
        let results = at("results").display().to_string();
        let plan = plan(to, digest, input, results, recipient.to_string(), image.digests().vm_sim());
        let mut count = 0;
        let mut salt = || {
            count += 1;
            B256::repeat_byte(count)
        };
        let (_, kept) = prepare(&plan, owner(), &DOMAIN, 1, &mut salt).unwrap();
        Self { folder, guest, identity, access, kept }
    }

    fn task(&self) -> TaskId {
        self.kept.task().unwrap()
    }

    fn request(&self) -> Request {
        self.kept.request().unwrap()
    }

    fn storage(&self) -> Storage {
        let spool = self.folder.path().join("spool");
        Storage { access: self.access.clone(), spool, max_upload: 1 << 24 }
    }

    fn launch(&self, reports: std::sync::mpsc::Sender<(TaskId, Report)>) -> Enclave {
        let boot = HostMessage::Boot {
            domain: DOMAIN,
            request: self.request().to_bytes(),
            block_number: 7,
            block_hash: B256::repeat_byte(7),
            processor: PROCESSOR,
        };
        let runtime = Runtime::Vm(self.guest.clone());
        let none = Arc::new(NoEndorsements);
        Enclave::launch(&runtime, self.task(), &RESOURCES, boot, self.storage(), none, reports).unwrap()
    }

    /// The `name=value` lines that the task left.
    fn results(&self, receipt: &Receipt) -> BTreeMap<String, String> {
        let to = self.folder.path().join("opened");
        let (identity, access) = (&self.identity, &self.access);
        open_results(&self.kept.results, receipt.results, identity, &to, access, &mut |_| ()).unwrap();
        let text = fs::read_to_string(to.join("out/found")).unwrap();
        text.lines().filter_map(|line| line.split_once('=')).map(|(a, b)| (a.into(), b.into())).collect()
    }
}

fn plan(
    image: String,
    image_digest: ImageDigest,
    input: PlannedInput,
    results: String,
    recipient: String,
    measurement: Measurement,
) -> Plan {
    let kinds = EvidenceKind::VmSim.bit();
    Plan {
        image,
        image_digest,
        inputs: vec![input],
        args: Vec::new(),
        env: Vec::new(),
        runs: None,
        accept_missing: Vec::new(),
        metadata: BTreeMap::new(),
        policy: Policy::new([EvidenceKind::VmSim], [measurement], SimulatedEvidence::DangerouslyAllowed)
            .unwrap(),
        kinds,
        resources: RESOURCES,
        delegate: None,
        price: Amount::from_wei(1).unwrap(),
        processors: Processors::Only(PROCESSOR),
        listed: Default::default(),
        deadlines: Deadlines { match_by: UnixTime(2000), approve_within: 600, prove_within: 600 },
        results,
        recipients: vec![recipient],
    }
}

/// The guest, built from two folders: the same bytes, or there is nothing to measure.
fn built_twice() -> GuestImage {
    let kernel = debian::kernel();
    let runtime = fs::read(programs::runtime()).unwrap();
    let bytes = fs::read(&kernel.image).unwrap();
    let of = |modules: &Path| {
        let inputs = Inputs { kernel: &bytes, kernel_sha256: None, modules, runtime: &runtime };
        GuestImage::build(&inputs).unwrap()
    };
    let elsewhere = TempDir::new().unwrap();
    debian::copy(&kernel.modules, &elsewhere.path().join("modules"));
    let (one, other) = (of(&kernel.modules), of(&elsewhere.path().join("modules")));
    assert!(one == other, "two builds differ");
    eprintln!("kernel {} bytes, initramfs {} bytes", one.kernel.len(), one.initramfs.len());
    one
}

fn is_vouched_for(evidence: &Evidence, measurement: Measurement) {
    let anchors = Anchors::default();
    let made = Window { from: UnixTime(0), until: UnixTime(1000) };
    let (ran, now) = (UnixTime(1000), UnixTime(1000));
    let context = Context { endorsements: &[], ran, made, now, anchors: &anchors };
    let claims = verify(evidence, &context).unwrap();
    assert_eq!((claims.kind, claims.measurement), (EvidenceKind::VmSim, measurement));
    assert_eq!(claims.standing.when_it_ran.grade, Grade::Simulated);
}

fn every_protection_is_in_force(report: &RunReport) {
    assert_eq!(report.missing, Vec::<String>::new());
    for protection in
        ["user-namespace", "other-user", "seccomp", "memory-limit-cgroup-v2", "pids-limit-cgroup-v2"]
    {
        assert!(report.protections.iter().any(|given| given == protection), "{:?}", report.protections);
    }
    assert!(report.protections.iter().any(|given| given.starts_with("landlock-")));
}

fn next(reports: &Receiver<(TaskId, Report)>) -> Report {
    let report = reports.recv_timeout(PATIENCE).expect("the guest says nothing").1;
    eprintln!("{}", format!("{report:?}").chars().take(200).collect::<String>());
    report
}

/// The arguments of the emulator that runs a guest from this folder.
fn running(folder: &Path) -> Option<String> {
    let folder = folder.to_str().unwrap();
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let mut lines = processes.filter_map(|process| fs::read_to_string(process.path().join("cmdline")).ok());
    lines.find(|line| line.contains("qemu-system") && line.contains(folder))
}

/// The folder of a guest's sockets.
fn sockets(arguments: &str) -> PathBuf {
    let path = arguments.split("socket,id=tee,path=").nth(1).unwrap().split('\0').next().unwrap();
    Path::new(path).parent().unwrap().to_owned()
}

fn owner_key() -> SigningKey {
    SigningKey::from_slice(&[5; 32]).unwrap()
}

fn owner() -> Address {
    address_of(owner_key().verifying_key())
}

const PROCESSOR: Address = Address::repeat_byte(0xbb);
const DOMAIN: Domain = Domain { chain_id: 1337, contract: Address::repeat_byte(0xcc) };
const RESOURCES: Resources = Resources { cpu_millis: 1000, memory_mib: 64, disk_mib: 16, time_limit: 120 };
