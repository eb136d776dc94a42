//! The thread that writes audit records, and the handle that workers hold. Refuses to block whoever records:
//! what does not fit in the spool is counted, and `audit.when_full` decides whether logins go on.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, select};

use super::journal::{Journal, open};
use super::json;
use crate::actor::audit::AuditEvent;
use crate::base::limits;
use crate::config::WhenFull;

/// Where records go; cloned for each worker.
#[derive(Clone)]
pub struct Audit {
    /// None when no records are kept.
    spool: Option<Sender<Record>>,
    line: Line,
    state: Arc<State>,
}

/// How the thread is told to end, or to open its file anew: beside the spool, which may be full, and heard while a
/// disk refuses.
#[derive(Clone)]
struct Line {
    ask: Sender<()>,
    reopen: Sender<()>,
    /// Disconnected when the thread has ended.
    ended: Receiver<()>,
}

/// The thread's side of [`Line`].
struct Orders {
    asked: Receiver<()>,
    reopen: Receiver<()>,
    /// Held until the thread ends.
    _alive: Sender<()>,
}

/// Whether everything that was handed over is in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    Written,
    /// The log says how much is missing, and why.
    Incomplete,
}

#[derive(Default)]
struct State {
    /// Whether [`Audit::admits`] looks at the spool.
    stop_intake: AtomicBool,
    /// Whether the last write failed.
    failing: AtomicBool,
    /// Records that were left out and not yet reported.
    dropped: AtomicU64,
    /// Records that were given up at the end.
    lost: AtomicU64,
}

struct Record {
    wall_ms: u64,
    event: AuditEvent,
}

impl Audit {
    /// Keeps nothing.
    pub fn none() -> Audit {
        Audit {
            spool: None,
            line: line().0,
            state: Arc::default(),
        }
    }

    /// Appends to the file at `path`, made with mode 0600 if it is missing, and continues its numbers. The
    /// thread ends with [`Audit::stop`].
    ///
    /// # Errors
    /// If the file cannot be opened and read, or there is no thread to be had.
    pub fn open(path: &Path, when_full: WhenFull) -> io::Result<(Audit, JoinHandle<()>)> {
        Audit::with_spool(path, when_full, limits::AUDIT_SPOOL_COUNT_MAX)
    }

    fn with_spool(
        path: &Path,
        when_full: WhenFull,
        count: usize,
    ) -> io::Result<(Audit, JoinHandle<()>)> {
        let (file, sequence) = open(path)?;
        let (sender, receiver) = bounded(count);
        let (line, orders) = line();
        let state = Arc::new(State::default());
        let sink = Sink {
            path: path.to_owned(),
            journal: Journal::new(file),
            sequence,
            state: state.clone(),
        };
        let thread = thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || sink.run(&receiver, &orders))?;
        let audit = Audit {
            spool: Some(sender),
            line,
            state,
        };
        audit.configure(when_full);
        Ok((audit, thread))
    }

    /// Takes the option over after a reload.
    pub fn configure(&self, when_full: WhenFull) {
        self.state
            .stop_intake
            .store(when_full == WhenFull::StopIntake, Ordering::Relaxed);
    }

    /// Hands a record over without waiting; one that does not fit is counted.
    pub fn record(&self, wall_ms: u64, event: AuditEvent) {
        let Some(spool) = &self.spool else { return };
        if spool.try_send(Record { wall_ms, event }).is_err() {
            self.state.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether a new login may be let in. With `stop-intake` it may not while writing fails or the spool is
    /// more than half full: the other half is for those who were let in before.
    pub fn admits(&self) -> bool {
        let Some(spool) = &self.spool else {
            return true;
        };
        let half_full = spool
            .capacity()
            .is_some_and(|capacity| spool.len() > capacity / 2);
        let behind = half_full || self.state.failing.load(Ordering::Relaxed);
        !(behind && self.state.stop_intake.load(Ordering::Relaxed))
    }

    /// Opens the file anew, after it was moved away by whoever rotates logs.
    pub fn reopen(&self) {
        // Full if somebody has asked before and was not heard yet.
        let _ = self.line.reopen.try_send(());
    }

    /// Ends the thread once all records handed over before are written, or the disk has refused them once
    /// more; waits for that, at most [`limits::AUDIT_STOP_MS`].
    pub fn stop(&self) -> Stopped {
        if self.spool.is_none() {
            return Stopped::Written;
        }
        // Full if somebody has asked before.
        let _ = self.line.ask.try_send(());
        let patience = Duration::from_millis(limits::AUDIT_STOP_MS);
        if self.line.ended.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
            log::error!("audit_abandoned reason=\"the disk does not answer\"");
            return Stopped::Incomplete;
        }
        match self.state.lost.load(Ordering::Relaxed) {
            0 => Stopped::Written,
            _ => Stopped::Incomplete,
        }
    }
}

