//! Many connections through one descriptor, for measuring: a process may hold only so many descriptors, but the driver
//! of a load test can put as many connections as it likes, as lanes, into one Unix socket. Everything above the socket
//! (TLS, streams, the loop itself) is what every connection has. In programs built with the feature `trunk` only, because
//! whoever may open a trunk is trusted: lanes are neither counted nor bounded. Refuses to know what lanes carry.
//!
//! A frame, in both directions: the lane's number, then a word with the kind in its two highest bits and the length of
//! the bytes behind it in the others, both little-endian.

use std::collections::VecDeque;
use std::hint::black_box;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
use parking_lot::Mutex;
use slotmap::KeyData;
use smallvec::SmallVec;

use crate::base::AddressPrefix;
use crate::shard::AHEAD;

use super::Worker;
use super::admit::{Guest, Listener, Newcomer};
use super::connection::ConnectionKey;
use super::core::Core;
use super::door::Door;

/// The token of a worker's trunk; like [`super::mesh::KNOCK`], no connection's.
pub const TRUNK: Token = Token(usize::MAX - 1);

/// A trunk on its way to a worker.
#[derive(Debug)]
pub struct NewTrunk {
    /// Non-blocking.
    pub socket: UnixStream,
    /// As if its lanes had been accepted there.
    pub listener: Listener,
    /// Under which lanes count.
    pub door: Arc<Door>,
}

/// A trunk in a worker's hands.
pub struct Trunk {
    of: NewTrunk,
    /// The beginning of a frame whose end is not there yet.
    partial: Vec<u8>,
    buffer: Box<[u8]>,
    far: Arc<Far>,
    /// The socket was not read to its end.
    pub is_readable: bool,
}

/// What lanes share with their trunk.
#[derive(Debug, Default)]
struct Far {
    /// Frames for the driver.
    out: Mutex<VecDeque<u8>>,
    /// The mio token of each lane's connection by its number; 0 if it has none.
    tokens: Mutex<Vec<usize>>,
}

/// What a connection is made of.
#[derive(Debug)]
pub enum Socket {
    Tcp(TcpStream),
    Lane(Box<Lane>),
}

/// One connection of a trunk.
#[derive(Debug)]
pub struct Lane {
    number: u32,
    incoming: Vec<u8>,
    is_ended: bool,
    far: Arc<Far>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Bytes,
    Open,
    /// No more bytes will come.
    End,
    /// Neither side says anything more.
    Gone,
}

impl Kind {
    fn of(word: u32) -> Kind {
        match word >> LENGTH_BITS {
            0 => Kind::Bytes,
            1 => Kind::Open,
            2 => Kind::End,
            _ => Kind::Gone,
        }
    }

    fn word(self, length: usize) -> u32 {
        let kind = match self {
            Kind::Bytes => 0,
            Kind::Open => 1,
            Kind::End => 2,
            Kind::Gone => 3,
        };
        kind << LENGTH_BITS | u32::try_from(length).unwrap_or(LENGTH_MAX).min(LENGTH_MAX)
    }
}

impl Far {
    fn put(&self, lane: u32, kind: Kind, bytes: &[u8]) {
        let mut out = self.out.lock();
        out.extend(lane.to_le_bytes());
        out.extend(kind.word(bytes.len()).to_le_bytes());
        out.extend(bytes);
    }

    fn set_token(&self, lane: u32, token: usize) {
        let mut tokens = self.tokens.lock();
        let lane = lane as usize;
        if tokens.len() <= lane {
            tokens.resize(lane + 1, 0);
        }
        tokens[lane] = token;
    }

    fn key(&self, lane: u32) -> Option<ConnectionKey> {
        key_of(&self.tokens.lock(), lane)
    }
}

fn key_of(tokens: &[usize], lane: u32) -> Option<ConnectionKey> {
    let token = *tokens.get(lane as usize)?;
    (token != 0).then(|| ConnectionKey::from(KeyData::from_ffi(token as u64)))
}

impl Trunk {
    /// # Errors
    /// The system's: the socket cannot be registered.
    pub fn new(mut of: NewTrunk, registry: &Registry) -> io::Result<Trunk> {
        registry.register(
            &mut of.socket,
            TRUNK,
            Interest::READABLE | Interest::WRITABLE,
        )?;
        Ok(Trunk {
            of,
            partial: Vec::new(),
            buffer: vec![0; READ_BYTES].into(),
            far: Arc::default(),
            is_readable: true,
        })
    }

