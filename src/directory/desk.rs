//! What the directory asks of whoever keeps the accounts: their numbers and their rows stay in the server's store.
//! Refuses to know how.

use std::sync::Arc;

use crate::actor::Ticket;
use crate::actor::audit::AuditEvent;
use crate::actor::auth::{AccountRef, AuthAsk, KeyShape, ScramHash, ScramKeys};
use crate::actor::groups::Groups;
use crate::actor::rows::{RowKey, StoreError};
use crate::base::{AccountId, AddressPrefix, Secret, WorkerId};
use crate::im::seen::{Leaver, Met, Parting, PasswordStamp, Sight};

/// The functions; each may block on the store.
pub struct Desk {
    /// The account of somebody whom the directory knows, made if there is none; with the host, the name, what no other
    /// entry has and what the entry says of its password.
    pub admit: AdmitAccount,
    /// Keys that no password matches, always the same ones for a name.
    pub decoy: MakeDecoy,
    /// Keys in the directory of a host look like this: decoys shall, too.
    pub note_shape: NoteShape,
    /// Keys of a prepared password, to be written into the directory.
    pub new_keys: MakeKeys,
    /// The row of an account that exists.
    pub row: ReadRow,
    /// Counts a change of a password; whether it may be made now.
    pub may_change: Box<dyn Fn(AccountId, Option<AddressPrefix>) -> bool + Send + Sync>,
    /// An entry was found for a name: what was made under another password of its account ends.
    pub meet: MeetAccount,
    /// What it would come to if somebody was let go.
    pub parting: PartAccount,
    /// The entry of an account is gone; what that comes to.
    pub let_go: PartAccount,
    /// The user has changed the password: tokens that were made under the old one end. None if the account is gone or
    /// closed. With what the entry says of the new one, if that is known.
    pub renew: RenewAccount,
    /// Accounts of a host with their names, those behind one, in order and not all at once.
    pub accounts: ListAccounts,
    /// Ends the sessions of an account, by its host and name; with what the account is now, those that have proved what it was
    /// before.
    pub end: EndSessions,
    /// A password as SASL means it; none if no password can be this.
    pub prepare: fn(&Secret) -> Option<Secret>,
    /// Writes down for the auditor.
    pub audit: Box<dyn Fn(AuditEvent) + Send + Sync>,
    /// What the groups of a host mean from now on; none if nothing any more.
    pub publish: PublishGroups,
    /// Everything else that is asked, and is not the directory's.
    pub pass_on: Box<dyn Fn(WorkerId, Ticket, AuthAsk) + Send + Sync>,
}

/// See [`Desk::admit`].
pub type AdmitAccount = Box<
    dyn Fn(&str, &str, Option<&[u8]>, PasswordStamp) -> Result<Admission, StoreError> + Send + Sync,
>;
/// See [`Desk::parting`] and [`Desk::let_go`].
pub type PartAccount =
    Box<dyn Fn(&str, &str, &Leaver<'_>) -> Result<Parting, StoreError> + Send + Sync>;
/// See [`Desk::meet`].
pub type MeetAccount = Box<dyn Fn(&str, &str, &Sight<'_>) -> Result<Met, StoreError> + Send + Sync>;
/// See [`Desk::decoy`].
pub type MakeDecoy =
    Box<dyn Fn(&str, &str, ScramHash) -> Result<ScramKeys, StoreError> + Send + Sync>;
/// See [`Desk::note_shape`].
pub type NoteShape = Box<dyn Fn(&str, KeyShape) -> Result<(), StoreError> + Send + Sync>;
/// See [`Desk::new_keys`].
pub type MakeKeys = Box<dyn Fn(&Secret, KeyShape) -> ScramKeys + Send + Sync>;
/// See [`Desk::end`].
pub type EndSessions = Box<dyn Fn(&str, &str, Option<AccountRef>) + Send + Sync>;
/// See [`Desk::accounts`].
pub type ListAccounts =
    Box<dyn Fn(&str, Option<&str>) -> Result<Vec<(String, AccountId)>, StoreError> + Send + Sync>;
/// See [`Desk::publish`].
pub type PublishGroups = Box<dyn Fn(&Arc<str>, Option<Arc<Groups>>) + Send + Sync>;
/// See [`Desk::row`].
pub type ReadRow = Box<dyn Fn(&RowKey) -> Result<Option<Vec<u8>>, StoreError> + Send + Sync>;
/// See [`Desk::renew`].
pub type RenewAccount = Box<
    dyn Fn(&str, &str, AccountId, Option<PasswordStamp>) -> Result<Option<AccountRef>, StoreError>
        + Send
        + Sync,
>;

/// What becomes of somebody whom the directory knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// The name was somebody else's, whose account is still here.
    AnotherEntry,
    /// The operator of this server has closed the account.
    Closed,
    In(AccountRef),
}
