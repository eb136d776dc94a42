//! Bytes between sockets and streams, and what the shard wants done. Refuses to know what the bytes say.

use crate::base::{WorkerId, limits};
use crate::shard::{CloseReason, Codec, Input, Output, Rendered};
use crate::stream::{StreamKey, StreamState};

use super::Worker;
use super::connection::{Connection, ConnectionKey, Phase, Progress, Then};
use super::core::Core;
use super::deflate::Zlib;
use super::handover::Carried;
use super::socket::Socket;

impl<C: Core> Worker<C> {
    /// Gives a connection from the ready list its share of the turn.
    pub(super) fn serve(&mut self, key: ConnectionKey) {
        let connection = &self.connections[key];
        match connection.phase {
            Phase::Proxy => self.read_proxy(key),
            Phase::Hello if connection.readable => self.begin_handshake(key),
            Phase::Handshake => self.shake_hands(key),
            Phase::Open if connection.held || !connection.unread.is_empty() => {
                self.offer_unread(key);
            }
            Phase::Open => self.read_stream(key),
            Phase::Lingering => self.read_to_nowhere(key),
            Phase::Hello
            | Phase::Waiting
            | Phase::StartingTls
            | Phase::Compressing(_)
            | Phase::Closing => {}
        }
    }

    /// What the core has not taken is offered again, once it has asked.
    fn offer_unread(&mut self, key: ConnectionKey) {
        let connection = &mut self.connections[key];
        let Some(stream) = connection.stream else {
            return;
        };
        if !std::mem::replace(&mut connection.resumed, false) {
            return;
        }
        connection.held = false;
        let mut unread = std::mem::take(&mut connection.unread);
        if !unread.is_empty() {
            let taken = self.shard.handle(self.now, Input::Bytes(stream, &unread));
            connection.unread = unread.split_off(taken);
            self.scratch.taken = unread;
            self.drain();
            self.scratch.taken = Vec::new();
        }
        self.after_reading(key, CloseReason::EndOfStream);
    }

    fn read_stream(&mut self, key: ConnectionKey) {
        let connection = &mut self.connections[key];
        let Some(stream) = connection.stream else {
            return;
        };
        // What stands behind a guess stays in the socket: here even one TLS record would cost 40 KiB.
        if !connection.permit.is_proved() && !self.shard.lets_go(stream) {
            return;
        }
        // The core owes us no Resume: nothing waits.
        connection.resumed = false;
        if !connection.readable || connection.ended {
            self.after_reading(key, CloseReason::EndOfStream);
            return;
        }
        let (count, then) = connection.read(&mut self.scratch);
        connection.readable = then == Then::Again;
        let end = match then {
            Then::Wait | Then::Again | Then::Garbled => None,
            Then::End(reason) => Some(reason),
            Then::Broken => {
                self.counters.records_broken += 1;
                Some(CloseReason::Failed)
            }
        };
        connection.ended = end.is_some();
        // An alert, or the answer to a key update.
        let wants_push = connection.tls.is_some() && connection.is_blocked();
        let surplus = connection.take_surplus();
        if surplus > 0 {
            let taken = self.shard.handle(self.now, Input::Spent(stream, surplus));
            connection.held = count == 0 && taken < surplus;
        }
        if count > 0 {
            self.counters.read_bytes += count as u64;
            let bytes = &self.scratch.plaintext[..count];
            let taken = self.shard.take_in(self.now, stream, bytes);
            if taken < count {
                connection.unread = bytes[taken..].to_vec();
            }
        }
        if count > 0 || surplus > 0 {
            self.drain();
        }
        if wants_push {
            self.mark_dirty(key);
        }
        if then == Then::Garbled {
            self.counters.garbled += 1;
            return self.tell(Input::Garbled(stream));
        }
        self.after_reading(key, end.unwrap_or(CloseReason::EndOfStream));
    }

