//! Whether options make sense, alone and together. Refuses to know how they were written.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::check::{Outside, Sink, nearest, unknown_message};
use super::directory::{DirectoryConfig, check_directory};
use super::file::{self, ClientCertificates, Compression, File, HostRegistration, TlsMode};
use super::host::{Certificate, HostConfig, ScramHash};
use super::place;
use super::units::Size;
use crate::base::limits;
use crate::jid::{Jid, prepare_domainpart, prepare_localpart};

/// The hosts that are right, prepared.
pub(super) fn check_hosts(file: &File, sink: &mut Sink<'_>) -> Vec<Arc<HostConfig>> {
    sink.require(
        !file.host.is_empty(),
        "host",
        "at least one host must be served",
    );
    let mut names = BTreeSet::new();
    let mut hosts = Vec::new();
    for (index, host) in file.host.iter().enumerate() {
        let at = format!("host[{index}]");
        let at = |name: &str| format!("{at}.{name}");
        if sink.places.contains(&format!("host[{index}]")) && !sink.places.contains(&at("name")) {
            sink.push(&at("name"), "is missing: name the domain that is served");
        }
        let name: Arc<str> = match prepare_domainpart(&host.name) {
            Ok(name) => Arc::from(name),
            Err(error) => {
                sink.push(&at("name"), error.to_string());
                continue;
            }
        };
        sink.require(
            names.insert(name.clone()),
            &at("name"),
            "this host is already configured above",
        );
        let certificate = match (host.certificate.is_empty(), host.key.is_empty()) {
            (true, true) => Certificate::SelfSigned,
            (false, false) => Certificate::Files {
                certificate: host.certificate.clone(),
                key: host.key.clone(),
            },
            (false, true) => {
                sink.push(
                    &at("key"),
                    "is missing: give the file with the private key of `certificate`",
                );
                continue;
            }
            (true, false) => {
                sink.push(
                    &at("certificate"),
                    "is missing: give the file with the certificate of `key`",
                );
                continue;
            }
        };
        let own = host.auth.scram_iterations;
        if own != 0 {
            check_iterations(own, &at("auth.scram_iterations"), sink);
        }
        for (name, addresses) in host.contact.fields() {
            let name = name.trim_end_matches("-addresses");
            sink.require(
                addresses.iter().all(|address| is_uri(address)),
                &at(&format!("contact.{name}")),
                "must be URIs, as in \"mailto:admin@example.org\" or \"xmpp:admin@example.org\"",
            );
        }
        let directory = check_directory(host, &name, &format!("host[{index}]"), sink);
        hosts.push(Arc::new(HostConfig {
            name,
            certificate,
            plain: host.auth.plain && directory.as_ref().is_none_or(tries_passwords),
            external: host.auth.external,
            anonymous: host.auth.anonymous,
            scram: match &directory {
                Some(directory) => directory.hashes.clone(),
                None => ScramHash::ALL.to_vec(),
            },
            archive: host.archive.clone(),
            vcard: host.vcard.clone(),
            contact: host.contact.clone(),
            registration: check_registration(&host.registration, &at("registration"), sink),
            directory,
            scram_iterations: if own == 0 {
                file.auth.scram_iterations
            } else {
                own
            },
        }));
    }
    hosts
}

/// Whether passwords can be verified that come as they are.
fn tries_passwords(directory: &Arc<DirectoryConfig>) -> bool {
    directory.options.authentication.binds()
}

/// The same with reserved names prepared.
fn check_registration(
    option: &HostRegistration,
    at: &str,
    sink: &mut Sink<'_>,
) -> HostRegistration {
    let at = |name: &str| format!("{at}.{name}");
    sink.require(
        option.window.as_ms() >= 60_000,
        &at("window"),
        "must be at least \"1 min\"",
    );
    for (name, count) in [
        ("per_address", option.per_address),
        ("per_host", option.per_host),
        ("name_min", option.name_min),
    ] {
        sink.require(count > 0, &at(name), "must be at least 1");
    }
    sink.require(
        option.name_min <= option.name_max,
        &at("name_max"),
        "must not be below name_min",
    );
    sink.require(
        option.name_max <= limits::REGISTRATION_NAME_MAX,
        &at("name_max"),
        "at most 1023: no localpart is longer",
    );
    let unknown = |field: &&String| !REGISTRATION_FIELDS.contains(&field.as_str());
    if let Some(field) = option.fields.iter().find(unknown) {
        let meant = nearest(field, REGISTRATION_FIELDS);
        sink.push(&at("fields"), unknown_message("field", meant));
    }
    let mut reserved = Vec::with_capacity(option.reserved.len());
    for name in &option.reserved {
        match prepare_localpart(name) {
            Ok(name) => reserved.push(name.into_owned()),
            Err(error) => sink.push(&at("reserved"), format!("`{name}`: {error}")),
        }
    }
    HostRegistration {
        reserved,
        ..option.clone()
    }
}

