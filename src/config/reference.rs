//! The options as text: `conf/reference.toml`, and what a doc comment says about reloading. Refuses to
//! repeat anything that `file.rs` says.

use std::fmt::Write;

use documented::{Documented, DocumentedFields};
use serde::Serialize;

use super::file;
use super::place::without_indices;

/// A section of the file: what it is about, and its options in the order of the reference.
pub struct Section {
    /// Its path, without indices: "host.auth".
    pub path: &'static str,
    /// What it is about.
    pub about: &'static str,
    names: &'static [&'static str],
    docs: &'static [&'static str],
}

/// What a reload does with an option that has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// It takes effect at once.
    Live,
    /// It waits for the next start.
    Restart,
}

/// All sections with options of their own, in the order of the reference.
pub fn sections() -> [Section; 23] {
    [
        Section::of::<file::Server>("server"),
        Section::of::<file::Host>("host"),
        Section::of::<file::HostAuth>("host.auth"),
        Section::of::<file::HostArchive>("host.archive"),
        Section::of::<file::HostVcard>("host.vcard"),
        Section::of::<file::HostContact>("host.contact"),
        Section::of::<file::HostRegistration>("host.registration"),
        Section::of::<file::HostDirectory>("host.directory"),
        Section::of::<file::HostDirectoryCards>("host.directory_cards"),
        Section::of::<file::HostDirectoryGroups>("host.directory_groups"),
        Section::of::<file::Listener>("listener"),
        Section::of::<file::C2s>("c2s"),
        Section::of::<file::Sm>("sm"),
        Section::of::<file::Csi>("csi"),
        Section::of::<file::Delivery>("delivery"),
        Section::of::<file::Roster>("roster"),
        Section::of::<file::Profile>("profile"),
        Section::of::<file::Blocking>("blocking"),
        Section::of::<file::Auth>("auth"),
        Section::of::<file::Tls>("tls"),
        Section::of::<file::Store>("store"),
        Section::of::<file::Audit>("audit"),
        Section::of::<file::Log>("log"),
    ]
}

/// The names that may stand at `path` (without indices): options and sections. None if it is no section.
pub fn known_names(path: &str) -> Option<&'static [&'static str]> {
    if path.is_empty() {
        return Some(file::File::FIELD_NAMES);
    }
    sections()
        .iter()
        .find(|section| section.path == path)
        .map(|section| section.names)
}

/// What a reload does with the option at `path` (without indices). A path that is no option, such as a
/// host that appeared, waits for a restart; so does a feature, whose tables are filtered at the start.
pub fn reload_of(path: &str) -> Reload {
    let (section, name) = path.rsplit_once('.').unwrap_or(("", path));
    let section = sections().into_iter().find(|known| known.path == section);
    match section.and_then(|section| section.doc(name)) {
        Some(doc) if doc.lines().any(|line| line.trim() == "reload: live") => Reload::Live,
        _ => Reload::Restart,
    }
}

/// What the option at `path` is for, and its default; none if it is no option.
pub fn help(path: &str) -> Option<String> {
    let plain = without_indices(path);
    let (section, name) = plain.rsplit_once('.')?;
    let known = sections().into_iter().find(|known| known.path == section)?;
    let about = known.doc(name)?.lines().map(str::trim);
    let about: Vec<&str> = about.filter(|line| !line.starts_with("reload: ")).collect();
    let value = defaults_of(section).remove(name)?;
    Some(format!("{} Its default: {value}", about.join(" ")))
}

/// The options of a section with their defaults; of several such sections, the first's.
fn defaults_of(section: &str) -> toml::Table {
    let defaults = file::File::default();
    let (repeated, inner) = section.split_once('.').unwrap_or((section, ""));
    let values = match repeated {
        "host" => toml::Table::try_from(&defaults.host[0]),
        "listener" => toml::Table::try_from(&defaults.listener[0]),
        _ => toml::Table::try_from(&defaults),
    };
    let mut values = values.expect("the defaults are representable in TOML");
    let key = if inner.is_empty() { section } else { inner };
    match values.remove(key) {
        Some(toml::Value::Table(inner)) => inner,
        _ => values,
    }
}

