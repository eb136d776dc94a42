//! Streams in the shard: bytes in, events carried out, output announced.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::actor::auth::{AuthAnswer, AuthAsk};
use crate::actor::{Delivery, Origin, Ticket};
use crate::base::{Now, Rng, StreamKey, TraceId, limits};
use crate::config::Config;
use crate::stanza::{Kind, Stanza, StanzaError, ns, reply_error};
use crate::stream::{Context, Event, SessionRef};
use crate::xml::{Scopes, Scratch};

use super::Shard;
use super::cell::Mail;
use super::load::Pressure;
use super::output::{Ask, Output};
use super::seats::Seat;
use super::session_end::{CLOSED, Loss};

impl Shard {
    /// Offers bytes to a stream; how many it took.
    pub(super) fn read(&mut self, now: Now, key: StreamKey, bytes: &[u8]) -> usize {
        if let Some(stream) = self.streams.get_mut(key) {
            stream.heard(now);
        }
        let mut taken = 0;
        loop {
            if !self.may_read(now, key) {
                break;
            }
            let trace = self.trace();
            let Some(stream) = self.streams.get_mut(key) else {
                return bytes.len();
            };
            let mut cx = context(
                now,
                &self.config,
                &self.caps,
                &mut self.rng,
                &mut self.scratch,
                &mut self.scopes,
                trace,
            );
            let (count, event) = stream.take(&mut cx, &bytes[taken..]);
            taken += count;
            if std::mem::take(&mut stream.has_read_secret) {
                self.outputs.push_back(Output::Wipe);
            }
            self.record(key);
            let Some(event) = event else {
                break;
            };
            let bytes = match &event {
                Event::Stanza(stanza) => stanza.charge(),
                _ => 0,
            };
            // Whatever filled an outbox before was not this stream.
            self.outboxes.take_overflow();
            self.on_event(now, key, event);
            // Each stanza is run before the next is read, so that a full mailbox is seen in time.
            self.run_sender(now, key);
            if let Some(to) = self.outboxes.take_overflow() {
                self.outboxes.hold(key, to);
            }
            self.drive_soon(now, bytes);
        }
        if let Some(stream) = self.streams.get_mut(key) {
            stream.unread_bytes = bytes.len() - taken;
        }
        self.flush(key);
        // Acknowledgements and errors that the client asked for and does not read.
        self.check_outbound(now, key);
        if taken < bytes.len()
            && let Some(stream) = self.streams.get_mut(key)
        {
            stream.is_paused = true;
        }
        taken
    }

    /// Whether the stream may be read now; if not, what will resume it is arranged.
    pub(super) fn may_read(&mut self, now: Now, key: StreamKey) -> bool {
        if self.awaits_farewell(key) {
            return false;
        }
        let Some(stream) = self.streams.get_mut(key) else {
            return false;
        };
        if let Some(at_ms) = stream.throttle(now, &self.config) {
            stream.throttled_until_ms = Some(at_ms);
            self.arm_stream(key);
            return false;
        }
        let Some(SessionRef { actor, session }) = stream.session else {
            return true;
        };
        self.sockets_wait |= self.fullness() == Pressure::Sockets;
        if self.outboxes.holds(key) {
            return false;
        }
        if self.sockets_wait {
            self.paused.insert(key);
            return false;
        }
        let Some(cell) = self.cells.get_mut(actor) else {
            return true;
        };
        let unsettled = cell
            .account
            .session(session)
            .and_then(|session| session.acks.as_ref())
            .is_some_and(|acks| acks.unsettled_count() >= limits::UNSETTLED_COUNT_MAX);
        let says_too_much = self.spreads.is_full_of(cell.account.jid.as_str());
        if cell.mailbox.is_full_of_own() || unsettled || says_too_much {
            if !cell.paused.contains(&key) {
                cell.paused.push(key);
            }
            return false;
        }
        true
    }

