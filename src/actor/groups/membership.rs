//! An account and the groups of its host. Refuses to know what they say of others.

use std::sync::Arc;

use super::{Groups, Member, Relation};
use crate::jid::JidList;

/// An account and the groups of its host.
#[derive(Clone, Debug, Default)]
pub struct Membership {
    groups: Option<Arc<Groups>>,
    member: Option<Member>,
}

impl Membership {
    /// Where somebody is in these groups.
    pub fn find(groups: Option<&Arc<Groups>>, localpart: Option<&str>) -> Membership {
        let member = groups.zip(localpart);
        Membership {
            groups: groups.cloned(),
            member: member.and_then(|(groups, localpart)| groups.find(localpart)),
        }
    }

    /// The groups of the host, if they are known.
    pub fn groups(&self) -> Option<&Arc<Groups>> {
        self.groups.as_ref()
    }

    /// The groups, and who this is, for who is in some.
    pub fn member(&self) -> Option<(&Groups, Member)> {
        self.groups.as_deref().zip(self.member)
    }

    /// See [`Groups::relation`].
    pub fn relation(&self, other: &str) -> Relation {
        let member = self.member();
        member.map_or_else(Relation::default, |(groups, me)| groups.relation(me, other))
    }

    /// See [`Groups::digest`]; 0 for who is on no list.
    pub fn digest(&self) -> u64 {
        self.member().map_or(0, |(groups, me)| groups.digest(me))
    }

    /// Adds those on lists for whom this holds to an audience.
    pub fn list(&self, domain: &str, is_meant: impl Fn(Relation) -> bool, list: &mut JidList) {
        if let Some((groups, me)) = self.member() {
            groups.audience(me, is_meant, |localpart| list.push_parts(localpart, domain));
        }
    }
}
