//! What `pox node doctor` says of machines that are played by folders of files.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "../../pox-guest/tests/measure/made.rs"]
#[allow(dead_code, unreachable_pub, reason = "the firmware is what is needed of it")]
mod made;

use pox_core::evidence::EvidenceKind;
use pox_node::doctor::{Diagnosis, Emulator, Finding, Presence, examine};
use std::fs;
use tempfile::TempDir;

/// A machine's files.
struct Played(TempDir);

impl Played {
    /// With this processor and kernel, and all that the sandbox needs.
    fn new(vendor: &str, family: u32, model: u32, flags: &str, kernel: &str) -> Self {
        let played = Self(TempDir::new().unwrap());
        let processor = format!(
            "processor\t: 0\nvendor_id\t: {vendor}\ncpu family\t: {family}\nmodel\t\t: {model}\nflags\t\t: fpu {flags} rdrand\n\n\
             processor\t: 1\nvendor_id\t: {vendor}\nflags\t\t: fpu\n"
        );
        played
            .with("proc/cpuinfo", processor)
            .with("proc/sys/kernel/osrelease", format!("{kernel}\n"))
            .with("proc/self/ns/user", "")
            .with("proc/self/status", "Name:\tpox\nUid:\t1000\t1000\t1000\t1000\n")
            .with("proc/sys/user/max_user_namespaces", "100\n")
            .with("proc/sys/kernel/seccomp/actions_avail", "kill_process trap errno allow\n")
            .with("sys/kernel/security/lsm", "lockdown,capability,landlock,yama\n")
            .with("sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids\n")
    }

    fn xeon() -> Self {
        Self::new("GenuineIntel", 6, 207, "sgx sgx_lc", "6.16.3+deb13-amd64")
    }

    fn epyc() -> Self {
        Self::new("AuthenticAMD", 25, 17, "sev sev_es sev_snp", "6.12.0")
    }