    /// Writes what the socket takes; an event will come if that is not all.
    pub fn push(&mut self) -> io::Result<()> {
        let mut out = self.far.out.lock();
        while !out.is_empty() {
            let (first, _) = out.as_slices();
            match self.of.socket.write(first) {
                Ok(count) => drop(out.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn owes(&self) -> bool {
        !self.far.out.lock().is_empty()
    }

    /// What one read brings, behind what was left of the last one.
    fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = std::mem::take(&mut self.partial);
        match self.of.socket.read(&mut self.buffer) {
            Ok(0) => return Err(io::Error::from(ErrorKind::UnexpectedEof)),
            Ok(count) => {
                bytes.extend_from_slice(&self.buffer[..count]);
                self.is_readable = count == self.buffer.len();
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.is_readable = false,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(bytes)
    }
}

/// The first frame of `bytes`, and what is behind it.
fn split(bytes: &[u8]) -> Option<(u32, Kind, &[u8], &[u8])> {
    let (lane, rest) = bytes.split_first_chunk::<4>()?;
    let (word, rest) = rest.split_first_chunk::<4>()?;
    let word = u32::from_le_bytes(*word);
    let (bytes, rest) = rest.split_at_checked((word & LENGTH_MAX) as usize)?;
    Some((u32::from_le_bytes(*lane), Kind::of(word), bytes, rest))
}

impl<C: Core> Worker<C> {
    /// From now on this worker has a trunk; one that it had is forgotten with all its lanes.
    pub(super) fn take_trunk(&mut self, trunk: NewTrunk) {
        match Trunk::new(trunk, self.poll.registry()) {
            Ok(trunk) => self.trunk = Some(trunk),
            Err(error) => log::error!("trunk_unusable error={error}"),
        }
    }

    /// Deals out what has come through the trunk.
    pub(super) fn read_trunk(&mut self) {
        let Some(trunk) = self.trunk.as_mut().filter(|trunk| trunk.is_readable) else {
            return;
        };
        let bytes = match trunk.read() {
            Ok(bytes) => bytes,
            Err(error) => return self.lose_trunk(&error),
        };
        let mut left = &bytes[..];
        let mut ahead = left;
        for at in 0.. {
            if at % AHEAD == 0 {
                ahead = self.look_at_lanes(ahead);
            }
            let Some((lane, kind, bytes, rest)) = split(left) else {
                break;
            };
            self.take_frame(lane, kind, bytes);
            left = rest;
        }
        if let Some(trunk) = &mut self.trunk {
            trunk.partial = left.to_vec();
        }
    }

    /// The connections of the next frames are fetched from memory side by side, as the loop does with those that it reads.
    /// Says what is behind these frames.
    fn look_at_lanes<'b>(&self, mut bytes: &'b [u8]) -> &'b [u8] {
        let mut lanes: SmallVec<[u32; AHEAD]> = SmallVec::new();
        while lanes.len() < AHEAD
            && let Some((lane, _, _, rest)) = split(bytes)
        {
            lanes.push(lane);
            bytes = rest;
        }
        if let Some(trunk) = &self.trunk {
            let keys: SmallVec<[_; AHEAD]> = {
                let tokens = trunk.far.tokens.lock();
                lanes.iter().map(|&lane| key_of(&tokens, lane)).collect()
            };
            let connections = || keys.iter().filter_map(|key| self.connections.get((*key)?));
            let mut seen = 0;
            for connection in connections() {
                seen ^= usize::from(connection.readable ^ connection.is_ready);
            }
            for connection in connections() {
                if let Socket::Lane(lane) = &connection.socket {
                    seen ^= lane.incoming.len();
                }
            }
            black_box(seen);
        }
        bytes
    }

    /// Sends what this turn has written into lanes.
    pub(super) fn flush_trunk(&mut self) {
        if let Some(trunk) = &mut self.trunk
            && let Err(error) = trunk.push()
        {
            self.lose_trunk(&error);
        }
    }

    /// The driver hears how every lane ended, though it takes a while to read that.
    pub(super) fn end_trunk(&mut self) {
        let until = Instant::now() + END_PATIENCE;
        while self.trunk.as_ref().is_some_and(Trunk::owes) && Instant::now() < until {
            self.flush_trunk();
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn lose_trunk(&mut self, error: &io::Error) {
        log::warn!("trunk_lost error={error}");
        let Some(trunk) = self.trunk.take() else {
            return;
        };
        let count = trunk.far.tokens.lock().len();
        for lane in 0..u32::try_from(count).unwrap_or(u32::MAX) {
            if let Some(key) = trunk.far.key(lane) {
                self.end_lane(key, Kind::Gone, &[]);
            }
        }
    }

    fn take_frame(&mut self, lane: u32, kind: Kind, bytes: &[u8]) {
        let Some(trunk) = &self.trunk else { return };
        if kind == Kind::Open {
            let Ok(permit) = trunk.of.door.admit(AddressPrefix::Local) else {
                return trunk.far.put(lane, Kind::Gone, &[]);
            };
            let newcomer = Newcomer {
                socket: Socket::Lane(Box::new(Lane {
                    number: lane,
                    incoming: Vec::new(),
                    is_ended: false,
                    far: Arc::clone(&trunk.far),
                })),
                guest: Box::new(Guest {
                    listener: trunk.of.listener,
                    peer: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
                    waited_ms: 0,
                }),
                permit,
            };
            return self.welcome(newcomer, 0);
        }
        // Otherwise it was closed here, and the driver has not heard of it yet.
        if let Some(key) = trunk.far.key(lane) {
            self.end_lane(key, kind, bytes);
        }
    }

    fn end_lane(&mut self, key: ConnectionKey, kind: Kind, bytes: &[u8]) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        if let Socket::Lane(lane) = &mut connection.socket {
            lane.incoming.extend_from_slice(bytes);
            lane.is_ended |= kind != Kind::Bytes;
            connection.hung_up |= lane.is_ended;
        }
        connection.readable = true;
        self.mark_ready(key);
    }
}

impl Socket {
    /// As [`TcpStream::shutdown`]; a lane's own half is closed whatever is asked.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match self {
            Socket::Tcp(socket) => socket.shutdown(how),
            Socket::Lane(lane) => {
                lane.far.put(lane.number, Kind::End, &[]);
                Ok(())
            }
        }
    }

    /// As [`TcpStream::peek`].
    pub fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(socket) => socket.peek(buffer),
            Socket::Lane(lane) => lane.copy_to(buffer),
        }
    }
}

