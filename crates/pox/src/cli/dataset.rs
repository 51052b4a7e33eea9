//! Sealing and opening data.

use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct Seal {
    /// File or folder; several go into one dataset by their last names
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// New folder for the sealed dataset; or `https://…` that takes PUT, `s3://BUCKET/PREFIX`, or `ipfs:`, which adds it to a node
    #[arg(long, value_name = "DIR|URL")]
    pub(crate) to: String,
    /// Further age recipient, `age1…`; may be repeated. This home's own is always among them
    #[arg(long, short, value_name = "RECIPIENT")]
    pub(crate) recipient: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Open {
    /// Sealed dataset (folder or URL), or a task id
    pub(crate) source: String,
    /// New folder for what comes out
    #[arg(long, value_name = "DIR")]
    pub(crate) to: PathBuf,
    /// Dataset commitment that it must have; a task's results are always checked against its receipt
    #[arg(long, value_name = "0x…")]
    pub(crate) commitment: Option<String>,
    /// Only what this member of a batch left, by its number; all of them if left out
    #[arg(long, value_name = "N")]
    pub(crate) member: Option<u16>,
}

#[derive(Debug, Args)]
pub(crate) struct Copy {
    /// Sealed dataset (folder or URL)
    pub(crate) from: String,
    /// Where to: a new folder, or a URL as for `pox seal`. What an interrupted copy left there is used
    pub(crate) to: String,
}
