//! Scenarios: what the clients of a run do, read from TOML. An unknown key, or one that the scenario has no use for, is an
//! error that names its line. It knows nothing of how it is done.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::span::Span;
use crate::client::people::{PASSWORD, People};
use crate::client::sasl::Mechanism;
use crate::client::session::Transport;

/// The scenarios that come with the program, by their names.
pub const BUILT_IN: [(&str, &str); 10] = [
    ("idle", include_str!("../../scenarios/idle.toml")),
    ("login", include_str!("../../scenarios/login.toml")),
    ("chat", include_str!("../../scenarios/chat.toml")),
    ("chat-rate", include_str!("../../scenarios/chat-rate.toml")),
    ("presence", include_str!("../../scenarios/presence.toml")),
    ("muc", include_str!("../../scenarios/muc.toml")),
    ("day", include_str!("../../scenarios/day.toml")),
    ("soak", include_str!("../../scenarios/soak.toml")),
    ("overload", include_str!("../../scenarios/overload.toml")),
    ("scale", include_str!("../../scenarios/scale.toml")),
];

/// What users do once they are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// They stay and say nothing.
    Idle,
    /// They come and go.
    Login,
    /// Pairs exchange messages.
    Chat,
    /// Everybody's presence changes, and contacts hear of it.
    Presence,
    /// Rooms, where everybody hears what a few say.
    Muc,
    /// A mix as on a public service.
    Day,
}

/// One scenario, whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Scenario {
    pub scenario: Kind,
    #[serde(default)]
    pub about: String,
    #[serde(default)]
    pub users: Users,
    #[serde(default)]
    pub connection: Connection,
    #[serde(default)]
    pub login: Login,
    #[serde(default)]
    pub time: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chat: Option<Chat>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presence: Option<Presence>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub muc: Option<Muc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub day: Option<Day>,
}

/// Who takes part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Users {
    /// On each host.
    pub count: u32,
    /// The number of the first.
    pub first: u32,
    /// What their names begin with; the number follows.
    pub prefix: String,
    /// Digits of the number, with leading zeros.
    pub digits: usize,
    pub password: String,
    pub resource: String,
    /// Contacts of each; an even number.
    pub contacts: u32,
    /// Contacts are within groups of so many, each a ring.
    pub community: u32,
}

impl Default for Users {
    fn default() -> Self {
        Self {
            count: 1_000,
            first: 0,
            prefix: "load".to_owned(),
            digits: 6,
            password: PASSWORD.to_owned(),
            resource: "load".to_owned(),
            contacts: 0,
            community: 2,
        }
    }
}

/// How they connect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Connection {
    pub transport: Transport,
    pub mechanism: Mechanism,
    /// Whether sessions have stream management with resumption (XEP-0198).
    pub stream_management: bool,
    /// Whether they authenticate and bind in one (XEP-0388, XEP-0386). The mechanism `fast` does so anyway.
    pub sasl2: bool,
    /// Whether a session that is ready keeps the keys of its TLS and nothing else: a few hundred bytes instead of 10 KB. A
    /// server that changes its keys (RFC 8446 section 4.6.3), which few do within gigabytes, is then not understood.
    pub keys_only: bool,
}

impl Default for Connection {
    fn default() -> Self {
        Self {
            transport: Transport::StartTls,
            mechanism: Mechanism::ScramSha1,
            stream_management: false,
            sasl2: false,
            keys_only: false,
        }
    }
}

/// How they come in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Login {
    /// Logins a second, of all users together; 0 for as many as `in-flight` allows.
    pub rate: f64,
    /// Logins under way at a time. With a rate it does not bind: an open loop waits for nobody.
    pub in_flight: u32,
    /// How long a session stays, in the scenario `login`.
    pub stay: Span,
}

impl Default for Login {
    fn default() -> Self {
        Self {
            rate: 0.0,
            in_flight: 64,
            stay: Span::default(),
        }
    }
}

/// How long it lasts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Time {
    /// Between the last login and the first load; memory is read at its end.
    pub settle: Span,
    /// Load that is not measured.
    pub warm_up: Span,
    /// Load that is.
    pub measure: Span,
    /// How long what is under way at the end may take to arrive.
    pub patience: Span,
}

