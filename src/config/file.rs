//! Every option of the server, once: its type, its name in TOML, its meaning and its default. Refuses to
//! judge values (`check.rs` does) and to know where the text came from.
//!
//! The doc comments below are the operator's manual: `conf/reference.toml` is made of them. The last line
//! of each says what a reload does with a changed value.

use std::collections::BTreeMap;

use documented::{Documented, DocumentedFields};
use serde::{Deserialize, Serialize};

use super::directory::HostDirectory;
use super::network::Network;
use super::units::{Duration, Size};
use crate::base::limits;

/// The whole file. An absent section has its defaults; a `[[host]]` or `[[listener]]` replaces the default ones.
#[derive(Clone, Debug, Deserialize, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct File {
    /// See [`Server`].
    pub server: Server,
    /// See [`Host`].
    pub host: Vec<Host>,
    /// See [`Listener`].
    pub listener: Vec<Listener>,
    /// See [`C2s`].
    pub c2s: C2s,
    /// See [`Sm`].
    pub sm: Sm,
    /// See [`Csi`].
    pub csi: Csi,
    /// See [`Delivery`].
    pub delivery: Delivery,
    /// See [`Roster`].
    pub roster: Roster,
    /// See [`Profile`].
    pub profile: Profile,
    /// See [`Blocking`].
    pub blocking: Blocking,
    /// See [`Auth`].
    pub auth: Auth,
    /// See [`Tls`].
    pub tls: Tls,
    /// See [`Store`].
    pub store: Store,
    /// See [`Audit`].
    pub audit: Audit,
    /// See [`Log`].
    pub log: Log,
    /// Switches by the feature's name; what is not named is on.
    pub features: BTreeMap<String, bool>,
}

/// The process as a whole.
#[derive(Clone, Debug, Deserialize, Documented, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Worker threads; 0 is one for each core.
    /// reload: restart
    pub workers: u32,
    /// Whether each worker stays on a core of its own.
    /// reload: restart
    pub pin: bool,
    /// How long a stopping server waits for its clients to take their goodbye. Up to half of it is for what they sent
    /// before to become durable, so that they are told.
    /// reload: live
    pub drain_timeout: Duration,
    /// Memory for everything that waits in queues, shared out equally to the workers. As it fills, new logins wait,
    /// then the slowest readers lose their connections, and at the very top nothing more is read.
    /// reload: live
    pub queue_memory: Size,
    /// Where clients are sent when the server stops (RFC 6120 section 4.9.3.19), as "host" or "host:port"; if
    /// empty they are told `system-shutdown` instead.
    /// reload: live
    pub see_other_host: String,
}

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
    /// (UTS #39). What looks like a reserved name nobody may take.
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

/// An address on which connections are accepted. Repeat the section for each.
#[derive(Clone, Debug, Deserialize, Documented, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listener {
    /// IP address and port; IPv6 in brackets, and `[::]` does not include IPv4.
    /// reload: restart
    pub address: String,
    /// Who connects here: "c2s" (clients).
    /// reload: restart
    pub kind: ListenerKind,
    /// When TLS begins: "starttls" (RFC 6120 section 5), "direct" (XEP-0368) or "none".
    /// reload: restart
    pub tls: TlsMode,
    /// Whether nothing but STARTTLS is offered before it; only with `tls = "starttls"`.
    /// reload: restart
    pub require_tls: bool,
    /// Whether every connection begins with a PROXY header (version 1 or 2), which is required then.
    /// reload: restart
    pub proxy_protocol: bool,
    /// Whether clients are asked for a certificate: "none" or "request". One logs in who was signed by an authority
    /// in `cert/client-ca.pem` of the data directory (PEM, read again on reload); without that file nobody is asked.
    /// reload: restart
    pub client_certificates: ClientCertificates,
    /// Whether compression is offered to clients that have logged in: "none" or "zlib" (XEP-0138, which is obsolete: what
    /// others make the server send beside a secret can tell of it). For links that have no bandwidth otherwise.
    /// reload: restart
    pub compression: Compression,
    /// From which addresses a client may have it, as in ["10.20.0.0/16", "fd00::/8"]; from all if there are none. Behind a
    /// proxy it is the address in the PROXY header that counts.
    /// reload: restart
    pub compression_networks: Vec<Network>,
}

