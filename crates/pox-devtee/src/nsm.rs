//! A stand-in for `/dev/nsm`, the security module of an AWS Nitro enclave.
//!
//! It is a file that takes the driver's one `ioctl` (linux/nsm.h) on real descriptors: the argument holds addresses in the
//! caller's memory, which the stand-in reads and writes as the driver does, with the driver's bounds and error numbers. Behind
//! it is what the module does with CBOR requests: platform configuration registers that can be described, extended and locked,
//! and documents. A module's document is a closure's.

use crate::calls::{Mounted, Node, Opened, Tree, lock};
use fuser::Errno;
use minicbor::data::Type;
use minicbor::{Decoder, Encoder};
use sha2::{Digest, Sha384};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// The device's name in the folder.
pub const DEVICE: &str = "nsm";

/// What a program asks the module to sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Its own bytes.
    pub user_data: Option<Vec<u8>>,
    /// The verifier's bytes.
    pub nonce: Option<Vec<u8>>,
    /// A key that the verifier may encrypt to.
    pub public_key: Option<Vec<u8>>,
    /// The registers that are locked.
    pub pcrs: BTreeMap<u16, [u8; 48]>,
}

/// Signs a document.
pub type Document = Box<dyn Fn(&Statement) -> Vec<u8> + Send + Sync>;

/// The device, mounted. Dropping it unmounts.
pub struct Nsm {
    module: Arc<Module>,
    _mounted: Mounted,
}

/// Something that goes wrong with one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The driver fails with this error number.
    Driver(i32),
    /// The module answers with this error code: `InternalError` and so on.
    Module(&'static str),
    /// The module answers with these bytes.
    Answers(Vec<u8>),
}

impl Nsm {
    /// Mounts a folder that holds the device under the name [`DEVICE`].
    ///
    /// # Errors
    /// There is no `/dev/fuse`, or no right to mount there.
    pub fn mount(
        folder: &Path,
        document: impl Fn(&Statement) -> Vec<u8> + Send + Sync + 'static,
    ) -> io::Result<Self> {
        // An enclave's image is measured into the first registers, which are locked before it runs.
        let pcrs =
            (0..PCRS).map(|index| (index, Pcr { locked: index < FIRST_FREE, value: [0; 48] })).collect();
        let state = Mutex::new(State { pcrs, faults: Vec::new() });
        let module = Arc::new(Module { document: Box::new(document), state });
        let mounted = Mounted::at(folder, "nsm", Arc::new(Device(Arc::clone(&module))))?;
        Ok(Self { module, _mounted: mounted })
    }

    /// Adds a fault for the next request that has none.
    pub fn inject(&self, fault: Fault) {
        lock(&self.module.state).faults.push(fault);
    }

    /// A register, and whether it is locked.
    pub fn pcr(&self, index: u16) -> Option<([u8; 48], bool)> {
        lock(&self.module.state).pcrs.get(&index).map(|pcr| (pcr.value, pcr.locked))
    }
}

struct Module {
    document: Document,
    state: Mutex<State>,
}

struct State {
    pcrs: BTreeMap<u16, Pcr>,
    faults: Vec<Fault>,
}

struct Pcr {
    locked: bool,
    value: [u8; 48],
}

/// What the module understands.
enum Request {
    Describe(u16),
    Extend(u16, Vec<u8>),
    Lock(u16),
    Attest { user_data: Option<Vec<u8>>, nonce: Option<Vec<u8>>, public_key: Option<Vec<u8>> },
}

