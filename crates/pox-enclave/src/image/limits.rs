/// What an image may cost. Every count is exact: one more is refused.
///
/// The request's disk limit should lower [`Limits::unpacked_bytes`]; the other defaults fit every image we know.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Manifest, in bytes. Registries refuse manifests above 4 MiB.
    pub manifest_bytes: u64,
    /// Image config, in bytes. Configs with a long history stay below 1 MiB.
    pub config_bytes: u64,
    /// Number of layers. Container engines stop at 127.
    pub layers: usize,
    /// One compressed layer, in bytes; also where reading an endless blob stops.
    pub blob_bytes: u64,
    /// All layers decompressed, in bytes, tar headers and padding included.
    pub unpacked_bytes: u64,
    /// Archive entries over all layers. Bounds inodes and memory: about 100 bytes of memory an entry.
    pub entries: u64,
    /// One file, in bytes.
    pub file_bytes: u64,
    /// One path as an archive has it, in bytes. `PATH_MAX` without its NUL.
    pub path_bytes: usize,
    /// Levels of directories, in the archive and on disk.
    pub depth: u32,
    /// One pax header or GNU long name, in bytes. They are held in memory.
    pub extension_bytes: u64,
    /// Zstandard window, in bytes. It is held in memory; `zstd --ultra -22` uses 2^27.
    pub zstd_window: u64,
    /// Who owns what is created.
    pub owner: Owner,
}

/// Who owns the files that are created. Ownership in the image is always ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// The calling process's user and group.
    Caller,
    /// These numeric ids; needs `CAP_CHOWN`.
    Ids {
        /// User id.
        uid: u32,
        /// Group id.
        gid: u32,
    },
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            manifest_bytes: 4 << 20,
            config_bytes: 4 << 20,
            layers: 127,
            blob_bytes: 64 << 30,
            unpacked_bytes: 128 << 30,
            entries: 2_000_000,
            file_bytes: 64 << 30,
            path_bytes: 4095,
            depth: 128,
            extension_bytes: 1 << 20,
            zstd_window: 1 << 27,
            owner: Owner::Caller,
        }
    }
}