/// Who connects to a listener.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ListenerKind {
    /// Clients.
    #[default]
    C2s,
}

/// Whether compression is offered.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compression {
    /// It is not.
    #[default]
    None,
    /// XEP-0138 with the method of RFC 1950.
    Zlib,
}

/// What compression remembers.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dictionary {
    /// What the same sender said just before.
    #[default]
    Sender,
    /// What was sent before, by whomever.
    Stream,
}

/// When TLS begins on a listener.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TlsMode {
    /// With the first byte (XEP-0368).
    Direct,
    /// Never.
    None,
    /// When the client asks for it (RFC 6120 section 5).
    #[default]
    Starttls,
}

/// Whether clients are asked for a certificate.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientCertificates {
    /// They are not.
    #[default]
    None,
    /// They are, and may have none.
    Request,
}

/// Streams of clients.
#[derive(Clone, Debug, Deserialize, Documented, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct C2s {
    /// Largest stanza after authentication, told to clients by XEP-0478; at least 10000 B.
    /// reload: live
    pub element_size: Size,
    /// Silence after which a client is pinged (XEP-0199).
    /// reload: live
    pub ping_after: Duration,
    /// Time a pinged client has to send anything.
    /// reload: live
    pub ping_timeout: Duration,
    /// Time from the connection to a bound session.
    /// reload: live
    pub negotiation_timeout: Duration,
    /// Time for the TLS handshake alone.
    /// reload: live
    pub handshake_timeout: Duration,
    /// Connections of one address (of a /64 network with IPv6) that have not logged in; further ones are closed at
    /// once. Behind a proxy it is the address that the PROXY header tells; the machine's own is not counted.
    /// reload: restart
    pub unproved_per_address: u32,
    /// Stanzas a second that one client may send for long; it is read more slowly beyond.
    /// reload: live
    pub rate_stanzas_per_s: u32,
    /// Stanzas that one client may send at once.
    /// reload: live
    pub rate_stanzas_burst: u32,
    /// Bytes a second that one client may send for long.
    /// reload: live
    pub rate_bytes_per_s: Size,
    /// Bytes that one client may send at once; at least `element_size`.
    /// reload: live
    pub rate_bytes_burst: Size,
    /// Bytes that may wait for a slow client; above it for `outbound_soft_for` the connection is closed.
    /// reload: live
    pub outbound_soft: Size,
    /// See `outbound_soft`.
    /// reload: live
    pub outbound_soft_for: Duration,
    /// Bytes waiting for a slow client above which the connection is closed at once.
    /// reload: live
    pub outbound_hard: Size,
    /// Sessions of one account at a time.
    /// reload: live
    pub sessions_per_account: u32,
    /// What happens when a client wishes for a resource in use: "replace-old" closes the older session, "refuse-new"
    /// answers `conflict`, "make-new" gives the newcomer another name (RFC 6120 section 7.7.2.2).
    /// reload: live
    pub resource_conflict: ResourceConflict,
    /// What compression (`listener.compression`) remembers: "sender" forgets all between stanzas of different senders, so
    /// that nobody learns by their length what others say; "stream" forgets nothing and saves far more bytes.
    /// reload: live
    pub compression_dictionary: Dictionary,
}

/// What happens when a client wishes for a resource in use.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResourceConflict {
    /// The newcomer gets another name.
    MakeNew,
    /// The newcomer gets `conflict`.
    RefuseNew,
    /// The older session is closed.
    #[default]
    ReplaceOld,
}

/// Stream management (XEP-0198).
#[derive(Clone, Debug, Deserialize, Documented, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sm {
    /// How long a session waits for its client after the connection is lost.
    /// reload: live
    pub resume_timeout: Duration,
    /// Stanzas that a client may leave unacknowledged; beyond it the connection is closed.
    /// reload: live
    pub unacked_count: u32,
    /// Bytes of the same.
    /// reload: live
    pub unacked_size: Size,
    /// Stanzas sent before the server asks for an acknowledgement.
    /// reload: live
    pub ack_request_after: u32,
}

