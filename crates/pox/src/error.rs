//! What went wrong, in words for people: `error: <fact>`, `hint: <next step>`, and the exit code.

use pox_chain::{BadProfile, ChainError};
use pox_seal::crypt4gh::Crypt4ghError;
use pox_seal::dataset::{Invalid, OpenError, SealError};
use std::fmt;

/// Whose turn it is to do something about a failure; decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Culprit {
    /// The command, a file, or the state of this home.
    Usage,
    /// The chain or its endpoint.
    Chain,
    /// Storage, or what it delivered.
    Storage,
    /// The other side of the task.
    Counterparty,
    /// This machine.
    Machine,
}

/// A command that did not do what it was asked for.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Failure {
    pub(crate) culprit: Culprit,
    pub(crate) error: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hint: Option<String>,
}

impl Failure {
    pub(crate) fn new(culprit: Culprit, error: impl fmt::Display) -> Self {
        Self { culprit, error: error.to_string(), hint: None }
    }

    pub(crate) fn usage(error: impl fmt::Display) -> Self {
        Self::new(Culprit::Usage, error)
    }

    pub(crate) fn machine(error: impl fmt::Display) -> Self {
        Self::new(Culprit::Machine, error)
    }

    /// An error with all its causes, in one line.
    pub(crate) fn chained(culprit: Culprit, error: &dyn std::error::Error) -> Self {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(next) = cause {
            let line = next.to_string();
            if !text.ends_with(&line) {
                text = format!("{text}: {line}");
            }
            cause = next.source();
        }
        Self::new(culprit, text)
    }

    /// The same failure, with what it is about before it.
    pub(crate) fn about(mut self, subject: impl fmt::Display) -> Self {
        self.error = format!("{subject}: {}", self.error);
        self
    }

    /// Adds a next step, after the one that the failure itself suggests.
    pub(crate) fn with_next(mut self, next: impl fmt::Display) -> Self {
        self.hint = Some(match self.hint.take() {
            Some(hint) => format!("{hint}; {next}"),
            None => next.to_string(),
        });
        self
    }

    pub(crate) fn with_hint(mut self, hint: impl fmt::Display) -> Self {
        self.hint.get_or_insert_with(|| hint.to_string());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.error)
    }
}

/// Says what to do next about a failure.
pub(crate) trait Hint<T> {
    fn hint(self, hint: impl fmt::Display) -> Result<T, Failure>;
}

impl<T> Hint<T> for Result<T, Failure> {
    fn hint(self, hint: impl fmt::Display) -> Self {
        self.map_err(|failure| failure.with_hint(hint))
    }
}

impl From<BadProfile> for Failure {
    fn from(error: BadProfile) -> Self {
        Self::chained(Culprit::Usage, &error).with_hint(
            "name a profile with --chain: `pox chain profiles` lists them, `pox chain show` prints one",
        )
    }
}

impl From<ChainError> for Failure {
    fn from(error: ChainError) -> Self {
        let culprit = match error.culprit() {
            pox_chain::Culprit::Endpoint | pox_chain::Culprit::Chain => Culprit::Chain,
            pox_chain::Culprit::Caller => Culprit::Usage,
        };
        let hint = chain_hint(&error);
        let failure = Self::chained(culprit, &error);
        match hint {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        }
    }
}

