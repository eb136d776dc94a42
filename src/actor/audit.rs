//! Who did what: the records that an auditor reads. Refuses to hold anything secret (no variant has a field
//! for a password, token or key), and to know where records go.

use std::sync::Arc;

use serde::Serialize;

/// One thing that happened. The names and fields are a promise to whoever reads the file
/// (`conf/README.md` lists them): variants are added, never changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum AuditEvent {
    /// A user blocked an address and said why (XEP-0377).
    AbuseReported {
        account: Arc<str>,
        reported: Arc<str>,
        reason: Arc<str>,
        text: Option<Arc<str>>,
        /// Ids in the archive of the user (XEP-0359).
        messages: Vec<Arc<str>>,
    },
    /// An account was made.
    AccountAdded { account: Arc<str>, by: By },
    /// An account was kept from logging in.
    AccountDisabled { account: Arc<str>, by: By },
    /// An account may log in again.
    AccountEnabled { account: Arc<str>, by: By },
    /// Somebody made an account (XEP-0077); whether it waits for approval, the host's configuration says.
    AccountRegistered {
        account: Arc<str>,
        from: Option<Arc<str>>,
    },
    /// An account and all that it had was removed.
    AccountRemoved { account: Arc<str>, by: By },
    /// The store, keys of all accounts included, was to be copied to a directory.
    Backup {
        directory: Arc<str>,
        outcome: Attempt,
        by: By,
    },
    /// A host shows another certificate. `fingerprint` is the SHA-256 of its DER form in hexadecimal.
    CertificateChanged {
        host: Arc<str>,
        fingerprint: Arc<str>,
    },
    /// Other authorities vouch for clients that log in with certificates: the `fingerprints` of all that do now, as
    /// of [`AuditEvent::CertificateChanged`].
    ClientAuthoritiesChanged { fingerprints: Arc<[String]> },
    /// A user ended the tokens of some clients (XEP-0484), by their ids; none if of all others.
    ClientsRevoked {
        account: Arc<str>,
        clients: Option<Vec<String>>,
        by: By,
    },
    /// An option has another value, both in TOML; none where it is absent.
    ConfigurationChanged {
        option: Arc<str>,
        from: Option<Arc<str>>,
        to: Option<Arc<str>>,
    },
    /// An invitation was made (XEP-0401).
    InvitationMade {
        host: Arc<str>,
        contact: Option<Arc<str>>,
        /// How many may come by it.
        uses: u32,
        by: By,
    },
    /// Somebody showed a token that lets nobody in (XEP-0445).
    InvitationRefused {
        host: Arc<str>,
        from: Option<Arc<str>>,
        /// The stanza error condition (RFC 6120 section 8.3.3).
        reason: &'static str,
    },
    /// An invitation was taken back.
    InvitationWithdrawn {
        host: Arc<str>,
        contact: Option<Arc<str>>,
        by: By,
    },
    /// A client that proved the password of an account replaced keys by which it is known (XEP-0480).
    KeysUpgraded {
        account: Arc<str>,
        /// By which it proved the password.
        mechanism: &'static str,
        from: Option<Arc<str>>,
    },
    /// A user proved who they are.
    Login {
        account: Arc<str>,
        mechanism: &'static str,
        /// The peer's address and port, if it has one.
        from: Option<Arc<str>>,
        /// Whether the stream is encrypted.
        tls: bool,
    },
    /// Somebody did not.
    LoginFailed {
        host: Arc<str>,
        /// The name that was claimed, if it is a valid one.
        account: Option<Arc<str>>,
        mechanism: &'static str,
        from: Option<Arc<str>>,
        /// The SASL condition (RFC 6120 section 6.5).
        reason: &'static str,
    },
    /// The password of an account was changed.
    PasswordChanged { account: Arc<str>, by: By },
    /// Several entries of a host's directory have the name of one account, which is nobody's therefore.
    DirectoryCollision {
        account: Arc<str>,
        /// Their names.
        entries: Vec<String>,
    },
    /// A user changed these attributes of the own entry in the host's directory by changing the vCard.
    DirectoryEntryChanged {
        account: Arc<str>,
        attributes: Vec<String>,
        by: By,
    },
    /// Records were left out because the disk did not keep up.
    RecordsDropped { count: u64 },
    /// Somebody was refused an account.
    RegistrationRefused {
        account: Arc<str>,
        from: Option<Arc<str>>,
        /// The stanza error condition (RFC 6120 section 8.3.3).
        reason: &'static str,
    },
    /// Configuration and certificates were to be read again. What changed has records of its own.
    Reload { outcome: Attempt, by: By },
    /// The tokens of an account's clients were ended (XEP-0484), and its sessions with them.
    TokensRevoked { account: Arc<str>, by: By },
    /// A user ended other sessions of the same account, by their full JIDs.
    SessionsExpelled { sessions: Vec<String>, by: By },
    /// A session ended for good.
    SessionEnded {
        session: Arc<str>,
        reason: &'static str,
    },
}

/// What became of something that can fail as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Attempt {
    Done,
    /// Nothing changed, or for a copy: there is no whole one.
    Failed,
}

impl Attempt {
    /// What a result says of it.
    pub fn of<T, E>(outcome: &Result<T, E>) -> Attempt {
        match outcome {
            Ok(_) => Attempt::Done,
            Err(_) => Attempt::Failed,
        }
    }
}

/// Who asked for a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// Whoever may use the control socket or the data directory.
    Operator,
    /// A user, by bare JID.
    User(Arc<str>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_names_its_event_and_its_fields() {
        let event = AuditEvent::LoginFailed {
            host: Arc::from("example.org"),
            account: None,
            mechanism: "PLAIN",
            from: Some(Arc::from("192.0.2.1:50123")),
            reason: "not-authorized",
        };
        assert_eq!(
            serde_json::to_string(&event).expect("plain data"),
            r#"{"event":"login-failed","host":"example.org","account":null,"mechanism":"PLAIN","from":"192.0.2.1:50123","reason":"not-authorized"}"#
        );
    }

    #[test]
    fn a_change_says_who_asked_for_it() {
        let account: Arc<str> = Arc::from("romeo@example.org");
        let event = AuditEvent::PasswordChanged {
            account: account.clone(),
            by: By::User(account),
        };
        assert_eq!(
            serde_json::to_string(&event).expect("plain data"),
            r#"{"event":"password-changed","account":"romeo@example.org","by":{"user":"romeo@example.org"}}"#
        );
    }
}