/// What waits for clients at which nobody looks (XEP-0352), until something comes that does not wait.
#[derive(Clone, Debug, Deserialize, Documented, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Csi {
    /// Whether the presence of others waits; only the newest of each is sent.
    /// reload: live
    pub hold_presence: bool,
    /// Whether chat states, receipts, chat markers and reactions wait.
    /// reload: live
    pub hold_messages: bool,
    /// Stanzas that wait at most for one client; then they go out.
    /// reload: live
    pub held_count: u32,
    /// Bytes of the same.
    /// reload: live
    pub held_size: Size,
}

/// Messages to accounts.
#[derive(Clone, Debug, Deserialize, Documented, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Delivery {
    /// Which messages are written to disk before they are acknowledged to the sender: "always" all, so that none is
    /// lost in a crash; "offline-only" those whose recipient is not connected.
    /// reload: live
    pub keep: Keep,
    /// Offline messages kept for one account; beyond it senders hear `service-unavailable`.
    /// reload: live
    pub offline_count: u32,
    /// Bytes of the same.
    /// reload: live
    pub offline_size: Size,
}

/// Contacts and subscriptions.
#[derive(Clone, Debug, Deserialize, Documented, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Roster {
    /// Contacts in one roster; beyond it clients hear `resource-constraint`.
    /// reload: live
    pub items: u32,
    /// Bytes of the same: addresses, names and groups, at most 4 MiB.
    /// reload: live
    pub size: Size,
    /// Subscription requests that wait for one user's answer, at most 500; further ones are dropped, as if the user
    /// did not answer.
    /// reload: live
    pub requests: u32,
}

/// What an account keeps for its clients and shows of itself.
#[derive(Clone, Debug, Deserialize, Documented, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Profile {
    /// Bytes of one account's private XML (XEP-0049), at most 1 MiB; beyond it clients hear `resource-constraint`.
    /// reload: live
    pub private_size: Size,
    /// Namespaces of the same.
    /// reload: live
    pub private_namespaces: u32,
    /// Bytes of one vCard (XEP-0054) with its photo; a larger one is `not-acceptable`.
    /// reload: live
    pub vcard_size: Size,
}

/// Who keeps others away (XEP-0191), and tells you why (XEP-0377).
#[derive(Clone, Debug, Deserialize, Documented, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Blocking {
    /// Addresses in one blocklist, at most 10000; beyond it clients hear `resource-constraint`.
    /// reload: live
    pub items: u32,
    /// Address to which reports of spam and abuse go as messages; they are in the audit file in any case. If it is not
    /// on this server, only those go whose writers agreed that others read them. If empty, none go.
    /// reload: live
    pub report_to: String,
}

/// Which messages are written to disk before they are acknowledged.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Keep {
    /// All (DESIGN section 20).
    #[default]
    Always,
    /// Those whose recipient is not connected.
    OfflineOnly,
}

/// Accounts and their credentials.
#[derive(Clone, Debug, Deserialize, Documented, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// PBKDF2 iterations of new SCRAM keys, 4096 to 1000000; older keys follow at their account's next PLAIN login.
    /// reload: live
    pub scram_iterations: u32,
    /// How long the name of a removed account cannot be taken again.
    /// reload: live
    pub tombstone: Duration,
    /// Whether a user who changes the password ends all other sessions of the account.
    /// reload: live
    pub password_change_ends_sessions: bool,
    /// Invitations of one account that may be open at a time, at most 1000.
    /// reload: live
    pub invitations_per_account: u32,
    /// How long a token for fast authentication is good (XEP-0484); when half of it is over its client gets another.
    /// At least "1 h".
    /// reload: live
    pub token_expiry: Duration,
    /// Clients of one account that may have such tokens, at most 1000; the one whose token ends first gives way.
    /// reload: live
    pub token_clients: u32,
    /// Whether tokens are offered that are not bound to the TLS channel, which clients in browsers need.
    /// reload: live
    pub token_unbound: bool,
}

