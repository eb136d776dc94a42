//! In-band registration before authentication (XEP-0077 section 3.1.1): off unless the host allows it, and only
//! under TLS, because the password comes in plain text. Refuses to know where accounts are kept.

use std::sync::Arc;

use crate::actor::Ticket;
use crate::actor::audit::AuditEvent;
use crate::actor::auth::{AuthAnswer, AuthAsk, Registration, RegistrationError};
use crate::base::{AccountId, Secret, limits};
use crate::config::{Config, HostConfig, HostRegistration, RegistrationMode};
use crate::jid::prepare_localpart;
use crate::stanza::{
    Condition, FieldType, FormKind, FormWriter, Iq, Kind, Payload, Stanza, StanzaError, Submission,
    Type, ns, reply_error, reply_result,
};
use crate::xml::{Element, Writer};

use super::outbound::Item;
use super::state::{Context, Event, Phase, StreamState, not_authorized};

/// A wish that the auth thread judges.
#[derive(Debug)]
pub struct Registering {
    /// What will be answered, without its payload.
    request: Stanza,
    localpart: Arc<str>,
    /// The seat of the question.
    pub(super) ticket: Option<Ticket>,
}

impl StreamState {
    /// Whether somebody may register on this stream.
    pub(super) fn may_register(&self, config: &Config) -> bool {
        let allowed = |host: &HostConfig| host.registration.mode != RegistrationMode::Off;
        self.tls.is_some()
            && self.jid.is_none()
            && config.has_feature(SWITCH)
            && self.host_config(config).is_some_and(allowed)
    }

    /// A stanza before authentication: only what registers is one.
    pub(super) fn on_early_stanza(
        &mut self,
        cx: &mut Context<'_>,
        stanza: Stanza,
    ) -> Option<Event> {
        let is_for_host = |to: &crate::jid::Jid| Some(to.as_str()) == self.host.as_deref();
        let addressed = stanza.header.to.as_ref().is_none_or(is_for_host);
        let negotiating = matches!(self.phase, Phase::Negotiating);
        let asks = stanza.header.kind == Kind::Iq && stanza.payload.has(ns::REGISTER, "query");
        if !(negotiating && addressed && asks && self.may_register(cx.config)) {
            return self.fail(cx, not_authorized());
        }
        let Some(iq) = Iq::request(&stanza) else {
            return self.fail(cx, not_authorized());
        };
        match stanza.header.type_ {
            Type::Get => {
                let host = self.host_config(cx.config);
                let form = host.map_or(Payload::EMPTY, |host| offer(&host.registration));
                self.answer(reply_result(&stanza, form));
                None
            }
            _ => match self.wish(cx.config, iq) {
                Ok(wish) => {
                    let localpart = Arc::clone(&wish.localpart);
                    self.phase = Phase::Registering(Box::new(Registering {
                        request: Stanza {
                            // The password is not kept.
                            payload: Payload::EMPTY,
                            ..stanza
                        },
                        localpart,
                        ticket: None,
                    }));
                    Some(Event::Ask(AuthAsk::Register(Box::new(wish))))
                }
                Err(error) => {
                    self.refuse(&stanza, &error);
                    None
                }
            },
        }
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
        let outcome: Result<AccountId, RegistrationError> = match answer {
            AuthAnswer::Registered(outcome) => outcome,
            _ => Err(RegistrationError::Unavailable),
        };
        let Registering {
            request, localpart, ..
        } = *registering;
        let host = self.host.clone().unwrap_or_default();
        let account: Arc<str> = format!("{localpart}@{host}").into();
        let from = Some(Arc::clone(&self.peer));
        let event = match outcome {
            Ok(_) => {
                self.has_registered = true;
                self.answer(reply_result(&request, Payload::EMPTY));
                AuditEvent::AccountRegistered { account, from }
            }
            Err(refusal) => {
                let error = refusal.to_stanza_error();
                let reason = error.condition.name();
                self.refuse(&request, &error);
                AuditEvent::RegistrationRefused {
                    account,
                    from,
                    reason,
                }
            }
        };
        Some(Event::Audit(event))
    }

    /// What the client wishes for, if it may.
    fn wish(&mut self, config: &Config, iq: Iq<'_>) -> Result<Registration, StanzaError> {
        // Section 3.1.1: "a server MAY return a <not-acceptable/> stanza error if an unregistered entity attempts to
        // register too many times before authenticating or if an entity attempts to register a second identity after
        // successfully completing the registration use case".
        self.registrations = self.registrations.saturating_add(1);
        if self.has_registered || self.registrations > limits::REGISTRATIONS_PER_STREAM_MAX {
            return Err(not_acceptable("You have tried to register too often here"));
        }
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
        let form = Filled::read(&query)?;
        let localpart = name(option, &form.required("username")?)?;
        let password = Secret::new(form.required("password")?.into_bytes());
        let mut fields = Vec::with_capacity(option.fields.len());
        for field in &option.fields {
            let value = form.required(field)?;
            if value.len() > limits::REGISTRATION_FIELD_BYTES_MAX {
                return Err(not_acceptable("One of the fields is too long"));
            }
            fields.push((field.clone(), value));
        }
        Ok(Registration {
            host: Arc::clone(&host.name),
            localpart: localpart.into(),
            password,
            prefix: self.prefix,
            fields,
        })
    }

    fn refuse(&mut self, request: &Stanza, error: &StanzaError) {
        // Section 3.3: "SHOULD NOT return the original XML sent".
        if let Some(reply) = reply_error(request, error) {
            self.answer(reply);
        }
    }

    fn answer(&mut self, stanza: Stanza) {
        self.outbound.push(Item::Stanza { stanza, kept: None });
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
    let count = localpart.chars().count();
    if count < option.name_min as usize || count > option.name_max as usize {
        return Err(not_acceptable("The name is too short or too long"));
    }
    if option
        .reserved
        .iter()
        .any(|reserved| *reserved == localpart)
    {
        return Err(not_acceptable("This name is reserved"));
    }
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
