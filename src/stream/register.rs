//! In-band registration before authentication (XEP-0077 section 3.1.1), for everybody or for who shows a token
//! (XEP-0445): off unless the host allows it, and only under TLS, because the password comes in plain text. Refuses to
//! know where accounts are kept.

use std::sync::Arc;

use crate::actor::Ticket;
use crate::actor::audit::AuditEvent;
use crate::actor::auth::{AuthAnswer, AuthAsk, Registration, RegistrationError};
use crate::base::{Secret, limits};
use crate::config::{Config, HostConfig, HostRegistration, RegistrationMode};
use crate::jid::{Jid, prepare_localpart};
use crate::stanza::{
    Condition, FieldType, FormKind, FormWriter, Iq, Kind, Payload, Stanza, StanzaError, Submission,
    Type, ns, reply_error, reply_result,
};
use crate::xml::{Element, Writer};

use super::outbound::Item;
use super::state::{Context, Event, Phase, StreamState, not_authorized};

/// What is remembered of who tries to register.
#[derive(Debug, Default)]
pub struct Newcomer {
    attempts: u8,
    has_registered: bool,
    /// A token that was found good. XEP-0445 section 4: "Subsequent actions performed by the client during the current
    /// session that require a valid token MUST NOT be rejected due to token expiry."
    invitation: Option<Secret>,
}

/// A wish that the auth thread judges.
#[derive(Debug)]
pub struct Registering {
    /// What will be answered, without its payload.
    request: Stanza,
    wish: Wish,
    /// The seat of the question.
    pub(super) ticket: Option<Ticket>,
}

#[derive(Debug)]
enum Wish {
    /// An account of this name.
    Account(Arc<str>),
    /// To be let in by this token.
    Invitation(Secret),
}

impl StreamState {
    /// Whether somebody may register on this stream, with an invitation at least.
    pub(super) fn may_register(&self, config: &Config) -> bool {
        let allowed = |host: &HostConfig| match host.registration.mode {
            RegistrationMode::Off => false,
            RegistrationMode::Invited => config.has_feature(INVITATIONS),
            RegistrationMode::Open => true,
        };
        self.tls.is_some()
            && self.jid.is_none()
            && config.has_feature(SWITCH)
            && self.host_config(config).is_some_and(allowed)
    }

    /// Whether no invitation is needed.
    pub(super) fn is_open_to_all(&self, config: &Config) -> bool {
        let host = self.host_config(config);
        host.is_some_and(|host| host.registration.mode == RegistrationMode::Open)
    }

    /// A stanza before authentication: only what registers is one.
    pub(super) fn on_early_stanza(
        &mut self,
        cx: &mut Context<'_>,
        stanza: Stanza,
    ) -> Option<Event> {
        let is_for_host = |to: &Jid| Some(to.as_str()) == self.host.as_deref();
        let addressed = stanza.header.to.as_ref().is_none_or(is_for_host);
        let negotiating = matches!(self.phase, Phase::Negotiating);
        let is_iq = stanza.header.kind == Kind::Iq;
        if !(negotiating && addressed && is_iq) {
            return self.fail(cx, not_authorized());
        }
        if !self.may_register(cx.config) {
            return self.turn_away(cx, &stanza);
        }
        let Some(iq) = Iq::request(&stanza) else {
            return self.fail(cx, not_authorized());
        };
        let child = iq.child();
        let asked = match (stanza.header.type_, child.ns(), child.name()) {
            (Type::Get, ns::REGISTER, "query") => {
                let answer = self.offer(cx.config);
                return self.answer_request(&stanza, answer);
            }
            (Type::Set, ns::REGISTER, "query") => self.wish(cx.config, iq),
            (Type::Set, ns::PARS, "preauth") if cx.config.has_feature(INVITATIONS) => {
                self.knock(&child)
            }
            _ => return self.fail(cx, not_authorized()),
        };
        match asked {
            Ok((wish, ask)) => {
                self.phase = Phase::Registering(Box::new(Registering {
                    // The password is not kept.
                    request: Stanza {
                        payload: Payload::EMPTY,
                        ..stanza
                    },
                    wish,
                    ticket: None,
                }));
                Some(Event::Ask(ask))
            }
            Err(error) => self.answer_request(&stanza, Err(error)),
        }
    }

    /// Section 3.1: "If the host does not support In-Band Registration, it MUST return a <service-unavailable/> error",
    /// which it does once the stream is secure, and not for ever.
    fn turn_away(&mut self, cx: &mut Context<'_>, stanza: &Stanza) -> Option<Event> {
        let request = Iq::request(stanza);
        let asks = request.is_some_and(|iq| iq.child().ns() == ns::REGISTER);
        let may_ask = self.tls.is_some() && self.jid.is_none();
        if asks && may_ask && self.attempt().is_ok() {
            let text = "Nobody can register here";
            let error = StanzaError::new(Condition::ServiceUnavailable, text);
            return self.answer_request(stanza, Err(error));
        }
        self.fail(cx, not_authorized())
    }

