//! Searches on the servers that a directory names instead of an answer (RFC 4511 sections 4.1.10 and 4.5.3). Refuses to
//! decide whether they are asked.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use super::search::{Found, search_whole};
use super::{Depth, Failure, Purpose, Query, connect, guarded};
use crate::base::limits;
use crate::directory::access::Access;
use crate::directory::ber::Entry;
use crate::directory::dn::Dn;
use crate::directory::error::DirectoryError;
use crate::directory::referral::Referral;
use crate::directory::servers::Servers;

/// Asks the servers that we were sent to, one after the other, and those that they send us to: each once, and not more
/// than [`limits::DIRECTORY_REFERRALS_MAX`]. An entry that several of them have is one.
pub(super) fn follow(
    (access, servers): (&Access, &Servers),
    query: &Query,
    found: Found,
    until: Instant,
    tend: &mut dyn FnMut() -> Result<(), Failure>,
) -> Result<Vec<Entry>, DirectoryError> {
    let mut journey = Journey {
        access,
        servers,
        query,
        until,
        places: HashMap::new(),
    };
    let mut known = BTreeSet::new();
    let mut is_new = |entry: &Entry| {
        let key = Dn::parse(&entry.dn).map_or_else(|| entry.dn.clone(), |dn| dn.key());
        known.insert(key)
    };
    let mut whole = found;
    whole.entries.retain(&mut is_new);
    let mut open = journey.leads(&mut whole);
    while let Some(urls) = open.pop() {
        let mut more = journey.ask_any(&urls, tend)?;
        if more.has_more_references {
            return Err(DirectoryError::TooMuch);
        }
        open.extend(journey.leads(&mut more));
        for entry in more.entries.into_iter().filter(&mut is_new) {
            whole.take(entry, query.count_max, limits::DIRECTORY_ANSWER_BYTES_MAX)?;
        }
    }
    Ok(whole.entries)
}

/// Servers that are asked because others named them.
struct Journey<'a> {
    access: &'a Access,
    servers: &'a Servers,
    query: &'a Query,
    until: Instant,
    /// Whether they have answered.
    places: HashMap<Place, bool>,
}

/// What is asked of which server. RFC 4511 section 4.1.10: "They MUST NOT repeatedly contact the same server for the same
/// request with the same parameters."
#[derive(Clone, PartialEq, Eq, Hash)]
struct Place {
    server: String,
    base: String,
    depth: Depth,
    filter: String,
}

impl Place {
    /// RFC 4511 section 4.1.10: "If the <filter> part of the LDAP URL is present, the client uses this filter in its next
    /// request to progress this Search, and if it is not present the client uses the same filter as it used for that Search";
    /// so it is with <dn> and <scope>. Besides, the filter that we asked by holds: the operator's is the rule by which people come
    /// in, and the directory's own word of who is in a group, which whoever may write a reference does not change.
    fn of(url: &str, query: &Query) -> Option<Place> {
        let found = Referral::parse(url)?;
        Some(Place {
            server: found.server,
            base: found.base.unwrap_or_else(|| query.base.clone()),
            depth: found.depth.unwrap_or(query.depth),
            filter: match found.filter {
                Some(filter) if filter != query.filter => both(&query.filter, &filter),
                _ => query.filter.clone(),
            },
        })
    }
}

/// Of what both find: RFC 4515 section 3.
fn both(one: &str, other: &str) -> String {
    let whole = |filter: &str| match filter.starts_with('(') {
        true => filter.to_owned(),
        false => format!("({filter})"),
    };
    format!("(&{}{})", whole(one), whole(other))
}

