//! XEP-0377: Blocking Command Reports, version 0.4.1: why an address was blocked, for the operator.
//! Who writes more than a few an hour blocks all the same, and is not heard any more.
//!
//! | section | item |
//! |---|---|
//! | 4 payload | [`Report::read`]; without a reason it is none, and the address is blocked all the same |
//! | 5 opt-in | `third-party` lets it go to an operator whose address is on another server; `report-origin` is not used: "Servers MAY ignore processing options" |
//! | 6 stanza-ids | recorded and passed on; the messages themselves stay in their archive |

use std::sync::Arc;

use crate::actor::Turn;
use crate::actor::audit::AuditEvent;
use crate::base::limits;
use crate::im::{Account, Change};
use crate::jid::Jid;
use crate::stanza::{Kind, Payload, Type, ns, server_message};
use crate::xml::{Element, Writer};

/// What a user says about an address that they block; every part is cut to its bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Report {
    reported: Jid,
    reason: Arc<str>,
    text: Option<Arc<str>>,
    /// Ids in the user's archive (XEP-0359).
    messages: Vec<Arc<str>>,
    third_party: bool,
}

impl Report {
    /// The report in an `<item/>`.
    pub fn read(item: &Element<'_>) -> Option<Report> {
        let report = item.child(ns::REPORTING, "report")?;
        // "Abuse reports MUST include a reason".
        let reason = report.attribute("reason")?;
        let text = report.child(ns::REPORTING, "text").map(|text| text.text());
        let text = text.as_deref().map(str::trim);
        let text = text.filter(|text| !text.is_empty());
        let ids = report.children();
        let ids = ids.filter(|child| child.is(ns::STANZA_ID, "stanza-id"));
        let ids = ids.filter_map(|child| child.attribute("id"));
        Some(Report {
            reported: Jid::parse(&item.attribute("jid")?).ok()?,
            reason: cut(&reason, limits::REPORT_NAME_BYTES_MAX),
            text: text.map(|text| cut(text, limits::REPORT_TEXT_BYTES_MAX)),
            messages: ids
                .take(limits::REPORT_MESSAGES_MAX)
                .map(|id| cut(&id, limits::REPORT_NAME_BYTES_MAX))
                .collect(),
            third_party: report.child(ns::REPORTING, "third-party").is_some(),
        })
    }

    /// Into the audit file, and to the operator's address if there is one.
    pub fn file(self, turn: &mut Turn<'_, Account>) {
        self.forward(turn);
        let mono_ms = turn.now.mono_ms;
        turn.out.change.push(Change::Reported { mono_ms });
        turn.out.audit.push(AuditEvent::AbuseReported {
            account: Arc::from(turn.actor.jid.as_str()),
            reported: Arc::from(self.reported.as_str()),
            reason: self.reason,
            text: self.text,
            messages: self.messages,
        });
    }

    fn forward(&self, turn: &mut Turn<'_, Account>) {
        let is_served = |domain: &str| turn.config.host(domain).is_some();
        let receiver = self.receiver(&turn.config.blocking.report_to, is_served);
        let Some((operator, host)) = receiver.zip(Jid::domain(&turn.host.name).ok()) else {
            return;
        };
        let payload = Payload::from_normal(&self.written(&turn.actor.jid));
        let message = server_message(Kind::Message, Type::Normal, host, operator, payload);
        turn.out.send(message);
    }

    /// Section 5: "Servers MUST NOT process a report if the report ... do not explicitly include the corresponding
    /// processing option": another server is a third party.
    fn receiver(&self, operator: &str, is_served: impl Fn(&str) -> bool) -> Option<Jid> {
        let operator = Jid::parse(operator).ok()?;
        (self.third_party || is_served(operator.domainpart())).then_some(operator)
    }

    fn written(&self, by: &Jid) -> String {
        let mut body = format!("{by} blocked {}: {}", self.reported, self.reason);
        if let Some(text) = &self.text {
            body.push('\n');
            body.push_str(text);
        }
        let mut writer = Writer::new();
        writer.open("body", None).text(&body).close();
        writer
            .open("report", Some(ns::REPORTING))
            .attribute("reason", &self.reason);
        for id in &self.messages {
            writer
                .open("stanza-id", Some(ns::STANZA_ID))
                .attribute("by", by.as_str())
                .attribute("id", id)
                .close();
        }
        if let Some(text) = &self.text {
            writer.open("text", None).text(text).close();
        }
        writer.finish()
    }
}

/// At most so many bytes of a text, whole characters.
fn cut(text: &str, bytes_max: usize) -> Arc<str> {
    let end = (0..=bytes_max.min(text.len())).rev();
    let end = end.into_iter().find(|&at| text.is_char_boundary(at));
    Arc::from(&text[..end.unwrap_or(0)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(inner: &str) -> Option<Report> {
        let xml = format!("<item jid='Romeo@h/r'>{inner}</item>");
        Report::read(&Element::parse(&xml, ns::BLOCKING)?)
    }

    #[test]
    fn every_part_of_a_report_has_a_bound() {
        let ids = "<stanza-id xmlns='urn:xmpp:sid:0' by='j@h' id='1'/>".repeat(100);
        let report = read(&format!(
            "<report xmlns='urn:xmpp:reporting:1' reason='{}'>{ids}<text>{}</text></report>",
            "r".repeat(9_999),
            "é".repeat(9_999)
        ))
        .expect("a report");
        assert_eq!(report.reason.len(), limits::REPORT_NAME_BYTES_MAX);
        let text = report.text.expect("a text");
        assert_eq!(text.len(), limits::REPORT_TEXT_BYTES_MAX);
        assert_eq!(report.messages.len(), limits::REPORT_MESSAGES_MAX);
        assert_eq!(report.reported.as_str(), "romeo@h/r");
        assert_eq!(&*cut("é", 1), "");
    }

    #[test]
    fn a_report_leaves_this_server_only_if_its_writer_agrees() {
        let report = |consent: &str| {
            let xml = format!("<report xmlns='urn:xmpp:reporting:1' reason='r'>{consent}</report>");
            read(&xml).expect("a report")
        };
        let goes = |report: &Report, to| report.receiver(to, |domain| domain == "h").is_some();
        let (silent, agreed) = (report("<report-origin/>"), report("<third-party/>"));
        assert!(goes(&silent, "nurse@h") && goes(&agreed, "nurse@h"));
        assert!(goes(&agreed, "nurse@elsewhere") && !goes(&silent, "nurse@elsewhere"));
        assert!(!goes(&agreed, ""));
    }

    #[test]
    fn without_a_reason_there_is_no_report() {
        assert_eq!(read("<report xmlns='urn:xmpp:reporting:1'/>"), None);
        assert_eq!(read("<report xmlns='urn:example' reason='r'/>"), None);
        let report =
            read("<report xmlns='urn:xmpp:reporting:1' reason='r'><text> </text></report>");
        assert_eq!(report.map(|report| report.text), Some(None));
    }
}
