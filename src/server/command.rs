//! What an operator can ask a server to do, and its form on the control socket: a first line with the command
//! and its arguments, lines of data behind it. Refuses to know sockets and how anything is done.

use std::fmt::Write;
use std::path::PathBuf;

use zeroize::Zeroizing;

use crate::base::Secret;

/// A request. Addresses are as the operator wrote them.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// Copy the store to a directory.
    Backup { directory: PathBuf },
    /// Name the addresses at which it listens.
    Listeners,
    /// Read configuration and certificates again.
    Reload,
    /// Say what is going on.
    Status,
    /// Let time pass: only in a server that was started with `--test-clock`.
    TimeAdvance { ms: u64 },
    /// Something about accounts.
    User(UserCommand),
}

/// A request about accounts.
#[derive(Debug, PartialEq, Eq)]
pub enum UserCommand {
    /// Make accounts.
    Add { accounts: Vec<(String, Secret)> },
    /// Keep an account from logging in, and end its sessions.
    Disable { jid: String },
    /// Let an account log in again.
    Enable { jid: String },
    /// Make an invitation.
    Invite(Invite),
    /// Name the invitations that are open.
    Invitations { host: Option<String> },
    /// Name the accounts of a host, or of all.
    List { host: Option<String> },
    /// End an account's sessions, and its clients' tokens.
    Logout { jid: String },
    /// Change a password, and end the account's sessions.
    Passwd { jid: String, password: Secret },
    /// Remove an account, and end its sessions.
    Remove { jid: String },
    /// Name the accounts that wait for an operator to let them in.
    Waiting { host: Option<String> },
    /// Take an invitation back.
    Withdraw { invitation: String },
}

/// What an invitation shall be good for (XEP-0401); what is not said, the configuration says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Invite {
    /// The account whose contact they become who come by it.
    pub contact: Option<String>,
    /// As in the configuration: "7 d".
    pub expires: Option<String>,
    /// Where it registers.
    pub host: Option<String>,
    /// The only name that may be taken.
    pub name: Option<String>,
    pub uses: Option<u32>,
}

impl Invite {
    fn lines(&self) -> impl Iterator<Item = String> {
        let uses = self.uses.map(|uses| uses.to_string());
        let said = [
            ("contact", self.contact.clone()),
            ("expires", self.expires.clone()),
            ("host", self.host.clone()),
            ("name", self.name.clone()),
            ("uses", uses),
        ];
        let said = said.into_iter();
        said.filter_map(|(key, value)| value.map(|value| format!("{key} {value}")))
    }

    fn parse(data: &str) -> Result<Invite, String> {
        let mut invite = Invite::default();
        for line in data.lines().filter(|line| !line.is_empty()) {
            let (key, value) = line.split_once(' ').unwrap_or((line, ""));
            let value = Some(value.to_owned()).filter(|value| !value.is_empty());
            match key {
                "contact" => invite.contact = value,
                "expires" => invite.expires = value,
                "host" => invite.host = value,
                "name" => invite.name = value,
                "uses" => {
                    let uses = value.as_deref().and_then(|uses| uses.parse().ok());
                    invite.uses = Some(uses.ok_or("`uses` is a number")?);
                }
                _ => return Err("an invitation has contact, expires, host, name and uses".into()),
            }
        }
        Ok(invite)
    }
}

impl Command {
    /// The bytes that [`Command::parse`] reads.
    ///
    /// # Errors
    /// If an address, path or password holds a line feed, which the form cannot carry.
    pub fn encode(&self) -> Result<Zeroizing<Vec<u8>>, String> {
        let mut lines: Vec<Zeroizing<Vec<u8>>> = Vec::new();
        let mut head = |text: String| lines.push(Zeroizing::new(text.into_bytes()));
        match self {
            Command::Backup { directory } => {
                let path = directory
                    .to_str()
                    .ok_or("the path of the backup must be UTF-8")?;
                head(format!("backup {path}"));
            }
            Command::Listeners => head("listeners".to_owned()),
            Command::Reload => head("reload".to_owned()),
            Command::Status => head("status".to_owned()),
            Command::TimeAdvance { ms } => head(format!("time advance {ms}")),
            Command::User(UserCommand::Disable { jid }) => head(format!("user disable {jid}")),
            Command::User(UserCommand::Enable { jid }) => head(format!("user enable {jid}")),
            Command::User(UserCommand::Logout { jid }) => head(format!("user logout {jid}")),
            Command::User(UserCommand::Remove { jid }) => head(format!("user remove {jid}")),
            Command::User(UserCommand::List { host }) => {
                head(format!("user list {}", host.as_deref().unwrap_or_default()));
            }
            Command::User(UserCommand::Invitations { host }) => {
                let host = host.as_deref().unwrap_or_default();
                head(format!("user invitations {host}"));
            }
            Command::User(UserCommand::Waiting { host }) => {
                head(format!(
                    "user waiting {}",
                    host.as_deref().unwrap_or_default()
                ));
            }
            Command::User(UserCommand::Withdraw { invitation }) => {
                head(format!("user withdraw {invitation}"));
            }
            Command::User(UserCommand::Invite(invite)) => {
                head("user invite".to_owned());
                invite.lines().for_each(head);
            }
            Command::User(UserCommand::Passwd { jid, password }) => {
                head(format!("user passwd {jid}"));
                lines.push(Zeroizing::new(password.expose().to_vec()));
            }
            Command::User(UserCommand::Add { accounts }) => {
                head("user add".to_owned());
                for (jid, password) in accounts {
                    let mut line =
                        Zeroizing::new(Vec::with_capacity(jid.len() + 1 + password.expose().len()));
                    line.extend_from_slice(jid.as_bytes());
                    line.push(b' ');
                    line.extend_from_slice(password.expose());
                    lines.push(line);
                }
            }
        }
        let mut out = Zeroizing::new(Vec::with_capacity(
            lines.iter().map(|line| line.len() + 1).sum(),
        ));
        for line in &lines {
            if line.contains(&b'\n') {
                return Err("addresses, paths and passwords are single lines".to_owned());
            }
            out.extend_from_slice(line);
            out.push(b'\n');
        }
        Ok(out)
    }

