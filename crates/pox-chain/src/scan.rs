//! How many blocks to ask for at once: as many as the node bears.

use crate::error::ChainError;

/// A width that halves when a node can't bear it, and grows back slowly.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Width {
    now: u64,
    most: u64,
}

impl Width {
    pub(crate) fn new(most: u32) -> Self {
        let most = u64::from(most).max(1);
        Self { now: most, most }
    }

    /// Blocks to ask for now; at least one.
    pub(crate) fn blocks(self) -> u64 {
        self.now
    }

    /// After an answer.
    pub(crate) fn grow(&mut self) {
        self.now = self.now.saturating_add(self.now / 2).saturating_add(1).min(self.most);
    }

    /// After an error: halves and forgets it if a smaller range can do better.
    pub(crate) fn shrink(&mut self, error: ChainError) -> Result<(), ChainError> {
        // Nodes decline ranges in many words, answer beyond every bound, or run out of time.
        let can_help = matches!(
            error,
            ChainError::Refused { .. } | ChainError::Malformed { .. } | ChainError::Unreachable { .. }
        );
        if !can_help || self.now == 1 {
            return Err(error);
        }
        self.now /= 2;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_halves_to_one_and_grows_back_to_the_most() {
        let refused = || ChainError::Refused { method: "eth_getLogs", code: -32005, message: String::new() };
        let mut width = Width::new(9);
        let mut seen = vec![width.blocks()];
        while width.shrink(refused()).is_ok() {
            seen.push(width.blocks());
        }
        assert_eq!(seen, [9, 4, 2, 1]);
        for _ in 0..10 {
            width.grow();
        }
        assert_eq!(width.blocks(), 9);
        assert!(width.shrink(ChainError::Reorganised(1)).is_err());
    }
}