/// TLS on all listeners.
#[derive(Clone, Debug, Deserialize, Documented, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// Versions that are accepted, of "1.2" and "1.3".
    /// reload: live
    pub versions: Vec<TlsVersion>,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub enum TlsVersion {
    /// RFC 5246.
    #[serde(rename = "1.2")]
    V1_2,
    /// RFC 8446.
    #[serde(rename = "1.3")]
    V1_3,
}

/// The embedded store.
#[derive(Clone, Debug, Deserialize, Documented, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// Memory for what was read from disk.
    /// reload: restart
    pub cache: Size,
    /// Free space on the disk below which writes are refused while the server stays up.
    /// reload: restart
    pub reserve_free: Size,
}

/// Records of who did what, as JSON lines.
#[derive(Clone, Debug, Deserialize, Documented, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Audit {
    /// File that records are appended to; a relative path starts at the data directory. If empty, none are kept.
    /// reload: restart
    pub file: String,
    /// What happens when the disk does not keep up: "stop-intake" lets no new login in until it does, "drop-and-count"
    /// leaves records out and says how many.
    /// reload: live
    pub when_full: WhenFull,
}

/// What happens when audit records cannot be written fast enough.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhenFull {
    /// Records are left out and counted.
    #[default]
    DropAndCount,
    /// No new login is let in.
    StopIntake,
}

/// The log, on standard error.
#[derive(Clone, Debug, Deserialize, Documented, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// A level (error, warn, info, debug, trace), or levels by module, as in "info,stonechat::stream=debug"; without a
    /// module the crates that we stand on are meant, too.
    /// reload: live
    pub filter: String,
}

impl Default for File {
    fn default() -> File {
        let listener = |address: &str, tls| Listener {
            address: address.to_owned(),
            tls,
            ..Listener::default()
        };
        File {
            server: Server::default(),
            host: vec![Host::default()],
            listener: vec![
                listener("0.0.0.0:5222", TlsMode::Starttls),
                listener("[::]:5222", TlsMode::Starttls),
                listener("0.0.0.0:5223", TlsMode::Direct),
                listener("[::]:5223", TlsMode::Direct),
            ],
            c2s: C2s::default(),
            sm: Sm::default(),
            csi: Csi::default(),
            delivery: Delivery::default(),
            roster: Roster::default(),
            profile: Profile::default(),
            blocking: Blocking::default(),
            auth: Auth::default(),
            tls: Tls::default(),
            store: Store::default(),
            audit: Audit::default(),
            log: Log::default(),
            features: BTreeMap::new(),
        }
    }
}

impl Default for Server {
    fn default() -> Server {
        Server {
            workers: 0,
            pin: true,
            drain_timeout: Duration::from_ms(limits::DRAIN_TIMEOUT_MS),
            queue_memory: Size::from_bytes(limits::QUEUE_MEMORY_BYTES),
            see_other_host: String::new(),
        }
    }
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
        }
    }
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

impl Default for Listener {
    fn default() -> Listener {
        Listener {
            address: "[::]:5222".to_owned(),
            kind: ListenerKind::default(),
            tls: TlsMode::default(),
            require_tls: true,
            proxy_protocol: false,
            client_certificates: ClientCertificates::default(),
            compression: Compression::default(),
            compression_networks: Vec::new(),
        }
    }
}

