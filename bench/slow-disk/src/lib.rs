//! A disk that takes its time: loaded into a server by `LD_PRELOAD`, it makes every `fsync` and `fdatasync` last as many
//! milliseconds longer as `SLOW_DISK_MS` says. So a figure can show who waits for the disk, and who does not.

use std::ffi::c_int;
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::Duration;

/// # Safety
/// As that of the system, whose place it takes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fsync(file: c_int) -> c_int {
    sleep(delay());
    // SAFETY: the arguments of `fsync(2)`.
    unsafe { libc::syscall(libc::SYS_fsync, file) as c_int }
}

/// # Safety
/// As that of the system, whose place it takes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fdatasync(file: c_int) -> c_int {
    sleep(delay());
    // SAFETY: the arguments of `fdatasync(2)`.
    unsafe { libc::syscall(libc::SYS_fdatasync, file) as c_int }
}

fn delay() -> Duration {
    static DELAY: OnceLock<Duration> = OnceLock::new();
    *DELAY.get_or_init(|| {
        let ms = std::env::var("SLOW_DISK_MS").ok();
        Duration::from_millis(ms.and_then(|ms| ms.parse().ok()).unwrap_or(0))
    })
}
