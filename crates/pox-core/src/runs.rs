//! The runs of a batch: one program, started many times, each time with arguments of its own (spec §6.3, §7.2).
//!
//! The terms commit to all of them by a tree over salted leaves, so that one run's arguments can be shown and the others stay hidden.

use crate::codec::to_canonical;
use crate::id::RunsRoot;
use crate::secret::MAX_STRINGS;
use crate::tree;
use alloy_primitives::B256;
use core::str::FromStr;
use sha2::{Digest, Sha256};

/// Most bytes of encoded runs: what else is in a secret needs its room too.
pub const MAX_RUNS_BYTES: usize = 48 * 1024;
/// What stands for the run's number in the terms' arguments.
pub const PLACEHOLDER: &str = "{run}";

/// A batch's runs, as the owner's secret carries them (spec §9.2). They are numbered from 1.
#[derive(Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Runs {
    /// 32 random bytes that the salt of every run follows from.
    #[cbor(n(0), with = "crate::bytes::word")]
    pub seed: B256,
    /// How many there are.
    #[n(1)]
    pub count: u16,
    /// The arguments of each, after those of the terms; none rather than empty lists only.
    #[n(2)]
    pub args: Option<Vec<Vec<String>>>,
}

/// One run, with the salt that hides it: what its leaf is made of.
#[derive(Debug, Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Run {
    /// Its number, from 1.
    #[n(0)]
    pub number: u16,
    /// 32 bytes that nobody can guess.
    #[cbor(n(1), with = "crate::bytes::word")]
    pub salt: B256,
    /// Its arguments, after those of the terms.
    #[n(2)]
    pub args: Vec<String>,
}

/// What the terms say of a batch's runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommittedRuns {
    /// How many there are.
    pub count: u16,
    /// The root over their leaves.
    pub root: RunsRoot,
}

/// Runs are not what the spec says they are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRuns {
    /// None, or more than a batch has.
    #[error("a batch has 1 to {} runs", u16::MAX)]
    Count,
    /// Not one list of arguments for each run, or nothing but empty ones.
    #[error("the lists of arguments are not one for each run")]
    Lists,
    /// A list is too long, or a text in it has a NUL.
    #[error("run {0} has more than {MAX_STRINGS} arguments, or one with a NUL")]
    Args(u16),
    /// They take more room than a secret has for them.
    #[error("the runs take {0} bytes of the secret, which has {MAX_RUNS_BYTES} for them")]
    TooLarge(usize),
}

impl Runs {
    /// Checks count, lists and size.
    ///
    /// # Errors
    /// The first violation.
    pub fn check(&self) -> Result<(), BadRuns> {
        if self.count == 0 {
            return Err(BadRuns::Count);
        }
        if let Some(lists) = &self.args {
            if lists.len() != usize::from(self.count) || lists.iter().all(Vec::is_empty) {
                return Err(BadRuns::Lists);
            }
            if let Some((number, _)) = (1..).zip(lists).find(|(_, list)| !is_bounded(list)) {
                return Err(BadRuns::Args(number));
            }
        }
        match to_canonical(self).len() {
            size if size > MAX_RUNS_BYTES => Err(BadRuns::TooLarge(size)),
            _ => Ok(()),
        }
    }

    /// The run of a number, if there is one.
    pub fn run(&self, number: u16) -> Option<Run> {
        if !(1..=self.count).contains(&number) {
            return None;
        }
        let args = self.args.as_ref().and_then(|lists| lists.get(usize::from(number) - 1).cloned());
        Some(Run { number, salt: self.salt(number), args: args.unwrap_or_default() })
    }

    /// All of them, in their order.
    pub fn iter(&self) -> impl Iterator<Item = Run> {
        (1..=self.count).filter_map(|number| self.run(number))
    }

    /// What the terms say of them; `None` if there are none.
    pub fn committed(&self) -> Option<CommittedRuns> {
        let root = tree::root(&self.leaves()).map(RunsRoot)?;
        Some(CommittedRuns { count: self.count, root })
    }

    /// The path from a run's leaf to the root.
    pub fn path(&self, number: u16) -> Option<Vec<B256>> {
        tree::path(&self.leaves(), usize::from(number).checked_sub(1)?)
    }

    fn leaves(&self) -> Vec<B256> {
        self.iter().map(|run| run.leaf()).collect()
    }

    /// Whoever learns one run's salt learns nothing of another's.
    fn salt(&self, number: u16) -> B256 {
        let hash = Sha256::new()
            .chain_update(b"pox-run-salt-v1\0")
            .chain_update(self.seed)
            .chain_update(u32::from(number).to_be_bytes());
        B256::from(<[u8; 32]>::from(hash.finalize()))
    }
}

impl core::fmt::Debug for Runs {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Runs({}, …)", self.count)
    }
}

