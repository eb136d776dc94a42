//! Refusals that wait for their time, so that nobody learns from it what was wrong. Refuses to delay anything else.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::threads;
use crate::base::limits;

/// An answer that goes out at `due`.
pub struct Waiting<T> {
    pub due: Instant,
    pub answer: T,
}

/// When a refusal goes out that was asked for at `asked`: the next multiple of [`limits::DIRECTORY_REFUSAL_MS`] from
/// then.
pub fn due(asked: Instant, now: Instant) -> Instant {
    let step = limits::DIRECTORY_REFUSAL_MS;
    let taken = now.saturating_duration_since(asked).as_millis();
    let taken = u64::try_from(taken).unwrap_or(u64::MAX - step);
    asked + Duration::from_millis((taken / step + 1) * step)
}

/// Hands over what comes in, each in its time, until nobody can send any more.
pub fn run<T>(incoming: &Receiver<Waiting<T>>, deliver: impl Fn(T)) {
    let mut order = 0_u64;
    let mut times: BinaryHeap<Reverse<(Instant, u64)>> = BinaryHeap::new();
    let mut answers = std::collections::BTreeMap::new();
    loop {
        let received = match times.peek() {
            Some(Reverse((due, _))) => incoming.recv_deadline(*due),
            None => incoming.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match received {
            Ok(Waiting { due, answer }) => {
                times.push(Reverse((due, order)));
                answers.insert(order, answer);
                order += 1;
            }
            Err(RecvTimeoutError::Timeout) => {
                let first = times.pop();
                if let Some(answer) = first.and_then(|Reverse((_, at))| answers.remove(&at)) {
                    let lost = || log::error!("directory_question_panicked of=refusals");
                    threads::or_else(|| deliver(answer), lost);
                }
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fast_and_slow_refusals_come_at_the_same_time() {
        let asked = Instant::now();
        let after = |ms| due(asked, asked + Duration::from_millis(ms)) - asked;
        assert_eq!(after(0), Duration::from_millis(250));
        assert_eq!(after(1), Duration::from_millis(250));
        assert_eq!(after(249), Duration::from_millis(250));
        assert_eq!(after(251), Duration::from_millis(500));
    }

    #[test]
    fn one_that_meets_a_bug_keeps_no_other_from_its_time() {
        let (send, incoming) = crossbeam_channel::unbounded();
        let now = Instant::now();
        for answer in 1..=3 {
            let due = now + Duration::from_millis(answer);
            send.send(Waiting { due, answer }).unwrap();
        }
        let (tell, told) = crossbeam_channel::unbounded();
        let thread = std::thread::spawn(move || {
            run(&incoming, |answer| {
                assert_ne!(answer, 2, "as a bug would have it");
                tell.send(answer).unwrap();
            });
        });
        assert_eq!((told.recv(), told.recv()), (Ok(1), Ok(3)));
        drop(send);
        thread.join().unwrap();
    }

    #[test]
    fn each_is_handed_over_in_its_time() {
        let (send, incoming) = crossbeam_channel::unbounded();
        let now = Instant::now();
        for (ms, answer) in [(20, "second"), (10, "first"), (30, "third")] {
            let due = now + Duration::from_millis(ms);
            send.send(Waiting { due, answer }).unwrap();
        }
        let (tell, told) = crossbeam_channel::unbounded();
        let thread = std::thread::spawn(move || {
            run(&incoming, |answer| tell.send(answer).unwrap());
        });
        for expected in ["first", "second", "third"] {
            assert_eq!(told.recv(), Ok(expected));
        }
        assert!(now.elapsed() >= Duration::from_millis(30));
        drop(send);
        thread.join().unwrap();
    }
}
