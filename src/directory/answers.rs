//! Everything of a directory's answers that is read here, by one door: for whoever throws any bytes at it (`tests/fuzz`).
//! Refuses to do anything with what is read but to ask whether it holds together.

use super::ber::{self, Entry, PolicyWords};
use super::dn::{self, Dn};
use super::keys;
use super::pool::BindOutcome;
use super::referral::Referral;
use super::rooms;
use super::sync::{self, SyncMessage};
use super::{escape, groups, verdict};
use crate::config::DirectoryPreset;

/// In so many forms something is read.
pub const FORMS: u8 = 10;

/// Reads bytes in one of these forms: an error of the directory's is none here.
///
/// # Errors
/// What does not hold together.
pub fn read(form: u8, bytes: &[u8]) -> Result<(), &'static str> {
    let text = String::from_utf8_lossy(bytes);
    match form % FORMS {
        0 => entry(bytes),
        1 => {
            if let Ok((_, tag)) = lber::parse::parse_tag(bytes) {
                // Any answer will do.
                let _ = ber::references(tag.clone());
                return sync::info(tag).map_or(Ok(()), |found| found.map_or(Ok(()), message));
            }
            Ok(())
        }
        2 => sync::done(bytes).map_or(Ok(()), message),
        3 => sync::entry(Entry::default(), bytes).map_or(Ok(()), message),
        4 => {
            PolicyWords::read(bytes);
            // Any answer will do.
            let _ = ber::page_cookie(bytes);
            Ok(())
        }
        5 => {
            let Some(parsed) = keys::parse(&text) else {
                return Ok(());
            };
            let written = keys::written(&parsed);
            let again = std::str::from_utf8(written.expose())
                .ok()
                .and_then(keys::parse);
            match again.is_some_and(|again| again.shape() == parsed.shape()) {
                true => Ok(()),
                false => Err("keys are others when they were written"),
            }
        }
        6 => {
            let Some(name) = Dn::parse(&text) else {
                return Ok(());
            };
            match Dn::parse(&name.key()).is_some_and(|again| again.key() == name.key()) {
                true => Ok(()),
                false => Err("the one spelling of a name is another's"),
            }
        }
        7 => {
            let name = format!("cn={},dc=a", dn::escaped(&text));
            match dn::is_within(&name, "dc=a") {
                true => Ok(()),
                false => Err("an escaped value leaves its name"),
            }
        }
        8 => {
            // Any answer will do.
            let _ = (Referral::parse(&text), groups::part_behind(&text));
            let filter = escape::filter_for("(uid={user})", &text);
            match super::pool::is_filter(&filter) {
                true => Ok(()),
                false => Err("an escaped value breaks its filter"),
            }
        }
        _ => {
            for preset in [
                DirectoryPreset::ActiveDirectory,
                DirectoryPreset::Ds389,
                DirectoryPreset::OpenLdap,
            ] {
                let outcome = BindOutcome {
                    code: 49,
                    text: text.clone().into_owned(),
                    policy: PolicyWords::default(),
                };
                if verdict::of_bind(preset, outcome) == Ok(verdict::Verdict::Right) {
                    return Err("words let somebody in");
                }
            }
            Ok(())
        }
    }
}

fn entry(bytes: &[u8]) -> Result<(), &'static str> {
    let Ok((_, tag)) = lber::parse::parse_tag(bytes) else {
        return Ok(());
    };
    let Ok(entry) = Entry::read(tag) else {
        return Ok(());
    };
    let read = rooms::read(&entry, "example");
    let room = read.room.as_ref();
    if !read.problems.is_empty() && room.is_some_and(|room| !room.is_closed) {
        return Err("a room that is not understood is open");
    }
    if room.is_some_and(|room| room.attributes().is_empty()) {
        return Err("a room is written as nothing");
    }
    Ok(())
}

fn message(message: SyncMessage) -> Result<(), &'static str> {
    let cookie = message.cookie.map_or(0, |cookie| cookie.len());
    match cookie <= crate::base::limits::DIRECTORY_COOKIE_BYTES_MAX {
        true => Ok(()),
        false => Err("a state is longer than any may be"),
    }
}
