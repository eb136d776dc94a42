//! SASL's two profiles on a stream: RFC 6120 section 6 and XEP-0388. Both run one exchange; they differ in
//! their elements, and in what may be asked for beside.

use std::sync::Arc;

use crate::actor::Ticket;
use crate::actor::auth::{AuthAnswer, AuthAsk, TokenMechanism};
use crate::base::{Secret, Uuid, limits};
use crate::config::Config;
use crate::stanza::{StreamCondition, StreamError, ns};

use super::features::FAST;
use super::login::{BindWish, Fast, Login, Profile, ResumeWish, UsedToken};
use super::nonza::Nonza;
use super::sasl::{self, Exchange, Mechanism, SaslFailure, Step};
use super::state::{Context, Event, Phase, StreamState, not_authorized};
use super::tls;
use super::upgrade::{self, Tasks};

/// One attempt.
pub struct Sasl {
    pub(super) exchange: Exchange,
    /// The mechanism's name.
    pub(super) mechanism: &'static str,
    pub(super) profile: Profile,
    /// On the monotonic clock.
    began_at_ms: u64,
    /// The seat of the question that the attempt waits for.
    pub(super) ticket: Option<Ticket>,
    pub(super) waiting: Waiting,
}

impl std::fmt::Debug for Sasl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sasl({})", self.mechanism)
    }
}

pub(super) enum Waiting {
    /// For the client's next response.
    Peer,
    /// For the auth thread's verdict.
    Verdict,
    /// For leave to tell the client that it failed.
    Penalty(SaslFailure),
    /// For the tasks that its account needs (XEP-0480).
    Upgrades(Box<Login>),
    /// For the client's part of a task.
    Task(Box<Tasks>),
    /// For keys to be kept.
    Keys(Box<Tasks>),
    /// For a token to take along (XEP-0484); who it is, is proved.
    Token(Box<Login>),
}

impl Sasl {
    /// An attempt for tests to stand in the middle of.
    #[cfg(test)]
    pub(super) fn test(exchange: Exchange, profile: Profile) -> Sasl {
        Sasl {
            exchange,
            mechanism: "SCRAM-SHA-1",
            profile,
            began_at_ms: 0,
            ticket: None,
            waiting: Waiting::Peer,
        }
    }

    /// The auth thread has been asked and has not answered.
    pub(super) fn is_waiting(&self) -> bool {
        !matches!(self.waiting, Waiting::Peer | Waiting::Task(_))
    }
}

/// What holds before authentication, as features announce it.
pub(super) const PRE_AUTH_BYTES: usize = limits::PRE_AUTH_ELEMENT_BYTES_MAX;

impl StreamState {
    /// RFC 6120 section 6.4.
    pub(super) fn on_sasl1(&mut self, cx: &mut Context<'_>, element: &Nonza<'_>) -> Option<Event> {
        match element.name {
            "auth" => {
                let data = sasl::decode_initial_response(&element.text());
                self.begin(cx, element.attribute("mechanism"), data, Profile::Sasl1)
            }
            "response" => self.respond(cx, sasl::decode_response(&element.text()), Of::Sasl1),
            "abort" => self.abort(cx, Of::Sasl1),
            _ => self.fail(cx, not_authorized()),
        }
    }