impl Module {
    fn answer(&self, request: &[u8]) -> Vec<u8> {
        let Some(request) = Request::parse(request) else { return error("InvalidOperation") };
        let mut state = lock(&self.state);
        match request {
            Request::Describe(index) => match state.pcrs.get(&index) {
                Some(pcr) => described(pcr),
                None => error("InvalidIndex"),
            },
            Request::Extend(index, data) => match state.pcrs.get_mut(&index) {
                _ if data.is_empty() || data.len() > MAX_FIELD => error("InvalidArgument"),
                None => error("InvalidIndex"),
                Some(Pcr { locked: true, .. }) => error("ReadOnlyIndex"),
                Some(pcr) => {
                    pcr.value = Sha384::new().chain_update(pcr.value).chain_update(&data).finalize().into();
                    bytes("ExtendPCR", "data", &pcr.value)
                }
            },
            Request::Lock(index) => match state.pcrs.get_mut(&index) {
                None => error("InvalidIndex"),
                Some(Pcr { locked: true, .. }) => error("ReadOnlyIndex"),
                Some(pcr) => {
                    pcr.locked = true;
                    text("LockPCR")
                }
            },
            Request::Attest { user_data, nonce, public_key } => {
                let fields = [&user_data, &nonce, &public_key];
                if fields.iter().any(|field| field.as_ref().is_some_and(|bytes| bytes.len() > MAX_FIELD)) {
                    return error("InputTooLarge");
                }
                let locked = state.pcrs.iter().filter(|(_, pcr)| pcr.locked);
                let pcrs = locked.map(|(index, pcr)| (*index, pcr.value)).collect();
                let document = (self.document)(&Statement { user_data, nonce, public_key, pcrs });
                bytes("Attestation", "document", &document)
            }
        }
    }
}

impl Request {
    /// The externally tagged form that the vendor's library writes.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut d = Decoder::new(bytes);
        if d.map().ok()?? != 1 {
            return None;
        }
        let name = d.str().ok()?.to_owned();
        let mut numbers = BTreeMap::new();
        let mut strings = BTreeMap::new();
        for _ in 0..d.map().ok()?? {
            let key = d.str().ok()?.to_owned();
            match d.datatype().ok()? {
                Type::Bytes => strings.insert(key, d.bytes().ok()?.to_vec()).map(drop),
                Type::Null => d.null().ok(),
                _ => numbers.insert(key, d.u16().ok()?).map(drop),
            };
        }
        let index = numbers.get("index").copied();
        match name.as_str() {
            "DescribePCR" => Some(Self::Describe(index?)),
            "ExtendPCR" => Some(Self::Extend(index?, strings.remove("data")?)),
            "LockPCR" => Some(Self::Lock(index?)),
            "Attestation" => Some(Self::Attest {
                user_data: strings.remove("user_data"),
                nonce: strings.remove("nonce"),
                public_key: strings.remove("public_key"),
            }),
            _ => None,
        }
    }
}

type Written<'a> = Result<&'a mut Encoder<Vec<u8>>, minicbor::encode::Error<std::convert::Infallible>>;

fn encoded(write: impl for<'a> FnOnce(&'a mut Encoder<Vec<u8>>) -> Written<'a>) -> Vec<u8> {
    let mut e = Encoder::new(Vec::new());
    write(&mut e).map(drop).expect("memory takes any item");
    e.into_writer()
}

fn text(word: &str) -> Vec<u8> {
    encoded(|e| e.str(word))
}

fn error(code: &str) -> Vec<u8> {
    encoded(|e| e.map(1)?.str("Error")?.str(code))
}

fn bytes(name: &str, key: &str, content: &[u8]) -> Vec<u8> {
    encoded(|e| e.map(1)?.str(name)?.map(1)?.str(key)?.bytes(content))
}

fn described(pcr: &Pcr) -> Vec<u8> {
    encoded(|e| {
        e.map(1)?.str("DescribePCR")?.map(2)?.str("lock")?.bool(pcr.locked)?.str("data")?.bytes(&pcr.value)
    })
}

struct Device(Arc<Module>);

impl Tree for Device {
    fn node(&self, path: &Path) -> Option<Node> {
        match path.to_str()? {
            "" => Some(Node::Folder),
            DEVICE => Some(Node::File { read: true, write: true }),
            _ => None,
        }
    }

    fn names(&self, _: &Path) -> Vec<String> {
        vec![DEVICE.to_owned()]
    }

