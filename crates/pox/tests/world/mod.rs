//! A chain, an owner and a processor, run as a user runs them: by the real program.
#![allow(dead_code, reason = "each test file uses its own part")]

use pox_chain::{Account, Draft, Outbox, Pace, Patience, Profile, Rpc};
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The program under test.
pub(crate) const POX: &str = env!("CARGO_BIN_EXE_pox");
/// The example's program, as the build made it: static.
pub(crate) const PENGUINS: &str = env!("POX_BUILT_PENGUINS");

/// A process that ends with the test.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A folder with everything in it, and an endpoint.
pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) rpc: String,
    chain: Vec<String>,
    running: Vec<Running>,
    contract: Option<String>,
    /// What somebody's environment has, and nobody else's.
    settings: Vec<(String, Vec<(String, String)>)>,
}

impl World {
    /// An empty world whose commands talk to this endpoint with these options.
    pub(crate) fn at(rpc: String, chain: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let chain = chain.iter().map(ToString::to_string).collect();
        Self { folder, rpc, chain, running: Vec::new(), contract: None, settings: Vec::new() }
    }

    /// A world with the embedded chain, an owner and a processor with coins.
    pub(crate) fn embedded() -> Self {
        Self::embedded_with(&[])
    }

    /// The same with other options of `pox devnet`.
    pub(crate) fn embedded_with(options: &[&str]) -> Self {
        let port = free_port();
        let mut world = Self::at(format!("http://127.0.0.1:{port}"), &[]);
        let data = world.path("chain").display().to_string();
        let listen = format!("127.0.0.1:{port}");
        let chain = Command::new(POX)
            .args(["devnet", "--data", &data, "--listen", &listen])
            .args(options)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        world.running.push(Running(chain));
        wait_until("the chain answers", || world.try_pox("nobody", &["offers"]).status.success());
        for who in ["owner", "processor"] {
            world.pox(who, &["key", "new"]);
            world.pox(who, &["fund"]);
        }
        world
    }

    /// Names the contract to every command.
    pub(crate) fn with_contract(self, contract: String) -> Self {
        Self { contract: Some(contract), ..self }
    }

    /// Sets variables for the owner's commands.
    pub(crate) fn with_owner_settings(self, settings: Vec<(String, String)>) -> Self {
        self.with_settings_of("owner", settings)
    }

    /// Sets variables for somebody's commands.
    pub(crate) fn with_settings_of(mut self, who: &str, settings: Vec<(String, String)>) -> Self {
        self.settings.push((who.to_owned(), settings));
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, who: &str, args: &[&str]) -> Command {
        let mut command = Command::new(POX);
        command.args(args).args(&self.chain).current_dir(self.folder.path());
        command
            .env("POX_HOME", self.path(&format!("home-{who}")))
            .env("POX_RPC", &self.rpc)
            .env("HOME", self.folder.path());
        if let Some(contract) = &self.contract {
            command.env("POX_CONTRACT", contract);
        }
        for (_, settings) in self.settings.iter().filter(|(whose, _)| whose == who) {
            command.envs(settings.iter().cloned());
        }
        command.stdin(Stdio::null());
        command
    }

    /// Runs a command of somebody's to its end, whatever that is.
    pub(crate) fn try_pox(&self, who: &str, args: &[&str]) -> Output {
        self.command(who, args).output().unwrap()
    }

    /// Starts a command of somebody's.
    pub(crate) fn start(&self, who: &str, args: &[&str]) -> Running {
        Running(self.command(who, args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// Runs a command of somebody's, which must succeed; its standard output.
    pub(crate) fn pox(&self, who: &str, args: &[&str]) -> String {
        let output = self.try_pox(who, args);
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "pox {args:?}: {}\n{out}\n{err}", output.status);
        out
    }

    /// Runs a command of somebody's with `--json`.
    pub(crate) fn json(&self, who: &str, args: &[&str]) -> serde_json::Value {
        let out = self.pox(who, &[args, &["--json"]].concat());
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("pox {args:?}: {error}\n{out}"))
    }

    /// Starts the processor's service.
    pub(crate) fn node(&self, args: &[&str]) -> Running {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path("node.log")).unwrap();
        let folder = self.folder.path().display().to_string();
        let args = [&["node", "--allow-dir", &folder, "--time", "10m"], args].concat();
        Running(self.command("processor", &args).stdout(Stdio::null()).stderr(log).spawn().unwrap())
    }

    /// Deploys code of at most 255 bytes with somebody's account; its address.
    pub(crate) fn deploy(&self, who: &str, code: Vec<u8>) -> String {
        let key = fs::read_to_string(self.path(&format!("home-{who}/account.key"))).unwrap();
        let account = Account::from_bytes(&hex::decode(key.trim()).unwrap().try_into().unwrap()).unwrap();
        let profile = Profile::builtin("embedded").unwrap();
        let profile = profile.with_endpoints(vec![self.rpc.parse().unwrap()]).unwrap();
        let rpc = Rpc::connect(profile, Pace::new(1)).unwrap();
        let address = account.creates(rpc.nonce(account.address()).unwrap());
        // codecopy(0, 11, length); return(0, length)
        let length = u8::try_from(code.len()).unwrap();
        let constructor = [0x60, length, 0x80, 0x60, 0x0b, 0x60, 0, 0x39, 0x60, 0, 0xf3];
        let input = [&constructor[..], &code].concat().into();
        let draft = Draft { to: None, value: pox_core::U256::ZERO, input };
        Outbox::new(&rpc, account).send(&draft, &Patience::default()).unwrap();
        address.to_string()
    }

    /// Starts somebody's agent.
    pub(crate) fn agent(&self, who: &str) -> Running {
        Running(self.command(who, &["agent"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// What the processor has said.
    pub(crate) fn node_log(&self) -> String {
        fs::read_to_string(self.path("node.log")).unwrap_or_default()
    }

    /// Seals the penguins, packs their program, and writes a task file; `more` is added to it.
    pub(crate) fn penguins(&self, more: &str) {
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/penguins/data/penguins.csv");
        fs::copy(data, self.path("penguins.csv")).unwrap();
        self.pox("owner", &["seal", "penguins.csv", "--to", "sealed"]);
        self.pox("owner", &["image", "pack", PENGUINS, "oci:image"]);
        self.task_file("task.yaml", "oci:image", more);
    }

    /// Writes a task file that reads the sealed penguins.
    pub(crate) fn task_file(&self, name: &str, image: &str, more: &str) {
        let text = format!(
            "image: {image}\ninputs: {{penguins: sealed}}\nresults: sealed-results-{name}\nkinds: [simulated]\n\
             resources: {{cpus: 1, memory: 256MiB, disk: 16MiB, time: 60s}}\naccept_missing: [user-namespace, cgroup-namespace, \
             other-user, landlock, memory-limit, cpu-limit, pids-limit]\n{more}"
        );
        fs::write(self.path(name), text).unwrap();
    }

    /// Waits until a task is in a phase.
    pub(crate) fn wait_for(&self, task: &str, phase: &str) {
        wait_until(&format!("{task} is {phase}; the node said:\n{}", self.node_log()), || {
            self.json("owner", &["status", task])["phase"] == phase
        });
    }
}

/// Looks until it is so, for a minute: loaded machines are slow.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(90), "not in time: {what}");
        sleep(Duration::from_millis(200));
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
