//! From verified credentials to a session: the way home, the answer to the client, binding and stream management, in both
//! profiles of SASL (`resume.rs` has resumption).

use crate::actor::audit::AuditEvent;
use crate::actor::auth::FreshToken;
use crate::base::{ActorKey, Now, SessionId, StreamKey, Uuid, limits};
use crate::config::ResourceConflict;
use crate::im::Session;
use crate::im::acks::{Acks, Bounds};
use crate::jid::Jid;
use crate::stanza::{
    Condition, ErrorType, Payload, Stanza, StanzaError, StreamCondition, StreamError, ns,
    reply_error, reply_result, stamp,
};
use crate::stream::{
    BindWish, EnableWish, Item, Login, Phase, Profile, ResumeWish, SessionRef, failed, sasl,
};
use crate::xml::escape_text;

use super::Shard;
use super::load::Pressure;
use super::output::Output;
use super::resume::Refusal;
use super::session_end::GAVE_WAY;

impl Shard {
    /// The credentials are right: the stream goes where the account lives, and nothing is said before.
    pub(super) fn bring_home(&mut self, now: Now, key: StreamKey) {
        let Some(jid) = self.streams.get(key).and_then(|stream| stream.jid.clone()) else {
            return;
        };
        let home = self.routes.home(&jid);
        if home == self.place.worker {
            return self.admit(now, key);
        }
        if let Some(mut stream) = self.streams.remove(key) {
            self.load.recount_stream(&mut stream, 0, 0);
            self.timers.disarm_stream(stream.armed_for_ms, key);
            self.outputs.push_back(Output::HandOver(home, key, stream));
        }
    }

    /// At home, for only here is known whether there is room: what the worker that accepted the connection has to carry
    /// says nothing of that.
    pub(super) fn admit(&mut self, now: Now, key: StreamKey) {
        let others_wait = !self.waiting_logins.is_empty();
        match others_wait || self.pressure() >= Pressure::Logins {
            true => self.wait_for_room(now, key),
            false => self.complete_login(now, key),
        }
    }

    /// The client hears that it is authenticated, and what became of what it asked beside.
    pub(super) fn complete_login(&mut self, now: Now, key: StreamKey) {
        if self.refuse_outdated(now, key) {
            return;
        }
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        let Some(login) = stream.login.clone() else {
            return;
        };
        self.outputs.push_back(Output::Proved(key));
        self.outputs.push_back(Output::Audit(AuditEvent::Login {
            account: stream.jid.as_ref().map_or("", Jid::as_str).into(),
            mechanism: login.mechanism,
            from: Some(stream.peer.clone()),
            tls: stream.tls.is_some(),
        }));
        match &login.profile {
            Profile::Sasl1 => {
                let text = login
                    .additional
                    .as_deref()
                    .map(sasl::encode)
                    .unwrap_or_default();
                let success = format!("<success xmlns='{}'>{text}</success>", ns::SASL);
                stream.outbound.push_xml(success);
                // RFC 6120 section 6.4.6: a new stream begins.
                stream.restart();
            }
            Profile::Sasl2 { resume, bind, .. } => {
                let (resume, bind) = (resume.clone(), bind.clone());
                self.complete_sasl2(now, key, &login, resume, bind);
            }
        }
        self.flush(key);
        self.resume_stream(key);
    }

