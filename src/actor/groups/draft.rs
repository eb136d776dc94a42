//! What [`Groups`] are made of: people and lists by their localparts, packed once. Refuses to know what is looked up in them, and
//! how groups are written in a directory.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use super::{Ends, Groups, List, Right, Spans, short};

/// What [`Groups`] are made of.
#[derive(Debug, Default)]
pub struct Draft {
    /// Names by localparts, prepared.
    pub people: BTreeMap<String, String>,
    pub lists: Vec<DraftList>,
    /// Localparts of those to whom some group gives a right.
    pub rights: Vec<(Right, BTreeSet<String>)>,
}

/// A list as localparts; who is not among the people of the draft is left out.
#[derive(Debug, Default)]
pub struct DraftList {
    /// What tells it from others, whatever it is called.
    pub key: String,
    pub name: String,
    pub members: BTreeSet<String>,
    pub viewers: BTreeSet<String>,
}

impl Groups {
    /// The same, packed.
    pub fn new(draft: &Draft) -> Groups {
        let (mut text, mut people) = (String::new(), Vec::with_capacity(draft.people.len()));
        for (localpart, name) in &draft.people {
            text.push_str(localpart);
            let ends = short(text.len());
            text.push_str(name);
            people.push(Ends {
                localpart: ends,
                name: short(text.len()),
            });
        }
        let mut groups = Groups {
            text: text.into(),
            people: people.into(),
            ..Groups::default()
        };
        let lists: Vec<List> = draft.lists.iter().map(|list| groups.list(list)).collect();
        let count = groups.people.len();
        groups.on = Spans::of(count, lists.iter().map(|list| &*list.members));
        groups.sees = Spans::of(count, lists.iter().map(|list| &*list.viewers));
        groups.lists = lists.into();
        for (right, who) in &draft.rights {
            groups.rights[right.at()] = groups.ids(who);
        }
        groups
    }

    fn list(&self, draft: &DraftList) -> List {
        let members = self.ids(&draft.members);
        let outside = draft.viewers.difference(&draft.members);
        let viewers = self.ids(&outside.cloned().collect());
        let mut hash = Sha256::new();
        for text in [&draft.key, &draft.name] {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        }
        for &member in &members {
            let (localpart, name) = self.person(member);
            for text in [localpart, name] {
                hash.update((text.len() as u64).to_be_bytes());
                hash.update(text);
            }
        }
        List {
            key: draft.key.as_str().into(),
            name: draft.name.as_str().into(),
            members,
            viewers,
            digest: first_bytes(hash),
        }
    }

    fn ids(&self, who: &BTreeSet<String>) -> Box<[u32]> {
        let known = who.iter().filter_map(|localpart| self.find(localpart));
        known.map(|member| member.0).collect()
    }
}

fn first_bytes(hash: Sha256) -> u64 {
    let digest = hash.finalize();
    let bytes = digest.first_chunk().copied();
    u64::from_be_bytes(bytes.expect("a digest is longer"))
}