    fn with(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    fn without(self, path: &str) -> Self {
        fs::remove_file(self.0.path().join(path)).unwrap();
        self
    }

    fn tdx_host() -> Self {
        Self::xeon()
            .with("sys/module/kvm_intel/parameters/tdx", "Y\n")
            .with("dev/kvm", "")
            .with("usr/share/ovmf/OVMF.fd", "no firmware for TDX")
            .with("usr/share/edk2/ovmf/OVMF.inteltdx.fd", made::firmware())
            .with("etc/qgs.conf", "port = 4050\n")
    }

    fn snp_host() -> Self {
        Self::epyc()
            .with("sys/module/kvm_amd/parameters/sev_snp", "Y\n")
            .with("dev/kvm", "")
            .with("dev/sev", "")
            .with("usr/share/ovmf/OVMF.amdsev.fd", made::firmware())
    }

    fn examined(&self) -> Diagnosis {
        examine(self.0.path(), Some(&emulator("memory-backend-ram\n  sev-snp-guest\n  tdx-guest\n")))
    }

    fn presence(&self, kind: EvidenceKind) -> Presence {
        self.examined().tee(kind).unwrap().presence
    }

    /// What is missing first of a kind.
    fn lacks(&self, kind: EvidenceKind) -> (&'static str, String) {
        let diagnosis = self.examined();
        let check = diagnosis.tee(kind).unwrap().missing().unwrap();
        assert!(check.next.is_some_and(|next| !next.is_empty()), "{check:?}");
        (check.what, check.seen.clone())
    }
}

fn emulator(objects: &str) -> Emulator {
    Emulator {
        program: "/usr/bin/qemu-system-x86_64".into(),
        version: "QEMU emulator version 10.1.2".into(),
        objects: objects.into(),
    }
}

#[test]
fn a_tdx_host_is_one() {
    let host = Played::tdx_host();
    let diagnosis = host.examined();
    let tdx = diagnosis.tee(EvidenceKind::Tdx).unwrap();
    assert_eq!((tdx.presence, tdx.is_served), (Presence::Present, true), "{tdx:#?}");
    assert!(tdx.checks.iter().all(|check| check.finding == Finding::Good), "{tdx:#?}");
    let firmware = tdx.checks.iter().find(|check| check.what.starts_with("firmware")).unwrap();
    assert_eq!(firmware.seen, "/usr/share/edk2/ovmf/OVMF.inteltdx.fd", "the first one that is one");
    assert_eq!(host.presence(EvidenceKind::Snp), Presence::Absent);
    assert_eq!(host.presence(EvidenceKind::Nitro), Presence::Absent);
    assert_eq!((diagnosis.kernel.as_str(), diagnosis.inside), ("6.16.3+deb13-amd64", None));
    assert!(diagnosis.sandbox.iter().all(|check| check.finding == Finding::Good), "{diagnosis:#?}");
}

#[test]
fn what_a_tdx_host_lacks_is_named() {
    let tdx = EvidenceKind::Tdx;
    let off = Played::tdx_host().with("sys/module/kvm_intel/parameters/tdx", "N\n");
    assert_eq!(off.lacks(tdx), ("KVM", "kvm_intel's parameter tdx is N".into()));
    assert_eq!(off.presence(tdx), Presence::Incomplete);
    let old = Played::tdx_host().without("sys/module/kvm_intel/parameters/tdx");
    assert!(old.lacks(tdx).1.contains("no parameter tdx under Linux 6.16.3"));
    assert_eq!(Played::tdx_host().without("dev/kvm").lacks(tdx).0, "dev/kvm");
    let nested = Played::new("GenuineIntel", 6, 207, "hypervisor", "6.16.0");
    assert_eq!(nested.presence(tdx), Presence::Absent);
    assert!(nested.lacks(tdx).1.contains("virtual"));
    assert_eq!(Played::epyc().lacks(tdx), ("processor", "AMD's".into()));
    let host = Played::tdx_host();
    let without = |emulator: Option<&Emulator>| {
        let diagnosis = examine(host.0.path(), emulator);
        diagnosis.tee(tdx).unwrap().missing().map(|check| check.seen.clone()).unwrap()
    };
    assert_eq!(without(None), "qemu-system-x86_64 is not in PATH");
    assert_eq!(
        without(Some(&emulator("sev-snp-guest my-tdx-guest"))),
        "QEMU emulator version 10.1.2 has no tdx-guest"
    );
    // What files can't tell does not count as missing.
    let bare = Played::tdx_host().without("etc/qgs.conf").without("usr/share/edk2/ovmf/OVMF.inteltdx.fd");
    let diagnosis = bare.examined();
    let unknown = diagnosis.tee(tdx).unwrap().checks.iter().filter(|check| check.finding == Finding::Unknown);
    assert_eq!((bare.presence(tdx), unknown.count()), (Presence::Present, 2));
}

#[test]
fn an_snp_host_is_one_and_what_it_lacks_is_named() {
    let snp = EvidenceKind::Snp;
    let host = Played::snp_host();
    assert_eq!(host.presence(snp), Presence::Present, "{:#?}", host.examined());
    assert_eq!(host.presence(EvidenceKind::Tdx), Presence::Absent);
    let off = Played::snp_host().with("sys/module/kvm_amd/parameters/sev_snp", "N");
    assert_eq!(off.lacks(snp), ("KVM", "kvm_amd's parameter sev_snp is N".into()));
    assert_eq!(Played::snp_host().without("dev/sev").lacks(snp).0, "dev/sev");
    let rome = Played::new("AuthenticAMD", 23, 49, "sev sev_es", "6.12.0");
    assert_eq!((rome.presence(snp), rome.lacks(snp).0), (Presence::Absent, "processor"));
    let milan = Played::new("AuthenticAMD", 25, 1, "sev_snp", "6.12.0").examined();
    assert!(milan.tee(snp).unwrap().checks[0].seen.contains("Milan"), "{milan:#?}");
}

#[test]
fn an_sgx_host_is_one_that_the_node_does_not_serve() {
    let sgx = EvidenceKind::Sgx;
    let host = Played::xeon()
        .with("dev/sgx_enclave", "")
        .with("dev/sgx_provision", "")
        .with("usr/bin/gramine-sgx", "")
        .with("run/aesmd/aesm.socket", "");
    let diagnosis = host.examined();
    let found = diagnosis.tee(sgx).unwrap();
    assert_eq!((found.presence, found.is_served), (Presence::Present, false));
    assert_eq!(host.without("usr/bin/gramine-sgx").lacks(sgx).0, "Gramine");
    assert_eq!(Played::xeon().lacks(sgx).0, "dev/sgx_enclave");
    let locked = Played::new("GenuineIntel", 6, 85, "sgx", "6.12.0");
    assert_eq!(locked.presence(sgx), Presence::Absent);
    assert_eq!(Played::epyc().presence(sgx), Presence::Absent);
}

#[test]
fn a_nitro_parent_is_one_that_the_node_does_not_serve() {
    let nitro = EvidenceKind::Nitro;
    let instance = || {
        Played::new("GenuineIntel", 6, 143, "hypervisor", "6.1.0")
            .with("sys/class/dmi/id/sys_vendor", "Amazon EC2\n")
            .with("dev/nitro_enclaves", "")
            .with("sys/module/nitro_enclaves/parameters/ne_cpus", "2,3\n")
            .with("usr/bin/nitro-cli", "")
    };
    let diagnosis = instance().examined();
    let found = diagnosis.tee(nitro).unwrap();
    assert_eq!((found.presence, found.is_served), (Presence::Present, false));
    assert_eq!(instance().without("dev/nitro_enclaves").lacks(nitro).0, "dev/nitro_enclaves");
    let idle = instance().with("sys/module/nitro_enclaves/parameters/ne_cpus", "\n");
    assert_eq!(idle.lacks(nitro).0, "processors for enclaves");
}

#[test]
fn a_machine_without_any_tee_can_still_simulate_and_says_what_protects_nothing() {
    let plain = Played::new("GenuineIntel", 6, 85, "hypervisor", "6.1.0");
    for kind in [EvidenceKind::Tdx, EvidenceKind::Snp, EvidenceKind::Sgx, EvidenceKind::Nitro] {
        assert_eq!(plain.presence(kind), Presence::Absent, "{kind}");
    }
    for kind in [EvidenceKind::VmSim, EvidenceKind::Simulated] {
        assert_eq!(plain.presence(kind), Presence::Present, "{kind}");
    }
    // Nothing at all to read is no reason to fail.
    let empty = TempDir::new().unwrap();
    let diagnosis = examine(empty.path(), None);
    assert!(
        diagnosis
            .tees
            .iter()
            .all(|tee| tee.presence != Presence::Present || tee.kind == EvidenceKind::Simulated)
    );
}

#[test]
fn inside_a_tee_nothing_is_simulated_and_no_guest_is_launched() {
    let inside = [
        ("dev/tdx_guest", EvidenceKind::Tdx),
        ("dev/sev-guest", EvidenceKind::Snp),
        ("dev/nsm", EvidenceKind::Nitro),
        ("dev/attestation/attestation_type", EvidenceKind::Sgx),
    ];
    for (device, kind) in inside {
        let machine = Played::tdx_host().with(device, "");
        let diagnosis = machine.examined();
        assert_eq!(diagnosis.inside, Some(kind));
        assert_eq!(machine.presence(EvidenceKind::Simulated), Presence::Absent, "{device}");
        assert_eq!(machine.presence(EvidenceKind::Tdx), Presence::Absent, "{device}");
    }
}

#[test]
fn what_the_sandbox_lacks_is_named() {
    let lacking = |played: Played| {
        let sandbox = played.examined().sandbox;
        let found: Vec<_> = sandbox.iter().filter(|check| check.finding != Finding::Good).collect();
        assert_eq!(found.len(), 1, "{sandbox:#?}");
        (found[0].what, found[0].finding)
    };
    let missing = |what| (what, Finding::Missing);
    let host = Played::tdx_host;
    assert_eq!(lacking(host().with("proc/sys/user/max_user_namespaces", "0")), missing("user namespaces"));
    let closed = || host().with("proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1");
    assert_eq!(lacking(closed()), missing("user namespaces"));
    let root = closed().with("proc/self/status", "Uid:\t0\t0\t0\t0\n").examined();
    assert!(root.sandbox.iter().all(|check| check.finding == Finding::Good), "the superuser may");
    assert_eq!(lacking(host().without("proc/sys/kernel/seccomp/actions_avail")), missing("seccomp"));
    assert_eq!(lacking(host().with("sys/kernel/security/lsm", "yama,landlocked")), missing("Landlock"));
    assert_eq!(lacking(host().without("sys/kernel/security/lsm")), ("Landlock", Finding::Unknown));
    assert_eq!(
        lacking(host().with("sys/fs/cgroup/cgroup.controllers", "memory pids")),
        missing("control groups")
    );
    assert_eq!(
        lacking(host().with("proc/sys/kernel/osrelease", "6.2.16")),
        missing("files under another owner")
    );
}
