//! `stonechat directory`: what a directory says, step by step. Refuses to need a running server.

use std::path::Path;
use std::process::ExitCode;

use super::cli::Directory;
use super::user::ask_known_password;
use super::{joined, print};
use crate::config::Config;
use crate::directory::prepared::Prepared;
use crate::directory::trace::{self, Step};
use crate::jid::{prepare_domainpart, prepare_localpart};
use crate::server::directory::prepare_directories;
use crate::server::settings::read_config;

/// Does it; status 1 if anything is not as it should be.
pub fn run(config: Option<&Path>, command: Directory) -> ExitCode {
    let steps = match command {
        Directory::Rooms { host } => rooms(config, host),
        Directory::Test { user, password } => test(config, &user, password),
    };
    match steps {
        Ok(steps) => {
            let mark = |step: &Step| match step.fine {
                true => format!("ok      {}", step.text),
                false => format!("problem {}", step.text),
            };
            let lines: Vec<String> = steps.iter().map(mark).collect();
            let is_fine = steps.iter().all(|step| step.fine);
            print::lines(
                &lines,
                match is_fine {
                    true => ExitCode::SUCCESS,
                    false => ExitCode::FAILURE,
                },
            )
        }
        Err(message) => {
            eprintln!("stonechat: {message}");
            ExitCode::FAILURE
        }
    }
}

fn test(path: Option<&Path>, user: &str, asks_password: bool) -> Result<Vec<Step>, String> {
    let config = read_config(path).map_err(|errors| joined(&errors))?;
    let (name, host) = match user.rsplit_once('@') {
        Some((name, host)) => {
            let host = prepare_domainpart(host).map_err(|error| format!("`{host}`: {error}"))?;
            (name, host.into_owned())
        }
        None => (user, only_host(&config)?),
    };
    let localpart = prepare_localpart(name)
        .map_err(|error| format!("`{name}` can be no name of an account: {error}"))?;
    let directory = directory_of(&config, path, &host)?;
    let password = match asks_password {
        true => Some(ask_known_password(user)?),
        false => None,
    };
    let access = &directory.access;
    Ok(trace::person(
        &directory.config,
        access,
        &localpart,
        password.as_ref(),
    ))
}

fn rooms(path: Option<&Path>, host: Option<String>) -> Result<Vec<Step>, String> {
    let config = read_config(path).map_err(|errors| joined(&errors))?;
    let host = match host {
        Some(host) => prepare_domainpart(&host)
            .map_err(|error| format!("`{host}`: {error}"))?
            .into_owned(),
        None => only_host(&config)?,
    };
    let directory = directory_of(&config, path, &host)?;
    if directory.config.options.rooms_base.is_empty() {
        return Err(format!("the directory of {host} has no option rooms_base"));
    }
    Ok(trace::rooms(&directory.config, &directory.access))
}

fn directory_of(config: &Config, path: Option<&Path>, host: &str) -> Result<Prepared, String> {
    let prepared = prepare_directories(config, path).map_err(|errors| joined(&errors))?;
    let mut prepared = prepared.into_iter();
    let directory = prepared.find(|directory| *directory.host == *host);
    directory.ok_or_else(|| {
        format!("{host} has no directory: it has no section [host.directory] with `servers`")
    })
}

fn only_host(config: &Config) -> Result<String, String> {
    let mut having = config.hosts.iter().filter(|host| host.directory.is_some());
    match (having.next(), having.next()) {
        (Some(host), None) => Ok(host.name.to_string()),
        (Some(_), Some(_)) => Err("several hosts have directories: write NAME@HOST".to_owned()),
        (None, _) => Err("no host has a directory".to_owned()),
    }
}
