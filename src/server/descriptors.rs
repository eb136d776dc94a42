//! The process's limit of file descriptors: raised as far as the system allows. One of the few modules
//! with `unsafe`, because the standard library has no call for it.

use std::io;

/// Raises the soft limit to the hard one and returns how many descriptors the process may have.
#[allow(unsafe_code)]
pub fn raise_limit() -> io::Result<usize> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the call writes one `rlimit` to a valid place and keeps no pointer.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: the call reads one `rlimit` and keeps no pointer.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX))
}

/// How many connections fit below `descriptors`, after what the store, the logs, the listeners and the
/// workers need.
pub fn connections_within(descriptors: usize) -> usize {
    descriptors.saturating_sub(RESERVED).max(descriptors / 2)
}

/// The store keeps some hundred files open under load.
const RESERVED: usize = 768;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_descriptors_are_kept_for_the_store() {
        assert_eq!(connections_within(20_000), 19_232);
        assert_eq!(connections_within(1_024), 512);
        assert!(raise_limit().unwrap() > 0);
    }
}
