//! Sessions that are resumed (XEP-0198 section 5): the stream of a client that comes back takes the place of the one it lost.

use subtle::ConstantTimeEq;

use crate::actor::Kept;
use crate::base::{ActorKey, Now, StreamKey};
use crate::im::Session;
use crate::stanza::{StreamError, ns};
use crate::stream::{Item, ResumeWish, SessionRef, failed};
use crate::xml::escape_attribute;

use super::Shard;
use super::deliver::{REQUEST, handled_count_too_high};

impl Shard {
    /// XEP-0198 section 5, on a stream of its own.
    pub(super) fn resume_requested(&mut self, now: Now, key: StreamKey, wish: &ResumeWish) {
        match self.resume(now, key, wish) {
            Ok(session) => {
                let xml = self.resumed_xml(session, &wish.previd);
                self.say(key, xml);
                self.replay(now, key, session);
            }
            Err(Refusal::Unknown) => {
                let xml = self.not_found(now, key, wish);
                self.say(key, xml);
            }
            Err(Refusal::TooHigh(error)) => self.fail_stream(now, key, error),
        }
    }

    /// Section 5: "If the server recogizes the 'previd' as an earlier session that has timed out the server MAY
    /// also include a 'h' attribute indicating the number of stanzas received before the timeout."
    pub(super) fn not_found(&self, now: Now, key: StreamKey, wish: &ResumeWish) -> String {
        let own = self.streams.get(key).and_then(|stream| stream.jid.as_ref());
        let handled = own.and_then(|own| self.ended.handled(now, own.bare_str(), &wish.previd));
        failed("item-not-found", handled)
    }

    /// Attaches a stream to the session that it names.
    pub(super) fn resume(
        &mut self,
        now: Now,
        key: StreamKey,
        wish: &ResumeWish,
    ) -> Result<SessionRef, Refusal> {
        // With stream management switched off nobody can enable it: what is known now may still be resumed.
        let stream = self.streams.get(key).ok_or(Refusal::Unknown)?;
        let secured = stream.tls.is_some();
        let generation = stream.login.as_ref().map(|login| login.generation());
        let bare = stream.jid.clone().ok_or(Refusal::Unknown)?;
        let actor = *self.homes.get(bare.bare_str()).ok_or(Refusal::Unknown)?;
        let cell = self.cells.get_mut(actor).ok_or(Refusal::Unknown)?;
        let named = |session: &&mut Session| {
            session.acks.as_ref().is_some_and(|acks| {
                acks.resume_timeout_ms > 0
                    && bool::from(acks.token.as_bytes().ct_eq(wish.previd.as_bytes()))
            })
        };
        let session = cell
            .account
            .sessions
            .iter_mut()
            .filter(|s| !s.ended)
            .find(named);
        let session = session.ok_or(Refusal::Unknown)?;
        let (id, jid, old) = (session.id, session.jid.clone(), session.stream);
        let at = SessionRef { actor, session: id };
        let Some(acks) = &mut session.acks else {
            return Err(Refusal::Unknown);
        };
        if let Some(too_high) = acks.is_too_high(wish.h) {
            return Err(Refusal::TooHigh(handled_count_too_high(too_high)));
        }
        acks.detached(0);
        // It took no leave of its old stream.
        session.forget_state(now.wall_ms);
        session.stream = Some(key);
        session.secured = secured;
        session.generation = generation.unwrap_or_default();
        session.ends_at_ms = None;
        let mut arrived = std::mem::take(&mut session.unsure);
        if let Some(old) = old {
            arrived.extend(self.supplant(now, old));
        }
        if let Some(stream) = self.streams.get_mut(key) {
            stream.bound(at, jid);
        }
        self.arm_stream(key);
        // Nothing is asked yet: the client must hear that it is resumed before anything else.
        self.forget_acknowledged(now, at, wish.h);
        self.all_arrived(now, actor, arrived);
        Ok(at)
    }

    /// What a client that comes back was being written without counting it: it has that, for it knows its session.
    fn all_arrived(&mut self, now: Now, actor: ActorKey, all: Vec<Option<Kept>>) {
        for kept in all.into_iter().flatten() {
            self.arrived(now, actor, kept);
        }
    }

    pub(super) fn resumed_xml(&mut self, at: SessionRef, previd: &str) -> String {
        let received = self.acks_of(at).map_or(0, |acks| acks.resume());
        let mut id = Vec::new();
        escape_attribute(previd, &mut id);
        let id = String::from_utf8(id).expect("escaping keeps UTF-8");
        format!("<resumed xmlns='{}' h='{received}' previd='{id}'/>", ns::SM)
    }

    /// "the server MUST ... resend" what the client has not handled, in order.
    pub(super) fn replay(&mut self, now: Now, key: StreamKey, at: SessionRef) {
        let Some(acks) = self
            .cells
            .get_mut(at.actor)
            .and_then(|cell| cell.account.session_mut(at.session)?.acks.as_mut())
        else {
            return;
        };
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        for held in acks.unacked() {
            let stanza = held.stanza.clone();
            stream.outbound.push(Item::Stanza { stanza, kept: None });
        }
        stream.outbound.mark_replayed();
        if acks.asks(1) {
            stream.outbound.push_xml(REQUEST);
        }
        self.flush(key);
        self.deliver_missed(now, at.actor, at.session);
        self.advance_flood(now, at.actor, at.session);
    }
}

/// Why a session cannot be resumed.
pub(super) enum Refusal {
    /// XEP-0198 section 5: `item-not-found`.
    Unknown,
    /// The stream ends.
    TooHigh(StreamError),
}
