//! What every command works with: the chain, the home, the storage, and what is trusted.

use crate::cli::Global;
use crate::embedded;
use crate::error::{Failure, Hint as _};
use crate::home::Home;
use crate::locate;
use crate::output::Output;
use pox_chain::{ARTIFACT, Account, ChainError, Contract, Deployment, Outbox, Profile, Rpc};
use pox_core::{Address, UnixTime};
use pox_devchain::AccountKey;
use pox_store::image::ImageSource;
use pox_store::{Access, Location};
use pox_verify::Anchors;
use pox_verify::anchors::{Authorities, ChainAnchor, ChainStanding, Release, StepRule};
use std::fs;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

/// One run of the program. Nothing is opened, made or asked before a command needs it.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) output: Output,
    pub(crate) global: Global,
    home: OnceLock<Home>,
    rpc: OnceLock<Rpc>,
}

impl Context {
    pub(crate) fn new(global: Global) -> Self {
        Self { output: Output::new(&global), global, home: OnceLock::new(), rpc: OnceLock::new() }
    }

    /// The user's folder, which is made if it is not there.
    pub(crate) fn home(&self) -> Result<&Home, Failure> {
        if let Some(home) = self.home.get() {
            return Ok(home);
        }
        let home = Home::open(&locate::home(&self.global.home)?)?;
        Ok(self.home.get_or_init(|| home))
    }

    /// The chain, as the options say.
    pub(crate) fn profile(&self) -> Result<Profile, Failure> {
        let mut profile = match Profile::builtin(&self.global.chain) {
            Some(profile) => profile,
            None => Profile::load(&locate::home(&self.global.chain)?)
                .map_err(|error| Failure::from(error).about(&self.global.chain))?,
        };
        if let Some(url) = &self.global.rpc {
            let endpoint = url
                .parse()
                .map_err(|error| Failure::usage(error).about("--rpc"))
                .hint("write http://127.0.0.1:8545, for example")?;
            profile = profile.with_endpoint(endpoint);
        }
        if let Some(text) = &self.global.contract {
            profile = profile.with_contract(Deployment { address: address(text)?, block: 0 });
        }
        Ok(profile)
    }

    /// The connection to the chain.
    pub(crate) fn rpc(&self) -> Result<&Rpc, Failure> {
        if let Some(rpc) = self.rpc.get() {
            return Ok(rpc);
        }
        let rpc = Rpc::connect(self.profile()?)?;
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

    /// The transactions of this home's account.
    pub(crate) fn outbox(&self) -> Result<Outbox, Failure> {
        let account = Account::new(self.home()?.account()?);
        Ok(Outbox::new(self.rpc()?, account))
    }

    /// What an owner's command may touch: any folder, public hosts, and the hosts of these places, since the owner named them.
    pub(crate) fn access<'a>(&self, places: impl IntoIterator<Item = &'a str>) -> Access {
        let hosts = places.into_iter().filter_map(|place| match place.parse::<Location>() {
            Ok(location) => location.host(),
            Err(_) => place.parse::<ImageSource>().ok()?.host(),
        });
        hosts.fold(Access::default().allow_root(Path::new("/")), Access::allow_host)
    }

    /// What this program trusts; it comes with the program, and nothing is asked.
    pub(crate) fn anchors(&self) -> Anchors {
        let release = Release {
            name: format!("pox-enclave {}", env!("CARGO_PKG_VERSION")),
            measurement: *embedded::MEASUREMENT,
        };
        let embedded = ChainAnchor {
            name: "embedded".into(),
            standing: ChainStanding::Embedded,
            authorities: Authorities::Aura {
                validators: vec![AccountKey::dev_authority(0).address()],
                steps: StepRule {
                    seconds: NonZeroU64::new(pox_devchain::DEFAULT_STEP.as_secs()).unwrap_or(NonZeroU64::MIN),
                },
            },
            contract_code: ARTIFACT.code_hash,
        };
        let bloxberg = ChainAnchor {
            name: "bloxberg".into(),
            standing: ChainStanding::Public,
            // Its validators change by votes, so a list in here would go stale unseen.
            authorities: Authorities::Unpinned,
            contract_code: ARTIFACT.code_hash,
        };
        Anchors {
            releases: vec![release],
            chains: [(pox_devchain::EMBEDDED_CHAIN_ID, embedded), (BLOXBERG_CHAIN_ID, bloxberg)].into(),
            ..Anchors::default()
        }
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

const BLOXBERG_CHAIN_ID: u64 = 8995;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_profile_names_the_faucets_first_contract() {
        let profile = Profile::builtin("embedded").unwrap();
        assert_eq!(profile.contract.unwrap().address, pox_devchain::FAUCET_ADDRESS.create(0));
        assert_eq!(profile.chain_id, pox_devchain::EMBEDDED_CHAIN_ID);
        assert_eq!(Profile::builtin("bloxberg").unwrap().chain_id, BLOXBERG_CHAIN_ID);
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
