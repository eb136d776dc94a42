//! The thread that accepts connections and deals them to the workers. Refuses to read a single byte.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};
use socket2::{Domain, Protocol, Socket, Type};

use crate::base::AddressPrefix;
use crate::worker::{Address, Door, Guest, Intake, Listener, Newcomer, ProxyHeader, prefix_of};

/// Listening sockets that nobody has looked at yet: who connects waits in their backlog.
pub struct Doorman {
    poll: Poll,
    doors: Vec<Listening>,
    house: House,
    stopped: Arc<AtomicBool>,
    waker: Arc<Waker>,
    /// Given up for a moment when descriptors run out, so that a caller can be turned away instead of
    /// waking us for ever.
    spare: Option<File>,
    refused_count: u64,
}

/// Where guests are led.
pub struct House {
    pub door: Arc<Door>,
    pub intake: Arc<Intake>,
    /// What else must agree before anybody is let in: records of logins must be kept.
    pub admits: Box<dyn Fn() -> bool + Send>,
    /// The workers' addresses, by their place.
    pub addresses: Vec<Address>,
    /// Called when nobody is let in any more though nobody has dismissed the doorman.
    pub on_end: Arc<dyn Fn() + Send + Sync>,
}

impl House {
    fn is_open(&self) -> bool {
        self.intake.is_accepting() && (self.admits)()
    }

    /// A login storm is let in at the rate at which the workers take it: the others wait in the system's backlog, where
    /// they cost nothing.
    fn keeps_up(&self) -> bool {
        let mut addresses = self.addresses.iter();
        addresses.all(Address::has_room_for_newcomers)
    }
}

struct Listening {
    listener: Listener,
    address: SocketAddr,
    socket: TcpListener,
    /// Somebody may be waiting: no event will say so again.
    pending: bool,
}

/// A doorman at work.
pub struct Employed {
    thread: JoinHandle<()>,
    stopped: Arc<AtomicBool>,
    waker: Arc<Waker>,
}

impl Employed {
    /// Closes the listening sockets: from here on callers are refused by the system.
    pub fn dismiss(self) {
        self.stopped.store(true, Ordering::Relaxed);
        if self.waker.wake().is_ok() && self.thread.join().is_err() {
            log::error!("doorman_panicked");
        }
    }
}

impl Doorman {
    /// Binds all listeners.
    pub fn bind(wishes: &[(Listener, SocketAddr)], house: House) -> io::Result<Doorman> {
        let poll = Poll::new()?;
        let mut doors = Vec::with_capacity(wishes.len());
        for (index, (listener, wish)) in wishes.iter().enumerate() {
            let named = |error: io::Error| io::Error::new(error.kind(), format!("{wish}: {error}"));
            let mut socket = listen(*wish).map_err(named)?;
            poll.registry()
                .register(&mut socket, Token(index), Interest::READABLE)?;
            doors.push(Listening {
                listener: *listener,
                address: socket.local_addr()?,
                socket,
                pending: false,
            });
        }
        let waker = Arc::new(Waker::new(poll.registry(), KNOCK)?);
        Ok(Doorman {
            poll,
            doors,
            house,
            stopped: Arc::new(AtomicBool::new(false)),
            waker,
            spare: open_spare(),
            refused_count: 0,
        })
    }

    /// Each listener with the address it really has (port 0 asks the system for one).
    pub fn listeners(&self) -> impl Iterator<Item = (Listener, SocketAddr)> {
        self.doors.iter().map(|door| (door.listener, door.address))
    }

    /// Begins to accept, on a thread of its own.
    pub fn start(self) -> io::Result<Employed> {
        let (stopped, waker) = (Arc::clone(&self.stopped), Arc::clone(&self.waker));
        let thread = thread::Builder::new()
            .name("doorman".to_owned())
            .spawn(move || self.work())?;
        Ok(Employed {
            thread,
            stopped,
            waker,
        })
    }

    fn work(self) {
        let (stopped, on_end) = (Arc::clone(&self.stopped), Arc::clone(&self.house.on_end));
        // Nothing of the doorman is used after a panic.
        let ended = panic::catch_unwind(AssertUnwindSafe(|| self.run()));
        if !stopped.load(Ordering::Relaxed) {
            log::error!("doorman_ended panicked={}", ended.is_err());
            on_end();
        }
    }

    fn run(mut self) {
        let mut events = Events::with_capacity(64);
        loop {
            let is_pending = self.doors.iter().any(|door| door.pending);
            let patience = match (is_pending, self.house.is_open()) {
                (false, _) => None,
                (true, true) => Some(PENDING_RETRY),
                (true, false) => Some(CLOSED_RETRY),
            };
            match self.poll.poll(&mut events, patience) {
                Err(error) if error.kind() != ErrorKind::Interrupted => {
                    log::error!("doorman_failed error={error}");
                    return;
                }
                _ => {}
            }
            if self.stopped.load(Ordering::Relaxed) {
                return;
            }
            for event in &events {
                if let Some(door) = self.doors.get_mut(event.token().0) {
                    door.pending = true;
                }
            }
            if self.house.is_open() {
                for index in 0..self.doors.len() {
                    self.accept_some(index);
                }
            }
        }
    }

