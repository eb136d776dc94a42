//! What the options of a host's LDAP directory mean with a preset behind them, and whether they make sense. Refuses to
//! speak LDAP and to read the files that they name.

use std::sync::Arc;

use super::cards::{Cards, check_cards};
use super::check::Sink;
use super::file::{
    DirectoryHash, DirectoryPasswordChange, DirectoryPreset, Host, HostDirectory, RegistrationMode,
};
use super::groups::{GroupsConfig, check_groups};
use super::host::ScramHash;
use crate::base::limits;

/// What an empty option means.
struct PresetDefaults {
    filter: &'static str,
    localpart: &'static str,
    unique: &'static str,
    scram: &'static str,
}

impl DirectoryPreset {
    fn defaults(self) -> PresetDefaults {
        match self {
            DirectoryPreset::Ds389 => PresetDefaults {
                filter: "(&(objectClass=person)(uid={user}))",
                localpart: "uid",
                unique: "nsUniqueId",
                scram: "authPassword",
            },
            DirectoryPreset::ActiveDirectory => PresetDefaults {
                filter: "(&(objectCategory=person)(objectClass=user)(sAMAccountName={user}))",
                localpart: "sAMAccountName",
                unique: "objectGUID",
                scram: "authPassword",
            },
            DirectoryPreset::OpenLdap => PresetDefaults {
                filter: "(&(objectClass=inetOrgPerson)(uid={user}))",
                localpart: "uid",
                unique: "entryUUID",
                scram: "authPassword",
            },
        }
    }
}

/// A directory, checked, with its preset applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryConfig {
    /// The prepared domainpart of the host whose users live in it.
    pub host: Arc<str>,
    /// The options, none of which is left to the preset.
    pub options: HostDirectory,
    /// For which digests it has keys, best first; empty if it has none.
    pub hashes: Vec<ScramHash>,
    pub cards: Cards,
    /// None where groups mean nothing.
    pub groups: Option<GroupsConfig>,
}

/// The directory of a host, if it has one. `name` is its prepared domainpart, `at` the path of its section.
pub(super) fn check_directory(
    host: &Host,
    name: &Arc<str>,
    at: &str,
    sink: &mut Sink<'_>,
) -> Option<Arc<DirectoryConfig>> {
    let option = &host.directory;
    let at = |name: &str| format!("{at}.directory.{name}");
    if option.servers.is_empty() {
        let written = *option != HostDirectory::default();
        sink.require(
            !written,
            &at("servers"),
            "is missing: name the directory's servers, as in \"ldaps://ldap.example.org\"",
        );
        return None;
    }
    for server in &option.servers {
        if let Err(message) = check_url(server) {
            sink.push(&at("servers"), format!("`{server}`: {message}"));
        }
    }
    check_referrals(option, &at, sink);
    check_secrets(option, &at, sink);
    let directory = with_preset(option);
    check_search(&directory, &at, sink);
    check_amounts(&directory, &at, sink);
    let host_option = |name: &str| at("").replace("directory.", name);
    sink.require(
        host.auth.plain || !option.authentication.binds(),
        &host_option("auth.plain"),
        "must be true where the directory's `authentication` tries passwords: nothing else carries them",
    );
    sink.require(
        host.registration.mode == RegistrationMode::Off,
        &host_option("registration.mode"),
        "must be \"off\": the accounts of this host are made in its directory",
    );
    sink.require(
        !option.authentication.has_keys() || !option.scram_hashes.is_empty(),
        &at("scram_hashes"),
        "must name a digest where `authentication` uses keys",
    );
    let has = |hash: &&ScramHash| {
        let named = |known: &DirectoryHash| match known {
            DirectoryHash::Sha1 => ScramHash::Sha1,
            DirectoryHash::Sha256 => ScramHash::Sha256,
            DirectoryHash::Sha512 => ScramHash::Sha512,
        };
        let mut known = option.scram_hashes.iter().map(named);
        option.authentication.has_keys() && known.any(|known| known == **hash)
    };
    let card = |name: &str| at("").replace("directory.", &format!("directory_cards.{name}"));
    let cards = check_cards(&host.directory_cards, option.preset, &card, sink);
    let group = |name: &str| at("").replace("directory.", &format!("directory_groups.{name}"));
    let groups = check_groups(&host.directory_groups, option.preset, &group, sink);
    sink.require(
        host.directory_cards.writable.is_empty()
            || !option.bind_dn.is_empty()
            || !option.certificate.is_empty(),
        &card("writable"),
        "needs `bind_dn`, as which entries are changed",
    );
    let hashes = ScramHash::ALL.iter().filter(has).copied().collect();
    Some(Arc::new(DirectoryConfig {
        host: Arc::clone(name),
        options: directory,
        hashes,
        cards,
        groups,
    }))
}

