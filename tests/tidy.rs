//! What the architecture rests on, proved from the text of the sources: who may import whom, and what the
//! core never names (DESIGN section 2). Refuses to judge style.

use std::fs;
use std::path::{Path, PathBuf};

/// The layers, lowest first: a module may import only modules of lower layers, never a sibling.
const LAYERS: &[&[&str]] = &[
    &["base"],
    &["jid", "xml"],
    &["stanza", "config"],
    &["actor"],
    &["im", "stream"],
    &["engine"],
    &["features", "muc", "feed"],
    &["shard"],
    &["store", "auth", "directory", "archive", "audit"],
    &["worker"],
    &["cluster"],
    &["server"],
    // Beside `server` in the design, but it starts, asks and checks servers, and nothing imports it.
    &["tool"],
];

/// The layers that know no operating system.
const CORE: &[&str] = &[
    "base", "jid", "xml", "stanza", "config", "actor", "im", "stream", "engine", "features", "muc",
    "feed", "shard",
];

/// Imports between siblings, each with its reason.
const SIBLINGS: &[(&str, &str)] = &[];

/// What the core never names: sockets, threads, files, locks, clocks. (`core::net` is allowed: it has types of
/// addresses, which a JID may hold, and nothing that opens anything.)
const FORBIDDEN_IN_CORE: &[&str] = &[
    "std::net",
    "std::thread",
    "std::fs",
    "std::os",
    "std::process",
    "std::env",
    "std::io::stdin",
    "mio",
    "rustls",
    "ldap3",
    "crossbeam_channel",
    "parking_lot",
    "Instant::now",
    "SystemTime::now",
    "UNIX_EPOCH",
    "getrandom",
    "std::sync::Mutex",
    "std::sync::RwLock",
];

/// A source file: its path below the repository, and its code without comments, texts and tests.
struct Source {
    path: String,
    /// The first directory or file name below `src`.
    module: String,
    text: String,
    code: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    collect(&root.join("src"), &mut files);
    files.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("sources are readable");
        let path = path
            .strip_prefix(root)
            .expect("below the root")
            .to_string_lossy()
            .into_owned();
        let module = path
            .split('/')
            .nth(1)
            .unwrap_or_default()
            .trim_end_matches(".rs")
            .to_owned();
        let code = without_tests(&without_comments(&text));
        Source {
            path,
            module,
            text,
            code,
        }
    };
    // Files that hold nothing but tests are named so; `mod` lines with `#[cfg(test)]` lead to them.
    let is_test = |path: &PathBuf| {
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        name.ends_with("tests")
            || name == "testing"
            || path.components().any(|part| part.as_os_str() == "tests")
    };
    files
        .into_iter()
        .filter(|path| !is_test(path))
        .map(read)
        .collect()
}

/// All but what is others' (`src/vendor`).
fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("sources are readable") {
        let path = entry.expect("sources are readable").path();
        if path.is_dir() && !path.ends_with("src/vendor") {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The code with comments and the insides of texts blanked out; lines stay where they are.
fn without_comments(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text[at..];
        if rest.starts_with("//") {
            at += rest.find('\n').unwrap_or(rest.len());
        } else if rest.starts_with("/*") {
            let end = rest.find("*/").map_or(rest.len(), |end| end + 2);
            out.extend(rest[..end].chars().filter(|c| *c == '\n'));
            at += end;
        } else if let Some((length, lines)) = string_literal(rest, previous_is_word(&out)) {
            out.push_str("\"\"");
            out.extend(std::iter::repeat_n('\n', lines));
            at += length;
        } else if let Some(length) = char_literal(rest) {
            out.push_str("' '");
            at += length;
        } else {
            let c = rest.chars().next().expect("not at the end");
            out.push(c);
            at += c.len_utf8();
        }
    }
    out
}

fn previous_is_word(out: &str) -> bool {
    out.chars()
        .next_back()
        .is_some_and(|c| c.is_alphanumeric() || c == '_')
}

/// The length in bytes, and the line feeds, of a text literal at the beginning of `rest`.
fn string_literal(rest: &str, after_word: bool) -> Option<(usize, usize)> {
    let prefix = if after_word {
        ""
    } else {
        rest.trim_start_matches(['b', 'c'])
    };
    let raw = (!after_word).then(|| prefix.strip_prefix('r')).flatten();
    let length = if let Some(raw) = raw.filter(|raw| raw.trim_start_matches('#').starts_with('"')) {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        let end = format!("\"{}", "#".repeat(hashes));
        let body = &raw[hashes + 1..];
        rest.len() - body.len() + body.find(&end)? + end.len()
    } else {
        let start = if rest.starts_with('"') {
            0
        } else {
            rest.len() - prefix.len()
        };
        let body = rest[start..].strip_prefix('"').filter(|_| start <= 1)?;
        let mut escaped = false;
        let end = body.find(|c| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        })?;
        start + 1 + end + 1
    };
    Some((length, rest[..length].matches('\n').count()))
}

