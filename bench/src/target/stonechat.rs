//! How Stonechat is configured and started. All names of its options and arguments are in this file.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::{Accounts, Archive, CompactTls, Contacts, Site};
use crate::client::message::user_name;
use crate::client::people::PASSWORD;
use crate::client::session::Transport;
use crate::process::Ready;

/// Fewer rounds than the server's own default, because the driver has to derive every user's keys.
/// The server derives nothing when SCRAM is used; only the figure for PLAIN depends on it.
const ITERATIONS: u32 = 4_096;

/// Adds all accounts at once, through the store, while no server runs.
pub fn create_accounts(site: &Site) -> Result<()> {
    if site.programs.host_section.is_some() {
        return Ok(());
    }
    let mut lines = String::new();
    let added = match site.programs.accounts {
        Accounts::Derived => site.wishes.users,
        Accounts::Copied => 1,
    };
    for user in 0..added {
        writeln!(lines, "{}@localhost {PASSWORD}", user_name(user))?;
    }
    site.write("users", &lines)?;
    // No port is opened by this command; the address only completes the configuration.
    site.write(
        "stonechat.toml",
        &configuration(site, SocketAddr::from(([127, 0, 0, 1], 1)))?,
    )?;
    let mut command = Command::new(&site.programs.server);
    command
        .args(["user", "add", "--from", &site.path("users")])
        .args(common_arguments(site));
    let output = command.output().with_context(|| {
        format!(
            "starting {} (built with --release?)",
            site.programs.server.display()
        )
    })?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "adding users failed ({}): {said}",
        output.status
    );
    match added < site.wishes.users {
        true => core_program(site, "copies", 0, &[]),
        false => Ok(()),
    }
}

/// Writes the rosters into the store: over the wire, a hundred thousand subscriptions take minutes.
pub fn fill_rosters(site: &Site) -> Result<()> {
    let who = match site.wishes.contacts {
        _ if site.programs.host_section.is_some() => return Ok(()),
        Contacts::None => return Ok(()),
        Contacts::Offline(_) => "offline",
        Contacts::Neighbours(_) => "neighbours",
    };
    let contacts = site.wishes.contacts.count();
    core_program(site, "rosters", contacts, &["--who", who])
}

fn core_program(site: &Site, command: &str, contacts: u32, more: &[&str]) -> Result<()> {
    let program = &site.programs.core;
    let output = Command::new(program)
        .args([command, "--data", &site.path("data")])
        .args(["--users", &site.wishes.users.to_string()])
        .args(["--contacts", &contacts.to_string()])
        .args(more)
        .output()
        .with_context(|| format!("starting {} (built in core/?)", program.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command} failed: {said}");
    Ok(())
}

/// Writes the configuration for this port and gives the command.
pub fn command(site: &Site, address: SocketAddr) -> Result<Vec<String>> {
    site.write("stonechat.toml", &configuration(site, address)?)?;
    let mut command = Vec::new();
    if let Some(disk) = &site.programs.slow_disk {
        let library = disk.library.canonicalize();
        let library = library.with_context(|| format!("no {}", disk.library.display()))?;
        command.push("env".to_owned());
        command.push(format!("LD_PRELOAD={}", library.display()));
        command.push(format!("SLOW_DISK_MS={}", disk.milliseconds));
    }
    command.extend([
        site.programs.server.display().to_string(),
        "serve".to_owned(),
    ]);
    command.extend(common_arguments(site));
    Ok(command)
}

/// Of a host with a directory: once it knows the people, or the lists of contacts if it has any; before that, logins are not
/// what they are later.
pub fn ready(site: &Site) -> Result<Ready> {
    Ok(match &site.programs.host_section {
        None => Ready::Says("listening"),
        Some(path) if read(path)?.contains("[host.directory_groups]") => {
            Ready::Says("directory_groups host=")
        }
        Some(_) => Ready::Says("directory_followed host="),
    })
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}

fn common_arguments(site: &Site) -> [String; 4] {
    [
        "--config".into(),
        site.path("stonechat.toml"),
        "--data".into(),
        site.path("data"),
    ]
}

/// STARTTLS, where offered, is required; so each transport has a listener of its own kind.
/// The archive is off unless it is asked for, as on the rivals; builds from before a feature was there, to compare with, refuse
/// its option.
/// Rates are lifted as the rivals' are: a few pairs with many messages in flight exceed any sane limit. Nobody is
/// pinged: the driver does not answer, and on a busy machine 15,000 logins take longer than a client may be silent.
fn configuration(site: &Site, address: SocketAddr) -> Result<String> {
    let (keep, workers) = (site.wishes.keep.label(), site.programs.workers);
    let tls = match site.wishes.transport {
        Transport::Plain => "none",
        Transport::StartTls => "starttls",
        Transport::DirectTls => "direct",
    };
    let switches = [
        ("mam", site.wishes.archive == Archive::On),
        ("last-activity", site.wishes.last_activity),
    ];
    let off = switches
        .iter()
        .filter(|(name, on)| !on && knows_option(site, name))
        .map(|(name, _)| format!("{name} = false\n"));
    let features = format!("[features]\n{}", off.collect::<String>());
    let store = site.wishes.store_cache.map_or_else(String::new, |mib| {
        format!("[store]\ncache = \"{mib} MiB\"\n\n")
    });
    // Builds from before it was there refuse the option, so it is named only when it is asked for.
    let compact = match site.wishes.compact_tls {
        CompactTls::Off => "",
        CompactTls::On => "[tls]\ncompact = true\n\n",
    };
    let host = match &site.programs.host_section {
        Some(path) => read(path)?,
        None => String::new(),
    };
    Ok(format!(
        r#"[server]
workers = {workers}

[[host]]
name = "localhost"
{host}
[[listener]]
address = "{address}"
kind = "c2s"
tls = "{tls}"

[c2s]
rate_stanzas_per_s = 1_000_000
rate_stanzas_burst = 1_000_000
rate_bytes_per_s = "1 GiB"
rate_bytes_burst = "1 GiB"
ping_after = "1 h"

[auth]
scram_iterations = {ITERATIONS}

[delivery]
keep = "{keep}"

{compact}{store}{features}"#
    ))
}

fn knows_option(site: &Site, option: &str) -> bool {
    Command::new(&site.programs.server)
        .args(["config", "reference"])
        .output()
        .is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(option))
}