    /// Reads a request.
    ///
    /// # Errors
    /// A sentence for the operator, which never holds what may be a password.
    pub fn parse(bytes: &[u8]) -> Result<Command, String> {
        let text = str::from_utf8(bytes).map_err(|_| "the request is not UTF-8")?;
        let (head, data) = text.split_once('\n').ok_or("the request has no line")?;
        // Commands are one word or, where they begin with "user" or "time", two.
        let word_count = if head.starts_with("user ") || head.starts_with("time ") {
            2
        } else {
            1
        };
        let end = head
            .match_indices(' ')
            .nth(word_count - 1)
            .map_or(head.len(), |(at, _)| at);
        let (command, argument) = (&head[..end], head[end..].trim_start());
        let jid = || match argument {
            "" => Err("the address is missing".to_owned()),
            jid => Ok(jid.to_owned()),
        };
        Ok(match command {
            "backup" if !argument.is_empty() => Command::Backup {
                directory: PathBuf::from(argument),
            },
            "backup" => return Err("the directory of the backup is missing".to_owned()),
            "listeners" => Command::Listeners,
            "reload" => Command::Reload,
            "status" => Command::Status,
            "time advance" => {
                let ms = argument.parse().map_err(|_| "say how many milliseconds")?;
                Command::TimeAdvance { ms }
            }
            "user add" => Command::User(UserCommand::Add {
                accounts: parse_accounts(data)?,
            }),
            "user disable" => Command::User(UserCommand::Disable { jid: jid()? }),
            "user enable" => Command::User(UserCommand::Enable { jid: jid()? }),
            "user invitations" => {
                let host = (!argument.is_empty()).then(|| argument.to_owned());
                Command::User(UserCommand::Invitations { host })
            }
            "user withdraw" if argument.is_empty() => {
                return Err("say which invitation".to_owned());
            }
            "user withdraw" => Command::User(UserCommand::Withdraw {
                invitation: argument.to_owned(),
            }),
            "user list" => {
                let host = (!argument.is_empty()).then(|| argument.to_owned());
                Command::User(UserCommand::List { host })
            }
            "user logout" => Command::User(UserCommand::Logout { jid: jid()? }),
            "user invite" => Command::User(UserCommand::Invite(Invite::parse(data)?)),
            "user waiting" => {
                let host = (!argument.is_empty()).then(|| argument.to_owned());
                Command::User(UserCommand::Waiting { host })
            }
            "user passwd" => {
                let password = data.lines().next().ok_or("the password is missing")?;
                let password = Secret::new(password.as_bytes().to_vec());
                Command::User(UserCommand::Passwd {
                    jid: jid()?,
                    password,
                })
            }
            "user remove" => Command::User(UserCommand::Remove { jid: jid()? }),
            _ => return Err("unknown command".to_owned()),
        })
    }
}

/// Lines of `JID PASSWORD`; empty ones and those that begin with `#` mean nothing. The first space ends the
/// address, so a password may hold spaces.
///
/// # Errors
/// The number of a line that has no password.
pub fn parse_accounts(text: &str) -> Result<Vec<(String, Secret)>, String> {
    let mut accounts = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((jid, password)) = line.split_once(' ') else {
            return Err(format!(
                "line {} has no password: write `JID PASSWORD`",
                index + 1
            ));
        };
        accounts.push((jid.to_owned(), Secret::new(password.as_bytes().to_vec())));
    }
    Ok(accounts)
}

