//! Sealing and opening data.

use clap::{Args, ValueEnum};
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
    /// Format of the sealed files
    #[arg(long, value_enum, default_value_t = Format::Age)]
    pub(crate) format: Format,
    /// Further Crypt4GH reader, a `.pub` file; may be repeated. This home's own key is always among them
    #[arg(long, value_name = "FILE")]
    pub(crate) recipient_c4gh: Vec<PathBuf>,
}

/// Formats of sealed files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// age v1, post-quantum; files and folders
    Age,
    /// Crypt4GH 1.0, the GA4GH standard; files only
    Crypt4gh,
}

#[derive(Debug, Args)]
pub(crate) struct Open {
    /// Sealed dataset (folder or URL), a Crypt4GH file, or a task id
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
    /// Crypt4GH secret key file that opens a Crypt4GH file; may be repeated. This home's own key is tried too
    #[arg(long, value_name = "FILE")]
    pub(crate) identity: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Adopt {
    /// Folder whose `*.c4gh` files become a dataset where they lie; with --to, such folders or files
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// New folder for the dataset; the files get a second name in it, or are copied where the file system has no such thing
    #[arg(long, value_name = "DIR")]
    pub(crate) to: Option<PathBuf>,
    /// Crypt4GH secret key file that opens the files; may be repeated. This home's own key is tried too
    #[arg(long, value_name = "FILE")]
    pub(crate) identity: Vec<PathBuf>,
    /// Further age recipient, who may open the dataset; may be repeated. This home's own is always among them
    #[arg(long, short, value_name = "RECIPIENT")]
    pub(crate) recipient: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Rekey {
    /// Crypt4GH file
    #[arg(value_name = "FILE")]
    pub(crate) path: PathBuf,
    /// New file: the same body behind another header
    #[arg(long, value_name = "FILE")]
    pub(crate) to: PathBuf,
    /// Reader, a `.pub` file; may be repeated. This home's own key is always among them, and nobody else
    #[arg(long, value_name = "FILE")]
    pub(crate) recipient_c4gh: Vec<PathBuf>,
    /// Crypt4GH secret key file that opens the file; may be repeated. This home's own key is tried too
    #[arg(long, value_name = "FILE")]
    pub(crate) identity: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Copy {
    /// Sealed dataset (folder or URL)
    pub(crate) from: String,
    /// Where to: a new folder, or a URL as for `pox seal`. What an interrupted copy left there is used
    pub(crate) to: String,
}
