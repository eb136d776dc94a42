//! What becomes of an attempt to log in: the tasks of an account and a token for the client (XEP-0480, XEP-0484), the name that
//! is proved, or a failure that is recorded and told. Refuses to know mechanisms, and what a profile's elements look like.

use std::sync::Arc;

use crate::actor::audit::AuditEvent;
use crate::actor::auth::{AuthAsk, TokenWish};
use crate::base::limits;
use crate::config::Config;
use crate::jid::Jid;
use crate::stanza::{StreamCondition, StreamError, ns};

use super::login::Login;
use super::sasl::SaslFailure;
use super::sasl_profile::{Of, Waiting};
use super::state::{Context, Event, Phase, StreamState};

impl StreamState {
    /// Which of the tasks that a client asks for its account needs: only of who has proved the password, by SCRAM. PLAIN
    /// brings the keys up to date by itself.
    pub(super) fn upgrade_wish(&self, login: &Login) -> Option<AuthAsk> {
        let hashes = login.profile.upgrades();
        if hashes.is_empty() || !login.mechanism.starts_with("SCRAM-") {
            return None;
        }
        Some(AuthAsk::Upgrades {
            host: self.host.clone()?,
            localpart: Arc::clone(&login.localpart),
            account: login.account?,
            hashes: hashes.to_vec(),
        })
    }

    /// Every task is done.
    pub(super) fn past_tasks(&mut self, cx: &mut Context<'_>, login: Login) -> Option<Event> {
        match self.token_wish(cx.config, &login) {
            Some(wish) => self.ask_token(login, wish),
            None => self.verified(cx, login),
        }
    }

    /// XEP-0484 section 3.3: the token that a client wished for which has proved itself otherwise. "The server MUST NOT
    /// provide a token unless the client has been successfully and fully authenticated".
    fn token_wish(&self, config: &Config, login: &Login) -> Option<TokenWish> {
        if login.profile.used_token().is_some() {
            return None;
        }
        let wished = login.profile.wished_token();
        let offered = self.token_mechanisms(config);
        Some(TokenWish {
            host: self.host.clone()?,
            localpart: Arc::clone(&login.localpart),
            account: login.account?,
            client: login.profile.user_agent()?,
            mechanism: wished.filter(|wished| offered.contains(wished))?,
        })
    }

    fn ask_token(&mut self, login: Login, wish: TokenWish) -> Option<Event> {
        if let Phase::Authenticating(sasl) = &mut self.phase {
            sasl.waiting = Waiting::Token(Box::new(login));
        }
        Some(Event::Ask(AuthAsk::IssueToken(Box::new(wish))))
    }

    pub(super) fn verified(&mut self, cx: &mut Context<'_>, login: Login) -> Option<Event> {
        let host = self.host.as_deref().unwrap_or_default();
        let of = Of::profile(&login.profile);
        match Jid::from_parts(Some(&login.localpart), host, None) {
            // XEP-0388 section 2.3: "If the stream's from attribute (if present) does not match the ...
            // authorization string, the server MUST fail the authentication."
            Ok(jid) if of == Of::Sasl2 && !self.may_be(&jid) => {
                self.tell_failure(cx, SaslFailure::InvalidAuthzid, of)
            }
            Ok(jid) => {
                self.jid = Some(jid);
                self.login = Some(Box::new(login));
                self.phase = Phase::Verified;
                Some(Event::Verified)
            }
            // A back end that admits what is no address: nobody can be at home there.
            Err(_) => self.tell_failure(cx, SaslFailure::TemporaryAuthFailure, of),
        }
    }

    /// Whether the header said that the client is somebody else than whom an exchange of XEP-0388 is about.
    pub(super) fn says_to_be_another(&self) -> bool {
        let Phase::Authenticating(sasl) = &self.phase else {
            return false;
        };
        if self.said_from.is_none() || Of::profile(&sasl.profile) == Of::Sasl1 {
            return false;
        }
        let host = self.host.as_deref().unwrap_or_default();
        let claimed = sasl.exchange.localpart();
        let claimed = claimed.and_then(|name| Jid::from_parts(Some(name), host, None).ok());
        claimed.is_some_and(|jid| !self.may_be(&jid))
    }

    /// Whether the header said nothing else than that the client is `jid`.
    fn may_be(&self, jid: &Jid) -> bool {
        let said = self.said_from.as_ref();
        said.is_none_or(|said| said.bare_str() == jid.bare_str())
    }

    /// Leaves a failure to be audited.
    pub(super) fn record(&mut self, failure: SaslFailure) {
        let attempt = match &self.phase {
            Phase::Authenticating(sasl) => Some(sasl),
            _ => None,
        };
        // Whom the peer claimed to be, if it got so far.
        let claimed = attempt.and_then(|sasl| sasl.exchange.localpart());
        let host = self.host.clone().unwrap_or_default();
        self.recorded = Some(Box::new(AuditEvent::LoginFailed {
            account: claimed.map(|localpart| format!("{localpart}@{host}").into()),
            host,
            mechanism: attempt.map_or("", |sasl| sasl.mechanism),
            from: Some(Arc::clone(&self.peer)),
            reason: failure.element_name(),
        }));
    }

    /// The attempt failed for a reason that teaches nothing about a password: recorded and told at once.
    pub(super) fn tell_failure(
        &mut self,
        cx: &mut Context<'_>,
        failure: SaslFailure,
        of: Of,
    ) -> Option<Event> {
        self.record(failure);
        self.say_failure(cx, failure, of)
    }

    /// Section 6.4.5, and after too many attempts section 6.5: "the server SHOULD ... close".
    pub(super) fn say_failure(
        &mut self,
        cx: &mut Context<'_>,
        failure: SaslFailure,
        of: Of,
    ) -> Option<Event> {
        self.phase = Phase::Negotiating;
        self.outbound.push_xml(format!(
            "<failure xmlns='{}'><{} xmlns='{}'/><text xmlns='{}' xml:lang='en'>{failure}</text></failure>",
            of.namespace(),
            failure.element_name(),
            ns::SASL,
            of.namespace(),
        ));
        self.sasl_attempts += 1;
        if self.sasl_attempts < limits::SASL_ATTEMPTS_MAX {
            return None;
        }
        self.fail(
            cx,
            StreamError::new(StreamCondition::PolicyViolation, "Too many attempts"),
        )
    }
}