/// The length of a character literal, as against a lifetime.
fn char_literal(rest: &str) -> Option<usize> {
    let body = rest.strip_prefix('\'')?;
    if let Some(escape) = body.strip_prefix('\\') {
        // The character behind the backslash may be a quote itself.
        let first = escape.chars().next()?.len_utf8();
        return Some(2 + first + escape[first..].find('\'')? + 1);
    }
    let c = body.chars().next()?;
    body[c.len_utf8()..]
        .starts_with('\'')
        .then(|| 1 + c.len_utf8() + 1)
}

/// The code without items under `#[cfg(test)]`. Comments and texts are gone, so braces match.
fn without_tests(code: &str) -> String {
    let mut out = String::new();
    let mut rest = code;
    while let Some(at) = rest.find("#[cfg(test)]") {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = match (rest.find('{'), rest.find(';')) {
            (Some(open), semicolon) if semicolon.is_none_or(|semicolon| open < semicolon) => {
                let mut depth = 0_usize;
                let closes = |(_, c): &(usize, char)| {
                    depth = match c {
                        '{' => depth + 1,
                        '}' => depth - 1,
                        _ => depth,
                    };
                    *c == '}' && depth == 0
                };
                open + rest[open..]
                    .char_indices()
                    .find(closes)
                    .expect("braces match")
                    .0
                    + 1
            }
            (_, Some(semicolon)) => semicolon + 1,
            _ => rest.len(),
        };
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

/// The modules named behind `crate::`, those in braces included.
fn imports(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        if code[..at].ends_with('$') {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        if let Some(list) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut start = true;
            let mut word = String::new();
            for c in list.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => start = true,
                    c if start && (c.is_alphanumeric() || c == '_') => {
                        word.push(c);
                        continue;
                    }
                    c if c.is_whitespace() && word.is_empty() => continue,
                    _ => {
                        if start && !word.is_empty() {
                            found.push(std::mem::take(&mut word));
                        }
                        start = false;
                        continue;
                    }
                }
                if !word.is_empty() {
                    found.push(std::mem::take(&mut word));
                }
            }
            found.extend((!word.is_empty()).then_some(word));
        } else {
            let end = rest
                .find(|c: char| !c.is_alphanumeric() && c != '_')
                .unwrap_or(rest.len());
            found.push(rest[..end].to_owned());
        }
    }
    found
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|modules| modules.contains(&module))
}

/// Whether `name` stands in the code as a whole: `mio` is not in `premiog`.
fn names(code: &str, name: &str) -> bool {
    let is_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    code.match_indices(name).any(|(at, _)| {
        !is_word(code[..at].chars().next_back()) && !is_word(code[at + name.len()..].chars().next())
    })
}

#[test]
fn every_module_has_a_layer() {
    for source in sources()
        .iter()
        .filter(|source| !["lib", "main"].contains(&source.module.as_str()))
    {
        assert!(
            layer(&source.module).is_some(),
            "{} is in no layer",
            source.path
        );
    }
}

