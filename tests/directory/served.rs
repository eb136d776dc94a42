//! A Stonechat whose users are the people of a directory. It refuses to know what they say.

use std::fmt::Write;

use crate::client::{Client, auth, plain};
use crate::server::{House, Server};
use crate::slapd::{BASE, SERVICE, SERVICE_PASSWORD, Slapd};

/// What a host's directory section says of this directory, with these options besides.
pub fn options(directory: &Slapd, more: &str) -> String {
    let password = directory.file("service-password", &format!("{SERVICE_PASSWORD}\n"));
    let usual = [
        ("servers", format!("[{:?}]", directory.url())),
        ("ca", format!("{:?}", directory.authority.certificate)),
        ("base", format!("\"ou=people,{BASE}\"")),
        ("bind_dn", format!("{SERVICE:?}")),
        ("password_file", format!("{password:?}")),
    ];
    section(&usual, more)
}

/// A host whose directory section says this besides, and the usual of what it does not say.
pub fn section(usual: &[(&str, String)], more: &str) -> String {
    let mut text = String::from("[[host]]\nname = \"localhost\"\n[host.directory]\n");
    let said = |name: &str| {
        // Those of sections behind it are others'.
        let own = more.lines().take_while(|line| !line.starts_with('['));
        own.into_iter()
            .any(|line| line.starts_with(&format!("{name} =")))
    };
    for (name, value) in usual {
        if !said(name) {
            writeln!(text, "{name} = {value}").unwrap();
        }
    }
    text + more
}

/// A house of such a server.
pub fn house(test: &str, directory: &Slapd, more: &str) -> House {
    house_of(test, &options(directory, more))
}

/// The same of such a host.
pub fn house_of(test: &str, host: &str) -> House {
    House::new(
        &format!("directory-{test}"),
        "log.filter = \"info,stonechat=debug\"\n",
        host,
    )
}

/// What somebody hears who tries a password, on a stream of their own.
pub fn try_password(server: &Server, name: &str, password: &str) -> String {
    let mut client = Client::secure(server);
    client.open();
    client.send(&auth(&plain(name, password)));
    client.element()
}

/// Whether this is the failure of this condition.
pub fn is_failure(answer: &str, condition: &str) -> bool {
    answer.starts_with("<failure") && answer.contains(&format!("<{condition} "))
}
