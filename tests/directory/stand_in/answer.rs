//! How the stand-in answers in each of its modes. It refuses to know who asks.

use std::cell::Cell;
use std::io::{self, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use super::asked::{self, Filter, Search};
use super::{Entry, Mode, Shared, Who};
use crate::ber::{self, ENUMERATED, Element, INTEGER, OCTETS, SEQUENCE, SET};
use crate::slapd::{PASSWORD, SERVICE, SERVICE_PASSWORD};

/// A message that is to be answered: RFC 4511 section 4.1.1.
pub(super) struct Asked<'a> {
    pub(super) socket: &'a TcpStream,
    pub(super) shared: &'a Shared,
    pub(super) id: u32,
    /// Of a search that asks to be told of changes.
    pub(super) cookie: Option<Vec<u8>>,
    /// Of one that asks for a page: which is empty for the first.
    page: Option<Vec<u8>>,
    /// Whether the connection has searched since it asked which server this is.
    has_searched: &'a Cell<bool>,
}

pub fn serve(socket: &TcpStream, shared: &Shared) -> io::Result<()> {
    let mut from = socket;
    let has_searched = Cell::new(false);
    while let Some(message) = ber::read(&mut from)? {
        let parts = ber::parts(&message.content);
        let asked = Asked {
            socket,
            shared,
            id: ber::as_number(&parts[0].content),
            cookie: parts.get(2).and_then(asked::cookie),
            page: parts.get(2).and_then(asked::page),
            has_searched: &has_searched,
        };
        let operation = &parts[1];
        shared.note(operation, asked.cookie.clone());
        let mode = *shared.mode.lock().unwrap();
        match operation.tag {
            // Unbinding ends the connection; abandoning has no answer.
            UNBIND => return Ok(()),
            ABANDON => {}
            _ => asked.answer(mode, operation)?,
        }
    }
    Ok(())
}

impl Shared {
    fn note(&self, operation: &Element, cookie: Option<Vec<u8>>) {
        let text = |element: &Element| String::from_utf8_lossy(&element.content).into_owned();
        match operation.tag {
            BIND => {
                let parts = ber::parts(&operation.content);
                let proof = match parts[2].tag {
                    SASL => text(&ber::parts(&parts[2].content)[0]),
                    _ => text(&parts[2]),
                };
                self.binds.lock().unwrap().push((text(&parts[1]), proof));
            }
            SEARCH => {
                let search = Search {
                    cookie,
                    ..Search::read(operation)
                };
                self.searches.lock().unwrap().push(search);
            }
            MODIFY => {
                let mut modified = self.modified.lock().unwrap();
                modified.push(operation.content.clone());
            }
            EXTENDED => {
                let name = text(&ber::parts(&operation.content)[0]);
                self.extended.lock().unwrap().push(name);
            }
            _ => {}
        }
    }
}