/// The same with the preset's values where nothing is said.
fn with_preset(option: &HostDirectory) -> HostDirectory {
    let defaults = option.preset.defaults();
    let or = |own: &String, preset: &str| match own.as_str() {
        "" => preset.to_owned(),
        "-" => String::new(),
        _ => own.clone(),
    };
    HostDirectory {
        filter: or(&option.filter, defaults.filter),
        localpart: or(&option.localpart, defaults.localpart),
        unique: or(&option.unique, defaults.unique),
        scram: or(&option.scram, defaults.scram),
        ..option.clone()
    }
}

/// What is secret must go together, and over no open channel.
fn check_secrets(option: &HostDirectory, at: &impl Fn(&str) -> String, sink: &mut Sink<'_>) {
    sink.require(
        option.certificate.is_empty() || !option.key.is_empty(),
        &at("key"),
        "is missing: give the file with the private key of `certificate`",
    );
    sink.require(
        option.key.is_empty() || !option.certificate.is_empty(),
        &at("certificate"),
        "is missing: give the file with the certificate of `key`",
    );
    sink.require(
        option.bind_dn.is_empty() || !option.password_file.is_empty(),
        &at("password_file"),
        "is missing: give the file with the password of `bind_dn`",
    );
    sink.require(
        option.password_file.is_empty() || !option.bind_dn.is_empty(),
        &at("bind_dn"),
        "is missing: name the entry whose password is in `password_file`",
    );
    sink.require(
        option.password_change == DirectoryPasswordChange::Off
            || !option.bind_dn.is_empty()
            || !option.certificate.is_empty(),
        &at("password_change"),
        "needs `bind_dn`, as which passwords are changed",
    );
}

/// Where referrals may lead.
fn check_referrals(option: &HostDirectory, at: &impl Fn(&str) -> String, sink: &mut Sink<'_>) {
    // An address of IPv6 is in brackets, as in an address of a server.
    let is_host = |host: &String| host.starts_with('[') || !host.contains([':', '/']);
    sink.require(
        option.referral_hosts.iter().all(is_host),
        &at("referral_hosts"),
        "must be hosts without a scheme and a port, as in \"ldap2.example.org\"",
    );
    sink.require(
        option.referral_bases.iter().all(|base| is_dn(base)),
        &at("referral_bases"),
        "must be names of entries (RFC 4514), as in \"dc=example,dc=net\"",
    );
}

fn check_search(option: &HostDirectory, at: &impl Fn(&str) -> String, sink: &mut Sink<'_>) {
    sink.require(
        is_dn(&option.base),
        &at("base"),
        "must be the name of an entry (RFC 4514), as in \"ou=people,dc=example,dc=org\"",
    );
    sink.require(
        option.bind_dn.is_empty() || is_dn(&option.bind_dn) || option.bind_dn.contains('@'),
        &at("bind_dn"),
        "must be the name of an entry (RFC 4514), as in \"cn=stonechat,dc=example,dc=org\"",
    );
    sink.require(
        option.filter.contains("{user}"),
        &at("filter"),
        "must hold {user}, which stands for the name that is looked for, as in \"(uid={user})\"",
    );
    sink.require(
        is_balanced(&option.filter),
        &at("filter"),
        "must be a filter in matching parentheses (RFC 4515), as in \"(uid={user})\"",
    );
    sink.require(
        option.rooms_base.is_empty() || is_dn(&option.rooms_base),
        &at("rooms_base"),
        "must be the name of an entry (RFC 4514), as in \"ou=rooms,dc=example,dc=org\"",
    );
    sink.require(
        is_balanced(&option.rooms_filter),
        &at("rooms_filter"),
        "must be a filter in matching parentheses (RFC 4515), as in \"(objectClass=stonechatRoom)\"",
    );
    for (name, value) in [
        ("localpart", &option.localpart),
        ("scram", &option.scram),
        ("unique", &option.unique),
    ] {
        let may_be_none = name == "unique" && value.is_empty();
        sink.require(
            may_be_none || is_attribute(value),
            &at(name),
            "must be the name of an attribute",
        );
    }
}

fn check_amounts(option: &HostDirectory, at: &impl Fn(&str) -> String, sink: &mut Sink<'_>) {
    for (name, duration) in [
        ("connect_timeout", option.connect_timeout),
        ("operation_timeout", option.operation_timeout),
        ("queue_timeout", option.queue_timeout),
    ] {
        let fits = (100..=limits::DIRECTORY_TIMEOUT_MS_MAX).contains(&duration.as_ms());
        sink.require(
            fits,
            &at(name),
            "must be between \"100 ms\" and \"1 min\": logins wait for it",
        );
    }
    sink.require(
        option.poll.as_ms() >= 1_000,
        &at("poll"),
        "must be at least \"1 s\"",
    );
    for (name, count, max) in [
        (
            "search_connections",
            option.search_connections,
            limits::DIRECTORY_CONNECTIONS_MAX,
        ),
        (
            "bind_connections",
            option.bind_connections,
            limits::DIRECTORY_CONNECTIONS_MAX,
        ),
        ("queue", option.queue, limits::DIRECTORY_QUEUE_LIMIT),
        ("cache", option.cache, limits::DIRECTORY_CACHE_LIMIT),
        ("watched", option.watched, limits::DIRECTORY_WATCHED_LIMIT),
    ] {
        if !(1..=max).contains(&count) {
            sink.push(&at(name), format!("must be between 1 and {max}"));
        }
    }
}

