//! The floor under every figure: reads blocks of fixed length and forwards each to other connections, one write each, and
//! does nothing else. To the connection's partner it is the null relay, beside which chat is measured; to its neighbours
//! on a ring the null fan-out, beside which presence is: what these system calls cost on this machine, at this moment.

use std::io::{ErrorKind, Read};
use std::net::SocketAddr;

use anyhow::Result;
use clap::Args;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use crate::client::link::write_some;

/// To whom a block goes, by the order in which connections arrived.
#[derive(Debug, Clone, Copy)]
pub enum Pattern {
    /// The first and the second are partners, the third and the fourth, and so on.
    Pairs,
    /// So many connections stand on a ring, and everything goes to so many neighbours on either side.
    Ring { connections: usize, reach: usize },
}

impl Pattern {
    fn targets(self, from: usize) -> impl Iterator<Item = usize> {
        let (partner, connections, reach) = match self {
            Self::Pairs => (Some(from ^ 1), 1, 0),
            Self::Ring { connections, reach } => (None, connections, reach),
        };
        let steps = (1..=reach).flat_map(move |step| [step, connections - step]);
        let near = steps.map(move |step| (from + step) % connections);
        partner.into_iter().chain(near)
    }
}

/// What the null relay's own process is told, by whichever of the two programs started it.
#[derive(Debug, Clone, Args)]
pub struct RelayServer {
    address: SocketAddr,
    /// Bytes of a block
    length: usize,
    /// Connections on a ring, 0 for pairs
    connections: usize,
    /// Neighbours on either side
    reach: usize,
}

impl RelayServer {
    /// The name of the command that takes these.
    pub const COMMAND: &str = "relay-server";

    /// The arguments that say this.
    pub fn arguments(address: SocketAddr, length: usize, pattern: Pattern) -> [String; 5] {
        let (connections, reach) = match pattern {
            Pattern::Pairs => (0, 0),
            Pattern::Ring { connections, reach } => (connections, reach),
        };
        let [length, connections, reach] = [length, connections, reach].map(|n| n.to_string());
        let command = Self::COMMAND.to_owned();
        [command, address.to_string(), length, connections, reach]
    }

    /// Serves until it is killed.
    pub fn run(&self) -> Result<()> {
        let (connections, reach) = (self.connections, self.reach);
        let pattern = match connections {
            0 => Pattern::Pairs,
            _ => Pattern::Ring { connections, reach },
        };
        serve(self.address, self.length, pattern)
    }
}

fn serve(address: SocketAddr, length: usize, pattern: Pattern) -> Result<()> {
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::bind(address)?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    println!("listening on {address}");
    let mut events = Events::with_capacity(1024);
    let mut peers: Vec<Peer> = Vec::new();
    let mut scratch = vec![0; 64 * 1024];
    loop {
        match poll.poll(&mut events, None) {
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            other => other?,
        }
        for event in &events {
            match event.token() {
                LISTENER => accept_all(&listener, &poll, &mut peers)?,
                Token(index) => forward(&mut peers, index, length, pattern, &mut scratch),
            }
        }
    }
}

struct Peer {
    /// None once the connection has ended.
    socket: Option<TcpStream>,
    /// The beginning of a block whose rest is still to come.
    partial: Vec<u8>,
    /// What the socket did not take yet.
    unsent: Vec<u8>,
}

fn accept_all(listener: &TcpListener, poll: &Poll, peers: &mut Vec<Peer>) -> Result<()> {
    loop {
        match listener.accept() {
            Ok((mut socket, _)) => {
                socket.set_nodelay(true)?;
                let both = Interest::READABLE | Interest::WRITABLE;
                poll.registry()
                    .register(&mut socket, Token(peers.len()), both)?;
                let (partial, unsent) = (Vec::new(), Vec::new());
                peers.push(Peer {
                    socket: Some(socket),
                    partial,
                    unsent,
                });
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(e) => return Err(e.into()),
        }
    }
}

fn forward(peers: &mut [Peer], index: usize, length: usize, pattern: Pattern, scratch: &mut [u8]) {
    if !peers[index].unsent.is_empty() {
        let waiting = std::mem::take(&mut peers[index].unsent);
        peers[index].send(&waiting);
    }
    loop {
        let peer = &mut peers[index];
        let Some(socket) = &mut peer.socket else {
            return;
        };
        let count = match socket.read(scratch) {
            Err(e) if e.kind() == ErrorKind::WouldBlock => return,
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            Ok(0) | Err(_) => {
                peer.socket = None;
                return;
            }
            Ok(count) => count,
        };
        if peer.partial.is_empty() && count % length == 0 {
            send_to(peers, pattern.targets(index), &scratch[..count]);
        } else {
            peer.partial.extend_from_slice(&scratch[..count]);
            let whole = peer.partial.len() / length * length;
            let blocks: Vec<u8> = peer.partial.drain(..whole).collect();
            send_to(peers, pattern.targets(index), &blocks);
        }
        // A short read says that all has been read (epoll(7)).
        if count < scratch.len() {
            return;
        }
    }
}

fn send_to(peers: &mut [Peer], targets: impl Iterator<Item = usize>, bytes: &[u8]) {
    for target in targets {
        if let Some(peer) = peers.get_mut(target) {
            peer.send(bytes);
        }
    }
}

impl Peer {
    fn send(&mut self, bytes: &[u8]) {
        if !self.unsent.is_empty() {
            self.unsent.extend_from_slice(bytes);
            return;
        }
        let Some(socket) = &mut self.socket else {
            return;
        };
        match write_some(socket, bytes) {
            Ok(sent) => self.unsent.extend_from_slice(&bytes[sent..]),
            Err(_) => self.socket = None,
        }
    }
}

const LISTENER: Token = Token(usize::MAX);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_goes_to_the_partner_or_to_the_neighbours_on_either_side() {
        let targets = |pattern: Pattern, from| -> Vec<usize> { pattern.targets(from).collect() };
        assert_eq!(targets(Pattern::Pairs, 4), [5]);
        assert_eq!(targets(Pattern::Pairs, 5), [4]);
        let ring = Pattern::Ring {
            connections: 6,
            reach: 2,
        };
        assert_eq!(targets(ring, 5), [0, 4, 1, 3]);
    }
}
