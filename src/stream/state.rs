//! One client's stream: what it remembers, how far it is, and what it may wait for (`reading.rs` has the way from bytes to
//! events). Refuses to know accounts; what only they can decide is an event, and the stream waits until it is told.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::actor::Ticket;
use crate::actor::audit::AuditEvent;
use crate::actor::auth::{AuthAnswer, AuthAsk};
use crate::base::{AccountId, ActorKey, AddressPrefix, Now, Rng, SessionId, TraceId, limits};
use crate::config::{Config, Dictionary, HostConfig, Listener};
use crate::jid::Jid;
use crate::stanza::{Stanza, StanzaError, StreamCondition, StreamError};
use crate::xml::{Framer, Scope, Scopes, Scratch};

use super::login::{ClientState, EnableWish, Login, ResumeWish};
use super::outbound::Outbound;
use super::rate::{Rate, RateLimits};
use super::register::{Newcomer, Registering};
use super::sasl_profile::Sasl;
use super::tls::TlsFacts;

/// What a stream needs for one step and does not own.
pub struct Context<'a> {
    pub now: Now,
    pub config: &'a Config,
    /// What each host says of itself in stream features, by its name.
    pub caps: &'a BTreeMap<Arc<str>, String>,
    pub rng: &'a mut Rng,
    pub scratch: &'a mut Scratch,
    pub scopes: &'a mut Scopes,
    /// Given to the next stanza.
    pub trace: TraceId,
}

/// The state of one stream. It moves whole when the connection is handed over.
#[derive(Debug)]
pub struct StreamState {
    /// Index of the listener in the configuration.
    pub listener: usize,
    pub prefix: AddressPrefix,
    /// The peer's address, for audit and log.
    pub peer: Arc<str>,
    /// What the handshake proved; none in plaintext, and none once a session is bound, when nobody asks any more.
    pub tls: Option<Box<TlsFacts>>,
    pub phase: Phase,
    pub outbound: Outbound,
    /// The unguessable id of the current header.
    pub id: Box<str>,
    /// Name of the served domain, once a header named it.
    pub host: Option<Arc<str>>,
    /// The bare JID once authenticated, the full JID once bound.
    pub jid: Option<Jid>,
    /// The session that it carries, once bound and until that goes its own way.
    pub session: Option<SessionRef>,
    /// Whom the client proved to be, until it is bound.
    pub login: Option<Box<Login>>,
    /// The attempt to log in that failed last, until the shard has recorded it.
    pub recorded: Option<Box<AuditEvent>>,
    /// When the connection was opened, on the monotonic clock.
    pub opened_at_ms: u64,
    /// When bytes last came, on the monotonic clock.
    pub read_at_ms: u64,
    /// Until when a client that wrote too fast is not read, on the monotonic clock.
    pub throttled_until_ms: Option<u64>,
    /// When the silent client was pinged.
    pub pinged_at_ms: Option<u64>,
    /// The earliest deadline for which the shard will wake this stream.
    pub armed_for_ms: u64,
    /// Bytes of its queue that the worker's load was last told of.
    pub counted_bytes: usize,
    /// Bytes of its codec that the worker's load was last told of.
    pub counted_codec_bytes: usize,
    /// Bytes that it was offered last and refused: they wait in the shell.
    pub unread_bytes: usize,
    /// It has output that the shell was not told of yet.
    pub is_dirty: bool,
    /// It refused bytes and must be told when it takes them again.
    pub is_paused: bool,
    /// What it read last held a secret in the clear, and whoever keeps the bytes was not told of it yet.
    pub has_read_secret: bool,
    /// Whether the peer's address is one that may have compression, where it is offered.
    pub may_compress_here: bool,
    /// XEP-0138: bytes of both directions go through a codec, which remembers so much.
    pub compression: Option<Dictionary>,
    pub(super) framer: Framer,
    pub(super) scope: Option<Arc<Scope>>,
    /// The prefix of the client's header, which its end tag has to repeat; empty if none.
    pub(super) root_prefix: Cow<'static, str>,
    pub(super) lang: Option<Arc<str>>,
    /// Whom the client said it is in its header, for ours to say back (RFC 6120 section 4.7.2).
    pub(super) said_from: Option<Jid>,
    pub(super) rate: Rate,
    pub(super) sasl_attempts: u8,
    /// What is remembered of who tried to register an account (XEP-0077).
    pub(super) newcomer: Option<Box<Newcomer>>,
    /// Our header of this incarnation of the stream is out.
    pub(super) header_sent: bool,
}

/// How far the negotiation is.
#[derive(Debug)]
pub enum Phase {
    /// A stream header is awaited; before or after authentication.
    Opening,
    /// Features are out; TLS or authentication is awaited.
    Negotiating,
    /// `<proceed/>` is out; the handshake is awaited. Takes no bytes.
    Securing,
    /// `<compressed/>` is out; the codec is awaited. Takes no bytes.
    Compressing(Dictionary),
    /// SASL is in progress.
    Authenticating(Box<Sasl>),
    /// An account is being made (XEP-0077). Takes no bytes.
    Registering(Box<Registering>),
    /// Verified; its home has not answered the client yet. Takes no bytes.
    Verified,
    /// The account is at home here; a resource is awaited.
    Binding,
    /// A resource is bound; [`StreamState::session`] says which.
    Bound,
    /// `</stream:stream>` is out: what comes is dropped.
    Closing,
}

