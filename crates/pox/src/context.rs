//! What every command works with: the chain, the home, the storage, and what is trusted.

use crate::cli::{Global, Trust};
use crate::embedded;
use crate::error::{Failure, Hint as _};
use crate::home::Home;
use crate::locate;
use crate::output::Output;
use pox_chain::{
    ARTIFACT, Account, AuthoritySet, ChainError, Contract, Deployment, Endpoint, FileShelf, Outbox, Pace,
    Profile, Rpc,
};
use pox_core::{Address, UnixTime};
use pox_store::image::ImageSource;
use pox_store::s3::Keys;
use pox_store::{Access, Location};
use pox_verify::Anchors;
use pox_verify::anchors::{Aura, Authorities, ChainAnchor, ChainStanding, PinnedSet, Release, StepRule};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

/// One run of the program. Nothing is opened, made or asked before a command needs it.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) output: Output,
    pub(crate) global: Global,
    home: OnceLock<Home>,
    rpc: OnceLock<Rpc>,
    releases: OnceLock<Vec<Release>>,
}

impl Context {
    pub(crate) fn new(global: Global) -> Self {
        let (home, rpc, releases) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        Self { output: Output::new(&global), global, home, rpc, releases }
    }

    /// Takes the releases of these manifests for known ones, beside this program's own; once in a run.
    pub(crate) fn trust(&self, trust: &Trust) -> Result<(), Failure> {
        let releases = crate::trust::releases(&trust.releases)?;
        self.releases.get_or_init(|| releases);
        Ok(())
    }

    /// The user's folder, which is made if it is not there.
    pub(crate) fn home(&self) -> Result<&Home, Failure> {
        if let Some(home) = self.home.get() {
            return Ok(home);
        }
        let home = Home::open(&locate::home(&self.global.home)?)?;
        Ok(self.home.get_or_init(|| home))
    }

    /// What names the chain: a profile that comes with this program, or a file.
    pub(crate) fn chain_name(&self) -> &str {
        &self.global.chain
    }

    /// The chain, as the options say.
    pub(crate) fn profile(&self) -> Result<Profile, Failure> {
        let name = self.global.chain.as_str();
        let mut profile = match Profile::builtin(name) {
            Some(profile) => profile,
            None if Profile::TEMPLATES.contains(&name) => {
                return Err(Failure::usage(format!("{name} is a template, which names no chain")))
                    .hint(format!("`pox chain show {name} > my.toml`, fill it in, and use --chain my.toml"));
            }
            None => Profile::load(&locate::home(&self.global.chain)?)
                .map_err(|error| Failure::from(error).about(&self.global.chain))?,
        };
        if !self.global.rpc.is_empty() {
            let endpoints = self.global.rpc.iter().map(|url| {
                url.parse::<Endpoint>()
                    .map_err(|error| Failure::usage(error).about("--rpc"))
                    .hint("write http://127.0.0.1:8545, for example")
            });
            profile = profile
                .with_endpoints(endpoints.collect::<Result<_, _>>()?)
                .map_err(|error| Failure::usage(error).about("--rpc"))
                .hint("the profile says with `agree` how many endpoints have to say the same")?;
        }
        if let Some(text) = &self.global.contract {
            profile = profile.with_contract(Deployment { address: address(text)?, block: 0 });
        }
        Ok(profile)
    }

    /// The data identity, if this home has one; nothing is made.
    pub(crate) fn identity_if_any(&self) -> Result<Option<pox_seal::Identity>, Failure> {
        let path = locate::home(&self.global.home)?.join(crate::home::IDENTITY);
        if path.exists() { self.home()?.identity().map(Some) } else { Ok(None) }
    }

    /// The connection to the chain.
    pub(crate) fn rpc(&self) -> Result<&Rpc, Failure> {
        if let Some(rpc) = self.rpc.get() {
            return Ok(rpc);
        }
        let rpc = Rpc::connect(self.profile()?, pace()?)?;
        Ok(self.rpc.get_or_init(|| rpc))
    }