impl Journey<'_> {
    /// Where its references lead, without those that lead to hosts of others alone: a part of what was asked about is passed
    /// over then, as where references are not followed. Where the whole of it is elsewhere they stay, and asking them fails.
    fn leads(&self, found: &mut Found) -> Vec<Vec<String>> {
        let mut references = std::mem::take(&mut found.references);
        let is_to_others = |url: &String| {
            let place = Place::of(url, self.query);
            place.is_some_and(|place| !self.access.destinations.has(&place.server))
        };
        if !found.is_elsewhere {
            references.retain(|urls| {
                let is_others = urls.iter().all(is_to_others);
                if is_others {
                    log::debug!("directory_reference_passed_over addresses={urls:?}");
                }
                !is_others
            });
        }
        references
    }

    /// Asks the first of these that answers; nothing new if one has answered before. RFC 4511 section 4.1.10: "If multiple
    /// URIs are present, the client assumes that any supported URI may be used to progress the operation"; "Clients may
    /// ignore URIs that they do not support."
    fn ask_any(
        &mut self,
        urls: &[String],
        tend: &mut dyn FnMut() -> Result<(), Failure>,
    ) -> Result<Found, DirectoryError> {
        let places = urls.iter().filter_map(|url| Place::of(url, self.query));
        let allowed = |place: &Place| self.access.destinations.has(&place.server);
        let places: Vec<Place> = places.filter(allowed).collect();
        if places
            .iter()
            .any(|place| self.places.get(place) == Some(&true))
        {
            return Ok(Found::default());
        }
        let mut why = DirectoryError::Referred;
        for place in places {
            if self.places.contains_key(&place) {
                continue;
            }
            if self.places.len() >= limits::DIRECTORY_REFERRALS_MAX {
                return Err(DirectoryError::Referred);
            }
            let asked = self.ask(&place, tend);
            self.tell(&place, &asked);
            self.places
                .insert(place, matches!(asked, Ok(_) | Err(Failure::Answer(_))));
            match asked {
                Ok(found) => return Ok(found),
                Err(Failure::Answer(error)) => return Err(error),
                Err(Failure::Connection(reason)) => why = DirectoryError::NoServer(reason),
                Err(Failure::Late | Failure::Silence(_)) => why = DirectoryError::Late,
            }
        }
        Err(why)
    }

    /// An operator reads where we are sent, and what fails there. What was looked for is nobody's business.
    fn tell(&self, place: &Place, asked: &Result<Found, Failure>) {
        let reason = match asked {
            Ok(_) => None,
            Err(Failure::Answer(error)) => Some(error.to_string()),
            Err(Failure::Connection(reason)) => Some(reason.clone()),
            // Who asked had no more time.
            Err(Failure::Late) => return,
            Err(Failure::Silence(reason)) => Some((*reason).to_owned()),
        };
        let (server, now) = (&place.server, Instant::now());
        if !self.servers.referred.note(server, reason.is_none(), now) {
            return;
        }
        match reason {
            None => log::info!("directory_refers server={server:?}"),
            Some(reason) => {
                log::warn!("directory_referral_fails server={server:?} reason={reason:?}");
            }
        }
    }

    fn ask(
        &self,
        place: &Place,
        tend: &mut dyn FnMut() -> Result<(), Failure>,
    ) -> Result<Found, Failure> {
        let query = Query {
            base: place.base.clone(),
            depth: place.depth,
            filter: place.filter.clone(),
            ..self.query.clone()
        };
        let whole = Instant::now() + self.access.connect_timeout;
        let server = (place.server.as_str(), self.access.refers_to_tls());
        let connected = connect(
            self.access,
            server,
            Purpose::Searching,
            self.until.min(whole),
        );
        let mut connection = connected.map_err(|failure| failure.until(self.until, whole))?;
        let times = (self.access.operation_timeout, self.until);
        let mut found = guarded(|| search_whole(&mut connection, &query, times, tend))?;
        let destinations = &self.access.destinations;
        found
            .entries
            .retain(|entry| destinations.counts(entry, self.query));
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::path::PathBuf;
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::config::HostDirectory;
    use crate::directory::access::Identity;
    use crate::directory::destinations::Destinations;
    use crate::directory::person;
    use crate::directory::pool::is_filter;

    /// The operation (RFC 4511 section 4.2 or 4.14) that the first message to a server is, which is sent to it from one of
    /// these.
    fn first_operation(servers: &[&str], start_tls: bool) -> u8 {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("ldap://{}", listener.local_addr().expect("bound"));
        let heard = thread::spawn(move || {
            let (mut socket, _) = listener.accept().expect("somebody comes");
            let mut bytes = [0; 4096];
            let read = socket.read(&mut bytes).expect("and asks");
            // Whatever it was, no.
            let answer = [0x30, 12, 2, 1, 1, bytes[5] + 1, 7, 10, 1, 2, 4, 0, 4, 0];
            socket.write_all(&answer).expect("who asked is there");
            assert!(read > 5, "that is no message");
            bytes[5]
        });
        assert!(sent_to(servers, start_tls, &["127.0.0.1"], &url, false).is_err());
        heard.join().expect("it was asked")
    }

    /// What comes of being sent to this address from one of these servers, where hosts are named besides theirs.
    fn sent_to(
        servers: &[&str],
        start_tls: bool,
        hosts: &[&str],
        url: &str,
        is_elsewhere: bool,
    ) -> Result<Vec<Entry>, DirectoryError> {
        let config = person::tests::config("");
        let access = Access::read(&config, &|_| PathBuf::new()).expect("needs no file");
        let owned = |texts: &[&str]| texts.iter().map(|it| (*it).to_owned()).collect();
        let options = HostDirectory {
            servers: owned(servers),
            referral_hosts: owned(hosts),
            ..config.options.clone()
        };
        let access = Access {
            servers: owned(servers),
            start_tls,
            identity: Identity::Password {
                dn: "cn=service".to_owned(),
                password: crate::base::Secret::new(b"secret".to_vec()),
            },
            destinations: Destinations::of(&options),
            ..access.to("")
        };
        let mut found = Found::default();
        found.references.push(vec![url.to_owned()]);
        found.is_elsewhere = is_elsewhere;
        let until = Instant::now() + Duration::from_secs(60);
        let query = person::query_for_all(&config);
        let ways = (&access, &Servers::new(1));
        follow(ways, &query, found, until, &mut || Ok(()))
    }

    #[test]
    fn what_is_asked_there_is_what_both_filters_find() {
        let query = Query {
            filter: "(&(uid=paris)(o=verona))".to_owned(),
            ..person::query_for_all(&person::tests::config(""))
        };
        let own = query.filter.as_str();
        for (rest, expected) in [
            ("", own.to_owned()),
            ("/???(%26(uid=paris)(o=verona))", own.to_owned()),
            ("/???(uid=paris)", format!("(&{own}(uid=paris))")),
            ("/???uid=paris", format!("(&{own}(uid=paris))")),
        ] {
            let place = Place::of(&format!("ldap://a{rest}"), &query).expect("an address");
            assert_eq!(place.filter, expected, "{rest}");
            assert!(is_filter(&place.filter), "{rest}");
        }
    }

    #[test]
    fn nobody_is_asked_because_a_reference_names_them() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("it is one");
        let url = format!("ldap://{}", listener.local_addr().expect("bound"));
        let sent = |is_elsewhere| sent_to(&["ldap://localhost"], false, &["a"], &url, is_elsewhere);
        assert_eq!(sent(false), Ok(Vec::new()));
        assert_eq!(sent(true), Err(DirectoryError::Referred));
        assert!(listener.accept().is_err(), "somebody has come");
    }

    #[test]
    fn nobody_sends_our_password_over_an_open_channel_by_naming_one() {
        const BIND: u8 = 0x60;
        const EXTENDED: u8 = 0x77;
        let (open, tls) = ("ldap://a", "ldaps://b");
        assert_eq!(first_operation(&[tls], false), EXTENDED);
        assert_eq!(first_operation(&["ldapi://%2frun%2fa"], false), EXTENDED);
        assert_eq!(first_operation(&[open], true), EXTENDED);
        // The operator has it so.
        assert_eq!(first_operation(&[open], false), BIND);
        assert_eq!(first_operation(&[tls, open], false), BIND);
    }
}