    /// XEP-0388 section 2.5, 0386 section 3 and 0198 section 10: resumption is tried first; a binding is
    /// what happens otherwise.
    fn complete_sasl2(
        &mut self,
        now: Now,
        key: StreamKey,
        login: &Login,
        resume: Option<Result<ResumeWish, &'static str>>,
        bind: Option<BindWish>,
    ) {
        let mut inline = String::new();
        if let Some(stream) = self.streams.get_mut(key) {
            stream.phase = Phase::Binding;
        }
        let mut resumed = None;
        match &resume {
            None => {}
            Some(Err(condition)) => inline.push_str(&failed(condition, None)),
            Some(Ok(wish)) => match self.resume(now, key, wish) {
                Ok(session) => {
                    inline.push_str(&self.resumed_xml(session, &wish.previd));
                    resumed = Some(session);
                }
                Err(Refusal::Unknown) => inline.push_str(&self.not_found(now, key, wish)),
                Err(Refusal::TooHigh(error)) => return self.fail_stream(now, key, error),
            },
        }
        if let (None, Some(wish)) = (resumed, &bind) {
            match self.bind_inline(now, key, wish) {
                Ok(bound) => inline.push_str(&bound),
                // The login stands, and with it what was made for it, as a token that is durable. XEP-0386 has no words for
                // a binding that failed: there is no <bound/>, and whoever asks by itself hears why (RFC 6120 section
                // 7.6.2.1).
                Err(error) => log::info!("bind2_refused error={error}"),
            }
        }
        let is_managed = self.is_managed(key);
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        let identity = stream.jid.as_ref().map(Jid::to_string).unwrap_or_default();
        let mut xml = format!("<success xmlns='{}'>", ns::SASL2).into_bytes();
        if let Some(additional) = &login.additional {
            let text = sasl::encode(additional);
            xml.extend_from_slice(format!("<additional-data>{text}</additional-data>").as_bytes());
        }
        xml.extend_from_slice(b"<authorization-identifier>");
        escape_text(&identity, &mut xml);
        xml.extend_from_slice(b"</authorization-identifier>");
        xml.extend_from_slice(inline.as_bytes());
        if let Some(token) = &login.token {
            xml.extend_from_slice(token_xml(token).as_bytes());
        }
        xml.extend_from_slice(b"</success>");
        stream
            .outbound
            .push_xml(String::from_utf8(xml).expect("written from strings and ASCII only"));
        if resumed.is_none() {
            // Section 2.5: "the server then sends a stream features element"; there is no restart.
            let features = match is_managed {
                true => stream.features_when_managed(&self.config, &self.caps),
                false => stream.features(&self.config, &self.caps),
            };
            stream.outbound.push_xml(features);
        }
        if let Some(session) = resumed {
            self.replay(now, key, session);
        }
    }

    /// Whether the stream's session has stream management on.
    fn is_managed(&self, key: StreamKey) -> bool {
        let session = self.session_of(key).and_then(|at| {
            let cell = self.cells.get(at.actor)?;
            cell.account.session(at.session)
        });
        session.is_some_and(|session| session.acks.is_some())
    }

    /// RFC 6120 section 7.6 and 7.7.
    pub(super) fn bind_requested(
        &mut self,
        now: Now,
        key: StreamKey,
        request: Stanza,
        resource: Option<String>,
    ) {
        let reply = match self.bind(now, key, resource) {
            Ok(jid) => {
                let mut xml = format!("<bind xmlns='{}'><jid>", ns::BIND).into_bytes();
                escape_text(jid.as_str(), &mut xml);
                xml.extend_from_slice(b"</jid></bind>");
                let xml = String::from_utf8(xml).expect("written from strings and ASCII only");
                Some(reply_result(&request, Payload::from_normal(&xml)))
            }
            Err(error) => reply_error(&request, &error),
        };
        if let (Some(reply), Some(stream)) = (reply, self.streams.get_mut(key)) {
            stream.outbound.push(Item::Stanza {
                stanza: reply,
                kept: None,
            });
        }
        self.flush(key);
    }

