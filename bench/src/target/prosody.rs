//! How Prosody is configured and started: epoll, internal storage, no limits, no federation, an archive (mod_mam)
//! only when it is asked for. Accounts are written as the files that Prosody itself would write.

use std::fmt::Write as _;
use std::net::SocketAddr;

use anyhow::{Result, ensure};

use super::{Archive, Collector, Contacts, Site, certificate};
use crate::client::message::user_name;
use crate::client::people::PASSWORD;
use crate::client::sasl::{Keys, Mechanism};

/// Prosody 0.12's own default.
const ITERATIONS: u32 = 10_000;

/// One salt for all, so that the keys are derived once.
const SALT: &str = "0d2f9b6e-stonechat-bench";

/// Writes accounts and certificate.
pub fn create_accounts(site: &Site) -> Result<()> {
    ensure!(
        site.wishes.contacts == Contacts::None,
        "Prosody's rosters are not written yet"
    );
    let keys = Keys::derive(site.wishes.mechanism, PASSWORD, SALT.as_bytes(), ITERATIONS);
    let account = format!(
        "return {{\n\t[\"salt\"] = \"{SALT}\";\n\t[\"iteration_count\"] = {ITERATIONS};\n\
         \t[\"stored_key\"] = \"{}\";\n\t[\"server_key\"] = \"{}\";\n}};\n",
        hexadecimal(&keys.stored),
        hexadecimal(&keys.server),
    );
    for user in 0..site.wishes.users {
        site.write(
            &format!("data/localhost/accounts/{}.dat", user_name(user)),
            &account,
        )?;
    }
    let (certificate, key) = certificate()?;
    site.write("localhost.crt", &certificate)?;
    site.write("localhost.key", &key)
}

/// Writes the configuration for this port and gives the command.
pub fn command(site: &Site, address: SocketAddr) -> Result<Vec<String>> {
    let hash = match site.wishes.mechanism {
        Mechanism::ScramSha256 | Mechanism::Fast => "SHA-256",
        Mechanism::ScramSha1 | Mechanism::Plain => "SHA-1",
    };
    let collector = match site.wishes.collector {
        Collector::Generational => "generational",
        Collector::Incremental => "incremental",
    };
    // As it comes: everybody's messages, for a week, in the storage of the rest.
    let archive = match site.wishes.archive {
        Archive::Off => "",
        Archive::On => " \"mam\";",
    };
    let configuration = format!(
        r#"run_as_root = true
daemonize = false
pidfile = "{pidfile}"
data_path = "{data}"
log = {{ warn = "{log}" }}
network_backend = "epoll"
gc = {{ mode = "{collector}" }}
storage = "internal"
authentication = "internal_hashed"
password_hash = "{hash}"
modules_enabled = {{ "roster"; "saslauth"; "tls"; "disco"; "ping";{archive} }}
modules_disabled = {{ "s2s"; "s2s_auth_certs"; }}
interfaces = {{ "{ip}" }}
c2s_ports = {{ {port} }}
c2s_direct_tls_ports = {{ }}
s2s_ports = {{ }}
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
VirtualHost "localhost"
    ssl = {{ certificate = "{certificate}"; key = "{key}"; }}
"#,
        pidfile = site.path("pid"),
        data = site.path("data"),
        log = site.path("log"),
        ip = address.ip(),
        port = address.port(),
        certificate = site.path("localhost.crt"),
        key = site.path("localhost.key"),
    );
    site.write("prosody.cfg.lua", &configuration)?;
    let command = ["prosody", "-F", "--config", &site.path("prosody.cfg.lua")];
    Ok(command.map(str::to_owned).to_vec())
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes everything");
        text
    })
}
