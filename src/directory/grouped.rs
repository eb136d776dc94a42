//! Groups and the people in them, read from the directory. Refuses to know what they mean, and when they are read.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use super::ber::Entry;
use super::dn::Dn;
use super::error::DirectoryError;
use super::escape::filter_value;
use super::groups::{self, DN, Named, Tree, UID, bounded};
use super::mapping;
use super::person;
use super::pool::{Depth, Link, Query};
use crate::base::limits;
use crate::config::{DirectoryConfig, DirectoryReferrals, GroupNesting, GroupsConfig};

/// Somebody whom groups name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The one spelling of the name of the entry.
    pub entry: String,
    pub localpart: String,
    pub name: String,
}

/// What is asked of the directory about groups.
pub fn query(config: &GroupsConfig) -> Query {
    let options = &config.options;
    Query {
        base: options.base.clone(),
        depth: Depth::Subtree,
        filter: options.filter.clone(),
        attributes: groups::attributes(config),
        count_max: limits::DIRECTORY_GROUPS_MAX,
    }
}

/// All groups, with what they say; where the directory finds members of members, of those that mean something and of these
/// `others`. `tend` is called between one question and the next.
///
/// # Errors
/// As [`Link::search`].
pub fn read_tree(
    directory: &DirectoryConfig,
    (config, others): (&GroupsConfig, &[String]),
    link: &mut Link,
    tend: &dyn Fn(),
) -> Result<Tree, DirectoryError> {
    let options = &config.options;
    let query = query(config);
    let until = Instant::now() + Duration::from_millis(limits::DIRECTORY_LOOK_MS);
    let mut marked = BTreeSet::new();
    if !options.lists_filter.is_empty() {
        let query = Query {
            filter: format!("(&{}{})", options.filter, options.lists_filter),
            // RFC 4511 section 4.5.1.8.
            attributes: vec!["1.1".to_owned()],
            ..query.clone()
        };
        let entries = link.search_tending(&query, until, tend)?;
        let names = entries.iter().filter_map(|entry| Dn::parse(&entry.dn));
        marked.extend(names.map(|dn| dn.key()));
        tend();
    }
    let mut entries = link.search_tending(&query, until, tend)?;
    tend();
    for entry in &mut entries {
        read_behind(directory, entry, link, until, tend)?;
    }
    let mut tree = Tree::new(config, &entries, &marked);
    if options.nested == GroupNesting::Rule {
        let others = others.iter().filter_map(|name| Dn::parse(name));
        let mut groups = tree.meaningful(config);
        groups.extend(others.filter_map(|dn| tree.at(&dn)));
        for group in groups {
            let members = everybody_in(directory, &tree.groups()[group].dn, link, until)?;
            tree.fill(group, members);
            tend();
        }
    }
    Ok(tree)
}

/// Reads the members of a group that are behind those that were given at once, part by part.
fn read_behind(
    directory: &DirectoryConfig,
    entry: &mut Entry,
    link: &mut Link,
    until: Instant,
    tend: &dyn Fn(),
) -> Result<(), DirectoryError> {
    let names = entry.names();
    let names = names.filter_map(|(name, _)| groups::part_behind(name));
    let mut behind: Vec<String> = names.collect();
    while !behind.is_empty() {
        let count: usize = entry.names().map(|(_, count)| count).sum();
        if count > limits::DIRECTORY_VALUES_MAX {
            log::warn!(
                "directory_groups_trouble host={} group={:?} members=\"more than {}\"",
                directory.host,
                entry.dn,
                limits::DIRECTORY_VALUES_MAX
            );
            return Ok(());
        }
        let query = Query {
            base: entry.dn.clone(),
            depth: Depth::Base,
            filter: "(objectClass=*)".to_owned(),
            attributes: std::mem::take(&mut behind),
            count_max: 1,
        };
        for part in link.search(&query, until)? {
            // An empty part has none behind it.
            let names = part.names().filter(|(_, count)| *count > 0);
            behind.extend(names.filter_map(|(name, _)| groups::part_behind(name)));
            entry.absorb(part);
        }
        tend();
    }
    Ok(())
}

/// The people in a group and in groups in it, as Active Directory finds them ([MS-ADTS] section 3.1.1.3.4.4.3):
/// LDAP_MATCHING_RULE_TRANSITIVE_EVAL.
fn everybody_in(
    directory: &DirectoryConfig,
    group: &str,
    link: &mut Link,
    until: Instant,
) -> Result<Vec<Named>, DirectoryError> {
    let condition = format!("(memberOf:{IN_CHAIN}:={})", filter_value(group));
    let query = Query {
        attributes: vec!["1.1".to_owned()],
        count_max: limits::DIRECTORY_VALUES_MAX,
        ..query_for(directory, &condition)
    };
    let entries = link.search(&query, until)?;
    let names = entries.iter().filter_map(|entry| Dn::parse(&entry.dn));
    Ok(names.map(|dn| format!("{DN}{}", dn.key())).collect())
}

