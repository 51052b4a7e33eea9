//! What each kind of TEE needs of a host.

use super::machine::Machine;
use super::{Check, Emulator, Finding, Presence, Tee};
use pox_core::evidence::EvidenceKind;
use pox_guest::measure::firmware::MAX_FIRMWARE_BYTES;
use pox_guest::measure::snp::SnpFirmware;
use pox_guest::measure::tdx::Tdvf;

pub(super) fn all(machine: &Machine, emulator: Option<&Emulator>) -> Vec<Tee> {
    vec![
        tee(EvidenceKind::Tdx, Served::Yes, tdx(machine, emulator)),
        tee(EvidenceKind::Snp, Served::Yes, snp(machine, emulator)),
        tee(EvidenceKind::Sgx, Served::No, sgx(machine)),
        tee(EvidenceKind::Nitro, Served::No, nitro(machine)),
        tee(EvidenceKind::VmSim, Served::Yes, vec![emulator_check(emulator, None)]),
        tee(EvidenceKind::Simulated, Served::Yes, vec![simulated(machine)]),
    ]
}

/// Whether `pox node` starts enclaves of a kind.
#[derive(PartialEq, Eq)]
enum Served {
    Yes,
    No,
}

/// The first check is of what only another machine could have.
fn tee(kind: EvidenceKind, served: Served, checks: Vec<Check>) -> Tee {
    let is_missing = |check: &Check| check.finding == Finding::Missing;
    let presence = match &checks[..] {
        [hardware, ..] if is_missing(hardware) => Presence::Absent,
        checks if checks.iter().any(is_missing) => Presence::Incomplete,
        _ => Presence::Present,
    };
    Tee { kind, presence, is_served: served == Served::Yes, checks }
}

fn tdx(machine: &Machine, emulator: Option<&Emulator>) -> Vec<Check> {
    const SWITCH: &str = "sys/module/kvm_intel/parameters/tdx";
    let processor = if machine.vendor != "GenuineIntel" {
        Check::missing(
            "processor",
            maker(machine),
            "TDX needs an Intel Xeon of the 5th generation or later, or one of the 4th made for clouds",
        )
    } else {
        own_hardware(machine)
            .unwrap_or_else(|| Check::good("processor", "Intel's, without a machine underneath"))
    };
    let switch = match machine.switch(SWITCH) {
        Some(true) => Check::good("KVM", "kvm_intel's parameter tdx is Y"),
        Some(false) => Check::missing(
            "KVM",
            "kvm_intel's parameter tdx is N",
            "switch TDX on in the firmware's settings (TME-MT, TDX, SEAM loader), and load kvm_intel with tdx=1; `dmesg | grep -i tdx` says what it lacks",
        ),
        None => Check::missing(
            "KVM",
            format!("kvm_intel has no parameter tdx under Linux {}", machine.kernel),
            "use Linux 6.16 or later, or a distribution's kernel with TDX for hosts, and load kvm_intel",
        ),
    };
    let service = machine.first(&["run/tdx-qgs/qgs.socket", "var/run/tdx-qgs/qgs.socket", "etc/qgs.conf"]);
    let service = match service {
        Some(path) => Check::good("quote service", format!("/{path}")),
        None => Check::unknown(
            "quote service",
            "no trace of it",
            "install Intel's quote generation service (tdx-qgs), and have it listen at vsock port 4050; without, guests get no evidence",
        ),
    };
    vec![
        processor,
        switch,
        kvm(machine),
        emulator_check(emulator, Some("tdx-guest")),
        firmware(machine, "firmware (TDVF)", |file| Tdvf::parse(file).is_ok()),
        service,
    ]
}

