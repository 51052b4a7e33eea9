//! How much a proof shows.

use core::fmt;
use core::str::FromStr;

/// How much a proof shows, from nothing to most; the order is the one of spec §11.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grade {
    /// Rejected: its parts contradict each other or the anchors.
    Inconsistent,
    /// Consistent, but nothing that the auditor trusts vouches for all of it.
    Asserted,
    /// Everything is as it should be, but a simulated part protects nothing.
    Simulated,
    /// Hardware vouches for it, at a security level that its vendor had superseded.
    HardwareTcbOutdated,
    /// Hardware and a public chain's authorities vouch for it.
    Hardware,
}

/// A text names no grade.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected hardware, hardware-tcb-outdated, simulated, asserted or inconsistent")]
pub struct UnknownGrade;

impl Grade {
    /// Every grade, the best first.
    pub const ALL: [Self; 5] =
        [Self::Hardware, Self::HardwareTcbOutdated, Self::Simulated, Self::Asserted, Self::Inconsistent];

    /// The name in outputs and arguments.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hardware => "hardware",
            Self::HardwareTcbOutdated => "hardware-tcb-outdated",
            Self::Simulated => "simulated",
            Self::Asserted => "asserted",
            Self::Inconsistent => "inconsistent",
        }
    }
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Grade {
    type Err = UnknownGrade;

    fn from_str(text: &str) -> Result<Self, UnknownGrade> {
        Self::ALL.into_iter().find(|grade| grade.name() == text).ok_or(UnknownGrade)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_names_are_the_specs() {
        assert!(Grade::ALL.windows(2).all(|pair| pair[0] > pair[1]));
        for grade in Grade::ALL {
            assert_eq!(grade.name().parse(), Ok(grade));
            assert_eq!(serde_json::to_value(grade).unwrap(), grade.name());
        }
        assert_eq!("Hardware".parse::<Grade>(), Err(UnknownGrade));
    }
}
