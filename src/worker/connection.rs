//! One socket with what is wrapped around it: TLS, bytes the core has not taken, bytes the socket has not
//! taken. Refuses to know streams, and when to read or write.

use std::io::{self, ErrorKind, Read, Write};

use zeroize::Zeroize;

use crate::base::limits;
use crate::shard::{CloseReason, Codec};
use crate::stream::StreamKey;

use super::admit::Guest;
use super::deflate::Zlib;
use super::door::Permit;
use super::socket::Socket;
use super::tls::{ClientCertificate, Opened, PARTIAL_BYTES_MAX, Session};

slotmap::new_key_type! {
    /// A connection of one worker; its number is the mio token.
    pub struct ConnectionKey;
}

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Its first bytes must be a PROXY header.
    Proxy,
    /// The first byte of a handshake is awaited: it costs no handshake's memory yet.
    Hello,
    /// The handshake may begin, but too many others have; its bytes wait in the kernel.
    Waiting,
    /// The handshake goes on.
    Handshake,
    /// A stream reads and writes.
    Open,
    /// What was rendered leaves in plaintext; then comes [`Phase::Hello`]. Nothing is read.
    StartingTls,
    /// What was rendered leaves as it is; then both directions are compressed. Nothing is read.
    Compressing(Codec),
    /// What was rendered leaves; then the connection is closed. Nothing is read.
    Closing,
    /// Our half is closed and the stream has been told. What still comes is dropped, because closing a
    /// socket with unread bytes would reset it and take our last words (a stream error) from the peer.
    Lingering,
}

/// A connection. An idle one in plaintext is this struct and its place in two maps, below 200 bytes.
#[derive(Debug)]
pub struct Connection {
    pub socket: Socket,
    pub tls: Option<Box<Session>>,
    /// Between TLS and the stream (XEP-0138).
    pub zlib: Option<Box<Zlib>>,
    pub stream: Option<StreamKey>,
    /// Plaintext that the core has not taken; while there is some, the socket is not read.
    pub unread: Vec<u8>,
    /// Plaintext connections only (rustls keeps its own): what the socket would not take.
    pub unsent: Vec<u8>,
    /// What was known at the door, until the stream has been opened.
    pub guest: Option<Box<Guest>>,
    pub permit: Permit,
    /// What the listener says about its clients' certificates.
    pub client_certificate: ClientCertificate,
    /// The one entry of [`super::deadlines::Deadlines`] that counts; 0 if none does.
    pub deadline_ms: u64,
    pub phase: Phase,
    /// The socket may have bytes: an edge-triggered event said so and no short read has said otherwise.
    pub readable: bool,
    /// An event said that the peer has closed its half, so a short read is not the end.
    pub hung_up: bool,
    /// The end was read, behind `unread`.
    pub ended: bool,
    /// The core wants what it has not taken.
    pub resumed: bool,
    /// What it sent cost more than it said, so it is not read until it is resumed, though nothing waits.
    pub held: bool,
    /// It stands in the worker's list of connections to read.
    pub is_ready: bool,
    /// It stands in the worker's list of connections to write.
    pub is_dirty: bool,
}

#[cfg(not(feature = "trunk"))]
const _: () = assert!(size_of::<Connection>() <= 184);

/// Buffers that all connections of a worker share, because only one of them reads or writes at a time.
pub struct Scratch {
    pub ciphertext: Box<[u8]>,
    pub plaintext: Box<[u8]>,
    /// As long as the others once the worker has a compressed connection.
    pub inflated: Vec<u8>,
    pub rendered: Vec<u8>,
    /// A piece of it that is to be compressed by itself; without memory while no connection of the worker is.
    pub piece: Vec<u8>,
    /// What a stream has taken of bytes that had waited for it, until what follows from them is done.
    pub taken: Vec<u8>,
    /// How far something was read since it was wiped.
    filled: usize,
}

impl Scratch {
    /// Three buffers of 64 KiB.
    pub fn new() -> Scratch {
        Scratch {
            ciphertext: vec![0; limits::READ_PER_TURN_BYTES].into(),
            plaintext: vec![0; limits::READ_PER_TURN_BYTES].into(),
            inflated: Vec::new(),
            rendered: Vec::with_capacity(limits::READ_PER_TURN_BYTES),
            piece: Vec::new(),
            taken: Vec::new(),
            filled: 0,
        }
    }

