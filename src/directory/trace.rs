//! Every step from a name to an account, as an operator reads it: `stonechat directory test` and `stonechat check`.
//! Refuses to show a password, a key, or the value of an attribute that it was not asked about.

mod rooms;

use std::sync::Arc;
use std::time::Instant;

use super::access::{Access, Identity};
use super::ber::Entry;
use super::grouped::{self, WholeName};
use super::mapping;
use super::person::{self, Found, Person};
use super::pool::{Depth, Link, Purpose, Query};
use super::servers::Servers;
use super::verdict::{self, Verdict};
use crate::actor::auth::ScramHash;
use crate::base::Secret;
use crate::config::{DirectoryCards, DirectoryConfig, GroupsConfig};

pub use rooms::rooms;

/// One thing that was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Whether it is as it should be.
    pub fine: bool,
    pub text: String,
}

fn fine(text: String) -> Step {
    let text = shown(&text);
    Step { fine: true, text }
}

fn wrong(text: String) -> Step {
    let text = shown(&text);
    Step { fine: false, text }
}

/// What a directory says as a terminal shows it and does nothing else with it: in one line, in the order in which it stands.
fn shown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            ' '..='~' => out.push(c),
            c => out.extend(c.escape_debug()),
        }
    }
    out
}

/// Whether each server can be used, and has the base.
pub fn servers(config: &DirectoryConfig, access: &Access) -> Vec<Step> {
    let asked = access.servers.iter().map(|url| server(config, access, url));
    asked.map(|(_, step)| step).collect()
}

/// Whether this one has the base and shows it, which is all that a look-up needs, and what there is to say of it.
fn server(config: &DirectoryConfig, access: &Access, server: &str) -> (bool, Step) {
    let mut link = link(access, server, Purpose::Searching);
    let base = Query {
        base: config.options.base.clone(),
        depth: Depth::Base,
        filter: "(objectClass=*)".to_owned(),
        attributes: vec![NO_ATTRIBUTES.to_owned()],
        count_max: 1,
    };
    let begun = Instant::now();
    let found = match link.search(&base, until(access)) {
        Ok(found) => found,
        Err(error) => return (false, wrong(format!("server {server}: {error}"))),
    };
    let took_ms = begun.elapsed().as_millis();
    let text = format!("server {server}: answers as {}", whoever(access));
    let text = match found.is_empty() {
        true => {
            let base = &config.options.base;
            return (false, wrong(format!("{text}, but shows no base {base}")));
        }
        false => format!("{text} in {took_ms} ms"),
    };
    let step = match (link.whoami(until(access)), &access.identity) {
        (Ok(Some(known)), Identity::Certificate | Identity::Password { .. })
            if known.is_empty() =>
        {
            wrong(format!("{text}, but knows us as nobody"))
        }
        (Ok(Some(known)), _) if !known.is_empty() => {
            fine(format!("{text}, and knows us as {known}"))
        }
        (Ok(_), _) => fine(text),
        (Err(error), _) => fine(format!("{text}, and does not say who we are: {error}")),
    };
    (true, step)
}

/// All of it for one name; a password is tried if there is one.
pub fn person(
    config: &DirectoryConfig,
    access: &Access,
    localpart: &str,
    password: Option<&Secret>,
) -> Vec<Step> {
    let servers = access.servers.iter();
    let asked = servers.map(|url| (url, server(config, access, url)));
    let asked: Vec<(&String, (bool, Step))> = asked.collect();
    // The first that answers, as for a login, whatever else there is to say of it.
    let answering = asked.iter().find(|(_, (answers, _))| *answers);
    let answering = answering.map(|(url, _)| (*url).clone());
    let mut steps: Vec<Step> = asked.into_iter().map(|(_, (_, step))| step).collect();
    let Some(server) = answering else {
        return steps;
    };
    let plain = person::query(config, localpart);
    let more = match config.cards.source {
        DirectoryCards::Off => Vec::new(),
        _ => mapping::attributes(&config.cards),
    };
    let user = config.groups.iter().map(|_| grouped::USER_NAME.to_owned());
    let query = Query {
        attributes: plain
            .attributes
            .into_iter()
            .chain(more)
            .chain(user)
            .collect(),
        ..plain
    };
    steps.push(fine(format!(
        "look-up: {} below {}",
        query.filter, query.base
    )));
    let mut link = link(access, &server, Purpose::Searching);
    let entries = match link.search(&query, until(access)) {
        Ok(entries) => entries,
        Err(error) => {
            steps.push(wrong(format!("look-up: {error}")));
            return steps;
        }
    };
    if entries.is_empty() {
        steps.push(wrong("look-up: no entry".to_owned()));
    }
    for entry in &entries {
        steps.push(describe(config, entry));
    }
    match person::judge(config, localpart, &entries) {
        Found::One(person) => {
            steps.extend(account(config, &person));
            let entry = entries.iter().find(|entry| entry.dn == person.dn);
            steps.extend(entry.into_iter().flat_map(|entry| vcard(config, entry)));
            if let Some(meant) = &config.groups {
                let person = entry.and_then(|entry| grouped::whole_name(config, entry));
                steps.extend(match person {
                    Some(person) => groups((config, meant), &mut link, &person),
                    None => Vec::new(),
                });
            }
            if let Some(password) = password {
                steps.push(bind(config, access, &server, &person, password));
            }
        }
        Found::Many(names) => steps.push(wrong(format!(
            "mapping: {} entries have this name, so nobody comes in by it",
            names.len()
        ))),
        Found::Elsewhere(name) => steps.push(wrong(format!(
            "mapping: {name} has a value of {} that is another address, so nobody is {localpart}@{} by it",
            person::ADDRESS,
            config.host
        ))),
        Found::Nobody if entries.is_empty() => {}
        Found::Nobody => steps.push(wrong(format!(
            "mapping: no entry has a value of {} that is this name, prepared as an address is (RFC 7622)",
            config.options.localpart
        ))),
    }
    steps
}

