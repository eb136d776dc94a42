//! What an account asks of the directory in which its host's users live, and what it hears. Refuses to know LDAP: an
//! entry is a vCard here.

use std::sync::Arc;

use super::groups::Groups;

/// A question about somebody. It is asked beside the mailbox, which goes on: whoever asks hears later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryAsk {
    pub host: Arc<str>,
    /// Prepared.
    pub localpart: Arc<str>,
    pub wish: DirectoryWish,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DirectoryWish {
    /// The vCard that the entry is.
    Card,
    /// What the groups of the host say, once that is known.
    Groups,
    /// That the entry becomes what this vCard says, an element in normal form.
    Change(Arc<str>),
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DirectoryAnswer {
    /// To `Card`: what is inside the vCard, in normal form; none if there is nobody, or nothing to say.
    Card(Option<Arc<str>>),
    /// To `Groups`.
    Groups(Arc<Groups>),
    /// To `Change`: the entry says so now, or said so before.
    Changed,
    /// To `Change`: it would change what users may not change.
    Fixed,
    /// To `Change`: the directory has other rules for these values, or they are too large.
    Unfit,
    /// To `Change`: the directory does not let us.
    Denied,
    /// It could not be asked.
    Unavailable,
}