    fn open(&self, _: &Path) -> Result<Box<dyn Opened>, Errno> {
        Ok(Box::new(OpenDevice(Arc::clone(&self.0))))
    }
}

struct OpenDevice(Arc<Module>);

impl Opened for OpenDevice {
    fn ioctl(&mut self, caller: u32, command: u32, argument: &[u8]) -> Result<Vec<u8>, Errno> {
        let word = |index: usize| {
            let bytes = argument.get(8 * index..8 * index + 8)?;
            Some(u64::from_ne_bytes(bytes.try_into().ok()?))
        };
        let (Some(request), Some(length), Some(response), Some(room)) = (word(0), word(1), word(2), word(3))
        else {
            return Err(Errno::EINVAL);
        };
        if command != RAW {
            return Err(Errno::EINVAL);
        }
        if length > MAX_REQUEST {
            return Err(Errno::EMSGSIZE);
        }
        let fault = {
            let mut state = lock(&self.0.state);
            if state.faults.is_empty() { None } else { Some(state.faults.remove(0)) }
        };
        let mut asked = vec![0; length as usize];
        memory::read(caller, request, &mut asked)?;
        let mut answer = match fault {
            Some(Fault::Driver(errno)) => return Err(Errno::from_i32(errno)),
            Some(Fault::Module(code)) => error(code),
            Some(Fault::Answers(bytes)) => bytes,
            None => self.0.answer(&asked),
        };
        // The driver cuts off what does not fit, and says how much it gave.
        answer.truncate(room.min(MAX_RESPONSE) as usize);
        memory::write(caller, response, &answer)?;
        let words = [request, length, response, answer.len() as u64];
        Ok(words.iter().flat_map(|word| word.to_ne_bytes()).collect())
    }
}

/// Another thread's memory.
mod memory {
    #![allow(unsafe_code)]

    use fuser::Errno;

    pub(super) fn read(caller: u32, address: u64, to: &mut [u8]) -> Result<(), Errno> {
        let local = libc::iovec { iov_base: to.as_mut_ptr().cast(), iov_len: to.len() };
        let remote = libc::iovec { iov_base: address as *mut libc::c_void, iov_len: to.len() };
        // SAFETY: the kernel writes at most `iov_len` bytes to `local`, which is exclusively ours; it checks the remote
        // address itself.
        let count = unsafe { libc::process_vm_readv(caller.cast_signed(), &local, 1, &remote, 1, 0) };
        whole(count, to.len())
    }

    pub(super) fn write(caller: u32, address: u64, from: &[u8]) -> Result<(), Errno> {
        let local = libc::iovec { iov_base: from.as_ptr().cast_mut().cast(), iov_len: from.len() };
        let remote = libc::iovec { iov_base: address as *mut libc::c_void, iov_len: from.len() };
        // SAFETY: the kernel only reads from `local`. The remote memory is what the caller, which waits in its `ioctl`, has
        // given for the answer, for at most the length that it has given.
        let count = unsafe { libc::process_vm_writev(caller.cast_signed(), &local, 1, &remote, 1, 0) };
        whole(count, from.len())
    }

    fn whole(count: libc::ssize_t, length: usize) -> Result<(), Errno> {
        if usize::try_from(count) == Ok(length) { Ok(()) } else { Err(Errno::EFAULT) }
    }
}

/// `NSM_IOCTL_RAW`: reads and writes a `struct nsm_raw`, two addresses with their lengths.
const RAW: u32 = (3 << 30) | (32 << 16) | (0x0a << 8);
/// `NSM_REQUEST_MAX_SIZE`.
const MAX_REQUEST: u64 = 0x1000;
/// `NSM_RESPONSE_MAX_SIZE`.
const MAX_RESPONSE: u64 = 0x3000;
/// Registers of a module.
const PCRS: u16 = 32;
/// Those from here on are a program's to extend.
const FIRST_FREE: u16 = 16;
/// Most bytes of a field of a request.
const MAX_FIELD: usize = 1024;
