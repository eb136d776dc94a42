//! The commands and their arguments. Refuses to know what they do.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// An XMPP server for large public services.
#[derive(Debug, Parser)]
#[command(name = "stonechat", version)]
pub struct Cli {
    /// Configuration file; without one, `localhost` is served with all defaults.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Directory of the store, of certificates made here, and of the control socket.
    #[arg(long, global = true, value_name = "DIR", default_value = "data")]
    pub data: PathBuf,
    #[command(subcommand)]
    pub command: Commands,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Commands {
    /// Copy the store to a directory that is empty or does not exist, while the server runs or not.
    Backup {
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
    /// Look at configuration, certificates, ports and limits, and say how to mend what is wrong.
    Check,
    /// Print options.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Ask the directory of a host what it knows.
    Directory {
        #[command(subcommand)]
        command: Directory,
    },
    /// Let the running server read its configuration and certificates again.
    Reload,
    /// Run the server until SIGTERM.
    Serve {
        /// Let tests advance the server's time over its control socket.
        #[arg(long, hide = true)]
        test_clock: bool,
    },
    /// Say how the running server is doing.
    Status,
    /// Manage accounts, on the running server or on the store of a stopped one.
    User {
        #[command(subcommand)]
        command: User,
    },
}

/// What to ask a directory.
#[derive(Debug, Subcommand)]
pub enum Directory {
    /// Show the permanent rooms that the directory has, and what in their entries is no sense.
    Rooms {
        /// The host; needed if several have directories.
        host: Option<String>,
    },
    /// Show every step from a name to an account: servers, look-up, mapping, and the bind if a password is given. It is
    /// asked as it is configured, whether a server runs or not.
    Test {
        /// NAME@HOST, or NAME if one host alone has a directory.
        user: String,
        /// Try a password, which is asked for on a terminal, and read as one line from standard input otherwise.
        #[arg(long)]
        password: bool,
    },
}

/// What to print.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// The options in force, with all defaults.
    Effective,
    /// Every option with its meaning and default.
    Reference,
}

/// What to do with accounts. A password is asked for on a terminal, and read as one line from standard input
/// otherwise.
#[derive(Debug, Subcommand)]
pub enum User {
    /// Make an account.
    Add {
        /// NAME@HOST
        #[arg(required_unless_present = "from")]
        jid: Option<String>,
        /// Make many: lines of `JID PASSWORD` from this file, `-` for standard input.
        #[arg(long, value_name = "FILE", conflicts_with = "jid")]
        from: Option<PathBuf>,
    },
    /// Keep an account from logging in and end its sessions; everything that it has stays.
    Disable { jid: String },
    /// Let an account log in that is disabled, or that was registered and waits.
    #[command(visible_alias = "approve")]
    Enable { jid: String },
    /// Make an invitation (XEP-0401): an address to give to somebody, whose client registers by it.
    Invite {
        /// The account whose contact they become who come by it.
        #[arg(long, value_name = "JID")]
        contact: Option<String>,
        /// How long it is open, as in "2 d"; else `host.registration.invitation_expiry`.
        #[arg(long, value_name = "DURATION")]
        expires: Option<String>,
        /// Where it registers; else where the contact lives, or the first host.
        #[arg(long, value_name = "HOST")]
        host: Option<String>,
        /// The only name that may be taken; it is kept for who comes.
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// How many may come by it.
        #[arg(long, value_name = "N")]
        uses: Option<u32>,
    },
    /// Name the invitations that are open, on a host or on all, by ids that `withdraw` takes.
    Invitations { host: Option<String> },
    /// Name the accounts of a host, or of all.
    List { host: Option<String> },
    /// End an account's sessions, and the tokens by which its clients log in without a password (XEP-0484).
    Logout { jid: String },
    /// Change a password and end the account's sessions.
    Passwd { jid: String },
    /// Remove an account with everything that it has, and end its sessions.
    Remove { jid: String },
    /// Name the accounts that were registered and wait to be let in, with what they said of themselves.
    Waiting { host: Option<String> },
    /// Take an invitation back: nobody comes by it any more.
    Withdraw {
        /// Its id as `invitations` shows it, its token, or its address.
        #[arg(value_name = "INVITATION")]
        invitation: String,
    },
}

/// How to run the server.
#[derive(Debug)]
pub struct Serve {
    pub config: Option<PathBuf>,
    pub data: PathBuf,
    pub test_clock: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn configuration_and_data_may_stand_behind_every_subcommand() {
        let line = [
            "stonechat",
            "user",
            "add",
            "a@b",
            "--data",
            "d",
            "--config",
            "c.toml",
        ];
        let cli = Cli::try_parse_from(line).expect("valid");
        assert_eq!(
            (cli.data, cli.config),
            (PathBuf::from("d"), Some(PathBuf::from("c.toml")))
        );
    }

    #[test]
    fn an_account_is_named_or_many_are_read_but_not_both() {
        for line in [
            &["stonechat", "user", "add"][..],
            &["stonechat", "user", "add", "a@b", "--from", "f"],
        ] {
            assert!(Cli::try_parse_from(line).is_err());
        }
    }
}
