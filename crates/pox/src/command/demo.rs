//! `pox demo`: a whole task on this machine, with everything real but the TEE, and then what tampering meets.

use super::run::{prove, tend};
use super::task::prepare_task;
use super::verify::{Ask, judge};
use super::{devnet, fund, node};
use crate::cli::{Demo, Global, Node};
use crate::context::Context;
use crate::error::{Failure, Hint as _};
use crate::{embedded, owner, page};
use pox_core::receipt::Outcome;
use pox_core::role::owner::Ending;
use pox_core::{Address, TaskId};
use pox_devchain::{Chain, Config, Server};
use pox_node::service::Note;
use pox_seal::dataset::{DirectorySink, seal};
use pox_seal::{IdentityKind, OsRandom};
use pox_store::image::{Architecture, ImageSource, Pack, copy};
use pox_verify::Grade;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

/// The dataset that the repository ships; its licence and source are beside it.
const PENGUINS_CSV: &[u8] = include_bytes!("../../../../examples/penguins/data/penguins.csv");

pub(crate) fn run(context: &Context, args: &Demo) -> Result<ExitCode, Failure> {
    let begun = Instant::now();
    let (folder, _temporary) = folder(args)?;
    let stage = Stage::set(context, &folder)?;
    let played = stage.play(context);
    stage.clear()?;
    let (task, verdict) = played?;
    let seconds = begun.elapsed().as_secs_f64();
    let result =
        serde_json::json!({ "task": task, "verdict": verdict, "seconds": seconds, "kept": args.keep });
    context.output.result(&result, || {
        let mut text = format!(
            "In {seconds:.1} s, all of this was real: chain, transactions, image, encryption, sandbox, proof.\n\
             The TEE was SIMULATED: on this machine the processor could have read and altered everything.\n\
             The chain is a development chain: anyone can seal its blocks. No proof of either gets above `simulated`."
        );
        if let Some(kept) = &args.keep {
            let proof = kept.join("proof.pox");
            text = format!("{text}\n\nTry `pox verify {} --require simulated`.", proof.display());
        }
        text
    })?;
    Ok(ExitCode::SUCCESS)
}

fn folder(args: &Demo) -> Result<(PathBuf, Option<tempfile::TempDir>), Failure> {
    let Some(keep) = &args.keep else {
        let temporary =
            tempfile::tempdir().map_err(|error| Failure::machine(format!("no temporary folder: {error}")))?;
        return Ok((temporary.path().to_owned(), Some(temporary)));
    };
    fs::create_dir(keep)
        .map_err(|error| Failure::usage(format!("cannot make {}: {error}", keep.display())))
        .hint("--keep names a new folder")?;
    let keep = std::path::absolute(keep).map_err(Failure::machine)?;
    Ok((keep, None))
}

/// A chain, an owner, a processor, and what they need.
struct Stage {
    folder: PathBuf,
    server: Server,
    owner: Context,
    processor: Address,
    stop: mpsc::Sender<()>,
    node: thread::JoinHandle<Result<(), Failure>>,
}

