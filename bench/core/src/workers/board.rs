//! Where the threads of a measure meet, and how they notice together that nothing is under way any more. Knows nothing of
//! what they do.

use anyhow::{Result, bail};
use parking_lot::{Condvar, Mutex};

/// One for all threads of a run.
pub struct Board {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    desks: Vec<Desk>,
    present: usize,
    meetings: u64,
    is_quiet: bool,
    has_failed: bool,
}

/// What one thread says of itself.
#[derive(Clone, Default)]
struct Desk {
    is_idle: bool,
    /// Batches and notes to others, ever.
    sent: u64,
    received: u64,
}

/// What becomes of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Somebody works, or something is under way between two.
    GoesOn,
    /// Everybody is idle, and what was sent has been received.
    Quiet,
}

impl Board {
    pub fn new(threads: usize) -> Board {
        Board {
            state: Mutex::new(State {
                desks: vec![Desk::default(); threads],
                present: 0,
                meetings: 0,
                is_quiet: false,
                has_failed: false,
            }),
            changed: Condvar::new(),
        }
    }

    /// Waits for all threads; a window begins.
    ///
    /// # Errors
    /// If one of them has failed.
    pub fn meet(&self) -> Result<()> {
        let mut state = self.state.lock();
        state.present += 1;
        if state.present == state.desks.len() {
            state.present = 0;
            state.meetings += 1;
            state.is_quiet = false;
            for desk in &mut state.desks {
                desk.is_idle = false;
            }
            self.changed.notify_all();
        }
        let meetings = state.meetings;
        while state.present > 0 && state.meetings == meetings && !state.has_failed {
            self.changed.wait(&mut state);
        }
        state.verdict().map(drop)
    }

    /// A thread has nothing to do until somebody sends it something. To be called when it has looked for that a last time.
    pub fn idle(&self, place: usize, sent: u64, received: u64) -> Result<Verdict> {
        let mut state = self.state.lock();
        state.desks[place] = Desk {
            is_idle: true,
            sent,
            received,
        };
        let sent: u64 = state.desks.iter().map(|desk| desk.sent).sum();
        let received: u64 = state.desks.iter().map(|desk| desk.received).sum();
        state.is_quiet |= sent == received && state.desks.iter().all(|desk| desk.is_idle);
        state.verdict()
    }

    /// A thread was woken; to be called before it takes what it was sent.
    pub fn woken(&self, place: usize) -> Result<Verdict> {
        let mut state = self.state.lock();
        state.desks[place].is_idle = false;
        state.verdict()
    }

    /// A thread gives up, and so do all.
    pub fn fail(&self) {
        self.state.lock().has_failed = true;
        self.changed.notify_all();
    }
}

impl State {
    fn verdict(&self) -> Result<Verdict> {
        if self.has_failed {
            bail!("another thread has failed");
        }
        Ok(match self.is_quiet {
            true => Verdict::Quiet,
            false => Verdict::GoesOn,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_quiet_when_everybody_is_idle_and_nothing_is_under_way() {
        let board = Board::new(2);
        let idle = |place, sent, received| board.idle(place, sent, received).expect("well");
        assert_eq!(idle(0, 1, 0), Verdict::GoesOn);
        // The one thing that 0 has sent did not reach 1 yet.
        assert_eq!(idle(1, 0, 0), Verdict::GoesOn);
        assert_eq!(board.woken(1).expect("well"), Verdict::GoesOn);
        assert_eq!(idle(1, 0, 1), Verdict::Quiet);
        assert_eq!(board.woken(0).expect("well"), Verdict::Quiet);
        board.fail();
        assert!(board.woken(0).is_err() && board.meet().is_err());
    }
}