    /// XEP-0388 section 2.
    pub(super) fn on_sasl2(&mut self, cx: &mut Context<'_>, element: &Nonza<'_>) -> Option<Event> {
        match element.name {
            "authenticate" => {
                let initial = element.child(ns::SASL2, "initial-response");
                // "the '=' special case no longer applies": an empty element is an empty response.
                let data = initial
                    .map(|initial| sasl::decode_response(initial.text().trim()))
                    .transpose();
                let profile = Profile::Sasl2 {
                    resume: element.child(ns::SM, "resume").map(|resume| {
                        let (previd, h) = (resume.attribute("previd"), resume.attribute("h"));
                        ResumeWish::read(previd.as_deref(), h.as_deref())
                    }),
                    bind: element
                        .child(ns::BIND2, "bind")
                        .map(|bind| BindWish::read(&bind)),
                    upgrades: upgrade::wished(element.children(), cx.config),
                    fast: match cx.config.has_feature(FAST) {
                        true => Fast::read(
                            element.child(ns::FAST, "fast"),
                            element.child(ns::FAST, "request-token"),
                        ),
                        false => None,
                    },
                    user_agent: element
                        .child(ns::SASL2, "user-agent")
                        .and_then(|agent| Uuid::parse_v4(&agent.attribute("id")?)),
                };
                self.begin(cx, element.attribute("mechanism"), data, profile)
            }
            "response" => self.respond(cx, sasl::decode_response(element.text().trim()), Of::Sasl2),
            "abort" => self.abort(cx, Of::Sasl2),
            "next" if self.is_in_sasl2() => self.on_next(cx, element),
            "task-data" if self.is_in_sasl2() => self.on_task_data(cx, element),
            _ => self.fail(cx, not_authorized()),
        }
    }

    /// The auth thread answered a question of this stream.
    pub(super) fn sasl_answered(
        &mut self,
        cx: &mut Context<'_>,
        ticket: Ticket,
        answer: AuthAnswer,
    ) -> Option<Event> {
        let Phase::Authenticating(sasl) = &mut self.phase else {
            return None;
        };
        if sasl.ticket.take() != Some(ticket) {
            return None;
        }
        match std::mem::replace(&mut sasl.waiting, Waiting::Peer) {
            Waiting::Peer | Waiting::Task(_) => None,
            Waiting::Upgrades(login) => match answer {
                AuthAnswer::Upgrades(left) if !left.is_empty() => {
                    self.begin_tasks(*login, left);
                    None
                }
                // Nothing is needed, or nobody can say so now: the next login asks again.
                _ => self.past_tasks(cx, *login),
            },
            Waiting::Keys(tasks) => self.task_done(cx, *tasks, &answer),
            Waiting::Verdict => {
                let step = sasl.exchange.answered(answer);
                self.on_step(cx, step)
            }
            Waiting::Token(mut login) => {
                // Without one the client uses its password again the next time.
                login.token = match answer {
                    AuthAnswer::Issued(token) => Some(token),
                    _ => None,
                };
                self.verified(cx, *login)
            }
            Waiting::Penalty(failure) => {
                let of = Of::profile(&sasl.profile);
                // It was recorded when it failed.
                self.say_failure(cx, failure, of)
            }
        }
    }

    fn begin(
        &mut self,
        cx: &mut Context<'_>,
        mechanism: Option<&str>,
        data: Result<Option<Secret>, SaslFailure>,
        profile: Profile,
    ) -> Option<Event> {
        let of = Of::profile(&profile);
        // XEP-0388 section 2.2: clients "MUST send only <response/> elements as appropriate or an <abort/>".
        if self.is_in_sasl2() {
            return self.fail(cx, other_traffic());
        }
        // Section 6.4.2: a further <auth/> discards "the ongoing handshake" and begins anew.
        let may_begin = matches!(self.phase, Phase::Negotiating | Phase::Authenticating(_));
        if self.jid.is_some() || !may_begin {
            return self.fail(cx, not_authorized());
        }
        // Section 6.5.4: "encryption-required"; nothing but STARTTLS was offered. XEP-0388 section 6: "SASL2 MUST
        // only be used by Clients or offered by Servers after TLS negotiation", whatever the listener allows.
        if self.needs_tls(cx.config) || (of == Of::Sasl2 && self.tls.is_none()) {
            return self.tell_failure(cx, SaslFailure::EncryptionRequired, of);
        }
        let Some(host) = self.host.clone() else {
            return self.fail(cx, not_authorized());
        };
        let started = match profile.used_token() {
            Some(used) => self.start_token(cx.config, &host, mechanism, &profile, used),
            None => self.start_mechanism(cx, &host, mechanism),
        };
        let (name, exchange) = match started {
            Ok(started) => started,
            Err(failure) => return self.tell_failure(cx, failure, of),
        };
        let sasl = Sasl {
            exchange,
            mechanism: name,
            profile,
            began_at_ms: cx.now.mono_ms,
            ticket: None,
            waiting: Waiting::Peer,
        };
        self.phase = Phase::Authenticating(Box::new(sasl));
        match data {
            Ok(data) => self.step(cx, data.as_ref()),
            Err(failure) => self.tell_failure(cx, failure, of),
        }
    }