impl Asked<'_> {
    fn answer(&self, mode: Mode, operation: &Element) -> io::Result<()> {
        match mode {
            Mode::Silent => Ok(()),
            Mode::Slow(late) => {
                thread::sleep(late);
                self.well(operation)
            }
            Mode::ClosesInBind(who) if operation.tag == BIND => {
                let parts = ber::parts(&operation.content);
                if who == Who::Users && parts[1].content == SERVICE.as_bytes() {
                    return self.well(operation);
                }
                Err(io::ErrorKind::ConnectionAborted.into())
            }
            Mode::ClosesInChange if matches!(operation.tag, EXTENDED | MODIFY) => {
                Err(io::ErrorKind::ConnectionAborted.into())
            }
            Mode::CutsAnswers if operation.tag == BIND => {
                let whole = self.message(&self.result(BIND_ANSWER, 0, &[]));
                self.send(&whole[..whole.len() / 2])?;
                Err(io::ErrorKind::ConnectionAborted.into())
            }
            Mode::Garbage => self.send(&[0xff; 4096]),
            Mode::Endless if operation.tag == SEARCH => self.endless(),
            Mode::Referrals => {
                let here = format!("ldap://127.0.0.1:{}/dc=verona,dc=example", self.shared.port);
                let referral = ber::of(REFERRAL, &[ber::text(&here)]);
                self.say(&self.result(answer_to(operation.tag), 10, &[referral]))
            }
            Mode::References if operation.tag == SEARCH => {
                let here = format!("ldap://127.0.0.1:{}/dc=verona,dc=example", self.shared.port);
                self.say(&ber::of(REFERENCE, &[ber::text(&here)]))?;
                self.say(&self.result(DONE, 0, &[]))
            }
            Mode::RefersOften(count) if operation.tag == SEARCH => {
                for _ in 0..count {
                    self.say(&ber::of(REFERENCE, &[there(self.shared.port)]))?;
                }
                self.well(operation)
            }
            Mode::RefersToAny(ports) if operation.tag == SEARCH => {
                let any: Vec<_> = ports.iter().map(|port| there(*port)).collect();
                self.say(&ber::of(REFERENCE, &any))?;
                self.say(&self.result(DONE, 0, &[]))
            }
            Mode::RefersToEach(ports) if operation.tag == SEARCH => {
                for port in ports {
                    self.say(&ber::of(REFERENCE, &[there(port)]))?;
                }
                self.say(&self.result(DONE, 0, &[]))
            }
            Mode::RefersWith(port, rest) if operation.tag == SEARCH => {
                let url = ber::text(&format!("ldap://127.0.0.1:{port}/{rest}"));
                self.say(&ber::of(REFERENCE, &[url]))?;
                self.say(&self.result(DONE, 0, &[]))
            }
            Mode::RefersDeeply(port, depth) if operation.tag == SEARCH => {
                let (open, closed) = ("(!".repeat(depth), ")".repeat(depth));
                let url = format!("ldap://127.0.0.1:{port}/???{open}(a=b){closed}");
                self.say(&ber::of(REFERENCE, &[ber::text(&url)]))?;
                self.say(&self.result(DONE, 0, &[]))
            }
            Mode::SilentInBinds if operation.tag == BIND => {
                let parts = ber::parts(&operation.content);
                match parts[1].content == SERVICE.as_bytes() {
                    true => self.well(operation),
                    false => Ok(()),
                }
            }
            Mode::WrongIds => {
                let id = ber::number(INTEGER, self.id + 1000);
                let result = self.result(answer_to(operation.tag), 0, &[]);
                self.send(&ber::of(SEQUENCE, &[id, result]))
            }
            Mode::HugeLength => self.huge(),
            Mode::Nested => self.send(&nested()),
            Mode::RefusesStartTls if operation.tag == EXTENDED => {
                self.say(&self.result(EXTENDED_ANSWER, 2, &[]))
            }
            Mode::Disconnects => {
                let name = ber::write(RESPONSE_NAME, b"1.3.6.1.4.1.1466.20036");
                let notice = self.result(EXTENDED_ANSWER, 52, &[name]);
                let id = ber::number(INTEGER, 0);
                self.send(&ber::of(SEQUENCE, &[id, notice]))?;
                Err(io::ErrorKind::ConnectionAborted.into())
            }
            Mode::Result(code) => self.say(&self.result(answer_to(operation.tag), code, &[])),
            Mode::Tells
            | Mode::TellsAnew
            | Mode::TellsNotNow
            | Mode::TellsHalf
            | Mode::TellsEndlessly
            | Mode::TellsGarbage
            | Mode::TellsOfNobody
            | Mode::TellsOfOne
            | Mode::TellsOfNoChange
                if operation.tag == SEARCH && self.cookie.is_some() =>
            {
                self.tell(mode, operation)
            }
            Mode::LetsAnybodyIn if operation.tag == BIND => {
                self.say(&self.result(BIND_ANSWER, 0, &[]))
            }
            Mode::HoldsChanges if operation.tag == MODIFY => {
                while *self.shared.mode.lock().unwrap() == Mode::HoldsChanges {
                    thread::sleep(Duration::from_millis(1));
                }
                self.well(operation)
            }
            Mode::HoldsLooks if is_look(operation) => {
                let found = self.found(&Search::read(operation));
                self.shared.held.fetch_add(1, Ordering::SeqCst);
                while *self.shared.mode.lock().unwrap() == Mode::HoldsLooks {
                    thread::sleep(Duration::from_millis(1));
                }
                for entry in found {
                    self.entry(&entry.dn, &entry.attributes)?;
                }
                self.say(&self.result(DONE, 0, &[]))
            }
            Mode::ChangesOnce if operation.tag == EXTENDED => {
                self.say(&self.result(EXTENDED_ANSWER, 19, &[]))
            }
            Mode::ChangesOnce
                if operation.tag == MODIFY && self.shared.modified.lock().unwrap().len() > 1 =>
            {
                self.say(&self.result(answer_to(MODIFY), 50, &[]))
            }
            Mode::WrongOf(name) if operation.tag == BIND && is_of(name, operation) => {
                self.say(&self.result(BIND_ANSWER, 49, &[]))
            }
            Mode::BusyOf(name) if operation.tag == BIND && is_of(name, operation) => {
                self.say(&self.result(BIND_ANSWER, 52, &[]))
            }
            Mode::PagesOfOne(late) if operation.tag == SEARCH => match &self.page {
                Some(page) => {
                    thread::sleep(late);
                    self.one_page(operation, page)
                }
                None => self.well(operation),
            },
            Mode::EndlessRanges if operation.tag == SEARCH => match asked::range(operation) {
                Some(first) => self.part(operation, first),
                None => self.well(operation),
            },
            Mode::WithoutAttributes | Mode::Twins | Mode::OtherBase if operation.tag == SEARCH => {
                self.search(operation, mode)
            }
            _ => self.well(operation),
        }
    }

    /// As it should be.
    fn well(&self, operation: &Element) -> io::Result<()> {
        match operation.tag {
            BIND => {
                let parts = ber::parts(&operation.content);
                let fine = self.shared.lets_in(&parts[1].content, &parts[2]);
                self.say(&self.result(BIND_ANSWER, if fine { 0 } else { 49 }, &[]))
            }
            SEARCH => self.search(operation, Mode::Well),
            // It says that it did.
            MODIFY => self.say(&self.result(answer_to(MODIFY), 0, &[])),
            // It can do nothing of this, StartTLS included: protocolError (2).
            EXTENDED => self.say(&self.result(EXTENDED_ANSWER, 2, &[])),
            // It changes nothing: unwillingToPerform (53).
            other => self.say(&self.result(answer_to(other), 53, &[])),
        }
    }

    fn search(&self, operation: &Element, mode: Mode) -> io::Result<()> {
        let search = Search::read(operation);
        if search.base.is_empty() {
            // The root DSE (RFC 4512 section 5.1).
            let base = (
                "namingContexts".to_owned(),
                "dc=verona,dc=example".to_owned(),
            );
            let mut attributes = vec![base];
            if *self.shared.tells.lock().unwrap() {
                attributes.push((
                    "supportedControl".to_owned(),
                    asked::SYNC_REQUEST.to_owned(),
                ));
            }
            let counted = self.shared.counted.lock().unwrap();
            if let Some((server, count)) = counted.as_ref() {
                let behind = self.shared.behind.lock().unwrap();
                let has_searched = self.has_searched.replace(false);
                let other = behind.as_ref().filter(|_| has_searched);
                let server = other.unwrap_or(server).clone();
                attributes.push(("dsServiceName".to_owned(), server));
                attributes.push(("highestCommittedUSN".to_owned(), count.to_string()));
            }
            self.entry("", &attributes)?;
            return self.say(&self.result(DONE, 0, &[]));
        }
        self.has_searched.set(true);
        for entry in self.found(&search) {
            let dn = &entry.dn;
            match mode {
                Mode::WithoutAttributes => self.entry(dn, &[])?,
                Mode::OtherBase => self.entry(ELSEWHERE, &entry.attributes)?,
                Mode::Twins => {
                    self.entry(dn, &entry.attributes)?;
                    let second = dn.replace("ou=people", "cn=second,ou=people");
                    self.entry(&second, &entry.attributes)?;
                }
                _ => self.entry(dn, &entry.attributes)?,
            }
        }
        self.say(&self.result(DONE, 0, &[]))
    }

    fn found(&self, search: &Search) -> Vec<Entry> {
        let base = search.base.to_lowercase();
        let below = |entry: &&Entry| entry.dn.to_lowercase().ends_with(&base);
        let all = self.shared.entries();
        let found = all.iter().filter(below);
        let found = found.filter(|entry| search.filter.finds(entry));
        found.cloned().collect()
    }

    /// The one entry that is at the place that the page's cookie says, and what the next is asked for with.
    fn one_page(&self, operation: &Element, page: &[u8]) -> io::Result<()> {
        let found = self.found(&Search::read(operation));
        let at = ber::as_number(page) as usize;
        if let Some(entry) = found.get(at) {
            self.entry(&entry.dn, &entry.attributes)?;
        }
        let next = u32::try_from(at + 1).unwrap().to_be_bytes();
        let next = if at + 1 < found.len() { &next[..] } else { &[] };
        let value = [ber::number(INTEGER, 0), ber::write(OCTETS, next)];
        let value = ber::write(OCTETS, &ber::of(SEQUENCE, &value));
        let control = ber::of(SEQUENCE, &[ber::text(asked::PAGED), value]);
        let controls = ber::of(CONTROLS, &[control]);
        let id = ber::number(INTEGER, self.id);
        let done = self.result(DONE, 0, &[]);
        self.send(&ber::of(SEQUENCE, &[id, done, controls]))
    }

    /// A part of the members of the group that is asked for, from this one on.
    fn part(&self, operation: &Element, first: u32) -> io::Result<()> {
        const COUNT: u32 = 1_500;
        let members =
            (first..first + COUNT).map(|number| ber::text(&format!("uid=u{number},dc=a")));
        let members = ber::of(SET, &members.collect::<Vec<_>>());
        let name = ber::text(&format!("member;range={first}-{}", first + COUNT - 1));
        let attributes = ber::of(SEQUENCE, &[ber::of(SEQUENCE, &[name, members])]);
        let dn = ber::text(&Search::read(operation).base);
        self.say(&ber::of(ENTRY, &[dn, attributes]))?;
        self.say(&self.result(DONE, 0, &[]))
    }

    fn entry(&self, dn: &str, attributes: &[(String, String)]) -> io::Result<()> {
        self.say(&found(dn, attributes))
    }

    fn endless(&self) -> io::Result<()> {
        for number in 0.. {
            let entry = Entry::person(&format!("u{number}"));
            self.entry(&entry.dn, &entry.attributes)?;
        }
        Ok(())
    }

    fn huge(&self) -> io::Result<()> {
        self.send(b"\x30\x84\x7f\xff\xff\xf0")?;
        self.send(&ber::number(INTEGER, self.id))?;
        self.send(b"\x64\x84\x7f\xff\xff\x00\x04\x84\x7f\xff\xf0\x00")?;
        loop {
            self.send(&[b'x'; 65_536])?;
        }
    }

    /// An LDAPResult (RFC 4511 section 4.1.9) and what comes behind it.
    pub(super) fn result(&self, tag: u8, code: u8, rest: &[Vec<u8>]) -> Vec<u8> {
        self.result_with(tag, ber::write(ENUMERATED, &[code]), rest)
    }

    /// One whose code is large.
    pub(super) fn result_of(&self, tag: u8, code: u32) -> Vec<u8> {
        self.result_with(tag, ber::number(ENUMERATED, code), &[])
    }

    fn result_with(&self, tag: u8, code: Vec<u8>, rest: &[Vec<u8>]) -> Vec<u8> {
        let head = [code, ber::text(""), ber::text("said by the stand-in")];
        ber::of(tag, &[&head[..], rest].concat())
    }

    fn message(&self, operation: &[u8]) -> Vec<u8> {
        let id = ber::number(INTEGER, self.id);
        ber::of(SEQUENCE, &[id, operation.to_vec()])
    }

    pub(super) fn say(&self, operation: &[u8]) -> io::Result<()> {
        self.send(&self.message(operation))
    }

    pub(super) fn send(&self, bytes: &[u8]) -> io::Result<()> {
        let mut to = self.socket;
        to.write_all(bytes)?;
        self.shared.sent.fetch_add(bytes.len(), Ordering::SeqCst);
        Ok(())
    }
}

