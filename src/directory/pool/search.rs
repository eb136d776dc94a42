//! Searches: whole or page by page. Refuses to know what the entries mean, and where references lead.

use std::any::Any;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ldap3::controls::{Control, PagedResults, RawControl};
use ldap3::{EntryStream, LdapConn, SearchOptions};

use super::follow::follow;
use super::{Failure, Link, Query, REFERRAL, failure, refused, remaining};
use crate::base::limits;
use crate::config::DirectoryReferrals;
use crate::directory::ber::{self, Entry};
use crate::directory::dn::Dn;
use crate::directory::error::DirectoryError;

impl Link {
    /// Entries that match; if they may be many, page by page (RFC 2696), so that no size limit cuts them.
    ///
    /// # Errors
    /// Everything that [`DirectoryError`] has but `TooManyWaiting`.
    pub fn search(&mut self, query: &Query, until: Instant) -> Result<Vec<Entry>, DirectoryError> {
        self.search_tending(query, until, &|| {})
    }

    /// The same; `tend` is called between one page and the next.
    ///
    /// # Errors
    /// As [`Link::search`].
    pub fn search_tending(
        &mut self,
        query: &Query,
        until: Instant,
        tend: &dyn Fn(),
    ) -> Result<Vec<Entry>, DirectoryError> {
        let (access, servers) = (Arc::clone(&self.access), Arc::clone(&self.servers));
        let mut ours = Ours::default();
        let found = self.call(until, |connection, _| {
            let times = (access.operation_timeout, until);
            let found = search_whole(connection, query, times, &mut || ours.run(tend))?;
            let is_whole = found.references.is_empty() && !found.has_more_references;
            match (is_whole, access.referrals) {
                (true, _) => Ok(found.entries),
                // RFC 4511 section 4.5.3: references to parts that the server does not have.
                (false, DirectoryReferrals::Refuse) if !found.is_elsewhere => Ok(found.entries),
                (false, DirectoryReferrals::Refuse) => {
                    Err(Failure::Answer(DirectoryError::Referred))
                }
                (false, DirectoryReferrals::Follow) if found.has_more_references => {
                    Err(Failure::Answer(DirectoryError::TooMuch))
                }
                (false, DirectoryReferrals::Follow) => {
                    let mut tend = || ours.run(tend);
                    follow((&access, &servers), query, found, until, &mut tend)
                        .map_err(Failure::Answer)
                }
            }
        });
        ours.go_on();
        if found.is_ok() {
            self.offer_search(query);
        }
        found
    }

    /// The same page by page, of which none is kept. If a connection breaks, what was handed over comes again. References
    /// to other servers are passed over.
    ///
    /// # Errors
    /// As [`Link::search`].
    pub fn search_each(
        &mut self,
        query: &Query,
        until: Instant,
        take: &mut dyn FnMut(Vec<Entry>),
    ) -> Result<(), DirectoryError> {
        let page_time = self.access.operation_timeout;
        let mut ours = Ours::default();
        let done = self.call(until, |connection, _| {
            let (mut cookie, mut count) = (Vec::new(), 0);
            loop {
                let times = (page_time, until);
                let (page, next) = search_page(connection, query, times, cookie, Found::default())?;
                if page.is_elsewhere {
                    return Err(Failure::Answer(DirectoryError::Referred));
                }
                count += page.entries.len();
                if count > query.count_max {
                    return Err(Failure::Answer(DirectoryError::TooMuch));
                }
                ours.run(|| take(page.entries))?;
                if next.is_empty() {
                    return Ok(());
                }
                cookie = next;
            }
        });
        ours.go_on();
        done
    }
}

/// What is called in the middle of an operation: a panic of it is a bug of ours and none of the server's answer, which would
/// be blamed for it, and asked the same of the next server. It goes on behind the operation.
#[derive(Default)]
struct Ours(Option<Box<dyn Any + Send>>);

impl Ours {
    fn run(&mut self, work: impl FnOnce()) -> Result<(), Failure> {
        panic::catch_unwind(AssertUnwindSafe(work)).map_err(|panicked| {
            self.0 = Some(panicked);
            // Nobody hears it; what still comes on the connection is nobody's.
            Failure::Answer(DirectoryError::TooMuch)
        })
    }

    fn go_on(self) {
        if let Some(panicked) = self.0 {
            panic::resume_unwind(panicked);
        }
    }
}

/// What a search brought.
#[derive(Default)]
pub(super) struct Found {
    pub(super) entries: Vec<Entry>,
    /// What they hold.
    bytes: usize,
    /// Of each the places, any of which will do.
    pub(super) references: Vec<Vec<String>>,
    /// Of those there were more than are kept.
    pub(super) has_more_references: bool,
    /// The base itself is on other servers.
    pub(super) is_elsewhere: bool,
}