fn snp(machine: &Machine, emulator: Option<&Emulator>) -> Vec<Check> {
    let (family, model) = machine.model;
    let processor = if machine.vendor != "AuthenticAMD" {
        Check::missing("processor", maker(machine), "SEV-SNP needs an AMD EPYC of the 7003 series or later")
    } else if let Some(check) = own_hardware(machine) {
        check
    } else if !machine.flag("sev_snp") {
        Check::missing(
            "processor",
            "AMD's, without SEV-SNP (cpuinfo has no sev_snp)",
            "switch SEV-SNP on in the firmware's settings (SMEE, SNP memory coverage, IOMMU); older series than 7003 do not have it",
        )
    } else if family == 25 && model < 16 {
        Check::good(
            "processor",
            "AMD EPYC Milan: owners' default policy refuses it, since its root of trust can be extracted",
        )
    } else {
        Check::good("processor", "AMD's, with SEV-SNP")
    };
    let switch = match machine.switch("sys/module/kvm_amd/parameters/sev_snp") {
        Some(true) => Check::good("KVM", "kvm_amd's parameter sev_snp is Y"),
        Some(false) => Check::missing(
            "KVM",
            "kvm_amd's parameter sev_snp is N",
            "switch SNP memory coverage (RMP) and the IOMMU on in the firmware's settings; `dmesg | grep -i sev` says what it lacks",
        ),
        None => Check::missing(
            "KVM",
            format!("kvm_amd has no parameter sev_snp under Linux {}", machine.kernel),
            "use Linux 6.11 or later, and load kvm_amd",
        ),
    };
    let device = device(
        machine,
        "dev/sev",
        "load the module ccp; its firmware package is amd64-microcode or linux-firmware",
    );
    vec![
        processor,
        switch,
        kvm(machine),
        device,
        emulator_check(emulator, Some("sev-snp-guest")),
        firmware(machine, "firmware (OVMF, AmdSev)", |file| SnpFirmware::parse(file).is_ok()),
    ]
}

fn sgx(machine: &Machine) -> Vec<Check> {
    let processor = match (machine.flag("sgx"), machine.flag("sgx_lc")) {
        (true, true) => Check::good("processor", "with SGX and flexible launch control"),
        (true, false) => Check::missing(
            "processor",
            "SGX without flexible launch control",
            "switch launch control to unlocked in the firmware's settings; DCAP needs it",
        ),
        _ => Check::missing(
            "processor",
            "without SGX (cpuinfo has no sgx)",
            "switch SGX on in the firmware's settings; Xeons of the 3rd generation and later have it",
        ),
    };
    let next = "use Linux 5.11 or later with CONFIG_X86_SGX";
    let gramine = machine.first(&["usr/bin/gramine-sgx", "usr/local/bin/gramine-sgx"]);
    let service = machine.first(&["run/aesmd/aesm.socket", "var/run/aesmd/aesm.socket"]);
    vec![
        processor,
        device(machine, "dev/sgx_enclave", next),
        device(machine, "dev/sgx_provision", next),
        match gramine {
            Some(path) => Check::good("Gramine", format!("/{path}")),
            None => Check::missing(
                "Gramine",
                "not installed",
                "install Gramine, in which the runtime runs as an SGX enclave",
            ),
        },
        match service {
            Some(path) => Check::good("quote service", format!("/{path}")),
            None => Check::unknown(
                "quote service",
                "no trace of aesmd",
                "install Intel's aesmd with its quoting plug-ins",
            ),
        },
    ]
}

fn nitro(machine: &Machine) -> Vec<Check> {
    let maker = machine.text("sys/class/dmi/id/sys_vendor").unwrap_or_default();
    let instance = if maker == "Amazon EC2" {
        Check::good("instance", "of AWS EC2")
    } else {
        Check::missing(
            "instance",
            "not one of AWS EC2",
            "Nitro enclaves are launched from instances of AWS EC2",
        )
    };
    let cpus = machine.text("sys/module/nitro_enclaves/parameters/ne_cpus").unwrap_or_default();
    vec![
        instance,
        device(
            machine,
            "dev/nitro_enclaves",
            "launch an instance with enclaves enabled (EnclaveOptions), and load the module nitro_enclaves",
        ),
        if cpus.is_empty() {
            Check::missing(
                "processors for enclaves",
                "none are set aside",
                "start nitro-enclaves-allocator.service, which sets memory and processors aside",
            )
        } else {
            Check::good("processors for enclaves", cpus)
        },
        match machine.first(&["usr/bin/nitro-cli", "usr/local/bin/nitro-cli"]) {
            Some(path) => Check::good("nitro-cli", format!("/{path}")),
            None => Check::missing("nitro-cli", "not installed", "install aws-nitro-enclaves-cli"),
        },
    ]
}

