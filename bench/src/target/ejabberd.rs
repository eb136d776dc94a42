//! How ejabberd is configured and started: Mnesia, no shapers, no federation, one scheduler, no distribution; an archive (mod_mam) only
//! when it is asked for, in SQLite, as Debian's configuration advises (Mnesia's ends at 2 GB).
//! Accounts are made by itself, before it is measured.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::{Archive, Contacts, Site, certificate};
use crate::client::people::PASSWORD;
use crate::client::sasl::Mechanism;
use crate::client::session::Transport;

/// Lets ejabberd make all accounts, and ends it.
pub fn create_accounts(site: &Site) -> Result<()> {
    ensure!(
        site.wishes.contacts == Contacts::None,
        "ejabberd's rosters are not written yet"
    );
    let (certificate, key) = certificate()?;
    site.write("localhost.pem", &format!("{certificate}{key}"))?;
    // No port is opened by this run; the address only completes the configuration.
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut command = command(site, nowhere)?;
    let last = site.wishes.users.saturating_sub(1);
    // One is registered, the others are rows like its own (ejabberd_auth_mnesia: `{passwd, {User, Server}, Password}`).
    let register = format!(
        "ok = ejabberd_auth:try_register(<<\"u00000\">>, <<\"localhost\">>, <<\"{PASSWORD}\">>), \
         [One] = mnesia:dirty_read(passwd, {{<<\"u00000\">>, <<\"localhost\">>}}), \
         lists:foreach(fun(N) -> Name = iolist_to_binary(io_lib:format(\"u~5..0B\", [N])), \
         mnesia:dirty_write(setelement(2, One, {{Name, <<\"localhost\">>}})) end, lists:seq(0, {last})), init:stop()."
    );
    command.extend(["-eval".to_owned(), register]);
    let output = Command::new(&command[0])
        .args(&command[1..])
        .output()
        .context("starting ejabberd")?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "adding users failed: {said}");
    Ok(())
}

/// Writes the configuration for this port and gives the command: the virtual machine itself, because `ejabberdctl` insists
/// on a user and on distribution, neither of which is measured.
pub fn command(site: &Site, address: SocketAddr) -> Result<Vec<String>> {
    site.write("ejabberd.yml", &configuration(site, address))?;
    let beams = beams()?.display().to_string();
    let environment = [
        format!("EJABBERD_CONFIG_PATH={}", site.path("ejabberd.yml")),
        format!("EJABBERD_LOG_PATH={}", site.path("ejabberd.log")),
        format!("HOME={}", site.path("")),
        // When it fails, what it says is enough.
        "ERL_CRASH_DUMP_BYTES=0".to_owned(),
    ];
    let mnesia = format!("\"{}\"", site.path("mnesia"));
    let mut command = vec!["env".to_owned()];
    command.extend(environment);
    let machine = [
        "erl",
        "-noinput",
        "+K",
        "true",
        "+S",
        "1:1",
        "+P",
        "250000",
        "+Q",
        "65536",
        "-pa",
        &beams,
        "-mnesia",
        "dir",
        &mnesia,
        "-eval",
        "{ok, _} = application:ensure_all_started(ejabberd).",
    ];
    command.extend(machine.map(str::to_owned));
    Ok(command)
}

fn configuration(site: &Site, address: SocketAddr) -> String {
    let hash = match site.wishes.mechanism {
        Mechanism::ScramSha256 | Mechanism::Fast => "sha256",
        Mechanism::ScramSha1 | Mechanism::Plain => "sha",
    };
    let tls = match site.wishes.transport {
        Transport::Plain => "",
        Transport::StartTls => "    starttls: true\n",
        Transport::DirectTls => "    tls: true\n",
    };
    let listen = match address.port() {
        0 => "listen: []".to_owned(),
        port => format!(
            "listen:\n  -\n    port: {port}\n    ip: \"{}\"\n    module: ejabberd_c2s\n    max_stanza_size: 262144\n\
             \u{20}   backlog: 1024\n    shaper: none\n    access: all\n{tls}",
            address.ip()
        ),
    };
    let (sql, archive) = match site.wishes.archive {
        Archive::Off => (String::new(), ""),
        Archive::On => (
            format!(
                "sql_type: sqlite\nsql_database: {}\n",
                site.path("archive.db")
            ),
            "  mod_mam:\n    db_type: sql\n    assume_mam_usage: true\n    default: always\n",
        ),
    };
    format!(
        "hosts:\n  - localhost\nloglevel: error\nhide_sensitive_log_data: true\ncertfiles:\n  - {pem}\n\
         ca_file: {pem}\n\
         auth_method: internal\nauth_password_format: scram\nauth_scram_hash: {hash}\ns2s_access: none\n\
         acme:\n  auto: false\n\
         {sql}{listen}\nmodules:\n  mod_disco: {{}}\n  mod_ping: {{}}\n  mod_roster: {{}}\n{archive}",
        pem = site.path("localhost.pem"),
    )
}

/// Where Debian's package has its code.
pub fn beams() -> Result<PathBuf> {
    let libraries = std::fs::read_dir("/usr/lib").context("reading /usr/lib")?;
    let architectures = libraries.flatten().map(|entry| entry.path());
    let candidates = architectures.chain([PathBuf::from("/usr/lib")]);
    let within = candidates.filter_map(|directory| std::fs::read_dir(directory).ok());
    let mut found = within
        .flat_map(|entries| entries.flatten())
        .map(|entry| entry.path().join("ebin"));
    let found = found.find(|ebin| ebin.join("ejabberd.beam").exists());
    found.context("ejabberd is not installed (apt-get install ejabberd)")
}
