//! The null relay: reads blocks of fixed length and forwards each to the connection's partner, and
//! does nothing else. It is the floor under every chat figure: what two system calls per message
//! cost on this machine, at this moment.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;

use anyhow::Result;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

/// Serves `address` until it is killed. Connections are partners in the order of their arrival: the
/// first and the second, the third and the fourth, and so on.
pub fn serve(address: SocketAddr, length: usize) -> Result<()> {
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
                Token(index) => forward(&mut peers, index, length, &mut scratch),
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

fn forward(peers: &mut [Peer], index: usize, length: usize, scratch: &mut [u8]) {
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
            if let Some(partner) = peers.get_mut(index ^ 1) {
                partner.send(&scratch[..count]);
            }
        } else {
            peer.partial.extend_from_slice(&scratch[..count]);
            let whole = peer.partial.len() / length * length;
            let blocks: Vec<u8> = peer.partial.drain(..whole).collect();
            if let Some(partner) = peers.get_mut(index ^ 1) {
                partner.send(&blocks);
            }
        }
        // A short read says that all has been read (epoll(7)).
        if count < scratch.len() {
            return;
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

fn write_some(socket: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let mut sent = 0;
    while sent < bytes.len() {
        match socket.write(&bytes[sent..]) {
            Ok(count) => sent += count,
            Err(e) if e.kind() == ErrorKind::WouldBlock => break,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(sent)
}

const LISTENER: Token = Token(usize::MAX);
