//! The options of a host: its certificate, how its users prove who they are and come to be, what is kept and said of
//! it. Refuses to know streams.

use documented::{Documented, DocumentedFields};
use serde::{Deserialize, Serialize};

use super::directory::HostDirectory;
use super::directory_cards::HostDirectoryCards;
use super::directory_groups::HostDirectoryGroups;
use crate::base::limits;
use crate::config::units::{Duration, Size};

/// A domain that is served. Repeat the section for each.
#[derive(Clone, Debug, Deserialize, Documented, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Host {
    /// The domain: what stands behind the `@` of its users.
    /// reload: restart
    pub name: String,
    /// File with the certificate and its chain in PEM; if empty, a self-signed one is made in the data directory.
    /// A relative path starts at the configuration file.
    /// reload: live
    pub certificate: String,
    /// File with the certificate's private key in PEM; given exactly when `certificate` is.
    /// reload: live
    pub key: String,
    /// See [`HostAuth`].
    pub auth: HostAuth,
    /// See [`HostArchive`].
    pub archive: HostArchive,
    /// See [`HostVcard`].
    pub vcard: HostVcard,
    /// See [`HostContact`].
    pub contact: HostContact,
    /// See [`HostRegistration`].
    pub registration: HostRegistration,
    /// See [`HostDirectory`].
    pub directory: HostDirectory,
    /// See [`HostDirectoryCards`].
    pub directory_cards: HostDirectoryCards,
    /// See [`HostDirectoryGroups`].
    pub directory_groups: HostDirectoryGroups,
}

impl Default for Host {
    fn default() -> Host {
        Host {
            name: "localhost".to_owned(),
            certificate: String::new(),
            key: String::new(),
            auth: HostAuth::default(),
            archive: HostArchive::default(),
            vcard: HostVcard::default(),
            contact: HostContact::default(),
            registration: HostRegistration::default(),
            directory: HostDirectory::default(),
            directory_cards: HostDirectoryCards::default(),
            directory_groups: HostDirectoryGroups::default(),
        }
    }
}

/// How users of this host prove who they are. SCRAM is always offered, except by a directory that has no keys.
#[derive(Clone, Debug, Deserialize, Documented, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct HostAuth {
    /// Whether SASL PLAIN is offered; on streams without TLS it never is.
    /// reload: live
    pub plain: bool,
    /// Whether SASL EXTERNAL is offered to clients that show a certificate; needs a listener with
    /// `client_certificates = "request"` and, in the data directory, `cert/client-ca.pem`.
    /// reload: live
    pub external: bool,
    /// Whether SASL ANONYMOUS is offered: a nameless account that ends with its session.
    /// reload: live
    pub anonymous: bool,
    /// PBKDF2 iterations of this host's SCRAM keys; 0 is `auth.scram_iterations`.
    /// reload: live
    pub scram_iterations: u32,
}

impl Default for HostAuth {
    fn default() -> HostAuth {
        HostAuth {
            plain: true,
            external: false,
            anonymous: false,
            scram_iterations: 0,
        }
    }
}

/// Addresses under which the people behind this host can be reached (XEP-0157), as URIs: "mailto:", "xmpp:", "https:".
#[derive(
    Clone, Debug, Default, Deserialize, Documented, DocumentedFields, Eq, PartialEq, Serialize,
)]
#[serde(default, deny_unknown_fields)]
pub struct HostContact {
    /// For reports of abuse.
    /// reload: live
    pub abuse: Vec<String>,
    /// Of the administrators.
    /// reload: live
    pub admin: Vec<String>,
    /// For feedback.
    /// reload: live
    pub feedback: Vec<String>,
    /// For sales.
    /// reload: live
    pub sales: Vec<String>,
    /// For security concerns.
    /// reload: live
    pub security: Vec<String>,
    /// Where the service's status is told.
    /// reload: live
    pub status: Vec<String>,
    /// For users who need help.
    /// reload: live
    pub support: Vec<String>,
}

impl HostContact {
    /// The addresses by the names of XEP-0157 section 7.1.
    pub fn fields(&self) -> [(&'static str, &[String]); 7] {
        [
            ("abuse-addresses", &self.abuse),
            ("admin-addresses", &self.admin),
            ("feedback-addresses", &self.feedback),
            ("sales-addresses", &self.sales),
            ("security-addresses", &self.security),
            ("status-addresses", &self.status),
            ("support-addresses", &self.support),
        ]
    }
}

/// The host's own vCard (XEP-0054): who runs it. What is empty is left out; if all is, there is none.
#[derive(
    Clone, Debug, Default, Deserialize, Documented, DocumentedFields, Eq, PartialEq, Serialize,
)]
#[serde(default, deny_unknown_fields)]
pub struct HostVcard {
    /// What the service is called.
    /// reload: live
    pub name: String,
    /// Who runs it.
    /// reload: live
    pub organization: String,
    /// Its page on the web.
    /// reload: live
    pub url: String,
    /// An address for mail.
    /// reload: live
    pub email: String,
    /// A sentence about it.
    /// reload: live
    pub description: String,
}

