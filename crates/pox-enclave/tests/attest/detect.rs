//! Which TEE is chosen, and when none is.

use crate::{DATA, IMPATIENT, quote_of};
use pox_core::evidence::EvidenceKind;
use pox_devtee::gramine::Gramine;
use pox_devtee::nsm::{self, Nsm};
use pox_devtee::tsm::{Fault, File, Provider, Tsm};
use pox_enclave::runtime::{AttestError, Expect, Interfaces, attester};
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

/// A machine's root with the mount points of all interfaces, none of them mounted.
struct Machine {
    interfaces: Interfaces,
    gramine: Option<Gramine>,
    nsm: Option<Nsm>,
    tsm: Option<Tsm>,
    /// Last, so that it is removed when nothing is mounted in it any more.
    root: TempDir,
}

impl Machine {
    fn new() -> Self {
        let root = TempDir::new().unwrap();
        let mut interfaces = Interfaces::below(root.path());
        interfaces.patience = IMPATIENT;
        // The stand-in is a folder with the device in it.
        interfaces.nsm = root.path().join("dev/module").join(nsm::DEVICE);
        for folder in [&interfaces.gramine, &interfaces.tsm, &root.path().join("dev/module")] {
            fs::create_dir_all(folder).unwrap();
        }
        Self { interfaces, gramine: None, nsm: None, tsm: None, root }
    }

    fn sgx(mut self) -> Self {
        self.gramine = Some(Gramine::dcap(&self.interfaces.gramine, quote_of).unwrap());
        self
    }

    fn nitro(mut self) -> Self {
        self.nsm = Some(Nsm::mount(self.interfaces.nsm.parent().unwrap(), |_| b"document".to_vec()).unwrap());
        self
    }

    fn tdx(mut self) -> Self {
        self.tsm = Some(Tsm::tdx(&self.interfaces.tsm, quote_of).unwrap());
        self
    }

    fn snp(mut self) -> Self {
        self.tsm = Some(Tsm::snp(&self.interfaces.tsm, quote_of, Vec::new()).unwrap());
        self
    }

    fn device(self, name: &str) -> Self {
        fs::write(self.root.path().join("dev").join(name), "").unwrap();
        self
    }

    fn kind(&self, expect: Expect) -> Result<EvidenceKind, AttestError> {
        attester(&self.interfaces, expect).map(|attester| attester.kind())
    }
}

#[test]
#[ignore = "needs /dev/fuse and the right to mount: run by .ci/run"]
fn the_one_tee_that_is_there_is_taken() {
    let cases = [
        (Machine::new().sgx(), EvidenceKind::Sgx),
        (Machine::new().nitro(), EvidenceKind::Nitro),
        (Machine::new().tdx(), EvidenceKind::Tdx),
        (Machine::new().snp(), EvidenceKind::Snp),
        (Machine::new().tdx().device("tdx_guest"), EvidenceKind::Tdx),
        (Machine::new().snp().device("sev-guest"), EvidenceKind::Snp),
        // A paravisor's guest: the device of the one, the reports of the other.
        (Machine::new().nitro().device("sev-guest"), EvidenceKind::Nitro),
    ];
    for (machine, kind) in cases {
        let attester = attester(&machine.interfaces, Expect::Tee).unwrap();
        assert_eq!((attester.kind(), attester.quote(&DATA).unwrap().kind), (kind, kind));
    }
}

#[test]
#[ignore = "needs /dev/fuse and the right to mount: run by .ci/run"]
fn simulated_is_refused_where_there_is_a_tee() {
    let machines = [
        Machine::new().sgx(),
        Machine::new().nitro(),
        Machine::new().tdx(),
        Machine::new().snp(),
        Machine::new().device("tdx_guest"),
        Machine::new().device("sev-guest"),
        Machine::new().sgx().tdx(),
    ];
    for (index, machine) in machines.iter().enumerate() {
        let refused = machine.kind(Expect::DangerousSimulated);
        assert!(matches!(refused, Err(AttestError::TeePresent(_))), "{index}: {refused:?}");
    }
}

