//! Keeps what the groups of a host's directory say: reads them at the start, when it is told that something changed, and
//! now and then, and hands on what is another than before. Refuses to let anybody wait for it but who asks for the first.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TryRecvError, select};
use parking_lot::Mutex;

use super::ber::Entry;
use super::content::{Change, Content};
use super::dn::Dn;
use super::error::DirectoryError;
use super::escape::filter_value;
use super::groups::{self, DN, Named, Tree, UID, bounded};
use super::host::Shared;
use super::mapping;
use super::person::{self, Found};
use super::pool::{Depth, Link, Query};
use super::watch::Follower;
use crate::actor::Ticket;
use crate::actor::directory::DirectoryAnswer;
use crate::actor::groups::{Draft, DraftList, Groups, Right};
use crate::base::{WorkerId, limits};
use crate::config::{DirectoryConfig, GroupsConfig};
use crate::jid::prepare_localpart;

/// What was read, for those who ask.
#[derive(Default)]
pub struct Lists(Mutex<State>);

#[derive(Default)]
struct State {
    /// Whether it was tried at all.
    is_known: bool,
    current: Option<Arc<Groups>>,
    waiting: Vec<(WorkerId, Ticket)>,
}

impl Lists {
    /// What is known, if it was tried to know it; whoever asks before that is answered then.
    pub fn ask(&self, worker: WorkerId, ticket: Ticket) -> Option<DirectoryAnswer> {
        let mut state = self.0.lock();
        if !state.is_known {
            state.waiting.push((worker, ticket));
            return None;
        }
        Some(answer(state.current.clone()))
    }

    /// It was tried; this is what is known now, for these who waited.
    fn learn(&self, current: Option<Arc<Groups>>) -> Vec<(WorkerId, Ticket)> {
        let mut state = self.0.lock();
        state.is_known = true;
        state.current = current;
        std::mem::take(&mut state.waiting)
    }
}

fn answer(groups: Option<Arc<Groups>>) -> DirectoryAnswer {
    groups.map_or(DirectoryAnswer::Unavailable, DirectoryAnswer::Groups)
}

/// Wakes whoever reads groups when the directory tells of a change.
pub struct Woken {
    wake: Sender<()>,
    /// It tells of what may have been so before.
    is_refreshing: bool,
    has_changed: bool,
}

impl Woken {
    /// By this.
    pub fn new(wake: Sender<()>) -> Woken {
        Woken {
            wake,
            is_refreshing: false,
            has_changed: false,
        }
    }
}

impl Follower for Woken {
    fn hear(&mut self, change: Change<'_>) {
        match change {
            Change::Begins => self.is_refreshing = true,
            Change::Is { .. } | Change::Gone { .. } => self.has_changed = true,
            Change::Whole => self.is_refreshing = false,
        }
        if self.has_changed && !self.is_refreshing {
            self.has_changed = false;
            // One that waits is enough.
            let _ = self.wake.try_send(());
        }
    }

    /// Groups are read as often anyway.
    fn look(&mut self, _: &mut Link, _: &mut Content) -> Result<(), DirectoryError> {
        Ok(())
    }
}

/// What one look has found, and those before.
struct Watch {
    people: HashMap<Named, Option<Known>>,
    round: u64,
    current: Option<Arc<Groups>>,
    /// Many were missing the last time.
    is_doubtful: bool,
    /// What the operator was told of already.
    reported: BTreeSet<String>,
}

/// Somebody whom groups name.
#[derive(Clone, Debug)]
struct Known {
    /// The one spelling of the name of the entry.
    entry: String,
    localpart: String,
    name: String,
}