    pub(super) fn on_event(&mut self, now: Now, key: StreamKey, event: Event) {
        match event {
            Event::StartTls => self.outputs.push_back(Output::StartTls(key)),
            Event::Compress => self.compress(now, key),
            Event::Ask(ask) => match self.seats.take(seat_for(key, &ask)) {
                Ok(ticket) => {
                    if let Some(stream) = self.streams.get_mut(key) {
                        stream.asked(ticket);
                    }
                    self.outputs.push_back(Output::Ask(ticket, Ask::Auth(ask)));
                }
                Err(_) => {
                    // DESIGN section 7: beyond its share the service's requests fail at once.
                    let ticket = Ticket(u64::MAX);
                    if let Some(stream) = self.streams.get_mut(key) {
                        stream.asked(ticket);
                    }
                    self.authenticated(now, key, ticket, AuthAnswer::Unavailable);
                }
            },
            Event::Verified => self.bring_home(now, key),
            Event::Bind { request, resource } => self.bind_requested(now, key, request, resource),
            Event::Enable(wish) => self.enable_requested(now, key, wish),
            Event::Resume(wish) => self.resume_requested(now, key, &wish),
            Event::Acknowledged(h) => {
                if let Some(at) = self.session_of(key) {
                    self.acknowledged(now, key, at, h);
                    self.resume_own(at.actor);
                }
            }
            Event::AckRequested => {
                let handled = self.session_of(key).and_then(|at| {
                    let cell = self.cells.get_mut(at.actor)?;
                    let acks = cell.account.session_mut(at.session)?.acks.as_mut()?;
                    Some(acks.answer_request())
                });
                if let Some(handled) = handled {
                    self.say(key, ack(handled));
                }
            }
            Event::ClientState(state) => self.client_state(now, key, state),
            Event::Stanza(stanza) => self.stanza(now, key, stanza, None),
            Event::Malformed(stanza, error) => self.stanza(now, key, stanza, Some(error)),
            Event::Audit(event) => self.outputs.push_back(Output::Audit(event)),
            Event::Registered { account, tells } => {
                self.outputs.push_back(Output::Audit(account));
                if let Some(account) = tells {
                    self.replay_of(account);
                }
            }
            Event::Goodbye => self.goodbye(now, key),
            Event::Ended => {
                self.lose_stream(now, key, Loss::Resumable);
                self.close_stream(key);
            }
        }
    }

    /// A stanza of a bound session, or one whose sender shall hear an error.
    fn stanza(&mut self, now: Now, key: StreamKey, mut stanza: Stanza, error: Option<StanzaError>) {
        let Some(at) = self.session_of(key) else {
            return;
        };
        let Some(cell) = self.cells.get_mut(at.actor) else {
            return;
        };
        let Some(session) = cell.account.session_mut(at.session) else {
            return;
        };
        let is_inactive = session.inactive.is_some();
        // RFC 6120 section 8.1.2.1: the server "MUST add a 'from' attribute" with the full JID.
        stanza.header.from = Some(session.jid.clone());
        let origin = session.acks.as_mut().map(|acks| Origin {
            worker: self.place.worker,
            actor: at.actor,
            session: at.session,
            sequence: acks.receive(now.mono_ms, stanza.header.clone()),
        });
        log::trace!(
            "stanza_in trace={} kind={} type={:?}",
            stanza.header.trace,
            stanza.header.kind.name(),
            stanza.header.type_,
        );
        if is_inactive {
            self.release_held(now, at);
        }
        match error {
            None => {
                let mail = Mail::Outbound {
                    session: at.session,
                    stanza,
                    origin,
                };
                self.post_to(at.actor, mail);
            }
            Some(error) => {
                if (stanza.header.kind != Kind::Iq || stanza.header.id.is_some())
                    && let Some(reply) = reply_error(&stanza, &error)
                {
                    let session = at.session;
                    let delivery = Delivery {
                        session,
                        stanza: reply,
                        kept: None,
                    };
                    self.deliver(now, at.actor, delivery);
                }
                if let Some(origin) = origin {
                    self.settled(now, origin);
                }
            }
        }
        self.arm_actor(now, at.actor);
    }

    /// The auth thread answered a question of a stream.
    pub(super) fn authenticated(
        &mut self,
        now: Now,
        key: StreamKey,
        ticket: Ticket,
        answer: AuthAnswer,
    ) {
        let trace = self.trace();
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        let mut cx = context(
            now,
            &self.config,
            &self.caps,
            &mut self.rng,
            &mut self.scratch,
            &mut self.scopes,
            trace,
        );
        let event = stream.answered(&mut cx, ticket, answer);
        self.record(key);
        if let Some(event) = event {
            self.on_event(now, key, event);
        }
        self.flush(key);
        self.resume_stream(key);
    }

    /// Records what happened on the way in.
    fn record(&mut self, key: StreamKey) {
        let stream = self.streams.get_mut(key);
        if let Some(event) = stream.and_then(|stream| stream.recorded.take()) {
            self.outputs.push_back(Output::Audit(*event));
        }
    }

    /// The shell asks whether it may go on with the connection: read more of it, or remove it when the peer is gone.
    /// If not, because an attempt to log in has no verdict yet, [`Output::Resume`] says when to ask again.
    pub fn lets_go(&mut self, key: StreamKey) -> bool {
        match self.streams.get_mut(key) {
            Some(stream) if stream.awaits_verdict() => {
                stream.is_paused = true;
                false
            }
            _ => true,
        }
    }

    /// The stream takes bytes again, if it had refused some.
    pub(super) fn resume_stream(&mut self, key: StreamKey) {
        if let Some(stream) = self.streams.get_mut(key)
            && stream.is_paused
            && !stream.waits()
        {
            stream.is_paused = false;
            self.outputs.push_back(Output::Resume(key));
        }
    }

