//! Who is behind a name: the question to the directory, and what its entry says of an account. Refuses to know how it
//! is asked.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::ber::Entry;
use super::escape::filter_for;
use super::keys;
use super::pool::Query;
use crate::actor::auth::{Bar, KeyShape, ScramHash, ScramKeys};
use crate::base::{Secret, limits};
use crate::config::DirectoryConfig;
use crate::im::seen::{PasswordStamp, Sight};
use crate::jid::{Jid, prepare_localpart};
use crate::stream::sasl::digest::digest;

/// What was found for a name.
#[derive(Clone, Debug)]
pub enum Found {
    /// An entry would have it, and says that its address is another ([`ADDRESS`]): its name.
    Elsewhere(String),
    /// Several entries have it: their names. None of them is let in.
    Many(Vec<String>),
    Nobody,
    One(Box<Person>),
}

/// An entry as an account.
#[derive(Clone, Debug)]
pub struct Person {
    pub dn: String,
    /// The value of the attribute that no other entry ever has; empty if it cannot be read, none if none is named.
    pub unique: Option<Vec<u8>>,
    /// Closed by whoever administers the directory.
    pub bar: Option<Bar>,
    /// See [`stamp`].
    pub stamp: PasswordStamp,
    keys: Vec<ScramKeys>,
    /// What the attribute with the keys holds, whatever it is; nothing where they are not asked for.
    pub held_keys: Vec<Secret>,
}

impl Person {
    /// What the account that has its name is told of it.
    pub fn sight(&self) -> Sight<'_> {
        Sight {
            unique: self.unique.as_deref(),
            stamp: Some(self.stamp),
            is_open: self.bar.is_none(),
        }
    }

    /// The keys for a digest.
    pub fn keys_for(&self, hash: ScramHash) -> Option<&ScramKeys> {
        self.keys.iter().find(|keys| keys.hash == hash)
    }

    /// What those look like that can be read.
    pub fn shapes(&self) -> Vec<KeyShape> {
        self.keys.iter().map(ScramKeys::shape).collect()
    }
}

/// What is asked of the directory about a name, prepared.
pub fn query(config: &DirectoryConfig, localpart: &str) -> Query {
    let options = &config.options;
    let mut attributes = vec![options.localpart.clone(), ADDRESS.to_owned()];
    attributes.extend(STANDING.map(str::to_owned));
    attributes.extend(STAMPS.map(str::to_owned));
    if !options.unique.is_empty() {
        attributes.push(options.unique.clone());
    }
    if options.authentication.has_keys() {
        attributes.push(options.scram.clone());
    }
    Query {
        base: options.base.clone(),
        depth: options.scope.into(),
        filter: filter_for(&options.filter, localpart),
        attributes,
        count_max: ENTRIES_MAX,
    }
}

/// The same about many names at once.
pub fn query_for_many(config: &DirectoryConfig, names: &[String]) -> Query {
    let filters = names
        .iter()
        .map(|name| filter_for(&config.options.filter, name));
    Query {
        filter: format!("(|{})", filters.collect::<String>()),
        // Of one name there may be any number, and the others are asked about, too.
        count_max: limits::DIRECTORY_PEOPLE_MAX,
        ..query(config, "")
    }
}

/// The same about everybody, and when their entries were changed: of what is remembered of them otherwise.
pub fn query_for_all(config: &DirectoryConfig) -> Query {
    let mut query = query(config, "");
    query.attributes.push("modifyTimestamp".to_owned());
    // OpenLDAP's, in microseconds: two changes within a second are two.
    query.attributes.push("entryCSN".to_owned());
    Query {
        filter: config.options.filter.replace("{user}", "*"),
        count_max: config.options.watched as usize,
        ..query
    }
}

/// The names that an entry stands for.
pub fn names(config: &DirectoryConfig, entry: &Entry) -> Vec<Arc<str>> {
    let mut names: Vec<Arc<str>> = prepared_names(config, entry).map(Arc::from).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The same in the entry's own order. An entry that says its address has that one and no other: on another host it is nobody
/// here, whatever its other attributes say.
pub fn prepared_names<'a>(
    config: &'a DirectoryConfig,
    entry: &'a Entry,
) -> impl Iterator<Item = String> + 'a {
    let said = said_names(config, entry);
    said.filter(move |name| is_its_address(config, entry, name))
}

/// What the attribute with localparts says, which may be the one with addresses.
fn said_names<'a>(
    config: &'a DirectoryConfig,
    entry: &'a Entry,
) -> impl Iterator<Item = String> + 'a {
    let attribute = &config.options.localpart;
    let has_addresses = attribute.eq_ignore_ascii_case(ADDRESS);
    entry
        .texts(attribute)
        .filter_map(move |value| match has_addresses {
            true => localpart_here(config, value),
            false => prepare_localpart(value).ok().map(Cow::into_owned),
        })
}