/// The session that a stream carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionRef {
    pub actor: ActorKey,
    pub session: SessionId,
}

/// What only the shard can do.
#[derive(Debug)]
pub enum Event {
    /// Write what is queued, drop what is unread, begin the handshake.
    StartTls,
    /// XEP-0138: the client may have compression, if there is memory for it.
    Compress,
    /// Ask the auth thread; the stream takes nothing until [`StreamState::answered`].
    Ask(AuthAsk),
    /// The credentials are right ([`Phase::Verified`]): bring the stream home.
    Verified,
    /// RFC 6120 section 7: a resource is wished for; answer the IQ.
    Bind {
        request: Stanza,
        resource: Option<String>,
    },
    /// XEP-0198 section 3.
    Enable(EnableWish),
    /// XEP-0198 section 5, before a resource is bound.
    Resume(ResumeWish),
    /// XEP-0198 section 4: the client has so many.
    Acknowledged(u32),
    /// XEP-0198 section 4: the client asks how many we have.
    AckRequested,
    /// XEP-0352 section 4.2.
    ClientState(ClientState),
    /// A stanza of the bound session.
    Stanza(Stanza),
    /// A stanza of the bound session that its sender shall hear an error about.
    Malformed(Stanza, StanzaError),
    /// The client closed its stream (RFC 6120 section 4.4); our end is still to be said.
    Goodbye,
    /// The client did what ends its stream; our end is queued.
    Ended,
    /// Something happened that an auditor reads of.
    Audit(AuditEvent),
    /// An account was made, and perhaps its inviter has to be told ([`crate::im::outgoing`]).
    Registered {
        account: AuditEvent,
        tells: Option<AccountId>,
    },
}

impl StreamState {
    /// A stream on a new connection.
    pub fn new(
        now: Now,
        config: &Config,
        listener: usize,
        prefix: AddressPrefix,
        peer: Arc<str>,
        tls: Option<Box<TlsFacts>>,
    ) -> StreamState {
        StreamState {
            listener,
            prefix,
            peer,
            tls,
            phase: Phase::Opening,
            outbound: Outbound::default(),
            id: Box::default(),
            host: None,
            jid: None,
            recorded: None,
            session: None,
            login: None,
            throttled_until_ms: None,
            opened_at_ms: now.mono_ms,
            read_at_ms: now.mono_ms,
            pinged_at_ms: None,
            armed_for_ms: u64::MAX,
            counted_bytes: 0,
            counted_codec_bytes: 0,
            unread_bytes: 0,
            is_dirty: false,
            is_paused: false,
            has_read_secret: false,
            may_compress_here: true,
            compression: None,
            framer: Framer::new(),
            scope: None,
            root_prefix: Cow::Borrowed(""),
            lang: None,
            said_from: None,
            rate: Rate::new(now, &rate_limits(config)),
            sasl_attempts: 0,
            newcomer: None,
            header_sent: false,
        }
    }

    /// Bytes that wait: to be written, to be read, or for the rest of their element; and those of its codec.
    pub fn queued_bytes(&self) -> usize {
        let buffered = self.unread_bytes + self.framer.buffered();
        self.outbound.bytes() + buffered + self.codec_bytes()
    }

    /// Reads a little of everything that most stanzas need, so that it is at hand when they come
    /// ([`Shard::look_ahead`](crate::shard::Shard::look_ahead)); the value has no meaning.
    pub fn glance(&self) -> usize {
        let times = self.read_at_ms ^ self.armed_for_ms ^ self.opened_at_ms;
        let waits = self.throttled_until_ms.is_some() ^ self.pinged_at_ms.is_some();
        let has = self.lang.is_some()
            ^ self.scope.is_some()
            ^ self.recorded.is_some()
            ^ self.jid.is_some();
        let flags = self.is_dirty ^ self.is_paused ^ self.header_sent ^ waits ^ has;
        let sizes = self.counted_bytes
            ^ self.counted_codec_bytes
            ^ self.unread_bytes
            ^ self.root_prefix.len();
        let parts = self.framer.buffered() ^ self.outbound.glance() ^ self.rate.glance();
        times as usize ^ sizes ^ parts ^ usize::from(flags)
    }

    /// Bytes of its codec, from when it is granted to the end of the stream.
    pub fn codec_bytes(&self) -> usize {
        match (&self.phase, self.compression) {
            (Phase::Closing, _) => 0,
            (Phase::Compressing(_), _) | (_, Some(_)) => limits::COMPRESSED_STREAM_BYTES,
            _ => 0,
        }
    }

    /// It has a codec, and no session that would use it.
    pub fn has_idle_codec(&self) -> bool {
        self.codec_bytes() > 0 && self.session.is_none()
    }

