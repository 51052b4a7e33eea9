//! A stand-in for QEMU on a TDX or SNP host, for the launcher's tests: **it protects nothing**.
//!
//! It takes the command line that the launcher gives, plays the hardware that measures what that command line names, and then the
//! guest: the real runtime's code, which finds its TEE by `configfs-tsm`, which is played too. A development vendor signs. What
//! is wrong with the command line ends it with a message.
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, reason = "a stand-in of tests")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pox_devtee::Seed;
use pox_devtee::dcap::{Quoting, Td, TdForm, Vendor};
use pox_devtee::snp::{self, Line, Report, Signer, Tcb};
use pox_devtee::tsm::Tsm as Played;
use pox_enclave::runtime::{Attester, Outside, Patience, Simulated, Tsm, Workspace, serve};
use pox_guest::measure::snp::{CpuSignature, GuestFeatures, KernelHashes, Machine, SnpFirmware};
use pox_guest::measure::tdx::{Host, Registers};
use pox_guest::measure::{FileDigests, Files};
use std::collections::BTreeMap;
use std::io::{self, BufReader};
use std::path::Path;

/// The vendor's; the tests have it too.
const SEED: Seed = Seed([0x51; 32]);

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--version"] => println!("QEMU emulator version 10.2.0 (a stand-in of tests)"),
        ["-object", "help"] => println!("List of user creatable objects:\n  sev-snp-guest\n  tdx-guest"),
        // A host that has no TEE, and lets something else answer.
        ["--simulated"] => {
            let folder = tempfile::tempdir().unwrap();
            answer(&Simulated::of_this_program().unwrap(), folder.path());
        }
        _ => launch(&words),
    }
}

fn answer(attester: &dyn Attester, folder: &Path) {
    let work = folder.join("work");
    std::fs::create_dir(&work).unwrap();
    let workspace = Workspace::create(&work).unwrap();
    let outside = Outside::new(BufReader::new(io::stdin().lock()), io::stdout().lock());
    if let Err(error) = serve(attester, outside, &workspace) {
        eprintln!("stand-in: {error}");
    }
}

/// What the command line asks for.
struct Asked {
    kernel: Vec<u8>,
    initramfs: Vec<u8>,
    command_line: String,
    firmware: Vec<u8>,
    vcpus: u16,
    cpu: String,
    /// The confidential guest's object.
    object: String,
}

impl Asked {
    fn of(words: &[String]) -> Self {
        // Options without a value, in the order in which the launcher has them.
        let (flags, options) = words.split_at(5);
        assert_eq!(flags, ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
        let mut named: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for pair in options.chunks(2) {
            let [name, value] = pair else { panic!("{pair:?} has no value") };
            named.entry(name).or_default().push(value);
        }
        let one = |name: &str| match named.get(name).map(Vec::as_slice) {
            Some([value]) => (*value).to_owned(),
            other => panic!("{name} is {other:?}"),
        };
        assert_eq!(one("-accel"), "kvm", "nothing is emulated on hardware");
        assert!(one("-machine").contains("confidential-guest-support=tee"));
        assert!(one("-m").ends_with('M'));
        let channel = "virtserialport,bus=ports.0,nr=1,chardev=channel,name=pox.channel";
        assert!(named["-device"].contains(&channel), "{named:?}");
        assert!(!words.iter().any(|word| word.contains("pox.tee")), "the host plays no TEE on hardware");
        for absent in ["-netdev", "-nic", "-drive", "-blockdev", "-monitor", "-qmp", "-s", "-gdb"] {
            assert!(!named.contains_key(absent), "{absent}");
        }
        let file = |name: &str| std::fs::read(one(name)).unwrap();
        Self {
            kernel: file("-kernel"),
            initramfs: file("-initrd"),
            command_line: one("-append"),
            firmware: file("-bios"),
            vcpus: one("-smp").parse().unwrap(),
            cpu: one("-cpu"),
            object: one("-object"),
        }
    }

    fn files(&self) -> Files<'_> {
        Files { kernel: &self.kernel, initramfs: &self.initramfs, command_line: &self.command_line }
    }

    /// A launch-time field of the object's.
    fn field<const N: usize>(&self, text: &str) -> [u8; N] {
        STANDARD.decode(text).unwrap().try_into().expect("the field's width")
    }
}

fn launch(words: &[String]) {
    let asked = Asked::of(words);
    let folder = tempfile::tempdir().unwrap();
    let reports = folder.path().join("report");
    std::fs::create_dir(&reports).unwrap();
    let _played = if asked.object.starts_with('{') { tdx(&asked, &reports) } else { snp(&asked, &reports) };
    let patience = Patience { attempts: 3, pause: std::time::Duration::from_millis(10) };
    let attester = Tsm::detect(&reports, patience).unwrap().expect("a TEE that works");
    answer(&attester, folder.path());
}

/// What the TDX module would measure, and put into every report.
fn tdx(asked: &Asked, reports: &Path) -> Played {
    let object: serde_json::Value = serde_json::from_str(&asked.object).unwrap();
    assert_eq!(object["qom-type"], "tdx-guest");
    assert_eq!(object["id"], "tee");
    assert_eq!(object["quote-generation-socket"]["type"], "vsock");
    assert_eq!(asked.cpu, "host");
    assert!(object.get("attributes").is_none() && object.get("debug").is_none());
    let config = asked.field::<48>(object["mrconfigid"].as_str().unwrap());
    let Registers { mrtd, rtmr1, rtmr2 } =
        Registers::of(&asked.files(), &asked.firmware, Host::default()).unwrap();
    let vendor = Vendor::new(SEED);
    let quote = move |data: &[u8; 64]| {
        let rtmr = [[0x70; 48], rtmr1.0, rtmr2.0, [0; 48]];
        let td = Td { mr_config_id: config, ..Td::new(TdForm::V4, mrtd.0, rtmr, *data) };
        vendor.tdx_quote(&td, &Quoting::default())
    };
    Played::tdx(reports, quote).unwrap()
}

/// What AMD's firmware would measure, and put into every report.
fn snp(asked: &Asked, reports: &Path) -> Played {
    let mut words = asked.object.split(',');
    assert_eq!(words.next(), Some("sev-snp-guest"));
    let fields: BTreeMap<&str, &str> = words.filter_map(|word| word.split_once('=')).collect();
    assert_eq!(fields["kernel-hashes"], "on", "or any kernel would do");
    let policy = u64::from_str_radix(fields["policy"].trim_start_matches("0x"), 16).unwrap();
    let host_data = asked.field::<32>(fields["host-data"]);
    let machine =
        Machine::new(asked.vcpus, CpuSignature::named(&asked.cpu).unwrap(), GuestFeatures(1)).unwrap();
    let files = asked.files();
    let hashes = KernelHashes::of(files.command_line, &FileDigests::of(&files));
    let measurement = SnpFirmware::parse(&asked.firmware).unwrap().launch_digest(&hashes, &machine).0;
    let vendor = snp::Vendor::new(&SEED, Line::Genoa);
    let (chip, tcb) = (Line::Genoa.chip(&SEED, "host"), Tcb::default());
    let report = move |data: &[u8; 64]| {
        let genuine = Report::genuine(Line::Genoa, Signer::Vcek, 3, chip, tcb);
        let report = Report { policy, host_data, measurement, report_data: *data, ..genuine };
        vendor.sign(&report, Signer::Vcek, &chip, tcb)
    };
    Played::snp(reports, report, Vec::new()).unwrap()
}
