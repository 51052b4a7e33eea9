//! Sealing and opening data.

use super::{Grade, Trust};
use clap::{ArgGroup, Args, ValueEnum};
use std::ops::Range;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct Seal {
    /// File or folder; several go into one dataset by their last names. `-` seals standard input as one file
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
    /// What standard input is called in the dataset
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Record the SHA-256 of each public file too, in SHA256SUMS
    #[arg(long)]
    pub(crate) sha256: bool,
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
    /// New folder for what comes out; with one --file, a new file. `-` is standard output, to which a tree goes as a tar archive
    #[arg(long, value_name = "DIR|FILE")]
    pub(crate) to: PathBuf,
    /// Only this file of a dataset, or the files below this folder; may be repeated. Little else is fetched
    #[arg(long, value_name = "PATH")]
    pub(crate) file: Vec<PathBuf>,
    /// Only these bytes of the file: from the first number on, up to and without the second
    #[arg(long, value_name = "START-END", requires = "file", value_parser = byte_range)]
    pub(crate) range: Option<Range<u64>>,
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

#[derive(Debug, Args)]
pub(crate) struct VerifyData {
    /// Sealed dataset (folder or URL)
    pub(crate) dataset: String,
    /// Dataset commitment that it must have
    #[arg(long, value_name = "0x…")]
    pub(crate) commitment: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// Sealed dataset (folder or URL), or a file
    pub(crate) place: String,
    /// List what is in a dataset, if this home's key opens it
    #[arg(long)]
    pub(crate) list: bool,
    /// Most entries to list
    #[arg(long, value_name = "NUMBER", default_value_t = 1000)]
    pub(crate) limit: usize,
}

#[derive(Debug, Args)]
pub(crate) struct Disclose {
    /// Sealed dataset (folder or URL) that this home's key opens
    pub(crate) dataset: String,
    /// File to show, or a folder whose files are shown; may be repeated
    #[arg(long, value_name = "PATH", required = true)]
    pub(crate) file: Vec<PathBuf>,
    /// New disclosure file
    #[arg(long, value_name = "FILE")]
    pub(crate) to: PathBuf,
    /// Dataset commitment that it must have
    #[arg(long, value_name = "0x…")]
    pub(crate) commitment: Option<String>,
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("dataset").required(true).multiple(true).args(["commitment", "proof"])))]
pub(crate) struct VerifyDisclosure {
    /// Disclosure file
    pub(crate) disclosure: PathBuf,
    /// Commitment of the dataset that the files must belong to
    #[arg(long, value_name = "0x…")]
    pub(crate) commitment: Option<String>,
    /// Proof file of a task of which the dataset must be the result or an input
    #[arg(long, value_name = "FILE")]
    pub(crate) proof: Option<String>,
    /// Least grade of the proof that is good enough
    #[arg(long, value_enum, default_value_t = Grade::Hardware)]
    pub(crate) require: Grade,
    #[command(flatten)]
    pub(crate) trust: Trust,
    /// Content to compare: the file, or for several a folder in which each has its path
    #[arg(long, value_name = "PATH")]
    pub(crate) content: Option<PathBuf>,
}

/// A range of bytes that isn't empty.
fn byte_range(text: &str) -> Result<Range<u64>, String> {
    let parsed = text.split_once('-').and_then(|(start, end)| Some(start.parse().ok()?..end.parse().ok()?));
    parsed.filter(|range| !range.is_empty()).ok_or_else(|| "write 0-1024 for the first 1024 bytes".to_owned())
}
