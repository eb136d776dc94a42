//! New connections, and as whom we are on them. Refuses to choose a server.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Instant;

use ldap3::{LdapConn, LdapConnSettings, LdapResult, StdStream};

use super::{Failure, Purpose, SILENCE, failure, guarded, remaining};
use crate::base::Secret;
use crate::directory::access::{Access, Identity};
use crate::directory::resolver::{Unresolved, place};

/// A new connection to one server, as whom we are on it; `start_tls` where its scheme is `ldap`.
pub(super) fn connect(
    access: &Access,
    (url, start_tls): (&str, bool),
    purpose: Purpose,
    until: Instant,
) -> Result<LdapConn, Failure> {
    guarded(|| {
        let mut settings = LdapConnSettings::new()
            .set_starttls(start_tls)
            .set_config(Arc::clone(&access.tls));
        if let Some((host, port)) = place(url) {
            let socket = open(access, (host, port), until)?;
            settings = settings.set_std_stream(StdStream::Tcp(socket));
        }
        let settings = settings.set_conn_timeout(remaining(until)?);
        let mut connection = LdapConn::with_settings(settings, url).map_err(failure)?;
        if purpose == Purpose::Searching {
            authenticate(access, &mut connection, until)?;
        }
        Ok(connection)
    })
}

/// A socket to a host: the library would wait for its name without bound. Of several addresses each has its share of the time
/// that is left.
fn open(access: &Access, (host, port): (&str, u16), until: Instant) -> Result<TcpStream, Failure> {
    let addresses = access.resolver.addresses(host, port, until);
    let addresses = addresses.map_err(|error| match error {
        Unresolved::Late => Failure::Silence(UNRESOLVED),
        Unresolved::Nowhere(why) => Failure::Connection(format!("its name: {why}")),
    })?;
    let mut why = Failure::Silence(SILENCE);
    for (address, left) in addresses.iter().zip((1..=addresses.len()).rev()) {
        let share = remaining(until)? / u32::try_from(left).unwrap_or(u32::MAX);
        match TcpStream::connect_timeout(address, share) {
            Ok(socket) => return Ok(socket),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                why = Failure::Silence(SILENCE);
            }
            Err(error) => why = Failure::Connection(error.to_string()),
        }
    }
    Err(why)
}

fn authenticate(access: &Access, connection: &mut LdapConn, until: Instant) -> Result<(), Failure> {
    connection.with_timeout(remaining(until)?);
    let result = match &access.identity {
        Identity::Nobody => return Ok(()),
        Identity::Certificate => connection.sasl_external_bind().map_err(failure)?,
        Identity::Password { dn, password } => simple_bind(connection, dn, password)?,
    };
    match result.rc {
        0 => Ok(()),
        code => Err(Failure::Connection(format!(
            "our own bind was refused (result {code}): {}",
            result.text
        ))),
    }
}

/// As somebody with this password.
pub(super) fn simple_bind(
    connection: &mut LdapConn,
    dn: &str,
    password: &Secret,
) -> Result<LdapResult, Failure> {
    let password = std::str::from_utf8(password.expose());
    let password = password.map_err(|error| Failure::Connection(error.to_string()))?;
    connection.simple_bind(dn, password).map_err(failure)
}

const UNRESOLVED: &str = "its name is not resolved in time";

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::path::PathBuf;
    use std::time::Duration;

    use super::*;
    use crate::directory::{person, resolver};

    #[test]
    fn a_name_that_nobody_resolves_takes_no_longer_than_a_connection_may() {
        let config = person::tests::config("");
        let access = Access::read(&config, &|_| PathBuf::new()).expect("needs no file");
        let access = access.by(&resolver::tests::unanswered());
        let to = |url: &str, time| {
            let until = Instant::now() + time;
            match connect(&access, (url, false), Purpose::Binding, until) {
                Err(Failure::Silence(reason)) => reason.to_owned(),
                connected => String::from(if connected.is_ok() { "" } else { "late" }),
            }
        };
        // A name that a system knows without asking anybody.
        let found = to("ldap://localhost", Duration::from_millis(50));
        assert_eq!(found, "its name is not resolved in time");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("ldap://{}", listener.local_addr().expect("bound"));
        assert_eq!(to(&url, Duration::from_secs(60)), "");
    }
}