/// The message archives of this host's users (XEP-0313), while the feature `mam` is on.
#[derive(Clone, Debug, Deserialize, Documented, DocumentedFields, PartialEq, Eq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct HostArchive {
    /// Whose messages are archived for users who did not choose (XEP-0441): "always" everybody's, "roster" those of
    /// contacts, "never" nobody's.
    /// reload: live
    pub default: ArchiveDefault,
    /// How long archived messages can be read; "0 d" is for ever. They leave the disk when their month is over for this
    /// host, at once if no other keeps longer.
    /// reload: live
    pub retention: Duration,
    /// Messages kept in one user's archive, and a few more; beyond it the oldest go. 0 sets no bound.
    /// reload: live
    pub messages: u32,
    /// Bytes of the same, before compression and without the index; beyond it the oldest go. "0 B" sets no bound.
    /// reload: live
    pub size: Size,
}

impl Default for HostArchive {
    fn default() -> HostArchive {
        HostArchive {
            default: ArchiveDefault::default(),
            retention: Duration::from_ms(limits::ARCHIVE_RETENTION_MS),
            messages: limits::ARCHIVE_MESSAGES_MAX,
            size: Size::from_bytes(limits::ARCHIVE_BYTES_MAX),
        }
    }
}

/// Accounts that people of this host make themselves (XEP-0077). A password that its user changes, and an account that
/// its user removes, are the feature `register`, whatever stands here.
#[derive(Clone, Debug, Deserialize, Documented, DocumentedFields, PartialEq, Eq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct HostRegistration {
    /// Who may make an account, on a stream with TLS: "off" nobody, "invited" who has a token of `stonechat user invite`
    /// (XEP-0445), "open" everybody.
    /// reload: live
    pub mode: RegistrationMode,
    /// Whether a new account waits until an operator lets it in: `stonechat user waiting` names those that do,
    /// `stonechat user approve` ends the waiting, `stonechat user remove` refuses. Who comes by an operator's invitation that
    /// names no contact does not wait.
    /// reload: live
    pub approval: bool,
    /// Accounts that one address (a /64 network with IPv6) may make within `window`, with invitations or without; ten
    /// times as many attempts.
    /// reload: live
    pub per_address: u32,
    /// Accounts that may be made on this host within `window`, not counting those for whom an operator made the invitation.
    /// reload: live
    pub per_host: u32,
    /// Time in which accounts are counted; at least "1 min". A restart begins to count anew.
    /// reload: live
    pub window: Duration,
    /// Fewest characters of a name.
    /// reload: live
    pub name_min: u32,
    /// Most characters of a name.
    /// reload: live
    pub name_max: u32,
    /// Names that nobody can make an account of; an operator still can.
    /// reload: live
    pub reserved: Vec<String>,
    /// Whether newcomers may take names that mix scripts, or that are of another script and look like Latin letters
    /// (UTS #39), or that look like the name of another account. What looks like a reserved name nobody may take, with
    /// or without punctuation in it.
    /// reload: live
    pub lookalikes: bool,
    /// What else a newcomer has to say, kept for the operator (`stonechat user waiting`): of "name", "first", "last",
    /// "nick", "email", "phone", "address", "city", "state", "zip", "url", "date", "misc", "text".
    /// reload: live
    pub fields: Vec<String>,
    /// What newcomers are told before they choose; if empty, what they have to do.
    /// reload: live
    pub instructions: String,
    /// How long an invitation is open, unless `--expires` says otherwise.
    /// reload: live
    pub invitation_expiry: Duration,
}

impl Default for HostRegistration {
    fn default() -> HostRegistration {
        HostRegistration {
            mode: RegistrationMode::default(),
            approval: false,
            lookalikes: false,
            per_address: limits::REGISTRATIONS_PER_PREFIX_MAX,
            per_host: limits::REGISTRATIONS_PER_HOST_MAX,
            window: Duration::from_ms(limits::REGISTRATION_WINDOW_MS),
            name_min: 1,
            name_max: limits::REGISTRATION_NAME_MAX,
            reserved: RESERVED_NAMES.map(str::to_owned).to_vec(),
            fields: Vec::new(),
            instructions: String::new(),
            invitation_expiry: Duration::from_ms(limits::INVITATION_EXPIRY_MS),
        }
    }
}

/// Who may make an account.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RegistrationMode {
    /// Nobody.
    #[default]
    Off,
    /// Who has an invitation.
    Invited,
    /// Everybody.
    Open,
}

/// Whose messages are archived for users who did not choose.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArchiveDefault {
    /// Everybody's.
    #[default]
    Always,
    /// Nobody's.
    Never,
    /// Those of contacts in the roster.
    Roster,
}

/// Names by which people take somebody for the operator (RFC 2142 and what mail servers reserve).
const RESERVED_NAMES: [&str; 14] = [
    "abuse",
    "admin",
    "administrator",
    "hostmaster",
    "info",
    "moderator",
    "noreply",
    "operator",
    "postmaster",
    "root",
    "security",
    "support",
    "system",
    "webmaster",
];