/// Looks at once, `every`, and when it is woken, until nobody can wake it any more.
pub fn run(
    shared: &Shared,
    config: &GroupsConfig,
    mut link: Link,
    every: Duration,
    (wake, stop): (&Receiver<()>, &Receiver<()>),
) {
    let mut watch = Watch {
        people: HashMap::new(),
        round: 0,
        current: None,
        is_doubtful: false,
        reported: BTreeSet::new(),
    };
    loop {
        let begun = Instant::now();
        let looked = watch.look(shared, config, &mut link);
        // Whoever watches by other options now may have said more by then.
        if stop.try_recv() == Err(TryRecvError::Disconnected) {
            return;
        }
        let next = match looked {
            Ok(groups) => {
                watch.adopt(shared, groups, begun);
                every
            }
            Err(error) => {
                log::warn!(
                    "directory_groups_unread host={} error=\"{error}\"",
                    shared.host
                );
                every.min(Duration::from_millis(limits::DIRECTORY_GROUPS_AGAIN_MS))
            }
        };
        for (worker, ticket) in shared.lists.learn(watch.current.clone()) {
            let answer = answer(watch.current.clone());
            shared.answers.profile(worker, ticket, answer);
        }
        link.go_back();
        select! {
            recv(wake) -> woken => if woken.is_err() {
                return;
            },
            recv(stop) -> _ => return,
            default(next) => {}
        }
    }
}

impl Watch {
    /// Hands on what is another than before, unless nearly everybody is gone, which is believed the second time.
    fn adopt(&mut self, shared: &Shared, groups: Groups, begun: Instant) {
        let (people, lists) = groups.counts();
        let before = self.current.as_ref().map_or(0, |groups| groups.counts().0);
        let is_believable =
            people + limits::DIRECTORY_GONE_AT_ONCE >= before || people * 2 >= before;
        if !is_believable && !std::mem::replace(&mut self.is_doubtful, true) {
            log::error!(
                "directory_groups_nearly_empty host={} people={people} before={before} mend=\"look at base and filter\"",
                shared.host
            );
            return;
        }
        self.is_doubtful = false;
        if self.current.as_deref() == Some(&groups) {
            return;
        }
        log::info!(
            "directory_groups host={} people={people} lists={lists} bytes={} took_ms={}",
            shared.host,
            groups.bytes(),
            begun.elapsed().as_millis()
        );
        let groups = Arc::new(groups);
        self.current = Some(Arc::clone(&groups));
        (shared.desk.publish)(&shared.host, Some(groups));
    }

    fn look(
        &mut self,
        shared: &Shared,
        config: &GroupsConfig,
        link: &mut Link,
    ) -> Result<Groups, DirectoryError> {
        let tree = read_tree(config, link, shared.patience())?;
        let meant = Meant::of(config, &tree);
        for text in &meant.troubles {
            self.report(&shared.host, text);
        }
        let needed = meant.everybody();
        if needed.len() > limits::DIRECTORY_PEOPLE_MAX {
            return Err(DirectoryError::TooMuch);
        }
        self.round += 1;
        self.people
            .retain(|named, _| needed.contains(named.as_str()));
        let is_due = |named: &&&str| {
            let mut hash = DefaultHasher::new();
            named.hash(&mut hash);
            let turn = hash.finish() % limits::DIRECTORY_PEOPLE_ROUNDS;
            !self.people.contains_key(**named)
                || turn == self.round % limits::DIRECTORY_PEOPLE_ROUNDS
        };
        let due: Vec<&str> = needed.iter().filter(is_due).copied().collect();
        for some in due.chunks(limits::DIRECTORY_SWEEP_NAMES) {
            let found = look_up(&shared.config, config, link, some, shared.patience())?;
            for named in some {
                let known = found.get(*named).cloned();
                self.people.insert((*named).to_owned(), known);
            }
        }
        let people = self.people_of(shared, &needed);
        Ok(Groups::new(&meant.draft(&people)))
    }