fn chain_hint(error: &ChainError) -> Option<&'static str> {
    Some(match error {
        ChainError::Unreachable { .. } => "start `pox devnet`, or name an endpoint with --rpc",
        ChainError::Malformed { .. } => "is that a JSON-RPC endpoint? name another one with --rpc",
        ChainError::WrongChain { .. } => "name the chain with --chain, or another endpoint with --rpc",
        ChainError::InsufficientFunds(_) => {
            "on the embedded chain `pox fund` gives coins; elsewhere send some to this account"
        }
        ChainError::NotTheContract(_) => {
            "deploy it with `pox contract deploy`, or name where it is with --contract"
        }
        ChainError::NoSuchTask(_) => "is the id right, and --chain and --contract those of the task?",
        ChainError::RateLimited { .. } => "wait a little, or name another endpoint with --rpc",
        ChainError::Oversized { .. } => {
            "name another endpoint with --rpc, or set a smaller log_range in the profile"
        }
        ChainError::Disagreement { .. } => {
            "one of them lags, is on a fork or lies: `pox chain doctor` compares them"
        }
        ChainError::TooFewAgree { .. } => {
            "repeat the command when more endpoints answer; the profile says with `agree` how many have to"
        }
        ChainError::Journal(_) => "the home's outbox file must be readable and writable, and whole",
        ChainError::TooDear { .. } => {
            "wait until the chain is cheaper, or raise max_gas_price in the profile"
        }
        ChainError::OverBudget { .. } => "wait until the chain is cheaper, or allow more with --max-price",
        ChainError::TimedOut(_)
        | ChainError::Lagging(_)
        | ChainError::Reorganised(_)
        | ChainError::Contradiction(_) => "repeat the command: what was done already is not done again",
        _ => return None,
    })
}

impl From<pox_store::Error> for Failure {
    fn from(error: pox_store::Error) -> Self {
        use pox_store::{Error, IpfsError};
        let (culprit, hint) = match &error {
            Error::Location(_) | Error::Name(_) | Error::OutOfRange { .. } => (Culprit::Usage, None),
            Error::Refused(_) => {
                (Culprit::Usage, Some("only hosts that the command names may be on a private network"))
            }
            Error::NotFound(_) => (Culprit::Storage, Some("is the place right, and complete?")),
            Error::Exists(_) => {
                (Culprit::Usage, Some("nothing is overwritten: name another place, or remove it first"))
            }
            Error::Denied(_) => {
                (Culprit::Storage, Some("the storage asks for credentials that it was not given"))
            }
            Error::Unsigned(_) => (Culprit::Usage, Some(KEYS_HINT)),
            Error::Storage { code, .. } => (Culprit::Storage, Some(storage_hint(code))),
            Error::Ipfs(IpfsError::NoNode) => (
                Culprit::Usage,
                Some("name a gateway with --ipfs-gateway, or a node of your own with --ipfs-api"),
            ),
            Error::Ipfs(IpfsError::NoApi) => {
                (Culprit::Usage, Some("a gateway only delivers: name a node of your own with --ipfs-api"))
            }
            Error::Ipfs(_) => (Culprit::Storage, Some("ask another gateway with --ipfs-gateway")),
            Error::TooBig { .. } | Error::Unsupported(_) | Error::Image(_) | Error::Source(_) => {
                (Culprit::Usage, None)
            }
            Error::Corrupt(_) => {
                (Culprit::Storage, Some("fetch it from another place, or repeat the upload"))
            }
            Error::Unreachable(_) | Error::TimedOut(_) => {
                (Culprit::Storage, Some("is the server up? repeat the command"))
            }
            Error::Local(_) => (Culprit::Machine, None),
            _ => (Culprit::Storage, None),
        };
        let failure = Self::chained(culprit, &error);
        match hint {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        }
    }
}

/// What to do about an error that S3 has a name for.
fn storage_hint(code: &str) -> &'static str {
    match code {
        "NoSuchBucket" => "is the bucket's name right, and AWS_ENDPOINT_URL that of its service?",
        "RequestTimeTooSkewed" => "this machine's clock is wrong: set it",
        "ExpiredToken" | "TokenRefreshRequired" => "the temporary keys have run out: get new ones",
        "PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException" => {
            "the bucket is in another region: name it with AWS_REGION"
        }
        "AccessDenied" | "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "AllAccessDisabled" => KEYS_HINT,
        _ => "ask whoever runs the storage",
    }
}

const KEYS_HINT: &str = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile of ~/.aws/credentials with AWS_PROFILE";

impl From<SealError> for Failure {
    fn from(error: SealError) -> Self {
        let culprit = match error {
            SealError::Sink(_) | SealError::Randomness(_) => Culprit::Machine,
            _ => Culprit::Usage,
        };
        let failure = Self::chained(culprit, &error);
        match error {
            SealError::Crypt4gh { error: Crypt4ghError::NoMatch, .. } => failure.with_hint(OTHER_READERS),
            SealError::Folder { .. } => {
                failure.with_hint("name files, or seal the folder without --format crypt4gh")
            }
            _ => failure,
        }
    }
}

