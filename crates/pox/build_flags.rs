//! How the measured runtime is built, by `build.rs` and by tests that need the same bytes.

use std::env;
use std::path::{Path, PathBuf};

/// Flags that link statically and keep this machine's folders out of the program, so that it comes out the same elsewhere:
/// docs/reproducible.md. tests/reproducible.sh builds with the same.
pub(crate) fn flags(root: &Path) -> String {
    let mut flags = format!("-C target-feature=+crt-static --remap-path-prefix={}=/pox", root.display());
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| env::home_dir().map(|home| home.join(".cargo")));
    // Each registry or mirror has a folder below, with a name of its own; in order, lest cargo take them for other flags.
    let registries = home.and_then(|home| home.join("registry/src").read_dir().ok());
    let mut registries: Vec<PathBuf> =
        registries.into_iter().flatten().flatten().map(|registry| registry.path()).collect();
    registries.sort();
    for registry in registries {
        flags += &format!(" --remap-path-prefix={}=/pox/registry", registry.display());
    }
    flags
}