    /// What became of it.
    pub(super) fn registered(&mut self, ticket: Ticket, answer: AuthAnswer) -> Option<Event> {
        let Phase::Registering(registering) = &mut self.phase else {
            return None;
        };
        if registering.ticket.take() != Some(ticket) {
            return None;
        }
        let Phase::Registering(registering) =
            std::mem::replace(&mut self.phase, Phase::Negotiating)
        else {
            return None;
        };
        let Registering { request, wish, .. } = *registering;
        match wish {
            Wish::Account(localpart) => self.account_made(&request, &localpart, answer),
            Wish::Invitation(token) => {
                let answer = match answer {
                    AuthAnswer::Invited(true) => {
                        self.newcomer.get_or_insert_default().invitation = Some(token);
                        Ok(Payload::EMPTY)
                    }
                    // XEP-0445 section 4, its example.
                    AuthAnswer::Invited(false) => Err(StanzaError::new(
                        Condition::ItemNotFound,
                        "The provided token is invalid or expired",
                    )),
                    AuthAnswer::Registered(Err(refusal)) => Err(refusal.to_stanza_error()),
                    _ => Err(RegistrationError::Unavailable.to_stanza_error()),
                };
                let refused = answer.as_ref().err().map(|error| {
                    Event::Audit(AuditEvent::InvitationRefused {
                        host: self.host.clone().unwrap_or_default(),
                        from: Some(Arc::clone(&self.peer)),
                        reason: error.condition.name(),
                    })
                });
                self.answer_request(&request, answer);
                refused
            }
        }
    }

    fn account_made(
        &mut self,
        request: &Stanza,
        localpart: &str,
        answer: AuthAnswer,
    ) -> Option<Event> {
        let host = self.host.clone().unwrap_or_default();
        let account: Arc<str> = format!("{localpart}@{host}").into();
        let from = Some(Arc::clone(&self.peer));
        let outcome = match answer {
            AuthAnswer::Registered(outcome) => outcome,
            _ => Err(RegistrationError::Unavailable),
        };
        match outcome {
            Ok(made) => {
                let newcomer = self.newcomer.get_or_insert_default();
                (newcomer.has_registered, newcomer.invitation) = (true, None);
                self.answer_request(request, Ok(Payload::EMPTY));
                Some(Event::Registered {
                    account: AuditEvent::AccountRegistered { account, from },
                    tells: made.tells.then_some(made.id),
                })
            }
            Err(refusal) => {
                let error = refusal.to_stanza_error();
                let reason = error.condition.name();
                self.answer_request(request, Err(error));
                Some(Event::Audit(AuditEvent::RegistrationRefused {
                    account,
                    from,
                    reason,
                }))
            }
        }
    }

    /// One attempt more.
    ///
    /// # Errors
    /// XEP-0077 section 3.1.1: "a server MAY return a <not-acceptable/> stanza error if an unregistered entity attempts
    /// to register too many times before authenticating or if an entity attempts to register a second identity after
    /// successfully completing the registration use case".
    fn attempt(&mut self) -> Result<&Newcomer, StanzaError> {
        let newcomer = self.newcomer.get_or_insert_default();
        newcomer.attempts = newcomer.attempts.saturating_add(1);
        if newcomer.has_registered || newcomer.attempts > limits::REGISTRATIONS_PER_STREAM_MAX {
            return Err(not_acceptable("You have tried to register too often here"));
        }
        Ok(newcomer)
    }

    /// XEP-0445 section 4: the client shows its token.
    fn knock(&mut self, preauth: &Element<'_>) -> Result<(Wish, AuthAsk), StanzaError> {
        self.attempt()?;
        let token = preauth.attribute("token").unwrap_or_default();
        let token = Secret::new(token.as_bytes().to_vec());
        let ask = AuthAsk::Invitation {
            host: self.host.clone().unwrap_or_default(),
            token: token.clone(),
            prefix: self.prefix,
        };
        Ok((Wish::Invitation(token), ask))
    }

    /// What the client wishes for, if it may.
    fn wish(&mut self, config: &Config, iq: Iq<'_>) -> Result<(Wish, AuthAsk), StanzaError> {
        let token = self.attempt()?.invitation.clone();
        let Some(host) = self.host_config(config) else {
            return Err(StanzaError::new(Condition::ServiceUnavailable, ""));
        };
        let option = &host.registration;
        let query = iq.child();
        if query.child(ns::REGISTER, "remove").is_some() {
            // Section 3.2: "the IQ get does not contain a 'from' address because the entity is not registered".
            return Err(StanzaError::new(
                Condition::UnexpectedRequest,
                "Log in to remove your account",
            ));
        }
        if token.is_none() && option.mode == RegistrationMode::Invited {
            return Err(RegistrationError::NotInvited.to_stanza_error());
        }
        let form = Filled::read(&query)?;
        let localpart: Arc<str> = name(option, &form.required("username")?)?.into();
        let password = Secret::new(form.required("password")?.into_bytes());
        let mut fields = Vec::with_capacity(option.fields.len());
        for field in &option.fields {
            let value = form.required(field)?;
            if value.len() > limits::REGISTRATION_FIELD_BYTES_MAX {
                return Err(not_acceptable("One of the fields is too long"));
            }
            fields.push((field.clone(), value));
        }
        let registration = Registration {
            host: Arc::clone(&host.name),
            localpart: Arc::clone(&localpart),
            password,
            prefix: self.prefix,
            token,
            fields,
        };
        let ask = AuthAsk::Register(Box::new(registration));
        Ok((Wish::Account(localpart), ask))
    }

