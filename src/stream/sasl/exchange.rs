//! One authentication from `<auth/>` to its verdict, whatever the mechanism. Refuses to know elements,
//! attempts and penalties: whoever drives it counts and waits.

use std::mem;
use std::sync::Arc;

use super::SaslFailure;
use super::identity::{localpart_on, may_act_as, prepared_localpart};
use super::mechanism::{ChannelFacts, Mechanism};
use super::scram::{Challenged, ClientFirst, Terms, keys_fit};
use super::token::{self, InitiatorMessage};
use crate::actor::auth::{
    AccountRef, AuthAnswer, AuthAsk, Bar, FreshToken, TokenMechanism, TokenProof,
};
use crate::base::{Rng, Secret, Uuid};

/// What the stream does next.
#[derive(Debug)]
pub enum Step {
    /// Send these bytes as a challenge and hand the response to [`Exchange::respond`].
    Challenge(Vec<u8>),
    /// Ask the auth thread, take nothing from the peer meanwhile, hand the answer to [`Exchange::answered`].
    Ask(AuthAsk),
    /// The peer is `localpart` on the host of the exchange.
    Success {
        localpart: Arc<str>,
        /// None for SASL ANONYMOUS, which has no account.
        account: Option<AccountRef>,
        /// Additional data with success (RFC 4422 section 3.6), for the client to judge us by.
        additional: Option<Vec<u8>>,
        /// Another token, where one was used (XEP-0484).
        token: Option<FreshToken>,
    },
    /// It is over. What [`SaslFailure::may_be_a_guess`] is told to the peer only when the auth thread, asked
    /// `Failed`, says so.
    Failure(SaslFailure),
}

/// The server's side of one attempt.
pub struct Exchange {
    host: Arc<str>,
    localpart: Option<Arc<str>>,
    state: State,
}

enum State {
    /// Nothing has come yet: every mechanism here lets the client begin (RFC 4422 section 5, item 2a).
    Opening(Opening),
    KeysAsked(Box<(Terms, ClientFirst)>),
    ProofAwaited(Box<Challenged>),
    VerdictAsked,
    Over,
}

enum Opening {
    Scram(Terms),
    Plain,
    /// The localparts on this host for which the client's certificate stands, and its subject.
    External(Vec<Arc<str>>, Option<Arc<str>>),
    /// The localpart that the stranger will get.
    Anonymous(Arc<str>),
    Token(Box<(TokenTerms, Secret)>),
}

/// What is known of an attempt by a token before it begins (XEP-0484).
pub struct TokenTerms {
    pub mechanism: TokenMechanism,
    /// Whose the token is said to be.
    pub client: Uuid,
    pub count: Option<u32>,
    pub invalidates: bool,
    pub request: Option<TokenMechanism>,
}

impl Exchange {
    /// Begins `mechanism` for accounts of `host`. `offered` is exactly what the peer was shown under the
    /// profile in use (XEP-0474 section 6.1 hashes it).
    ///
    /// # Errors
    /// `InvalidMechanism` for what was not offered; `EncryptionRequired` for PLAIN on an open channel, even
    /// if a mistake had offered it.
    pub fn start(
        mechanism: Mechanism,
        host: &Arc<str>,
        facts: &ChannelFacts,
        offered: &[Mechanism],
        rng: &mut Rng,
    ) -> Result<Exchange, SaslFailure> {
        if mechanism == Mechanism::Plain && !facts.secured {
            return Err(SaslFailure::EncryptionRequired);
        }
        if !offered.contains(&mechanism) {
            return Err(SaslFailure::InvalidMechanism);
        }
        let opening = match (mechanism, mechanism.scram_hash()) {
            (_, Some(hash)) => {
                Opening::Scram(Terms::new(hash, mechanism, facts, offered, rng.token()))
            }
            (Mechanism::External, None) => Opening::External(
                facts.certified_localparts(host),
                facts.certificate_subject.clone(),
            ),
            (Mechanism::Anonymous, None) => Opening::Anonymous(anonymous_localpart(rng)),
            (_, None) => Opening::Plain,
        };
        Ok(Exchange {
            host: Arc::clone(host),
            localpart: None,
            state: State::Opening(opening),
        })
    }

    /// Begins an attempt by a token. The mechanism is one that the peer was shown.
    ///
    /// # Errors
    /// `InvalidMechanism` where the channel cannot be bound so.
    pub fn start_token(
        terms: TokenTerms,
        host: &Arc<str>,
        facts: &ChannelFacts,
    ) -> Result<Exchange, SaslFailure> {
        let binding = token::binding(terms.mechanism, facts);
        let binding = binding.ok_or(SaslFailure::InvalidMechanism)?;
        Ok(Exchange {
            host: Arc::clone(host),
            localpart: None,
            state: State::Opening(Opening::Token(Box::new((terms, binding)))),
        })
    }

