//! Invitations (XEP-0401, 0379): tokens that let somebody register here, become a contact without being asked, or
//! both. Refuses to know who makes them (`auth/invitations.rs` does) and how accounts are made.
//!
//! A row lies under a digest of its token: who reads the store learns none, and a look-up compares nothing that a
//! guesser could time.

use sha2::{Digest, Sha256};

use crate::actor::auth::AccountAsk;
use crate::actor::rows::{Durability, Export, RowKey, RowRange, Slices, Table, Write};
use crate::actor::{Stop, Turn};
use crate::base::{AccountId, Now, limits};
use crate::jid::Jid;
use crate::stanza::{Stanza, ns};

use super::account::{self, Account};

/// Invitations by whose they are: the inviter's, or the operator's.
pub static INVITATION: Table = Table {
    name: "invitation",
    durability: Durability::BeforeReply,
    // With its account it goes; at another server nobody would know its tokens.
    export: Export::Derived,
    slices: Slices::Whole,
    about: "An invitation. Key: account id of the inviter (all ones: the operator), SHA-256 of the token.",
};

/// Names that are kept for somebody who was invited.
pub static RESERVATION: Table = Table {
    name: "reservation",
    durability: Durability::BeforeReply,
    export: Export::Never,
    slices: Slices::Whole,
    about: "A name that is kept for who was invited. Key: host, 0, localpart. Value: until when, then the key of the invitation.",
};

/// Whose invitations are the operator's. No account has this number.
pub const OPERATOR: AccountId = AccountId(u64::MAX);

/// What a token is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// The host on which it registers.
    pub host: String,
    /// In milliseconds since 1970.
    pub expires_wall_ms: u64,
    /// How often it can still be used.
    pub uses: u32,
    /// Who becomes a contact of who comes.
    pub contact: Option<Jid>,
    /// The only name that it registers, or whose holder it makes a contact.
    pub localpart: Option<String>,
    /// Whether it registers at all.
    pub registers: bool,
}

impl Invitation {
    /// Whether somebody may use it now.
    pub fn is_open(&self, now: Now) -> bool {
        self.uses > 0 && now.wall_ms < self.expires_wall_ms
    }

    /// Whether it makes this contact one of the inviter's now.
    pub fn welcomes(&self, contact: &Jid, now: Now) -> bool {
        let is_meant = self.localpart.as_deref().is_none_or(|name| {
            contact.localpart() == Some(name) && contact.domainpart() == self.host
        });
        self.contact.is_some() && self.is_open(now) && is_meant
    }

    /// The row's value: a version, then a line each, none of which can hold a line feed.
    pub fn encode(&self) -> Vec<u8> {
        let contact = self.contact.as_ref().map_or("", Jid::as_str);
        let localpart = self.localpart.as_deref().unwrap_or_default();
        let text = format!(
            "{VERSION}\n{}\n{}\n{}\n{contact}\n{localpart}\n{}",
            self.host,
            self.expires_wall_ms,
            self.uses,
            u8::from(self.registers)
        );
        text.into_bytes()
    }

    /// Reads a row's value; none if it is damaged, or a later version wrote it.
    pub fn decode(value: &[u8]) -> Option<Invitation> {
        let text = std::str::from_utf8(value).ok()?;
        let mut lines = text.split('\n');
        if lines.next()? != VERSION {
            return None;
        }
        let invitation = Invitation {
            host: lines.next()?.to_owned(),
            expires_wall_ms: lines.next()?.parse().ok()?,
            uses: lines.next()?.parse().ok()?,
            contact: match lines.next()? {
                "" => None,
                contact => Some(Jid::parse(contact).ok()?),
            },
            localpart: Some(lines.next()?.to_owned()).filter(|name| !name.is_empty()),
            registers: match lines.next()? {
                "0" => false,
                "1" => true,
                _ => return None,
            },
        };
        lines.next().is_none().then_some(invitation)
    }

    /// The write after one use more: the last one takes it away.
    pub fn used(mut self, key: RowKey) -> Write {
        self.uses -= 1;
        match self.uses {
            0 => Write::Delete {
                table: &INVITATION,
                key,
            },
            _ => Write::Put {
                table: &INVITATION,
                key,
                value: self.encode().into(),
            },
        }
    }
}

