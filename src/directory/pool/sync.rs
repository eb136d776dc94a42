//! A search that goes on (RFC 4533): the server says what there is, and from then on what becomes of it. Refuses to know
//! what is done with that.

use std::time::{Duration, Instant};

use ldap3::controls::{RawControl, RefreshMode, SyncRequest};
use ldap3::{LdapConn, LdapError, ResultEntry};

use super::search::begin;
use super::{BUSY, Failure, Link, Query, UNAVAILABLE, failure, guarded, refused};
use crate::base::limits;
use crate::directory::ber::Entry;
use crate::directory::content::{Change, Content, Manner};
use crate::directory::dn::Dn;
use crate::directory::error::DirectoryError;
use crate::directory::sync::{self, EntryState, SyncMessage, SyncWord};

/// Why nothing more is heard for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listened {
    /// The server has ended it.
    Ended,
    /// It has entries of which it told nothing: it is to tell of everything anew.
    Lacking,
    /// Nothing has happened for [`limits::DIRECTORY_LISTEN_MS`]. The server may as well be gone: ask again.
    Quiet,
    /// Nobody wants to know any more.
    Stopped,
}

impl Link {
    /// Whether the server can tell of changes: RFC 4533 section 2, "SHOULD publish 1.3.6.1.4.1.4203.1.9.1.1 as a value of
    /// the 'supportedControl' attribute".
    ///
    /// # Errors
    /// As [`Link::search`].
    pub fn offers_sync(&mut self) -> Result<bool, DirectoryError> {
        let until = Instant::now() + self.access.connect_timeout + self.access.operation_timeout;
        self.offers("supportedControl", SYNC_REQUEST, until)
    }

    /// Listens to what becomes of a content, from the state on that we have of it. Blocks for as long as something
    /// comes; `is_stopped` is asked each time.
    ///
    /// # Errors
    /// As [`Link::search`].
    pub fn listen(
        &mut self,
        query: &Query,
        content: &mut Content,
        is_stopped: &dyn Fn() -> bool,
        tell: &mut dyn FnMut(Change<'_>),
    ) -> Result<Listened, DirectoryError> {
        let mut kept = self.take_connection(Instant::now() + self.patience(), &[])?;
        let connection = &mut kept.connection;
        // A panic of who is told is none of the server's answer: it goes on to whoever began to listen.
        match listen(connection, query, content, is_stopped, tell) {
            Ok(Listened::Quiet) => {
                self.note_work(&mut kept);
                self.kept = Some(kept);
                Ok(Listened::Quiet)
            }
            // What still comes on the connection would be an answer to nothing.
            Ok(listened) => {
                self.note_work(&mut kept);
                Ok(listened)
            }
            Err(Failure::Answer(error)) => {
                self.note_work(&mut kept);
                Err(error)
            }
            // That it does not tell is no reason not to ask it: logins go on.
            Err(Failure::Connection(reason)) => {
                self.put_back(&kept);
                Err(DirectoryError::NoServer(reason))
            }
            Err(Failure::Late | Failure::Silence(_)) => {
                self.put_back(&kept);
                Err(DirectoryError::Late)
            }
        }
    }
}

fn listen(
    connection: &mut LdapConn,
    query: &Query,
    content: &mut Content,
    is_stopped: &dyn Fn() -> bool,
    tell: &mut dyn FnMut(Change<'_>),
) -> Result<Listened, Failure> {
    let request = SyncRequest {
        mode: RefreshMode::RefreshAndPersist,
        cookie: content.cookie().map(<[u8]>::to_vec),
        reload_hint: false,
    };
    // Without it a server that does not know the control answers as to any search.
    let control = RawControl {
        crit: true,
        ..RawControl::from(request)
    };
    let base = Dn::parse(&query.base);
    let patience = Duration::from_millis(limits::DIRECTORY_LISTEN_MS);
    let mut stream = guarded(|| begin(connection.with_controls(control), query, patience))?;
    content.begin(tell);
    loop {
        let item = match guarded(|| Ok(stream.next()))? {
            Ok(Some(item)) => item,
            Ok(None) => break,
            Err(LdapError::Timeout { .. }) if content.is_up_to_date() => {
                let id = stream.last_id();
                drop(stream);
                guarded(|| connection.abandon(id).map_err(failure))?;
                return Ok(Listened::Quiet);
            }
            Err(error) => return Err(failure(error)),
        };
        if is_stopped() {
            return Ok(Listened::Stopped);
        }
        let message = guarded(|| message(item, base.as_ref()).map_err(Failure::Answer))?;
        if let Some(message) = message {
            // Not before: one that only refuses to tell takes nothing from who looks instead.
            content.comes_by(Manner::Told);
            content.hear(message, tell).map_err(Failure::Answer)?;
            if content.lacks() && content.cookie().is_none() {
                return Ok(Listened::Lacking);
            }
        }
    }
    let result = guarded(|| Ok(stream.result()))?;
    match result.rc {
        0 => {
            if let Some(value) = value_of(&result.ctrls, SYNC_DONE) {
                let message = sync::done(value).map_err(Failure::Answer)?;
                content.comes_by(Manner::Told);
                content.hear(message, tell).map_err(Failure::Answer)?;
            }
            Ok(Listened::Ended)
        }
        // Section 2.6: the server does not know any more what it told us up to that cookie.
        SYNC_REFRESH_REQUIRED => {
            content.forget_cookie();
            Ok(Listened::Ended)
        }
        // One that stops, or has too much to do, says nothing of the cookie.
        BUSY | UNAVAILABLE => Err(refused(result)),
        // Whatever it does not like, the cookie may be it: OpenLDAP has one that is newer than all it has kept where it died behind
        // a change.
        _ if content.cookie().is_some() => {
            content.forget_cookie();
            Ok(Listened::Ended)
        }
        _ => Err(refused(result)),
    }
}

/// What an item says; none if it is nothing to us.
fn message(item: ResultEntry, base: Option<&Dn>) -> Result<Option<SyncMessage>, DirectoryError> {
    // Parts of the tree that are elsewhere are not followed.
    if item.is_ref() {
        return Ok(None);
    }
    if item.is_intermediate() {
        return sync::info(item.0);
    }
    // Section 2: "each with a Sync State Control".
    let state = value_of(&item.1, SYNC_STATE).ok_or(DirectoryError::Garbled)?;
    let message = sync::entry(Entry::read(item.0)?, state)?;
    let is_elsewhere = match &message.word {
        SyncWord::Entry {
            state: EntryState::Is,
            entry,
            ..
        } => !base.is_some_and(|base| entry.is_within(base)),
        _ => false,
    };
    Ok((!is_elsewhere).then_some(message))
}

fn value_of<'a>(controls: &'a [ldap3::controls::Control], oid: &str) -> Option<&'a [u8]> {
    let mut controls = controls.iter();
    let found = controls.find(|control| control.1.ctype == oid)?;
    found.1.val.as_deref()
}

const SYNC_REQUEST: &str = "1.3.6.1.4.1.4203.1.9.1.1";
const SYNC_STATE: &str = "1.3.6.1.4.1.4203.1.9.1.2";
const SYNC_DONE: &str = "1.3.6.1.4.1.4203.1.9.1.3";
/// e-syncRefreshRequired.
const SYNC_REFRESH_REQUIRED: u32 = 4096;
