//! What becomes of a thread that panics at what a directory says: that is a bug of ours, and no reason to answer nobody any
//! more, or to be deaf from then on. Refuses to know what the threads do.

use std::panic::{self, AssertUnwindSafe};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, TryRecvError};

use crate::base::limits;

/// Waits until nobody holds the other end of `held` any more; whether what waits may begin then: not if nobody holds that of
/// `stop` either.
pub fn may_begin(held: &Receiver<()>, stop: &Receiver<()>) -> bool {
    // Nobody sends anything.
    let _ = held.recv();
    stop.try_recv() != Err(TryRecvError::Disconnected)
}

/// Does it; if it panics, the other. What it was about is not used any more.
pub fn or_else(work: impl FnOnce(), unserved: impl FnOnce()) {
    if panic::catch_unwind(AssertUnwindSafe(work)).is_err() {
        unserved();
    }
}

/// Does it until it ends by itself, and anew after a pause if it panicked; not if nobody holds the other end of `stop`. `name`
/// is for the log.
pub fn again(name: &str, stop: &Receiver<()>, work: impl FnMut()) {
    again_after(PAUSE, name, stop, work);
}

/// The same after a pause of that length.
pub fn again_after(pause: Duration, name: &str, stop: &Receiver<()>, mut work: impl FnMut()) {
    let mut has_ended = false;
    while !has_ended {
        has_ended = true;
        or_else(&mut work, || has_ended = false);
        if !has_ended {
            log::error!("directory_thread_panicked thread={name:?}");
            has_ended = stop.recv_timeout(pause) != Err(RecvTimeoutError::Timeout);
        }
    }
}

/// Before what panicked is begun anew.
pub const PAUSE: Duration = Duration::from_millis(limits::DIRECTORY_BACK_OFF_MAX_MS);

#[cfg(test)]
mod tests {
    use std::thread;

    use crossbeam_channel::bounded;

    use super::*;

    #[test]
    fn who_is_held_begins_when_they_are_let_go_unless_it_is_over_by_then() {
        for is_over in [false, true] {
            let (holds, held) = bounded(0);
            let (follows, stop) = bounded(0);
            let waits = thread::spawn(move || may_begin(&held, &stop));
            let follows = (!is_over).then_some(follows);
            drop(holds);
            assert_eq!(waits.join().expect("no panic"), !is_over);
            drop(follows);
        }
    }

    #[test]
    fn who_panics_does_it_again_until_it_is_done_or_nobody_wants_it() {
        let (hold, stop) = bounded(0);
        let mut count = 0;
        let work = || {
            count += 1;
            assert!(count > 2, "as a bug would have it");
        };
        again_after(Duration::ZERO, "test", &stop, work);
        assert_eq!(count, 3);
        drop(hold);
        let mut count = 0;
        again_after(Duration::MAX, "test", &stop, || {
            count += 1;
            panic!("as a bug would have it");
        });
        assert_eq!(count, 1);
    }
}
