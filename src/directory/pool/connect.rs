//! New connections, and as whom we are on them. Refuses to choose a server.

use std::sync::Arc;
use std::time::Instant;

use ldap3::{LdapConn, LdapConnSettings, LdapResult};

use super::{Failure, Purpose, failure, guarded, remaining};
use crate::base::Secret;
use crate::directory::access::{Access, Identity};

/// A new connection to one server, as whom we are on it; `start_tls` where its scheme is `ldap`.
pub(super) fn connect(
    access: &Access,
    (url, start_tls): (&str, bool),
    purpose: Purpose,
    until: Instant,
) -> Result<LdapConn, Failure> {
    guarded(|| {
        let settings = LdapConnSettings::new()
            .set_conn_timeout(remaining(until)?)
            .set_starttls(start_tls)
            .set_config(Arc::clone(&access.tls));
        let mut connection = LdapConn::with_settings(settings, url).map_err(failure)?;
        if purpose == Purpose::Searching {
            authenticate(access, &mut connection, until)?;
        }
        Ok(connection)
    })
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