impl Shared {
    pub(super) fn entries(&self) -> Arc<Vec<Entry>> {
        Arc::clone(&*self.entries.lock().unwrap())
    }

    fn lets_in(&self, dn: &[u8], proof: &Element) -> bool {
        let dn = String::from_utf8_lossy(dn);
        let password: &[u8] = &proof.content;
        match dn.as_ref() {
            "" => password.is_empty(),
            SERVICE => password == SERVICE_PASSWORD.as_bytes(),
            ELSEWHERE => password == PASSWORD.as_bytes(),
            _ => {
                let all = self.entries();
                password == PASSWORD.as_bytes() && all.iter().any(|entry| entry.dn == dn)
            }
        }
    }
}

/// Where the people are, on this port; an address of another protocol on none.
fn there(port: u16) -> Vec<u8> {
    ber::text(&match port {
        0 => "http://localhost/".to_owned(),
        port => format!("ldap://127.0.0.1:{port}/ou=people,dc=verona,dc=example??sub"),
    })
}

/// Whether this is a bind of this person.
fn is_of(name: &str, bind: &Element) -> bool {
    let parts = ber::parts(&bind.content);
    parts[1]
        .content
        .starts_with(format!("uid={name},").as_bytes())
}

/// Whether several are looked for at once.
fn is_look(operation: &Element) -> bool {
    operation.tag == SEARCH && matches!(Search::read(operation).filter, Filter::Or(_))
}