fn simulated(machine: &Machine) -> Check {
    match machine.inside() {
        None => Check::good("no TEE underneath", "a process without protection can be started"),
        Some(kind) => Check::missing(
            "no TEE underneath",
            format!("this machine is itself inside a TEE of kind {kind}"),
            "there the runtime takes that TEE's evidence, and refuses to simulate one",
        ),
    }
}

/// Why the TEE for guests is out of reach here, if this machine is a guest itself.
fn own_hardware(machine: &Machine) -> Option<Check> {
    if let Some(kind) = machine.inside() {
        let seen = format!("this machine is itself inside a TEE of kind {kind}");
        return Some(Check::missing("processor", seen, "guests are launched by the machine underneath"));
    }
    machine.is_virtual().then(|| {
        let seen = "this machine is a virtual one (cpuinfo has hypervisor)";
        Check::missing(
            "processor",
            seen,
            "use a machine with nothing underneath it: a guest can't launch such guests",
        )
    })
}

fn maker(machine: &Machine) -> String {
    match machine.vendor.as_str() {
        "GenuineIntel" => "Intel's".to_owned(),
        "AuthenticAMD" => "AMD's".to_owned(),
        "" => "unknown".to_owned(),
        other => format!("of {other}"),
    }
}

fn kvm(machine: &Machine) -> Check {
    device(
        machine,
        "dev/kvm",
        "switch virtualisation on in the firmware's settings, and load kvm_intel or kvm_amd",
    )
}

fn device(machine: &Machine, path: &'static str, next: &'static str) -> Check {
    if machine.has(path) { Check::good(path, "there") } else { Check::missing(path, "not there", next) }
}

fn emulator_check(emulator: Option<&Emulator>, object: Option<&str>) -> Check {
    let Some(emulator) = emulator else {
        return Check::missing(
            "QEMU",
            "qemu-system-x86_64 is not in PATH",
            "install it; in Debian the package is qemu-system-x86",
        );
    };
    match object {
        Some(name) if !emulator.has_object(name) => Check::missing(
            "QEMU",
            format!("{} has no {name}", emulator.version),
            "use QEMU 10.1 or later for TDX, 9.1 or later for SEV-SNP, built with KVM",
        ),
        _ => Check::good("QEMU", emulator.version.clone()),
    }
}

fn firmware(machine: &Machine, what: &'static str, is_for_it: impl Fn(&[u8]) -> bool) -> Check {
    let fits = |path: &&&str| machine.bytes(path, MAX_FIRMWARE_BYTES).is_some_and(|file| is_for_it(&file));
    match FIRMWARE.iter().find(fits) {
        Some(path) => Check::good(what, format!("/{path}")),
        None => Check::unknown(
            what,
            "none where distributions put it",
            "build it from edk2, and name it with --firmware",
        ),
    }
}

/// Where distributions put virtual firmware.
const FIRMWARE: [&str; 9] = [
    "usr/share/ovmf/OVMF.amdsev.fd",
    "usr/share/edk2/ovmf/OVMF.amdsev.fd",
    "usr/share/edk2-ovmf/x64/OVMF.amdsev.fd",
    "usr/share/qemu/OVMF.amdsev.fd",
    "usr/share/ovmf/OVMF.tdx.fd",
    "usr/share/ovmf/OVMF.inteltdx.fd",
    "usr/share/edk2/ovmf/OVMF.inteltdx.fd",
    "usr/share/qemu/OVMF.inteltdx.fd",
    "usr/share/ovmf/OVMF.fd",
];
