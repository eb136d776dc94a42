//! Permanent rooms that a directory keeps (conf/ldap/stonechat.schema): what an entry says of a room, and an entry of what is
//! said. Refuses to know what an option of a room means: Multi-User Chat (XEP-0045) does.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::ber::Entry;
use super::dn;
use crate::base::Secret;
use crate::jid::{Jid, prepare_localpart};

/// A room. Equal ones are written the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// The localpart of its address.
    pub localpart: String,
    pub name: Option<String>,
    pub description: Option<String>,
    /// Nobody may enter.
    pub is_closed: bool,
    /// Fields of the form muc#roomconfig (XEP-0045 section 10.2), without knowing them, in order.
    pub options: BTreeMap<String, Vec<String>>,
    /// Entries of the directory, people or groups, and what they are to the room.
    pub entries: BTreeMap<Affiliation, Vec<String>>,
    /// Who has no entry in the directory.
    pub others: Vec<Other>,
    pub password: Option<Secret>,
}

/// What somebody is to a room (XEP-0045 section 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Affiliation {
    Owner,
    Admin,
    Member,
    Outcast,
}

/// An affiliation of an address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Other {
    pub affiliation: Affiliation,
    /// A bare address, or a domain.
    pub jid: String,
    pub nickname: Option<String>,
}

impl Affiliation {
    pub const ALL: [Affiliation; 4] = [
        Affiliation::Owner,
        Affiliation::Admin,
        Affiliation::Member,
        Affiliation::Outcast,
    ];

    /// As XEP-0045 writes it.
    pub fn name(self) -> &'static str {
        match self {
            Affiliation::Owner => "owner",
            Affiliation::Admin => "admin",
            Affiliation::Member => "member",
            Affiliation::Outcast => "outcast",
        }
    }

    /// The attribute with the names of entries.
    fn attribute(self) -> &'static str {
        match self {
            Affiliation::Owner => "stonechatRoomOwner",
            Affiliation::Admin => "stonechatRoomAdmin",
            Affiliation::Member => "stonechatRoomMember",
            Affiliation::Outcast => "stonechatRoomOutcast",
        }
    }
}

/// A room as an entry says it, and what of the entry is no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    pub dn: String,
    /// None if the entry has no name that an address can have, or is a room of another host.
    pub room: Option<Room>,
    /// The address of one of another host.
    pub elsewhere: Option<String>,
    /// For an operator.
    pub problems: Vec<String>,
}

/// Reads an entry. What is no sense in it is left out, except that a room whose affiliations or options cannot be read is
/// closed: who was kept out by them must not come in because of a slip. A room that says an address is one of `host` if that
/// is the address's domain, or one that it is below.
pub fn read(entry: &Entry, host: &str) -> Read {
    let mut problems = Vec::new();
    let first = |name| entry.texts(name).next().map(str::to_owned);
    let elsewhere = first("stonechatJid").filter(|jid| is_elsewhere(jid, host));
    if elsewhere.is_some() {
        // What else it says is that host's matter.
        return Read {
            dn: entry.dn.clone(),
            room: None,
            elsewhere,
            problems,
        };
    }
    let localpart = localpart(entry, &mut problems);
    let mut room = Room {
        localpart: localpart.clone().unwrap_or_default(),
        name: first("displayName"),
        description: first("description"),
        is_closed: says_closed(entry),
        password: first(ROOM_PASSWORD).map(|text| Secret::new(text.into_bytes())),
        ..Room::default()
    };
    let mut is_understood = true;
    for option in entry.texts("stonechatRoomOption") {
        match option.split_once('=') {
            Some((field, value)) if !field.trim().is_empty() => {
                let values = room.options.entry(field.trim().to_owned()).or_default();
                values.push(value.to_owned());
            }
            _ => {
                is_understood = false;
                problems.push(format!("{option:?} is no FIELD=VALUE"));
            }
        }
    }
    room.options.values_mut().for_each(|values| values.sort());
    for affiliation in Affiliation::ALL {
        let mut names: Vec<String> = Vec::new();
        for name in entry.texts(affiliation.attribute()) {
            match dn::Dn::parse(name).is_some() {
                true => names.push(name.to_owned()),
                false => {
                    is_understood = false;
                    problems.push(format!("{name:?} is no name of an entry"));
                }
            }
        }
        names.sort();
        if !names.is_empty() {
            room.entries.insert(affiliation, names);
        }
    }
    for text in entry.texts("stonechatRoomAffiliation") {
        match other(text) {
            Some(other) => room.others.push(other),
            None => {
                is_understood = false;
                problems.push(format!("{text:?} is no AFFILIATION JID [NICKNAME]"));
            }
        }
    }
    room.others.sort();
    room.is_closed |= !is_understood;
    Read {
        dn: entry.dn.clone(),
        room: localpart.map(|_| room),
        elsewhere: None,
        problems,
    }
}

