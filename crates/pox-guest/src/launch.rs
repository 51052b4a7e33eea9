//! How a host starts the guest: under plain emulation, and on TDX and SNP hosts.
//!
//! Only text is made here: the arguments of QEMU. A guest has memory, processors and two serial ports to its host (spec §14.4),
//! and no network, disk, screen or keyboard. Whether a host is able to do what they ask for shows when it tries.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pox_core::TaskId;
use pox_core::evidence::EvidenceKind;
use pox_verify::evidence::launch::launch_data;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

/// The port over which runtime and host speak; its host's end is the standard input and output of QEMU.
pub const CHANNEL_PORT: &str = "pox.channel";
/// The port behind which the host plays a TEE, for kind `vm-sim`.
pub const TEE_PORT: &str = "pox.tee";

/// A guest's files, where QEMU reads them.
#[derive(Debug, Clone)]
pub struct Files {
    /// The kernel.
    pub kernel: PathBuf,
    /// The initramfs.
    pub initramfs: PathBuf,
    /// The command line.
    pub command_line: String,
}

/// What a guest has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Processors.
    pub cpus: u32,
    /// Memory, MiB.
    pub memory_mib: u32,
}

/// What the guest runs on.
#[derive(Debug, Clone)]
pub enum Machine {
    /// Software emulation; **protects nothing**. The host plays the TEE behind a Unix socket.
    Emulated {
        /// The socket, on which somebody listens.
        tee: PathBuf,
    },
    /// A trust domain of Intel TDX (QEMU 10.1 or later, Linux 6.16 or later).
    Tdx {
        /// TDVF: firmware with TDX metadata.
        firmware: PathBuf,
        /// The quote generation service, by its vsock port on the host.
        quote_service_port: u32,
        /// The task, which the hardware binds.
        task: TaskId,
    },
    /// A guest of AMD SEV-SNP (QEMU 9.1 or later, Linux 6.11 or later).
    Snp {
        /// OVMF for direct boot with measured hashes (`OVMF.amdsev.fd`).
        firmware: PathBuf,
        /// QEMU's name of the processor model, which is measured: `EPYC-v4`.
        cpu: String,
        /// Where in a page table entry the encryption bit is: CPUID 0x8000001f, EBX, bits 0 to 5.
        encryption_bit: u8,
        /// The task, which the hardware binds.
        task: TaskId,
    },
}

