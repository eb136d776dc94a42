//! `stonechat check`: would this server start and serve, and if not, what mends it. Refuses to change
//! anything, except that it tries to listen where nobody does.

mod data;
mod directory;
mod ports;

use std::fmt;
use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::certificates::{
    asking_listener, authorities_place, client_authorities, client_authorities_file,
};
use super::settings::{read_certificate, read_config};
use crate::config::{Certificate, Config, ConfigError, HostConfig, help};
use data::{check_audit, check_data};
use directory::check_directories;
use ports::{check_ports, held_by_server};

/// Something that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub level: Level,
    /// What was found.
    pub text: String,
    /// How to mend it; empty if there is nothing to mend.
    pub mend: String,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Fine,
    /// The server starts, and serves less than it could.
    Warning,
    /// The server does not start, or clients do not get in.
    Error,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Fine => "ok     ",
            Level::Warning => "warning",
            Level::Error => "error  ",
        };
        write!(f, "{level} {}", self.text)?;
        if !self.mend.is_empty() {
            write!(f, "\n        mend: {}", self.mend)?;
        }
        Ok(())
    }
}

/// Looks at everything. `config` is the configuration file, if one is used.
pub fn check(config: Option<&Path>, data: &Path) -> Vec<Finding> {
    let mut findings = Vec::new();
    match read_config(config) {
        Ok(checked) => {
            let hosts = match checked.hosts.len() {
                1 => "1 host".to_owned(),
                count => format!("{count} hosts"),
            };
            findings.push(fine(format!("configuration: {hosts}")));
            let today_s = unix_seconds();
            for (index, host) in checked.hosts.iter().enumerate() {
                findings.extend(check_certificate(config, &checked, index, host, today_s));
            }
            findings.extend(check_client_authorities(&checked, data));
            findings.extend(check_asking(&checked, data));
            findings.extend(check_directories(config, &checked));
            findings.extend(check_ports(&checked, &held_by_server(data)));
            findings.extend(check_audit(&checked, data));
        }
        Err(errors) => {
            findings.extend(
                errors
                    .iter()
                    .map(|found| error(found.to_string(), mend_configuration(found))),
            );
        }
    }
    findings.extend(check_data(data));
    findings.extend(check_limits());
    findings.extend(check_clock(unix_seconds()));
    findings
}

/// What an option is for and what it is by default says mostly what was wrong with its value.
fn mend_configuration(found: &ConfigError) -> String {
    let all = "`stonechat config reference` prints every option with its default";
    match (found.path.as_str(), found.line) {
        ("", None) => "let this user read the file, or give another one with --config".to_owned(),
        ("", Some(_)) => {
            format!(
                "an option is `name = value`, where text stands in quotes, below its `[section]`; {all}"
            )
        }
        (path, _) => match help(path) {
            Some(help) => format!("{path}: {help}"),
            None => format!("remove or correct it; {all}"),
        },
    }
}

fn fine(text: String) -> Finding {
    Finding {
        level: Level::Fine,
        text,
        mend: String::new(),
    }
}

fn warning(text: String, mend: String) -> Finding {
    Finding {
        level: Level::Warning,
        text,
        mend,
    }
}

fn error(text: String, mend: String) -> Finding {
    Finding {
        level: Level::Error,
        text,
        mend,
    }
}

fn check_certificate(
    path: Option<&Path>,
    config: &Config,
    index: usize,
    host: &HostConfig,
    today_s: i64,
) -> Vec<Finding> {
    let name = &host.name;
    if host.certificate == Certificate::SelfSigned {
        return vec![warning(
            format!("certificate of {name}: self-signed, clients will warn of it"),
            "give `certificate` and `key` of the host once it serves anybody but you".to_owned(),
        )];
    }
    let place = |option: &str, message: String| {
        config
            .places()
            .error(&format!("host[{index}].{option}"), message)
    };
    match read_certificate(path, host) {
        Err((option, message)) => vec![error(
            place(option, message).to_string(),
            "give a certificate chain and its private key, both in PEM and readable by this user"
                .to_owned(),
        )],
        Ok(certified) => {
            let leaf = certified
                .as_ref()
                .and_then(|certified| certified.cert.first());
            let leaf = leaf.map_or(&[][..], AsRef::as_ref);
            let mut findings = inspect(name, leaf, today_s);
            for finding in findings
                .iter_mut()
                .filter(|finding| finding.level > Level::Fine)
            {
                finding.text = place("certificate", finding.text.clone()).to_string();
            }
            findings
        }
    }
}