/// As of a person (`person::is_closed`): directories of loose syntax take a boolean in any case.
fn says_closed(entry: &Entry) -> bool {
    let mut said = entry.texts("stonechatDisabled");
    said.any(|value| value.eq_ignore_ascii_case("TRUE"))
}

/// Whether this is the address of a room, and neither the host nor anything below it has that.
fn is_elsewhere(jid: &str, host: &str) -> bool {
    let Ok(jid) = Jid::parse(jid) else {
        return false;
    };
    let above = jid.domainpart().strip_suffix(host);
    let is_here = above.is_some_and(|above| above.is_empty() || above.ends_with('.'));
    jid.localpart().is_some() && !is_here
}

/// That of `stonechatJid`, or `cn`.
fn localpart(entry: &Entry, problems: &mut Vec<String>) -> Option<String> {
    let jid = entry.texts("stonechatJid").next();
    let named = match jid {
        Some(jid) => match Jid::parse(jid) {
            Ok(jid) => jid.localpart().map(str::to_owned),
            Err(error) => {
                problems.push(format!("{jid:?} is no address: {error}"));
                return None;
            }
        },
        None => entry.texts("cn").next().map(str::to_owned),
    };
    let Some(name) = named else {
        problems.push("has no name: neither cn nor stonechatJid".to_owned());
        return None;
    };
    match prepare_localpart(&name) {
        Ok(name) => Some(name.into_owned()),
        Err(error) => {
            problems.push(format!("{name:?} can be no name of a room: {error}"));
            None
        }
    }
}

/// `AFFILIATION JID [NICKNAME]`.
fn other(text: &str) -> Option<Other> {
    let (word, rest) = text.trim().split_once(' ')?;
    let mut all = Affiliation::ALL.into_iter();
    let affiliation = all.find(|known| known.name() == word)?;
    let rest = rest.trim_start();
    let (jid, nickname) = rest.split_once(' ').unwrap_or((rest, ""));
    let jid = Jid::parse(jid)
        .ok()
        .filter(|jid| jid.resourcepart().is_none())?;
    let nickname = nickname.trim();
    Some(Other {
        affiliation,
        jid: jid.as_str().to_owned(),
        nickname: (!nickname.is_empty()).then(|| nickname.to_owned()),
    })
}

impl Room {
    /// The name of its entry below this one.
    pub fn dn(&self, base: &str) -> String {
        format!("cn={},{base}", dn::escaped(&self.localpart))
    }

    /// Every attribute that can say something of a room but its name, with the values that say this; those without any
    /// are to go.
    pub fn attributes(&self) -> Vec<(String, Vec<Zeroizing<Vec<u8>>>)> {
        let one =
            |text: &Option<String>| text.iter().map(|text| text.clone().into_bytes()).collect();
        let mut attributes: Vec<(&str, Vec<Vec<u8>>)> = vec![
            ("displayName", one(&self.name)),
            ("description", one(&self.description)),
            (
                "stonechatDisabled",
                Vec::from_iter(self.is_closed.then(|| b"TRUE".to_vec())),
            ),
        ];
        let options = self.options.iter().flat_map(|(field, values)| {
            let option = move |value| format!("{field}={value}").into_bytes();
            values.iter().map(option)
        });
        attributes.push(("stonechatRoomOption", options.collect()));
        for affiliation in Affiliation::ALL {
            let names = self.entries.get(&affiliation).into_iter().flatten();
            let names = names.map(|name| name.clone().into_bytes());
            attributes.push((affiliation.attribute(), names.collect()));
        }
        let others = self.others.iter().map(|other| {
            let nickname = other.nickname.iter().map(|name| format!(" {name}"));
            let (word, jid) = (other.affiliation.name(), &other.jid);
            format!("{word} {jid}{}", nickname.collect::<String>()).into_bytes()
        });
        attributes.push(("stonechatRoomAffiliation", others.collect()));
        let password = self.password.iter().map(|secret| secret.expose().to_vec());
        attributes.push((ROOM_PASSWORD, password.collect()));
        let owned = attributes.into_iter();
        owned
            .map(|(name, values)| {
                let values = values.into_iter().map(Zeroizing::new);
                (name.to_owned(), values.collect())
            })
            .collect()
    }
}

/// What is asked of a room's entry.
pub const ATTRIBUTES: [&str; 12] = [
    "cn",
    "displayName",
    "description",
    "stonechatJid",
    "stonechatDisabled",
    "stonechatRoomOption",
    "stonechatRoomOwner",
    "stonechatRoomAdmin",
    "stonechatRoomMember",
    "stonechatRoomOutcast",
    "stonechatRoomAffiliation",
    ROOM_PASSWORD,
];

