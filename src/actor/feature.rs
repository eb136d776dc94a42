//! A feature as a table of plain data, and the catalogue of those that are switched on.

use super::command::Command;
use super::turn::{Actor, Handler, Stop, Turn};
use crate::stanza::Condition;

/// Everything that is derived from a feature: what it answers, what it announces, what it implements.
pub struct Feature<A: Actor> {
    /// The name of its switch in `[features]` and of its scenarios.
    pub name: &'static str,
    pub specs: &'static [Spec],
    /// What disco#info of the host announces.
    pub host_disco: &'static [&'static str],
    /// What disco#info of an account announces to its owner and those who may ask.
    pub account_disco: &'static [&'static str],
    /// Requests to the served domain, run in the mailbox of whoever asks.
    pub host: &'static [IqRoute<A>],
    /// Requests to an account.
    pub account: &'static [IqRoute<A>],
    /// What people may tell it to do.
    pub commands: &'static [Command<A>],
    /// What an account has of it, as the children that XEP-0227 wants in `<user/>`, in normal form.
    pub portable: Option<Portable<A>>,
}

/// See [`Feature::portable`]; a name of its own because clippy finds the type too complex for a field.
pub type Portable<A> = fn(&mut Turn<'_, A>) -> Result<String, Stop>;

/// A specification and the version that was implemented: the thing to diff against when it changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spec {
    pub number: u16,
    pub version: &'static str,
}

impl Spec {
    /// A XEP.
    pub const fn xep(number: u16, version: &'static str) -> Spec {
        Spec { number, version }
    }
}

/// Which request a handler answers.
pub struct IqRoute<A: Actor> {
    pub verb: Verb,
    pub ns: &'static str,
    pub name: &'static str,
    pub handler: Handler<A>,
    /// Whom an account answers; a host answers everybody.
    pub askers: Askers,
    /// What everybody else hears, whether there is such an account or not (peers.md 7.5 row 39).
    pub refusal: Condition,
}

/// Who may ask something of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Askers {
    /// Its own sessions.
    Owner,
    /// And whoever is subscribed to its presence.
    Subscribers,
    /// Everybody.
    Anyone,
}

/// `get` or `set`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Get,
    Set,
}

impl<A: Actor> IqRoute<A> {
    /// A `get`, for the owner of an account.
    pub const fn get(ns: &'static str, name: &'static str, handler: Handler<A>) -> IqRoute<A> {
        IqRoute {
            verb: Verb::Get,
            ns,
            name,
            handler,
            askers: Askers::Owner,
            refusal: Condition::ServiceUnavailable,
        }
    }

    /// A `set`, for the owner of an account.
    pub const fn set(ns: &'static str, name: &'static str, handler: Handler<A>) -> IqRoute<A> {
        IqRoute {
            verb: Verb::Set,
            ..IqRoute::get(ns, name, handler)
        }
    }

    /// The same for these.
    pub const fn open_to(self, askers: Askers) -> IqRoute<A> {
        IqRoute { askers, ..self }
    }

    /// The same, with this answer for everybody else.
    pub const fn refusing(self, refusal: Condition) -> IqRoute<A> {
        IqRoute { refusal, ..self }
    }
}

/// The features that are switched on.
pub struct Catalog<A: Actor> {
    features: Vec<&'static Feature<A>>,
}

impl<A: Actor> Catalog<A> {
    /// Those of `all` that `enabled` names.
    pub fn new(all: &[&'static Feature<A>], enabled: impl Fn(&str) -> bool) -> Catalog<A> {
        Catalog {
            features: all
                .iter()
                .copied()
                .filter(|feature| enabled(feature.name))
                .collect(),
        }
    }

    /// Whether a feature of this name is switched on.
    pub fn has(&self, name: &str) -> bool {
        self.features.iter().any(|feature| feature.name == name)
    }

    /// In the order of the table.
    pub fn features(&self) -> impl Iterator<Item = &'static Feature<A>> + '_ {
        self.features.iter().copied()
    }

    /// The commands of all features, in their order.
    pub fn commands(&self) -> impl Iterator<Item = &'static Command<A>> + '_ {
        self.features().flat_map(|feature| feature.commands)
    }

    /// The command of this node.
    pub fn command(&self, node: &str) -> Option<&'static Command<A>> {
        self.commands().find(|command| command.node == node)
    }

    /// What answers a request to the host.
    pub fn host_route(&self, verb: Verb, ns: &str, name: &str) -> Option<&'static IqRoute<A>> {
        self.features()
            .flat_map(|feature| feature.host)
            .find(|route| route.fits(verb, ns, name))
    }

    /// What answers a request to an account.
    pub fn account_route(&self, verb: Verb, ns: &str, name: &str) -> Option<&'static IqRoute<A>> {
        self.features()
            .flat_map(|feature| feature.account)
            .find(|route| route.fits(verb, ns, name))
    }
}

impl<A: Actor> IqRoute<A> {
    fn fits(&self, verb: Verb, ns: &str, name: &str) -> bool {
        self.verb == verb && self.ns == ns && self.name == name
    }
}
