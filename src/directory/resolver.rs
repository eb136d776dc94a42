//! The addresses behind names of servers, asked of the system on threads of their own: where a nameserver is down it answers
//! after half a minute (resolv.conf(5)), and nobody here waits for longer than they say. Refuses to connect.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

/// Asks for the addresses of a host, whose ports say nothing.
type Lookup = fn(&str) -> io::Result<Vec<SocketAddr>>;

/// What is known of names, for all who connect to them.
pub struct Resolver {
    lookup: Lookup,
    /// In small letters and without ports: so there are no more of them, and of threads that ask, than hosts that an operator
    /// names, however a directory spells them in a reference.
    names: Mutex<HashMap<String, Name>>,
    answered: Condvar,
}

/// Why a name has no addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unresolved {
    /// Nobody has said anything by then.
    Late,
    /// For an operator.
    Nowhere(String),
}

#[derive(Default)]
struct Name {
    /// Those of the last answer that had any: better than none while nothing else is heard.
    addresses: Vec<SocketAddr>,
    /// Whether a thread asks just now; one is enough.
    is_asked: bool,
    /// How often it was answered.
    answers: u64,
    /// Why the last answer had no addresses.
    error: Option<String>,
}

impl Resolver {
    /// One that asks the system.
    pub fn new() -> Resolver {
        Resolver::by(|host| Ok((host, 0).to_socket_addrs()?.collect()))
    }

    fn by(lookup: Lookup) -> Resolver {
        Resolver {
            lookup,
            names: Mutex::default(),
            answered: Condvar::new(),
        }
    }

    /// The addresses of a host, which may be one itself: those that are found until then, or those that were found before.
    ///
    /// # Errors
    /// Why there are none.
    pub fn addresses(
        self: &Arc<Resolver>,
        host: &str,
        port: u16,
        until: Instant,
    ) -> Result<Vec<SocketAddr>, Unresolved> {
        let plain = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        if let Ok(address) = plain.unwrap_or(host).parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        // RFC 4343: names are compared without case.
        let key = host.to_ascii_lowercase();
        let mut names = self.names.lock();
        let name = names.entry(key.clone()).or_default();
        let before = name.answers;
        if !name.is_asked {
            let nowhere = |error: io::Error| Unresolved::Nowhere(error.to_string());
            self.ask(&key).map_err(nowhere)?;
            name.is_asked = true;
        }
        let until = match name.addresses.is_empty() {
            true => until,
            // The other half is for connecting to what was known before.
            false => {
                let now = Instant::now();
                now + until.saturating_duration_since(now) / 2
            }
        };
        let has_answer = |names: &HashMap<String, Name>| names[&key].answers > before;
        while !has_answer(&names) {
            if self.answered.wait_until(&mut names, until).timed_out() {
                break;
            }
        }
        let name = &names[&key];
        match (name.addresses.is_empty(), &name.error) {
            (false, _) => {
                let addresses = name.addresses.iter().copied();
                Ok(addresses.map(|address| at(address, port)).collect())
            }
            (true, Some(error)) if has_answer(&names) => Err(Unresolved::Nowhere(error.clone())),
            (true, _) => Err(Unresolved::Late),
        }
    }

    fn ask(self: &Arc<Resolver>, host: &str) -> io::Result<()> {
        let (resolver, host) = (Arc::clone(self), host.to_owned());
        let thread = thread::Builder::new().name("ldap-resolve".to_owned());
        thread.spawn(move || {
            let found = (resolver.lookup)(&host);
            resolver.learn(&host, found);
        })?;
        Ok(())
    }

    fn learn(&self, host: &str, found: io::Result<Vec<SocketAddr>>) {
        let mut names = self.names.lock();
        if let Some(name) = names.get_mut(host) {
            name.is_asked = false;
            name.answers += 1;
            match found {
                Ok(addresses) if !addresses.is_empty() => {
                    (name.addresses, name.error) = (addresses, None);
                }
                Ok(_) => name.error = Some("has no address".to_owned()),
                Err(error) => name.error = Some(error.to_string()),
            }
        }
        self.answered.notify_all();
    }
}

fn at(mut address: SocketAddr, port: u16) -> SocketAddr {
    address.set_port(port);
    address
}

