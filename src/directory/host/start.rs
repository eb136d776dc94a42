//! The threads of a host's directory: how many there are, and what each has. Refuses to know what they are asked.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::{HostDirectory, Question, Shared};
use crate::config::DirectoryReferrals;
use crate::directory::access::Access;
use crate::directory::cache::Known;
use crate::directory::cards::CardCache;
use crate::directory::collisions::Collisions;
use crate::directory::desk::Desk;
use crate::directory::due::Due;
use crate::directory::lists::{self, Lists, Woken};
use crate::directory::people::People;
use crate::directory::pool::{Link, Purpose, Trial};
use crate::directory::prepared::Prepared;
use crate::directory::room_book::{self, RoomKeeper};
use crate::directory::servers::Servers;
use crate::directory::service::Answers;
use crate::directory::watch::{self, Watch};
use crate::directory::{grouped, person, threads};

impl HostDirectory {
    /// Starts the threads, in the place of the directory `before`, if there was one. Connections are made when they are needed,
    /// and nothing follows from what the directory says before it is let begin.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn start(
        Prepared {
            host,
            config,
            access,
        }: Prepared,
        before: Option<&HostDirectory>,
        desk: &Arc<Desk>,
        answers: &Arc<Answers>,
    ) -> io::Result<HostDirectory> {
        let options = &config.options;
        let own_changes = before.map(|before| Arc::clone(&before.shared.own_changes));
        let servers = Arc::new(Servers::new(access.servers.len()));
        let access = Arc::new(access);
        let trials = try_servers(&access, &servers)?;
        let ways = Ways(Arc::clone(&access), servers, trials);
        let (due, woken) = config.groups.as_ref().map(|_| Due::new()).unzip();
        let shared = Arc::new(Shared {
            host,
            config: Arc::clone(&config),
            known: Known::new(
                options.cache as usize,
                Duration::from_millis(options.fresh.as_ms()),
                Duration::from_millis(options.fresh_unknown.as_ms()),
            ),
            cards: CardCache::new(
                config.cards.cache_bytes,
                Duration::from_millis(config.cards.fresh_ms),
            ),
            lists: Lists::default(),
            due,
            desk: Arc::clone(desk),
            answers: Arc::clone(answers),
            own_changes: own_changes.unwrap_or_default(),
            collisions: Collisions::default(),
            rooms: Arc::default(),
        });
        let questions = serve(&shared, &ways)?;
        // Where there is no thread left the first is dropped behind the second, as in `HostDirectory`.
        let (holds, held) = bounded(0);
        let (follows, stop) = bounded(0);
        follow(&shared, &ways, (&held, &stop))?;
        match woken {
            Some(woken) => keep_groups(&shared, &ways, woken, (&held, &stop))?,
            // Nobody has asked yet; who does has not heard that they mean nothing any more.
            None => drop(shared.lists.end()),
        }
        Ok(HostDirectory {
            shared,
            access,
            questions,
            _follows: follows,
            holds: Some(holds),
        })
    }

    /// What becomes of the directory is followed from now on.
    pub fn begin(&mut self) {
        self.holds = None;
    }
}

/// How connections are made, and to which servers; who tries those that have failed.
struct Ways(Arc<Access>, Arc<Servers>, Option<Sender<Trial>>);

impl Ways {
    fn link(&self, purpose: Purpose) -> Link {
        let link = Link::new(Arc::clone(&self.0), Arc::clone(&self.1), purpose);
        link.with_trials(self.2.clone())
    }
}

/// Who tries servers that have failed while others answer, until there is nobody who would ask those; none where there is one
/// server.
fn try_servers(access: &Arc<Access>, servers: &Arc<Servers>) -> io::Result<Option<Sender<Trial>>> {
    if access.servers.len() < 2 {
        return Ok(None);
    }
    // Nothing waits here: it holds passwords.
    let (trials, offered) = bounded::<Trial>(0);
    let (access, servers) = (Arc::clone(access), Arc::clone(servers));
    let run = move || {
        while let Ok(trial) = offered.recv() {
            let work = || Link::try_out(&access, &servers, &trial);
            threads::or_else(work, || {
                log::error!("directory_thread_panicked thread=\"ldap-trial\"")
            });
        }
    };
    let thread = thread::Builder::new().name("ldap-trial".to_owned());
    thread.spawn(run)?;
    Ok(Some(trials))
}