/// What XEP-0077 section 14.1 has beside name and password.
const REGISTRATION_FIELDS: &[&str] = &[
    "name", "first", "last", "nick", "email", "phone", "address", "city", "state", "zip", "url",
    "date", "misc", "text",
];

pub(super) fn check_listeners(file: &File, outside: &Outside<'_>, sink: &mut Sink<'_>) {
    sink.require(
        !file.listener.is_empty(),
        "listener",
        "at least one listener is needed",
    );
    let mut addresses = BTreeSet::new();
    for (index, listener) in file.listener.iter().enumerate() {
        let at = format!("listener[{index}]");
        let at = |name: &str| format!("{at}.{name}");
        if sink.places.contains(&format!("listener[{index}]"))
            && !sink.places.contains(&at("address"))
        {
            sink.push(
                &at("address"),
                "is missing: give an IP address and port, as in \"[::]:5222\"",
            );
        }
        if let Err(message) = (outside.address)(&listener.address) {
            sink.push(&at("address"), message);
        }
        let first = addresses.insert(listener.address.as_str());
        // The system gives each who asks for port 0 one of its own.
        let is_any = listener.address.ends_with(":0");
        sink.require(
            first || is_any,
            &at("address"),
            "a listener above has this address already",
        );
        let asks = listener.client_certificates == ClientCertificates::Request;
        let can_ask = listener.tls != TlsMode::None;
        sink.require(
            can_ask || !asks,
            &at("client_certificates"),
            "cannot be requested where `tls` is \"none\"",
        );
        let is_offered = listener.compression != Compression::None;
        sink.require(
            is_offered || listener.compression_networks.is_empty(),
            &at("compression_networks"),
            "nobody may have what is not offered: set `compression` to \"zlib\"",
        );
    }
    let asked =
        |listener: &file::Listener| listener.client_certificates == ClientCertificates::Request;
    for (index, host) in file.host.iter().enumerate() {
        sink.require(
            !host.auth.external || file.listener.iter().any(asked),
            &format!("host[{index}].auth.external"),
            "needs a listener with client_certificates = \"request\"",
        );
    }
}