/// Whether an entry says nothing of its address, or this.
fn is_its_address(config: &DirectoryConfig, entry: &Entry, name: &str) -> bool {
    let mut said = entry.values(ADDRESS).peekable();
    let is_silent = said.peek().is_none();
    let mut texts = said.filter_map(|value| std::str::from_utf8(value).ok());
    is_silent || texts.any(|value| localpart_here(config, value).is_some_and(|own| own == name))
}

/// The localpart of a bare address of this host.
fn localpart_here(config: &DirectoryConfig, address: &str) -> Option<String> {
    let address = Jid::parse(address).ok()?;
    let is_here = address.domainpart() == &*config.host && address.resourcepart().is_none();
    address.localpart().filter(|_| is_here).map(str::to_owned)
}

/// Something that is another when the password is. Where the directory does not say when it was changed, and has no keys,
/// it stays the same.
pub fn stamp(config: &DirectoryConfig, entry: &Entry) -> PasswordStamp {
    let options = &config.options;
    let has_keys = options.authentication.has_keys();
    PasswordStamp {
        changed: digest_of(entry, &STAMPS),
        keys: has_keys.then(|| digest_of(entry, &[&options.scram])),
    }
}

/// Of all values that an entry has there, in whatever order.
fn digest_of(entry: &Entry, attributes: &[&str]) -> [u8; 8] {
    let length = |name: &&str| {
        let values = entry.values(name);
        values
            .map(|value| name.len() + 8 + value.len())
            .sum::<usize>()
    };
    // Keys are among them: what grows leaves pieces behind.
    let mut text = Zeroizing::new(Vec::with_capacity(attributes.iter().map(length).sum()));
    for name in attributes {
        let mut values: Vec<&[u8]> = entry.values(name).collect();
        values.sort_unstable();
        for value in values {
            text.extend_from_slice(name.as_bytes());
            text.extend_from_slice(&(value.len() as u64).to_be_bytes());
            text.extend_from_slice(value);
        }
    }
    let digest = digest(ScramHash::Sha256, &text);
    let mut start = [0; 8];
    start.copy_from_slice(&digest.expose()[..8]);
    start
}

/// What [`judge`] says of each name.
pub fn judge_all(config: &DirectoryConfig, names: &[String], entries: &[Entry]) -> Vec<Found> {
    let mut having: BTreeMap<String, Vec<Entry>> = BTreeMap::new();
    for entry in entries {
        for name in said_names(config, entry) {
            having.entry(name).or_default().push(entry.clone());
        }
    }
    let none = Vec::new();
    let found = names
        .iter()
        .map(|name| judge(config, name, having.get(name).unwrap_or(&none)));
    found.collect()
}

/// Who of the found entries has the name. A directory compares more loosely than addresses are compared (RFC 4517
/// section 4.2.11 folds case and spaces): an entry without a value that prepares to this name does not count.
pub fn judge(config: &DirectoryConfig, localpart: &str, entries: &[Entry]) -> Found {
    let says = |entry: &&Entry| said_names(config, entry).any(|name| name == localpart);
    let is_here = |entry: &&Entry| is_its_address(config, entry, localpart);
    let mut having = entries.iter().filter(says).filter(is_here);
    match (having.next(), having.next()) {
        (None, _) => match entries.iter().find(says) {
            Some(entry) => Found::Elsewhere(entry.dn.clone()),
            None => Found::Nobody,
        },
        (Some(entry), None) => Found::One(Box::new(person(config, entry))),
        (Some(first), Some(second)) => {
            let all = [first, second].into_iter().chain(having);
            Found::Many(all.map(|entry| entry.dn.clone()).collect())
        }
    }
}

fn person(config: &DirectoryConfig, entry: &Entry) -> Person {
    let options = &config.options;
    Person {
        dn: entry.dn.clone(),
        unique: unique(config, entry).map(<[u8]>::to_vec),
        bar: is_closed(entry).then_some(Bar::Disabled),
        stamp: stamp(config, entry),
        keys: keys_of(config, entry),
        held_keys: match options.authentication.has_keys() {
            true => entry
                .values(&options.scram)
                .map(<[u8]>::to_vec)
                .map(Secret::new)
                .collect(),
            false => Vec::new(),
        },
    }
}

/// The keys that an entry has, as far as they can be read.
pub fn keys_of(config: &DirectoryConfig, entry: &Entry) -> Vec<ScramKeys> {
    let options = &config.options;
    match options.authentication.has_keys() {
        true => entry
            .texts(&options.scram)
            .filter_map(keys::parse)
            .collect(),
        false => Vec::new(),
    }
}

