//! A Stonechat whose users are the people of a directory. It refuses to know what they say.

use std::fmt::Write;

use crate::client::{Client, auth, plain};
use crate::server::{House, Server};
use crate::slapd::{BASE, SERVICE, SERVICE_PASSWORD, Slapd};

/// What a host's directory section says of this directory, with these options besides.
pub fn options(directory: &Slapd, more: &str) -> String {
    let password = directory.file("service-password", &format!("{SERVICE_PASSWORD}\n"));
    let mut text = String::from("[[host]]\nname = \"localhost\"\n[host.directory]\n");
    let said = |name: &str| {
        // Those of sections behind it are others'.
        let own = more.lines().take_while(|line| !line.starts_with('['));
        own.into_iter()
            .any(|line| line.starts_with(&format!("{name} =")))
    };
    let mut option = |name: &str, value: String| {
        if !said(name) {
            writeln!(text, "{name} = {value}").unwrap();
        }
    };
    option("servers", format!("[{:?}]", directory.url()));
    option("ca", format!("{:?}", directory.authority.certificate));
    option("base", format!("\"ou=people,{BASE}\""));
    option("bind_dn", format!("{SERVICE:?}"));
    option("password_file", format!("{password:?}"));
    text + more
}

/// A house of such a server.
pub fn house(test: &str, directory: &Slapd, more: &str) -> House {
    House::new(
        &format!("directory-{test}"),
        "log.filter = \"info,stonechat=debug\"\n",
        &options(directory, more),
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
