//! The end: by order, with every client told and everything saved, or by a panic. Refuses to lose what was
//! acknowledged.

use std::process::{self, ExitCode};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::audit::Audit;
use crate::shard::Control;
use crate::store::Store;
use crate::worker::{Hold, Intake, Order};

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
        self.intake.hold(Hold::Drain);
        self.doorman.dismiss();
        running.order_all(|| Order::Control(Control::Drain));
        let patience = running.current.lock().server.drain_timeout.as_ms();
        wait_until_empty(&running, Duration::from_millis(patience));
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
        running.audit.stop();
        if self.audit_sink.is_some_and(|sink| sink.join().is_err()) {
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

/// What a worker's panic does: a server that lost a worker would be a black hole for its partitions, so
/// the process ends after what was saved is durable. Its supervisor starts it again.
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