impl Lane {
    fn copy_to(&self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.incoming.is_empty() && !self.is_ended {
            return Err(io::Error::from(ErrorKind::WouldBlock));
        }
        let count = self.incoming.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.incoming[..count]);
        Ok(count)
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(socket) => socket.read(buffer),
            Socket::Lane(lane) => {
                let count = lane.copy_to(buffer)?;
                // An idle lane keeps no buffer, as the kernel's keep none of ours.
                match lane.incoming.split_off(count) {
                    rest if rest.is_empty() => lane.incoming = Vec::new(),
                    rest => lane.incoming = rest,
                }
                Ok(count)
            }
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(socket) => socket.write(bytes),
            Socket::Lane(lane) => {
                let count = bytes.len().min(LENGTH_MAX as usize);
                lane.far.put(lane.number, Kind::Bytes, &bytes[..count]);
                Ok(count)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Source for Socket {
    fn register(&mut self, at: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        match self {
            Socket::Tcp(socket) => socket.register(at, token, interests),
            Socket::Lane(lane) => {
                lane.far.set_token(lane.number, token.0);
                Ok(())
            }
        }
    }

    fn reregister(&mut self, at: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        match self {
            Socket::Tcp(socket) => socket.reregister(at, token, interests),
            Socket::Lane(_) => self.register(at, token, interests),
        }
    }

    fn deregister(&mut self, at: &Registry) -> io::Result<()> {
        match self {
            Socket::Tcp(socket) => socket.deregister(at),
            // A trunk is one worker's: its lanes cannot move.
            Socket::Lane(_) => Err(io::Error::from(ErrorKind::Unsupported)),
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.far.set_token(self.number, 0);
        self.far.put(self.number, Kind::Gone, &[]);
    }
}

const LENGTH_BITS: u32 = 30;
const LENGTH_MAX: u32 = (1 << LENGTH_BITS) - 1;
/// For a driver to read the ends of a million lanes.
const END_PATIENCE: Duration = Duration::from_secs(60);
/// What is read of a trunk in one turn: some hundred messages.
const READ_BYTES: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_split_once_all_of_it_is_there() {
        let far = Far::default();
        far.put(7, Kind::Bytes, b"<a/>");
        far.put(8, Kind::End, &[]);
        let bytes: Vec<u8> = far.out.lock().iter().copied().collect();
        assert_eq!(split(&bytes[..11]), None);
        let (lane, kind, said, rest) = split(&bytes).expect("a frame");
        assert_eq!((lane, kind, said), (7, Kind::Bytes, &b"<a/>"[..]));
        assert_eq!(split(rest), Some((8, Kind::End, &[][..], &[][..])));
    }

    #[test]
    fn a_lane_reads_as_a_socket_does_and_keeps_no_buffer() {
        let lane = Lane {
            number: 0,
            incoming: b"abc".to_vec(),
            is_ended: false,
            far: Arc::default(),
        };
        let mut socket = Socket::Lane(Box::new(lane));
        let mut buffer = [0; 2];
        assert_eq!(socket.read(&mut buffer).expect("bytes are there"), 2);
        assert_eq!(socket.read(&mut buffer).expect("a byte is there"), 1);
        let empty = socket.read(&mut buffer).expect_err("nothing is there");
        assert_eq!(empty.kind(), ErrorKind::WouldBlock);
        let Socket::Lane(lane) = &mut socket else {
            panic!("a lane")
        };
        assert_eq!(lane.incoming.capacity(), 0);
        lane.is_ended = true;
        assert_eq!(socket.read(&mut buffer).expect("the end"), 0);
    }
}
