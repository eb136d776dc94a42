//! Who is what to an account, by its roster and by the lists of its host's directory. Refuses to know where they were read.

use crate::actor::groups::{Membership, Relation};
use crate::im::roster::shared::standing_of;
use crate::im::roster::{Roster, Standing};
use crate::jid::Jid;

/// Who is what to an account, as far as it is in memory: by the roster as it was when it was last known, and by the lists of
/// the host's directory. For who changes a session of the account meanwhile.
#[derive(Clone, Copy)]
pub struct Contacts<'a> {
    own: &'a Jid,
    roster: Option<&'a Roster>,
    membership: &'a Membership,
}

impl<'a> Contacts<'a> {
    /// Those of the account with this bare address.
    pub(super) fn new(
        own: &'a Jid,
        roster: Option<&'a Roster>,
        membership: &'a Membership,
    ) -> Contacts<'a> {
        Contacts {
            own,
            roster,
            membership,
        }
    }

    /// All that stands between the account and an address.
    pub fn standing(&self, jid: &Jid) -> Standing {
        let listed = standing_of(self.relation(jid));
        match self.roster {
            Some(roster) => {
                let own = roster.standing(&jid.to_bare(), self.own.domainpart());
                own.or(listed)
            }
            None => listed,
        }
    }

    /// What the lists say.
    pub(super) fn relation(&self, jid: &Jid) -> Relation {
        let is_near =
            self.membership.member().is_some() && jid.domainpart() == self.own.domainpart();
        match jid.localpart().filter(|_| is_near) {
            Some(localpart) => self.membership.relation(localpart),
            None => Relation::default(),
        }
    }
}