    /// Zeroes what was read: the last of it, which held a secret, and what it has left of something before.
    pub fn wipe(&mut self) {
        let inflated = self.inflated.len().min(self.filled);
        // These live on, so that no compiler leaves it out.
        self.plaintext[..self.filled].fill(0);
        self.inflated[..inflated].fill(0);
        self.filled = 0;
        self.taken.zeroize();
    }
}

// What one turn reads can be kept if the core takes none of it, and one whole record fits.
const _: () = assert!(limits::READ_PER_TURN_BYTES <= limits::UNREAD_BYTES_MAX);
const _: () = assert!(limits::READ_PER_TURN_BYTES > 2 * PARTIAL_BYTES_MAX);

/// What to do after a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// The socket is empty: an event will come.
    Wait,
    /// There may be more: no event will come.
    Again,
    /// Nothing will ever come.
    End(CloseReason),
    /// As `End(Failed)`: the peer has sent something that is no TLS, and an alert waits to be sent.
    Broken,
    /// What the peer sent cannot be decompressed, or swells too much: its stream shall say so.
    Garbled,
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Everything is in the socket.
    Done,
    /// The socket is full: the rest is kept and an event will come.
    Blocked,
    /// The connection is broken.
    Failed,
}

impl Connection {
    /// A connection in `phase`, with nothing read and nothing written.
    pub fn new(socket: Socket, permit: Permit, phase: Phase) -> Connection {
        Connection {
            socket,
            tls: None,
            zlib: None,
            stream: None,
            unread: Vec::new(),
            unsent: Vec::new(),
            guest: None,
            permit,
            client_certificate: ClientCertificate::Unasked,
            deadline_ms: 0,
            phase,
            readable: false,
            hung_up: false,
            ended: false,
            resumed: false,
            held: false,
            is_ready: false,
            is_dirty: false,
        }
    }

    /// Reads plaintext into the beginning of `scratch.plaintext`: how many bytes, and what then.
    pub fn read(&mut self, scratch: &mut Scratch) -> (usize, Then) {
        let (count, then) = self.read_any(scratch);
        scratch.filled = scratch.filled.max(count);
        (count, then)
    }

    fn read_any(&mut self, scratch: &mut Scratch) -> (usize, Then) {
        let Some(mut zlib) = self.zlib.take() else {
            return self.read_through(scratch);
        };
        let is_fresh = !zlib.holds_input();
        if is_fresh {
            let (count, then) = self.read_through(scratch);
            zlib.feed(&scratch.plaintext[..count], then);
        }
        scratch.inflated.resize(limits::READ_PER_TURN_BYTES, 0);
        let (count, then) = zlib.open(&mut scratch.inflated);
        scratch.plaintext[..count].copy_from_slice(&scratch.inflated[..count]);
        self.zlib = Some(zlib);
        match then {
            // The socket was empty when it was read; an event that came since is behind us.
            Then::Wait if !is_fresh => (count, Then::Again),
            then => (count, then),
        }
    }

    /// Compressed bytes of the last read beyond those that they became.
    pub fn take_surplus(&mut self) -> usize {
        self.zlib.as_mut().map_or(0, |zlib| zlib.take_surplus())
    }

    /// The same without decompression.
    fn read_through(&mut self, scratch: &mut Scratch) -> (usize, Then) {
        let bytes_max = self.read_bytes_max();
        let Some(session) = &mut self.tls else {
            let buffer = &mut scratch.plaintext[..bytes_max];
            return read_once(&mut self.socket, buffer, self.hung_up);
        };
        let kept = session.prepend_partial(&mut scratch.ciphertext);
        let end = scratch.ciphertext.len().min(kept + bytes_max);
        let buffer = &mut scratch.ciphertext[kept..end];
        let (count, then) = read_once(&mut self.socket, buffer, self.hung_up);
        let mut filled = 0;
        let ciphertext = &scratch.ciphertext[..kept + count];
        match session.open(ciphertext, &mut scratch.plaintext, &mut filled) {
            Opened::More => (filled, then),
            Opened::Ended => (filled, Then::End(CloseReason::EndOfStream)),
            Opened::Broken => (filled, Then::Broken),
        }
    }