impl From<Crypt4ghError> for Failure {
    fn from(error: Crypt4ghError) -> Self {
        let (culprit, hint) = match &error {
            Crypt4ghError::NoMatch => (Culprit::Usage, Some(OTHER_READERS)),
            Crypt4ghError::Header(_) | Crypt4ghError::Body(_) => {
                (Culprit::Counterparty, Some("fetch it again, from whoever sealed it"))
            }
            Crypt4ghError::BadRecipient => (Culprit::Usage, None),
            _ => (Culprit::Machine, None),
        };
        let failure = Self::chained(culprit, &error);
        match hint {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        }
    }
}

const OTHER_READERS: &str =
    "it is for other readers: name a Crypt4GH secret key file with --identity, or the home with --home";

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        let (culprit, hint) = match &error {
            OpenError::Mismatch { .. } => {
                (Culprit::Storage, Some("the storage changed it, or the commitment is another dataset's"))
            }
            OpenError::Invalid { reason: Invalid::NoKey, .. } => (
                Culprit::Usage,
                Some("it was sealed for other recipients; name the home that holds the identity with --home"),
            ),
            OpenError::Invalid { .. } => {
                (Culprit::Counterparty, Some("whoever sealed it made it so; ask for it to be sealed again"))
            }
            OpenError::Source { .. } => (Culprit::Storage, Some("is the place right, and complete?")),
            OpenError::Io(_) => (Culprit::Machine, None),
        };
        let failure = Self::chained(culprit, &error);
        match hint {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        }
    }
}

impl From<pox_index::IndexError> for Failure {
    fn from(error: pox_index::IndexError) -> Self {
        use pox_index::IndexError;
        let (culprit, hint) = match error {
            IndexError::Chain(error) => return error.into(),
            IndexError::Missing => (Culprit::Usage, Some("make it with `pox index --db …`")),
            IndexError::Newer { .. } => {
                (Culprit::Usage, Some("use the program that made it, or a newer one"))
            }
            IndexError::OtherContract { .. } => (
                Culprit::Usage,
                Some("name another database with --db, or that chain with --chain and --contract"),
            ),
            IndexError::OtherWriter => {
                (Culprit::Usage, Some("one process is enough: any number can read beside it"))
            }
            IndexError::Postgres(_) | IndexError::Tls(_) => (
                Culprit::Storage,
                Some("is the server up, and the name right? a password comes from PGPASSWORD or .pgpass"),
            ),
            IndexError::OutOfRange(_) => (Culprit::Chain, Some("ask another endpoint with --rpc")),
            IndexError::Damaged(_) | IndexError::Event(_) => (
                Culprit::Storage,
                Some("everything in it is on the chain: remove it, and make it again with `pox index`"),
            ),
            IndexError::Sqlite(_) => {
                (Culprit::Storage, Some("is it an index, and may this user write there?"))
            }
        };
        let failure = Self::chained(culprit, &error);
        match hint {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        }
    }
}

/// For failures of the embedded chain, which only `pox devnet` and `pox demo` start.
impl From<pox_devchain::OpenError> for Failure {
    fn from(error: pox_devchain::OpenError) -> Self {
        use pox_devchain::OpenError;
        let hint = match &error {
            OpenError::InUse => {
                "another `pox devnet` runs on this folder; stop it, or name another folder with --data"
            }
            OpenError::OtherVersion => {
                "a chain of another version can't be continued: name another folder with --data"
            }
            OpenError::OtherChain => "it was made with other settings; name another folder with --data",
            _ => "name another folder with --data",
        };
        Self::chained(Culprit::Usage, &error).with_hint(hint)
    }
}

impl From<pox_devchain::ServerError> for Failure {
    fn from(error: pox_devchain::ServerError) -> Self {
        Self::chained(Culprit::Machine, &error)
            .with_hint("is another program there? name another address with --listen")
    }
}