    /// XEP-0386: binds, and does what was asked for in the same breath.
    fn bind_inline(
        &mut self,
        now: Now,
        key: StreamKey,
        wish: &BindWish,
    ) -> Result<String, StanzaError> {
        // Section 4.1: the server makes the resource; the tag says what it begins with.
        let unique = self.rng.token();
        let tagged = wish.tag.as_ref().map(|tag| format!("{tag}/{unique}"));
        // "subject to the necessary validation for resource identifiers": a tag that cannot be one is left out.
        let bare = self.streams.get(key).and_then(|stream| stream.jid.as_ref());
        let fits = |tagged: &String| bare.is_some_and(|bare| bare.with_resource(tagged).is_ok());
        let resource = tagged.filter(fits).unwrap_or(unique);
        self.bind(now, key, Some(resource))?;
        let mut bound = format!("<bound xmlns='{}'>", ns::BIND2);
        if let Some(at) = self.session_of(key) {
            if wish.carbons
                && self.catalog.has("carbons")
                && let Some(cell) = self.cells.get_mut(at.actor)
            {
                cell.account.apply(crate::im::Change::Carbons {
                    session: at.session,
                    enabled: true,
                });
            }
            if wish.inactive && self.catalog.has("csi") {
                self.begin_inactive(at);
            }
            if let Some(enable) = wish.enable {
                bound.push_str(&self.enable(at, enable).unwrap_or_else(|failed| failed));
            }
        }
        bound.push_str("</bound>");
        Ok(bound)
    }

    /// Makes a session for a stream that is authenticated and at home.
    fn bind(
        &mut self,
        now: Now,
        key: StreamKey,
        resource: Option<String>,
    ) -> Result<Jid, StanzaError> {
        let Some(stream) = self.streams.get_mut(key) else {
            return Err(StanzaError::new(Condition::ServiceUnavailable, ""));
        };
        let secured = stream.tls.is_some();
        let (Some(bare), Some(login)) = (stream.jid.clone(), stream.login.clone()) else {
            return Err(StanzaError::new(
                Condition::NotAllowed,
                "Authenticate first",
            ));
        };
        let resource = resource.unwrap_or_else(|| self.rng.token());
        let mut jid = bare.with_resource(&resource).map_err(|_| {
            // Section 7.7.2.1: "the provided resourcepart cannot be processed".
            StanzaError::new(Condition::BadRequest, "This cannot be a resourcepart")
        })?;
        let actor = self.cell_at(now, &bare);
        let cell = &mut self.cells[actor];
        cell.account.meet(login.account);
        cell.account.anonymous = login.account.is_none();
        let taken = jid
            .resourcepart()
            .and_then(|resource| cell.account.resource(resource));
        let taken = taken.map(|session| (session.id, session.stream.is_some()));
        match (taken, self.config.c2s.resource_conflict) {
            (None, _) => {}
            // Section 7.7.2.2 is about "a currently connected client": one that is away and did not resume
            // stands in nobody's way.
            (Some((old, false)), _) | (Some((old, true)), ResourceConflict::ReplaceOld) => {
                let text = "Another connection took this resource";
                let error = StreamError::new(StreamCondition::Conflict, text);
                self.expel(now, actor, old, error);
            }
            (Some(_), ResourceConflict::MakeNew) => {
                jid = bare.with_resource(&self.rng.token()).map_err(|_| {
                    StanzaError::new(Condition::InternalServerError, "No resource could be made")
                })?;
            }
            (Some(_), ResourceConflict::RefuseNew) => {
                return Err(
                    StanzaError::new(Condition::Conflict, "This resource is in use")
                        .of_type(ErrorType::Modify),
                );
            }
        }
        if let Profile::Sasl2 {
            bind: Some(_),
            user_agent: Some(client),
            ..
        } = login.profile
        {
            self.end_earlier(now, actor, client);
        }
        self.make_room(now, actor)?;
        self.next_session += 1;
        let id = SessionId(self.next_session);
        let sessions = &mut self.cells[actor].account.sessions;
        // A vector's first growth has room for four; most accounts have one session for ever.
        sessions.reserve_exact(1);
        let mut session = Session::new(id, jid.clone(), key);
        session.user_agent = login.profile.user_agent();
        session.generation = login.generation();
        session.secured = secured;
        sessions.push(session);
        if let Some(stream) = self.streams.get_mut(key) {
            stream.bound(SessionRef { actor, session: id }, jid.clone());
        }
        self.arm_stream(key);
        Ok(jid)
    }

