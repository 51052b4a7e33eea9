//! A PostgreSQL server of the test's own, on a socket in a folder of its own.
#![allow(dead_code, unreachable_pub, reason = "each test uses its own part")]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A running server, which ends with the test.
pub struct Server {
    folder: tempfile::TempDir,
    bin: PathBuf,
}

impl Server {
    /// Starts one. The server refuses to run as root, so there it runs as `nobody`.
    pub fn start() -> Self {
        let bin = programs();
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        let server = Self { folder, bin };
        let data = server.path("data");
        server.run(
            "initdb",
            &["-D", &data, "-A", "trust", "-U", "pox", "--no-sync", "-E", "UTF8", "--locale=C"],
        );
        let options = format!("-k {} -c listen_addresses='' -c fsync=on", server.folder.path().display());
        server.run(
            "pg_ctl",
            &["-D", &data, "-w", "-t", "120", "-l", &server.path("log"), "-o", &options, "start"],
        );
        server
    }

    /// A new database in it, as a URL.
    pub fn database(&self, name: &str) -> String {
        let folder = self.folder.path().display().to_string();
        self.run("createdb", &["-h", &folder, "-U", "pox", name]);
        format!("postgresql://pox@{}/{name}", folder.replace('/', "%2F"))
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let program = self.bin.join(program);
        let is_root = std::fs::metadata("/proc/self").is_ok_and(|meta| {
            use std::os::unix::fs::MetadataExt;
            meta.uid() == 0
        });
        let mut command = if is_root {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        // The server keeps its standard output open for as long as it runs.
        let status = command.args(arguments).current_dir(self.folder.path()).stdout(Stdio::null()).status();
        assert!(status.unwrap().success(), "{command:?}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.run("pg_ctl", &["-D", &self.path("data"), "-m", "immediate", "-w", "stop"]);
    }
}

/// Debian keeps the server's programs in a folder for each version.
fn programs() -> PathBuf {
    let versions = Path::new("/usr/lib/postgresql");
    let mut found: Vec<PathBuf> = std::fs::read_dir(versions)
        .expect("Debian's postgresql is installed")
        .map(|entry| entry.unwrap().path().join("bin"))
        .filter(|bin| bin.join("initdb").exists())
        .collect();
    found.sort();
    found.pop().expect("Debian's postgresql has its programs")
}
