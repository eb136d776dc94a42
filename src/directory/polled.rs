//! What has become of a part of the directory that does not tell: what was changed since the last look, and who is still
//! there. Refuses to know what the entries mean.

use std::time::{Duration, Instant};

use jiff::civil::DateTime;
use jiff::{SignedDuration, Timestamp};

use super::ber::Entry;
use super::content::{Change, Content, Manner};
use super::dn::Dn;
use super::error::DirectoryError;
use super::pool::{Depth, Link, Query};
use super::sync::{EntryState, SyncMessage, SyncWord};
use crate::base::limits;
use crate::config::DirectoryPreset;

/// Looks, each time for what is new.
pub struct Poller {
    query: Query,
    /// The attribute by which entries are known, or none.
    unique: String,
    preset: DirectoryPreset,
    last: Option<Mark>,
}

/// Up to where we have seen everything.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Mark {
    /// The greatest `modifyTimestamp` that we saw, and not behind our own time: one entry of a wrong clock would hide what is
    /// changed until then.
    Time(String),
    /// A number of changes, which each server counts for itself.
    Count { server: String, count: u64 },
}

impl Poller {
    pub fn new(query: &Query, unique: &str, preset: DirectoryPreset) -> Poller {
        let mut query = query.clone();
        query.attributes.push(MODIFIED.to_owned());
        if !unique.is_empty() {
            query.attributes.push(unique.to_owned());
        }
        Poller {
            query,
            unique: unique.to_owned(),
            preset,
            last: None,
        }
    }