/// An entry: its name, what it is called, and which attributes came of those that were asked for.
fn describe(config: &DirectoryConfig, entry: &Entry) -> Step {
    let attributes: Vec<String> = entry
        .names()
        .map(|(name, count)| match count {
            1 => name.to_owned(),
            count => format!("{name} ({count} values)"),
        })
        .collect();
    let called: Vec<&str> = entry.texts(&config.options.localpart).collect();
    fine(format!(
        "entry: {}; {} is {called:?}; readable: {}",
        entry.dn,
        config.options.localpart,
        attributes.join(", ")
    ))
}

/// What an account is made of.
fn account(config: &DirectoryConfig, person: &Person) -> Vec<Step> {
    let options = &config.options;
    let mut steps = Vec::new();
    match (&person.unique, options.unique.as_str()) {
        (_, "") => {}
        (Some(value), name) if !value.is_empty() => steps.push(fine(format!(
            "mapping: {name} tells this entry from any other"
        ))),
        (_, name) => steps.push(wrong(format!(
            "mapping: {name} is not there or not readable, so who has an account that remembers it is kept out"
        ))),
    }
    for hash in &config.hashes {
        let name = match hash {
            ScramHash::Sha1 => "SCRAM-SHA-1",
            ScramHash::Sha256 => "SCRAM-SHA-256",
            ScramHash::Sha512 => "SCRAM-SHA-512",
        };
        steps.push(match person.keys_for(*hash) {
            Some(keys) => fine(format!("keys: {name} with {} iterations", keys.iterations)),
            None => wrong(format!(
                "keys: {} holds none of {name} (RFC 5803) that can be read",
                options.scram
            )),
        });
    }
    if let Some(bar) = person.bar {
        steps.push(wrong(format!("account: closed in the directory ({bar:?})")));
    }
    steps
}

/// What of the entry is in the vCard, by its names.
fn vcard(config: &DirectoryConfig, entry: &Entry) -> Vec<Step> {
    let cards = &config.cards;
    if cards.source == DirectoryCards::Off {
        return Vec::new();
    }
    let mut fields = cards.fields.iter();
    let photo = fields.find(|field| field.is_photo());
    let found = cards.fields.iter().filter_map(|field| {
        let count = mapping::count(cards, field, entry);
        let writable = if field.is_writable { ", writable" } else { "" };
        (count > 0).then(|| format!("{} ({} {count}{writable})", field.place(), field.attribute))
    });
    let found: Vec<String> = found.collect();
    let mut steps = vec![match found.is_empty() {
        true => wrong("vCard: the entry says nothing of what it is made of".to_owned()),
        false => fine(format!("vCard: {}", found.join(", "))),
    }];
    // There is one, and it is not shown.
    if let Some(photo) = photo
        && entry.values(&photo.attribute).next().is_some()
        && mapping::count(cards, photo, entry) == 0
    {
        steps.push(wrong(format!(
            "vCard: {} is no JPEG, PNG or GIF of at most {} bytes, and is left out",
            photo.attribute, cards.photo_bytes_max
        )));
    }
    steps
}