/// It is wiped wherever it was.
pub const ROOM_PASSWORD: &str = "stonechatRoomPassword";

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(attributes: &[(&str, &str)]) -> Entry {
        let attributes: Vec<(&str, Vec<&[u8]>)> = attributes
            .iter()
            .map(|(name, value)| (*name, vec![value.as_bytes()]))
            .collect();
        let attributes: Vec<(&str, &[&[u8]])> = attributes
            .iter()
            .map(|(name, values)| (*name, values.as_slice()))
            .collect();
        Entry::of("cn=x,ou=rooms", &attributes)
    }

    #[test]
    fn what_is_written_is_read() {
        let room = Room {
            localpart: "ball, room".to_owned(),
            name: Some("The ballroom".to_owned()),
            description: None,
            is_closed: true,
            options: BTreeMap::from([
                (
                    "muc#roomconfig_membersonly".to_owned(),
                    vec!["1".to_owned()],
                ),
                (
                    "muc#roomconfig_lang".to_owned(),
                    vec!["a=b".to_owned(), String::new()],
                ),
            ])
            .into_iter()
            .map(|(field, mut values)| {
                values.sort();
                (field, values)
            })
            .collect(),
            entries: BTreeMap::from([(Affiliation::Owner, vec!["uid=a,dc=b".to_owned()])]),
            others: vec![
                Other {
                    affiliation: Affiliation::Member,
                    jid: "paris@mantua.example".to_owned(),
                    nickname: Some("Count Paris".to_owned()),
                },
                Other {
                    affiliation: Affiliation::Outcast,
                    jid: "mantua.example".to_owned(),
                    nickname: None,
                },
            ],
            password: Some(Secret::new(b"dagger".to_vec())),
        };
        assert_eq!(room.dn("ou=rooms"), "cn=ball\\, room,ou=rooms");
        let attributes = room.attributes();
        let mut told: Vec<(&str, Vec<&[u8]>)> = attributes
            .iter()
            .map(|(name, values)| {
                (
                    name.as_str(),
                    values.iter().map(|it| it.as_slice()).collect(),
                )
            })
            .collect();
        assert!(told.iter().all(|(name, _)| ATTRIBUTES.contains(name)));
        told.push(("stonechatJid", vec![b"x@rooms.example"]));
        let told: Vec<(&str, &[&[u8]])> = told
            .iter()
            .map(|(name, values)| (*name, values.as_slice()))
            .collect();
        let found = read(&Entry::of("cn=x", &told), "example");
        assert_eq!(found.problems, [""; 0]);
        let localpart = "x".to_owned();
        assert_eq!(found.room, Some(Room { localpart, ..room }));
    }

    #[test]
    fn what_is_no_sense_is_said_and_closes_the_room() {
        for (name, value) in [
            ("stonechatRoomOption", "membersonly"),
            ("stonechatRoomOption", "=1"),
            ("stonechatRoomOwner", "juliet"),
            ("stonechatRoomAffiliation", "friend romeo@a"),
            ("stonechatRoomAffiliation", "member"),
            ("stonechatRoomAffiliation", "member romeo@a/balcony"),
            ("stonechatRoomAffiliation", "member @"),
        ] {
            let found = read(&entry(&[("cn", "x"), (name, value)]), "example");
            assert_eq!(found.problems.len(), 1, "{value}");
            assert!(found.room.unwrap().is_closed, "{value}");
        }
        for attributes in [
            &[][..],
            &[("cn", "a b@c")],
            &[("cn", "x"), ("stonechatJid", "@@")],
            &[("cn", "x"), ("stonechatJid", "rooms.example")],
        ] {
            let found = read(&entry(attributes), "example");
            assert_eq!(
                (found.room, found.problems.len()),
                (None, 1),
                "{attributes:?}"
            );
        }
        for (value, is_closed) in [("TRUE", true), ("true", true), ("FALSE", false)] {
            let said = entry(&[("cn", "x"), ("stonechatDisabled", value)]);
            let found = read(&said, "example");
            assert_eq!(found.room.unwrap().is_closed, is_closed, "{value}");
        }
        let fine = read(&entry(&[("cn", "Piazza")]), "example");
        assert_eq!(fine.room.unwrap().localpart, "piazza");
    }

    #[test]
    fn a_room_is_the_hosts_whose_domain_its_address_has_or_is_below() {
        for (jid, host, is_here) in [
            ("Piazza@Verona.Example", "verona.example", true),
            ("piazza@rooms.verona.example", "verona.example", true),
            ("piazza@rooms.verona.example", "example", true),
            ("piazza@rooms.mantua.example", "verona.example", false),
            ("piazza@inverona.example", "verona.example", false),
            ("piazza@example", "verona.example", false),
        ] {
            let found = read(&entry(&[("cn", "x"), ("stonechatJid", jid)]), host);
            let room = found.room.map(|room| room.localpart);
            assert_eq!(room.as_deref(), is_here.then_some("piazza"), "{jid} {host}");
            assert_eq!(found.elsewhere.is_none(), is_here, "{jid} {host}");
            assert_eq!(found.problems, [""; 0], "{jid} {host}");
        }
    }
}