/// Relations between numbers: the same that `base/limits.rs` asserts of the defaults.
pub(super) fn check_limits(file: &File, outside: &Outside<'_>, sink: &mut Sink<'_>) {
    let File {
        server,
        c2s,
        sm,
        csi,
        ..
    } = file;
    sink.require(
        server.workers <= limits::WORKERS_MAX,
        "server.workers",
        "at most 255 workers",
    );
    sink.require(
        server.see_other_host.is_empty() || is_host_and_port(&server.see_other_host),
        "server.see_other_host",
        "is no \"host\" or \"host:port\"; an IPv6 address stands in brackets",
    );

    let workers = match server.workers {
        0 => outside.cores as u64,
        workers => u64::from(workers),
    };
    // Each worker has its share, and one slow reader alone must not fill it.
    sink.require(
        server.queue_memory.as_bytes() / workers.max(1) >= c2s.outbound_hard.as_bytes(),
        "server.queue_memory",
        "must be at least c2s.outbound_hard for each worker",
    );
    // Less than some turns of the loop says nothing of the next ones.
    sink.require(
        matches!(server.overload_after.as_ms(), 0 | 20..),
        "server.overload_after",
        "must be \"0 ms\" or at least \"20 ms\"",
    );

    sink.require(
        file.auth.token_expiry.as_ms() >= 3_600_000,
        "auth.token_expiry",
        "must be at least \"1 h\"",
    );
    sink.require(
        (1..=limits::TOKEN_CLIENTS_LIMIT).contains(&file.auth.token_clients),
        "auth.token_clients",
        "must be 1 to 1000",
    );
    sink.require(
        file.auth.invitations_per_account as usize <= limits::INVITATIONS_READ_MAX,
        "auth.invitations_per_account",
        "at most 1000",
    );

    // RFC 6120 section 13.12: "a maximum stanza size ... MUST NOT be smaller than 10000 bytes".
    sink.require(
        c2s.element_size.as_bytes() >= 10_000,
        "c2s.element_size",
        "must be at least 10000 B (RFC 6120)",
    );
    sink.require(
        fits_twice(c2s.element_size, c2s.outbound_hard),
        "c2s.element_size",
        "must not be above half of c2s.outbound_hard, or one stanza would fill a queue",
    );
    sink.require(
        c2s.element_size <= c2s.rate_bytes_burst,
        "c2s.rate_bytes_burst",
        "must not be below c2s.element_size, or the largest stanza would never pass",
    );
    sink.require(
        c2s.outbound_soft < c2s.outbound_hard,
        "c2s.outbound_soft",
        "must be below c2s.outbound_hard",
    );
    sink.require(
        c2s.handshake_timeout <= c2s.negotiation_timeout,
        "c2s.handshake_timeout",
        "must not be above c2s.negotiation_timeout, of which it is a part",
    );
    for (path, duration) in [
        ("c2s.ping_after", c2s.ping_after),
        ("c2s.ping_timeout", c2s.ping_timeout),
        ("c2s.negotiation_timeout", c2s.negotiation_timeout),
        ("c2s.handshake_timeout", c2s.handshake_timeout),
    ] {
        sink.require(duration.as_ms() >= 1_000, path, "must be at least \"1 s\"");
    }
    for (path, count) in [
        ("c2s.unproved_per_address", c2s.unproved_per_address),
        ("c2s.rate_stanzas_per_s", c2s.rate_stanzas_per_s),
        ("c2s.rate_stanzas_burst", c2s.rate_stanzas_burst),
        ("c2s.sessions_per_account", c2s.sessions_per_account),
        ("sm.unacked_count", sm.unacked_count),
        ("csi.held_count", csi.held_count),
        ("sm.ack_request_after", sm.ack_request_after),
    ] {
        sink.require(count > 0, path, "must be at least 1");
    }
    sink.require(
        c2s.rate_bytes_per_s.as_bytes() >= 1_024,
        "c2s.rate_bytes_per_s",
        "must be at least \"1 KiB\"",
    );
    sink.require(
        sm.ack_request_after <= sm.unacked_count,
        "sm.ack_request_after",
        "must not be above sm.unacked_count, or no acknowledgement would be asked for in time",
    );
    sink.require(
        fits_twice(c2s.element_size, sm.unacked_size),
        "sm.unacked_size",
        "must not be below twice c2s.element_size, or one stanza would fill a queue",
    );
    sink.require(
        csi.held_size < c2s.outbound_soft,
        "csi.held_size",
        "must be below c2s.outbound_soft, or what waited would end its client's connection",
    );
    sink.require(
        file.roster.size.as_bytes() <= limits::ROSTER_READ_BYTES_MAX as u64,
        "roster.size",
        "must be at most \"4 MiB\"",
    );
    sink.require(
        file.roster.requests <= limits::REQUEST_COUNT_LIMIT,
        "roster.requests",
        "must be at most 500",
    );
    sink.require(
        file.profile.private_size.as_bytes() <= limits::PRIVATE_READ_BYTES_MAX as u64,
        "profile.private_size",
        "must be at most \"1 MiB\"",
    );
    sink.require(
        file.blocking.items <= limits::BLOCKLIST_ITEMS_LIMIT,
        "blocking.items",
        "must be at most 10000",
    );
    let report_to = &file.blocking.report_to;
    sink.require(
        report_to.is_empty() || Jid::parse(report_to).is_ok(),
        "blocking.report_to",
        "is no address",
    );
    check_iterations(file.auth.scram_iterations, "auth.scram_iterations", sink);

    sink.require(
        !file.tls.versions.is_empty(),
        "tls.versions",
        "name \"1.2\", \"1.3\" or both",
    );
    sink.require(
        file.store.cache.as_bytes() >= 1 << 20,
        "store.cache",
        "must be at least \"1 MiB\"",
    );
    if let Err(message) = (outside.log_filter)(&file.log.filter) {
        sink.push("log.filter", message);
    }
    for name in file
        .features
        .keys()
        .filter(|name| !outside.features.contains(&name.as_str()))
    {
        sink.push(
            &place::join("features", name),
            unknown_message("feature", nearest(name, outside.features)),
        );
    }
}

/// RFC 3986 section 3: a scheme, a colon, and nothing that has to be escaped.
fn is_uri(text: &str) -> bool {
    let is_scheme = |scheme: &str| {
        let mut bytes = scheme.bytes();
        bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic())
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    };
    let is_wrong = |c: char| c.is_whitespace() || c.is_control() || "<>\"{}|\\^`".contains(c);
    let parts = text.split_once(':');
    parts.is_some_and(|(scheme, rest)| is_scheme(scheme) && !rest.is_empty())
        && !text.contains(is_wrong)
}

/// A queue charges more for an element than its bytes.
fn fits_twice(element: Size, queue: Size) -> bool {
    queue.as_bytes() / 2 >= element.as_bytes()
}

fn check_iterations(iterations: u32, path: &str, sink: &mut Sink<'_>) {
    let range = limits::SCRAM_ITERATIONS_MIN..=limits::SCRAM_ITERATIONS_MAX;
    sink.require(
        range.contains(&iterations),
        path,
        "must be between 4096 (RFC 7677) and 1000000",
    );
}

/// RFC 6120 section 4.9.3.19: "a valid domainpart or a domainpart plus port number (separated by the ':' character
/// in the form "domainpart:port")"; what clients cannot read would keep them from coming back.
fn is_host_and_port(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    prepare_domainpart(host).is_ok() && port.is_none_or(is_port)
}