    /// So many compressed bytes were read beyond those that they became: they were work too.
    pub fn spent(&mut self, count: usize) {
        self.rate.spend_bytes(count);
    }

    /// Bytes came from the peer, whether or not they can be taken now.
    pub fn heard(&mut self, now: Now) {
        self.read_at_ms = now.mono_ms;
        self.pinged_at_ms = None;
    }

    /// Whether the stream must be told something before it takes more bytes.
    pub fn waits(&self) -> bool {
        match &self.phase {
            Phase::Securing | Phase::Compressing(_) | Phase::Verified => true,
            _ => self.awaits_verdict(),
        }
    }

    /// Whether an attempt to log in, or to register, was made and the client has not been told what became of it.
    pub fn awaits_verdict(&self) -> bool {
        match &self.phase {
            Phase::Authenticating(sasl) => sasl.is_waiting(),
            Phase::Registering(_) => true,
            _ => false,
        }
    }

    /// Until when a writer that is too fast should not be read, on the monotonic clock.
    pub fn throttle(&mut self, now: Now, config: &Config) -> Option<u64> {
        self.rate.ready_at_ms(now, &rate_limits(config))
    }

    /// Says goodbye with an error (RFC 6120 section 4.9.1.1: errors are unrecoverable).
    pub fn fail(&mut self, cx: &mut Context<'_>, error: StreamError) -> Option<Event> {
        if matches!(self.phase, Phase::Closing) {
            return None;
        }
        log::debug!(
            "stream_error stream={} peer={} error={}",
            self.id,
            self.peer,
            error
        );
        // Section 4.9.1.2: "the receiving entity MUST still send the opening <stream> tag".
        if !self.header_sent {
            self.send_header(cx);
        }
        self.outbound.push_xml(error.to_xml());
        self.close();
        Some(Event::Ended)
    }

    /// Ends our half: nothing is written behind it.
    pub fn close(&mut self) {
        self.outbound.push_xml("</stream:stream>");
        self.phase = Phase::Closing;
    }

    /// The handshake is complete: the stream begins anew (RFC 6120 section 5.4.3.3).
    pub fn secured(&mut self, facts: Box<TlsFacts>) {
        if matches!(self.phase, Phase::Securing) {
            self.tls = Some(facts);
            self.restart();
        }
    }

    /// The auth thread answered.
    pub fn answered(
        &mut self,
        cx: &mut Context<'_>,
        ticket: Ticket,
        answer: AuthAnswer,
    ) -> Option<Event> {
        match self.phase {
            Phase::Registering(_) => self.registered(ticket, answer),
            _ => self.sasl_answered(cx, ticket, answer),
        }
    }

    /// Names the seat that was kept for the stream's question.
    pub fn asked(&mut self, ticket: Ticket) {
        match &mut self.phase {
            Phase::Authenticating(sasl) => sasl.ticket = Some(ticket),
            Phase::Registering(registering) => registering.ticket = Some(ticket),
            _ => {}
        }
    }

    /// It carries a session. What only the negotiation needed goes: most of the time of most streams is idle
    /// from here on, and 300 bytes each are a third of a gigabyte for a million.
    pub fn bound(&mut self, session: SessionRef, jid: Jid) {
        self.phase = Phase::Bound;
        self.session = Some(session);
        self.jid = Some(jid);
        self.login = None;
        self.newcomer = None;
        self.said_from = None;
        self.tls = None;
    }

    /// A new header is awaited.
    pub fn restart(&mut self) {
        self.framer.reset();
        self.scope = None;
        self.header_sent = false;
        self.phase = Phase::Opening;
    }

    /// The listener under which the connection was accepted; none when a reload removed it.
    pub(super) fn listener<'c>(&self, config: &'c Config) -> Option<&'c Listener> {
        config.listeners.get(self.listener)
    }

    /// The served domain that the header named.
    pub(super) fn host_config<'c>(&self, config: &'c Config) -> Option<&'c HostConfig> {
        Some(config.host(self.host.as_deref()?)?.as_ref())
    }
}

fn rate_limits(config: &Config) -> RateLimits {
    RateLimits {
        stanzas_per_s: u64::from(config.c2s.rate_stanzas_per_s),
        stanzas_burst: u64::from(config.c2s.rate_stanzas_burst),
        bytes_per_s: config.c2s.rate_bytes_per_s.as_bytes(),
        bytes_burst: config.c2s.rate_bytes_burst.as_bytes(),
    }
}

/// RFC 6120 section 4.9.3.12: "The entity has attempted to send XML stanzas or other outbound data before the
/// stream has been authenticated".
pub(super) fn not_authorized() -> StreamError {
    StreamError::new(
        StreamCondition::NotAuthorized,
        "Authenticate and bind a resource first",
    )
}

/// Section 4.9.3.24.
pub(super) fn unsupported_stanza_type() -> StreamError {
    StreamError::new(
        StreamCondition::UnsupportedStanzaType,
        "This element is not supported here",
    )
}
