//! The driver's end of a trunk: frames of any number of lanes through one Unix socket. The frame is that of the
//! server's `src/worker/trunk.rs`. It knows nothing of what lanes carry.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use mio::net::UnixStream;
use mio::{Events, Interest, Poll, Token};

/// What comes with a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame<'a> {
    Bytes(&'a [u8]),
    /// The server has closed its half, or all of the lane.
    End,
}

pub struct Trunk {
    socket: UnixStream,
    poll: Poll,
    events: Events,
    incoming: Vec<u8>,
    scratch: Box<[u8]>,
    outgoing: VecDeque<u8>,
    may_read: bool,
}

impl Trunk {
    pub fn connect(path: &Path) -> Result<Self> {
        let socket = UnixStream::connect(path);
        Self::over(socket.with_context(|| format!("no trunk at {}", path.display()))?)
    }

    fn over(mut socket: UnixStream) -> Result<Self> {
        let poll = Poll::new()?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut socket, Token(0), interest)?;
        Ok(Self {
            socket,
            poll,
            events: Events::with_capacity(8),
            incoming: Vec::new(),
            scratch: vec![0; READ_BYTES].into(),
            outgoing: VecDeque::new(),
            may_read: true,
        })
    }

    pub fn open(&mut self, lane: u32) {
        self.put(lane, OPEN, &[]);
    }

    pub fn send(&mut self, lane: u32, bytes: &[u8]) {
        self.put(lane, BYTES, bytes);
    }

    /// Answers the server's end.
    pub fn close(&mut self, lane: u32) {
        self.put(lane, END, &[]);
    }

    fn put(&mut self, lane: u32, kind: u32, bytes: &[u8]) {
        let length = u32::try_from(bytes.len()).expect("a write is short");
        self.outgoing.extend(lane.to_le_bytes());
        self.outgoing
            .extend((kind << LENGTH_BITS | length).to_le_bytes());
        self.outgoing.extend(bytes);
    }

    /// Sends what waits, waits for more at most so long, and hands over every whole frame.
    pub fn turn(
        &mut self,
        patience: Duration,
        mut each: impl FnMut(u32, Frame<'_>) -> Result<()>,
    ) -> Result<()> {
        self.push()?;
        if !self.may_read {
            match self.poll.poll(&mut self.events, Some(patience)) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
            self.may_read = self.events.iter().any(|event| event.is_readable());
            self.push()?;
        }
        if self.may_read {
            self.read()?;
        }
        let incoming = std::mem::take(&mut self.incoming);
        let mut left = &incoming[..];
        while let Some((lane, frame, rest)) = split(left) {
            each(lane, frame)?;
            left = rest;
        }
        self.incoming = left.to_vec();
        Ok(())
    }

    fn push(&mut self) -> Result<()> {
        while !self.outgoing.is_empty() {
            match self.socket.write(self.outgoing.as_slices().0) {
                Ok(count) => drop(self.outgoing.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // It hears nothing any more, but what it said before is still to be read, and its end is behind that: a
                // server that ends does not read the answers to its farewells.
                Err(error) if is_closed(&error) => {
                    self.outgoing.clear();
                    self.may_read = true;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn read(&mut self) -> Result<()> {
        match self.socket.read(&mut self.scratch) {
            Ok(0) => bail!("the server has closed the trunk"),
            Ok(count) => self.incoming.extend_from_slice(&self.scratch[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.may_read = false,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if is_closed(&error) => bail!("the server has closed the trunk: {error}"),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

/// The other end is gone. A Unix socket that is closed with something unread in it resets the connection (unix(7)).
fn is_closed(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
    )
}

fn split(bytes: &[u8]) -> Option<(u32, Frame<'_>, &[u8])> {
    let (lane, rest) = bytes.split_first_chunk::<4>()?;
    let (word, rest) = rest.split_first_chunk::<4>()?;
    let word = u32::from_le_bytes(*word);
    let (bytes, rest) = rest.split_at_checked((word & ((1 << LENGTH_BITS) - 1)) as usize)?;
    let frame = match word >> LENGTH_BITS {
        BYTES => Frame::Bytes(bytes),
        _ => Frame::End,
    };
    Some((u32::from_le_bytes(*lane), frame, rest))
}

const BYTES: u32 = 0;
const OPEN: u32 = 1;
const END: u32 = 2;
const LENGTH_BITS: u32 = 30;
const READ_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_said_before_it_closed_the_trunk_is_heard() {
        let (ours, mut servers) = UnixStream::pair().expect("two sockets");
        let mut trunk = Trunk::over(ours).expect("a trunk");
        trunk.send(7, b"something that the server does not read");
        trunk
            .turn(Duration::ZERO, |_, _| bail!("nothing was said"))
            .expect("the server is there");
        let farewell = [7_u32.to_le_bytes(), (END << LENGTH_BITS).to_le_bytes()];
        servers.write_all(&farewell.concat()).expect("room");
        drop(servers);
        trunk.close(7);
        let mut heard = Vec::new();
        let all = trunk.turn(Duration::ZERO, |lane, frame| {
            heard.push((lane, frame == Frame::End));
            Ok(())
        });
        all.expect("its last words are there");
        assert_eq!(heard, [(7, true)]);
        let error = trunk
            .turn(Duration::ZERO, |_, _| bail!("nothing was said"))
            .expect_err("the server is gone");
        assert!(error.to_string().contains("closed the trunk"), "{error}");
    }
}