/// An address by which LDAP is spoken (RFC 4516): scheme and host, and nothing behind them.
fn check_url(url: &str) -> Result<(), &'static str> {
    let (scheme, rest) = url
        .split_once("://")
        .ok_or("write \"ldap://\" or \"ldaps://\" and the server's name")?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    // RFC 3986 section 3.1: "schemes are case-insensitive".
    match scheme.to_ascii_lowercase().as_str() {
        "ldapi" if !rest.is_empty() && !rest.contains('/') => Ok(()),
        "ldapi" => Err("write the path of the socket with %2F for /"),
        "ldap" | "ldaps" if rest.is_empty() => Err("the name of the server is missing"),
        "ldap" | "ldaps" if rest.contains(['/', '?', '@', ' ']) => {
            Err("only a host, and a port behind a colon, may stand here")
        }
        "ldap" | "ldaps" => match rest.rsplit_once(':') {
            Some((_, port)) if !rest.ends_with(']') && port.parse::<u16>().is_err() => {
                Err("the port is no number below 65536")
            }
            _ => Ok(()),
        },
        _ => Err("the address begins with \"ldap://\", \"ldaps://\" or \"ldapi://\""),
    }
}

/// Whether this may be a name of RFC 4514: each part has a type. The directory judges the rest.
pub(super) fn is_dn(text: &str) -> bool {
    let mut escaped = false;
    let mut part = String::new();
    let mut parts = Vec::new();
    for c in text.chars() {
        match c {
            ',' | '+' if !escaped => parts.push(std::mem::take(&mut part)),
            c => part.push(c),
        }
        escaped = c == '\\' && !escaped;
    }
    parts.push(part);
    parts.iter().all(|part| {
        let named = part.trim_start().split_once('=');
        named.is_some_and(|(name, value)| is_attribute(name.trim_end()) && !value.is_empty())
    })
}

/// RFC 4512 section 2.5: a name or an object identifier, and options behind semicolons.
pub(super) fn is_attribute(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ';' | '_');
    !text.is_empty() && text.chars().all(allowed)
}

pub(super) fn is_balanced(filter: &str) -> bool {
    let mut depth = 0_i32;
    for (at, c) in filter.char_indices() {
        depth += match c {
            '(' => 1,
            ')' => -1,
            _ => 0,
        };
        if depth < 0 || (depth == 0 && at + 1 < filter.len()) {
            return false;
        }
    }
    filter.starts_with('(') && depth == 0
}

#[cfg(test)]
mod tests {
    use super::super::check::{Outside, load};
    use super::*;