    /// A few of each door in turn, so that a flood at one does not close the other.
    fn accept_some(&mut self, index: usize) {
        for _ in 0..ACCEPTS_PER_TURN {
            if !self.doors[index].pending || !self.house.keeps_up() {
                return;
            }
            match self.doors[index].socket.accept() {
                Ok((socket, peer)) => self.let_in(index, socket, peer),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => self.doors[index].pending = false,
                    // The caller gave up; the next one may be there.
                    ErrorKind::Interrupted | ErrorKind::ConnectionAborted => {}
                    _ => {
                        self.turn_away(index, &error);
                        return;
                    }
                },
            }
        }
    }

    fn let_in(&mut self, index: usize, socket: TcpStream, peer: SocketAddr) {
        let listener = self.doors[index].listener;
        // Behind a proxy all callers have one address until its header has told theirs.
        let prefix = match listener.proxy {
            ProxyHeader::Required => AddressPrefix::Local,
            ProxyHeader::Refused => prefix_of(peer.ip()),
        };
        match self.house.door.admit(prefix) {
            Ok(permit) => {
                // A stanza is written in one piece; waiting to join it with the next only delays it.
                if let Err(error) = socket.set_nodelay(true) {
                    log::debug!("nodelay_failed error={error}");
                }
                let worker = permit.worker();
                self.house.addresses[worker.index()].welcome(Newcomer::new(
                    socket,
                    Guest {
                        listener,
                        peer,
                        waited_ms: 0,
                    },
                    permit,
                ));
            }
            Err(refusal) => self.count_refusal(&format!("{refusal:?}")),
        }
    }

    /// Descriptors or memory have run out: one caller is accepted on the spare descriptor and closed, the
    /// others wait until it is looked at again.
    fn turn_away(&mut self, index: usize, error: &io::Error) {
        self.count_refusal(&error.to_string());
        self.spare = None;
        // Dropped at once, which is the point.
        let _ = self.doors[index].socket.accept();
        self.spare = open_spare();
    }

    /// One line for a thousand refusals: an attacker shall not fill the log.
    fn count_refusal(&mut self, reason: &str) {
        if self.refused_count.is_multiple_of(REFUSALS_PER_LINE) {
            log::warn!(
                "connection_refused reason={reason:?} before={}",
                self.refused_count
            );
        }
        self.refused_count += 1;
    }
}

/// A socket that listens at `address`, and at nothing of the other family.
///
/// # Errors
/// The system's.
pub(super) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // Or a restarted server waits a minute for connections of its predecessor to be forgotten.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // IPv4 has listeners of its own, whatever the system's default is.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}

fn open_spare() -> Option<File> {
    File::open("/dev/null").ok()
}

const KNOCK: Token = Token(usize::MAX);
const ACCEPTS_PER_TURN: usize = 64;
/// Callers the system keeps for us while all clients reconnect after a restart; it may cut this down.
const BACKLOG: i32 = 4_096;
/// How soon a door with callers is looked at again: at once if there were just too many for one turn, a
/// little later if descriptors ran out; both are met by a short sleep.
const PENDING_RETRY: Duration = Duration::from_millis(1);
/// How soon it is looked at again whether anybody may be let in.
const CLOSED_RETRY: Duration = Duration::from_millis(50);
const REFUSALS_PER_LINE: u64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::{ClientCertificate, DoorLimits, Security};
    use crossbeam_channel::unbounded;

    #[test]
    fn a_doorman_that_panics_is_told_of_for_nobody_would_be_let_in() {
        let limits = DoorLimits {
            total_max: 1,
            unproved_max: 1,
        };
        let (tell, told) = unbounded();
        let house = House {
            door: Door::new(limits, 1),
            intake: Arc::new(Intake::default()),
            admits: Box::new(|| panic!("a bug behind the door")),
            addresses: Vec::new(),
            on_end: Arc::new(move || tell.send(()).expect("the test listens")),
        };
        let listener = Listener {
            index: 0,
            security: Security::StartTls,
            client_certificate: ClientCertificate::Unasked,
            proxy: ProxyHeader::Refused,
        };
        let wish = (listener, SocketAddr::from(([127, 0, 0, 1], 0)));
        let doorman = Doorman::bind(&[wish], house).expect("a port of the loopback");
        let _employed = doorman.start().expect("a thread");
        let patience = Duration::from_secs(60);
        assert_eq!(told.recv_timeout(patience), Ok(()));
    }
}