impl Default for Time {
    fn default() -> Self {
        Self {
            settle: Span::seconds(2),
            warm_up: Span::seconds(2),
            measure: Span::seconds(30),
            patience: Span::seconds(10),
        }
    }
}

/// Pairs who exchange messages: in a closed loop whoever receives one answers it, in an open one they leave at a rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Chat {
    /// Messages a second, of all pairs together; 0 for a closed loop.
    pub rate: f64,
    /// Messages under way in each pair of a closed loop.
    pub window: u32,
    /// Bytes of each message as sent.
    pub size: usize,
}

impl Default for Chat {
    fn default() -> Self {
        Self {
            rate: 0.0,
            window: 1,
            size: 200,
        }
    }
}

/// Presence that changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Presence {
    /// Changes a second, of all users together; 0 for a closed loop.
    pub rate: f64,
    /// Users whose change is under way in a closed loop, all together; who was heard by all contacts says the next.
    pub speakers: u32,
}

impl Default for Presence {
    fn default() -> Self {
        Self {
            rate: 0.0,
            speakers: 100,
        }
    }
}

/// Rooms (XEP-0045), one for each community.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Muc {
    /// The service; empty to ask the server.
    pub service: String,
    /// Messages a second, into all rooms together; each is heard by a whole room.
    pub rate: f64,
    /// Bytes of each message as sent.
    pub size: usize,
}

impl Default for Muc {
    fn default() -> Self {
        Self {
            service: String::new(),
            rate: 10.0,
            size: 200,
        }
    }
}

/// What users of a public service do in an hour, each of those who are online.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Day {
    /// Messages that each sends, to contacts who are online.
    pub messages: f64,
    /// Bytes of each message as sent.
    pub size: usize,
    /// Changes of presence.
    pub presence: f64,
    /// Pages of the archive that each reads (XEP-0313).
    pub archive_reads: f64,
    /// Farewells; somebody else logs in for each.
    pub leaves: f64,
    /// Of all users, who is online at a time, in percent.
    pub online: f64,
    /// Of all users, whose phone lies idle (XEP-0352), in percent.
    pub idle: f64,
    /// Of all connections, how many break without a word each minute, in percent. They come back at once.
    pub cuts: f64,
    /// Of all users, who stays away but for a surge, in percent: whole communities.
    pub reserve: f64,
    /// By what messages, presence, archive reads and attempts to log in are multiplied for a while: an overload. Those who come
    /// beyond the ordinary are of the reserve and leave again at once; nobody leaves sooner than otherwise.
    pub surge: f64,
    /// From the beginning of the load, its warming up included.
    pub surge_after: Span,
    pub surge_for: Span,
}

impl Default for Day {
    fn default() -> Self {
        Self {
            messages: 20.0,
            size: 200,
            presence: 6.0,
            archive_reads: 2.0,
            leaves: 2.0,
            online: 90.0,
            idle: 60.0,
            cuts: 0.0,
            reserve: 0.0,
            surge: 1.0,
            surge_after: Span::seconds(20),
            surge_for: Span::default(),
        }
    }
}

impl Day {
    pub fn has_surge(&self) -> bool {
        self.surge > 1.0 && !self.surge_for.0.is_zero()
    }
}

impl Scenario {
    /// A scenario by its file or, if it is one that comes with the program, by its name; with `changes`, each
    /// `section.key=value`.
    pub fn load(name: &str, changes: &[String]) -> Result<Self> {
        let built_in = BUILT_IN.iter().find(|(built_in, _)| *built_in == name);
        let text = match built_in {
            Some((_, text)) => (*text).to_owned(),
            None => {
                let names = BUILT_IN.map(|(name, _)| name).join(", ");
                fs::read_to_string(Path::new(name))
                    .with_context(|| format!("no file {name}, and none of {names}"))?
            }
        };
        Self::parse(&text, changes).with_context(|| format!("scenario {name}"))
    }

    /// Reads TOML, then applies the changes.
    pub fn parse(text: &str, changes: &[String]) -> Result<Self> {
        let mut scenario: Self = toml::from_str(text)?;
        if !changes.is_empty() {
            let mut table: toml::Table = toml::from_str(text)?;
            for change in changes {
                apply(&mut table, change)?;
            }
            scenario = table.try_into().context("with the changes asked for")?;
        }
        scenario.validate()?;
        Ok(scenario)
    }