/// The key of a token's row.
pub fn key(owner: AccountId, token: &str) -> RowKey {
    RowKey::new(&owner.0.to_be_bytes()).then(&digest(token))
}

/// What a token is kept as.
pub fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// Everybody's invitations of one owner.
pub fn range(owner: AccountId) -> RowRange {
    RowRange {
        from: RowKey::new(&owner.0.to_be_bytes()),
        to: RowKey::new(&owner.0.to_be_bytes()).then(&[0xff; 33]),
        count_max: limits::INVITATIONS_READ_MAX,
        bytes_max: limits::RANGE_BYTES_MAX,
    }
}

/// The value of a row of [`RESERVATION`].
pub fn reservation(until_wall_ms: u64, invitation: &RowKey) -> Vec<u8> {
    [&until_wall_ms.to_be_bytes()[..], invitation.as_bytes()].concat()
}

/// Whether the value of such a row still keeps its name from whoever did not come by `invitation`.
pub fn is_reserved(value: &[u8], invitation: Option<&RowKey>, now: Now) -> bool {
    let Some((until, of)) = value.split_first_chunk::<8>() else {
        return false;
    };
    let is_own = invitation.is_some_and(|key| key.as_bytes() == of);
    !is_own && now.wall_ms < u64::from_be_bytes(*until)
}

/// Whether it was `invitation` that the value of such a row was written for.
pub fn is_kept_by(value: &[u8], invitation: &RowKey) -> bool {
    let behind = value.split_first_chunk::<8>();
    behind.is_some_and(|(_, of)| of == invitation.as_bytes())
}

/// How a use of an invitation is noted.
#[derive(Clone, Debug)]
pub enum Redemption {
    /// With the rows of the subscription: nobody but the account itself uses this one.
    Written(Write),
    /// By the keeper of the accounts, because registrations use the same one ([`AccountAsk::Redeem`]). What is used so stays
    /// used if a crash comes before the rows of the subscription: then the user is asked.
    Asked(AccountAsk),
}

/// Whether a subscription request carries a token of the account, which is used up with it (XEP-0379 section 3.5:
/// "If the token is considered valid, the client SHOULD automatically approve the subscription request": the server does
/// where it made the token). Any other one is no token: section 4.1, "it MUST ignore it".
///
/// # Errors
/// Parks until it was looked up.
pub fn welcomes(
    turn: &mut Turn<'_, Account>,
    request: &Stanza,
    contact: &Jid,
) -> Result<Option<Redemption>, Stop> {
    let preauth = request.payload.child(ns::PARS, "preauth");
    let Some(preauth) = preauth.filter(|_| turn.catalog.has(SWITCH)) else {
        return Ok(None);
    };
    let Some(token) = preauth.attribute("token") else {
        return Ok(None);
    };
    let owner = account::identify(turn)?;
    let key = key(owner, &token);
    let Some(value) = turn.load(&INVITATION, &key)? else {
        return Ok(None);
    };
    let Some(invitation) = Invitation::decode(value) else {
        log::error!("invitation_row_damaged account={}", turn.actor.jid);
        return Ok(None);
    };
    if !invitation.welcomes(contact, turn.now) {
        return Ok(None);
    }
    Ok(Some(match invitation.registers {
        false => Redemption::Written(invitation.used(key)),
        true => Redemption::Asked(AccountAsk::Redeem {
            invitation: key,
            contact: contact.clone(),
        }),
    }))
}

/// The address by which an invitation of this contact is used: XEP-0401 section 5.1, "That URI SHOULD have the following
/// format"; "If the server does not support or allow in-band registration for invited users, the server MUST omit the
/// ibr=y query component."
pub fn contact_uri(contact: &Jid, token: &str, registers: bool) -> String {
    let ibr = if registers { ";ibr=y" } else { "" };
    let address = percent_encoded(contact.bare_str());
    format!("xmpp:{address}?roster;preauth={token}{ibr}")
}

/// The address by which an account is registered, of this name if the invitation is for one (section 5.4).
pub fn registration_uri(host: &str, localpart: Option<&str>, token: &str) -> String {
    let name = localpart.map_or_else(String::new, |name| format!("{name}@"));
    let address = percent_encoded(&(name + host));
    format!("xmpp:{address}?register;preauth={token}")
}

