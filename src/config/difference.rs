//! What changed between two configurations, option by option, and what a reload does with each. Refuses to
//! apply anything.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use toml::{Table, Value};

use super::host::Config;
use super::place::join;
use super::reference::{Reload, reload_of};

/// One option whose value differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Path of the option; hosts and listeners go by name: `host[example.org].key`.
    pub path: String,
    /// The old value in TOML; none if it was absent.
    pub from: Option<String>,
    /// The new value in TOML; none if it is absent now.
    pub to: Option<String>,
    /// What a reload does with it.
    pub reload: Reload,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = |value: &Option<String>| value.clone().unwrap_or_else(|| "(none)".to_owned());
        write!(
            f,
            "{}: {} -> {}",
            self.path,
            side(&self.from),
            side(&self.to)
        )
    }
}

/// All options that differ, by path.
pub fn difference(old: &Config, new: &Config) -> Vec<Change> {
    let (old, new) = (leaves(old), leaves(new));
    let paths: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let mut changes = Vec::new();
    for path in paths {
        let (from, to) = (old.get(path), new.get(path));
        if from == to {
            continue;
        }
        // Options of a host or listener that came or went wait with it.
        let both = from.is_some() && to.is_some();
        let reload = if both {
            reload_of(&without_names(path))
        } else {
            Reload::Restart
        };
        changes.push(Change {
            path: path.clone(),
            from: from.cloned(),
            to: to.cloned(),
            reload,
        });
    }
    changes
}

/// What a running server may take over from `new`: its live options, with the others as they were in
/// `started`. Hosts are those of the start; one that the new file leaves out keeps its policies until then.
pub fn live_part(started: &Config, new: &Config) -> Config {
    let mut config = new.clone();
    config.hosts = started
        .hosts
        .iter()
        .map(|host| new.host(&host.name).unwrap_or(host).clone())
        .collect();
    // The file's hosts go by the name as written; a new spelling of the same name is the same host.
    config.file.host = started
        .file
        .host
        .iter()
        .zip(&started.hosts)
        .map(|(file, host)| {
            let place = new.hosts.iter().position(|other| other.name == host.name);
            let mut kept = place.map_or_else(|| file.clone(), |place| new.file.host[place].clone());
            kept.name.clone_from(&file.name);
            kept
        })
        .collect();
    config.listeners.clone_from(&started.listeners);
    config.store = started.store.clone();
    config.server.workers = started.server.workers;
    config.server.pin = started.server.pin;
    config.c2s.unproved_per_address = started.c2s.unproved_per_address;
    config.audit.file.clone_from(&started.audit.file);
    config.file.listener.clone_from(&config.listeners);
    config.file.store = config.store.clone();
    config.file.server = config.server.clone();
    config.file.c2s = config.c2s.clone();
    config.file.audit = config.audit.clone();
    config.file.features.clone_from(&started.file.features);
    config
}

fn leaves(config: &Config) -> BTreeMap<String, String> {
    let table =
        Table::try_from(&config.file).expect("what was read from TOML is representable in TOML");
    let mut found = BTreeMap::new();
    collect("", &table, &mut found);
    // A switch that is on says what its absence says.
    found.retain(|path, value| !(path.starts_with("features.") && value == "true"));
    found
}

/// Options nest three deep: the file's types say so, not the file.
fn collect(prefix: &str, table: &Table, found: &mut BTreeMap<String, String>) {
    for (key, value) in table {
        let path = join(prefix, key);
        match value {
            Value::Table(inner) => collect(&path, inner, found),
            Value::Array(elements) if elements.iter().any(Value::is_table) => {
                for element in elements.iter().filter_map(Value::as_table) {
                    collect(&format!("{path}[{}]", name_of(element)), element, found);
                }
            }
            value => {
                found.insert(path, value.to_string());
            }
        }
    }
}

/// What tells a host or a listener from the others.
fn name_of(element: &Table) -> &str {
    let name = element.get("name").or_else(|| element.get("address"));
    name.and_then(Value::as_str).unwrap_or_default()
}

