//! XEP-0352 in the shard: a client says whether somebody looks at it, and what may wait does so (`im/inactive.rs`).
//! Whenever its radio is on anyway, because something is sent to it or comes from it, what waits goes out (XEP-0286
//! section 4: "When transmitting, transmit as much as you can").

use std::sync::Arc;

use crate::actor::Delivery;
use crate::base::{ActorKey, Now, StreamKey};
use crate::im::Session;
use crate::im::inactive::{Inactive, may_wait};
use crate::stanza::Kind;
use crate::stream::{ClientState, SessionRef};

use super::Shard;
use super::cell::Mail;
use super::deliver::held;

impl Shard {
    /// The client says that it is active or inactive, however often.
    pub(super) fn client_state(&mut self, now: Now, key: StreamKey, state: ClientState) {
        let Some(at) = self.session_of(key) else {
            return;
        };
        match state {
            ClientState::Active => {
                if let Some(inactive) = self.take_inactive(at) {
                    self.let_go(now, at, *inactive);
                }
            }
            ClientState::Inactive => self.begin_inactive(at),
        }
    }

    /// From here on what may wait does.
    pub(super) fn begin_inactive(&mut self, at: SessionRef) {
        if let Some(session) = self.session_at(at) {
            session.inactive.get_or_insert_default();
        }
    }

    /// What comes for a session whose client is inactive: it waits, or goes out behind what waits.
    pub(super) fn push_inactive(&mut self, now: Now, actor: ActorKey, delivery: Delivery) {
        let config = Arc::clone(&self.config);
        let csi = &config.csi;
        let (count_max, bytes_max) = (csi.held_count as usize, csi.held_size.as_bytes() as usize);
        let may_hold = match delivery.stanza.header.kind {
            Kind::Presence => csi.hold_presence,
            Kind::Message => csi.hold_messages,
            Kind::Iq => false,
        };
        let session = delivery.session;
        let at = SessionRef { actor, session };
        let Some(session) = self.session_at(at) else {
            return;
        };
        let waits = may_hold && may_wait(session, &delivery.stanza);
        let sender = session.sender(&config, delivery.stanza.header.from.as_ref());
        match &mut session.inactive {
            Some(inactive) if waits => {
                inactive.hold(delivery, sender);
                if inactive.holds(count_max, bytes_max) {
                    self.release_held(now, at);
                }
            }
            _ => {
                if let Some(inactive) = session.inactive.take() {
                    self.let_go(now, at, *inactive);
                }
                self.push_or_leave(now, actor, delivery);
                self.stay_inactive(at);
            }
        }
    }

    /// The client is awake for a moment: what waits goes out, and it stays inactive.
    pub(super) fn release_held(&mut self, now: Now, at: SessionRef) {
        if let Some(inactive) = self.take_inactive(at) {
            self.let_go(now, at, *inactive);
            self.stay_inactive(at);
        }
    }

    fn let_go(&mut self, now: Now, at: SessionRef, inactive: Inactive) {
        for held in inactive.into_held() {
            self.push_or_leave(now, at.actor, held);
        }
        self.count_cell(at.actor);
    }

    /// What went out before may have been one too many.
    fn push_or_leave(&mut self, now: Now, actor: ActorKey, delivery: Delivery) {
        let session = delivery.session;
        match self.session_at(SessionRef { actor, session }) {
            Some(session) if !session.ended => self.push(now, actor, delivery),
            _ => self.post_to(actor, Mail::Leftover(held(now, delivery))),
        }
    }

    fn take_inactive(&mut self, at: SessionRef) -> Option<Box<Inactive>> {
        self.session_at(at)?.inactive.take()
    }

    /// Unless it lost its stream over what went out.
    fn stay_inactive(&mut self, at: SessionRef) {
        if let Some(session) = self.session_at(at)
            && session.stream.is_some()
            && !session.ended
        {
            session.inactive.get_or_insert_default();
        }
    }

    fn session_at(&mut self, at: SessionRef) -> Option<&mut Session> {
        self.cells
            .get_mut(at.actor)?
            .account
            .session_mut(at.session)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{NOW, connect, rendered, stage};
    use super::*;
    use crate::base::{SessionId, limits};
    use crate::jid::Jid;
    use crate::shard::Input;
    use crate::stanza::{Header, Payload, Stanza, Type};

    #[test]
    fn what_waits_goes_out_with_the_servers_own_question() {
        let (mut shard, actor) = stage();
        let key = connect(&mut shard, actor);
        shard.arm_stream(key);
        rendered(&mut shard, key);
        shard.client_state(NOW, key, ClientState::Inactive);
        let mut header = Header::new(Kind::Presence, Type::Available);
        header.from = Jid::parse("juliet@localhost/balcony").ok();
        let payload = Payload::EMPTY;
        let delivery = Delivery {
            session: SessionId(1),
            stanza: Stanza { header, payload },
            kept: None,
        };
        shard.deliver(NOW, actor, delivery.clone());
        assert_eq!(rendered(&mut shard, key), "");
        let later = Now {
            mono_ms: NOW.mono_ms + limits::PING_AFTER_MS,
            ..NOW
        };
        shard.handle(later, Input::Tick);
        let said = rendered(&mut shard, key);
        assert!(
            said.starts_with("<presence ") && said.contains("<r "),
            "{said}"
        );
        // Nobody looks at it still.
        shard.deliver(later, actor, delivery);
        assert_eq!(rendered(&mut shard, key), "");
    }
}