/// The arguments of `qemu-system-x86_64` for one guest. What it prints goes to the Unix socket `console`, if there is one.
pub fn arguments(machine: &Machine, files: &Files, shape: Shape, console: Option<&Path>) -> Vec<OsString> {
    let mut line = Line::default();
    // Nothing that the host has configured, and no device that is not named here.
    line.words(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
    line.machine(machine);
    line.option("-smp", &shape.cpus.to_string());
    line.option("-m", &format!("{}M", shape.memory_mib));
    line.path("-kernel", &files.kernel);
    line.path("-initrd", &files.initramfs);
    line.option("-append", &files.command_line);
    line.ports(machine);
    if let Some(console) = console {
        line.socket("console", console);
        line.option("-serial", "chardev:console");
    }
    line.0
}

#[derive(Default)]
struct Line(Vec<OsString>);

impl Line {
    fn words<const N: usize>(&mut self, words: [&str; N]) {
        self.0.extend(words.map(OsString::from));
    }

    fn option(&mut self, name: &str, value: &str) {
        self.words([name, value]);
    }

    fn path(&mut self, name: &str, path: &Path) {
        self.words([name]);
        self.0.push(path.into());
    }

    fn machine(&mut self, machine: &Machine) {
        match machine {
            Machine::Emulated { .. } => {
                self.option("-accel", "tcg,thread=multi");
                self.option("-machine", "q35,sata=off,usb=off,vmport=off");
                self.option("-cpu", "max");
            }
            Machine::Tdx { firmware, quote_service_port, task } => {
                let id = STANDARD.encode(launch_data(EvidenceKind::Tdx, *task).unwrap_or_default());
                self.option("-accel", "kvm");
                self.option(
                    "-machine",
                    "q35,sata=off,usb=off,kernel-irqchip=split,confidential-guest-support=tee",
                );
                self.option("-cpu", "host");
                self.path("-bios", firmware);
                let service = format!(r#"{{"type":"vsock","cid":"2","port":"{quote_service_port}"}}"#);
                let object = format!(
                    r#"{{"qom-type":"tdx-guest","id":"tee","mrconfigid":"{id}","quote-generation-socket":{service}}}"#
                );
                self.option("-object", &object);
            }
            Machine::Snp { firmware, cpu, encryption_bit, task } => {
                let data = STANDARD.encode(launch_data(EvidenceKind::Snp, *task).unwrap_or_default());
                self.option("-accel", "kvm");
                self.option("-machine", "q35,sata=off,usb=off,confidential-guest-support=tee");
                self.option("-cpu", cpu);
                self.path("-bios", firmware);
                let object = format!(
                    "sev-snp-guest,id=tee,cbitpos={encryption_bit},reduced-phys-bits=1,policy={SNP_POLICY:#x},\
                     kernel-hashes=on,host-data={data}"
                );
                self.option("-object", &object);
            }
        }
    }

    fn ports(&mut self, machine: &Machine) {
        // A TEE's devices reach only the memory that the guest shares with them.
        let shared = if matches!(machine, Machine::Emulated { .. }) { "" } else { ",iommu_platform=on" };
        self.option("-device", &format!("virtio-serial-pci-non-transitional,id=ports{shared}"));
        self.option("-chardev", "stdio,id=channel,signal=off");
        self.port(1, "channel", CHANNEL_PORT);
        if let Machine::Emulated { tee } = machine {
            self.socket("tee", tee);
            self.port(2, "tee", TEE_PORT);
        }
    }

    fn port(&mut self, number: u32, chardev: &str, name: &str) {
        self.option(
            "-device",
            &format!("virtserialport,bus=ports.0,nr={number},chardev={chardev},name={name}"),
        );
    }

    fn socket(&mut self, id: &str, path: &Path) {
        // A comma would end the option's value.
        let mut value = format!("socket,id={id},path=").into_bytes();
        for byte in path.as_os_str().as_bytes() {
            value.extend(std::iter::repeat_n(*byte, if *byte == b',' { 2 } else { 1 }));
        }
        self.words(["-chardev"]);
        self.0.push(OsString::from_vec(value));
    }
}

/// Threads of one core may run it (bit 16); bit 17 is always set; no debugging (19), no migration (18).
const SNP_POLICY: u64 = 0x3_0000;

#[cfg(test)]
mod tests {
    use super::*;

    const TASK: TaskId = TaskId(pox_core::B256::repeat_byte(0x11));

    fn text(machine: &Machine, console: Option<&Path>) -> String {
        let files = Files {
            kernel: "/guest/kernel".into(),
            initramfs: "/guest/initramfs".into(),
            command_line: "quiet panic=-1".into(),
        };
        let arguments = arguments(machine, &files, Shape { cpus: 2, memory_mib: 512 }, console);
        arguments.iter().map(|argument| argument.to_str().unwrap()).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn an_emulated_guest_is_told_apart_by_its_tee_port() {
        let machine = Machine::Emulated { tee: "/run/a,b/tee".into() };
        let expected = "-nodefaults\n-no-user-config\n-display\nnone\n-no-reboot\n-accel\ntcg,thread=multi\n\
            -machine\nq35,sata=off,usb=off,vmport=off\n-cpu\nmax\n-smp\n2\n-m\n512M\n\
            -kernel\n/guest/kernel\n-initrd\n/guest/initramfs\n-append\nquiet panic=-1\n\
            -device\nvirtio-serial-pci-non-transitional,id=ports\n\
            -chardev\nstdio,id=channel,signal=off\n\
            -device\nvirtserialport,bus=ports.0,nr=1,chardev=channel,name=pox.channel\n\
            -chardev\nsocket,id=tee,path=/run/a,,b/tee\n\
            -device\nvirtserialport,bus=ports.0,nr=2,chardev=tee,name=pox.tee\n\
            -chardev\nsocket,id=console,path=/run/console\n-serial\nchardev:console";
        assert_eq!(text(&machine, Some(Path::new("/run/console"))), expected);
    }

    #[test]
    fn a_trust_domain_is_launched_for_its_task() {
        let machine = Machine::Tdx { firmware: "/fw/TDVF.fd".into(), quote_service_port: 4050, task: TASK };
        let id = STANDARD.encode(launch_data(EvidenceKind::Tdx, TASK).unwrap());
        let expected = format!(
            "-accel\nkvm\n-machine\nq35,sata=off,usb=off,kernel-irqchip=split,confidential-guest-support=tee\n\
             -cpu\nhost\n-bios\n/fw/TDVF.fd\n-object\n\
             {{\"qom-type\":\"tdx-guest\",\"id\":\"tee\",\"mrconfigid\":\"{id}\",\
             \"quote-generation-socket\":{{\"type\":\"vsock\",\"cid\":\"2\",\"port\":\"4050\"}}}}\n"
        );
        let line = text(&machine, None);
        assert!(line.contains(&expected), "{line}");
        assert!(line.contains("virtio-serial-pci-non-transitional,id=ports,iommu_platform=on"));
        assert!(!line.contains("tcg") && !line.contains(TEE_PORT) && !line.contains("\n-serial"));
    }

    #[test]
    fn an_snp_guest_is_launched_for_its_task_with_measured_files() {
        let machine = Machine::Snp {
            firmware: "/fw/OVMF.amdsev.fd".into(),
            cpu: "EPYC-v4".into(),
            encryption_bit: 51,
            task: TASK,
        };
        let data = STANDARD.encode(launch_data(EvidenceKind::Snp, TASK).unwrap());
        let expected = format!(
            "-accel\nkvm\n-machine\nq35,sata=off,usb=off,confidential-guest-support=tee\n-cpu\nEPYC-v4\n\
             -bios\n/fw/OVMF.amdsev.fd\n-object\nsev-snp-guest,id=tee,cbitpos=51,reduced-phys-bits=1,\
             policy=0x30000,kernel-hashes=on,host-data={data}\n"
        );
        let line = text(&machine, None);
        assert!(line.contains(&expected), "{line}");
        assert!(!line.contains("tcg") && !line.contains(TEE_PORT));
    }

    #[test]
    fn no_guest_has_a_network_a_disk_or_a_monitor() {
        let snp = Machine::Snp { firmware: "f".into(), cpu: "c".into(), encryption_bit: 51, task: TASK };
        let tdx = Machine::Tdx { firmware: "f".into(), quote_service_port: 1, task: TASK };
        for machine in [Machine::Emulated { tee: "t".into() }, snp, tdx] {
            let line = text(&machine, None);
            assert!(line.starts_with("-nodefaults\n-no-user-config\n-display\nnone\n"));
            for device in
                ["-net", "-nic", "-drive", "-blockdev", "-monitor", "-qmp", "-fsdev", "-vga", "-usb"]
            {
                assert!(!line.split('\n').any(|word| word.starts_with(device)), "{device}: {line}");
            }
        }
    }
}