/// The path without the names in brackets; a listener's own name holds brackets too.
fn without_names(path: &str) -> String {
    match (path.find('['), path.rfind("].")) {
        (Some(start), Some(end)) => format!("{}{}", &path[..start], &path[end + 1..]),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{Outside, load};
    use super::super::reference::sections;
    use super::*;

    fn config(text: &str) -> Config {
        let outside = Outside {
            features: &["ping"],
            address: |_| Ok(()),
            log_filter: |_| Ok(()),
            cores: 1,
        };
        load("s.toml", text, &outside).expect("valid")
    }

    fn changes(old: &str, new: &str) -> Vec<(String, Reload)> {
        let changes = difference(&config(old), &config(new));
        changes
            .iter()
            .map(|change| (change.to_string(), change.reload))
            .collect()
    }

    #[test]
    fn the_same_options_written_differently_do_not_differ() {
        assert_eq!(
            changes(
                "",
                "[sm]\nresume_timeout = \"300 s\"\n[server]\nworkers = 0\n"
            ),
            []
        );
    }

    #[test]
    fn each_change_says_from_to_and_when() {
        assert_eq!(
            changes(
                "[server]\nworkers = 2\n",
                "[sm]\nresume_timeout = \"1 min\"\n"
            ),
            [
                ("server.workers: 2 -> 0".to_owned(), Reload::Restart),
                (
                    "sm.resume_timeout: \"5 min\" -> \"1 min\"".to_owned(),
                    Reload::Live
                ),
            ]
        );
    }

    #[test]
    fn hosts_and_listeners_are_compared_by_name_not_by_order() {
        let old = "[[host]]\nname = \"a\"\n[[host]]\nname = \"b\"\n";
        let new = "[[host]]\nname = \"b\"\nauth.plain = false\n[[host]]\nname = \"a\"\n";
        assert_eq!(
            changes(old, new),
            [("host[b].auth.plain: true -> false".to_owned(), Reload::Live)]
        );
        let old = "[[listener]]\naddress = \"[::]:1\"\n";
        let new = "[[listener]]\naddress = \"[::]:1\"\ntls = \"direct\"\n";
        let expected = "listener[[::]:1].tls: \"starttls\" -> \"direct\"".to_owned();
        assert_eq!(changes(old, new), [(expected, Reload::Restart)]);
    }

    #[test]
    fn a_host_that_came_or_went_waits_for_a_restart() {
        let one = "[[host]]\nname = \"a\"\n";
        let two = "[[host]]\nname = \"a\"\n[[host]]\nname = \"b\"\n";
        let came = changes(one, two);
        assert!(came.contains(&("host[b].name: (none) -> \"b\"".to_owned(), Reload::Restart)));
        assert!(came.iter().all(|(_, reload)| *reload == Reload::Restart));
    }

    #[test]
    fn the_live_part_leaves_nothing_that_waits_for_a_restart() {
        let old = config("[[host]]\nname = \"a\"\n[[host]]\nname = \"b\"\n");
        let new = config(EVERYTHING_ELSE);
        let merged = live_part(&old, &new);
        let waits = |change: &Change| change.reload == Reload::Restart;
        assert_eq!(difference(&old, &merged).into_iter().find(waits), None);
        // And what is live is all there.
        let missing = difference(&merged, &new)
            .into_iter()
            .find(|change| !waits(change));
        assert_eq!(missing, None);
        let hosts: Vec<(&str, bool)> = merged
            .hosts
            .iter()
            .map(|host| (&*host.name, host.plain))
            .collect();
        assert_eq!(hosts, [("a", true), ("b", false)]);
    }

    #[test]
    fn the_test_above_changes_every_option_that_waits_for_a_restart() {
        let changed = difference(&config(""), &config(EVERYTHING_ELSE));
        let changed: Vec<String> = changed
            .iter()
            .map(|change| without_names(&change.path))
            .collect();
        for section in sections() {
            for (name, _) in section.options() {
                let path = join(section.path, name);
                // An enum of one has no other value.
                let possible = path != "listener.kind";
                let waits = reload_of(&path) == Reload::Restart;
                assert!(!waits || !possible || changed.contains(&path), "{path}");
            }
        }
    }

    /// Every option that waits for a restart has another value than the default, and some live ones.
    const EVERYTHING_ELSE: &str = r#"
[server]
workers = 2
pin = false
drain_timeout = "1 s"
[[host]]
name = "b"
auth.plain = false
[[host]]
name = "c"
[[listener]]
address = "[::]:5222"
tls = "none"
require_tls = false
proxy_protocol = true
[c2s]
unproved_per_address = 5
[store]
cache = "2 MiB"
reserve_free = "1 MiB"
[audit]
file = "other"
when_full = "stop-intake"
[features]
ping = false
"#;

    #[test]
    fn features_wait_for_a_restart() {
        let changed = changes("", "[features]\nping = false\n");
        assert_eq!(
            changed,
            [("features.ping: (none) -> false".to_owned(), Reload::Restart)]
        );
    }
}
