//! The way of a connection from the doorman to its stream: PROXY header, direct TLS, opening. Refuses to
//! know what the stream says.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use mio::Interest;
use mio::net::TcpStream;

use crate::base::{AddressPrefix, limits};
use crate::shard::{CloseReason, Input, Opened};
use crate::stream::TlsFacts;

use super::Worker;
use super::connection::{Connection, ConnectionKey, Phase, Then};
use super::core::Core;
use super::door::Permit;
use super::handover::Carried;
use super::r#loop::token;
use super::proxy::{self, Header};
use super::socket::{Socket, of_tcp};
use super::tls::{self, ClientCertificate, Security, Session};

/// Where a connection was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its index in the configuration.
    pub index: usize,
    pub security: Security,
    pub client_certificate: ClientCertificate,
    pub proxy: ProxyHeader,
}

/// Whether connections begin with a PROXY header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyHeader {
    /// They must: without one they are closed.
    Required,
    /// They must not: to TLS and XML such a header is garbage.
    Refused,
}

/// What is known of a connection before it has a stream.
#[derive(Debug)]
pub struct Guest {
    pub listener: Listener,
    pub peer: SocketAddr,
    /// How long it has stood in the anteroom.
    pub waited_ms: u64,
}

/// An accepted connection on its way to a worker.
#[derive(Debug)]
pub struct Newcomer {
    pub(super) socket: Socket,
    pub(super) guest: Box<Guest>,
    pub(super) permit: Permit,
}

impl Newcomer {
    /// A socket that is non-blocking already and without Nagle's delay.
    pub fn new(socket: TcpStream, guest: Guest, permit: Permit) -> Newcomer {
        Newcomer {
            socket: of_tcp(socket),
            guest: Box::new(guest),
            permit,
        }
    }
}

/// What an attacker can hold cheaply counts as one address. Loopback is a proxy or the administrator, and
/// is not counted.
pub fn prefix_of(address: IpAddr) -> AddressPrefix {
    match address.to_canonical() {
        address if address.is_loopback() => AddressPrefix::Local,
        IpAddr::V4(address) => AddressPrefix::V4(address.octets()),
        IpAddr::V6(address) => {
            let [a, b, c, d, e, f, g, h, ..] = address.octets();
            AddressPrefix::V6([a, b, c, d, e, f, g, h])
        }
    }
}

impl<C: Core> Worker<C> {
    /// A connection comes from the doorman, and has waited for so long.
    pub(super) fn welcome(&mut self, newcomer: Newcomer, waited_ms: u64) {
        // The doorman let it in just before he left: its stream would never hear of the drain.
        if !self.intake.is_accepting() {
            return;
        }
        self.counters.accepted += 1;
        let Newcomer {
            socket,
            mut guest,
            permit,
        } = newcomer;
        guest.waited_ms = waited_ms;
        let listener = guest.listener;
        let mut connection = Connection::new(socket, permit, Phase::Hello);
        connection.client_certificate = listener.client_certificate;
        connection.guest = Some(guest);
        let Some(key) = self.register(connection) else {
            return;
        };
        if listener.proxy == ProxyHeader::Required {
            self.enter(key, Phase::Proxy, PROXY_TIMEOUT_MS);
        } else {
            self.past_proxy(key, listener.security);
        }
    }

    /// The other half of a hand-over.
    pub(super) fn receive(&mut self, carried: Carried) {
        self.counters.arrived += 1;
        let Carried {
            socket,
            tls,
            zlib,
            unread,
            unsent,
            permit,
            state,
            ended,
        } = carried;
        let mut connection = Connection::new(socket, permit, Phase::Open);
        connection.tls = tls;
        connection.zlib = zlib;
        connection.unread = unread;
        connection.unsent = unsent;
        connection.ended = ended;
        connection.resumed = true;
        // TLS may hold whole records that no event will announce.
        connection.readable = true;
        let stream = self.shard.arrive(self.now, state);
        connection.stream = Some(stream);
        match self.register(connection) {
            Some(key) => {
                self.streams.insert(stream, key);
                self.mark_ready(key);
                self.mark_dirty(key);
                self.drain();
            }
            None => self.tell(Input::Closed(stream, CloseReason::Failed)),
        }
    }