    /// Takes the decoded initial response (none if there was no such thing) or response.
    pub fn respond(&mut self, data: Option<&[u8]>) -> Step {
        let step = match mem::replace(&mut self.state, State::Over) {
            State::Opening(opening) => match data {
                Some(data) => self.open(opening, data),
                None => {
                    self.state = State::Opening(opening);
                    Ok(Step::Challenge(Vec::new()))
                }
            },
            State::ProofAwaited(challenged) => self.prove(*challenged, data.unwrap_or_default()),
            // Out of order: the peer speaks while we have not answered, or after the end.
            State::KeysAsked(_) | State::VerdictAsked | State::Over => {
                Err(SaslFailure::MalformedRequest)
            }
        };
        step.unwrap_or_else(Step::Failure)
    }

    /// Takes the auth thread's answer to the last [`Step::Ask`].
    pub fn answered(&mut self, answer: AuthAnswer) -> Step {
        match (mem::replace(&mut self.state, State::Over), answer) {
            (State::KeysAsked(asked), AuthAnswer::ScramKeys { keys, account }) => {
                let (terms, first) = *asked;
                if !keys_fit(terms.hash, &keys) {
                    return Step::Failure(SaslFailure::TemporaryAuthFailure);
                }
                let (challenged, challenge) = Challenged::new(terms, first, keys, account);
                self.state = State::ProofAwaited(Box::new(challenged));
                Step::Challenge(challenge)
            }
            (State::VerdictAsked, AuthAnswer::Certified { localpart, account }) => {
                self.localpart = Some(localpart);
                self.success(Some(account), None, None)
            }
            (State::VerdictAsked, AuthAnswer::Admitted(account)) => {
                self.success(Some(account), None, None)
            }
            (
                State::VerdictAsked,
                AuthAnswer::Proved {
                    account,
                    responder,
                    token,
                },
            ) => self.success(Some(account), Some(responder.expose().to_vec()), token),
            // XEP-0484 section 4.2: "If the server no longer trusts a token, it MUST instead fail the authentication
            // (returning the SASL 'credentials-expired' error condition)".
            (State::VerdictAsked, AuthAnswer::Expired) => {
                Step::Failure(SaslFailure::CredentialsExpired)
            }
            (State::VerdictAsked, AuthAnswer::Barred(bar)) => Step::Failure(match bar {
                Bar::Disabled => SaslFailure::AccountDisabled,
                Bar::Expired => SaslFailure::CredentialsExpired,
                Bar::Locked => SaslFailure::AccountLocked,
                Bar::MustChange => SaslFailure::PasswordMustChange,
            }),
            (State::VerdictAsked, AuthAnswer::Refused) => Step::Failure(SaslFailure::NotAuthorized),
            // Unavailable, or an answer to a question that was never asked: never a way in.
            _ => Step::Failure(SaslFailure::TemporaryAuthFailure),
        }
    }

    /// Whom the peer claims to be, once it has: for penalties and audit. Prepared, but not proved.
    pub fn localpart(&self) -> Option<&Arc<str>> {
        self.localpart.as_ref()
    }

    fn open(&mut self, opening: Opening, data: &[u8]) -> Result<Step, SaslFailure> {
        match opening {
            Opening::Scram(terms) => {
                let first = ClientFirst::parse(&terms.binding, data)?;
                let hash = terms.hash;
                let localpart = self.claim(&first.username, first.authzid.as_deref())?;
                self.state = State::KeysAsked(Box::new((terms, first)));
                Ok(Step::Ask(AuthAsk::ScramKeys {
                    host: Arc::clone(&self.host),
                    localpart,
                    hash,
                }))
            }
            Opening::Plain => {
                let message = PlainMessage::parse(data)?;
                let localpart = self.claim(message.authcid, Some(message.authzid))?;
                self.state = State::VerdictAsked;
                Ok(Step::Ask(AuthAsk::Password {
                    host: Arc::clone(&self.host),
                    localpart,
                    password: Secret::new(message.password.as_bytes().to_vec()),
                }))
            }
            Opening::External(certified, Some(subject)) if certified.is_empty() => {
                let ask = self.certified(subject, data)?;
                self.state = State::VerdictAsked;
                Ok(Step::Ask(ask))
            }
            Opening::External(certified, _) => {
                let localpart = self.choose_certified(certified, data)?;
                self.localpart = Some(Arc::clone(&localpart));
                self.state = State::VerdictAsked;
                Ok(Step::Ask(AuthAsk::Admission {
                    host: Arc::clone(&self.host),
                    localpart,
                }))
            }
            Opening::Anonymous(localpart) => {
                // RFC 4505 section 2: up to 255 characters of trace information, which we do not keep.
                let trace = std::str::from_utf8(data).map_err(|_| SaslFailure::MalformedRequest)?;
                if trace.chars().count() > ANONYMOUS_TRACE_CHARS_MAX {
                    return Err(SaslFailure::MalformedRequest);
                }
                self.localpart = Some(localpart);
                Ok(self.success(None, None, None))
            }
            Opening::Token(terms) => {
                let (terms, binding) = *terms;
                let message = InitiatorMessage::parse(data)?;
                let localpart = self.claim(message.authcid, None)?;
                self.state = State::VerdictAsked;
                Ok(Step::Ask(AuthAsk::Token(Box::new(TokenProof {
                    host: Arc::clone(&self.host),
                    localpart,
                    client: terms.client,
                    mechanism: terms.mechanism,
                    binding,
                    proof: Secret::new(message.proof.to_vec()),
                    count: terms.count,
                    invalidates: terms.invalidates,
                    request: terms.request,
                }))))
            }
        }
    }