impl Found {
    /// One more, unless they are too many or too large altogether.
    pub(super) fn take(
        &mut self,
        entry: Entry,
        count_max: usize,
        bytes_max: usize,
    ) -> Result<(), DirectoryError> {
        self.bytes += entry.bytes();
        if self.entries.len() >= count_max || self.bytes > bytes_max {
            return Err(DirectoryError::TooMuch);
        }
        self.entries.push(entry);
        Ok(())
    }

    /// One more reference. Where they are passed over any number may come.
    fn refer(&mut self, urls: Vec<String>) {
        let count: usize = self.references.iter().map(Vec::len).sum();
        match count + urls.len() <= REFERENCES_MAX {
            true => self.references.push(urls),
            false => self.has_more_references = true,
        }
    }
}

/// Begins a search on a connection that has its controls, each part of whose answer may take so long.
pub(super) fn begin<'a, 'b>(
    connection: &'b mut LdapConn,
    query: &'a Query,
    patience: Duration,
) -> Result<EntryStream<'a, 'b, String, &'a Vec<String>>, Failure> {
    let search = connection.with_timeout(patience).streaming_search(
        &query.base,
        query.depth.scope(),
        &query.filter,
        &query.attributes,
    );
    search.map_err(failure)
}

/// All that there is: as one answer, or where it may be much page by page, each an answer of its own. An answer may take as long
/// as the first of these times, and all of them no longer than to the second; `tend` is called between one and the next.
pub(super) fn search_whole(
    connection: &mut LdapConn,
    query: &Query,
    (answer_time, until): (Duration, Instant),
    tend: &mut dyn FnMut() -> Result<(), Failure>,
) -> Result<Found, Failure> {
    if query.count_max >= limits::DIRECTORY_PAGE_ENTRIES as usize {
        return search_pages(connection, query, (answer_time, until), tend);
    }
    let whole = Instant::now() + answer_time;
    let found = search(connection, query, until.min(whole));
    found.map_err(|failure| failure.until(until, whole))
}

pub(super) fn search(
    connection: &mut LdapConn,
    query: &Query,
    until: Instant,
) -> Result<Found, Failure> {
    // One more than we want, so that more is noticed.
    let size = i32::try_from(query.count_max + 1).unwrap_or(i32::MAX);
    let options = SearchOptions::new().sizelimit(size);
    let connection = connection.with_search_options(options);
    Ok(search_once(connection, query, until, Found::default())?.0)
}

/// Page after page, each in its own time; a server that knows nothing of pages sends everything as one.
fn search_pages(
    connection: &mut LdapConn,
    query: &Query,
    times: (Duration, Instant),
    tend: &mut dyn FnMut() -> Result<(), Failure>,
) -> Result<Found, Failure> {
    let mut found = Found::default();
    let mut cookie = Vec::new();
    loop {
        (found, cookie) = search_page(connection, query, times, cookie, found)?;
        if cookie.is_empty() || found.is_elsewhere {
            return Ok(found);
        }
        tend()?;
    }
}

/// One page behind what was found before, and what to ask for the next with: RFC 2696 section 3: "an empty octet string" is
/// the end.
fn search_page(
    connection: &mut LdapConn,
    query: &Query,
    (page_time, until): (Duration, Instant),
    cookie: Vec<u8>,
    found: Found,
) -> Result<(Found, Vec<u8>), Failure> {
    let page = PagedResults {
        size: limits::DIRECTORY_PAGE_ENTRIES,
        cookie,
    };
    let connection = connection.with_controls(RawControl::from(page));
    let whole = Instant::now() + page_time;
    let page = search_once(connection, query, until.min(whole), found);
    let (found, controls) = page.map_err(|failure| failure.until(until, whole))?;
    let cookie = match controls.iter().find(|control| control.1.ctype == PAGED) {
        Some(control) => {
            let value = control.1.val.as_deref().unwrap_or_default();
            ber::page_cookie(value).map_err(Failure::Answer)?
        }
        None => Vec::new(),
    };
    Ok((found, cookie))
}

/// One request, whose results come behind those that were found before, and the controls of its end.
fn search_once(
    connection: &mut LdapConn,
    query: &Query,
    until: Instant,
    mut found: Found,
) -> Result<(Found, Vec<Control>), Failure> {
    let mut stream = begin(connection, query, remaining(until)?)?;
    let base = Dn::parse(&query.base);
    while let Some(item) = stream.next().map_err(failure)? {
        // The library's own time begins anew with each entry.
        remaining(until)?;
        if item.is_ref() {
            found.refer(ber::references(item.0).map_err(Failure::Answer)?);
        } else if !item.is_intermediate() {
            let entry = Entry::read(item.0).map_err(Failure::Answer)?;
            // Nobody asked for what is elsewhere: whoever is there is nobody here.
            if !base.as_ref().is_some_and(|base| entry.is_within(base)) {
                log::warn!(
                    "directory_elsewhere entry={:?} base={:?}",
                    entry.dn,
                    query.base
                );
                continue;
            }
            found
                .take(entry, query.count_max, limits::DIRECTORY_ANSWER_BYTES_MAX)
                .map_err(Failure::Answer)?;
        }
    }
    let result = stream.result();
    match result.rc {
        0 => Ok((found, result.ctrls)),
        NO_SUCH_OBJECT => Ok((
            Found {
                entries: Vec::new(),
                ..found
            },
            Vec::new(),
        )),
        REFERRAL => Ok((
            Found {
                references: vec![result.refs],
                is_elsewhere: true,
                ..found
            },
            Vec::new(),
        )),
        SIZE_LIMIT => Err(Failure::Answer(DirectoryError::TooMuch)),
        _ => Err(refused(result)),
    }
}

