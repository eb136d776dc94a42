//! One run of a handler: what it sees, and how it stops short. A run reads what it needs; a row that is
//! not in memory is an error value that `?` carries out, and the engine fetches it and runs again.

use super::auth::{AccountAnswer, AccountAsk};
use super::directory::{DirectoryAnswer, DirectoryAsk};
use super::effects::Effects;
use super::feature::Catalog;
use super::rows::{Pick, Row, RowKey, RowRange, Table};
use crate::base::{Now, Rng, Seal, Sequence, SessionId};
use crate::config::{Config, HostConfig};
use crate::stanza::{Iq, StanzaError};

/// Something with an address, a mailbox and state of its own: an account, later a room.
pub trait Actor: 'static {
    /// A change of its state, as a value; applied after the last stage, and after the commit where one
    /// is waited for.
    type Change;

    /// How far a request came that is answered in steps ([`Turn::aside`]).
    type Progress: Default;
}

/// What a handler sees. It cannot change the actor; it can only say what shall be done.
pub struct Turn<'a, A: Actor> {
    pub now: Now,
    pub config: &'a Config,
    /// The served domain to which the actor belongs.
    pub host: &'a HostConfig,
    pub catalog: &'a Catalog<A>,
    pub actor: &'a A,
    pub rng: &'a mut Rng,
    /// Numbers for rows that must sort by time.
    pub sequence: &'a mut Sequence,
    /// What clients are shown of such numbers is sealed.
    pub seal: &'a Seal,
    pub out: &'a mut Effects<A>,
    /// Rows fetched for this turn so far.
    pub loaded: &'a [Loaded],
    /// The session of the actor that sent the stanza in hand; none when it came from elsewhere.
    pub asker: Option<SessionId>,
    /// Whether something can be stored, as far as is known.
    pub disk: Disk,
    /// Set when the request in hand has left the mailbox.
    pub aside: Option<Aside<'a, A>>,
}

/// Whether the disk has room, as far as the last save knew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Disk {
    #[default]
    Roomy,
    Full,
}

/// A request that left the mailbox because it only reads (DESIGN section 6), and is answered in steps.
pub struct Aside<'a, A: Actor> {
    /// How far earlier steps came; the default in the first.
    pub progress: &'a A::Progress,
    /// Stanzas that this step may deliver to the one who asked: as many as their stream has room for, at least 1.
    pub room: usize,
}

impl<'a, A: Actor> Turn<'a, A> {
    /// The row's value, if there is a row.
    ///
    /// # Errors
    /// [`Stop::Need`] when it has not been fetched for this turn yet.
    pub fn load(&self, table: &'static Table, key: &RowKey) -> Result<Option<&'a [u8]>, Stop> {
        let found = self.loaded.iter().find_map(|loaded| match loaded {
            Loaded::Row {
                table: of,
                key: at,
                value,
            } if of.name == table.name && at == key => Some(value.as_deref()),
            _ => None,
        });
        found.ok_or_else(|| Stop::Need(Need::Row(table, key.clone())))
    }

    /// Has something done to the account by whoever keeps the credentials; what came of it. To be asked last: what
    /// was done stays done, whatever becomes of the turn.
    ///
    /// # Errors
    /// [`Stop::Need`] until it was done.
    pub fn ask_account(&self, ask: &AccountAsk) -> Result<AccountAnswer, Stop> {
        let found = self.loaded.iter().find_map(|loaded| match loaded {
            Loaded::Account { ask: asked, answer } if **asked == *ask => Some(answer.clone()),
            _ => None,
        });
        found.ok_or_else(|| Stop::Need(Need::Account(Box::new(ask.clone()))))
    }

    /// What the directory of the host says. What waits for that leaves the mailbox meanwhile, and its turn begins anew.
    ///
    /// # Errors
    /// [`Stop::Need`] until it has answered.
    pub fn ask_directory(&self, ask: &DirectoryAsk) -> Result<&'a DirectoryAnswer, Stop> {
        let found = self.loaded.iter().find_map(|loaded| match loaded {
            Loaded::Directory { ask: asked, answer } if **asked == *ask => Some(answer),
            _ => None,
        });
        found.ok_or_else(|| Stop::Need(Need::Directory(Box::new(ask.clone()))))
    }