    /// Streams of an account whose mailbox has room again, and whose contacts were told.
    pub(super) fn resume_own(&mut self, actor: crate::base::ActorKey) {
        let Some(cell) = self.cells.get_mut(actor) else {
            return;
        };
        if cell.paused.is_empty()
            || cell.mailbox.is_full_of_own()
            || self.spreads.is_full_of(cell.account.jid.as_str())
        {
            return;
        }
        for key in std::mem::take(&mut cell.paused) {
            self.resume_stream(key);
        }
    }

    /// Streams that waited for memory.
    pub(super) fn resume_paused(&mut self) {
        for key in std::mem::take(&mut self.paused) {
            self.resume_stream(key);
        }
    }

    /// The session that a stream carries.
    pub(super) fn session_of(&self, key: StreamKey) -> Option<SessionRef> {
        self.streams.get(key)?.session
    }

    /// The client closed its stream: it hears how much of what it sent is settled, so that it need not send that
    /// again, then the session ends.
    fn goodbye(&mut self, now: Now, key: StreamKey) {
        let told = self
            .session_of(key)
            .and_then(|at| self.acks_of(at))
            .map(|acks| acks.told());
        if let Some(h) = told {
            self.say(key, ack(h));
        }
        self.lose_stream(now, key, Loss::Final(CLOSED));
        if let Some(stream) = self.streams.get_mut(key) {
            stream.close();
        }
        self.close_stream(key);
    }
}

fn seat_for(key: StreamKey, ask: &AuthAsk) -> Seat {
    match ask {
        AuthAsk::Password { .. }
        | AuthAsk::Failed { .. }
        | AuthAsk::IssueToken(_)
        | AuthAsk::TakeKeys { .. }
        | AuthAsk::Register(_) => Seat::Guess(key),
        // The others are no stream's.
        AuthAsk::ScramKeys { .. }
        | AuthAsk::Admission { .. }
        | AuthAsk::Certified { .. }
        | AuthAsk::Invitation { .. }
        | AuthAsk::Upgrades { .. }
        | AuthAsk::Token(_)
        | AuthAsk::Own(..)
        | AuthAsk::Purge(_) => Seat::Auth(key),
    }
}

/// What a stream borrows for one step.
pub(super) fn context<'a>(
    now: Now,
    config: &'a Config,
    caps: &'a BTreeMap<Arc<str>, String>,
    rng: &'a mut Rng,
    scratch: &'a mut Scratch,
    scopes: &'a mut Scopes,
    trace: TraceId,
) -> Context<'a> {
    Context {
        now,
        config,
        caps,
        rng,
        scratch,
        scopes,
        trace,
    }
}

/// XEP-0198 section 4: the answer.
pub(super) fn ack(h: u32) -> String {
    format!("<a xmlns='{}' h='{h}'/>", ns::SM)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::input::Input;
    use crate::shard::testing::{NOW, open, stage};

    /// A stream that has said its header.
    fn begun(shard: &mut Shard) -> StreamKey {
        let key = open(shard);
        let header = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0' to='localhost'>";
        shard.handle(NOW, Input::Bytes(key, header));
        key
    }

    /// Whether they are told of a secret who have read this, in two pieces; then it is nowhere here, either.
    fn is_wiped(shard: &mut Shard, key: StreamKey, text: &str) -> bool {
        let (first, rest) = text.split_at(text.len() - 1);
        for piece in [first, rest] {
            let taken = shard.handle(NOW, Input::Bytes(key, piece.as_bytes()));
            assert_eq!(taken, piece.len());
        }
        let mut outputs = std::iter::from_fn(|| shard.poll_output());
        let is_told = outputs.any(|output| matches!(output, Output::Wipe));
        outputs.for_each(drop);
        assert_eq!(shard.scratch.normal().inner.contains("dagger"), !is_told);
        is_told
    }

    #[test]
    fn whoever_has_read_a_password_is_told_to_zero_it() {
        let (mut shard, actor) = stage();
        let early = begun(&mut shard);
        let response =
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>dagger</auth>";
        assert!(is_wiped(&mut shard, early, response));
        let set = |query: &str| format!("<iq type='set' id='a'>{query}</iq>");
        let registers =
            set("<query xmlns='jabber:iq:register'><password>dagger</password></query>");
        let newcomer = begun(&mut shard);
        assert!(is_wiped(&mut shard, newcomer, &registers));
        let key = begun(&mut shard);
        let session = &mut shard.cells[actor].account.sessions[0];
        session.stream = Some(key);
        let (at, jid) = (session.id, session.jid.clone());
        let at = SessionRef { actor, session: at };
        shard.streams[key].bound(at, jid);
        let commands = set("<command xmlns='http://jabber.org/protocol/commands'>dagger</command>");
        for secret in [&registers, &commands] {
            assert!(is_wiped(&mut shard, key, secret), "{secret}");
        }
        let is_nothing = set("<query xmlns='jabber:iq:private'>dagger</query>");
        assert!(!is_wiped(&mut shard, key, &is_nothing));
    }
}
