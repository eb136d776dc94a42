//! Carries out what shards ask of their shell: the store, the accounts, closing, handing over.

use stonechat::actor::directory::DirectoryAnswer;
use stonechat::actor::rows::Fence;
use stonechat::actor::{Answer, Ticket};
use stonechat::base::WorkerId;
use stonechat::shard::{Ask, Input, Output};
use stonechat::store::Request;

use super::{ConnId, World};

impl World {
    /// Something left a shard.
    pub(super) fn note(&mut self, what: std::fmt::Arguments<'_>) {
        let mut hash = Trace(self.trace ^ self.now.mono_ms);
        std::fmt::Write::write_fmt(&mut hash, what).expect("hashing does not fail");
        self.trace = hash.0;
    }

    /// Carries out what a shard wants.
    pub(super) fn outputs(&mut self, worker: usize) {
        while let Some(output) = self.workers[worker].shard.poll_output() {
            match &output {
                Output::HandOver(to, key, _) => {
                    self.note(format_args!("{worker} {to:?} {key:?}"));
                }
                output => self.note(format_args!("{worker} {output:?}")),
            }
            match output {
                Output::Flush(key) => {
                    if let Some(at) = self.conn_at(worker, key) {
                        self.conns[at].dirty = true;
                    }
                }
                Output::StartTls(key) => {
                    if let Some(at) = self.conn_at(worker, key) {
                        self.flush(at);
                        let conn = &mut self.conns[at];
                        conn.unread.clear();
                        conn.upstream.clear();
                        conn.securing = true;
                        conn.waits = false;
                    }
                }
                // The world's bytes go as they are: codecs are the shell's.
                Output::Compress(key, _) => {
                    if let Some(at) = self.conn_at(worker, key) {
                        self.flush(at);
                        let conn = &mut self.conns[at];
                        conn.unread.clear();
                        conn.upstream.clear();
                        conn.waits = false;
                        let input = Input::Compressed(key);
                        self.workers[worker].shard.handle(self.now, input);
                    }
                }
                Output::Resume(key) => {
                    if let Some(at) = self.conn_at(worker, key) {
                        self.conns[at].waits = false;
                        self.offer(at);
                    }
                }
                Output::Close(key) => {
                    if let Some(at) = self.conn_at(worker, key) {
                        self.close(at);
                    }
                }
                Output::HandOver(to, key, state) => {
                    if let Some(at) = self.conn_at(worker, key) {
                        self.conns[at].key = None;
                        self.workers[to.index()]
                            .arrivals
                            .push_back((ConnId(at), state));
                    }
                }
                Output::Ask(ticket, ask) => self.ask(worker, ticket, ask),
                Output::Audit(event) => self.audit.push(event),
                Output::Proved(_) | Output::Wipe => {}
            }
        }
    }

    pub(super) fn ask(&mut self, worker: usize, ticket: Ticket, ask: Ask) {
        // Answered behind the commit of what this worker saved before.
        let is_fenced = matches!(
            ask,
            Ask::Row {
                fence: Fence::AfterSaves,
                ..
            } | Ask::Range {
                fence: Fence::AfterSaves,
                ..
            } | Ask::Joined {
                fence: Fence::AfterSaves,
                ..
            } | Ask::Pick {
                fence: Fence::AfterSaves,
                ..
            }
        );
        let request = match ask {
            Ask::Row { table, key, .. } => Request::Row { table, key },
            Ask::Range { table, range, .. } => Request::Range { table, range },
            Ask::Joined {
                table, range, join, ..
            } => Request::Joined { table, range, join },
            Ask::Pick { table, pick, .. } => Request::Pick { table, pick },
            Ask::Drop { table, before } => Request::Drop { table, before },
            Ask::Save { writes, chain } => {
                let worker = &mut self.workers[worker];
                let answer = match worker.chains.refuse(chain) {
                    Some(error) => Answer::Failed(error),
                    None => self.store.lock().apply(Request::Save(writes)),
                };
                if let Answer::Failed(error) = answer {
                    worker.chains.tried(chain, Err(error));
                }
                return worker.unsynced.push_back((ticket, answer));
            }
            // No host of the simulator has one.
            Ask::Directory(_) => {
                let answer = Answer::Directory(DirectoryAnswer::Unavailable);
                return self.workers[worker].answers.push((ticket, answer));
            }
            Ask::Auth(ask) => {
                let (answer, at_ms) = self.accounts.answer(ask, self.now);
                let answer = Answer::Auth(answer);
                if at_ms > self.now.mono_ms {
                    self.held_back
                        .push((at_ms, WorkerId(worker as u8), ticket, answer));
                } else {
                    self.workers[worker].answers.push((ticket, answer));
                }
                return;
            }
        };
        let answer = self.store.lock().apply(request);
        self.reads.questions += 1;
        self.reads.rows += match &answer {
            Answer::Row(row) => usize::from(row.is_some()),
            Answer::Range { rows, .. } => rows.len(),
            _ => 0,
        };
        let worker = &mut self.workers[worker];
        if is_fenced && !worker.unsynced.is_empty() {
            worker.unsynced.push_back((ticket, answer));
        } else {
            worker.answers.push((ticket, answer));
        }
    }
}

/// FNV-1a over what is written into it.
struct Trace(u64);

impl std::fmt::Write for Trace {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Ok(())
    }
}
