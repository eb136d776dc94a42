//! The end: by order, with every client told and everything saved, or by a panic. Refuses to lose what was
//! acknowledged.

use std::process::{self, ExitCode};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::bounded;

use crate::audit::{Audit, Stopped};
use crate::base::limits;
use crate::shard::Control;
use crate::store::Store;
use crate::worker::{Intake, Order, Settled};

use super::admin::Admin;
use super::doorman::Employed;
use super::running::Running;

/// Everything that has to be ended.
pub struct House {
    pub doorman: Employed,
    pub workers: Vec<JoinHandle<()>>,
    pub admin: Admin,
    pub audit_sink: Option<JoinHandle<()>>,
    pub intake: Arc<Intake>,
    pub running: Arc<Running>,
}

impl House {
    /// Stops accepting, tells clients, waits until they are gone or `server.drain_timeout` is over, and
    /// makes durable what was saved.
    pub fn drain(self) -> ExitCode {
        let running = self.running;
        self.intake.close();
        self.doorman.dismiss();
        running.stopping.store(true, Ordering::Release);
        running.order_all(|| Order::Control(Control::Drain));
        let patience = running.current.lock().server.drain_timeout.as_ms();
        wait_until_empty(&running, Duration::from_millis(patience));
        wait_until_settled(&running, Duration::from_millis(limits::SETTLE_ON_STOP_MS));
        running.order_all(|| Order::Stop);
        let mut outcome = ExitCode::SUCCESS;
        for worker in self.workers {
            if worker.join().is_err() {
                outcome = ExitCode::FAILURE;
            }
        }
        drop(self.admin);
        // Answered when all that was saved before is durable.
        if let Err(error) = running.store.save_now(Vec::new()) {
            log::error!("store_flush_failed error=\"{error}\"");
            outcome = ExitCode::FAILURE;
        }
        if running.audit.stop() == Stopped::Incomplete {
            outcome = ExitCode::FAILURE;
        }
        // One that has not ended by now hangs in a system call, which is no reason to hang with it.
        let sink = self.audit_sink.filter(JoinHandle::is_finished);
        if sink.is_some_and(|sink| sink.join().is_err()) {
            outcome = ExitCode::FAILURE;
        }
        log::info!("stopped");
        outcome
    }
}

fn wait_until_empty(running: &Running, patience: Duration) {
    let begun = Instant::now();
    while running.door.total() > 0 {
        if begun.elapsed() >= patience {
            log::warn!("drain_incomplete connections={}", running.door.total());
            return;
        }
        thread::sleep(DRAIN_LOOK);
    }
}

/// Sessions that are over leave messages, which are kept by turns that ask the store, and may go to other
/// workers: nobody stops before all have nothing left to do.
fn wait_until_settled(running: &Running, patience: Duration) {
    let begun = Instant::now();
    let mut before: Option<Vec<u64>> = None;
    loop {
        let now = ask_settled(running, begun + patience);
        // Twice, with no batch sent or received between: the first time, one that was asked early may have got
        // work from one that was asked late.
        if now.is_some() && now == before {
            return;
        }
        before = now;
        if begun.elapsed() >= patience {
            log::error!("stop_incomplete reason=\"the store does not answer\"");
            return;
        }
        thread::sleep(DRAIN_LOOK);
    }
}

/// What each worker has exchanged with the others; none if one of them has something to do.
fn ask_settled(running: &Running, until: Instant) -> Option<Vec<u64>> {
    let (answer, answers) = bounded(running.addresses.len());
    running.order_all(|| Order::AreYouSettled(answer.clone()));
    let mut exchanged = vec![0; running.addresses.len()];
    for _ in &running.addresses {
        match answers.recv_deadline(until).ok()? {
            (worker, Settled::Idle { batches }) => exchanged[worker.index()] = batches,
            (_, Settled::Busy) => return None,
        }
    }
    Some(exchanged)
}

/// What the panic of a worker, of an auth thread or of the doorman does. A server that lost a worker would be a
/// black hole for its partitions, and without the others nobody could log in: the process ends after what was
/// saved is durable. Its supervisor starts it again.
pub fn end_by_panic(store: &Store, audit: &Audit) -> ! {
    if let Err(error) = store.save_now(Vec::new()) {
        log::error!("store_flush_failed error=\"{error}\"");
    }
    audit.stop();
    process::exit(EXIT_SOFTWARE);
}

/// EX_SOFTWARE of sysexits.h.
const EXIT_SOFTWARE: i32 = 70;
/// How often a stopping server looks whether everybody is gone.
const DRAIN_LOOK: Duration = Duration::from_millis(10);