    fn start_mechanism(
        &self,
        cx: &mut Context<'_>,
        host: &Arc<str>,
        mechanism: Option<&str>,
    ) -> Result<(&'static str, Exchange), SaslFailure> {
        let mechanism = mechanism.and_then(Mechanism::from_name);
        let mechanism = mechanism.ok_or(SaslFailure::InvalidMechanism)?;
        let offered = self.mechanisms(cx.config);
        let facts = tls::channel(self.tls.as_deref());
        let exchange = Exchange::start(mechanism, host, &facts, &offered, cx.rng)?;
        Ok((mechanism.name(), exchange))
    }

    /// XEP-0484 section 3.4: "To indicate that it is providing a token, the client MUST include a <fast/> element".
    fn start_token(
        &self,
        config: &Config,
        host: &Arc<str>,
        mechanism: Option<&str>,
        profile: &Profile,
        used: UsedToken,
    ) -> Result<(&'static str, Exchange), SaslFailure> {
        let offered = self.token_mechanisms(config);
        let mechanism = mechanism.and_then(TokenMechanism::from_name);
        let mechanism = mechanism.filter(|mechanism| offered.contains(mechanism));
        let mechanism = mechanism.ok_or(SaslFailure::InvalidMechanism)?;
        // Section 4.1: "They MUST also provide the a SASL2 <user-agent> element with an 'id' attribute".
        let client = profile.user_agent().ok_or(SaslFailure::MalformedRequest)?;
        let request = profile.wished_token();
        let terms = sasl::TokenTerms {
            mechanism,
            client,
            count: used.count,
            invalidates: used.invalidates,
            request: request.filter(|wished| offered.contains(wished)),
        };
        let facts = tls::channel(self.tls.as_deref());
        let exchange = Exchange::start_token(terms, host, &facts)?;
        Ok((mechanism.name(), exchange))
    }

    fn respond(
        &mut self,
        cx: &mut Context<'_>,
        data: Result<Secret, SaslFailure>,
        of: Of,
    ) -> Option<Event> {
        match &self.phase {
            Phase::Authenticating(sasl) if Of::profile(&sasl.profile) == of => {}
            Phase::Authenticating(_) if self.is_in_sasl2() => {
                return self.fail(cx, other_traffic());
            }
            Phase::Authenticating(_) | Phase::Negotiating if !self.needs_tls(cx.config) => {
                return self.tell_failure(cx, SaslFailure::MalformedRequest, of);
            }
            _ => return self.fail(cx, not_authorized()),
        }
        match data {
            Ok(data) => self.step(cx, Some(&data)),
            Err(failure) => self.tell_failure(cx, failure, of),
        }
    }

    /// Section 6.4.4.
    fn abort(&mut self, cx: &mut Context<'_>, of: Of) -> Option<Event> {
        match &self.phase {
            Phase::Authenticating(sasl) if Of::profile(&sasl.profile) == of => {
                self.tell_failure(cx, SaslFailure::Aborted, of)
            }
            // It crossed our own <failure/>: "Upon receiving an <abort/> element, the receiving entity MUST
            // return a <failure/> element ... containing an <aborted/>".
            Phase::Negotiating if !self.needs_tls(cx.config) => {
                self.tell_failure(cx, SaslFailure::Aborted, of)
            }
            _ => self.fail(cx, not_authorized()),
        }
    }