/// An address in a URI: RFC 5122 section 2.7, all but what section 2.2 lets stand in a node or a host.
fn percent_encoded(address: &str) -> String {
    let stands = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$()*+,;=:@[]".contains(&byte);
    let encoded = address.bytes().map(|byte| match stands(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    });
    encoded.collect()
}

/// What a newcomer's subscription request carries.
pub fn preauth(token: &str) -> String {
    let mut writer = crate::xml::Writer::new();
    writer
        .open("preauth", Some(ns::PARS))
        .attribute("token", token)
        .close();
    writer.finish()
}

const VERSION: &str = "1";
/// The name of its switch: `features/invitations.rs` is a layer above.
const SWITCH: &str = "invitations";

#[cfg(test)]
mod tests {
    use super::*;

    fn invitation() -> Invitation {
        Invitation {
            host: "example.org".to_owned(),
            expires_wall_ms: 1_000,
            uses: 2,
            contact: Jid::parse("romeo@example.org").ok(),
            localpart: None,
            registers: true,
        }
    }

    #[test]
    fn a_row_comes_back_as_it_was_written_and_nothing_else_is_one() {
        for invitation in [
            invitation(),
            Invitation {
                contact: None,
                localpart: Some("juliet".to_owned()),
                registers: false,
                ..invitation()
            },
        ] {
            let value = invitation.encode();
            assert_eq!(Invitation::decode(&value), Some(invitation));
            for length in 0..value.len() {
                assert_eq!(Invitation::decode(&value[..length]), None);
            }
            let longer = [&value[..], b"\n"].concat();
            assert_eq!(Invitation::decode(&longer), None);
        }
        assert_eq!(Invitation::decode(b"\xff"), None);
    }

    #[test]
    fn the_last_use_takes_it_away() {
        let key = key(AccountId(1), "token");
        let Write::Put { value, .. } = invitation().used(key.clone()) else {
            panic!("one is left");
        };
        let left = Invitation::decode(&value).expect("whole");
        assert_eq!(left.uses, 1);
        assert!(left.is_open(Now {
            mono_ms: 0,
            wall_ms: 999
        }));
        assert!(!left.is_open(Now {
            mono_ms: 0,
            wall_ms: 1_000
        }));
        assert!(matches!(left.used(key), Write::Delete { .. }));
    }

    #[test]
    fn an_address_in_a_uri_is_encoded() {
        let jid = |text| Jid::parse(text).expect("valid");
        assert_eq!(
            contact_uri(&jid("romeo@example.org/x"), "t", true),
            "xmpp:romeo@example.org?roster;preauth=t;ibr=y"
        );
        assert_eq!(
            contact_uri(&jid("čeněk?%#@example.org"), "t", false),
            "xmpp:%C4%8Den%C4%9Bk%3F%25%23@example.org?roster;preauth=t"
        );
        assert_eq!(
            registration_uri("example.org", Some("juliet"), "t"),
            "xmpp:juliet@example.org?register;preauth=t"
        );
        assert_eq!(
            registration_uri("example.org", None, "t"),
            "xmpp:example.org?register;preauth=t"
        );
    }

    #[test]
    fn a_name_is_kept_for_who_was_invited_until_then() {
        let (own, other) = (key(AccountId(1), "own"), key(AccountId(1), "other"));
        let value = reservation(1_000, &own);
        let at = |wall_ms| Now {
            mono_ms: 0,
            wall_ms,
        };
        assert!(is_reserved(&value, None, at(999)));
        assert!(is_reserved(&value, Some(&other), at(999)));
        assert!(!is_reserved(&value, Some(&own), at(999)));
        assert!(!is_reserved(&value, None, at(1_000)));
        assert!(!is_reserved(b"", None, at(0)));
        assert!(is_kept_by(&value, &own) && !is_kept_by(&value, &other));
    }

    #[test]
    fn the_rows_of_an_owner_are_one_range() {
        let range = range(AccountId(7));
        let of = |owner| key(AccountId(owner), "token");
        assert!(range.from < of(7) && of(7) < range.to);
        assert!(of(6) < range.from && of(8) >= range.to);
        let range = super::range(OPERATOR);
        let key = key(OPERATOR, "token");
        assert!(range.from < key && key < range.to);
    }
}
