//! How much room the disk has for rows, as an operator hears of it. Refuses to know what a row means and where the room is.

use crate::actor::rows::Write;

/// What the free space of the disk amounts to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Level {
    #[default]
    Roomy,
    /// Little more than the reserve: whoever looks at it now loses nothing.
    Low,
    /// Less than the reserve: nothing is added.
    Full,
}

impl Level {
    /// The level of so much free space behind this one. On the way up it changes later than on the way down, so that a disk
    /// at the border does not refuse every second message: half of them would be refused that arrived.
    pub(super) fn next(self, free_bytes: u64, reserve_bytes: u64) -> Level {
        let margin = (reserve_bytes / 8).min(MARGIN_BYTES);
        let up = |from: u64, is_below: bool| from.saturating_add(if is_below { margin } else { 0 });
        let full = up(reserve_bytes, self == Level::Full);
        let low = up(reserve_bytes.saturating_mul(2), self != Level::Roomy);
        match free_bytes {
            free if free < full => Level::Full,
            free if free < low => Level::Low,
            _ => Level::Roomy,
        }
    }

    /// Tells the operator that it is this one now.
    pub(super) fn say(self, free_bytes: u64, reserve_bytes: u64) {
        let numbers = format!("free_bytes={free_bytes} reserve_bytes={reserve_bytes}");
        match self {
            Level::Roomy => log::info!("disk_has_room {numbers}"),
            Level::Low => log::warn!("disk_low {numbers}"),
            Level::Full => log::error!("disk_full {numbers}"),
        }
    }
}

/// Whether a commit removes rows and adds no more than the counts and marks that go with them: it may use the reserve.
pub(super) fn makes_room(writes: &[Write]) -> bool {
    let (mut removed, mut added) = (0, 0);
    for write in writes {
        match write {
            Write::Delete { .. } => removed += 1,
            Write::Put { key, value, .. } | Write::Replace { key, value, .. } => {
                added += key.as_bytes().len() + value.len();
            }
        }
    }
    removed > 0 && added <= removed * ADDED_BYTES_MAX
}

/// What may be added with each row that is removed: the least that a message takes, and the row that says that an account
/// is being removed.
const ADDED_BYTES_MAX: usize = 256;
/// So much more room than the reserve a disk that was full has before it counts as having some: a few thousand messages.
const MARGIN_BYTES: u64 = 8 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    /// The levels that a disk goes through with so much free space, in MiB, above a reserve of 64.
    fn levels(free: &[u64]) -> Vec<Level> {
        let mut level = Level::Roomy;
        let next = free.iter().map(|free| {
            level = level.next(free * MIB, 64 * MIB);
            level
        });
        next.collect()
    }

    #[test]
    fn an_operator_is_warned_at_twice_the_reserve() {
        let all = [Level::Roomy, Level::Low, Level::Low, Level::Full];
        assert_eq!(levels(&[128, 127, 64, 63]), all);
    }

    #[test]
    fn a_disk_at_a_border_stays_on_its_side() {
        assert_eq!(levels(&[63, 64, 63, 70, 71])[..4], [Level::Full; 4]);
        let all = [Level::Full, Level::Low, Level::Low, Level::Full];
        assert_eq!(levels(&[63, 72, 64, 63]), all);
        let all = [Level::Low, Level::Low, Level::Low, Level::Roomy];
        assert_eq!(levels(&[127, 129, 135, 136]), all);
    }

    #[test]
    fn without_a_reserve_there_is_always_room() {
        assert_eq!(Level::Full.next(0, 0), Level::Roomy);
        assert_eq!(Level::Roomy.next(u64::MAX - 1, u64::MAX), Level::Full);
    }
}