    /// The fields, for who may register.
    fn offer(&self, config: &Config) -> Result<Payload, StanzaError> {
        let Some(host) = self.host_config(config) else {
            return Err(StanzaError::new(Condition::ServiceUnavailable, ""));
        };
        let newcomer = self.newcomer.as_ref();
        let is_invited = newcomer.is_some_and(|newcomer| newcomer.invitation.is_some());
        match host.registration.mode {
            RegistrationMode::Open => Ok(offer(&host.registration)),
            RegistrationMode::Invited if is_invited => Ok(offer(&host.registration)),
            _ => Err(RegistrationError::NotInvited.to_stanza_error()),
        }
    }

    /// Answers. Section 3.3: an error "SHOULD NOT return the original XML sent".
    fn answer_request(
        &mut self,
        request: &Stanza,
        answer: Result<Payload, StanzaError>,
    ) -> Option<Event> {
        let reply = match answer {
            Ok(payload) => Some(reply_result(request, payload)),
            Err(error) => reply_error(request, &error),
        };
        if let Some(stanza) = reply {
            self.outbound.push(Item::Stanza { stanza, kept: None });
        }
        None
    }
}

/// What the client filled in: the form if it sent one (section 6), else the elements of section 14.1.
struct Filled<'a> {
    form: Option<Submission>,
    query: &'a Element<'a>,
}

impl<'a> Filled<'a> {
    fn read(query: &'a Element<'a>) -> Result<Filled<'a>, StanzaError> {
        let form = query.child(ns::FORM, "x");
        let form = form.map(|form| Submission::read(&form)).transpose()?;
        if let Some(form) = &form
            && form.form_type() != Some(ns::REGISTER)
        {
            return Err(StanzaError::new(
                Condition::BadRequest,
                "The form is of another type",
            ));
        }
        Ok(Filled { form, query })
    }

    /// Section 3.1: "If the requesting entity does not provide all of the requested information ... then the server
    /// or service MUST return a <not-acceptable/> error", and an empty password is none.
    fn required(&self, field: &str) -> Result<String, StanzaError> {
        let value = match &self.form {
            Some(form) => form.value(field)?.map(str::to_owned),
            None => {
                let child = self.query.child(ns::REGISTER, field);
                child.map(|child| child.text().into_owned())
            }
        };
        let value = value.filter(|value| !value.is_empty());
        value.ok_or_else(|| not_acceptable("Something that is required is missing"))
    }
}

/// The name as an address has it, if the host gives it to anybody.
fn name(option: &HostRegistration, username: &str) -> Result<String, StanzaError> {
    let localpart = prepare_localpart(username)
        .map_err(|_| not_acceptable("This cannot be the name of an account"))?;
    option.allows(&localpart).map_err(not_acceptable)?;
    Ok(localpart.into_owned())
}

/// Section 3.1: "the host MUST inform the entity of the required registration fields". Where there is more to say than
/// name and password, in both forms: every field of the form is one of the elements, too.
fn offer(option: &HostRegistration) -> Payload {
    let instructions = match (option.instructions.as_str(), option.approval) {
        ("", false) => "Choose a name and a password.",
        ("", true) => {
            "Choose a name and a password. An operator lets new accounts in before they can log in."
        }
        (own, _) => own,
    };
    let mut writer = Writer::new();
    writer
        .open("query", Some(ns::REGISTER))
        .open("instructions", None)
        .text(instructions)
        .close();
    let fields = ["username", "password"].into_iter();
    for field in fields.chain(option.fields.iter().map(String::as_str)) {
        writer.open(field, None).close();
    }
    if !option.fields.is_empty() {
        let mut form = FormWriter::new(FormKind::Form, ns::REGISTER)
            .required(FieldType::TextSingle, "username")
            .required(FieldType::TextPrivate, "password");
        for field in &option.fields {
            form = form.required(FieldType::TextSingle, field);
        }
        writer.raw(&form.finish());
    }
    writer.close();
    Payload::from_normal(&writer.finish())
}

fn not_acceptable(text: &'static str) -> StanzaError {
    StanzaError::new(Condition::NotAcceptable, text)
}

/// The name of its switch: `features/register.rs` is a layer above.
const SWITCH: &str = "register";
/// The same of `features/invitations.rs`.
pub(super) const INVITATIONS: &str = "invitations";
