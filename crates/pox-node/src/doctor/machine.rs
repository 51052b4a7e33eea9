//! A machine as its files show it.

use pox_core::evidence::EvidenceKind;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// What several checks look at, and the folder under which the others look.
pub(super) struct Machine {
    root: PathBuf,
    /// The kernel's release.
    pub(super) kernel: String,
    /// The processor's maker, as it names itself.
    pub(super) vendor: String,
    /// What the processor says that it can do.
    flags: BTreeSet<String>,
    /// Family and model of the processor.
    pub(super) model: (u32, u32),
}

impl Machine {
    pub(super) fn read(root: &Path) -> Self {
        let mut machine = Self {
            root: root.to_owned(),
            kernel: String::new(),
            vendor: String::new(),
            flags: BTreeSet::new(),
            model: (0, 0),
        };
        machine.kernel = machine.text("proc/sys/kernel/osrelease").unwrap_or_default();
        let processors = machine.text("proc/cpuinfo").unwrap_or_default();
        // All processors of a machine are alike; the first one tells.
        let value = |name: &str| {
            processors.lines().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                (key.trim() == name).then(|| value.trim().to_owned())
            })
        };
        let number = |name| value(name).and_then(|value| value.parse().ok()).unwrap_or_default();
        machine.vendor = value("vendor_id").unwrap_or_default();
        machine.model = (number("cpu family"), number("model"));
        machine.flags = value("flags").unwrap_or_default().split_whitespace().map(str::to_owned).collect();
        machine
    }

    /// A text of the system's, without the end of its line.
    pub(super) fn text(&self, path: &str) -> Option<String> {
        let mut bytes = Vec::new();
        File::open(self.root.join(path)).ok()?.take(MAX_TEXT_BYTES).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).trim().to_owned())
    }

    /// A whole file, if it is not larger than that.
    pub(super) fn bytes(&self, path: &str, most: usize) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(self.root.join(path)).ok()?.take(most as u64 + 1).read_to_end(&mut bytes).ok()?;
        (bytes.len() <= most).then_some(bytes)
    }

    pub(super) fn has(&self, path: &str) -> bool {
        fs::exists(self.root.join(path)).unwrap_or(false)
    }

    /// The first of these that is there.
    pub(super) fn first<'p>(&self, paths: &[&'p str]) -> Option<&'p str> {
        paths.iter().copied().find(|path| self.has(path))
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.flags.contains(name)
    }

    /// Whether there is another machine underneath.
    pub(super) fn is_virtual(&self) -> bool {
        self.flag("hypervisor")
    }

    /// Whether the kernel is of this version or a later one.
    pub(super) fn kernel_since(&self, least: (u32, u32)) -> bool {
        let mut numbers =
            self.kernel.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= least
    }

    /// A module's switch: `None` if there is no such switch.
    pub(super) fn switch(&self, path: &str) -> Option<bool> {
        Some(matches!(self.text(path)?.as_str(), "Y" | "y" | "1"))
    }

    /// Whether whoever looks is the superuser.
    pub(super) fn is_root(&self) -> bool {
        let status = self.text("proc/self/status").unwrap_or_default();
        let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
        ids.and_then(|ids| ids.split_whitespace().nth(1)) == Some("0")
    }

    /// The TEE that this machine itself runs in, by the interfaces that spec §8.10 names.
    pub(super) fn inside(&self) -> Option<EvidenceKind> {
        if self.has("dev/attestation/attestation_type") {
            Some(EvidenceKind::Sgx)
        } else if self.has("dev/nsm") {
            Some(EvidenceKind::Nitro)
        } else if self.has("dev/tdx_guest") || self.flag("tdx_guest") {
            Some(EvidenceKind::Tdx)
        } else if self.has("dev/sev-guest") {
            Some(EvidenceKind::Snp)
        } else {
            None
        }
    }
}

/// Files of `/proc` have no length of their own; hundreds of processors are described in as much.
const MAX_TEXT_BYTES: u64 = 4 << 20;
