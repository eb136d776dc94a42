//! One run of a handler: what it sees, and how it stops short. A run reads what it needs; a row that is
//! not in memory is an error value that `?` carries out, and the engine fetches it and runs again.

use super::effects::Effects;
use super::feature::Catalog;
use super::rows::{Row, RowKey, RowRange, Table};
use crate::base::{Now, Rng, Sequence};
use crate::config::{Config, HostConfig};
use crate::stanza::{Iq, StanzaError};

/// Something with an address, a mailbox and state of its own: an account, later a room.
pub trait Actor: 'static {
    /// A change of its state, as a value; applied after the last stage, and after the commit where one
    /// is waited for.
    type Change;
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
    pub out: &'a mut Effects<A>,
    /// Rows fetched for this turn so far.
    pub loaded: &'a [Loaded],
}

impl<A: Actor> Turn<'_, A> {
    /// The row's value, if there is a row.
    ///
    /// # Errors
    /// [`Stop::Need`] when it has not been fetched for this turn yet.
    pub fn load(&self, table: &'static Table, key: &RowKey) -> Result<Option<&[u8]>, Stop> {
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

    /// The rows of a range, and whether more follow behind them.
    ///
    /// # Errors
    /// [`Stop::Need`] when they have not been fetched for this turn yet.
    pub fn load_range(
        &self,
        table: &'static Table,
        range: &RowRange,
    ) -> Result<(&[Row], bool), Stop> {
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
}

impl PartialEq for Need {
    fn eq(&self, other: &Need) -> bool {
        match (self, other) {
            (Need::Row(table, key), Need::Row(of, at)) => table.name == of.name && key == at,
            (Need::Range(table, range), Need::Range(of, at)) => {
                table.name == of.name && range == at
            }
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
}
