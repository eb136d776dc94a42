//! `stonechat user`: passwords in, answers out. Refuses to keep a password longer than the request.

use std::fs;
use std::io::{self, IsTerminal, Read};
use std::path::Path;

use zeroize::{Zeroize, Zeroizing};

use super::cli::User;
use super::stopped;
use crate::base::Secret;
use crate::server::admin::{AskError, ask};
use crate::server::command::{Command, Invite, UserCommand, parse_accounts};

/// Does it on the running server, or on the store if none runs.
///
/// # Errors
/// A sentence for the operator.
pub fn run(config: Option<&Path>, data: &Path, command: User) -> Result<Vec<String>, String> {
    let command = Command::User(with_password(command)?);
    let answer = ask(data, &command);
    match (answer, command) {
        (Ok(answer), _) => answer,
        (Err(AskError::NotRunning), Command::User(command)) => stopped::user(config, data, command),
        (Err(AskError::NotRunning), _) => Err("no server is running".to_owned()),
        (Err(AskError::Failed(error)), _) => Err(error),
    }
}

fn with_password(command: User) -> Result<UserCommand, String> {
    Ok(match command {
        User::Add {
            from: Some(file), ..
        } => UserCommand::Add {
            accounts: read_accounts(&file)?,
        },
        User::Add { jid, .. } => {
            let jid = jid.ok_or("name the account: NAME@HOST")?;
            let password = ask_password(&jid)?;
            UserCommand::Add {
                accounts: vec![(jid, password)],
            }
        }
        User::Passwd { jid } => {
            let password = ask_password(&jid)?;
            UserCommand::Passwd { jid, password }
        }
        User::Disable { jid } => UserCommand::Disable { jid },
        User::Enable { jid } => UserCommand::Enable { jid },
        User::Invite {
            contact,
            expires,
            host,
            name,
            uses,
        } => UserCommand::Invite(Invite {
            contact,
            expires,
            host,
            name,
            uses,
        }),
        User::Invitations { host } => UserCommand::Invitations { host },
        User::List { host } => UserCommand::List { host },
        User::Logout { jid } => UserCommand::Logout { jid },
        User::Remove { jid } => UserCommand::Remove { jid },
        User::Waiting { host } => UserCommand::Waiting { host },
        User::Withdraw { invitation } => UserCommand::Withdraw { invitation },
    })
}

/// A password that somebody has, not one that they choose.
pub fn ask_known_password(jid: &str) -> Result<Secret, String> {
    if !io::stdin().is_terminal() {
        return read_line(io::stdin().lock());
    }
    let password = rpassword::prompt_password(format!("Password of {jid}: "));
    let password = password.map_err(|error| error.to_string())?;
    Ok(Secret::new(password.into_bytes()))
}

fn ask_password(jid: &str) -> Result<Secret, String> {
    if !io::stdin().is_terminal() {
        return read_line(io::stdin().lock());
    }
    let prompt = |text: String| rpassword::prompt_password(text).map_err(|error| error.to_string());
    let password = prompt(format!("New password for {jid}: "))?;
    let mut again = prompt("The same again: ".to_owned())?;
    let same = password == again;
    again.zeroize();
    let password = Secret::new(password.into_bytes());
    if same {
        Ok(password)
    } else {
        Err("the two passwords differ".to_owned())
    }
}

/// The first line, byte by byte: what stands behind it may be meant for the next program.
fn read_line(mut input: impl Read) -> Result<Secret, String> {
    // Large enough from the start, so that growing leaves no copies behind.
    let mut line = Zeroizing::new(Vec::with_capacity(PASSWORD_LINE_BYTES_MAX));
    let mut byte = [0];
    while input.read(&mut byte).map_err(|error| error.to_string())? == 1 && byte[0] != b'\n' {
        if line.len() == PASSWORD_LINE_BYTES_MAX {
            return Err("the password is too long".to_owned());
        }
        line.push(byte[0]);
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    if line.is_empty() {
        return Err("no password: write it as one line to standard input".to_owned());
    }
    Ok(Secret::new(line.to_vec()))
}

fn read_accounts(file: &Path) -> Result<Vec<(String, Secret)>, String> {
    let text = match file.to_str() {
        Some("-") => io::read_to_string(io::stdin().lock()),
        _ => fs::read_to_string(file),
    };
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let text = Zeroizing::new(text.map_err(|error| named(&error))?);
    parse_accounts(&text).map_err(|error| named(&error))
}

/// Above any password that the server takes, below what is no password.
const PASSWORD_LINE_BYTES_MAX: usize = 4 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_the_first_line_without_its_end() {
        let first = |text: &str| read_line(text.as_bytes()).map(|secret| secret.expose().to_vec());
        assert_eq!(first("pass word\nrest\n"), Ok(b"pass word".to_vec()));
        assert_eq!(first("pass word\r\n"), Ok(b"pass word".to_vec()));
        assert_eq!(first("no end"), Ok(b"no end".to_vec()));
        assert!(first("").is_err());
        assert!(first("\nsecond").is_err());
        assert!(first(&"x".repeat(5_000)).is_err());
    }
}