impl Run {
    /// Its leaf in the tree that the terms commit to; a member's receipt names it.
    pub fn leaf(&self) -> B256 {
        tree::leaf(&[b"pox-run-v1\0", to_canonical(self).as_slice()].concat())
    }

    /// Whether its list of arguments is one that a run can have.
    pub fn is_bounded(&self) -> bool {
        is_bounded(&self.args)
    }

    /// Program and arguments: the terms', with this run's number in place of every [`PLACEHOLDER`], and then its own.
    pub fn arguments(&self, terms: &[String]) -> Vec<String> {
        let number = self.number.to_string();
        let shared = terms.iter().map(|text| text.replace(PLACEHOLDER, &number));
        shared.chain(self.args.iter().cloned()).collect()
    }
}

impl CommittedRuns {
    /// The two texts of the leaf `runs` (spec §7.2).
    pub fn to_texts(self) -> Vec<String> {
        vec![self.count.to_string(), self.root.to_string()]
    }

    /// Reads the two texts; `None` for any others.
    pub fn from_texts(texts: &[String]) -> Option<Self> {
        let [count, root] = texts else { return None };
        let read = Self { count: count.parse().ok()?, root: RunsRoot::from_str(root).ok()? };
        // Numbers and digests can be written otherwise; only one way is ours.
        (read.count > 0 && read.to_texts() == texts).then_some(read)
    }
}

fn is_bounded(list: &[String]) -> bool {
    list.len() <= MAX_STRINGS && !list.iter().any(|text| text.contains('\0'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn runs(lists: &[&[&str]]) -> Runs {
        let args: Vec<Vec<String>> =
            lists.iter().map(|list| list.iter().map(ToString::to_string).collect()).collect();
        Runs { seed: B256::repeat_byte(7), count: args.len() as u16, args: Some(args) }
    }

    #[test]
    fn a_run_has_the_terms_arguments_and_then_its_own() {
        let run = runs(&[&[], &["--seed", "{run}"]]).run(2).unwrap();
        let terms = ["/task", "--out=/out/{run}-{run}.csv"].map(String::from);
        assert_eq!(run.arguments(&terms), ["/task", "--out=/out/2-2.csv", "--seed", "{run}"]);
        assert_eq!(run.arguments(&[]), ["--seed", "{run}"]);
    }

    #[test]
    fn what_is_out_of_bounds_is_refused() {
        let counted = |count| Runs { seed: B256::ZERO, count, args: None };
        assert_eq!(counted(u16::MAX).check(), Ok(()));
        assert_eq!(counted(0).check(), Err(BadRuns::Count));
        assert_eq!(counted(0).committed(), None);
        assert_eq!(runs(&[&[], &[]]).check(), Err(BadRuns::Lists));
        assert_eq!(Runs { count: 3, ..runs(&[&["a"], &["b"]]) }.check(), Err(BadRuns::Lists));
        assert_eq!(runs(&[&["a"], &["a\0"]]).check(), Err(BadRuns::Args(2)));
        assert_eq!(runs(&[&["a"; 257]]).check(), Err(BadRuns::Args(1)));
        let long = "x".repeat(1000);
        assert!(matches!(runs(&[&[long.as_str()][..]; 50]).check(), Err(BadRuns::TooLarge(_))));
    }

    #[test]
    fn texts_have_one_form() {
        let runs = runs(&[&["a"], &["b"]]).committed().unwrap();
        assert_eq!(CommittedRuns::from_texts(&runs.to_texts()), Some(runs));
        let [count, root] = <[String; 2]>::try_from(runs.to_texts()).unwrap();
        for texts in [
            vec![],
            vec![count.clone()],
            vec![format!("0{count}"), root.clone()],
            vec![format!("+{count}"), root.clone()],
            vec!["0".into(), root.clone()],
            vec!["65536".into(), root.clone()],
            vec![count.clone(), root.to_uppercase().replace('X', "x")],
            vec![count.clone(), root.clone(), root.clone()],
        ] {
            assert_eq!(CommittedRuns::from_texts(&texts), None, "{texts:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_run_leads_to_the_root_by_its_own_path_alone(count in 1u16..300, at in 0u16..300, seed in any::<[u8; 32]>()) {
            let runs = Runs { seed: seed.into(), count, args: None };
            let root = runs.committed().unwrap().root.0;
            let number = at % count + 1;
            let path = runs.path(number).unwrap();
            let leads = |run: Run| tree::climb(run.leaf(), &path) == Some(root);
            prop_assert!(leads(runs.run(number).unwrap()));
            prop_assert!(runs.iter().filter(|run| run.number != number).all(|run| !leads(run)));
            prop_assert_eq!(runs.run(0), None);
            prop_assert_eq!(runs.run(count + 1), None);
            prop_assert_eq!(runs.path(0), None);
            prop_assert_eq!(runs.path(count + 1), None);
        }
    }
}
