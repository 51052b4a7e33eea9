//! The kernel modules that a guest needs, chosen by what they say of themselves.
//!
//! Distributions ship modules as they are or compressed, and some without an index of what needs what: so the modules' own
//! description (section `.modinfo`) is what counts. They are kept uncompressed: not every kernel can decompress them.

use super::elf;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};

/// A module is not there, or not this kernel's.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// The folder, or a module in it, can't be read.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The guest can't do without it, and it is neither built in nor there.
    #[error("the kernel has no module {0}, which the guest needs")]
    Missing(String),
    /// Another module needs it, and it is neither built in nor there.
    #[error("module {module} needs {needs}, which is not there")]
    Broken {
        /// Which module.
        module: String,
        /// What it needs.
        needs: String,
    },
    /// It has no description.
    #[error("{} is no kernel module", .0.display())]
    Form(PathBuf),
    /// It was built for another kernel, which would refuse it.
    #[error("module {module} is built for kernel {built_for}, not for {release}")]
    OtherKernel {
        /// Which module.
        module: String,
        /// The kernel that it is for.
        built_for: String,
        /// The guest's kernel.
        release: String,
    },
    /// Two files of this name, or more files than any kernel has.
    #[error("{}: {what}", path.display())]
    Folder {
        /// Where.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
}

/// A module, ready to be loaded.
#[derive(Debug)]
pub(super) struct Module {
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
}

/// A folder `lib/modules/<release>`.
#[derive(Debug)]
pub(super) struct ModuleFolder {
    files: BTreeMap<String, PathBuf>,
    built_in: BTreeSet<String>,
}

impl ModuleFolder {
    /// Looks what is there.
    pub(super) fn read(folder: &Path) -> Result<Self, ModuleError> {
        let mut files = BTreeMap::new();
        let mut left = MAX_FILES;
        find(folder, MAX_DEPTH, &mut left, &mut files)?;
        let path = folder.join("modules.builtin");
        let file = File::open(&path).map_err(at(&path))?;
        let lines = BufReader::new(file.take(MAX_LIST_BYTES)).lines().collect::<Result<Vec<_>, _>>();
        let built_in = lines.map_err(at(&path))?;
        Ok(Self { files, built_in: built_in.iter().filter_map(|line| name_of(Path::new(line))).collect() })
    }

    /// The modules that a guest with this kernel loads, each after what it needs.
    pub(super) fn choose(&self, release: &str) -> Result<Vec<Module>, ModuleError> {
        let mut chosen = Chosen { folder: self, release, modules: Vec::new(), path: Vec::new() };
        for (name, need) in WANTED {
            if self.built_in.contains(name) {
                continue;
            }
            match (self.files.contains_key(name), need) {
                (true, _) => chosen.add(name)?,
                (false, Need::Always) => return Err(ModuleError::Missing(name.to_owned())),
                (false, Need::IfThere) => {}
            }
        }
        Ok(chosen.modules)
    }
}

struct Chosen<'a> {
    folder: &'a ModuleFolder,
    release: &'a str,
    modules: Vec<Module>,
    /// What is being added: a module that needs itself would be added for ever.
    path: Vec<String>,
}

impl Chosen<'_> {
    fn add(&mut self, name: &str) -> Result<(), ModuleError> {
        let known = self.modules.iter().any(|module| module.name == name);
        if known || self.folder.built_in.contains(name) {
            return Ok(());
        }
        let path = self.folder.files.get(name).filter(|_| !self.path.iter().any(|above| above == name));
        let path = path.ok_or_else(|| ModuleError::Broken {
            module: self.path.last().cloned().unwrap_or_default(),
            needs: name.to_owned(),
        })?;
        let bytes = load(path)?;
        let description =
            elf::section(&bytes, ".modinfo").ok_or_else(|| ModuleError::Form(path.clone()))?.to_vec();
        let built_for = field(&description, "vermagic").split(' ').next().unwrap_or_default().to_owned();
        if built_for != self.release {
            let (module, release) = (name.to_owned(), self.release.to_owned());
            return Err(ModuleError::OtherKernel { module, built_for, release });
        }
        self.path.push(name.to_owned());
        for needed in field(&description, "depends").split(',').filter(|needed| !needed.is_empty()) {
            self.add(&needed.replace('-', "_"))?;
        }
        self.path.pop();
        self.modules.push(Module { name: name.to_owned(), bytes });
        Ok(())
    }
}