    /// The contract: where `--contract` says, else where this home deployed it, else where the profile says.
    pub(crate) fn contract(&self) -> Result<Contract, Failure> {
        let rpc = self.rpc()?;
        let mut failure = Failure::usage(format!(
            "no contract is known on chain {} ({})",
            rpc.profile().chain_id,
            rpc.profile().name
        ))
        .with_hint("deploy one with `pox contract deploy`, or name it with --contract");
        for place in self.deployments()? {
            match Contract::open(rpc, place) {
                Ok(contract) => return Ok(contract),
                Err(error @ ChainError::NotTheContract(_)) => failure = error.into(),
                Err(error) => return Err(error.into()),
            }
        }
        Err(failure)
    }

    /// Keeps where this home deployed the contract.
    pub(crate) fn remember(&self, chain_id: u64, place: Deployment) -> Result<PathBuf, Failure> {
        let text = serde_json::to_vec(&place).map_err(Failure::machine)?;
        let path = self.home()?.path(&deployment_name(chain_id));
        crate::home::write_file(&path, &text, 0o600, crate::home::Overwrite::Replace)
            .map_err(|error| Failure::machine(format!("cannot write {}: {error}", path.display())))?;
        Ok(path)
    }

    /// The transactions of this home's account, with what waits from earlier runs.
    pub(crate) fn outbox(&self) -> Result<Outbox, Failure> {
        self.outbox_of(self.rpc()?)
    }

    /// The same on a connection of the caller's.
    pub(crate) fn outbox_of(&self, rpc: &Rpc) -> Result<Outbox, Failure> {
        let account = Account::new(self.home()?.account()?);
        // A key that was moved into another's place must not find the other's transactions.
        let name = format!("outbox-{}-{}.json", rpc.profile().chain_id, account.address());
        let shelf = FileShelf::new(&self.home()?.path(&name));
        Ok(Outbox::open(rpc, account, Box::new(shelf)))
    }

    /// What an owner's command may touch: any folder, public hosts, and the hosts of these places, since the owner named them; and
    /// those of the storage that the owner's settings name, with the keys there.
    pub(crate) fn access<'a>(&self, places: impl IntoIterator<Item = &'a str>) -> Access {
        let places: Vec<_> = places.into_iter().collect();
        let needs_keys = places.iter().any(|place| place.contains("s3://"));
        let hosts = places.iter().filter_map(|place| match place.parse::<Location>() {
            Ok(location) => location.host(),
            Err(_) => place.parse::<ImageSource>().ok()?.host(),
        });
        let access = hosts.fold(Access::default().allow_root(Path::new("/")), Access::allow_host);
        let access = if needs_keys { with_keys(access) } else { access };
        self.global.ask_ipfs(access)
    }

    /// What this program trusts: what comes with it, the profile that is named with `--chain`, and the releases that the command
    /// names. Nothing is asked.
    ///
    /// # Errors
    /// The named profile can't be read.
    pub(crate) fn anchors(&self) -> Result<Anchors, Failure> {
        let release = Release {
            name: format!("pox-enclave {}", env!("CARGO_PKG_VERSION")),
            measurement: *embedded::MEASUREMENT,
        };
        let builtin = Profile::BUILTIN.into_iter().filter_map(Profile::builtin);
        let chains =
            builtin.chain([self.profile()?]).map(|profile| (profile.chain_id, chain_anchor(profile)));
        let named = self.releases.get().into_iter().flatten().cloned();
        Ok(Anchors {
            releases: [release].into_iter().chain(named).collect(),
            chains: chains.collect(),
            ..Anchors::default()
        })
    }

    /// The machine's time.
    pub(crate) fn now(&self) -> UnixTime {
        // A clock before 1970 makes every block one of the future, which a verdict says.
        UnixTime(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
    }

    /// Where the contract may be: where `--contract` says, else where this home deployed it, and where the profile says.
    pub(crate) fn deployments(&self) -> Result<Vec<Deployment>, Failure> {
        let profile = self.profile()?;
        let remembered = match self.global.contract {
            Some(_) => None,
            None => self.remembered(profile.chain_id)?,
        };
        Ok(remembered.into_iter().chain(profile.contract).collect())
    }

    fn remembered(&self, chain_id: u64) -> Result<Option<Deployment>, Failure> {
        let path = locate::home(&self.global.home)?.join(deployment_name(chain_id));
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)
                .map(Some)
                .map_err(|error| Failure::usage(format!("{} is damaged: {error}", path.display())))
                .hint("remove it, and name the contract with --contract"),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Failure::machine(format!("cannot read {}: {error}", path.display()))),
        }
    }
}