    /// Who everybody is; those of one name are nobody.
    fn people_of<'a>(
        &mut self,
        shared: &Shared,
        needed: &BTreeSet<&'a str>,
    ) -> BTreeMap<&'a str, Known> {
        let known = needed.iter().filter_map(|named| {
            let known = self.people.get(*named)?.clone()?;
            Some((*named, known))
        });
        let mut people: BTreeMap<&str, Known> = known.collect();
        let mut having: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for known in people.values() {
            having
                .entry(&known.localpart)
                .or_default()
                .insert(&known.entry);
        }
        let several = having.into_iter().filter(|(_, entries)| entries.len() > 1);
        let several: BTreeMap<String, Vec<String>> = several
            .map(|(name, entries)| {
                let entries = entries.into_iter().map(str::to_owned);
                (name.to_owned(), entries.collect())
            })
            .collect();
        people.retain(|_, known| !several.contains_key(&known.localpart));
        for (localpart, entries) in several {
            if self.reported.insert(localpart.clone()) {
                shared.report(&localpart, &Found::Many(entries));
            }
        }
        people
    }

    fn report(&mut self, host: &str, text: &str) {
        if self.reported.insert(text.to_owned()) {
            log::warn!("directory_groups_trouble host={host} {text}");
        }
    }
}

/// Groups that mean something, and who is in them.
struct Meant {
    rights: Vec<(Right, BTreeSet<Named>)>,
    lists: Vec<MeantList>,
    troubles: Vec<String>,
}

struct MeantList {
    key: String,
    name: String,
    members: BTreeSet<Named>,
    viewers: BTreeSet<Named>,
}

impl Meant {
    fn of(config: &GroupsConfig, tree: &Tree) -> Meant {
        let options = &config.options;
        let mut troubles = Vec::new();
        let mut inside = |at: usize| {
            let members = tree.members(at, options.depth);
            if members.too_deep > 0 {
                let cn = &tree.groups()[at].cn;
                troubles.push(format!("group={cn:?} too_deep={}", members.too_deep));
            }
            members.people
        };
        let mut unknown = Vec::new();
        let rights = [
            (Right::Manage, &options.managers),
            (Right::CreateRooms, &options.create_rooms),
            (Right::Federate, &options.federate),
            (Right::Register, &options.register),
        ];
        let rights = rights.into_iter().filter(|(_, names)| !names.is_empty());
        let rights = rights.map(|(right, names)| {
            let mut people = BTreeSet::new();
            for name in names {
                let found = tree.find(name);
                if found.is_empty() {
                    unknown.push(format!("unknown={name:?}"));
                }
                people.extend(found.into_iter().flat_map(&mut inside));
            }
            (right, people)
        });
        let rights = rights.collect();
        for name in &options.lists {
            if tree.find(name).is_empty() {
                unknown.push(format!("unknown={name:?}"));
            }
        }
        let mut lists = Vec::new();
        let mut too_large = Vec::new();
        let places = tree.groups().iter().enumerate();
        for (at, group) in places.filter(|(_, group)| group.is_list) {
            let members = inside(at);
            if members.len() > options.members as usize {
                too_large.push(format!("list={:?} members={}", group.cn, members.len()));
                continue;
            }
            let viewers = tree.seers(at).into_iter().flat_map(&mut inside);
            lists.push(MeantList {
                key: group.key.clone(),
                name: group.list_name.clone(),
                members,
                viewers: viewers.collect(),
            });
        }
        troubles.append(&mut unknown);
        troubles.append(&mut too_large);
        Meant {
            rights,
            lists,
            troubles,
        }
    }

    fn everybody(&self) -> BTreeSet<&str> {
        let lists = self
            .lists
            .iter()
            .flat_map(|list| list.members.iter().chain(&list.viewers));
        let rights = self.rights.iter().flat_map(|(_, who)| who);
        lists.chain(rights).map(String::as_str).collect()
    }