/// The host in `ldap://host:port` or `ldaps://host:port`, an address of IPv6 in its brackets, and the port; none for any
/// other address.
pub fn place(url: &str) -> Option<(&str, u16)> {
    let (scheme, rest) = url.split_once("://")?;
    let usual = match scheme {
        "ldap" => 389,
        "ldaps" => 636,
        _ => return None,
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let end = match rest.starts_with('[') {
        true => rest.find(']')? + 1,
        false => rest.find(':').unwrap_or(rest.len()),
    };
    let (host, port) = rest.split_at(end);
    let port = match port.strip_prefix(':') {
        Some(port) => port.parse().ok()?,
        None if port.is_empty() => usual,
        None => return None,
    };
    (!host.is_empty()).then_some((host, port))
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    /// One to which no nameserver answers.
    pub fn unanswered() -> Arc<Resolver> {
        Arc::new(Resolver::by(|_| silence()))
    }

    fn silence() -> io::Result<Vec<SocketAddr>> {
        loop {
            thread::park();
        }
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(50)
    }

    fn patiently() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[test]
    fn nobody_waits_for_a_name_longer_than_they_say() {
        let resolver = unanswered();
        let found = resolver.addresses("ldap.example", 389, soon());
        assert_eq!(found, Err(Unresolved::Late));
        for (address, expected) in [("127.0.0.1", "127.0.0.1:389"), ("[::1]", "[::1]:389")] {
            let found = resolver.addresses(address, 389, soon());
            assert_eq!(found, Ok(vec![expected.parse().expect("an address")]));
        }
    }

    #[test]
    fn what_was_found_is_good_while_nothing_else_is_heard_and_one_thread_asks() {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        let resolver = Arc::new(Resolver::by(|_| {
            match ASKED.fetch_add(1, Ordering::SeqCst) {
                0 => Ok(vec![SocketAddr::from(([192, 0, 2, 1], 0))]),
                1 => Err(io::ErrorKind::NotFound.into()),
                _ => silence(),
            }
        }));
        let known = Ok(vec![SocketAddr::from(([192, 0, 2, 1], 636))]);
        assert_eq!(resolver.addresses("a", 636, patiently()), known);
        assert_eq!(resolver.addresses("a", 636, patiently()), known);
        assert_eq!(resolver.addresses("a", 636, soon()), known);
        while ASKED.load(Ordering::SeqCst) < 3 {
            thread::yield_now();
        }
        assert_eq!(resolver.addresses("a", 636, soon()), known);
        assert_eq!(ASKED.load(Ordering::SeqCst), 3);
    }

    #[test]
    fn a_host_is_one_name_however_it_is_spelt_and_whatever_port_is_meant() {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        let resolver = Arc::new(Resolver::by(|_| {
            ASKED.fetch_add(1, Ordering::SeqCst);
            silence()
        }));
        for (host, port) in [
            ("ldap.example", 389),
            ("LDAP.example", 389),
            ("ldap.example", 636),
        ] {
            let found = resolver.addresses(host, port, soon());
            assert_eq!(found, Err(Unresolved::Late));
        }
        while ASKED.load(Ordering::SeqCst) == 0 {
            thread::yield_now();
        }
        let names = resolver.names.lock();
        assert_eq!((ASKED.load(Ordering::SeqCst), names.len()), (1, 1));
    }

    #[test]
    fn a_name_without_addresses_is_said_to_be_one_and_asked_about_again() {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        let resolver = Arc::new(Resolver::by(|_| {
            match ASKED.fetch_add(1, Ordering::SeqCst) {
                0 => Ok(Vec::new()),
                1 => Err(io::Error::other("no such name")),
                _ => Ok(vec![SocketAddr::from(([192, 0, 2, 1], 0))]),
            }
        }));
        let addresses = || resolver.addresses("a", 389, patiently());
        let nowhere = |why: &str| Err(Unresolved::Nowhere(why.to_owned()));
        assert_eq!(addresses(), nowhere("has no address"));
        assert_eq!(addresses(), nowhere("no such name"));
        assert!(addresses().is_ok());
    }

    #[test]
    fn a_server_is_a_host_and_a_port() {
        for (url, expected) in [
            ("ldap://a", Some(("a", 389))),
            ("ldaps://a/", Some(("a", 636))),
            ("ldap://a:1389", Some(("a", 1389))),
            ("ldaps://[2001:db8::1]", Some(("[2001:db8::1]", 636))),
            ("ldap://[::1]:1389", Some(("[::1]", 1389))),
            ("ldapi://%2Frun%2Fldapi", None),
            ("ldap://", None),
            ("ldap://:389", None),
            ("ldap://a:x", None),
            ("ldap://[::1", None),
            ("ldap://[::1]x", None),
            ("a", None),
        ] {
            assert_eq!(place(url), expected, "{url}");
        }
    }
}