impl Default for C2s {
    fn default() -> C2s {
        C2s {
            element_size: Size::from_bytes(limits::ELEMENT_BYTES_MAX as u64),
            ping_after: Duration::from_ms(limits::PING_AFTER_MS),
            ping_timeout: Duration::from_ms(limits::PING_TIMEOUT_MS),
            negotiation_timeout: Duration::from_ms(limits::NEGOTIATION_TIMEOUT_MS),
            handshake_timeout: Duration::from_ms(limits::HANDSHAKE_TIMEOUT_MS),
            unproved_per_address: limits::UNPROVED_PER_PREFIX_MAX,
            rate_stanzas_per_s: limits::RATE_STANZAS_PER_S,
            rate_stanzas_burst: limits::RATE_STANZAS_BURST,
            rate_bytes_per_s: Size::from_bytes(limits::RATE_BYTES_PER_S),
            rate_bytes_burst: Size::from_bytes(limits::RATE_BYTES_BURST),
            outbound_soft: Size::from_bytes(limits::OUTBOUND_SOFT_BYTES as u64),
            outbound_soft_for: Duration::from_ms(limits::OUTBOUND_SOFT_MS),
            outbound_hard: Size::from_bytes(limits::OUTBOUND_HARD_BYTES as u64),
            sessions_per_account: limits::SESSIONS_PER_ACCOUNT_MAX as u32,
            resource_conflict: ResourceConflict::default(),
            compression_dictionary: Dictionary::default(),
        }
    }
}

impl Default for Sm {
    fn default() -> Sm {
        Sm {
            resume_timeout: Duration::from_ms(limits::RESUME_TIMEOUT_MS),
            unacked_count: limits::UNACKED_COUNT_MAX as u32,
            unacked_size: Size::from_bytes(limits::UNACKED_BYTES_MAX as u64),
            ack_request_after: limits::ACK_REQUEST_AFTER,
        }
    }
}

impl Default for Csi {
    fn default() -> Csi {
        Csi {
            hold_presence: true,
            hold_messages: true,
            held_count: limits::CSI_HELD_COUNT_MAX,
            held_size: Size::from_bytes(limits::CSI_HELD_BYTES_MAX),
        }
    }
}

impl Default for Delivery {
    fn default() -> Delivery {
        Delivery {
            keep: Keep::default(),
            offline_count: limits::PENDING_COUNT_MAX as u32,
            offline_size: Size::from_bytes(limits::PENDING_BYTES_MAX as u64),
        }
    }
}

impl Default for Roster {
    fn default() -> Roster {
        Roster {
            items: limits::ROSTER_ITEMS_MAX,
            size: Size::from_bytes(limits::ROSTER_BYTES_MAX),
            requests: limits::REQUEST_COUNT_MAX,
        }
    }
}

impl Default for Profile {
    fn default() -> Profile {
        Profile {
            private_size: Size::from_bytes(limits::PRIVATE_BYTES_MAX),
            private_namespaces: limits::PRIVATE_NAMESPACES_MAX,
            vcard_size: Size::from_bytes(limits::VCARD_BYTES_MAX),
        }
    }
}

impl Default for Blocking {
    fn default() -> Blocking {
        Blocking {
            items: limits::BLOCKLIST_ITEMS_MAX,
            report_to: String::new(),
        }
    }
}

impl Default for Auth {
    fn default() -> Auth {
        Auth {
            scram_iterations: limits::SCRAM_ITERATIONS,
            tombstone: Duration::from_ms(limits::TOMBSTONE_MS),
            password_change_ends_sessions: true,
            invitations_per_account: limits::INVITATIONS_PER_ACCOUNT_MAX,
            token_expiry: Duration::from_ms(limits::TOKEN_EXPIRY_MS),
            token_clients: limits::TOKEN_CLIENTS_MAX,
            token_unbound: true,
        }
    }
}

impl Default for Tls {
    fn default() -> Tls {
        Tls {
            versions: vec![TlsVersion::V1_2, TlsVersion::V1_3],
        }
    }
}

impl Default for Store {
    fn default() -> Store {
        Store {
            cache: Size::from_bytes(limits::STORE_CACHE_BYTES),
            reserve_free: Size::from_bytes(limits::STORE_RESERVE_BYTES),
        }
    }
}

impl Default for Audit {
    fn default() -> Audit {
        Audit {
            file: "audit.jsonl".to_owned(),
            when_full: WhenFull::default(),
        }
    }
}

impl Default for Log {
    fn default() -> Log {
        Log {
            filter: "warn,stonechat=info".to_owned(),
        }
    }
}
