//! Saves that rest on each other: a count of what is in an archive says what the saves before it have put there, and
//! goes out before they are answered. So of a chain, behind a save that was refused all are, until whoever asks has heard
//! of that and begins another. Refuses to know what they write.

use crate::actor::rows::StoreError;

/// What became of the chains of one who asks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Chains {
    /// The last one in which a save was refused, and why.
    broken: Option<(u64, StoreError)>,
}

impl Chains {
    /// Why a save of this chain is refused without a look; none if it is to be tried.
    pub fn refuse(&self, chain: Option<u64>) -> Option<StoreError> {
        let (broken, error) = self.broken?;
        (chain == Some(broken)).then_some(error)
    }

    /// A save of this chain was tried, with this result.
    pub fn tried(&mut self, chain: Option<u64>, result: Result<(), StoreError>) {
        if let (Some(chain), Err(error)) = (chain, result) {
            self.broken = Some((chain, error));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_behind_a_refused_save_of_a_chain_is_refused_and_nothing_else() {
        let mut chains = Chains::default();
        chains.tried(Some(0), Ok(()));
        chains.tried(None, Err(StoreError::DiskFull));
        assert_eq!(chains.refuse(Some(0)), None);
        chains.tried(Some(0), Err(StoreError::DiskFull));
        assert_eq!(chains.refuse(Some(0)), Some(StoreError::DiskFull));
        assert_eq!(chains.refuse(None), None);
        assert_eq!(chains.refuse(Some(1)), None);
        chains.tried(Some(1), Err(StoreError::Broken));
        assert_eq!(chains.refuse(Some(1)), Some(StoreError::Broken));
    }
}