    /// What comes next for a connection whose stream has taken what it wanted.
    fn after_reading(&mut self, key: ConnectionKey, reason: CloseReason) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        if connection.phase != Phase::Open {
            return;
        }
        let is_offered = connection.unread.is_empty() && !connection.held;
        if connection.ended && is_offered {
            // An alert, if there is one.
            connection.push();
            self.part(key, reason);
        } else if (connection.readable && is_offered) || (connection.resumed && !is_offered) {
            self.mark_ready(key);
        }
    }

    /// The peer is gone. Its connection goes too, unless it has made an attempt to log in and not waited for the
    /// verdict: then it keeps its place until that is due, or guessing would cost no more than hanging up.
    fn part(&mut self, key: ConnectionKey, reason: CloseReason) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        match connection.stream {
            Some(stream) if !self.shard.lets_go(stream) => {
                connection.ended = true;
                connection.unread = Vec::new();
            }
            _ => self.lose(key, reason),
        }
    }

    fn read_to_nowhere(&mut self, key: ConnectionKey) {
        let connection = &mut self.connections[key];
        // The session is gone: these bytes are not even decrypted.
        let (_, then) = connection.read(&mut self.scratch);
        match then {
            Then::Wait => connection.readable = false,
            Then::Again => self.mark_ready(key),
            Then::End(_) | Then::Broken | Then::Garbled => self.remove(key, CloseReason::Asked),
        }
    }

    /// Writes what is kept, then renders and writes until there is nothing more, the socket is full, or
    /// others should have their turn.
    pub(super) fn flush(&mut self, key: ConnectionKey) {
        let was_blocked = self.connections[key].is_blocked();
        if !self.has_progressed(key, Connection::push) {
            return;
        }
        let connection = &self.connections[key];
        let renders = matches!(
            connection.phase,
            Phase::Open | Phase::StartingTls | Phase::Compressing(_) | Phase::Closing
        );
        if let (true, Some(stream)) = (renders, connection.stream) {
            if was_blocked {
                self.tell(Input::Written(stream));
            }
            if !self.render(key, stream) {
                return;
            }
        }
        match self.connections.get(key).map(|connection| connection.phase) {
            Some(Phase::StartingTls) => self.await_hello(key),
            Some(Phase::Compressing(codec)) => self.begin_compression(key, codec),
            Some(Phase::Closing) => self.close(key),
            _ => {}
        }
    }

    /// Whether everything is rendered and in the socket.
    fn render(&mut self, key: ConnectionKey, stream: StreamKey) -> bool {
        let is_compressed = self.connections[key].zlib.is_some();
        let mut budget = FLUSH_BYTES_MAX;
        loop {
            let mut rendered = std::mem::take(&mut self.scratch.rendered);
            rendered.clear();
            let (count, more) = match is_compressed {
                true => self.render_sealed(key, stream, &mut rendered),
                false => {
                    let more = self.shard.render(self.now, stream, &mut rendered);
                    (rendered.len(), more)
                }
            };
            let went_out = rendered.is_empty()
                || self.has_progressed(key, |connection| connection.write(&rendered));
            self.scratch.rendered = rendered;
            if !went_out {
                return false;
            }
            if count > 0 {
                self.counters.written_bytes += count as u64;
                self.tell(Input::Written(stream));
            }
            match more {
                // A stream that has more but renders nothing would turn for ever.
                Rendered::More if count > 0 => {}
                _ => return true,
            }
            // The stream may have been closed or handed over by what was written.
            if self.streams.get(stream) != Some(&key) {
                return false;
            }
            budget = budget.saturating_sub(count);
            if budget == 0 {
                self.mark_dirty(key);
                return false;
            }
        }
    }

    /// Renders and compresses piece by piece what one write can take: how many bytes before they were compressed, and whether
    /// there are more. XEP-0138 section 6: the flush may come "after sending a group of stanzas that have been queued up for
    /// delivery", and a piece that had a record and a system call of its own would cost more than it saves.
    fn render_sealed(
        &mut self,
        key: ConnectionKey,
        stream: StreamKey,
        out: &mut Vec<u8>,
    ) -> (usize, Rendered) {
        let mut piece = std::mem::take(&mut self.scratch.piece);
        let mut count = 0;
        let more = loop {
            piece.clear();
            let more = self.shard.render(self.now, stream, &mut piece);
            count += piece.len();
            if piece.is_empty() {
                break more;
            }
            if let Err(error) = self.connections[key].compress(&piece, out) {
                log::error!("compression_broken error={error}");
                out.clear();
                count = 0;
                self.part(key, CloseReason::Failed);
                break Rendered::Done;
            }
            let is_enough = out.len() >= limits::RENDER_CHUNK_BYTES || count >= FLUSH_BYTES_MAX;
            if more == Rendered::Done || is_enough {
                break more;
            }
        };
        self.scratch.piece = piece;
        (count, more)
    }

    /// Whether a write went through. If the socket is full an event will come; if it is broken the
    /// stream is told.
    fn has_progressed(
        &mut self,
        key: ConnectionKey,
        write: impl FnOnce(&mut Connection) -> Progress,
    ) -> bool {
        let Some(connection) = self.connections.get_mut(key) else {
            return false;
        };
        match write(connection) {
            Progress::Done => true,
            Progress::Blocked => false,
            Progress::Failed => {
                self.part(key, CloseReason::Failed);
                false
            }
        }
    }

    fn await_hello(&mut self, key: ConnectionKey) {
        self.connections[key].phase = Phase::Hello;
        self.set_deadline(key, self.tls.handshake_timeout_ms());
        self.mark_ready(key);
    }

    /// Closes our half and lets the peer read our last words.
    fn close(&mut self, key: ConnectionKey) {
        let connection = &mut self.connections[key];
        if let Some(session) = &mut connection.tls {
            session.say_close_notify();
            connection.push();
        }
        connection.tls = None;
        connection.zlib = None;
        connection.unread = Vec::new();
        connection.phase = Phase::Lingering;
        connection.readable = true;
        let is_gone = connection.ended
            || connection
                .socket
                .shutdown(std::net::Shutdown::Write)
                .is_err();
        if let Some(stream) = connection.stream.take() {
            self.streams.remove(stream);
            self.tell(Input::Closed(stream, CloseReason::Asked));
        }
        if is_gone {
            self.remove(key, CloseReason::Asked);
        } else {
            self.set_deadline(key, LINGER_MS);
            self.mark_ready(key);
        }
    }

    /// Does what the shard wants. A key that is no longer known belonged to a connection that is gone;
    /// the shard has been told, or is about to be.
    pub(super) fn carry_out(&mut self, output: Output) {
        match output {
            Output::Flush(stream) => {
                if let Some(&key) = self.streams.get(stream) {
                    self.mark_dirty(key);
                }
            }
            Output::Resume(stream) => {
                if let Some(&key) = self.streams.get(stream) {
                    self.connections[key].resumed = true;
                    self.mark_ready(key);
                }
            }
            Output::StartTls(stream) => self.start_tls(stream),
            Output::Compress(stream, codec) => self.compress(stream, codec),
            Output::Wipe => self.scratch.wipe(),
            Output::Proved(stream) => {
                if let Some(&key) = self.streams.get(stream) {
                    let permit = &mut self.connections[key].permit;
                    permit.secured();
                    permit.proved();
                }
            }
            Output::Close(stream) => self.begin_close(stream),
            Output::HandOver(to, stream, state) => self.hand_over(to, stream, state),
            Output::Ask(ticket, ask) => self.asked.push((ticket, ask)),
            Output::Audit(event) => (self.ports.audit)(self.now, event),
        }
    }

    fn start_tls(&mut self, stream: StreamKey) {
        let Some(&key) = self.streams.get(stream) else {
            return;
        };
        let connection = &mut self.connections[key];
        if connection.tls.is_some() {
            log::error!("starttls_inside_tls");
            return;
        }
        // RFC 6120 section 5.4.3.3: "the receiving entity MUST [...] begin the TLS negotiation
        // immediately"; what a man in the middle put behind the request in plaintext is dropped.
        self.counters.injected_bytes += connection.unread.len() as u64;
        connection.unread = Vec::new();
        connection.phase = Phase::StartingTls;
        self.set_deadline(key, self.tls.handshake_timeout_ms());
        self.mark_dirty(key);
    }

    /// As with STARTTLS, what stands behind the request is of the old stream and dropped.
    fn compress(&mut self, stream: StreamKey, codec: Codec) {
        let Some(&key) = self.streams.get(stream) else {
            return;
        };
        let connection = &mut self.connections[key];
        if connection.zlib.is_some() || connection.phase != Phase::Open {
            log::error!("compression_twice");
            return;
        }
        self.counters.injected_bytes += connection.unread.len() as u64;
        connection.unread = Vec::new();
        connection.phase = Phase::Compressing(codec);
        self.mark_dirty(key);
    }

    /// `<compressed/>` is in the socket.
    fn begin_compression(&mut self, key: ConnectionKey, codec: Codec) {
        let connection = &mut self.connections[key];
        match Zlib::new(codec) {
            Ok(zlib) => connection.zlib = Some(zlib),
            Err(error) => {
                log::error!("compression_broken error={error}");
                return self.lose(key, CloseReason::Failed);
            }
        }
        self.counters.compressed += 1;
        connection.phase = Phase::Open;
        connection.readable = true;
        if let Some(stream) = connection.stream {
            self.tell(Input::Compressed(stream));
        }
        self.mark_ready(key);
    }

    fn begin_close(&mut self, stream: StreamKey) {
        let Some(&key) = self.streams.get(stream) else {
            return;
        };
        let connection = &mut self.connections[key];
        match connection.phase {
            Phase::Open | Phase::StartingTls | Phase::Compressing(_) => {
                connection.phase = Phase::Closing;
                connection.unread = Vec::new();
                self.set_deadline(key, limits::CLOSE_TIMEOUT_MS);
                self.mark_dirty(key);
            }
            // In the middle of a handshake nothing can be said.
            Phase::Proxy | Phase::Hello | Phase::Waiting | Phase::Handshake => {
                self.remove(key, CloseReason::Asked);
            }
            Phase::Closing | Phase::Lingering => {}
        }
    }

    /// The account's home is another worker: everything goes there and nothing stays.
    fn hand_over(&mut self, to: WorkerId, stream: StreamKey, state: Box<StreamState>) {
        let Some(key) = self.streams.remove(stream) else {
            return;
        };
        let Some(mut connection) = self.connections.remove(key) else {
            return;
        };
        if let Err(error) = deregister(&self.poll, &mut connection.socket) {
            log::warn!("hand_over_failed error={error}");
            return;
        }
        self.counters.handed_over += 1;
        connection.permit.secured();
        connection.permit.proved();
        self.addresses[to.index()].carry(Box::new(Carried {
            socket: connection.socket,
            tls: connection.tls,
            zlib: connection.zlib,
            unread: connection.unread,
            unsent: connection.unsent,
            permit: connection.permit,
            state,
            ended: connection.ended,
        }));
    }
}

fn deregister(poll: &mio::Poll, socket: &mut Socket) -> std::io::Result<()> {
    poll.registry().deregister(socket)
}

/// Bytes written to one socket in one turn: more would let one fast reader hold up its worker.
const FLUSH_BYTES_MAX: usize = 128 * 1024;
/// How long a closed connection waits for the peer's end before the rest of what it sends is reset.
const LINGER_MS: u64 = 2_000;
