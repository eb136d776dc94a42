//! Pinning of threads to cores. Refuses to know what the threads do.

use core_affinity::CoreId;

/// Keeps the calling thread on the core with this place among those the process may use; with more
/// threads than cores they wrap around. Returns whether the system agreed.
pub fn pin_to(place: usize) -> bool {
    let Some(cores) = core_affinity::get_core_ids() else {
        return false;
    };
    match pick(&cores, place) {
        Some(core) => core_affinity::set_for_current(core),
        None => false,
    }
}

fn pick(cores: &[CoreId], place: usize) -> Option<CoreId> {
    let wrapped = place.checked_rem(cores.len())?;
    cores.get(wrapped).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_workers_than_cores_share_them_in_turn() {
        let cores = [CoreId { id: 2 }, CoreId { id: 5 }];
        let picked: Vec<_> = (0..4).filter_map(|place| pick(&cores, place)).collect();
        assert_eq!(
            picked.iter().map(|core| core.id).collect::<Vec<_>>(),
            [2, 5, 2, 5]
        );
        assert_eq!(pick(&[], 0), None);
    }
}
