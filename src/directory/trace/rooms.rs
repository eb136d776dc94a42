//! The permanent rooms of a directory, as an operator reads them: `stonechat directory rooms`. Refuses to show a room's password.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::{Step, fine, link, servers, wrong};
use crate::base::limits;
use crate::config::{DirectoryConfig, GroupsConfig};
use crate::directory::access::Access;
use crate::directory::error::DirectoryError;
use crate::directory::pool::{Link, Purpose};
use crate::directory::room_people::RoomNames;
use crate::directory::rooms::{self, Room};
use crate::directory::{grouped, room_book};

/// Every room, and what of its entry is no sense.
pub fn rooms(config: &DirectoryConfig, access: &Access) -> Vec<Step> {
    let mut steps = servers(config, access);
    let working = steps.iter().position(|step| step.fine);
    let Some(server) = working.map(|at| access.servers[at].clone()) else {
        return steps;
    };
    let query = room_book::query(config);
    steps.push(fine(format!(
        "rooms: {} below {}",
        query.filter, query.base
    )));
    let until = Instant::now() + Duration::from_millis(limits::DIRECTORY_LOOK_MS);
    let mut link = link(access, &server, Purpose::Searching);
    let entries = match link.search(&query, until) {
        Ok(entries) => entries,
        Err(error) => {
            steps.push(wrong(format!("rooms: {error}")));
            return steps;
        }
    };
    let mut names = BTreeSet::new();
    let mut found = Vec::new();
    let read = |entry| rooms::read(entry, &config.host);
    for read in entries.iter().map(read) {
        if let Some(jid) = &read.elsewhere {
            steps.push(fine(format!("room {}: is {jid}, of another host", read.dn)));
        }
        let problems = read.problems.iter();
        steps.extend(problems.map(|problem| wrong(format!("room {}: {problem}", read.dn))));
        let Some(room) = &read.room else {
            continue;
        };
        if !names.insert(room.localpart.clone()) {
            let name = &room.localpart;
            steps.push(wrong(format!(
                "room {}: another entry is {name}, too",
                read.dn
            )));
        }
        steps.push(fine(described(room)));
        found.push(room.clone());
    }
    match &config.groups {
        Some(meant) => match room_people((config, meant), &mut link, &found) {
            Ok(people) => steps.extend(people),
            Err(error) => steps.push(wrong(format!("people of rooms: {error}"))),
        },
        None if found.iter().all(|room| room.entries.is_empty()) => {}
        None => steps.push(fine(
            "people of rooms: host.directory_groups has no base, so nobody is looked up".to_owned(),
        )),
    }
    steps
}

/// Who has which affiliation to these rooms by the entries that they name.
fn room_people(
    (config, meant): (&DirectoryConfig, &GroupsConfig),
    link: &mut Link,
    rooms: &[Room],
) -> Result<Vec<Step>, DirectoryError> {
    let others = rooms
        .iter()
        .flat_map(|room| room.entries.values().flatten());
    let others: Vec<String> = others.cloned().collect();
    let tree = grouped::read_tree(config, (meant, &others), link, &|| {})?;
    let depth = meant.options.depth;
    let names: Vec<RoomNames> = rooms
        .iter()
        .map(|room| RoomNames::of(room, &tree, depth))
        .collect();
    let due: BTreeSet<&str> = names.iter().flat_map(RoomNames::all).collect();
    let known = grouped::look_up(config, meant, link, &due, &|| {})?;
    let localpart = |named: &str| known.get(named).map(|known| known.localpart.as_str());
    let steps = rooms.iter().zip(&names).map(|(room, names)| {
        let people = names.people(localpart).into_iter();
        let people = people.map(|(name, affiliation)| format!("{name} {}", affiliation.name()));
        let people: Vec<String> = people.collect();
        let strangers = names.all().into_iter();
        let strangers: Vec<&str> = strangers
            .filter(|named| localpart(named).is_none())
            .collect();
        let text = format!("people of room {}: {}", room.localpart, people.join(", "));
        match strangers.is_empty() {
            true => fine(text),
            false => fine(format!(
                "{text}; closed, or nobody: {}",
                strangers.join(" and ")
            )),
        }
    });
    Ok(steps.collect())
}

/// A room in one line, without its password.
fn described(room: &Room) -> String {
    let mut text = format!("room {}", room.localpart);
    if let Some(name) = &room.name {
        text.push_str(&format!(" {name:?}"));
    }
    if room.is_closed {
        text.push_str(", closed");
    }
    if room.password.is_some() {
        text.push_str(", with a password");
    }
    for (field, values) in &room.options {
        text.push_str(&format!(", {field} {}", values.join(" and ")));
    }
    for (affiliation, names) in &room.entries {
        text.push_str(&format!(", {} {}", affiliation.name(), names.join(" and ")));
    }
    for other in &room.others {
        text.push_str(&format!(", {} {}", other.affiliation.name(), other.jid));
    }
    text
}