impl Stage {
    fn set(context: &Context, folder: &Path) -> Result<Self, Failure> {
        let output = context.output;
        output.say("1. The embedded chain, a processor and an owner");
        let config = Config { data_dir: Some(folder.join("chain")), ..Config::default() };
        fs::create_dir_all(folder.join("chain")).map_err(Failure::machine)?;
        let chain = Chain::open(config)?;
        let contract = devnet::deploy(&chain)?;
        let server = Server::start(&chain, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        output.say(format!("   chain {} at {}, contract {contract}", chain.chain_id(), server.url()));
        let at_home = |name: &str| {
            let mut home = Context::new(Global {
                home: folder.join(name).display().to_string(),
                chain: "embedded".into(),
                rpc: Some(server.url()),
                contract: None,
                json: true,
                quiet: context.global.quiet,
            });
            home.output = home.output.indented();
            home
        };
        let (owner, processor) = (at_home("owner"), at_home("processor"));
        for (who, home) in [("owner", &owner), ("processor", &processor)] {
            home.home()?.make_keys(IdentityKind::Hybrid)?;
            let address = home.home()?.address()?;
            fund::send(home.rpc()?, address, 1_000_000_000_000_000_000)?;
            output.say(format!("   {who:<9} {address}"));
        }
        let address = processor.home()?.address()?;
        let (stop, stopped) = mpsc::channel();
        let args = node_args(folder);
        let node = thread::Builder::new()
            .name("processor".into())
            .spawn(move || {
                node::serve(&processor, &args, &stopped, &mut |_, note| {
                    say_of_processor(&processor.output, &note);
                    true
                })
            })
            .map_err(Failure::machine)?;
        Ok(Self { folder: folder.to_owned(), server, owner, processor: address, stop, node })
    }

    fn play(&self, context: &Context) -> Result<(TaskId, pox_verify::Verdict), Failure> {
        let output = context.output;
        output.say("\n2. The owner seals a dataset and packs a program");
        self.seal_and_pack(context)?;
        output.say("\n3. The task: request, match, approve, prove");
        let (task, ending) = self.run_task("task.yaml", "results")?;
        expect(ending, Outcome::Completed)?;
        let result = fs::read_to_string(self.folder.join("results/stdout.txt")).map_err(Failure::machine)?;
        output.say(format!("   what came out: {}", result.trim()));
        output.say("\n4. The proof, verified offline");
        let path = self.folder.join("proof.pox");
        let verdict = prove(&self.owner, task, &path)?;
        let bytes = fs::read(&path).map_err(Failure::machine)?;
        let offline = judge(&self.owner, &bytes, Grade::Simulated, Ask::Nobody)?;
        output.say(indent(&page::verdict(&offline)));
        if !offline.meets || verdict.grade != offline.grade {
            return Err(Failure::machine("the proof does not verify: this is a fault of this program"));
        }
        output.say("\n5. What tampering meets");
        self.tamper_with_proof(context, &bytes)?;
        self.tamper_with_data(context)?;
        self.tamper_with_program(context)?;
        Ok((task, offline))
    }

    fn seal_and_pack(&self, context: &Context) -> Result<(), Failure> {
        let folder = &self.folder;
        let plain = folder.join("penguins.csv");
        fs::write(&plain, PENGUINS_CSV).map_err(Failure::machine)?;
        let recipient = self.owner.home()?.recipient()?;
        let mut sink = DirectorySink::create(folder.join("sealed")).map_err(Failure::machine)?;
        let sealed = seal(&[&plain], &[recipient], &mut sink, &mut OsRandom, &mut |_| ())?;
        context.output.say(format!(
            "   dataset penguins.csv, {} bytes, sealed: {}",
            sealed.bytes,
            crate::sealed::to_core(sealed.commitment)
        ));
        let mut pack = Pack::new(Architecture::native());
        pack.add_bytes(embedded::PENGUINS, "/penguins", true)?;
        pack.entrypoint.push("/penguins".into());
        let image = pack.build()?;
        let to: ImageSource =
            format!("oci:{}", folder.join("image").display()).parse().map_err(Failure::machine)?;
        copy(&image, &to, &self.owner.access([]))?;
        context.output.say(format!("   image   penguins, {}", image.manifest_digest()));
        self.write_task("task.yaml", "sealed", "image", "sealed-results")
    }

    fn write_task(&self, name: &str, input: &str, image: &str, results: &str) -> Result<(), Failure> {
        let text = format!(
            "image: oci:{image}\n\
             inputs: {{penguins: {input}}}\n\
             results: {results}\n\
             kinds: [simulated]\n\
             processor: \"{}\"\n\
             resources: {{cpus: 1, memory: 256MiB, disk: 16MiB, time: 60s}}\n\
             accept_missing: [user-namespace, cgroup-namespace, other-user, landlock, memory-limit, cpu-limit, pids-limit]\n\
             metadata: {{title: Body mass and flipper length of Palmer penguins}}\n",
            self.processor
        );
        fs::write(self.folder.join(name), text).map_err(Failure::machine)
    }

    fn run_task(&self, file: &str, to: &str) -> Result<(TaskId, Ending), Failure> {
        let (task, kept) = self.when_offered(|| prepare_task(&self.owner, &self.folder.join(file)))?;
        self.owner.output.say(format!("task     {task}"));
        let ending = tend(&self.owner, kept, None, &self.folder.join(to))?;
        Ok((task, ending))
    }

    /// The processor's offer takes a moment to come into the chain.
    fn when_offered<T>(&self, mut act: impl FnMut() -> Result<T, Failure>) -> Result<T, Failure> {
        let contract = self.owner.contract()?;
        let begun = Instant::now();
        while owner::standing_offers(&contract, self.owner.now())?.is_empty()
            && begun.elapsed().as_secs() < 20
        {
            thread::sleep(std::time::Duration::from_millis(50));
        }
        act()
    }

    fn tamper_with_proof(&self, context: &Context, proof: &[u8]) -> Result<(), Failure> {
        let mut altered = proof.to_vec();
        altered[proof.len() / 2] ^= 1;
        let verdict = judge(&self.owner, &altered, Grade::Simulated, Ask::Nobody)?;
        let rejection = verdict.rejection.as_ref().map_or_else(|| "accepted".to_owned(), ToString::to_string);
        context.output.say(format!("   a byte of the proof changed:   {}: {rejection}", verdict.grade));
        if verdict.grade == Grade::Inconsistent {
            Ok(())
        } else {
            Err(Failure::machine("an altered proof was accepted"))
        }
    }

    fn tamper_with_data(&self, context: &Context) -> Result<(), Failure> {
        copy_folder(&self.folder.join("sealed"), &self.folder.join("sealed-altered"))?;
        flip(&self.folder.join("sealed-altered/data.age"))?;
        self.write_task("altered-data.yaml", "sealed-altered", "image", "nothing-1")?;
        let (_, ending) = self.run_task("altered-data.yaml", "nothing-1-opened")?;
        expect(ending, Outcome::InputUnavailable)?;
        context.output.say("   a byte of the data changed:    the enclave refused it before the task saw anything; the price went back");
        Ok(())
    }

    fn tamper_with_program(&self, context: &Context) -> Result<(), Failure> {
        copy_folder(&self.folder.join("image"), &self.folder.join("image-altered"))?;
        let blobs = self.folder.join("image-altered/blobs/sha256");
        let entries = fs::read_dir(&blobs).map_err(Failure::machine)?.filter_map(Result::ok);
        let largest = entries.max_by_key(|entry| entry.metadata().map_or(0, |found| found.len()));
        flip(&largest.ok_or_else(|| Failure::machine("the image has no blobs"))?.path())?;
        self.write_task("altered-image.yaml", "sealed", "image-altered", "nothing-2")?;
        let (_, ending) = self.run_task("altered-image.yaml", "nothing-2-opened")?;
        expect(ending, Outcome::ImageUnavailable)?;
        context
            .output
            .say("   a byte of the program changed: the enclave refused to run it; the price went back");
        Ok(())
    }

    fn clear(self) -> Result<(), Failure> {
        // The node may be gone already, with an error that follows.
        let _ = self.stop.send(());
        let served = self.node.join().map_err(|_| Failure::machine("the processor's thread panicked"))?;
        self.server.stop();
        served
    }
}

fn node_args(folder: &Path) -> Node {
    Node {
        allow_dir: vec![folder.to_owned()],
        list: Vec::new(),
        allow_host: Vec::new(),
        cpus: 1.0,
        memory: "512MiB".into(),
        disk: "64MiB".into(),
        time: "5m".into(),
        price: 1_000_000,
        bond: 1_000_000_000,
        valid: "1d".into(),
        tasks: 1,
        guest: None,
        guest_room: "0".into(),
        stop_after: None,
    }
}

fn say_of_processor(output: &crate::output::Output, note: &Note) {
    match note {
        Note::Sent { call, hash, block, gas } => {
            output.say(format!("{call:<9}{hash} in block {block}, {gas} gas (processor)"))
        }
        Note::Stage(stage) => output.say(node::stage_name(*stage)),
        Note::Trouble(text) => output.say(format!("processor: {text}")),
        _ => {}
    }
}

fn expect(ending: Ending, outcome: Outcome) -> Result<(), Failure> {
    match ending {
        Ending::Proven { outcome: code, .. } if code == outcome.code() => Ok(()),
        other => {
            Err(Failure::machine(format!("expected the outcome {outcome}, and the task ended as {other:?}")))
        }
    }
}

fn flip(path: &Path) -> Result<(), Failure> {
    let mut bytes = fs::read(path).map_err(Failure::machine)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).map_err(Failure::machine)
}

fn copy_folder(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::create_dir_all(to).map_err(Failure::machine)?;
    for entry in fs::read_dir(from).map_err(Failure::machine)? {
        let entry = entry.map_err(Failure::machine)?;
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target).map_err(Failure::machine)?;
        }
    }
    Ok(())
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("   {line}").trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}