    /// The same with people in the place of how groups name them.
    fn draft(&self, people: &BTreeMap<&str, Known>) -> Draft {
        let who = |named: &BTreeSet<Named>| {
            let found = named.iter().filter_map(|named| people.get(named.as_str()));
            found.map(|known| known.localpart.clone()).collect()
        };
        let lists = self.lists.iter().map(|list| DraftList {
            key: list.key.clone(),
            name: list.name.clone(),
            members: who(&list.members),
            viewers: who(&list.viewers),
        });
        let named = people.values();
        Draft {
            people: named
                .map(|known| (known.localpart.clone(), known.name.clone()))
                .collect(),
            lists: lists.collect(),
            rights: self
                .rights
                .iter()
                .map(|(right, named)| (*right, who(named)))
                .collect(),
        }
    }
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

/// All groups, with what they say.
pub fn read_tree(
    config: &GroupsConfig,
    link: &mut Link,
    patience: Duration,
) -> Result<Tree, DirectoryError> {
    let options = &config.options;
    let query = query(config);
    let mut marked = BTreeSet::new();
    if !options.lists_filter.is_empty() {
        let query = Query {
            filter: format!("(&{}{})", options.filter, options.lists_filter),
            // RFC 4511 section 4.5.1.8.
            attributes: vec!["1.1".to_owned()],
            ..query.clone()
        };
        let entries = link.search(&query, Instant::now() + patience)?;
        let names = entries.iter().filter_map(|entry| Dn::parse(&entry.dn));
        marked.extend(names.map(|dn| dn.key()));
    }
    let mut entries = link.search(&query, Instant::now() + patience)?;
    for entry in &mut entries {
        let names = entry
            .names()
            .filter_map(|(name, _)| groups::part_behind(name));
        let mut behind: Vec<String> = names.collect();
        while !behind.is_empty() {
            let query = Query {
                base: entry.dn.clone(),
                depth: Depth::Base,
                filter: "(objectClass=*)".to_owned(),
                attributes: std::mem::take(&mut behind),
                count_max: 1,
            };
            for part in link.search(&query, Instant::now() + patience)? {
                // An empty part has none behind it.
                let names = part.names().filter(|(_, count)| *count > 0);
                behind.extend(names.filter_map(|(name, _)| groups::part_behind(name)));
                entry.absorb(part);
            }
        }
    }
    Ok(Tree::new(config, &entries, &marked))
}

/// Who some are whom groups name: those that are people of this host, and not closed.
fn look_up(
    directory: &DirectoryConfig,
    config: &GroupsConfig,
    link: &mut Link,
    some: &[&str],
    patience: Duration,
) -> Result<HashMap<String, Known>, DirectoryError> {
    let options = &directory.options;
    let equal = |named: &&str| match named.strip_prefix(DN) {
        Some(dn) => format!("({}={})", config.entry_name, filter_value(dn)),
        None => {
            let user = named.strip_prefix(UID).unwrap_or(named);
            format!("({USER_NAME}={})", filter_value(user))
        }
    };
    let names: String = some.iter().map(equal).collect();
    let anybody = options.filter.replace("{user}", "*");
    let mut attributes = vec![
        options.localpart.clone(),
        USER_NAME.to_owned(),
        "cn".to_owned(),
    ];
    attributes.extend(person::STANDING.map(str::to_owned));
    let display_name = &directory.cards.display_name;
    if !display_name.is_empty() {
        attributes.push(display_name.clone());
    }
    let query = Query {
        base: options.base.clone(),
        depth: options.scope.into(),
        filter: format!("(&{anybody}(|{names}))"),
        attributes,
        count_max: some.len() * 2,
    };
    let entries = link.search(&query, Instant::now() + patience)?;
    let mut found = HashMap::new();
    for entry in entries.iter().filter(|entry| !person::is_closed(entry)) {
        let Some(known) = known(directory, entry) else {
            continue;
        };
        for user in entry.texts(USER_NAME) {
            found.insert(format!("{UID}{}", user.to_lowercase()), known.clone());
        }
        found.insert(format!("{DN}{}", known.entry), known);
    }
    Ok(found)
}

fn known(directory: &DirectoryConfig, entry: &Entry) -> Option<Known> {
    let mut names = entry.texts(&directory.options.localpart);
    let localpart = names.find_map(|name| prepare_localpart(name).ok())?;
    Some(Known {
        entry: Dn::parse(&entry.dn)?.key(),
        localpart: localpart.into_owned(),
        name: bounded(mapping::display_name(&directory.cards, entry).unwrap_or_default()),
    })
}

/// All that groups may name somebody by.
pub struct WholeName {
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
    Some(WholeName { names })
}

/// What memberUid is the value of (RFC 2307).
pub const USER_NAME: &str = "uid";