/// RFC 2696.
const PAGED: &str = "1.2.840.113556.1.4.319";
const SIZE_LIMIT: u32 = 4;
const NO_SUCH_OBJECT: u32 = 32;
/// References of one answer that are followed.
const REFERENCES_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::super::Purpose;
    use super::super::connect::connect;
    use super::*;
    use crate::directory::access::Access;
    use crate::directory::person;
    use crate::directory::servers::Servers;

    #[test]
    fn an_answer_ends_with_so_many_entries_and_with_so_many_bytes() {
        let value = [b'x'; 100];
        let entry = || Entry::of("cn=a", &[("cn", &[&value[..]])]);
        let mut found = Found::default();
        assert_eq!(found.take(entry(), 2, 1_000), Ok(()));
        assert_eq!(found.take(entry(), 2, 1_000), Ok(()));
        assert_eq!(found.take(entry(), 2, 1_000), Err(DirectoryError::TooMuch));
        let mut found = Found::default();
        let bytes_max = entry().bytes() * 3;
        for _ in 0..3 {
            assert_eq!(found.take(entry(), 100, bytes_max), Ok(()));
        }
        assert_eq!(
            found.take(entry(), 100, bytes_max),
            Err(DirectoryError::TooMuch)
        );
        assert!(entry().bytes() > 100);
    }

    /// Answers each search with nothing, and that it is done; how often somebody connected.
    fn nobody() -> (String, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("ldap://{}", listener.local_addr().expect("bound"));
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        thread::spawn(move || {
            for mut socket in listener.incoming().map_while(Result::ok) {
                count.fetch_add(1, Ordering::SeqCst);
                let mut bytes = [0; 4096];
                while socket.read(&mut bytes).is_ok_and(|read| read > 0) {
                    // SEQUENCE, its length, INTEGER, one byte: the message's number.
                    let long = usize::from(bytes[1].saturating_sub(0x80));
                    let id = bytes[2 + long + 2];
                    let done = [0x30, 12, 2, 1, id, 0x65, 7, 10, 1, 0, 4, 0, 4, 0];
                    if socket.write_all(&done).is_err() {
                        break;
                    }
                }
            }
        });
        (url, connections)
    }

    #[test]
    fn a_page_that_comes_too_late_for_who_asks_is_no_silence() {
        let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("ldap://{}", silent.local_addr().expect("bound"));
        let config = person::tests::config("");
        let access = Access::read(&config, &|_| PathBuf::new()).expect("needs no file");
        let query = person::query_for_all(&config);
        let (long, short) = (Duration::from_secs(60), Duration::from_millis(50));
        let page = |page_time, until| {
            let connection = connect(&access, (&url, false), Purpose::Searching, until + long);
            let Ok(mut connection) = connection else {
                panic!("the system takes connections");
            };
            let times = (page_time, until);
            search_page(&mut connection, &query, times, Vec::new(), Found::default()).err()
        };
        let late = page(long, Instant::now() + short);
        assert!(matches!(late, Some(Failure::Late)));
        let silence = page(short, Instant::now() + long);
        assert!(matches!(silence, Some(Failure::Silence(_))));
    }

    #[test]
    fn a_panic_of_who_is_called_in_between_is_no_failure_of_the_server() {
        let (url, connections) = nobody();
        let config = person::tests::config("");
        let access = Access::read(&config, &|_| PathBuf::new()).expect("needs no file");
        let access = Access {
            start_tls: false,
            ..access.to(&url)
        };
        let servers = Arc::new(Servers::new(1));
        let mut link = Link::new(Arc::new(access), Arc::clone(&servers), Purpose::Searching);
        let query = person::query_for_all(&config);
        let until = Instant::now() + Duration::from_secs(60);
        let mut taken = 0;
        let each = panic::catch_unwind(AssertUnwindSafe(|| {
            link.search_each(&query, until, &mut |_| {
                taken += 1;
                panic!("as a bug would have it");
            })
        }));
        assert!(each.is_err(), "{each:?}");
        assert_eq!(taken, 1, "nobody else is asked for it");
        assert_eq!(connections.load(Ordering::SeqCst), 1);
        assert_eq!(servers.why(Purpose::Searching), "");
        assert_eq!(link.search_each(&query, until, &mut |_| {}), Ok(()));
    }
}
