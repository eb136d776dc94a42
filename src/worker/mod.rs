//! Worker threads: one loop per core around a [`Core`], with the sockets, the TLS and the channels it
//! needs. Refuses to know XMPP, and what the services behind its ports are.

mod admit;
mod carry;
mod certificate;
mod client_certificate;
mod clock;
mod connection;
mod core;
mod deadlines;
mod deflate;
mod door;
mod handover;
mod intake;
mod r#loop;
mod mesh;
mod order;
mod pin;
mod proxy;
mod round;
mod socket;
mod tls;
#[cfg(feature = "trunk")]
mod trunk;

use std::any::Any;
use std::collections::VecDeque;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use slotmap::{SecondaryMap, SlotMap};

use crate::actor::Ticket;
use crate::actor::audit::AuditEvent;
use crate::base::Now;
use crate::shard::Ask;

pub use admit::{Guest, Listener, Newcomer, ProxyHeader, prefix_of};
pub use certificate::HostCertificate;
pub use client_certificate::Authorities;
pub use clock::Clock;
pub use core::Core;
pub use door::{Door, DoorLimits, Permit, Refusal};
pub use intake::Intake;
pub use mesh::{Address, Seat, seats};
pub use order::{Counters, Order, Settled};
pub use tls::{ClientCertificate, Keeper, Security, TlsContext, TlsWishes};
pub use tls::{Opened, RECORDS_PER_KEY_MAX, Records, Sequence, Silent, Suite};
#[cfg(feature = "trunk")]
pub use trunk::NewTrunk;

use r#loop::Worker;

/// Where a worker's questions and records go. Both return at once: they put the value into a channel.
pub struct Ports {
    /// The questions of one turn in their order, to be taken out; answers come through the worker's
    /// [`Address::answer`].
    pub ask: AskPort,
    /// A record for the audit file.
    pub audit: Box<dyn FnMut(Now, AuditEvent) + Send>,
}

/// See [`Ports::ask`].
pub type AskPort = Box<dyn FnMut(&mut Vec<(Ticket, Ask)>) + Send>;

/// What a worker is started with besides its seat.
pub struct Post<C> {
    pub shard: C,
    /// All workers' addresses, by their place.
    pub addresses: Vec<Address>,
    pub ports: Ports,
    pub clock: Clock,
    pub tls: Arc<TlsContext>,
    pub intake: Arc<Intake>,
    pub pinning: Pinning,
    /// Called when the worker panicked, with what it said. Its partitions are a black hole from then on,
    /// so the process must end (DESIGN section 16); the worker waits for that.
    pub on_panic: Arc<dyn Fn(&str) + Send + Sync>,
}

/// Whether a thread stays on one core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pinning {
    /// On the core of the worker's number.
    Pinned,
    /// Wherever the system puts it.
    Free,
}

/// Starts the thread of one worker.
pub fn start<C: Core + Send + 'static>(seat: Seat, post: Post<C>) -> io::Result<JoinHandle<()>> {
    let index = seat.worker.index();
    let (pinning, on_panic) = (post.pinning, Arc::clone(&post.on_panic));
    thread::Builder::new()
        .name(format!("worker-{index}"))
        .spawn(move || {
            if pinning == Pinning::Pinned && !pin::pin_to(index) {
                log::warn!("worker_unpinned worker={index}");
            }
            let worker = employ(seat, post);
            // Nothing of the worker is used after a panic: whoever is called ends the process.
            if let Err(cause) = panic::catch_unwind(AssertUnwindSafe(|| worker.run())) {
                let said = said_by(&*cause);
                log::error!("worker_panicked worker={index} said={said:?}");
                on_panic(said);
            }
        })
}

fn said_by(cause: &(dyn Any + Send)) -> &str {
    cause
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| cause.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("something that is no text")
}

fn employ<C: Core>(seat: Seat, post: Post<C>) -> Worker<C> {
    Worker {
        worker: seat.worker,
        poll: seat.poll,
        inbox: seat.inbox,
        outboxes: seat.outboxes,
        addresses: post.addresses,
        shard: post.shard,
        connections: SlotMap::with_key(),
        streams: SecondaryMap::new(),
        ready: VecDeque::new(),
        dirty: VecDeque::new(),
        handshake_count: 0,
        waiting: VecDeque::new(),
        deadlines: deadlines::Deadlines::default(),
        scratch: connection::Scratch::new(),
        now: Now::default(),
        clock: post.clock,
        tls: post.tls,
        intake: post.intake,
        anteroom: VecDeque::new(),
        round: round::Round::default(),
        ports: post.ports,
        asked: Vec::new(),
        batches: 0,
        counters: Counters::default(),
        #[cfg(feature = "trunk")]
        trunk: None,
    }
}