    pub fn people(&self, domain: &str) -> People {
        People {
            domain: domain.to_owned(),
            prefix: self.users.prefix.clone(),
            digits: self.users.digits,
            password: self.users.password.clone(),
            resource: self.users.resource.clone(),
        }
    }

    /// How many users belong together: whoever hears of each other is driven by one thread, so that one ledger and one
    /// clock see both ends.
    pub fn community(&self) -> u32 {
        match self.scenario {
            Kind::Idle | Kind::Login if self.users.contacts == 0 => 1,
            Kind::Chat if self.users.contacts == 0 => 2,
            _ => self.users.community,
        }
    }

    fn validate(&mut self) -> Result<()> {
        let kind = self.scenario;
        let sections = [
            ("chat", self.chat.is_some(), kind == Kind::Chat),
            ("presence", self.presence.is_some(), kind == Kind::Presence),
            ("muc", self.muc.is_some(), kind == Kind::Muc),
            ("day", self.day.is_some(), kind == Kind::Day),
        ];
        for (section, is_there, is_wanted) in sections {
            ensure!(
                is_wanted || !is_there,
                "[{section}] says nothing to {kind:?}: remove it"
            );
        }
        let Users {
            count,
            contacts,
            community,
            first,
            digits,
            ..
        } = self.users;
        ensure!(count > 0, "users.count: nobody takes part");
        ensure!(
            u64::from(first) + u64::from(count) <= 10_u64.pow(digits.min(9) as u32),
            "users.digits: {count} users from {first} on do not fit into {digits} digits"
        );
        let forbidden = |c: char| " \"&'/:<>@".contains(c);
        ensure!(
            !self.users.prefix.contains(forbidden),
            "users.prefix: names have no spaces and none of \"&'/:<>@ (RFC 7622 section 3.3.1)"
        );
        ensure!(community > 0, "users.community must be at least 1");
        ensure!(
            contacts == 0 || (contacts.is_multiple_of(2) && contacts < community),
            "users.contacts must be even and less than users.community, a ring"
        );
        ensure!(
            count.is_multiple_of(self.community()),
            "users.count must be a multiple of {}",
            self.community()
        );
        let needs_contacts = matches!(kind, Kind::Presence | Kind::Day);
        ensure!(
            !needs_contacts || contacts > 0,
            "users.contacts: {kind:?} needs contacts"
        );
        ensure!(
            self.community().is_multiple_of(2) || kind != Kind::Chat,
            "chat needs pairs: users.community must be even"
        );
        ensure!(
            self.login.in_flight > 0,
            "login.in-flight must be at least 1"
        );
        let rates = [
            self.login.rate,
            self.chat.as_ref().map_or(0.0, |c| c.rate),
            self.presence.as_ref().map_or(0.0, |p| p.rate),
            self.muc.as_ref().map_or(0.0, |m| m.rate),
        ];
        ensure!(
            rates.iter().all(is_rate),
            "a rate must not be negative, nor without end"
        );
        ensure!(
            !self.time.measure.0.is_zero(),
            "time.measure must be longer than nothing"
        );
        if let Some(chat) = &self.chat {
            ensure!(chat.window > 0, "chat.window must be at least 1");
        }
        if let Some(day) = &self.day {
            let shares = [day.online, day.idle, day.reserve];
            ensure!(
                shares.iter().all(|share| (0.0..=100.0).contains(share)),
                "[day]: a share is 0 to 100 percent"
            );
            let hourly = [
                day.messages,
                day.presence,
                day.archive_reads,
                day.leaves,
                day.cuts,
            ];
            ensure!(
                day.surge > 0.0 && is_rate(&day.surge),
                "day.surge multiplies rates: it must be above 0, and have an end"
            );
            let breaks = day.cuts > 0.0 && !self.connection.stream_management;
            ensure!(
                !breaks,
                "[day]: what a broken connection loses comes back with connection.stream-management only"
            );
            ensure!(
                hourly.iter().all(is_rate),
                "[day]: a rate must not be negative, nor without end"
            );
        }
        let in_the_clear = self.connection.transport == Transport::Plain;
        let needs_tls = matches!(self.connection.mechanism, Mechanism::Fast);
        ensure!(
            !(in_the_clear && needs_tls),
            "connection: tokens are given under TLS only"
        );
        Ok(())
    }
}