    /// Keeps the connection and asks for its events, for good: readiness is edge-triggered, so asking for
    /// both from the start costs nothing and saves a system call whenever a socket is full.
    fn register(&mut self, connection: Connection) -> Option<ConnectionKey> {
        let key = self.connections.insert(connection);
        let interest = Interest::READABLE | Interest::WRITABLE;
        let socket = &mut self.connections[key].socket;
        if let Err(error) = self.poll.registry().register(socket, token(key), interest) {
            log::warn!("connection_unregistered error={error}");
            self.connections.remove(key);
            return None;
        }
        Some(key)
    }

    fn enter(&mut self, key: ConnectionKey, phase: Phase, timeout_ms: u64) {
        if let Some(connection) = self.connections.get_mut(key) {
            connection.phase = phase;
            self.set_deadline(key, timeout_ms);
        }
    }

    /// Peeks, and takes exactly the header, so that what follows finds its own bytes in the socket.
    pub(super) fn read_proxy(&mut self, key: ConnectionKey) {
        let connection = &mut self.connections[key];
        let window = &mut self.scratch.plaintext[..proxy::HEADER_BYTES_MAX];
        let header = match connection.socket.peek(window) {
            Ok(0) => Header::Broken,
            Ok(count) => proxy::read_header(&window[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Header::Unfinished,
            Err(_) => Header::Broken,
        };
        match header {
            // More bytes are another edge, but the end is not.
            Header::Unfinished if connection.hung_up => self.refuse_proxy(key),
            Header::Unfinished => {}
            Header::Broken => self.refuse_proxy(key),
            Header::Whole { length, source } => {
                let Some(guest) = &mut connection.guest else {
                    return;
                };
                guest.peer = source.unwrap_or(guest.peer);
                let security = guest.listener.security;
                let prefix = prefix_of(guest.peer.ip());
                let counted = connection.permit.count_under(prefix);
                if counted.is_err() || connection.skip(length, &mut self.scratch).is_err() {
                    self.refuse_proxy(key);
                    return;
                }
                self.past_proxy(key, security);
                self.mark_ready(key);
            }
        }
    }

    fn refuse_proxy(&mut self, key: ConnectionKey) {
        self.counters.proxy_refused += 1;
        self.lose(key, CloseReason::Failed);
    }

    fn past_proxy(&mut self, key: ConnectionKey, security: Security) {
        match security {
            Security::Direct => self.enter(key, Phase::Hello, self.tls.handshake_timeout_ms()),
            Security::StartTls => self.open(key, None),
        }
    }

    /// Gives the connection a stream.
    fn open(&mut self, key: ConnectionKey, secured: Option<Box<TlsFacts>>) {
        self.enter(key, Phase::Open, self.tls.negotiation_timeout_ms());
        let connection = &mut self.connections[key];
        let Some(guest) = connection.guest.take() else {
            return;
        };
        let stream = self.shard.open(
            self.now,
            Opened {
                listener: guest.listener.index,
                prefix: prefix_of(guest.peer.ip()),
                address: Some(guest.peer.ip()),
                peer: Arc::from(guest.peer.to_string()),
                secured,
                waited_ms: guest.waited_ms,
            },
        );
        connection.stream = Some(stream);
        self.streams.insert(stream, key);
        self.drain();
    }

    /// The first byte of a handshake is there.
    pub(super) fn begin_handshake(&mut self, key: ConnectionKey) {
        if self.handshake_count >= limits::HANDSHAKES_MAX {
            self.enter(key, Phase::Waiting, self.tls.negotiation_timeout_ms());
            self.waiting.push_back(key);
            return;
        }
        let connection = &mut self.connections[key];
        let security = match &connection.guest {
            Some(guest) => guest.listener.security,
            None => Security::StartTls,
        };
        match Session::new(&self.tls, security, connection.client_certificate) {
            Ok(session) => {
                connection.tls = Some(session);
                self.handshake_count += 1;
                self.enter(key, Phase::Handshake, self.handshake_patience_ms());
                self.shake_hands(key);
            }
            Err(error) => {
                log::error!("tls_unusable error={error}");
                self.lose(key, CloseReason::Handshake);
            }
        }
    }

    /// One address may hold more connections than there are places: the fuller it is the sooner a place is
    /// given to the next.
    fn handshake_patience_ms(&self) -> u64 {
        let full_ms = self.tls.handshake_timeout_ms();
        if self.handshake_count > limits::HANDSHAKES_MAX / 2 {
            full_ms.min(limits::HANDSHAKE_CROWDED_MS)
        } else {
            full_ms
        }
    }

    pub(super) fn shake_hands(&mut self, key: ConnectionKey) {
        let connection = &mut self.connections[key];
        let (opened, then) = connection.shake_hands(&mut self.scratch);
        connection.readable = then == Then::Again;
        // Our flight, or the alert that says what was wrong.
        connection.push();
        let is_complete = connection
            .tls
            .as_ref()
            .is_some_and(|session| !session.is_handshaking());
        if opened != tls::Opened::More {
            self.counters.handshakes_failed += 1;
            self.lose(key, CloseReason::Handshake);
        } else if is_complete {
            self.complete_handshake(key);
        } else if let Then::End(_) = then {
            self.counters.handshakes_failed += 1;
            self.lose(key, CloseReason::Handshake);
        } else if then == Then::Again {
            self.mark_ready(key);
        }
    }

    fn complete_handshake(&mut self, key: ConnectionKey) {
        self.counters.secured += 1;
        self.end_handshake();
        let connection = &mut self.connections[key];
        connection.permit.secured();
        // The session may hold whole records behind the handshake, and an end may stand behind those.
        connection.readable = true;
        let facts = connection.tls.as_mut().and_then(|session| {
            let facts = session.facts();
            self.counters.compact += u64::from(session.is_compact());
            facts.map(Box::new)
        });
        match (connection.stream, facts) {
            (Some(stream), Some(facts)) => {
                self.enter(key, Phase::Open, self.tls.negotiation_timeout_ms());
                self.tell(Input::Secured(stream, facts));
            }
            (_, facts) => self.open(key, facts),
        }
        self.mark_ready(key);
        self.mark_dirty(key);
    }

    /// A place for a handshake is free: the one that waited longest looks again.
    pub(super) fn end_handshake(&mut self) {
        self.handshake_count -= 1;
        while let Some(key) = self.waiting.pop_front() {
            let Some(connection) = self.connections.get_mut(key) else {
                continue;
            };
            if connection.phase == Phase::Waiting {
                connection.phase = Phase::Hello;
                self.mark_ready(key);
                return;
            }
        }
    }

    /// A deadline of the shell has passed; it may be one that no longer counts.
    pub(super) fn expire(&mut self, due_ms: u64, key: ConnectionKey) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        if connection.deadline_ms != due_ms {
            return;
        }
        match connection.phase {
            // Whoever has not begun to shake hands by now is no reason to spare this worker. It counts under its
            // address until it has logged in, for which the core has a deadline of its own.
            Phase::Open | Phase::Compressing(_) => connection.permit.secured(),
            Phase::Proxy | Phase::Hello | Phase::Waiting | Phase::Handshake => {
                self.counters.handshakes_late += 1;
                self.lose(key, CloseReason::Handshake);
            }
            Phase::StartingTls | Phase::Closing => self.lose(key, CloseReason::Failed),
            Phase::Lingering => self.lose(key, CloseReason::Asked),
        }
    }
}

/// A proxy sends its header at once; it is on our side of the network.
const PROXY_TIMEOUT_MS: u64 = 5_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_in_an_ipv6_network_count_as_one() {
        let prefix = |text: &str| prefix_of(text.parse().unwrap());
        assert_eq!(prefix("2001:db8::1"), prefix("2001:db8::ffff"));
        assert_ne!(prefix("2001:db8::1"), prefix("2001:db8:0:1::1"));
        assert_ne!(prefix("192.0.2.1"), prefix("192.0.2.2"));
        assert_eq!(prefix("::ffff:192.0.2.1"), prefix("192.0.2.1"));
        assert_eq!(prefix("127.0.0.9"), AddressPrefix::Local);
    }
}