/// In which groups somebody is, themselves or through others, and what these mean here.
fn groups(
    (config, meant): (&DirectoryConfig, &GroupsConfig),
    link: &mut Link,
    person: &WholeName,
) -> Vec<Step> {
    let tree = match grouped::read_tree(config, (meant, &[]), link, &|| {}) {
        Ok(tree) => tree,
        Err(error) => return vec![wrong(format!("groups: {error}"))],
    };
    let options = &meant.options;
    let mut steps = vec![fine(format!(
        "groups: {} below {}: {} found",
        options.filter,
        options.base,
        tree.groups().len()
    ))];
    let roles = [
        ("managers", &options.managers),
        ("create_rooms", &options.create_rooms),
        ("federate", &options.federate),
        ("register", &options.register),
        (LISTS, &options.lists),
    ];
    for (at, group) in tree.groups().iter().enumerate() {
        let members = tree.members(at, options.depth);
        let is_in = person
            .names
            .iter()
            .any(|name| members.people.contains(name));
        let is_seer = group.is_list
            && tree.seers(at).into_iter().any(|seer| {
                let seers = tree.members(seer, options.depth).people;
                person.names.iter().any(|name| seers.contains(name))
            });
        if !is_in && !is_seer {
            continue;
        }
        let mut means: Vec<&str> = Vec::new();
        if group.is_list {
            means.push(if is_in {
                "a contact list"
            } else {
                "a contact list that is shown"
            });
        }
        for (role, names) in roles {
            let mut named = names.iter().map(|name| tree.find(name));
            if is_in && named.any(|named| counts(role, &named) && named.contains(&at)) {
                means.push(role);
            }
        }
        let means = if means.is_empty() {
            "nothing".to_owned()
        } else {
            means.join(", ")
        };
        let text = format!(
            "group: {} ({} members): {means}",
            group.cn,
            members.people.len()
        );
        steps.push(match members.too_deep {
            0 => fine(text),
            count => wrong(format!(
                "{text}; {count} groups in it are too deep and do not count"
            )),
        });
    }
    let (shown, seers): (Vec<String>, Vec<String>) = meant.displays.iter().cloned().unzip();
    let displays = [(SHOWN, &shown), ("displays (GROUP)", &seers)];
    for (role, names) in roles.into_iter().chain(displays) {
        for name in names {
            let named = tree.find(name);
            if named.is_empty() {
                steps.push(wrong(format!(
                    "groups: {role} names {name:?}, and there is no such group"
                )));
            } else if !counts(role, &named) {
                let several: Vec<&str> = tree.dns(&named).collect();
                steps.push(wrong(format!(
                    "groups: {role} names {name:?}, which is the cn of {}: none of them counts",
                    several.join(" and ")
                )));
            }
        }
    }
    steps
}

/// Whether groups of one name mean this: of several each is a list, and none gives a right or sees another.
fn counts(role: &str, named: &[usize]) -> bool {
    named.len() == 1 || matches!(role, LISTS | SHOWN)
}

fn bind(
    config: &DirectoryConfig,
    access: &Access,
    server: &str,
    person: &Person,
    password: &Secret,
) -> Step {
    let mut link = link(access, server, Purpose::Binding);
    let outcome = match link.bind(&person.dn, password, until(access)) {
        Ok(outcome) => outcome,
        Err(error) => return wrong(format!("bind: {error}")),
    };
    let mut said = format!("result {}", outcome.code);
    if !outcome.text.is_empty() {
        said.push_str(&format!(" {:?}", outcome.text));
    }
    if let Some(seconds) = outcome.policy.expires_in_s {
        said.push_str(&format!(", the password expires in {seconds} s"));
    }
    if let Some(count) = outcome.policy.grace_logins {
        said.push_str(&format!(", {count} logins are left to an expired password"));
    }
    match verdict::of_bind(config.options.preset, outcome) {
        Ok(Verdict::Right) => {
            let text = format!("bind: the password is right ({said})");
            match link.whoami(until(access)) {
                Ok(Some(known)) if !known.is_empty() => {
                    fine(format!("{text}; its owner is known as {known}"))
                }
                // Whoever has it may not be allowed to ask.
                _ => fine(text),
            }
        }
        Ok(Verdict::Wrong) => wrong(format!("bind: the password is wrong ({said})")),
        Ok(Verdict::Barred(bar)) => wrong(format!("bind: nobody comes in by it, {bar:?} ({said})")),
        Ok(Verdict::Shut(bar)) => wrong(format!(
            "bind: nobody comes in by any password, {bar:?} ({said})"
        )),
        Err(error) => wrong(format!("bind: {error}")),
    }
}

/// A connection to this server alone.
fn link(access: &Access, server: &str, purpose: Purpose) -> Link {
    let alone = Arc::new(access.to(server));
    Link::new(alone, Arc::new(Servers::new(1)), purpose)
}

fn until(access: &Access) -> Instant {
    Instant::now() + access.connect_timeout + access.operation_timeout
}

/// As whom we ask.
fn whoever(access: &Access) -> String {
    match &access.identity {
        Identity::Certificate => "whoever our certificate stands for".to_owned(),
        Identity::Nobody => "nobody".to_owned(),
        Identity::Password { dn, .. } => dn.clone(),
    }
}

const LISTS: &str = "lists";
/// The lists that are shown to others.
const SHOWN: &str = "displays (LIST)";
/// RFC 4511 section 4.5.1.8: "a list containing only the OID "1.1" indicates that no values are to be returned".
const NO_ATTRIBUTES: &str = "1.1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_directory_says_does_nothing_to_a_terminal() {
        let said = "cn=\u{1b}[2Jit's \"für\" \\2c\r\nok      forged\u{202e}\u{85}\u{9b}\0";
        let expected =
            "cn=\\u{1b}[2Jit's \"für\" \\2c\\r\\nok      forged\\u{202e}\\u{85}\\u{9b}\\0";
        assert_eq!(fine(said.to_owned()).text, expected);
        assert_eq!(wrong(said.to_owned()).text, expected);
    }
}