/// The authorities that may vouch for clients, if the operator gave any.
fn check_client_authorities(config: &Config, data: &Path) -> Option<Finding> {
    match client_authorities(data) {
        Ok(authorities) if authorities.is_empty() => None,
        Ok(authorities) => Some(fine(format!(
            "authorities for client certificates: {}",
            authorities.count()
        ))),
        Err(message) => Some(error(
            authorities_place(config, message).to_string(),
            "give certificates of authorities in PEM, readable by this user, or remove the file"
                .to_owned(),
        )),
    }
}

/// Who is asked for a certificate must be able to prove something with it.
fn check_asking(config: &Config, data: &Path) -> Option<Finding> {
    let asking = asking_listener(config)?;
    let path = client_authorities_file(data);
    if path.exists() {
        return None;
    }
    let text = format!(
        "asks for certificates, but {} is not there: no client is asked, and SASL EXTERNAL lets nobody in",
        path.display()
    );
    let place = config
        .places()
        .error(&format!("listener[{asking}].client_certificates"), text);
    Some(warning(
        place.to_string(),
        "put the certificates of the authorities that sign your clients' there, in PEM".to_owned(),
    ))
}

/// Looks into a certificate in DER: its time and its names.
fn inspect(host: &str, certificate: &[u8], today_s: i64) -> Vec<Finding> {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else {
        return vec![error(
            "the certificate cannot be read".to_owned(),
            "give another one".to_owned(),
        )];
    };
    let renew = "renew it, then send SIGHUP".to_owned();
    let mut findings = Vec::new();
    let validity = parsed.validity();
    let days = (validity.not_after.timestamp() - today_s).div_euclid(86_400);
    if validity.not_before.timestamp() > today_s {
        let mend = "set the clock right, or give another certificate".to_owned();
        findings.push(error(
            format!("is valid only from {}", validity.not_before),
            mend,
        ));
    } else if days < 0 {
        findings.push(error(format!("expired on {}", validity.not_after), renew));
    } else if days < EXPIRY_WARNING_DAYS {
        findings.push(warning(format!("expires in {days} days"), renew));
    } else {
        findings.push(fine(format!(
            "certificate of {host}: valid for {days} days"
        )));
    }
    if !covers(&parsed, host) {
        let mend = format!("order one with the DNS name {host} (RFC 6120 section 13.7.1.2)");
        findings.push(error(
            format!("does not name {host}: clients will refuse it"),
            mend,
        ));
    }
    findings
}

/// Whether a DNS name of the certificate is the host's, by RFC 6125 section 6.4: "*" stands for one whole label.
fn covers(certificate: &X509Certificate<'_>, host: &str) -> bool {
    let Ok(host) = idna::domain_to_ascii(host) else {
        return false;
    };
    let Ok(Some(names)) = certificate.subject_alternative_name() else {
        return false;
    };
    let is_host = |name: &str| match name.strip_prefix("*.") {
        Some(parent) => host
            .split_once('.')
            .is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(parent)),
        None => host.eq_ignore_ascii_case(name),
    };
    names
        .value
        .general_names
        .iter()
        .any(|name| matches!(name, GeneralName::DNSName(name) if is_host(name)))
}