#[test]
#[ignore = "needs /dev/fuse and the right to mount: run by .ci/run"]
fn without_a_tee_simulated_is_given_only_if_it_was_asked_for() {
    let machine = Machine::new();
    assert!(matches!(machine.kind(Expect::Tee), Err(AttestError::NoTee)));
    assert_eq!(machine.kind(Expect::DangerousSimulated).unwrap(), EvidenceKind::Simulated);
    // A kernel with the interface and no TEE behind it, and Gramine outside SGX.
    let tsm = Tsm::without_provider(&machine.interfaces.tsm).unwrap();
    let gramine = Gramine::of(&machine.interfaces.gramine, None, Box::new(quote_of)).unwrap();
    assert!(matches!(machine.kind(Expect::Tee), Err(AttestError::NoTee)));
    assert_eq!(machine.kind(Expect::DangerousSimulated).unwrap(), EvidenceKind::Simulated);
    drop((tsm, gramine));
}

#[test]
#[ignore = "needs /dev/fuse and the right to mount: run by .ci/run"]
fn two_tees_are_refused() {
    let machines = [
        Machine::new().sgx().nitro(),
        Machine::new().sgx().tdx(),
        Machine::new().nitro().snp(),
        Machine::new().sgx().nitro().tdx(),
    ];
    for (index, machine) in machines.iter().enumerate() {
        let refused = machine.kind(Expect::Tee);
        assert!(matches!(refused, Err(AttestError::Ambiguous(..))), "{index}: {refused:?}");
    }
}

#[test]
fn a_tee_without_reports_is_named_with_what_is_missing() {
    for device in ["tdx_guest", "sev-guest"] {
        let machine = Machine::new().device(device);
        let error = machine.kind(Expect::Tee).unwrap_err();
        let AttestError::NoReports { device: found, reports } = &error else { panic!("{error}") };
        assert_eq!(
            (found, reports),
            (&machine.root.path().join("dev").join(device), &machine.interfaces.tsm)
        );
        assert!(error.to_string().contains("configfs is not mounted"));
    }
}

/// An interface that is there and fails ends the search: nothing weaker, and nothing else, is taken instead.
#[test]
#[ignore = "needs /dev/fuse and the right to mount: run by .ci/run"]
fn a_tee_that_can_not_be_used_is_never_passed_over() {
    let mut none = Machine::new().nitro();
    none.gramine = Some(Gramine::of(&none.interfaces.gramine, Some("none"), Box::new(quote_of)).unwrap());
    assert!(matches!(none.kind(Expect::Tee), Err(AttestError::NotDcap(_))));
    assert!(matches!(none.kind(Expect::DangerousSimulated), Err(AttestError::TeePresent(_))));

    let mut unknown = Machine::new();
    let provider = Provider {
        name: "arm_cca_guest".into(),
        privlevel_floor: None,
        auxblob: None,
        report: Box::new(quote_of),
    };
    unknown.tsm = Some(Tsm::of(&unknown.interfaces.tsm, provider).unwrap());
    assert!(matches!(unknown.kind(Expect::Tee), Err(AttestError::UnknownProvider(_))));
    assert!(matches!(unknown.kind(Expect::DangerousSimulated), Err(AttestError::TeePresent(_))));

    let broken = Machine::new().tdx();
    let tsm = broken.tsm.as_ref().unwrap();
    for expect in [Expect::Tee, Expect::DangerousSimulated] {
        tsm.inject(Fault::Fails { file: File::Entry, errno: libc::EIO, times: 1 });
        assert!(broken.kind(expect).is_err());
    }
    tsm.inject(Fault::Fails { file: File::Provider, errno: libc::EBUSY, times: 1 });
    assert_eq!(broken.kind(Expect::Tee).unwrap(), EvidenceKind::Tdx);
}

#[test]
fn the_places_of_a_real_machine_are_the_kernels() {
    let Interfaces { gramine, nsm, tsm, devices, .. } = Interfaces::of_this_machine();
    assert_eq!(
        [gramine, nsm, tsm],
        ["/dev/attestation", "/dev/nsm", "/sys/kernel/config/tsm"].map(PathBuf::from)
    );
    assert_eq!(devices, ["/dev/tdx_guest", "/dev/sev-guest"].map(PathBuf::from));
}
