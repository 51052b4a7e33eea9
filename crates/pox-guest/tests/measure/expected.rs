//! The one entry: files and shapes to the measurements that policies list.

use crate::made;
use crate::snp::RECORDED;
use pox_core::evidence::EvidenceKind;
use pox_guest::measure::kernel::KernelError;
use pox_guest::measure::snp::{CpuSignature, GuestFeatures, Machine};
use pox_guest::measure::{
    Expected, FileDigests, Files, MAX_COMMAND_LINE_BYTES, MeasureError, Shape, tdx, vm_sim,
};
use pox_verify::evidence::launch::measurement;
use sha2::{Digest, Sha256};

#[test]
fn each_kind_has_the_verifier_s_registers_and_measurement() {
    let (kernel, initramfs, firmware) = (made::kernel(), made::initramfs(), made::firmware());
    let expected = Expected::of(&made::files(&kernel, &initramfs), &shapes(&firmware)).unwrap();
    let names: Vec<(EvidenceKind, Vec<&str>)> = expected
        .launches
        .iter()
        .map(|launch| (launch.kind, launch.registers.iter().map(|register| register.name).collect()))
        .collect();
    assert_eq!(
        names,
        [
            (EvidenceKind::VmSim, vec![]),
            (EvidenceKind::Tdx, vec!["MRTD", "RTMR1", "RTMR2"]),
            (EvidenceKind::Snp, vec!["MEASUREMENT"]),
            (EvidenceKind::Nitro, vec!["PCR0", "PCR1", "PCR2"]),
        ]
    );
    for launch in &expected.launches[1..] {
        let registers = launch.registers.iter().map(|register| (register.name, register.value.0.as_slice()));
        assert_eq!(launch.measurement, measurement(launch.kind, registers));
    }
    assert_eq!(expected.launches[2].registers[0].value, RECORDED[0].3.parse().unwrap());
}

#[test]
fn the_simulated_vm_is_measured_as_the_spec_has_it() {
    let (kernel, initramfs) = (made::kernel(), made::initramfs());
    let files = made::files(&kernel, &initramfs);
    let digests =
        [&kernel, &initramfs, made::COMMAND_LINE.as_bytes()].map(|bytes| Sha256::digest(bytes).to_vec());
    let whole = [b"pox-vm-sim-v1\0".to_vec(), digests.concat()].concat();
    assert_eq!(vm_sim(&files).0[..], Sha256::digest(whole)[..]);
    assert_eq!(vm_sim(&files), FileDigests::of(&files).vm_sim());
    let expected = Expected::of(&files, &[Shape::VmSim]).unwrap();
    assert_eq!(expected.launches[0].measurement, vm_sim(&files));
}

#[test]
fn json_has_every_register() {
    let (kernel, initramfs, firmware) = (made::kernel(), made::initramfs(), made::firmware());
    let expected = Expected::of(&made::files(&kernel, &initramfs), &shapes(&firmware)).unwrap();
    let json = serde_json::to_value(&expected).unwrap();
    assert_eq!(json["files"]["kernel"], format!("0x{}", hex::encode(Sha256::digest(&kernel))));
    let snp = &json["launches"][2];
    assert_eq!(snp["kind"], "snp");
    assert_eq!(snp["shape"], "1 vCPU of type EPYC-Genoa, guest features 0x1");
    assert_eq!(snp["firmware"], format!("0x{}", hex::encode(Sha256::digest(&firmware))));
    assert_eq!(snp["registers"][0]["name"], "MEASUREMENT");
    assert_eq!(snp["registers"][0]["value"], format!("0x{}", RECORDED[0].3));
    assert_eq!(snp["measurement"], expected.launches[2].measurement.to_string());
}

#[test]
fn files_that_are_no_guest_are_refused() {
    let (kernel, initramfs) = (made::kernel(), made::initramfs());
    let good = made::files(&kernel, &initramfs);
    let refusal = |files: &Files<'_>| Expected::of(files, &[Shape::VmSim]).unwrap_err();
    let size = |file, bytes, most| MeasureError::Size { file, bytes, most };
    assert_eq!(refusal(&Files { kernel: &[], ..good }), size("kernel", 0, 256 << 20));
    assert_eq!(refusal(&Files { initramfs: &[], ..good }), size("initramfs", 0, 1 << 30));
    let most = MAX_COMMAND_LINE_BYTES;
    assert_eq!(refusal(&Files { command_line: "", ..good }), size("command line", 0, most));
    let long = "x".repeat(most + 1);
    assert_eq!(refusal(&Files { command_line: &long, ..good }), size("command line", most + 1, most));
    for (command_line, byte) in [("quiet\0", 0), ("quiet\n", b'\n'), ("init=/é", 0xc3), ("\x7f", 0x7f)] {
        assert_eq!(refusal(&Files { command_line, ..good }), MeasureError::CommandLine(byte));
    }
}

#[test]
fn a_shape_that_measures_too_little_refuses_the_whole() {
    let (mut kernel, initramfs, firmware) = (made::kernel(), made::initramfs(), made::firmware());
    kernel[0x800] ^= 1;
    let refused = Expected::of(&made::files(&kernel, &initramfs), &shapes(&firmware));
    assert_eq!(refused, Err(MeasureError::Kernel(KernelError::MeasuresNothing)));
}

pub(crate) fn shapes(firmware: &[u8]) -> [Shape<'_>; 4] {
    let machine = Machine::new(1, CpuSignature::GENOA, GuestFeatures(1)).unwrap();
    [
        Shape::VmSim,
        Shape::Tdx { firmware, host: tdx::Host::default() },
        Shape::Snp { firmware, machine },
        Shape::Nitro { over: None },
    ]
}