/// What no other entry ever has, where an attribute for that is named; empty where it cannot be read.
pub fn unique<'a>(config: &'a DirectoryConfig, entry: &'a Entry) -> Option<&'a [u8]> {
    let name = &config.options.unique;
    match name.is_empty() {
        true => None,
        false => Some(entry.values(name).next().unwrap_or_default()),
    }
}

/// Whether the directory's administrator has closed an account, in the words of any directory that we know.
pub fn is_closed(entry: &Entry) -> bool {
    let says = |name: &'static str, value: &str| {
        entry
            .texts(name)
            .any(|found| found.eq_ignore_ascii_case(value))
    };
    // OpenLDAP: slapo-ppolicy(5), "If the account has been locked ... permanently, the value ... 000001010000Z".
    says("pwdAccountLockedTime", "000001010000Z")
        || says("nsAccountLock", "true")
        // The schema of conf/ldap/.
        || says("stonechatDisabled", "TRUE")
        // Active Directory: ACCOUNTDISABLE is the second bit.
        || entry.texts("userAccountControl").any(|flags| {
            flags.parse::<u32>().is_ok_and(|flags| flags & 2 != 0)
        })
}

/// Where an entry says its whole address (conf/ldap/stonechat.schema).
pub const ADDRESS: &str = "stonechatJid";
/// Where directories say that an account is closed.
pub const STANDING: [&str; 4] = [
    "nsAccountLock",
    "pwdAccountLockedTime",
    "stonechatDisabled",
    "userAccountControl",
];
/// Where directories say when a password was changed: OpenLDAP's ppolicy, 389 DS, Active Directory.
const STAMPS: [&str; 3] = ["pwdChangedTime", "pwdUpdateTime", "pwdLastSet"];
/// Entries of one name: more than one is an error already, and an operator wants to see which.
const ENTRIES_MAX: usize = 8;

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config::{Outside, load};

    pub fn config(options: &str) -> Arc<DirectoryConfig> {
        let text = format!(
            "[[host]]\nname = \"Verona.Example\"\n[host.directory]\nservers = [\"ldap://a\"]\nbase = \"dc=a\"\n{options}"
        );
        let outside = Outside {
            features: &[],
            address: |_| Ok(()),
            log_filter: |_| Ok(()),
            cores: 1,
        };
        let config = load("s.toml", &text, &outside).expect("valid");
        config.hosts[0].directory.clone().expect("is there")
    }

    /// Juliet, who says this address.
    fn juliet(address: &[u8]) -> Entry {
        Entry::of(
            "uid=juliet,dc=a",
            &[("uid", &[b"Juliet"]), (ADDRESS, &[address])],
        )
    }

    #[test]
    fn an_entry_that_says_another_address_has_no_name_here() {
        let config = config("");
        let silent = Entry::of("uid=juliet,dc=a", &[("uid", &[b"Juliet"])]);
        for entry in [
            silent,
            juliet(b"juliet@verona.example"),
            juliet(b"JULIET@Verona.example"),
        ] {
            assert_eq!(names(&config, &entry), [Arc::<str>::from("juliet")]);
            let found = judge(&config, "juliet", std::slice::from_ref(&entry));
            assert!(matches!(found, Found::One(_)), "{found:?}");
        }
        for address in [
            &b"juliet@mantua.example"[..],
            b"juliet@chat.verona.example",
            b"jule@verona.example",
            b"juliet@verona.example/balcony",
            b"verona.example",
            b"juliet",
            b"",
            b"\xff",
        ] {
            let entry = juliet(address);
            assert!(names(&config, &entry).is_empty(), "{address:?}");
            let found = judge(&config, "juliet", std::slice::from_ref(&entry));
            assert!(
                matches!(&found, Found::Elsewhere(dn) if *dn == entry.dn),
                "{address:?}: {found:?}"
            );
        }
        // Of two entries of one name the one is here.
        let both = [
            juliet(b"juliet@mantua.example"),
            juliet(b"juliet@verona.example"),
        ];
        assert!(matches!(judge(&config, "juliet", &both), Found::One(_)));
        let all = judge_all(
            &config,
            &["juliet".to_owned(), "romeo".to_owned()],
            &both[..1],
        );
        assert!(matches!(all[..], [Found::Elsewhere(_), Found::Nobody]));
    }

    #[test]
    fn addresses_may_be_what_names_are_made_of() {
        let config = config(
            "localpart = \"stonechatjid\"\nfilter = \"(stonechatJid={user}@verona.example)\"\n",
        );
        for (address, expected) in [
            (&b"jule@verona.example"[..], &["jule"][..]),
            (b"jule@mantua.example", &[]),
            (b"jule", &[]),
        ] {
            let found = names(&config, &juliet(address));
            let found: Vec<&str> = found.iter().map(|name| &**name).collect();
            assert_eq!(found, expected, "{address:?}");
        }
    }
}