    fn step(&mut self, cx: &mut Context<'_>, data: Option<&Secret>) -> Option<Event> {
        let Phase::Authenticating(sasl) = &mut self.phase else {
            return None;
        };
        let step = sasl.exchange.respond(data.map(Secret::expose));
        self.on_step(cx, step)
    }

    fn on_step(&mut self, cx: &mut Context<'_>, step: Step) -> Option<Event> {
        if matches!(step, Step::Ask(_)) && self.says_to_be_another() {
            // Before the attempt has any effect. XEP-0388 section 2.6.2: "The server MUST NOT process any inline
            // features requested by the client in a failed authentication request".
            return self.tell_failure(cx, SaslFailure::InvalidAuthzid, Of::Sasl2);
        }
        let Phase::Authenticating(sasl) = &mut self.phase else {
            return None;
        };
        let of = Of::profile(&sasl.profile);
        match step {
            Step::Challenge(data) => {
                let text = of.text(&data);
                self.outbound.push_xml(format!(
                    "<challenge xmlns='{}'>{text}</challenge>",
                    of.namespace()
                ));
                None
            }
            Step::Ask(ask) => {
                sasl.waiting = Waiting::Verdict;
                Some(Event::Ask(ask))
            }
            Step::Success {
                localpart,
                account,
                additional,
                token,
            } => {
                let login = Login {
                    localpart,
                    account,
                    mechanism: sasl.mechanism,
                    additional,
                    profile: sasl.profile.clone(),
                    token,
                    began_at_ms: sasl.began_at_ms,
                };
                match self.upgrade_wish(&login) {
                    Some(ask) => {
                        if let Phase::Authenticating(sasl) = &mut self.phase {
                            sasl.waiting = Waiting::Upgrades(Box::new(login));
                        }
                        Some(Event::Ask(ask))
                    }
                    None => self.past_tasks(cx, login),
                }
            }
            Step::Failure(failure) if failure.may_be_a_guess() => {
                let ask = AuthAsk::Failed {
                    host: self.host.clone()?,
                    localpart: sasl.exchange.localpart().cloned(),
                    prefix: self.prefix,
                };
                sasl.waiting = Waiting::Penalty(failure);
                // Now, not when the peer is told: one that hangs up before has guessed all the same.
                self.record(failure);
                Some(Event::Ask(ask))
            }
            Step::Failure(failure) => self.tell_failure(cx, failure, of),
        }
    }

    /// Whether an exchange of XEP-0388 is in progress, in which nothing but its own elements may come.
    pub(super) fn is_in_sasl2(&self) -> bool {
        matches!(&self.phase, Phase::Authenticating(sasl) if Of::profile(&sasl.profile) == Of::Sasl2)
    }
}

/// XEP-0388 section 2.2: "Servers MUST disconnect Clients immediately if any other traffic is received."
pub(super) fn other_traffic() -> StreamError {
    StreamError::new(
        StreamCondition::PolicyViolation,
        "During SASL2 nothing but responses may be sent",
    )
}

/// Which profile an element belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    Sasl1,
    Sasl2,
}

impl Of {
    pub(super) fn profile(profile: &Profile) -> Of {
        match profile {
            Profile::Sasl1 => Of::Sasl1,
            Profile::Sasl2 { .. } => Of::Sasl2,
        }
    }

    pub(super) fn namespace(self) -> &'static str {
        match self {
            Of::Sasl1 => ns::SASL,
            Of::Sasl2 => ns::SASL2,
        }
    }

    /// Challenge data as text: RFC 6120 writes "=" for none, XEP-0388 nothing.
    fn text(self, data: &[u8]) -> String {
        match self {
            Of::Sasl2 if data.is_empty() => String::new(),
            _ => sasl::encode(data),
        }
    }
}