    /// XEP-0386 section 3.2: "the server SHOULD terminate any earlier sessions from the same client (identified by
    /// the <user-agent> 'id' attribute in its SASL2 authentication request)", connected or waiting to be resumed.
    /// Before there is room made for the new one: theirs is the place that it takes.
    fn end_earlier(&mut self, now: Now, actor: ActorKey, client: Uuid) {
        let sessions = self.cells[actor].account.sessions.iter();
        let earlier: Vec<SessionId> = sessions
            .filter(|session| !session.ended && session.user_agent == Some(client))
            .map(|session| session.id)
            .collect();
        for id in earlier {
            // RFC 6120 section 4.9.3.3: "a new stream has been initiated that conflicts with the existing stream".
            let text = "This client has begun another session";
            let error = StreamError::new(StreamCondition::Conflict, text);
            self.expel(now, actor, id, error);
        }
    }

    /// Ends the session that has waited longest for its client when an account has as many as it may.
    ///
    /// # Errors
    /// Section 7.6.2.1: "the server MUST return a <resource-constraint/> stanza error" when all are connected.
    fn make_room(&mut self, now: Now, actor: ActorKey) -> Result<(), StanzaError> {
        let sessions = &self.cells[actor].account.sessions;
        let living = sessions.iter().filter(|session| !session.ended);
        if living.clone().count() < self.config.c2s.sessions_per_account as usize {
            return Ok(());
        }
        let away = living.filter(|session| session.stream.is_none());
        let Some(oldest) = away.min_by_key(|session| session.ends_at_ms) else {
            return Err(StanzaError::new(
                Condition::ResourceConstraint,
                "Too many resources",
            ));
        };
        let oldest = oldest.id;
        self.end_session(now, actor, oldest, Vec::new(), GAVE_WAY);
        Ok(())
    }

    /// XEP-0198 section 3.
    pub(super) fn enable_requested(&mut self, _now: Now, key: StreamKey, wish: EnableWish) {
        if let Some(at) = self.session_of(key) {
            let answer = self.enable(at, wish).unwrap_or_else(|failed| failed);
            self.say(key, answer);
        }
    }

    fn enable(&mut self, at: SessionRef, wish: EnableWish) -> Result<String, String> {
        if !self.catalog.has("stream-management") {
            return Err(failed("feature-not-implemented", None));
        }
        let sm = &self.config.sm;
        let bounds = Bounds {
            count_max: sm.unacked_count as usize,
            bytes_max: sm.unacked_size.as_bytes() as usize,
        };
        let session = self
            .cells
            .get_mut(at.actor)
            .and_then(|cell| cell.account.session_mut(at.session))
            .filter(|session| session.acks.is_none());
        let Some(session) = session else {
            // "the server MUST ... <failed/> ... <unexpected-request/>" when it is enabled already.
            return Err(failed("unexpected-request", None));
        };
        let longest_ms = sm.resume_timeout.as_ms();
        let wished_ms = wish
            .max_s
            .map_or(longest_ms, |seconds| u64::from(seconds) * 1_000);
        let timeout_ms = if wish.resume {
            longest_ms.min(wished_ms)
        } else {
            0
        };
        let token = self.rng.token();
        let answer = match timeout_ms {
            0 => format!("<enabled xmlns='{}'/>", ns::SM),
            _ => format!(
                "<enabled xmlns='{}' resume='true' id='{token}' max='{}'/>",
                ns::SM,
                timeout_ms / 1_000
            ),
        };
        session.acks = Some(Box::new(Acks::new(token, timeout_ms, bounds)));
        Ok(answer)
    }

    /// An account whose sessions are to be found by their bare JID.
    pub(super) fn actor_of(&self, jid: &Jid) -> Option<ActorKey> {
        self.homes.get(jid.bare_str()).copied()
    }
}

/// XEP-0484 section 3.3. What is told is in the alphabet of base64, which needs no escapes.
fn token_xml(fresh: &FreshToken) -> String {
    let text = String::from_utf8_lossy(fresh.token.expose());
    let expiry = stamp(fresh.expires_wall_ms);
    format!(
        "<token xmlns='{}' expiry='{expiry}' token='{text}'/>",
        ns::FAST
    )
}

const _: () = assert!(
    limits::SESSIONS_PER_ACCOUNT_MAX >= 2,
    "one that comes and one that goes"
);