/// At what is more often than this an open loop would never be done with one moment (TOML has `inf`).
fn is_rate(rate: &f64) -> bool {
    (0.0..1e9).contains(rate)
}

/// Sets one value, which is TOML or else a bare text.
fn apply(table: &mut toml::Table, change: &str) -> Result<()> {
    let (path, value) = change
        .split_once('=')
        .with_context(|| format!("{change}: not KEY=VALUE"))?;
    let value = toml::from_str::<toml::Table>(&format!("v = {value}"))
        .ok()
        .and_then(|mut table| table.remove("v"))
        .unwrap_or_else(|| toml::Value::String(value.to_owned()));
    let (section, key) = match path.split_once('.') {
        None => (None, path),
        Some((section, key)) => (Some(section), key),
    };
    let Some(section) = section else {
        table.insert(key.to_owned(), value);
        return Ok(());
    };
    let entry = table
        .entry(section)
        .or_insert_with(|| toml::Value::Table(toml::Table::new()));
    match entry {
        toml::Value::Table(section) => section.insert(key.to_owned(), value),
        _ => bail!("{section} is no section"),
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        format!(
            "{:#}",
            Scenario::parse(text, &[]).expect_err("must be refused")
        )
    }

    #[test]
    fn every_scenario_that_comes_with_the_program_is_good() {
        for (name, text) in BUILT_IN {
            let scenario = Scenario::parse(text, &[]).expect(name);
            assert!(!scenario.about.is_empty(), "{name} does not say what it is");
            let json = serde_json::to_string(&scenario).expect("scenarios are plain");
            let again: Scenario = serde_json::from_str(&json).expect("what parts are told");
            assert_eq!(again, scenario, "{name}");
        }
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let said = error("scenario = 'chat'\n[users]\ncount = 10\n[chat]\nwindows = 4\n");
        assert!(
            said.contains("line 5") && said.contains("windows"),
            "{said}"
        );
        let said = error("scenario = 'chat'\n[time]\nmeasure = '10 days'\n");
        assert!(
            said.contains("line 3") && said.contains("10 days"),
            "{said}"
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let day = |line: &str| {
            let users = "[users]\ncontacts = 2\ncommunity = 10";
            format!(
                "scenario = 'day'\n{users}\n[connection]\nstream-management = true\n[day]\n{line}"
            )
        };
        for (text, part) in [
            ("scenario = 'chat'\n[users]\ncount = 3", "multiple of 2"),
            (
                "scenario = 'idle'\n[chat]\nwindow = 1",
                "[chat] says nothing",
            ),
            ("scenario = 'presence'", "needs contacts"),
            (
                "scenario = 'day'\n[users]\ncontacts = 3\ncommunity = 10",
                "must be even",
            ),
            (
                "scenario = 'idle'\n[users]\ncount = 100\ndigits = 1",
                "digits",
            ),
            (
                "scenario = 'idle'\n[connection]\ntransport = 'plain'\nmechanism = 'fast'",
                "TLS",
            ),
            ("scenario = 'chat'\n[chat]\nrate = -1.0", "negative"),
            ("scenario = 'chat'\n[chat]\nrate = inf", "without end"),
            (&day("messages = inf"), "without end"),
            (&day("cuts = nan"), "without end"),
            (&day("surge = inf"), "have an end"),
            (&day("surge = 0"), "above 0"),
            (
                "scenario = 'idle'\n[time]\nmeasure = '0 s'",
                "longer than nothing",
            ),
            ("scenario = 'chat'\n[users]\nprefix = 'a@b'", "RFC 7622"),
        ] {
            let said = error(text);
            assert!(said.contains(part), "{said}");
        }
    }

    #[test]
    fn changes_are_applied_and_checked_as_the_file_is() {
        let change = |change: &str| {
            let changes = [change.to_owned(), "users.prefix=x".to_owned()];
            Scenario::parse("scenario = 'chat'", &changes)
        };
        let scenario = change("chat.window=7").expect("a good change");
        assert_eq!(scenario.chat.map(|chat| chat.window), Some(7));
        assert_eq!(scenario.users.prefix, "x");
        let scenario = change("time.measure=90 s").expect("a text needs no quotes");
        assert_eq!(scenario.time.measure, Span::seconds(90));
        assert!(change("chat.windows=7").is_err());
        assert!(change("nonsense").is_err());
    }
}