    fn prove(&mut self, challenged: Challenged, data: &[u8]) -> Result<Step, SaslFailure> {
        let (account, additional) = challenged.verify(data)?;
        Ok(self.success(Some(account), Some(additional), None))
    }

    /// Notes whom the peer claims to be, if it may act as whom it wishes to.
    fn claim(&mut self, name: &str, authzid: Option<&str>) -> Result<Arc<str>, SaslFailure> {
        let localpart = prepared_localpart(name).ok_or(SaslFailure::NotAuthorized)?;
        self.localpart = Some(Arc::clone(&localpart));
        may_act_as(&self.host, &localpart, authzid)?;
        Ok(localpart)
    }

    /// XEP-0178 section 2: without an authzid the certificate must leave no choice; with one it must be
    /// among the certified.
    fn choose_certified(
        &self,
        mut certified: Vec<Arc<str>>,
        authzid: &[u8],
    ) -> Result<Arc<str>, SaslFailure> {
        let authzid = std::str::from_utf8(authzid).map_err(|_| SaslFailure::MalformedRequest)?;
        if !authzid.is_empty() {
            let wanted = localpart_on(&self.host, authzid).ok_or(SaslFailure::InvalidAuthzid)?;
            certified.retain(|localpart| *localpart == wanted);
        }
        let (Some(localpart), true) = (certified.pop(), certified.is_empty()) else {
            return Err(SaslFailure::InvalidAuthzid);
        };
        may_act_as(&self.host, &localpart, Some(authzid))?;
        Ok(localpart)
    }

    /// A certificate without addresses stands for whose entry its subject is the name of.
    fn certified(&self, subject: Arc<str>, authzid: &[u8]) -> Result<AuthAsk, SaslFailure> {
        let authzid = std::str::from_utf8(authzid).map_err(|_| SaslFailure::MalformedRequest)?;
        let localpart = match authzid {
            "" => None,
            wanted => Some(localpart_on(&self.host, wanted).ok_or(SaslFailure::InvalidAuthzid)?),
        };
        Ok(AuthAsk::Certified {
            host: Arc::clone(&self.host),
            subject,
            localpart,
        })
    }

    fn success(
        &self,
        account: Option<AccountRef>,
        additional: Option<Vec<u8>>,
        token: Option<FreshToken>,
    ) -> Step {
        match &self.localpart {
            Some(localpart) => Step::Success {
                localpart: Arc::clone(localpart),
                account,
                additional,
                token,
            },
            // Every way to success names somebody first; if one did not, nobody gets in by it.
            None => Step::Failure(SaslFailure::TemporaryAuthFailure),
        }
    }
}

/// RFC 4616 section 2: message = [authzid] UTF8NUL authcid UTF8NUL passwd.
struct PlainMessage<'a> {
    authzid: &'a str,
    authcid: &'a str,
    password: &'a str,
}

impl PlainMessage<'_> {
    /// Neither name nor password may be empty or hold a NUL (the grammar's `1*SAFE`): many a directory takes
    /// an empty password for an anonymous bind (peers.md row 19).
    fn parse(data: &[u8]) -> Result<PlainMessage<'_>, SaslFailure> {
        let text = std::str::from_utf8(data).map_err(|_| SaslFailure::MalformedRequest)?;
        let mut parts = text.split('\0');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(authzid), Some(authcid), Some(password), None)
                if !authcid.is_empty() && !password.is_empty() =>
            {
                Ok(PlainMessage {
                    authzid,
                    authcid,
                    password,
                })
            }
            _ => Err(SaslFailure::MalformedRequest),
        }
    }
}

/// 128 random bits in hexadecimal: a localpart that preparation leaves alone and nobody can guess.
fn anonymous_localpart(rng: &mut Rng) -> Arc<str> {
    Arc::from(format!("{:016x}{:016x}", rng.next_u64(), rng.next_u64()))
}

/// RFC 4505 section 2: `token = 1*255TCHAR`.
const ANONYMOUS_TRACE_CHARS_MAX: usize = 255;
