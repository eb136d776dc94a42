//! From text to [`Config`], or to everything that is wrong with the text at once. Refuses to stop at the
//! first error, and to judge what only an operating system can.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, Deserializer};

use super::file::File;
use super::host::Config;
use super::judge::{check_hosts, check_limits, check_listeners};
use super::place::{self, ConfigError, Places};
use super::reference::known_names;

/// What the configuration cannot judge itself.
#[derive(Clone, Copy)]
pub struct Outside<'a> {
    /// Names of the features that have a switch.
    pub features: &'a [&'a str],
    /// Whether a text is an IP address and port; the error says what it is not.
    pub address: fn(&str) -> Result<(), String>,
    /// Whether a text is a log filter; the error says what it is not.
    pub log_filter: fn(&str) -> Result<(), String>,
    /// Workers of a server whose configuration names no number.
    pub cores: usize,
}

/// Reads a configuration. `name` is what errors call the text; an empty text is the defaults.
///
/// # Errors
/// All that is wrong, in the order of the file.
pub fn load(name: &str, text: &str, outside: &Outside<'_>) -> Result<Config, Vec<ConfigError>> {
    let (table, syntax) = DeTable::parse_recoverable(text);
    let places = Places::of(name, text, table.get_ref());
    let mut errors: Vec<ConfigError> = syntax
        .iter()
        .map(|error| places.syntax_error(text, error))
        .collect();
    let broken: BTreeSet<Option<usize>> = errors.iter().map(|error| error.line).collect();

    let mut sink = Sink {
        places: &places,
        errors: Vec::new(),
    };
    let table = without_unknown(table, &mut sink);
    let file = without_wrong_types(table, &mut sink);
    let hosts = check_hosts(&file, &mut sink);
    check_listeners(&file, outside, &mut sink);
    check_limits(&file, outside, &mut sink);

    // What follows from a line that is no TOML would only distract from it.
    errors.extend(
        sink.errors
            .into_iter()
            .filter(|error| !broken.contains(&error.line)),
    );
    if !errors.is_empty() {
        errors.sort_by_key(|error| error.line);
        return Err(errors);
    }
    Ok(Config {
        server: file.server.clone(),
        hosts,
        listeners: file.listener.clone(),
        c2s: file.c2s.clone(),
        sm: file.sm.clone(),
        csi: file.csi.clone(),
        delivery: file.delivery.clone(),
        roster: file.roster.clone(),
        profile: file.profile.clone(),
        blocking: file.blocking.clone(),
        auth: file.auth.clone(),
        tls: file.tls.clone(),
        store: file.store.clone(),
        audit: file.audit.clone(),
        log: file.log.clone(),
        file,
        places,
    })
}

/// Errors on their way out; the first about a path is the one that counts.
pub(super) struct Sink<'a> {
    pub(super) places: &'a Places,
    errors: Vec<ConfigError>,
}

impl Sink<'_> {
    pub(super) fn push(&mut self, path: &str, message: impl Into<String>) {
        if !self.errors.iter().any(|error| error.path == path) {
            self.errors.push(self.places.error(path, message));
        }
    }

    pub(super) fn require(&mut self, holds: bool, path: &str, message: &str) {
        if !holds {
            self.push(path, message);
        }
    }
}

/// Reports keys that mean nothing, and takes them out.
fn without_unknown<'t>(
    mut table: Spanned<DeTable<'t>>,
    sink: &mut Sink<'_>,
) -> Spanned<DeTable<'t>> {
    let unknown: Vec<(String, Option<&'static str>)> = place::entries(table.get_ref())
        .into_iter()
        .filter(|entry| entry.has_key)
        .filter_map(|entry| {
            let plain = place::without_indices(&entry.path);
            let (section, name) = plain.rsplit_once('.').unwrap_or(("", &plain));
            let names = known_names(section)?;
            (!names.contains(&name)).then(|| (entry.path, nearest(name, names)))
        })
        .collect();
    for (path, meant) in unknown {
        sink.push(&path, unknown_message("option", meant));
        place::remove(table.get_mut(), &path);
    }
    table
}

/// Reports values of the wrong type one by one, putting the default in place of each.
fn without_wrong_types(mut table: Spanned<DeTable<'_>>, sink: &mut Sink<'_>) -> File {
    loop {
        let error = match File::deserialize(Deserializer::from(table.clone())) {
            Ok(file) => return file,
            Err(error) => error,
        };
        let at = error.span().unwrap_or_default();
        let covers =
            |entry: &place::Entry| entry.value.start <= at.start && at.end <= entry.value.end;
        // Outer values come first, so the last one that covers the error is the nearest.
        let entries = place::entries(table.get_ref());
        let Some(entry) = entries
            .into_iter()
            .rfind(|entry| entry.has_key && covers(entry))
        else {
            // Every error of a value has its place; without one nothing more can be found.
            sink.push("", error.message());
            return File::default();
        };
        sink.push(&entry.path, error.message());
        place::remove(table.get_mut(), &entry.path);
    }
}

