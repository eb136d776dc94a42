//! Where in the file a value stands, so that whoever finds it wrong can say file, path and line. Refuses to
//! know what any option means.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file, as it was named.
    pub file: String,
    /// Line of the option, from 1; none if the file does not mention it.
    pub line: Option<usize>,
    /// TOML path, as in `host[1].certificate`; empty if the text is no TOML.
    pub path: String,
    /// What is wrong, and how to mend it.
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for ConfigError {}

/// The line of every value in a file, by TOML path.
#[derive(Clone, Debug, Default)]
pub struct Places {
    file: String,
    lines: BTreeMap<String, usize>,
}

impl Places {
    /// The places of `text`, which is called `file` in errors. `table` is `text`, parsed.
    pub fn of(file: &str, text: &str, table: &DeTable<'_>) -> Places {
        let lines = entries(table)
            .into_iter()
            .map(|entry| (entry.path, line_of(text, entry.key.start)));
        Places {
            file: file.to_owned(),
            lines: lines.collect(),
        }
    }

    /// Whether the file mentions this path.
    pub fn contains(&self, path: &str) -> bool {
        self.lines.contains_key(path)
    }

    /// An error about the value at `path`, or about its nearest section if the file leaves it out.
    pub fn error(&self, path: &str, message: impl Into<String>) -> ConfigError {
        let mut nearest = path;
        let line = loop {
            match (self.lines.get(nearest), nearest.rfind(['.', '['])) {
                (Some(line), _) => break Some(*line),
                (None, Some(end)) => nearest = &nearest[..end],
                (None, None) => break None,
            }
        };
        ConfigError {
            file: self.file.clone(),
            line,
            path: path.to_owned(),
            message: message.into(),
        }
    }

    /// An error about a line that is no TOML.
    pub(super) fn syntax_error(&self, text: &str, error: &toml::de::Error) -> ConfigError {
        let line = error.span().map(|span| line_of(text, span.start));
        ConfigError {
            file: self.file.clone(),
            line,
            path: String::new(),
            message: error.message().to_owned(),
        }
    }
}

/// A value in a table, at any depth.
pub(super) struct Entry {
    /// Its path, with indices.
    pub path: String,
    /// The bytes of its key, or of itself if it is an element of an array.
    pub key: Range<usize>,
    /// The bytes of the value.
    pub value: Range<usize>,
    /// Whether it has a key, and so can be removed without moving others.
    pub has_key: bool,
}

/// All values, outer ones first. The parser bounds the depth.
pub(super) fn entries(table: &DeTable<'_>) -> Vec<Entry> {
    let mut found = Vec::new();
    collect_table("", table, &mut found);
    found
}

fn collect_table(prefix: &str, table: &DeTable<'_>, found: &mut Vec<Entry>) {
    for (key, value) in table {
        let path = join(prefix, key.get_ref());
        found.push(Entry {
            path: path.clone(),
            key: key.span(),
            value: value.span(),
            has_key: true,
        });
        collect_value(&path, value, found);
    }
}

fn collect_value(path: &str, value: &Spanned<DeValue<'_>>, found: &mut Vec<Entry>) {
    match value.get_ref() {
        DeValue::Table(table) => collect_table(path, table, found),
        DeValue::Array(array) => {
            for (index, value) in array.iter().enumerate() {
                let path = format!("{path}[{index}]");
                found.push(Entry {
                    path: path.clone(),
                    key: value.span(),
                    value: value.span(),
                    has_key: false,
                });
                collect_value(&path, value, found);
            }
        }
        _ => {}
    }
}

/// The path of `key` inside `prefix`.
pub(super) fn join(prefix: &str, key: &str) -> String {
    if prefix.is_empty() {
        key.to_owned()
    } else {
        format!("{prefix}.{key}")
    }
}

/// The path without its indices: `host[1].name` is `host.name`.
pub(super) fn without_indices(path: &str) -> String {
    let mut plain = String::with_capacity(path.len());
    let mut inside = false;
    for c in path.chars() {
        match c {
            '[' => inside = true,
            ']' => inside = false,
            c if !inside => plain.push(c),
            _ => {}
        }
    }
    plain
}

/// Takes the value at `path` out of the table.
pub(super) fn remove(table: &mut DeTable<'_>, path: &str) {
    let Some((step, rest)) = path.split_once('.') else {
        table.remove(path);
        return;
    };
    let (name, index) = match step.split_once('[') {
        Some((name, index)) => (name, index.trim_end_matches(']').parse::<usize>().ok()),
        None => (step, None),
    };
    match (table.get_mut(name).map(Spanned::get_mut), index) {
        (Some(DeValue::Table(inner)), None) => remove(inner, rest),
        (Some(DeValue::Array(array)), Some(index)) => {
            if let Some(DeValue::Table(inner)) = array.get_mut(index).map(Spanned::get_mut) {
                remove(inner, rest);
            }
        }
        _ => {}
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    let before = &text.as_bytes()[..offset.min(text.len())];
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "[c2s]\nelement_size = \"1 MiB\"\n\n[[host]]\nname = \"a\"\n\n[[host]]\nname = \"b\"\n";

    #[test]
    fn values_are_found_by_path_and_line() {
        let table = DeTable::parse(TEXT).expect("TOML");
        let places = Places::of("s.toml", TEXT, table.get_ref());
        assert_eq!(places.error("c2s.element_size", "").line, Some(2));
        assert_eq!(places.error("host[1].name", "").line, Some(8));
    }

    #[test]
    fn what_the_file_leaves_out_is_placed_at_its_section() {
        let table = DeTable::parse(TEXT).expect("TOML");
        let places = Places::of("s.toml", TEXT, table.get_ref());
        assert_eq!(places.error("host[1].auth.plain", "").line, Some(7));
        assert_eq!(places.error("sm.unacked_count", "").line, None);
        assert_eq!(
            places.error("host[1].key", "is missing").to_string(),
            "s.toml:7: host[1].key: is missing"
        );
    }

    #[test]
    fn a_value_is_removed_without_moving_others() {
        let mut table = DeTable::parse(TEXT).expect("TOML").into_inner();
        remove(&mut table, "host[0].name");
        let paths: Vec<String> = entries(&table)
            .into_iter()
            .map(|entry| entry.path)
            .collect();
        assert_eq!(
            paths,
            [
                "c2s",
                "c2s.element_size",
                "host",
                "host[0]",
                "host[1]",
                "host[1].name"
            ]
        );
    }
}