/// What the operator hears: lines, or a sentence that says what was not done.
pub type Answer = Result<Vec<String>, String>;

/// The form of an answer: lines for the operator, then `ok` or `error TEXT`. Of an error of several lines, the last
/// is its `TEXT`.
pub fn encode_answer(answer: &Answer) -> String {
    let mut out = String::new();
    match answer {
        Ok(lines) => {
            for line in lines {
                // A space in front keeps an answer's lines apart from its end.
                let _ = writeln!(out, " {}", line.replace('\n', " "));
            }
            out.push_str("ok\n");
        }
        Err(text) => {
            let (lines, last) = text.rsplit_once('\n').unwrap_or(("", text));
            for line in lines.lines() {
                let _ = writeln!(out, " {line}");
            }
            let _ = writeln!(out, "error {last}");
        }
    }
    out
}

/// Reads an answer.
///
/// # Errors
/// What the server said, or that it ended without an answer.
pub fn parse_answer(text: &str) -> Answer {
    let mut lines = Vec::new();
    for line in text.lines() {
        match line.split_once(' ') {
            Some(("", line)) => lines.push(line.to_owned()),
            Some(("error", text)) => {
                lines.push(text.to_owned());
                return Err(lines.join("\n"));
            }
            _ if line == "ok" => return Ok(lines),
            _ => break,
        }
    }
    Err("the server ended without an answer; see its log".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text.as_bytes().to_vec())
    }

    #[test]
    fn every_command_is_read_as_it_was_written() {
        let jid = || "romeo@example.org".to_owned();
        let commands = [
            Command::Backup {
                directory: PathBuf::from("/var/backups/with a space"),
            },
            Command::Listeners,
            Command::Reload,
            Command::Status,
            Command::TimeAdvance { ms: 60_000 },
            Command::User(UserCommand::Add {
                accounts: vec![
                    (jid(), secret("with a space")),
                    ("juliet@example.org".to_owned(), secret("b")),
                ],
            }),
            Command::User(UserCommand::Disable { jid: jid() }),
            Command::User(UserCommand::Enable { jid: jid() }),
            Command::User(UserCommand::List { host: None }),
            Command::User(UserCommand::List {
                host: Some("example.org".to_owned()),
            }),
            Command::User(UserCommand::Passwd {
                jid: jid(),
                password: secret(" leading"),
            }),
            Command::User(UserCommand::Remove { jid: jid() }),
            Command::User(UserCommand::Logout { jid: jid() }),
            Command::User(UserCommand::Waiting { host: None }),
            Command::User(UserCommand::Invitations { host: None }),
            Command::User(UserCommand::Withdraw {
                invitation: "0123456789ab".to_owned(),
            }),
            Command::User(UserCommand::Invite(Invite::default())),
            Command::User(UserCommand::Invite(Invite {
                contact: Some(jid()),
                expires: Some("2 d".to_owned()),
                host: Some("example.org".to_owned()),
                name: Some("juliet".to_owned()),
                uses: Some(3),
            })),
        ];
        for command in commands {
            let bytes = command.encode().expect("single lines");
            assert_eq!(Command::parse(&bytes).as_ref(), Ok(&command));
        }
    }

    #[test]
    fn a_line_feed_in_an_address_or_password_is_refused_and_not_a_second_line() {
        let jid = "romeo@example.org\nevil".to_owned();
        assert!(Command::User(UserCommand::Remove { jid }).encode().is_err());
        let jid = "romeo@example.org".to_owned();
        assert!(
            Command::User(UserCommand::Passwd {
                jid,
                password: secret("a\nb")
            })
            .encode()
            .is_err()
        );
    }

    #[test]
    fn requests_that_make_no_sense_are_refused_with_a_sentence() {
        for request in [
            "",
            "\n",
            "hello\n",
            "user\n",
            "user remove\n",
            "user passwd a@b\n",
            "user withdraw\n",
            "backup\n",
            "time advance x\n",
            "user invite\nuses many\n",
            "user invite\nrights all\n",
        ] {
            assert!(Command::parse(request.as_bytes()).is_err(), "{request:?}");
        }
        assert!(Command::parse(b"user remove \xff\n").is_err());
    }

    #[test]
    fn an_error_about_accounts_names_the_line_and_not_its_text() {
        let error = parse_accounts("# comment\n\na@b secret\nhunter2\n").expect_err("no password");
        assert_eq!(error, "line 4 has no password: write `JID PASSWORD`");
    }

    #[test]
    fn an_answer_is_lines_and_a_verdict() {
        let answers = [
            Ok(vec!["ok".to_owned(), "error no".to_owned()]),
            Ok(vec![]),
            Err("no such account".to_owned()),
        ];
        for answer in answers {
            assert_eq!(parse_answer(&encode_answer(&answer)), answer);
        }
        assert!(parse_answer(" half an answer\n").is_err());
    }
}