pub(super) fn unknown_message(kind: &str, meant: Option<&str>) -> Cow<'static, str> {
    Cow::Owned(match meant {
        Some(meant) => format!("unknown {kind}; did you mean `{meant}`?"),
        None => format!("unknown {kind}"),
    })
}

/// The name that was probably meant.
pub(super) fn nearest<'n>(name: &str, names: &[&'n str]) -> Option<&'n str> {
    let scored = names
        .iter()
        .map(|known| (strsim::jaro_winkler(name, known), *known));
    let best = scored.max_by(|(a, _), (b, _)| a.total_cmp(b));
    best.filter(|(score, _)| *score > 0.8)
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::super::host::Certificate;
    use super::*;

    const OUTSIDE: Outside<'_> = Outside {
        features: &["ping", "carbons"],
        address: |text| {
            if text.contains(':') {
                Ok(())
            } else {
                Err("is no address".to_owned())
            }
        },
        log_filter: |text| {
            if text == "loud" {
                Err("is no filter".to_owned())
            } else {
                Ok(())
            }
        },
        cores: 4,
    };

    fn errors(text: &str) -> Vec<String> {
        match load("s.toml", text, &OUTSIDE) {
            Ok(_) => Vec::new(),
            Err(errors) => errors.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn an_empty_file_serves_localhost_on_both_ports_and_both_families() {
        let config = load("(defaults)", "", &OUTSIDE).expect("defaults are valid");
        assert_eq!(config.hosts.len(), 1);
        assert_eq!(&*config.hosts[0].name, "localhost");
        assert_eq!(config.hosts[0].certificate, Certificate::SelfSigned);
        assert_eq!(config.hosts[0].scram_iterations, 10_000);
        let addresses: Vec<&str> = config
            .listeners
            .iter()
            .map(|l| l.address.as_str())
            .collect();
        assert_eq!(
            addresses,
            ["0.0.0.0:5222", "[::]:5222", "0.0.0.0:5223", "[::]:5223"]
        );
        assert!(config.has_feature("ping"));
    }

    #[test]
    fn every_error_is_reported_at_once_with_path_and_line() {
        let text = "\
[server]
wrokers = 4
[[host]]
name = \"exa mple\"
[[host]]
name = \"b.example\"
certificate = \"b.pem\"
[c2s]
ping_after = 180
resource_conflict = \"fight\"
[[listener]]
address = \"everywhere\"
[log]
filter = \"loud\"
[features]
carbon = false
";
        assert_eq!(
            errors(text),
            [
                "s.toml:2: server.wrokers: unknown option; did you mean `workers`?",
                "s.toml:4: host[0].name: the domain of the address is not a valid host name",
                "s.toml:5: host[1].key: is missing: give the file with the private key of `certificate`",
                "s.toml:9: c2s.ping_after: invalid type: integer `180`, expected a string",
                "s.toml:10: c2s.resource_conflict: unknown variant `fight`, expected one of `make-new`, \
                 `refuse-new`, `replace-old`",
                "s.toml:12: listener[0].address: is no address",
                "s.toml:14: log.filter: is no filter",
                "s.toml:16: features.carbon: unknown feature; did you mean `carbons`?",
            ]
        );
    }

    #[test]
    fn a_line_that_is_no_toml_does_not_hide_the_others() {
        let found = errors("[server]\nworkers =\npin = 3\n");
        assert!(found[0].starts_with("s.toml:2: "), "{found:?}");
        assert!(
            found
                .iter()
                .any(|error| error.starts_with("s.toml:3: server.pin: ")),
            "{found:?}"
        );
    }

    #[test]
    fn a_unit_is_required_and_named() {
        assert_eq!(
            errors("[sm]\nresume_timeout = \"300\"\n"),
            [
                "s.toml:2: sm.resume_timeout: the unit of a duration is ms, s, min, h, d or year, as in \"5 min\""
            ]
        );
    }

    #[test]
    fn unknown_sections_and_options_inside_them_are_one_error() {
        assert_eq!(
            errors("[lsitener]\naddress = 1\n"),
            ["s.toml:1: lsitener: unknown option; did you mean `listener`?"]
        );
    }

    #[test]
    fn a_section_written_as_a_value_is_an_error_of_that_section() {
        assert_eq!(errors("sm = 5\n").len(), 1);
        assert!(
            errors("host = [1]\n")[0].starts_with("s.toml:1: host: "),
            "{:?}",
            errors("host = [1]\n")
        );
    }

    #[test]
    fn hosts_and_listeners_are_named_and_differ() {
        let text = "[[host]]\nkey = \"\"\n[[host]]\nname = \"A.example\"\n[[host]]\nname = \"a.example.\"\n";
        let found = errors(text);
        assert!(
            found[0].starts_with("s.toml:1: host[0].name: is missing"),
            "{found:?}"
        );
        assert!(
            found[1].starts_with("s.toml:6: host[2].name: this host is already"),
            "{found:?}"
        );
        let text = "[[listener]]\naddress = \"[::]:1\"\n[[listener]]\naddress = \"[::]:1\"\n";
        assert_eq!(
            errors(text),
            ["s.toml:4: listener[1].address: a listener above has this address already"]
        );
    }

    #[test]
    fn bounds_that_contradict_each_other_are_refused() {
        assert_eq!(
            errors("[c2s]\noutbound_soft = \"2 MiB\"\n"),
            ["s.toml:2: c2s.outbound_soft: must be below c2s.outbound_hard"]
        );
        assert_eq!(
            errors("[c2s]\nelement_size = \"9999 B\"\n"),
            ["s.toml:2: c2s.element_size: must be at least 10000 B (RFC 6120)"]
        );
        for wrong in [
            "x y",
            "example.org:",
            "example.org:70000",
            "2001:db8::1",
            "[2001:db8::1",
        ] {
            let found = errors(&format!("[server]\nsee_other_host = \"{wrong}\"\n"));
            assert_eq!(found.len(), 1, "{wrong}: {found:?}");
        }
        for right in [
            "example.org",
            "example.org:5222",
            "[2001:db8::1]:5222",
            "192.0.2.1",
        ] {
            let found = load(
                "s.toml",
                &format!("server.see_other_host = \"{right}\"\n"),
                &OUTSIDE,
            );
            assert!(found.is_ok(), "{right}");
        }
        // An empty queue takes the largest stanza, whatever it is charged above its bytes.
        assert_eq!(
            errors("[c2s]\nelement_size = \"600 KiB\"\n[sm]\nunacked_size = \"2 MiB\"\n"),
            [
                "s.toml:2: c2s.element_size: must not be above half of c2s.outbound_hard, or one stanza would fill \
                 a queue"
            ]
        );
        assert_eq!(
            errors("[sm]\nunacked_size = \"511 KiB\"\n"),
            [
                "s.toml:2: sm.unacked_size: must not be below twice c2s.element_size, or one stanza would fill a \
                 queue"
            ]
        );
        // Four workers have a quarter each.
        let share =
            "s.toml:2: server.queue_memory: must be at least c2s.outbound_hard for each worker";
        assert_eq!(errors("[server]\nqueue_memory = \"3 MiB\"\n"), [share]);
        let all = errors("[server]\nqueue_memory = \"3 MiB\"\nworkers = 2\n");
        assert_eq!(all, [""; 0]);
        let lag = "s.toml:2: server.overload_after: must be \"0 ms\" or at least \"20 ms\"";
        assert_eq!(errors("[server]\noverload_after = \"19 ms\"\n"), [lag]);
        assert_eq!(errors("[server]\noverload_after = \"0 ms\"\n"), [""; 0]);
        let found = errors("[auth]\nscram_iterations = 100\n");
        assert_eq!(
            found,
            ["s.toml:2: auth.scram_iterations: must be between 4096 (RFC 7677) and 1000000"]
        );
    }

    #[test]
    fn a_host_may_choose_its_own_iterations_and_features_can_be_off() {
        let text = "[[host]]\nname = \"a\"\nauth = { scram_iterations = 20000 }\n[features]\nping = false\n";
        let config = load("s.toml", text, &OUTSIDE).expect("valid");
        assert_eq!(config.hosts[0].scram_iterations, 20_000);
        assert!(!config.has_feature("ping"));
    }

    #[test]
    fn external_needs_a_listener_that_asks_for_certificates() {
        let found = errors("[[host]]\nname = \"a\"\nauth.external = true\n");
        assert_eq!(
            found,
            [
                "s.toml:3: host[0].auth.external: needs a listener with client_certificates = \"request\""
            ]
        );
    }

    #[test]
    fn what_is_effective_parses_back() {
        let config = load(
            "s.toml",
            "[[host]]\nname = \"a\"\n[server]\nworkers = 2\n",
            &OUTSIDE,
        )
        .expect("valid");
        let again = load("effective", &config.effective(), &OUTSIDE).expect("valid");
        assert_eq!(again.file, config.file);
    }
}
