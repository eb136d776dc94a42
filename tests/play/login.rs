//! The negotiation of a client: STARTTLS, SCRAM, binding or resuming (RFC 6120 sections 5 to 7,
//! XEP-0198). It refuses to know the scene; it is given an account and says what went wrong.

use base64::prelude::{BASE64_STANDARD, Engine};

use super::account::Account;
use super::client::{Client, Incoming, Management};
use super::scram::Scram;
use super::stage::{Channel, Stage};

const TLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";
const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
const BIND: &str = "urn:ietf:params:xml:ns:xmpp-bind";
const SM: &str = "urn:xmpp:sm:3";

impl Client {
    /// Sends a stream header and reads the server's; the features stay in the inbox.
    pub fn open_stream(&mut self, stage: &mut dyn Stage) -> Result<(), String> {
        self.restart();
        let header = format!(
            "<?xml version='1.0'?><stream:stream to='{}' version='1.0' xml:lang='en' \
             xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>",
            stage.host()
        );
        self.send(stage, &header);
        let answer = self.next(stage)?;
        if answer.holds("http://etherx.jabber.org/streams", "stream") {
            Ok(())
        } else {
            Err(format!("instead of a stream header came {}", answer.text))
        }
    }

    /// Connects, makes the connection secure, opens a stream and reads its features.
    pub fn open_secure(stage: &mut dyn Stage) -> Result<Client, String> {
        let mut client = Client::connect(stage)?;
        if stage.channel() == Channel::StartTls {
            client.open_stream(stage)?;
            let features = client.next(stage)?;
            if !features.holds(TLS, "starttls") {
                return Err(format!("no STARTTLS is offered: {}", features.text));
            }
            client.ask(
                stage,
                &format!("<starttls xmlns='{TLS}'/>"),
                (TLS, "proceed"),
            )?;
            stage.start_tls(client.conn)?;
        }
        client.open_stream(stage)?;
        client.next(stage)?;
        Ok(client)
    }

    /// SCRAM-SHA-256, then the restart; reads the new features.
    pub fn authenticate(&mut self, stage: &mut dyn Stage, account: &Account) -> Result<(), String> {
        let nonce = format!("play.{}.{}", account.localpart, self.conn);
        let mut scram = Scram::new(&account.localpart, &account.password, &nonce);
        let first = BASE64_STANDARD.encode(scram.first());
        let auth = format!("<auth xmlns='{SASL}' mechanism='SCRAM-SHA-256'>{first}</auth>");
        let challenge = self.ask(stage, &auth, (SASL, "challenge"))?;
        let last = BASE64_STANDARD.encode(scram.last(&decoded(&challenge)?)?);
        let response = format!("<response xmlns='{SASL}'>{last}</response>");
        let success = self.ask(stage, &response, (SASL, "success"))?;
        if !scram.is_proved_by(&decoded(&success)?) {
            return Err(format!("the server's signature is wrong: {}", success.text));
        }
        self.open_stream(stage)?;
        self.next(stage)?;
        Ok(())
    }

    /// Binds a resource; the JID is the server's answer.
    pub fn bind(&mut self, stage: &mut dyn Stage, resource: &str) -> Result<(), String> {
        let bind = format!(
            "<iq type='set' id='bind'><bind xmlns='{BIND}'><resource>{resource}</resource></bind></iq>"
        );
        let answer = self.ask(stage, &bind, (BIND, "jid"))?;
        self.jid = answer.look(|e| {
            let jid = e.descendants().find(|n| n.has_tag_name((BIND, "jid")));
            jid.and_then(|n| n.text()).map(str::to_string)
        })?;
        Ok(())
    }

    /// Enables XEP-0198 with resumption.
    pub fn manage(&mut self, stage: &mut dyn Stage) -> Result<(), String> {
        // What was sent before must not be counted: settle it, then ask.
        self.settle(stage)?;
        let enabled = self.ask(
            stage,
            &format!("<enable xmlns='{SM}' resume='true'/>"),
            (SM, "enabled"),
        )?;
        let id = enabled.attribute("id");
        let id = id.ok_or_else(|| format!("the session cannot be resumed: {}", enabled.text))?;
        self.management = Some(Management { id, received: 0 });
        self.is_unsettled = false;
        Ok(())
    }

    /// Resumes the session of an older connection on this one, which is authenticated.
    pub fn resume(&mut self, stage: &mut dyn Stage, older: Client) -> Result<(), String> {
        let management = older
            .management
            .clone()
            .ok_or("the session was not managed")?;
        let resume = format!(
            "<resume xmlns='{SM}' previd='{}' h='{}'/>",
            management.id, management.received
        );
        self.send(stage, &resume);
        // What the server sends behind <resumed/> is the session's already: counted and hidden as
        // such.
        self.inherit(&older);
        let answer = self.next(stage)?;
        if answer.holds(SM, "resumed") {
            self.continue_from(older);
            return Ok(());
        }
        Err(format!("the session was not resumed: {}", answer.text))
    }

    /// Sends, and takes the next element, which must be or hold `expected`.
    pub fn ask(
        &mut self,
        stage: &mut dyn Stage,
        question: &str,
        expected: (&str, &str),
    ) -> Result<Incoming, String> {
        self.send(stage, question);
        let answer = self.next(stage)?;
        if answer.holds(expected.0, expected.1) {
            return Ok(answer);
        }
        Err(format!(
            "asked {question}\n  expected <{}/>, came {}",
            expected.1, answer.text
        ))
    }
}

fn decoded(incoming: &Incoming) -> Result<String, String> {
    let text = incoming.look(|e| e.text().unwrap_or_default().to_string())?;
    let bytes = BASE64_STANDARD
        .decode(text.trim())
        .map_err(|e| format!("{e}: {}", incoming.text))?;
    String::from_utf8(bytes).map_err(|e| format!("{e}: {}", incoming.text))
}