fn check_limits() -> Vec<Finding> {
    let mut findings = Vec::new();
    // Read as text: asking the system directly would be unsafe code for one number.
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    findings.extend(open_files_max(&limits).map(descriptor_finding));
    for (path, least, why) in KERNEL_LIMITS {
        let Ok(text) = fs::read_to_string(format!("/proc/sys/{path}")) else {
            continue;
        };
        let Ok(value) = text.trim().parse::<u64>() else {
            continue;
        };
        findings.push(kernel_finding(path, value, *least, why));
    }
    findings
}

/// The hard limit of open files, to which the server raises itself.
fn open_files_max(limits: &str) -> Option<u64> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().nth(1)? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

fn descriptor_finding(count: u64) -> Finding {
    let clients = count.saturating_sub(OWN_DESCRIPTORS);
    if count >= DESCRIPTORS_WANTED {
        return fine(format!(
            "open files: {count}, room for {clients} connections"
        ));
    }
    warning(
        format!("open files: {count}, so at most {clients} connections"),
        format!("ulimit -n {DESCRIPTORS_WANTED} (systemd: LimitNOFILE={DESCRIPTORS_WANTED})"),
    )
}

fn kernel_finding(path: &str, value: u64, least: u64, why: &str) -> Finding {
    let name = path.replace('/', ".");
    if value >= least {
        return fine(format!("{name}: {value}"));
    }
    warning(
        format!("{name}: {value}; {why}"),
        format!("sysctl -w {name}={least}"),
    )
}

fn unix_seconds() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

fn check_clock(today_s: i64) -> Option<Finding> {
    (today_s < CLOCK_EARLIEST_S).then(|| {
        error(
            "clock: it shows a time before this program was written".to_owned(),
            "set it, and run an NTP client: certificates and stamps depend on it".to_owned(),
        )
    })
}