impl From<pox_node::owner::BadKept> for Failure {
    fn from(error: pox_node::owner::BadKept) -> Self {
        use pox_core::runs::BadRuns;
        use pox_node::owner::BadKept;
        let failure = Self::chained(Culprit::Usage, &error);
        match error {
            BadKept::TooLarge(_) | BadKept::Runs(BadRuns::TooLarge(_)) => failure.with_hint(
                "give the runs shorter arguments, or only their number (`runs: 1000`): each finds its own in POX_RUN, and can look up the \
                 rest in a file of an input",
            ),
            _ => failure,
        }
    }
}

impl From<pox_node::owner::MembersError> for Failure {
    fn from(error: pox_node::owner::MembersError) -> Self {
        use pox_node::owner::MembersError;
        match error {
            MembersError::Results(error) => error.into(),
            MembersError::Member { number, source } => Self::from(source).about(format!("member {number}")),
            MembersError::Local(_) => Self::chained(Culprit::Machine, &error),
            MembersError::Malformed(_) | MembersError::OtherMembers => {
                Self::chained(Culprit::Storage, &error)
            }
        }
    }
}

impl From<pox_node::owner::ReleaseError> for Failure {
    fn from(error: pox_node::owner::ReleaseError) -> Self {
        use pox_node::owner::ReleaseError;
        match error {
            ReleaseError::Evidence(_) => Self::chained(Culprit::Counterparty, &error),
            ReleaseError::Endorsements(error) => error.into(),
            ReleaseError::Storage { source, location } => Self::from(source).about(location),
            ReleaseError::Keys(_) => Self::chained(Culprit::Usage, &error).with_hint(KEYS_HINT),
            ReleaseError::Signer { .. } => Self::chained(Culprit::Usage, &error)
                .with_hint("name the home of that account with --home; `pox request --handover FILE` writes what it has to know"),
            ReleaseError::Input { source, location } => Self::from(source).about(location),
            _ => Self::chained(Culprit::Usage, &error),
        }
    }
}

impl From<pox_node::owner::ResultsError> for Failure {
    fn from(error: pox_node::owner::ResultsError) -> Self {
        use pox_node::owner::ResultsError;
        match error {
            ResultsError::Storage(error) => error.into(),
            ResultsError::Open(error) => error.into(),
            ResultsError::None | ResultsError::Location(_) => Self::chained(Culprit::Usage, &error),
        }
    }
}

impl From<pox_node::owner::ProofError> for Failure {
    fn from(error: pox_node::owner::ProofError) -> Self {
        use pox_node::owner::{ChainProofError, ProofError};
        match error {
            ProofError::Chain(error) | ProofError::Shown(ChainProofError::Chain(error)) => error.into(),
            ProofError::Shown(_) => Self::chained(Culprit::Chain, &error).with_hint(
                "its authorities changed often since they were pinned: use a profile with a newer set",
            ),
            ProofError::Storage(error) => Self::from(error).about("the task's archive"),
            ProofError::NotProven(_) => {
                Self::chained(Culprit::Usage, &error).with_hint("`pox status` shows where it stands")
            }
            ProofError::OtherArchive => Self::chained(Culprit::Storage, &error)
                .with_hint("the processor keeps a copy, which it gets by `pox node archive`; or look beside the sealed results"),
            _ => Self::chained(Culprit::Usage, &error),
        }
    }
}

impl From<pox_node::owner::AgentError> for Failure {
    fn from(error: pox_node::owner::AgentError) -> Self {
        use pox_node::owner::AgentError;
        match error {
            AgentError::Kept(error) => error.into(),
            AgentError::Chain(error) => error.into(),
            AgentError::Release(error) => error.into(),
            AgentError::Results(error) => error.into(),
            AgentError::Members(error) => error.into(),
            AgentError::Archive(error) => error.into(),
            AgentError::Journal(_) => Self::chained(Culprit::Machine, &error),
        }
    }
}

impl From<pox_node::JournalError> for Failure {
    fn from(error: pox_node::JournalError) -> Self {
        Self::chained(Culprit::Machine, &error)
    }
}

impl From<pox_node::service::ServiceError> for Failure {
    fn from(error: pox_node::service::ServiceError) -> Self {
        use pox_node::service::ServiceError;
        match error {
            ServiceError::Chain(error) => error.into(),
            ServiceError::Journal(error) => error.into(),
        }
    }
}