fn line() -> (Line, Orders) {
    let (ask, asked) = bounded(1);
    let (reopen, reopens) = bounded(1);
    let (alive, ended) = bounded(0);
    let orders = Orders {
        asked,
        reopen: reopens,
        _alive: alive,
    };
    let line = Line { ask, reopen, ended };
    (line, orders)
}

struct Sink {
    path: PathBuf,
    journal: Journal,
    /// The number of the last record.
    sequence: u64,
    state: Arc<State>,
}

impl Sink {
    fn run(mut self, spool: &Receiver<Record>, orders: &Orders) {
        loop {
            if self.state.failing.load(Ordering::Relaxed) {
                // What was taken waits here and the rest in the spool.
                select! {
                    recv(orders.asked) -> _ => return self.finish(spool),
                    recv(orders.reopen) -> asked => match asked {
                        // The new file may stand where there is room.
                        Ok(()) => self.reopen(),
                        Err(_) => return self.finish(spool),
                    },
                    default(RETRY) => {}
                }
                self.write();
                continue;
            }
            select! {
                recv(orders.asked) -> _ => return self.finish(spool),
                recv(orders.reopen) -> asked => match asked {
                    Ok(()) => self.reopen(),
                    Err(_) => return self.finish(spool),
                },
                recv(spool) -> first => match first {
                    // Asleep and not at the spool, where each record would wake it, at the worker's cost.
                    Ok(first) => self.gather(first, spool, || thread::sleep(GATHER)),
                    Err(_) => return self.finish(spool),
                },
            }
        }
    }

    /// Writes and syncs a record with those that come while it waits.
    fn gather(&mut self, first: Record, spool: &Receiver<Record>, wait: impl FnOnce()) {
        wait();
        self.take(first, spool);
        self.write();
    }

    /// Takes everything that waits and tries once more; what the disk still refuses is lost, and counted.
    fn finish(mut self, spool: &Receiver<Record>) {
        while let Ok(first) = spool.try_recv() {
            self.take(first, spool);
        }
        self.write();
        let lost = self.journal.missing() + self.state.dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            log::error!(
                "audit_records_lost path={} count={lost}",
                self.path.display()
            );
        }
        self.state.lost.store(lost, Ordering::Relaxed);
    }

    /// Takes what waits, up to a batch.
    fn take(&mut self, first: Record, spool: &Receiver<Record>) {
        let mut next = Some(first);
        let mut count = 0;
        while let Some(Record { wall_ms, event }) = next {
            self.report_dropped(wall_ms);
            self.append(wall_ms, &event);
            count += 1;
            next = if count < BATCH_COUNT {
                spool.try_recv().ok()
            } else {
                None
            };
        }
    }

    fn report_dropped(&mut self, wall_ms: u64) {
        let count = self.state.dropped.swap(0, Ordering::Relaxed);
        if count > 0 {
            log::warn!("audit_records_dropped count={count}");
            self.append(wall_ms, &AuditEvent::RecordsDropped { count });
        }
    }

    fn append(&mut self, wall_ms: u64, event: &AuditEvent) {
        self.sequence += 1;
        json::write_record(self.sequence, wall_ms, event, self.journal.end());
    }

    /// Writes and syncs what was taken; what is not written stays.
    fn write(&mut self) {
        let result = self.journal.write();
        let failed = result.is_err();
        let failed_before = self.state.failing.swap(failed, Ordering::Relaxed);
        match result {
            Err(error) if !failed_before => {
                log::error!(
                    "audit_write_failed path={} error=\"{error}\"",
                    self.path.display()
                );
            }
            Ok(()) if failed_before => {
                log::info!("audit_write_resumed path={}", self.path.display())
            }
            _ => {}
        }
    }

    fn reopen(&mut self) {
        self.write();
        match open(&self.path) {
            Ok((file, _)) => self.journal.go_on_in(file),
            Err(error) => log::error!(
                "audit_reopen_failed path={} error=\"{error}\"",
                self.path.display()
            ),
        }
    }
}

/// How long a record waits for others, so that they are one write and one sync: in a storm of logins each sync would else be for
/// one or two of them.
const GATHER: Duration = Duration::from_millis(5);
/// Records in one write.
const BATCH_COUNT: usize = 1_000;
/// How long a disk that refused is left alone.
const RETRY: Duration = Duration::from_secs(1);

#[cfg(test)]
#[path = "sink_tests.rs"]
mod tests;