    const OUTSIDE: Outside<'_> = Outside {
        features: &[],
        address: |_| Ok(()),
        log_filter: |_| Ok(()),
        cores: 1,
    };

    fn errors(directory: &str) -> Vec<String> {
        let text = format!("[[host]]\nname = \"a\"\n[host.directory]\n{directory}");
        match load("s.toml", &text, &OUTSIDE) {
            Ok(_) => Vec::new(),
            Err(errors) => errors.iter().map(ToString::to_string).collect(),
        }
    }

    const PLACE: &str = "servers = [\"ldap://a\"]\nbase = \"dc=a\"\n";

    #[test]
    fn a_directory_needs_servers_and_a_base_and_the_preset_says_the_rest() {
        let text = format!("[[host]]\nname = \"a\"\n[host.directory]\n{PLACE}");
        let config = load("s.toml", &text, &OUTSIDE).expect("valid");
        let directory = config.hosts[0].directory.as_ref().expect("is there");
        assert_eq!(
            directory.options.filter,
            "(&(objectClass=inetOrgPerson)(uid={user}))"
        );
        assert!(directory.hashes.is_empty());
        assert!(config.hosts[0].scram.is_empty(), "passwords are tried");
        for scheme in ["LDAP", "Ldaps"] {
            let text = text.replace("ldap://", &format!("{scheme}://"));
            assert!(load("s.toml", &text, &OUTSIDE).is_ok(), "{scheme}");
        }
        let text = text.replace("base", "preset = \"active-directory\"\nbase");
        let config = load("s.toml", &text, &OUTSIDE).expect("valid");
        let directory = config.hosts[0].directory.as_ref().expect("is there");
        assert_eq!(directory.options.unique, "objectGUID");
    }

    #[test]
    fn a_host_without_servers_has_no_directory() {
        let config = load("s.toml", "[[host]]\nname = \"a\"\n", &OUTSIDE).expect("valid");
        assert_eq!(config.hosts[0].directory, None);
        assert_eq!(config.hosts[0].scram, ScramHash::ALL);
        let found = errors("base = \"dc=a\"\n");
        assert!(
            found[0].contains("host[0].directory.servers: is missing"),
            "{found:?}"
        );
    }

    #[test]
    fn keys_are_offered_for_the_digests_that_users_have() {
        let text = format!(
            "[[host]]\nname = \"a\"\n[host.directory]\n{PLACE}authentication = \"scram\"\n\
             scram_hashes = [\"SHA-1\", \"SHA-512\"]\n"
        );
        let config = load("s.toml", &text, &OUTSIDE).expect("valid");
        assert_eq!(config.hosts[0].scram, [ScramHash::Sha512, ScramHash::Sha1]);
        assert!(!config.hosts[0].plain, "nothing can try a password");
    }

    #[test]
    fn what_is_wrong_is_said_at_its_option() {
        for (text, expected) in [
            (
                "servers = [\"ldap.example\"]\nbase = \"dc=a\"\n",
                "servers: `ldap.example`",
            ),
            ("servers = [\"http://a\"]\nbase = \"dc=a\"\n", "begins with"),
            (
                "servers = [\"ldap://a:70000\"]\nbase = \"dc=a\"\n",
                "no number below",
            ),
            (
                "servers = [\"ldap://a/dc=a\"]\nbase = \"dc=a\"\n",
                "only a host",
            ),
            (
                "servers = [\"ldap://a\"]\nbase = \"dc=a\"\nreferral_hosts = [\"ldap://b\"]\n",
                "referral_hosts: must be hosts",
            ),
            (
                "servers = [\"ldap://a\"]\nbase = \"dc=a\"\nreferral_bases = [\"b\"]\n",
                "referral_bases: must be names",
            ),
            ("servers = [\"ldap://a\"]\n", "base: must be the name"),
            (
                "servers = [\"ldap://a\"]\nbase = \"people\"\n",
                "base: must be the name",
            ),
            (
                "servers = [\"ldap://a\"]\nbase = \"dc=a\"\nbind_dn = \"cn=b\"\n",
                "password_file: is missing",
            ),
            (
                "servers = [\"ldap://a\"]\nbase = \"dc=a\"\nfilter = \"(uid=x)\"\n",
                "must hold {user}",
            ),
            (
                "servers = [\"ldap://a\"]\nbase = \"dc=a\"\nfilter = \"(uid={user}\"\n",
                "matching parentheses",
            ),
            (
                "servers = [\"ldap://a\"]\nbase = \"dc=a\"\ncertificate = \"c.pem\"\n",
                "key: is missing",
            ),
            (
                "servers = [\"ldap://a\"]\nbase = \"dc=a\"\noperation_timeout = \"1 h\"\n",
                "logins wait for it",
            ),
            (
                "servers = [\"ldap://a\"]\nbase = \"dc=a\"\nrooms_base = \"rooms\"\n",
                "rooms_base: must be the name",
            ),
            (
                "servers = [\"ldap://a\"]\nbase = \"dc=a\"\nrooms_filter = \"a=b\"\n",
                "rooms_filter: must be a filter",
            ),
            (
                "servers = [\"ldap://a\"]\nbase = \"dc=a\"\nqueue = 0\n",
                "must be between 1 and",
            ),
            (
                "servers = [\"ldap://a\"]\nbase = \"dc=a\"\npreset = \"novell\"\n",
                "unknown variant",
            ),
        ] {
            let found = errors(text);
            assert!(
                found.len() == 1 && found[0].contains(expected),
                "{text}: {found:?}"
            );
        }
        assert_eq!(errors(PLACE), [""; 0]);
        let none = errors(&format!("{PLACE}[host.auth]\nplain = false\n"));
        assert!(none[0].contains("host[0].auth.plain"), "{none:?}");
        let open = errors(&format!("{PLACE}[host.registration]\nmode = \"open\"\n"));
        assert!(open[0].contains("host[0].registration.mode"), "{open:?}");
    }

    #[test]
    fn names_of_entries_have_types_and_may_hold_escaped_commas() {
        for fine in [
            "dc=a",
            "ou=people, dc=example,dc=org",
            "cn=Doe\\, John+uid=j,dc=a",
            "1.2.3=#04",
        ] {
            assert!(is_dn(fine), "{fine}");
        }
        for wrong in ["", "people", "dc=a,", "dc=", "=a", "dc=a,,dc=b"] {
            assert!(!is_dn(wrong), "{wrong}");
        }
    }
}