/// Those who answer questions.
fn serve(shared: &Arc<Shared>, ways: &Ways) -> io::Result<Sender<Question>> {
    let options = &shared.config.options;
    let (questions, asked) = bounded(options.queue as usize);
    let (attempts, attempted) = bounded(options.queue as usize);
    for _ in 0..options.search_connections {
        let (shared, asked) = (Arc::clone(shared), asked.clone());
        let (link, attempts) = (ways.link(Purpose::Searching), attempts.clone());
        thread::Builder::new()
            .name("ldap-search".to_owned())
            .spawn(move || shared.search_all(link, &asked, &attempts))?;
    }
    for _ in 0..options.bind_connections {
        let (shared, attempted) = (Arc::clone(shared), attempted.clone());
        let link = ways.link(Purpose::Binding);
        thread::Builder::new()
            .name("ldap-bind".to_owned())
            .spawn(move || shared.bind_all(link, &attempted))?;
    }
    Ok(questions)
}

/// Those who hear of changes, from when nobody holds the other end of `held` until nobody holds that of `stop`.
fn follow(
    shared: &Arc<Shared>,
    ways: &Ways,
    (held, stop): (&Receiver<()>, &Receiver<()>),
) -> io::Result<()> {
    let config = &shared.config;
    let options = &config.options;
    let watch = |what: &str, query| Watch {
        name: format!("{what} of {}", shared.host),
        query,
        every: Duration::from_millis(options.poll.as_ms()),
        // Nobody tells of what is behind a reference.
        listens: options.listen && options.referrals == DirectoryReferrals::Refuse,
        entries_max: options.watched as usize,
    };
    let link = || ways.link(Purpose::Searching);
    let people = watch("people", person::query_for_all(config));
    let own = Arc::clone(shared);
    let follower = move || People::new(&own);
    watch::start("ldap-people", people, link(), follower, (held, stop))?;
    if !options.rooms_base.is_empty() {
        let rooms = watch("rooms", room_book::query(config));
        let own = Arc::clone(shared);
        let follower = move || RoomKeeper::new(&own);
        watch::start("ldap-rooms", rooms, link(), follower, (held, stop))?;
    }
    if let Some(meant) = &config.groups {
        let groups = watch("groups", grouped::query(meant));
        let own = Arc::clone(shared);
        let follower = move || Woken::new(&own);
        watch::start("ldap-grouped", groups, link(), follower, (held, stop))?;
    }
    Ok(())
}

/// Who keeps what groups say, if they mean anything.
fn keep_groups(
    shared: &Arc<Shared>,
    ways: &Ways,
    woken: Receiver<()>,
    (held, stop): (&Receiver<()>, &Receiver<()>),
) -> io::Result<()> {
    let (shared, held, stop) = (Arc::clone(shared), held.clone(), stop.clone());
    let mut link = ways.link(Purpose::Searching);
    let every = Duration::from_millis(shared.config.options.poll.as_ms());
    let run = move || {
        if !threads::may_begin(&held, &stop) {
            return;
        }
        // What is in force stays so, and is what the next look is compared with, whatever becomes of this one.
        let mut watch = lists::Watch::default();
        threads::again("ldap-groups", &stop, || {
            if let (Some(meant), Some(due)) = (&shared.config.groups, &shared.due) {
                let means = (meant, due);
                watch.run(&shared, means, &mut link, every, (&woken, &stop));
            }
        });
    };
    let thread = thread::Builder::new().name("ldap-groups".to_owned());
    thread.spawn(run)?;
    Ok(())
}