#[test]
fn a_layer_imports_only_lower_ones() {
    let mut wrong = Vec::new();
    for source in sources() {
        let Some(own) = layer(&source.module) else {
            continue;
        };
        for import in imports(&source.code) {
            // Names at the root of the crate are re-exports, of which there are none, or the module itself.
            let Some(other) = layer(&import) else {
                continue;
            };
            let excused = SIBLINGS.contains(&(source.module.as_str(), import.as_str()));
            if import != source.module && other >= own && !excused {
                wrong.push(format!("{} imports crate::{import}", source.path));
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
}

/// What counts the forms of a table's rows: where it is, its value, and with which version of the data that came. Whoever
/// changes a value adds a step to `store::MIGRATIONS` that brings old rows along, with a test that has rows of the form
/// before, and writes the version here that the step leads to.
const ROWS: &[(&str, u8, usize)] = &[
    ("src/auth/slots.rs ROW_VERSION", 1, 1),
    ("src/engine/archive/row.rs ROW_VERSION", 2, 2),
    ("src/features/private_storage.rs ROW_VERSION", 1, 1),
    ("src/features/vcard/mod.rs ROW_VERSION", 1, 1),
    ("src/im/archive/emptying.rs ROW_VERSION", 1, 1),
    ("src/im/archive/preferences.rs ROW_VERSION", 1, 1),
    ("src/im/blocking/list.rs ROW_VERSION", 1, 1),
    ("src/im/credentials.rs VERSION", 1, 1),
    ("src/im/last.rs ROW_VERSION", 1, 1),
    ("src/im/outgoing.rs ROW_VERSION", 2, 1),
    ("src/im/pending.rs ROW_VERSION", 1, 1),
    ("src/im/roster/item.rs ROW_VERSION", 1, 1),
    ("src/im/seen.rs VERSION", 1, 1),
    ("src/im/subscription/request.rs ROW_VERSION", 1, 1),
    ("src/server/restored.rs VERSION", 1, 1),
];

/// Forms of the past, and what is made anew where it has another form.
const NO_ROWS: &[&str] = &[
    "src/engine/archive/first_form.rs ROW_VERSION",
    "src/engine/archive/words.rs WORDS_VERSION",
];

#[test]
fn no_row_changes_its_form_without_a_way_there() {
    let mut found = Vec::new();
    for source in sources() {
        for line in source.code.lines() {
            let line = line.trim_start_matches("pub ");
            let constant = line
                .strip_prefix("const ")
                .and_then(|rest| rest.split_once(": u8 = "));
            if let Some((name, value)) = constant.filter(|(name, _)| name.ends_with("VERSION")) {
                let value: u8 = value.trim_end_matches(';').parse().expect("a number");
                found.push((format!("{} {name}", source.path), value));
            }
        }
    }
    found.retain(|(name, _)| !NO_ROWS.contains(&name.as_str()));
    let known: Vec<(String, u8)> = ROWS
        .iter()
        .map(|(name, value, _)| ((*name).to_owned(), *value))
        .collect();
    assert_eq!(found, known);
    let newest = ROWS.iter().map(|(_, _, since)| *since).max();
    assert_eq!(newest, Some(1 + stonechat::store::MIGRATIONS.len()));
}

#[test]
fn features_never_name_each_other() {
    for source in sources()
        .iter()
        .filter(|source| source.module == "features")
    {
        let own = source
            .path
            .split('/')
            .nth(2)
            .unwrap_or_default()
            .trim_end_matches(".rs");
        if own == "mod" {
            continue;
        }
        for (at, _) in source.code.match_indices("crate::features::") {
            let rest = &source.code[at + "crate::features::".len()..];
            assert!(
                rest.starts_with(own),
                "{} names another feature",
                source.path
            );
        }
    }
}

#[test]
fn the_core_names_nothing_of_the_operating_system() {
    let mut wrong = Vec::new();
    for source in sources()
        .iter()
        .filter(|source| CORE.contains(&source.module.as_str()))
    {
        let flat = flattened(&source.code);
        for name in FORBIDDEN_IN_CORE.iter().filter(|name| names(&flat, name)) {
            wrong.push(format!("{} names {name}", source.path));
        }
    }
    assert_eq!(wrong, [""; 0]);
}

/// `std::{fs, net::X}` with each of its paths written out behind it.
fn flattened(code: &str) -> String {
    let mut out = code.to_owned();
    for root in ["std", "core"] {
        for (at, _) in code.match_indices(&format!("{root}::{{")) {
            for import in imports(&code[at..].replacen(&format!("{root}::"), "crate::", 1)) {
                out.push_str(&format!("\n{root}::{import}"));
            }
        }
    }
    out
}

/// No derivation runs on a worker: only what the auth threads call can derive.
#[test]
fn keys_are_derived_behind_the_auth_threads_only() {
    // Behind `#[cfg(test)]`: a client.
    let is_client = |source: &Source| source.path == "src/stream/sasl/client.rs";
    let deriving: Vec<String> = sources()
        .into_iter()
        .filter(|source| names(&source.code, "pbkdf2") && !is_client(source))
        .map(|source| source.path)
        .collect();
    assert_eq!(deriving, ["src/auth/keys.rs"]);
    for source in sources().iter().filter(|source| source.module == "worker") {
        assert!(
            !imports(&source.code).contains(&"auth".to_owned()),
            "{} imports auth",
            source.path
        );
    }
}

#[test]
fn ldap3_is_named_in_one_place() {
    for source in sources() {
        let allowed = source.path.starts_with("src/directory/pool");
        assert!(
            allowed || !names(&source.code, "ldap3"),
            "{} names ldap3",
            source.path
        );
    }
}

#[test]
fn no_macros_of_our_own_and_nothing_left_to_do() {
    for source in sources() {
        assert!(
            !names(&source.code, "macro_rules"),
            "{} has macro_rules!",
            source.path
        );
        assert!(!source.code.contains("todo!"), "{} has todo!", source.path);
        for (index, line) in source.text.lines().enumerate() {
            // STYLE: "`TODO` carries an issue or does not exist".
            let left = names(line, "TODO") && !line.contains("issue ");
            assert!(
                !left,
                "{}:{} has a TODO without an issue",
                source.path,
                index + 1
            );
        }
    }
}

#[test]
fn no_test_is_ignored() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    collect(&root.join("src"), &mut files);
    collect_tests(&root.join("tests"), &mut files);
    for path in files {
        let code = without_comments(&fs::read_to_string(&path).expect("sources are readable"));
        assert!(
            !code.contains("#[ignore"),
            "{} ignores a test",
            path.display()
        );
    }
}

/// Like [`collect`], but not into build directories of crates inside `tests/`.
fn collect_tests(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("sources are readable") {
        let path = entry.expect("sources are readable").path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            collect_tests(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

// ---- The tools above, on text that is wrong on purpose ----

#[test]
fn imports_are_found_alone_and_in_braces() {
    assert_eq!(imports("use crate::actor::rows::Row;"), ["actor"]);
    assert_eq!(
        imports("use crate::{base::{Now, Rng}, shard, im::X as Y};"),
        ["base", "shard", "im"]
    );
    assert_eq!(imports("let x = crate::shard::Shard::new();"), ["shard"]);
}

#[test]
fn comments_texts_and_tests_name_nothing() {
    let code = "/// std::fs\nlet a = \"std::fs\\\" std::fs\"; let q = '\"'; let b = r#\"std::fs\"#;\n/* std::fs */\n\
                #[cfg(test)]\nmod tests { fn f() { let x = \"}\"; std::fs::read() } }\nfn g<'a>(x: &'a str) {}\n";
    let clean = without_tests(&without_comments(code));
    assert!(!names(&clean, "std::fs"), "{clean}");
    assert!(clean.contains("fn g<'a>"), "{clean}");
}

#[test]
fn forbidden_names_are_found_in_braces_and_not_inside_words() {
    assert!(names(&flattened("use std::{fmt, fs};"), "std::fs"));
    assert!(names(
        &flattened("use std::{fmt::Write, net::TcpStream};"),
        "std::net"
    ));
    assert!(!names("use std::fs_extra; premio", "std::fs"));
    assert!(!names("premio mios", "mio"));
}
