//! Scenarios: what the clients of a run do, read from TOML. An unknown key, or one that the scenario has no use for, is an
//! error that names its line. It knows nothing of how it is done.

mod sections;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::client::people::People;
use crate::client::sasl::Mechanism;
use crate::client::session::Transport;

pub use sections::{Chat, Connection, Day, Login, Muc, Presence, Time, Users};

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
#[path = "scenario_tests.rs"]
mod tests;