/// One entry of a module's description: `key=value`, each ended by a zero.
fn field(description: &[u8], key: &str) -> String {
    let entries = description.split(|byte| *byte == 0).filter_map(|entry| entry.strip_prefix(key.as_bytes()));
    let value = entries.filter_map(|rest| rest.strip_prefix(b"=")).next().unwrap_or_default();
    String::from_utf8_lossy(value).into_owned()
}

/// Finds module files below a folder. Follows no link: distributions put links to the kernel's source there.
fn find(
    folder: &Path,
    depth: u32,
    left: &mut u32,
    files: &mut BTreeMap<String, PathBuf>,
) -> Result<(), ModuleError> {
    let wrong = |path: &Path, what| ModuleError::Folder { path: path.to_owned(), what };
    for entry in fs::read_dir(folder).map_err(at(folder))? {
        let entry = entry.map_err(at(folder))?;
        let (path, kind) = (entry.path(), entry.file_type().map_err(at(&entry.path()))?);
        *left = left.checked_sub(1).ok_or_else(|| wrong(folder, "too many files"))?;
        if kind.is_dir() {
            let depth = depth.checked_sub(1).ok_or_else(|| wrong(&path, "folders too deep"))?;
            find(&path, depth, left, files)?;
        } else if kind.is_file()
            && let Some(name) = name_of(&path)
            && files.insert(name, path.clone()).is_some()
        {
            return Err(wrong(&path, "a second module of this name"));
        }
    }
    Ok(())
}

/// The kernel's name for a module file: `drivers/char/hw_random/virtio-rng.ko.xz` is `virtio_rng`.
fn name_of(path: &Path) -> Option<String> {
    let file = path.file_name()?.to_str()?;
    let stem = ["", ".xz", ".zst", ".gz"].iter().find_map(|end| file.strip_suffix(&format!(".ko{end}")))?;
    Some(stem.replace('-', "_"))
}

/// A module's bytes, uncompressed.
fn load(path: &Path) -> Result<Vec<u8>, ModuleError> {
    let file = BufReader::new(File::open(path).map_err(at(path))?);
    let reader: Box<dyn Read> = match path.extension().and_then(|end| end.to_str()) {
        Some("xz") => Box::new(lzma_rust2::XzReader::new_mem_limit(file, false, MAX_DICTIONARY_KIB)),
        Some("zst") => {
            let decoder = ruzstd::decoding::StreamingDecoder::new(file).map_err(io::Error::other);
            Box::new(decoder.map_err(at(path))?)
        }
        Some("gz") => Box::new(flate2::bufread::GzDecoder::new(file)),
        _ => Box::new(file),
    };
    let mut bytes = Vec::new();
    let count = reader.take(MAX_MODULE_BYTES + 1).read_to_end(&mut bytes).map_err(at(path))?;
    if count as u64 > MAX_MODULE_BYTES {
        return Err(at(path)(io::ErrorKind::FileTooLarge.into()));
    }
    Ok(bytes)
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> ModuleError {
    |source| ModuleError::File { path: path.to_owned(), source }
}

#[derive(Clone, Copy)]
enum Need {
    /// Without it the guest does not speak to its host.
    Always,
    /// Older kernels don't have it; then the guest gives no evidence on that TEE.
    IfThere,
}

/// The channel's devices; then the report interface of TDX and SNP, under both its names, its two providers, and Nitro's.
const WANTED: [(&str, Need); 8] = [
    ("virtio_pci", Need::Always),
    ("virtio_console", Need::Always),
    ("configfs", Need::IfThere),
    ("tsm", Need::IfThere),
    ("tsm_report", Need::IfThere),
    ("tdx_guest", Need::IfThere),
    ("sev_guest", Need::IfThere),
    ("nsm", Need::IfThere),
];
/// Distributions' kernels have up to 7,000 modules.
const MAX_FILES: u32 = 1 << 16;
/// Theirs lie about seven folders deep.
const MAX_DEPTH: u32 = 32;
const MAX_LIST_BYTES: u64 = 1 << 20;
/// The largest graphics drivers have a third of this.
const MAX_MODULE_BYTES: u64 = 64 << 20;
/// xz at its highest level needs this.
const MAX_DICTIONARY_KIB: u32 = 66 << 10;