/// Who some are whom groups name: those that are people of this host, and not closed. Few are asked for by name, fifty with
/// one question; of many it is cheaper to have everybody told.
///
/// # Errors
/// As [`Link::search`].
pub fn look_up(
    directory: &DirectoryConfig,
    config: &GroupsConfig,
    link: &mut Link,
    due: &BTreeSet<&str>,
    tend: &dyn Fn(),
) -> Result<HashMap<Named, Known>, DirectoryError> {
    let until = Instant::now() + Duration::from_millis(limits::DIRECTORY_LOOK_MS);
    let mut found = Sighted::new();
    let mut learn = |entry: &Entry| learn(directory, due, entry, &mut found);
    // Whoever is behind a reference is not told of.
    let is_told = directory.options.referrals == DirectoryReferrals::Refuse;
    if is_told && due.len() > limits::DIRECTORY_LOOK_AT_ALL {
        let query = Query {
            count_max: limits::DIRECTORY_PEOPLE_MAX,
            ..query_for(directory, "")
        };
        link.search_each(&query, until, &mut |page| {
            page.iter().for_each(&mut learn);
            tend();
        })?;
        return Ok(only(found));
    }
    let due: Vec<&str> = due.iter().copied().collect();
    for some in due.chunks(limits::DIRECTORY_SWEEP_NAMES) {
        let equal = |named: &&str| match named.strip_prefix(DN) {
            Some(dn) => format!("({}={})", config.entry_name, filter_value(dn)),
            None => {
                let user = named.strip_prefix(UID).unwrap_or(named);
                format!("({USER_NAME}={})", filter_value(user))
            }
        };
        let names: String = some.iter().map(equal).collect();
        let query = Query {
            // Whatever number of entries have one of the names: that of one must not keep all groups from being read.
            count_max: limits::DIRECTORY_PEOPLE_MAX,
            ..query_for(directory, &format!("(|{names})"))
        };
        link.search(&query, until)?.iter().for_each(&mut learn);
        tend();
    }
    Ok(only(found))
}

/// Whom a name was found to be of; none where that are several.
type Sighted = HashMap<Named, Option<Known>>;

fn learn(directory: &DirectoryConfig, due: &BTreeSet<&str>, entry: &Entry, found: &mut Sighted) {
    if person::is_closed(entry) {
        return;
    }
    let Some(whole) = whole_name(directory, entry) else {
        return;
    };
    let names = whole.names.into_iter();
    for named in names.filter(|named| due.contains(named.as_str())) {
        let known = found
            .entry(named)
            .or_insert_with(|| Some(whole.known.clone()));
        if known
            .as_ref()
            .is_some_and(|known| known.entry != whole.known.entry)
        {
            *known = None;
        }
    }
}

/// Those who are the only ones.
fn only(found: Sighted) -> HashMap<Named, Known> {
    let found = found.into_iter();
    found
        .filter_map(|(named, known)| Some((named, known?)))
        .collect()
}

/// What is asked about people of whom this holds, too.
fn query_for(directory: &DirectoryConfig, condition: &str) -> Query {
    let options = &directory.options;
    let anybody = options.filter.replace("{user}", "*");
    let mut attributes = vec![
        options.localpart.clone(),
        USER_NAME.to_owned(),
        person::ADDRESS.to_owned(),
        "cn".to_owned(),
    ];
    attributes.extend(person::STANDING.map(str::to_owned));
    let display_name = &directory.cards.display_name;
    if !display_name.is_empty() {
        attributes.push(display_name.clone());
    }
    Query {
        base: options.base.clone(),
        depth: options.scope.into(),
        filter: match condition {
            "" => anybody,
            condition => format!("(&{anybody}{condition})"),
        },
        attributes,
        count_max: 1,
    }
}

fn known(directory: &DirectoryConfig, entry: &Entry) -> Option<Known> {
    let localpart = person::prepared_names(directory, entry).next()?;
    Some(Known {
        entry: Dn::parse(&entry.dn)?.key(),
        localpart,
        name: bounded(mapping::display_name(&directory.cards, entry).unwrap_or_default()),
    })
}

/// Somebody, and all that groups may name them by.
pub struct WholeName {
    pub known: Known,
    pub names: Vec<Named>,
}

/// The same of an entry that was read with [`USER_NAME`].
pub fn whole_name(directory: &DirectoryConfig, entry: &Entry) -> Option<WholeName> {
    let known = known(directory, entry)?;
    let users = entry.texts(USER_NAME);
    let mut names: Vec<Named> = users
        .map(|user| format!("{UID}{}", user.to_lowercase()))
        .collect();
    names.push(format!("{DN}{}", known.entry));
    Some(WholeName { known, names })
}

/// LDAP_MATCHING_RULE_TRANSITIVE_EVAL, once called LDAP_MATCHING_RULE_IN_CHAIN.
const IN_CHAIN: &str = "1.2.840.113556.1.4.1941";
/// What memberUid is the value of (RFC 2307).
pub const USER_NAME: &str = "uid";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_name_that_two_entries_have_is_nobodys() {
        let config = person::tests::config("localpart = \"mail\"\nfilter = \"(mail={user})\"\n");
        let person = |place: &str, mail: &str| {
            let dn = format!("uid=romeo,ou={place},dc=a");
            Entry::of(&dn, &[("uid", &[b"romeo"]), ("mail", &[mail.as_bytes()])])
        };
        let due = BTreeSet::from(["uid:romeo", "dn:uid=romeo,ou=montagues,dc=a"]);
        let names = |entries: &[Entry]| {
            let mut found = Sighted::new();
            let entries = entries.iter();
            entries.for_each(|entry| learn(&config, &due, entry, &mut found));
            let mut names: Vec<String> = only(found).into_keys().collect();
            names.sort();
            names
        };
        let own = "dn:uid=romeo,ou=montagues,dc=a";
        let entries = [
            person("montagues", "romeo"),
            person("pages", "page"),
            person("x", "x"),
        ];
        assert_eq!(names(&entries[..1]), [own, "uid:romeo"]);
        assert_eq!(
            names(&[&entries[..1], &entries[..1]].concat()),
            [own, "uid:romeo"]
        );
        assert_eq!(names(&entries[..2]), [own]);
        assert_eq!(names(&entries), [own]);
    }
}