    /// How much may be read at once, and so be kept if the core takes none of it.
    fn read_bytes_max(&self) -> usize {
        if self.permit.is_proved() {
            limits::READ_PER_TURN_BYTES
        } else {
            limits::READ_UNPROVED_BYTES
        }
    }

    /// Reads handshake records: whether they were good, and what then.
    pub fn shake_hands(&mut self, scratch: &mut Scratch) -> (Opened, Then) {
        let bytes_max = self.read_bytes_max();
        let Some(session) = &mut self.tls else {
            return (Opened::Broken, Then::Wait);
        };
        let kept = session.prepend_partial(&mut scratch.ciphertext);
        let end = scratch.ciphertext.len().min(kept + bytes_max);
        let buffer = &mut scratch.ciphertext[kept..end];
        let (count, then) = read_once(&mut self.socket, buffer, self.hung_up);
        (
            session.shake_hands(&scratch.ciphertext[..kept + count]),
            then,
        )
    }

    /// Compresses for [`Connection::write`], behind what is in `out` already, so that the peer can read all of it at once.
    ///
    /// # Errors
    /// There is no codec, or it is broken.
    pub fn compress(&mut self, plaintext: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        match &mut self.zlib {
            Some(zlib) => zlib.seal(plaintext, out),
            None => Err(io::Error::from(ErrorKind::Unsupported)),
        }
    }

    /// Writes what is compressed already if the connection is. To be called only when nothing is unsent.
    pub fn write(&mut self, plaintext: &[u8]) -> Progress {
        if let Some(zlib) = &mut self.zlib {
            zlib.rest();
        }
        if let Some(session) = &mut self.tls {
            if session.seal(plaintext).is_err() {
                return Progress::Failed;
            }
            return self.push();
        }
        let mut written = 0;
        while written < plaintext.len() {
            match self.socket.write(&plaintext[written..]) {
                Ok(count) => written += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.unsent = plaintext[written..].to_vec();
                    return Progress::Blocked;
                }
                Err(_) => return Progress::Failed,
            }
        }
        Progress::Done
    }

    /// Whether the socket was full and something is kept.
    pub fn is_blocked(&self) -> bool {
        !self.unsent.is_empty()
            || self
                .tls
                .as_ref()
                .is_some_and(|session| session.wants_push())
    }

    /// Writes what is kept.
    pub fn push(&mut self) -> Progress {
        if let Some(session) = &mut self.tls {
            while session.wants_push() {
                if let Err(error) = session.push(&mut self.socket) {
                    match error.kind() {
                        ErrorKind::Interrupted => {}
                        ErrorKind::WouldBlock => return Progress::Blocked,
                        _ => return Progress::Failed,
                    }
                }
            }
            return Progress::Done;
        }
        if self.unsent.is_empty() {
            return Progress::Done;
        }
        let unsent = std::mem::take(&mut self.unsent);
        self.write(&unsent)
    }

    /// Takes a PROXY header's bytes out of the socket, which holds at least that many.
    pub fn skip(&mut self, count: usize, scratch: &mut Scratch) -> io::Result<()> {
        self.socket.read_exact(&mut scratch.plaintext[..count])
    }
}

/// A read that fills less than the buffer has emptied the socket, and an edge will announce what comes
/// next: no second system call to be told so. Unless the peer has closed its half, whose edge is behind us.
fn read_once(socket: &mut Socket, buffer: &mut [u8], hung_up: bool) -> (usize, Then) {
    match socket.read(buffer) {
        Ok(0) => (0, Then::End(CloseReason::EndOfStream)),
        Ok(count) if count < buffer.len() && !hung_up => (count, Then::Wait),
        Ok(count) => (count, Then::Again),
        Err(error) => match error.kind() {
            ErrorKind::WouldBlock => (0, Then::Wait),
            ErrorKind::Interrupted => (0, Then::Again),
            _ => (0, Then::End(CloseReason::Failed)),
        },
    }
}
