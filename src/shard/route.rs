//! Where everything lives: which domains are served, and which worker is a bare JID's home.

use crate::actor::{Envelope, Origin, Tell};
use crate::base::{HashSeed, Now, Partition, WorkerId};
use crate::im::outgoing;
use crate::jid::Jid;
use crate::stanza::{Condition, Kind, Stanza, StanzaError, Type, reply_error};

use super::Shard;
use super::cell::Mail;

/// The partition table. Every worker holds the same one.
#[derive(Clone)]
pub struct Routes {
    seed: HashSeed,
    worker_count: u16,
    homes: Box<[WorkerId]>,
}

impl Routes {
    /// Partitions dealt to the workers in turn; `seed` is the secret that is kept in the data directory, so that
    /// nobody can choose names that load one worker.
    pub fn new(seed: HashSeed, worker_count: u8) -> Routes {
        let count = u16::from(worker_count.max(1));
        // The remainder is below a u8's count and so fits.
        let homes = (0..Partition::COUNT).map(|partition| WorkerId((partition % count) as u8));
        Routes {
            seed,
            worker_count: count,
            homes: homes.collect(),
        }
    }

    /// The worker on which the account of this address lives, whatever the resource.
    pub fn home(&self, jid: &Jid) -> WorkerId {
        self.home_of(jid.bare_str())
    }

    /// The same of the text of a bare address.
    pub fn home_of(&self, bare: &str) -> WorkerId {
        if self.worker_count == 1 {
            return WorkerId(0);
        }
        self.homes[Partition::of_hash(self.seed.hash_str(bare)).index()]
    }
}

impl Shard {
    pub(super) fn send(&mut self, to: WorkerId, envelope: Envelope) {
        self.outboxes.push(to, envelope);
        self.count_outboxes();
    }

    /// Brings an envelope to the home of its address, behind what its account said to many.
    pub(super) fn route(&mut self, now: Now, envelope: Envelope) {
        if let Some(envelope) = self.behind_spread(now, envelope) {
            self.carry(now, envelope);
        }
    }

    /// Brings an envelope to the home of its address at once.
    pub(super) fn carry(&mut self, now: Now, envelope: Envelope) {
        match envelope {
            Envelope::Settled(origin) if origin.worker == self.place.worker => {
                self.settled(now, origin);
            }
            Envelope::Settled(origin) => {
                self.send(origin.worker, Envelope::Settled(origin));
            }
            Envelope::Told { home, tell } if home == self.place.worker => {
                self.unsave(outgoing::delete(tell.account, tell.number));
            }
            Envelope::Told { home, tell } => {
                self.send(home, Envelope::Told { home, tell });
            }
            Envelope::Group { stanza, to } => self.spread(now, stanza, to),
            Envelope::Retell { stanza, tell } => self.retell(now, stanza, tell),
            Envelope::Empty {
                owner,
                account,
                until,
            } => self.empty(now, owner, account, until),
            Envelope::Tell { stanza, tell } => {
                if let Err(stanza) = self.bring(now, stanza, Due::Told(tell)) {
                    let from = stanza.header.from.clone();
                    self.turn_away(now, &stanza);
                    if let Some(from) = from {
                        self.confirm(now, (from, tell));
                    }
                }
            }
            Envelope::Stanza { stanza, settle } => {
                if let Err(stanza) = self.bring(now, stanza, Due::Settled(settle)) {
                    self.turn_away(now, &stanza);
                    if let Some(origin) = settle {
                        self.route(now, Envelope::Settled(origin));
                    }
                }
            }
        }
    }

    /// To the account to which a stanza is addressed, here or on its worker. Gives it back when there is no such
    /// thing.
    fn bring(&mut self, now: Now, stanza: Stanza, due: Due) -> Result<(), Stanza> {
        let Some(to) = stanza.header.to.clone() else {
            debug_assert!(false, "the pipelines address every stanza");
            return Ok(());
        };
        if to.localpart().is_none() || self.config.host(to.domainpart()).is_none() {
            return Err(stanza);
        }
        let home = self.routes.home(&to);
        log::trace!(
            "stanza_routed trace={} kind={} to-worker={}",
            stanza.header.trace,
            stanza.header.kind.name(),
            home.0
        );
        if home != self.place.worker {
            let envelope = match due {
                Due::Settled(settle) => Envelope::Stanza { stanza, settle },
                Due::Told(tell) => Envelope::Tell { stanza, tell },
            };
            self.send(home, envelope);
            return Ok(());
        }
        let (mut settle, tell) = match due {
            Due::Settled(settle) => (settle, None),
            Due::Told(tell) => (None, Some(tell)),
        };
        // A request is answered by this process or by nobody: it promises nothing that a disk would keep. Were it
        // settled behind its turn, who waits for a slow disk would be told twice what became of it.
        if stanza.header.kind == Kind::Iq
            && let Some(origin) = settle.take()
        {
            self.route(now, Envelope::Settled(origin));
        }
        let mail = Mail::Inbound {
            stanza,
            settle,
            tell,
        };
        self.post(now, &to, mail);
        Ok(())
    }

    /// There is no way to its address.
    fn turn_away(&mut self, now: Now, stanza: &Stanza) {
        let to = stanza.header.to.as_ref();
        let served = to.is_some_and(|to| self.config.host(to.domainpart()).is_some());
        let error = if !served {
            // RFC 6120 section 10.4: no stream to other servers can be made.
            StanzaError::new(
                Condition::RemoteServerNotFound,
                "This server has no federation",
            )
        } else {
            StanzaError::new(Condition::ServiceUnavailable, "")
        };
        // RFC 6121 section 8.3: presence to the server itself is nobody's business. Section 4.3: a probe is never
        // "the sole cause for returning a stanza or stream error".
        let is_silent =
            stanza.header.kind == Kind::Presence && (served || stanza.header.type_ == Type::Probe);
        if !is_silent && let Some(reply) = reply_error(stanza, &error) {
            self.route(
                now,
                Envelope::Stanza {
                    stanza: reply,
                    settle: None,
                },
            );
        }
    }

    /// The account that told hears that its tell is done with.
    pub(super) fn confirm(&mut self, now: Now, (teller, tell): (Jid, Tell)) {
        let home = self.routes.home(&teller);
        self.route(now, Envelope::Told { home, tell });
    }
}

/// Who waits for the fate of a stanza.
enum Due {
    Settled(Option<Origin>),
    Told(Tell),
}