    /// One look, and what it finds.
    ///
    /// # Errors
    /// As [`Link::search`]; the next look finds the rest.
    pub fn look(
        &mut self,
        link: &mut Link,
        content: &mut Content,
        tell: &mut dyn FnMut(Change<'_>),
    ) -> Result<(), DirectoryError> {
        if content.comes_by(Manner::Looked) {
            self.last = None;
        }
        let until = Instant::now() + Duration::from_millis(limits::DIRECTORY_LOOK_MS);
        self.look_since(link, until, content, tell)?;
        // What is there and no newer than what we saw: it was moved here, or the right to read it is new.
        if content.lacks() {
            self.last = None;
            self.look_since(link, until, content, tell)?;
        }
        Ok(())
    }

    fn look_since(
        &mut self,
        link: &mut Link,
        until: Instant,
        content: &mut Content,
        tell: &mut dyn FnMut(Change<'_>),
    ) -> Result<(), DirectoryError> {
        let now = moment(Timestamp::now());
        // Before it is looked, so that what comes in between is found the next time.
        let count = match self.preset {
            DirectoryPreset::ActiveDirectory => count(link, until)?,
            DirectoryPreset::Ds389 | DirectoryPreset::OpenLdap => None,
        };
        let since = self
            .last
            .as_ref()
            .and_then(|last| last.filter(count.as_ref()));
        log::debug!("directory_looks base={:?} newer={since:?}", self.query.base);
        match &since {
            Some(_) => content.begin_further(tell),
            None => content.begin_anew(tell),
        }
        let changed = Query {
            filter: match &since {
                Some(since) => format!("(&{}{since})", self.query.filter),
                None => self.query.filter.clone(),
            },
            ..self.query.clone()
        };
        let mut latest = match &self.last {
            Some(Mark::Time(time)) => time.clone(),
            _ => String::new(),
        };
        for mut entry in link.search(&changed, until)? {
            let time = entry.texts(MODIFIED).next().unwrap_or_default().to_owned();
            latest = latest.max(time);
            // That somebody touched it is no change of what is asked for.
            entry.remove(MODIFIED);
            let word = SyncWord::Entry {
                state: EntryState::Is,
                id: self.id(&entry),
                entry,
            };
            content.hear(silent(word), tell)?;
        }
        if since.is_some() {
            let all = Query {
                attributes: vec![match self.unique.as_str() {
                    "" => NO_ATTRIBUTES.to_owned(),
                    unique => unique.to_owned(),
                }],
                ..self.query.clone()
            };
            let found = link.search(&all, until)?;
            let ids = found.iter().map(|entry| self.id(entry)).collect();
            content.hear(silent(SyncWord::Present(ids)), tell)?;
        }
        let end = SyncWord::PhaseEnds {
            are_others_gone: true,
            is_refreshed: true,
        };
        content.hear(silent(end), tell)?;
        self.last = match count {
            // Who has answered since may be another, who lacked some of what this one had counted: the next look asks for all.
            Some(before) => self::count(link, until)?
                .is_some_and(|now| now.server() == before.server())
                .then_some(before),
            None => (!latest.is_empty()).then(|| Mark::Time(latest.min(now))),
        };
        Ok(())
    }

    fn id(&self, entry: &Entry) -> Vec<u8> {
        match entry.values(&self.unique).next() {
            Some(id) if !self.unique.is_empty() => id.to_vec(),
            // By its name; who is renamed is somebody else then.
            _ => Dn::parse(&entry.dn).map_or_else(Vec::new, |dn| dn.key().into_bytes()),
        }
    }
}

impl Mark {
    /// Who has counted.
    fn server(&self) -> Option<&str> {
        match self {
            Mark::Count { server, .. } => Some(server),
            Mark::Time(_) => None,
        }
    }

    /// What finds all that is newer; none if that cannot be said.
    fn filter(&self, now: Option<&Mark>) -> Option<String> {
        match (self, now) {
            (Mark::Time(time), _) => {
                // Copies of a directory hear of changes later than they were made.
                let time = DateTime::strptime("%Y%m%d%H%M%S", time.get(..14)?).ok()?;
                let overlap = SignedDuration::from_millis(limits::DIRECTORY_LOOK_OVERLAP_MS);
                let since = time.checked_sub(overlap).ok()?;
                Some(format!("({MODIFIED}>={})", since.strftime("%Y%m%d%H%M%SZ")))
            }
            (
                Mark::Count { server, count },
                Some(Mark::Count {
                    server: other,
                    count: now,
                }),
            ) if server == other && count <= now => {
                Some(format!("(uSNChanged>={})", count.checked_add(1)?))
            }
            // Another server counts otherwise, and so does one that was restored from a copy of before.
            (Mark::Count { .. }, _) => None,
        }
    }
}

/// How many changes the server has counted, in Active Directory; none if it does not say.
fn count(link: &mut Link, until: Instant) -> Result<Option<Mark>, DirectoryError> {
    let root = Query {
        base: String::new(),
        depth: Depth::Base,
        filter: "(objectClass=*)".to_owned(),
        attributes: vec!["dsServiceName".to_owned(), "highestCommittedUSN".to_owned()],
        count_max: 1,
    };
    let found = link.search(&root, until)?;
    let first = |name| found.iter().flat_map(|entry| entry.texts(name)).next();
    let count = first("highestCommittedUSN").and_then(|count| count.parse().ok());
    Ok(count
        .zip(first("dsServiceName"))
        .map(|(count, server)| Mark::Count {
            server: server.to_owned(),
            count,
        }))
}

/// A time as directories write it (RFC 4517 section 3.3.13).
fn moment(time: Timestamp) -> String {
    time.strftime("%Y%m%d%H%M%SZ").to_string()
}

fn silent(word: SyncWord) -> SyncMessage {
    SyncMessage { cookie: None, word }
}

const MODIFIED: &str = "modifyTimestamp";
/// RFC 4511 section 4.5.1.8.
const NO_ATTRIBUTES: &str = "1.1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_newer_is_asked_for_with_an_overlap_or_by_the_count_of_the_same_server() {
        let time = |text: &str| Mark::Time(text.to_owned()).filter(None);
        let expected = Some("(modifyTimestamp>=20261126235000Z)".to_owned());
        assert_eq!(time("20261127000000Z"), expected);
        assert_eq!(time("20261127000000.0Z"), expected);
        for wrong in ["", "2026", "yesterday at noon", "20261399000000Z"] {
            assert_eq!(time(wrong), None, "{wrong}");
        }
        let now = Timestamp::from_second(1_795_737_600).expect("in this century");
        assert_eq!(moment(now), "20261127000000Z");
        let count = |server: &str, count| Mark::Count {
            server: server.to_owned(),
            count,
        };
        let filter = |mark: Mark, now| mark.filter(Some(&now));
        let newer = Some("(uSNChanged>=8)".to_owned());
        assert_eq!(filter(count("a", 7), count("a", 9)), newer);
        assert_eq!(filter(count("a", 7), count("b", 9)), None);
        assert_eq!(filter(count("a", 7), count("a", 6)), None);
        assert_eq!(filter(count("a", u64::MAX), count("a", u64::MAX)), None);
        assert_eq!(count("a", 7).filter(None), None);
    }
}