/// Certificates are ordered for 90 days at a time by most; a week of reminders before automatic renewal is over.
const EXPIRY_WARNING_DAYS: i64 = 14;
/// Below it a public server runs out of connections first.
const DESCRIPTORS_WANTED: u64 = 65_536;
/// What the server itself holds open: store, log, event loops.
const OWN_DESCRIPTORS: u64 = 512;
/// 2026-11-01.
const CLOCK_EARLIEST_S: i64 = 1_793_491_200;
const KERNEL_LIMITS: &[(&str, u64, &str)] = &[
    (
        "net/core/somaxconn",
        1_024,
        "connections that arrive together are dropped after a restart",
    ),
    ("fs/file-max", 65_536, "open files of all programs together"),
    (
        "fs/nr_open",
        65_536,
        "no program may open more files than this",
    ),
];

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::path::PathBuf;

    /// A configuration called `s.toml`.
    pub fn config(text: &str) -> Config {
        crate::config::load("s.toml", text, &OUTSIDE).expect("valid")
    }

    const OUTSIDE: crate::config::Outside<'_> = crate::config::Outside {
        features: &[],
        address: |_| Ok(()),
        log_filter: |_| Ok(()),
        cores: 1,
    };

    /// A directory, removed with the test.
    pub struct Scratch(pub PathBuf);

    impl Scratch {
        pub fn new(name: &str) -> Scratch {
            let name = format!("stonechat-check-{name}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            let _ = fs::remove_dir_all(&path);
            fs::create_dir(&path).expect("a directory");
            Scratch(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn what_mends_an_error_of_the_configuration_belongs_to_that_error() {
        let mends = |text: &str| -> Vec<String> {
            let errors = crate::config::load("s.toml", text, &OUTSIDE).expect_err("is wrong");
            errors.iter().map(mend_configuration).collect()
        };
        let of_options = mends("sm.resume_timeout = 7\n[[host]]\nname = 5\n");
        assert!(
            of_options[0].starts_with("sm.resume_timeout: ")
                && of_options[0].ends_with("Its default: \"5 min\""),
            "{of_options:?}"
        );
        assert!(
            of_options[1].starts_with("host[0].name: "),
            "{of_options:?}"
        );
        assert_ne!(of_options[0], of_options[1]);
        let unknown = mends("sm.no_such_thing_at_all = 7\n");
        assert!(
            unknown[0].contains("stonechat config reference"),
            "{unknown:?}"
        );
        let syntax = mends("[sm\n");
        assert!(syntax[0].contains("`name = value`"), "{syntax:?}");
        let missing = super::super::settings::read_config(Some(Path::new("/nonexistent/s.toml")));
        let missing = missing.expect_err("is not there");
        assert!(mend_configuration(&missing[0]).contains("--config"));
    }

    fn certificate(names: &[&str], until: (i32, u8, u8)) -> Vec<u8> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut parameters = rcgen::CertificateParams::new(names).expect("valid names");
        parameters.not_before = rcgen::date_time_ymd(2020, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(until.0, until.1, until.2);
        let key = rcgen::KeyPair::generate().expect("a key");
        parameters
            .self_signed(&key)
            .expect("a certificate")
            .der()
            .to_vec()
    }

    const NOVEMBER_2026_S: i64 = 1_794_000_000;

    fn levels(host: &str, certificate: &[u8]) -> Vec<Level> {
        inspect(host, certificate, NOVEMBER_2026_S)
            .iter()
            .map(|finding| finding.level)
            .collect()
    }

    #[test]
    fn a_certificate_is_judged_by_its_time() {
        assert_eq!(
            levels("a.example", &certificate(&["a.example"], (2030, 1, 1))),
            [Level::Fine]
        );
        assert_eq!(
            levels("a.example", &certificate(&["a.example"], (2026, 11, 10))),
            [Level::Warning]
        );
        assert_eq!(
            levels("a.example", &certificate(&["a.example"], (2026, 1, 1))),
            [Level::Error]
        );
    }

    #[test]
    fn a_certificate_must_name_the_host_a_star_for_one_label() {
        let one = certificate(&["*.example.org", "b.example"], (2030, 1, 1));
        assert_eq!(levels("b.example", &one), [Level::Fine]);
        assert_eq!(levels("chat.example.org", &one), [Level::Fine]);
        assert_eq!(levels("example.org", &one), [Level::Fine, Level::Error]);
        assert_eq!(
            levels("a.chat.example.org", &one),
            [Level::Fine, Level::Error]
        );
    }

    #[test]
    fn who_asks_for_certificates_and_knows_no_authority_is_warned() {
        let scratch = Scratch::new("authorities");
        let directory = &scratch.0;
        let findings = |listener: &str| {
            let text = format!("[[listener]]\naddress = \"[::]:1\"\ntls = \"direct\"\n{listener}");
            check_asking(&config(&text), directory)
        };
        assert_eq!(findings(""), None);
        let asking = "client_certificates = \"request\"\n";
        let finding = findings(asking).expect("a warning");
        assert_eq!(finding.level, Level::Warning);
        assert!(finding.text.starts_with("s.toml:4: "), "{finding}");
        assert!(finding.text.contains("cert/client-ca.pem"), "{finding}");
        fs::create_dir_all(directory.join("cert")).expect("ours");
        fs::write(directory.join("cert/client-ca.pem"), "").expect("ours");
        assert_eq!(findings(asking), None);
    }

    #[test]
    fn few_descriptors_are_a_warning_that_says_how_to_have_more() {
        let text = "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 4096                 files     \n";
        let finding = descriptor_finding(open_files_max(text).expect("is there"));
        assert_eq!(finding.level, Level::Warning);
        assert!(finding.mend.contains("LimitNOFILE=65536"));
        assert_eq!(descriptor_finding(1_048_576).level, Level::Fine);
    }

    #[test]
    fn a_clock_in_the_past_is_an_error() {
        assert_eq!(
            check_clock(0).map(|finding| finding.level),
            Some(Level::Error)
        );
        assert_eq!(check_clock(NOVEMBER_2026_S), None);
    }
}