/// What a profile says about trust. A chain with the id of the embedded one is a development chain, whatever its profile says.
pub(crate) fn chain_anchor(profile: Profile) -> ChainAnchor {
    let standing = match profile.chain_id {
        pox_devchain::EMBEDDED_CHAIN_ID => ChainStanding::Embedded,
        _ => ChainStanding::Public,
    };
    let names = profile.authorities.iter().flat_map(|authorities| authorities.names.clone()).collect();
    let pin = |set: AuthoritySet| PinnedSet {
        from: set.from,
        until: set.until,
        validators: set.validators,
        announcer: set.announcer,
        as_of: set.as_of,
        source: set.source,
    };
    let authorities = profile.authorities.map_or(Authorities::Unpinned, |authorities| {
        Authorities::Aura(Aura {
            steps: StepRule { seconds: authorities.step_seconds },
            two_thirds_from: authorities.two_thirds_from,
            sets: authorities.sets.into_iter().map(pin).collect(),
        })
    });
    ChainAnchor {
        name: profile.name,
        standing,
        authorities,
        contract_code: ARTIFACT.code_hash,
        deployments: profile.contract.iter().map(|place| place.address).collect(),
        names,
    }
}

/// The usual patience with a chain, with pauses that are this run's own.
pub(crate) fn pace() -> Result<Pace, Failure> {
    let mut seed = [0; 8];
    getrandom::fill(&mut seed).map_err(Failure::machine)?;
    Ok(Pace::new(u64::from_le_bytes(seed)))
}

/// Signs with the keys that the environment or AWS's files have.
fn with_keys(access: Access) -> Access {
    let keys = Keys::load(&|name| std::env::var(name).ok());
    let host = keys.endpoint();
    host.into_iter().fold(access.sign_with(Arc::new(keys)), Access::allow_host)
}

/// An account as people write it: 0x and 40 digits; with mixed case, the checksum of EIP-55 has to fit.
pub(crate) fn address(text: &str) -> Result<Address, Failure> {
    let bad = || Failure::usage(format!("{text:?} is not an address"));
    let digits = text.strip_prefix("0x").ok_or_else(bad).hint("write 0x and 40 hexadecimal digits")?;
    let is_mixed = digits.contains(|c: char| c.is_ascii_lowercase())
        && digits.contains(|c: char| c.is_ascii_uppercase());
    if is_mixed {
        Address::parse_checksummed(text, None)
            .map_err(|_| bad())
            .hint("its checksum does not fit: was it mistyped?")
    } else {
        text.parse().map_err(|_| bad()).hint("write 0x and 40 hexadecimal digits")
    }
}

fn deployment_name(chain_id: u64) -> String {
    format!("contract-{chain_id}.json")
}

#[cfg(test)]
mod tests {
    use super::*;
    use pox_devchain::AccountKey;

    #[test]
    fn the_embedded_profile_names_the_faucets_first_contract_and_the_first_authority() {
        let profile = Profile::builtin("embedded").unwrap();
        assert_eq!(profile.contract.unwrap().address, pox_devchain::FAUCET_ADDRESS.create(0));
        assert_eq!(profile.chain_id, pox_devchain::EMBEDDED_CHAIN_ID);
        let pinned = profile.authorities.unwrap();
        assert_eq!(pinned.sets[0].validators, [AccountKey::dev_authority(0).address()]);
        assert_eq!(pinned.sets[0].announcer, Some(pox_devchain::ANNOUNCER_ADDRESS));
        assert_eq!(pinned.step_seconds.get(), pox_devchain::DEFAULT_STEP.as_secs());
    }

    #[test]
    fn a_mistyped_address_is_refused() {
        let good = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
        assert!(address(good).is_ok() && address(&good.to_lowercase()).is_ok());
        for bad in [
            "",
            "5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
            &good[..41],
            &good.replace("5aA", "5aa"),
            "0x zz",
        ] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }
}
