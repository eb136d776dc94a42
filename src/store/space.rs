//! How much room a filesystem has. The one system call that the standard library does not offer; knows nothing
//! of rows.

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;

/// Bytes that an unprivileged process can still write to the filesystem of `file`.
///
/// # Errors
/// Whatever fstatvfs(3) says.
pub(super) fn free_bytes(file: &File) -> io::Result<u64> {
    let mut stat = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: the descriptor is open as long as `file` is borrowed, and `stat` is large enough to be written.
    let code = unsafe { libc::fstatvfs(file.as_raw_fd(), stat.as_mut_ptr()) };
    if code != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: fstatvfs returned 0 and so has filled the whole struct.
    let stat = unsafe { stat.assume_init() };
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_temporary_directory_has_some_room() {
        let dir = File::open(std::env::temp_dir()).unwrap();
        assert!(free_bytes(&dir).unwrap() > 0);
    }
}
