//! A thread's life that keeps up to date with a part of the directory: it listens where the server tells of changes, and
//! looks now and then where it does not. Refuses to know what the changes mean.

use std::io;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, TryRecvError};

use super::content::{Change, Content};
use super::error::DirectoryError;
use super::pool::{Link, Listened, Query};
use super::threads;
use crate::base::limits;

/// A part of the directory.
pub struct Watch {
    /// For the log: the host, and what of it.
    pub name: String,
    pub query: Query,
    /// How often it is looked.
    pub every: Duration,
    /// Whether the server is to tell of changes if it can.
    pub listens: bool,
    pub entries_max: usize,
}

/// Who wants to know of the changes.
pub trait Follower {
    fn hear(&mut self, change: Change<'_>);

    /// The server does not tell: looks what has become of it.
    ///
    /// # Errors
    /// The directory's.
    fn look(&mut self, link: &mut Link, content: &mut Content) -> Result<(), DirectoryError>;
}

/// How one attempt ended.
enum Turn {
    /// Something failed, or the server ended what it said: soon again.
    Ended(String),
    /// Later again.
    Looked,
    Stopped,
}

/// Starts a thread that follows when nobody holds the other end of `held` any more, until nobody holds that of `stop`.
/// `follower` makes who wants to know: anew after a
/// panic, for what is heard then is told from the beginning, and of what is gone nobody tells who has not been told of it.
///
/// # Errors
/// The system has no thread left.
pub fn start<F: Follower>(
    thread: &str,
    watch: Watch,
    mut link: Link,
    follower: impl Fn() -> F + Send + 'static,
    (held, stop): (&Receiver<()>, &Receiver<()>),
) -> io::Result<()> {
    let (held, stop) = (held.clone(), stop.clone());
    thread::Builder::new()
        .name(thread.to_owned())
        .spawn(move || {
            if threads::may_begin(&held, &stop) {
                let pause = threads::PAUSE;
                follow(pause, &watch, &mut link, &follower, &stop);
            }
        })?;
    Ok(())
}

fn follow<F: Follower>(
    pause: Duration,
    watch: &Watch,
    link: &mut Link,
    follower: &impl Fn() -> F,
    stop: &Receiver<()>,
) {
    threads::again_after(pause, &watch.name, stop, || {
        run(watch, link, &mut follower(), stop);
    });
}

/// Follows until nobody holds the other end of `stop`.
fn run(watch: &Watch, link: &mut Link, follower: &mut dyn Follower, stop: &Receiver<()>) {
    let mut content = Content::new(watch.entries_max);
    let mut back_off = limits::DIRECTORY_BACK_OFF_FIRST_MS;
    loop {
        content.interrupt();
        let wait = match turn(watch, link, &mut content, follower, stop) {
            Turn::Stopped => return,
            Turn::Looked => watch.every,
            Turn::Ended(reason) => {
                // What was up to date may be so again at once.
                if content.is_up_to_date() {
                    back_off = limits::DIRECTORY_BACK_OFF_FIRST_MS;
                }
                let name = &watch.name;
                match back_off == limits::DIRECTORY_BACK_OFF_FIRST_MS {
                    true => log::warn!("directory_unheard of={name} reason=\"{reason}\""),
                    false => log::debug!("directory_unheard of={name} reason=\"{reason}\""),
                }
                let wait = Duration::from_millis(back_off);
                back_off = (back_off * 2).min(limits::DIRECTORY_BACK_OFF_MAX_MS);
                wait
            }
        };
        match stop.recv_timeout(wait) {
            Err(RecvTimeoutError::Timeout) => link.go_back(),
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn turn(
    watch: &Watch,
    link: &mut Link,
    content: &mut Content,
    follower: &mut dyn Follower,
    stop: &Receiver<()>,
) -> Turn {
    let name = &watch.name;
    let offers = match watch.listens {
        true => link.offers_sync(),
        false => Ok(false),
    };
    let heard = match offers {
        Ok(true) => listen(watch, link, content, follower, stop),
        Ok(false) => return look(watch, link, content, follower),
        Err(error) => Err(error),
    };
    match heard {
        Ok(turn) => turn,
        // It may not, or not as far as it would have to: the operator's matter, and no reason not to look.
        Err(error @ DirectoryError::Refused { .. }) => {
            log::warn!("directory_tells_nothing of={name} error=\"{error}\"");
            look(watch, link, content, follower)
        }
        Err(error @ (DirectoryError::Garbled | DirectoryError::TooMuch)) => {
            log::warn!("directory_tells_wrongly of={name} error=\"{error}\"");
            content.forget_cookie();
            look(watch, link, content, follower)
        }
        Err(error) => Turn::Ended(error.to_string()),
    }
}

fn listen(
    watch: &Watch,
    link: &mut Link,
    content: &mut Content,
    follower: &mut dyn Follower,
    stop: &Receiver<()>,
) -> Result<Turn, DirectoryError> {
    let is_stopped = || matches!(stop.try_recv(), Err(TryRecvError::Disconnected));
    log::debug!("directory_listens of={}", watch.name);
    loop {
        let mut tell = |change: Change<'_>| follower.hear(change);
        match link.listen(&watch.query, content, &is_stopped, &mut tell)? {
            Listened::Quiet if is_stopped() => return Ok(Turn::Stopped),
            Listened::Quiet => link.go_back(),
            Listened::Ended => return Ok(Turn::Ended("the server has ended it".to_owned())),
            Listened::Lacking => {
                let reason = "entries are there of which it told nothing";
                return Ok(Turn::Ended(reason.to_owned()));
            }
            Listened::Stopped => return Ok(Turn::Stopped),
        }
    }
}

fn look(
    watch: &Watch,
    link: &mut Link,
    content: &mut Content,
    follower: &mut dyn Follower,
) -> Turn {
    // The next time says more.
    if let Err(error) = follower.look(link, content) {
        log::warn!("directory_unseen of={} error=\"{error}\"", watch.name);
    }
    Turn::Looked
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::Arc;

    use crossbeam_channel::{Sender, bounded};

    use super::*;
    use crate::directory::access::Access;
    use crate::directory::person;
    use crate::directory::pool::{Depth, Purpose};
    use crate::directory::servers::Servers;

    /// Panics at its first look; the second ends it all.
    struct Fragile<'a> {
        looks: &'a Cell<u32>,
        hold: &'a Cell<Option<Sender<()>>>,
    }

    impl Follower for Fragile<'_> {
        fn hear(&mut self, _: Change<'_>) {}

        fn look(&mut self, _: &mut Link, _: &mut Content) -> Result<(), DirectoryError> {
            self.looks.set(self.looks.get() + 1);
            assert!(self.looks.get() > 1, "as a bug would have it");
            self.hold.take();
            Ok(())
        }
    }

    #[test]
    fn who_follows_after_a_panic_knows_nothing_from_before() {
        let (hold, stop) = bounded(0);
        let (looks, hold) = (Cell::new(0), Cell::new(Some(hold)));
        let made = Cell::new(0);
        let watch = Watch {
            name: "test".to_owned(),
            query: Query {
                base: "dc=a".to_owned(),
                depth: Depth::Subtree,
                filter: "(cn=*)".to_owned(),
                attributes: Vec::new(),
                count_max: 1,
            },
            every: Duration::MAX,
            listens: false,
            entries_max: 1,
        };
        let config = person::tests::config("");
        let access = Access::read(&config, &|path| path.into()).expect("no files");
        let access = Arc::new(access);
        let mut link = Link::new(access, Arc::new(Servers::new(0)), Purpose::Searching);
        let follower = || {
            made.set(made.get() + 1);
            Fragile {
                looks: &looks,
                hold: &hold,
            }
        };
        follow(Duration::ZERO, &watch, &mut link, &follower, &stop);
        assert_eq!((looks.get(), made.get()), (2, 2));
    }
}
