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

/// Starts a thread that follows until nobody holds the other end of `stop`.
///
/// # Errors
/// The system has no thread left.
pub fn start(
    thread: &str,
    watch: Watch,
    mut link: Link,
    mut follower: impl Follower + Send + 'static,
    stop: &Receiver<()>,
) -> io::Result<()> {
    let stop = stop.clone();
    thread::Builder::new()
        .name(thread.to_owned())
        .spawn(move || {
            threads::again(&watch.name, &stop, || {
                run(&watch, &mut link, &mut follower, &stop);
            });
        })?;
    Ok(())
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