    /// How far this request came, and how much this step may deliver. A step ends with
    /// [`Effects::go_on`](super::Effects::go_on), or with the answer.
    ///
    /// # Errors
    /// [`Stop::Aside`] while it is still in the mailbox: it leaves, and the handler runs again.
    pub fn aside(&self) -> Result<Aside<'a, A>, Stop> {
        let aside = self.aside.as_ref().ok_or(Stop::Aside)?;
        Ok(Aside {
            progress: aside.progress,
            room: aside.room,
        })
    }

    /// The chosen rows, and whether there are more than one answer holds.
    ///
    /// # Errors
    /// [`Stop::Need`] when they have not been fetched for this turn yet.
    pub fn load_pick(&self, table: &'static Table, pick: &Pick) -> Result<(&'a [Row], bool), Stop> {
        let found = self.loaded.iter().find_map(|loaded| match loaded {
            Loaded::Pick {
                table: of,
                pick: at,
                rows,
                more,
            } if of.name == table.name && at == pick => Some((&rows[..], *more)),
            _ => None,
        });
        found.ok_or_else(|| Stop::Need(Need::Pick(table, pick.clone())))
    }

    /// The rows of a range, and whether more follow behind them.
    ///
    /// # Errors
    /// [`Stop::Need`] when they have not been fetched for this turn yet.
    pub fn load_range(
        &self,
        table: &'static Table,
        range: &RowRange,
    ) -> Result<(&'a [Row], bool), Stop> {
        let found = self.loaded.iter().find_map(|loaded| match loaded {
            Loaded::Range {
                table: of,
                range: at,
                rows,
                more,
            } if of.name == table.name && at == range => Some((&rows[..], *more)),
            _ => None,
        });
        found.ok_or_else(|| Stop::Need(Need::Range(table, range.clone())))
    }
}

/// Answers an IQ request, or stops short.
pub type Handler<A> = fn(&mut Turn<'_, A>, Iq<'_>) -> Outcome;

/// How a handler or stage ends.
pub type Outcome = Result<(), Stop>;

/// Why a run stopped before its end. Its effects are dropped, except those of [`Stop::Done`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// State of this actor is not in memory: fetch it and run again.
    Need(Need),
    /// The stanza's sender is told this.
    Reject(StanzaError),
    /// The request only reads: it leaves the mailbox, which goes on, and runs again beside it ([`Turn::aside`]).
    Aside,
    /// Nothing more happens to the stanza. It is no failure: what the run caused so far stands.
    Done,
}

impl From<StanzaError> for Stop {
    fn from(error: StanzaError) -> Stop {
        Stop::Reject(error)
    }
}

/// State of the actor that a run needs.
#[derive(Clone, Debug)]
pub enum Need {
    Row(&'static Table, RowKey),
    Range(&'static Table, RowRange),
    Pick(&'static Table, Pick),
    /// No row: something that only the keeper of the credentials can do.
    Account(Box<AccountAsk>),
    /// No row, nor the account's own: what a directory says.
    Directory(Box<DirectoryAsk>),
}

impl PartialEq for Need {
    fn eq(&self, other: &Need) -> bool {
        match (self, other) {
            (Need::Row(table, key), Need::Row(of, at)) => table.name == of.name && key == at,
            (Need::Range(table, range), Need::Range(of, at)) => {
                table.name == of.name && range == at
            }
            (Need::Pick(table, pick), Need::Pick(of, at)) => table.name == of.name && pick == at,
            (Need::Account(ask), Need::Account(other)) => ask == other,
            (Need::Directory(ask), Need::Directory(other)) => ask == other,
            _ => false,
        }
    }
}

impl Eq for Need {}

/// What was fetched for a need; dropped after the turn.
#[derive(Debug)]
pub enum Loaded {
    Row {
        table: &'static Table,
        key: RowKey,
        value: Option<Vec<u8>>,
    },
    Range {
        table: &'static Table,
        range: RowRange,
        rows: Vec<Row>,
        more: bool,
    },
    Pick {
        table: &'static Table,
        pick: Pick,
        rows: Vec<Row>,
        more: bool,
    },
    Account {
        ask: Box<AccountAsk>,
        answer: AccountAnswer,
    },
    Directory {
        ask: Box<DirectoryAsk>,
        answer: DirectoryAnswer,
    },
}