/// The complete reference: each option with its meaning and default, and the switch of each feature.
pub fn reference(features: &[&str]) -> String {
    let defaults = file::File::default();
    let mut out = String::from(HEAD);
    for section in sections() {
        match section.path {
            "host" => section.print("[[host]]", &defaults.host[0], &mut out),
            "host.auth" => section.print("[host.auth]", &defaults.host[0].auth, &mut out),
            "host.archive" => {
                section.print("[host.archive]", &defaults.host[0].archive, &mut out);
            }
            "host.vcard" => section.print("[host.vcard]", &defaults.host[0].vcard, &mut out),
            "host.contact" => {
                section.print("[host.contact]", &defaults.host[0].contact, &mut out);
            }
            "host.registration" => {
                section.print(
                    "[host.registration]",
                    &defaults.host[0].registration,
                    &mut out,
                );
            }
            "host.directory" => {
                section.print("[host.directory]", &defaults.host[0].directory, &mut out);
            }
            "host.directory_cards" => {
                let values = &defaults.host[0].directory_cards;
                section.print("[host.directory_cards]", values, &mut out);
            }
            "host.directory_groups" => {
                let values = &defaults.host[0].directory_groups;
                section.print("[host.directory_groups]", values, &mut out);
            }
            "listener" => print_listeners(&section, &defaults.listener, &mut out),
            path => {
                let values = toml::Table::try_from(&defaults)
                    .expect("the defaults are representable in TOML");
                section.print(&format!("[{path}]"), &values[path], &mut out);
            }
        }
    }
    out.push_str("\n# Switches: false takes a feature away, with all that it announces.\n# reload: restart\n[features]\n");
    for name in features {
        let _ = writeln!(out, "{name} = true");
    }
    out
}

impl Section {
    fn of<T: Documented + DocumentedFields>(path: &'static str) -> Section {
        Section {
            path,
            about: T::DOCS,
            names: T::FIELD_NAMES,
            docs: T::FIELD_DOCS,
        }
    }

    /// The options: name and doc comment. Sections inside this one are left out.
    pub fn options(&self) -> impl Iterator<Item = (&'static str, &'static str)> + use<> {
        let pairs = self.names.iter().zip(self.docs);
        pairs
            .map(|(name, doc)| (*name, *doc))
            .filter(|(_, doc)| !doc.starts_with("See [`"))
    }

    fn doc(&self, name: &str) -> Option<&'static str> {
        self.options()
            .find(|(option, _)| *option == name)
            .map(|(_, doc)| doc)
    }

    fn print(&self, header: &str, values: &impl Serialize, out: &mut String) {
        out.push('\n');
        comment(self.about, out);
        let _ = writeln!(out, "{header}");
        let values = toml::Table::try_from(values).expect("the defaults are representable in TOML");
        for (name, doc) in self.options() {
            comment(doc, out);
            let _ = writeln!(out, "{name} = {}", values[name]);
        }
    }
}

/// The first with its comments, the others with what differs from the first.
fn print_listeners(section: &Section, listeners: &[file::Listener], out: &mut String) {
    section.print("[[listener]]", &listeners[0], out);
    let first =
        toml::Table::try_from(&listeners[0]).expect("the defaults are representable in TOML");
    for listener in &listeners[1..] {
        let values =
            toml::Table::try_from(listener).expect("the defaults are representable in TOML");
        out.push_str("\n[[listener]]\n");
        for (name, _) in section
            .options()
            .filter(|(name, _)| values[*name] != first[*name])
        {
            let _ = writeln!(out, "{name} = {}", values[name]);
        }
    }
}

fn comment(text: &str, out: &mut String) {
    for line in text.lines() {
        let _ = writeln!(out, "# {}", line.trim());
    }
}

const HEAD: &str = "\
# Every option of Stonechat with its default. Made from the program by `stonechat config reference`; a file of
# your own needs only what differs (see example.toml). `reload: live` takes effect with SIGHUP, `reload: restart`
# with the next start.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_says_what_a_reload_does_with_it() {
        for section in sections() {
            for (name, doc) in section.options() {
                let last = doc.lines().last().unwrap_or_default().trim();
                let said = matches!(last, "reload: live" | "reload: restart");
                assert!(said, "{}.{name} ends with {last:?}", section.path);
            }
        }
    }

    #[test]
    fn every_section_of_the_file_is_in_the_reference() {
        let paths: Vec<&str> = sections().iter().map(|section| section.path).collect();
        for name in file::File::FIELD_NAMES
            .iter()
            .filter(|name| **name != "features")
        {
            assert!(paths.contains(name), "{name}");
        }
    }

    #[test]
    fn the_reference_parses_back_to_the_defaults() {
        let mut parsed: file::File =
            toml::from_str(&reference(&["ping"])).expect("the reference is TOML");
        assert_eq!(parsed.features.remove("ping"), Some(true));
        assert_eq!(parsed, file::File::default());
    }

    #[test]
    fn every_option_is_explained_with_its_default_whichever_of_its_section_is_meant() {
        for section in sections() {
            for (name, _) in section.options() {
                let path = format!("{}.{name}", section.path);
                let help = help(&path).unwrap_or_else(|| panic!("{path} has no default"));
                assert!(!help.contains("reload:"), "{help}");
            }
        }
        let second = help("listener[1].proxy_protocol").expect("an option");
        assert!(second.ends_with("Its default: false"), "{second}");
        assert_eq!(help("sm.no_such_option"), None);
    }

    #[test]
    fn what_a_reload_does_is_read_from_the_doc_comment() {
        assert_eq!(reload_of("sm.resume_timeout"), Reload::Live);
        assert_eq!(reload_of("host.auth.plain"), Reload::Live);
        assert_eq!(reload_of("server.workers"), Reload::Restart);
        assert_eq!(reload_of("features.ping"), Reload::Restart);
    }
}