/// An entry as a search finds it (RFC 4511 section 4.5.2).
pub(super) fn found(dn: &str, attributes: &[(String, String)]) -> Vec<u8> {
    let attribute = |(name, value): &(String, String)| {
        let values = ber::of(SET, &[ber::text(value)]);
        ber::of(SEQUENCE, &[ber::text(name), values])
    };
    let attributes: Vec<_> = attributes.iter().map(attribute).collect();
    ber::of(ENTRY, &[ber::text(dn), ber::of(SEQUENCE, &attributes)])
}

/// A message that is deeper than any stack, and complete.
pub fn nested() -> Vec<u8> {
    const DEPTH: u32 = 3_000_000;
    // Each level is a head of six bytes and all that is in it.
    let heads = (0..DEPTH).map(|level| {
        let [a, b, c, d] = ((DEPTH - 1 - level) * 6).to_be_bytes();
        [SEQUENCE, 0x84, a, b, c, d]
    });
    heads.flatten().collect()
}

/// Where [`Mode::OtherBase`] finds everybody.
const ELSEWHERE: &str = "uid=x,dc=mantua,dc=example";

// Tags of operations (RFC 4511 section 4.2 and on), and of what is in them.
const BIND: u8 = 0x60;
const BIND_ANSWER: u8 = 0x61;
const UNBIND: u8 = 0x42;
const SEARCH: u8 = 0x63;
const ENTRY: u8 = 0x64;
pub(super) const DONE: u8 = 0x65;
const REFERENCE: u8 = 0x73;
const MODIFY: u8 = 0x66;
const DELETE: u8 = 0x4a;
const DELETE_ANSWER: u8 = 0x6b;
const ABANDON: u8 = 0x50;
const EXTENDED: u8 = 0x77;
const EXTENDED_ANSWER: u8 = 0x78;
const SASL: u8 = 0xa3;
const REFERRAL: u8 = 0xa3;
const RESPONSE_NAME: u8 = 0x8a;
pub(super) const CONTROLS: u8 = 0xa0;

/// The tag of the answer to an operation.
fn answer_to(tag: u8) -> u8 {
    match tag {
        SEARCH => DONE,
        DELETE => DELETE_ANSWER,
        // Binding, modifying, adding, renaming, comparing, extended.
        other => other + 1,
    }
}
