//! The directories: whether they answer, and who else might hear what they are asked. Refuses to know what they answer.

use std::net::IpAddr;
use std::path::Path;

use super::data::check_secret;
use super::{Finding, error, fine, mend_configuration, warning};
use crate::config::{Config, HostDirectory};
use crate::directory::{server_place, trace};
use crate::server::directory::prepare_directories;
use crate::server::settings::beside_config;

/// Whether the directories answer, as we ask them.
pub fn check_directories(path: Option<&Path>, config: &Config) -> Vec<Finding> {
    let prepared = match prepare_directories(config, path) {
        Ok(prepared) => prepared,
        Err(errors) => {
            let errors = errors.iter();
            return errors
                .map(|found| error(found.to_string(), mend_configuration(found)))
                .collect();
        }
    };
    let mut findings = Vec::new();
    for directory in &prepared {
        let options = &directory.config.options;
        for secret in [&options.password_file, &options.key] {
            let file = beside_config(path, secret);
            findings.extend(check_secret(&directory.host, &file).filter(|_| !secret.is_empty()));
        }
        findings.extend(check_channels(&directory.host, options));
        for step in trace::servers(&directory.config, &directory.access) {
            let text = format!("directory of {}: {}", directory.host, step.text);
            findings.push(match step.fine {
                true => fine(text),
                // The server starts all the same, and asks again.
                false => warning(
                    text,
                    "look at the server, at host.directory, and at `stonechat directory test NAME`"
                        .to_owned(),
                ),
            });
        }
    }
    findings
}

/// Passwords of users cross these: those over which others may read them.
fn check_channels(host: &str, options: &HostDirectory) -> Vec<Finding> {
    let is_open = |server: &&String| {
        !options.start_tls && server.starts_with("ldap://") && !is_of_this_machine(server)
    };
    let open = options.servers.iter().filter(is_open).map(|server| {
        warning(
            format!("directory of {host}: passwords cross an open channel to {server}"),
            "set `start_tls = true`, or name the server with ldaps://".to_owned(),
        )
    });
    let unverified = (!options.verify).then(|| {
        warning(
            format!("directory of {host}: whoever stands between may read all passwords"),
            "set `verify = true`, and `ca` to the file with the authority of its servers"
                .to_owned(),
        )
    });
    open.chain(unverified).collect()
}

fn is_of_this_machine(server: &str) -> bool {
    server_place(server).is_some_and(|(host, _)| {
        let host = host.trim_matches(['[', ']']);
        host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::config;
    use super::*;

    fn warned(options: &str) -> Vec<String> {
        let config = config(&format!(
            "[[host]]\nname = \"verona.example\"\n[host.directory]\nbase = \"dc=verona\"\n{options}"
        ));
        let directory = config.hosts[0].directory.as_ref().expect("a directory");
        let found = check_channels("verona.example", &directory.options);
        found.into_iter().map(|finding| finding.text).collect()
    }

    #[test]
    fn an_operator_is_warned_of_channels_that_others_may_read() {
        let servers = "servers = [\"ldap://a.example\", \"ldaps://b.example\", \"ldap://[::1]:3389\", \"ldap://localhost\"]\n";
        assert!(warned(servers).is_empty(), "StartTLS is on by default");
        let said = warned(&format!("{servers}start_tls = false\n"));
        assert_eq!(said.len(), 1);
        assert!(
            said[0].ends_with("an open channel to ldap://a.example"),
            "{said:?}"
        );
        let said = warned(&format!("{servers}verify = false\n"));
        assert_eq!(said.len(), 1);
        assert!(said[0].contains("whoever stands between"), "{said:?}");
    }
}
