//! What the server is made of, read from its manifest, its lock file and its sources: one parser of XML, no map without
//! a key, one generator (peers.md rows 2, 5 and 15). Refuses to judge what only tests are made of.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const MANIFEST: &str = include_str!("../../Cargo.toml");
const LOCK: &str = include_str!("../../Cargo.lock");

/// The crates that `Cargo.toml` names for the server itself.
fn named() -> BTreeSet<String> {
    let manifest: toml::Table = toml::from_str(MANIFEST).unwrap();
    manifest["dependencies"]
        .as_table()
        .unwrap()
        .keys()
        .cloned()
        .collect()
}

/// Those, and all that they bring along.
fn closure() -> BTreeSet<String> {
    let lock: toml::Table = toml::from_str(LOCK).unwrap();
    let packages = lock["package"].as_array().unwrap();
    let needs = |name: &str| -> Vec<String> {
        let of_name = packages.iter().filter(|p| p["name"].as_str() == Some(name));
        let lists = of_name.filter_map(|package| package.get("dependencies")?.as_array());
        // "name", or "name version" where there are several.
        let first = |need: &toml::Value| Some(need.as_str()?.split(' ').next()?.to_owned());
        lists.flatten().filter_map(first).collect()
    };
    let mut found = BTreeSet::new();
    let mut open: Vec<String> = named().into_iter().collect();
    while let Some(name) = open.pop() {
        if found.insert(name.clone()) {
            open.extend(needs(&name));
        }
    }
    found
}

fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut directories: Vec<PathBuf> = vec![root.clone()];
    let mut sources = Vec::new();
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else {
                let name = path.strip_prefix(&root).unwrap().display().to_string();
                sources.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(sources.len() > 100, "the sources are somewhere else");
    sources
}

/// The files whose text has this.
fn naming(text: &str) -> Vec<String> {
    let mut files: Vec<String> = sources()
        .into_iter()
        .filter(|(_, source)| source.contains(text))
        .map(|(name, _)| name)
        .collect();
    files.sort();
    files
}

// peers.md row 2: "one parser for TCP, WebSocket, BOSH, upload metadata, file import, config; lint forbids a second XML
// crate".
#[test]
fn there_is_one_parser_of_xml() {
    let is_of_xml = |name: &&String| {
        ["xml", "expat", "sxd", "html", "markup", "libxslt"]
            .iter()
            .any(|part| name.contains(part))
    };
    let closure = closure();
    let parsers: Vec<&String> = closure.iter().filter(is_of_xml).collect();
    assert_eq!(parsers, ["xmlparser"]);
    assert_eq!(
        naming("use xmlparser::"),
        ["xml/declaration.rs", "xml/header.rs", "xml/normal.rs"]
    );
}

// peers.md row 5: the standard library's hash maps have a random key, `base::hash` has one; nothing else may be used.
#[test]
fn no_map_hashes_what_peers_choose_without_a_key() {
    let is_keyless = |name: &&String| {
        let hashes = name.contains("hash") && *name != "siphasher";
        let brings_its_own = [
            "fnv", "indexmap", "dashmap", "papaya", "scc", "flurry", "moka", "lru",
        ];
        hashes || brings_its_own.contains(&name.as_str())
    };
    let named = named();
    let keyless: Vec<&String> = named.iter().filter(is_keyless).collect();
    assert_eq!(keyless, [""; 0]);
    assert_eq!(naming("BuildHasher"), ["base/hash.rs"]);
}

// peers.md row 15: "one `secret_token()` from the OS CSPRNG, >= 128 bit; lint bans other RNG in server crates".
#[test]
fn there_is_one_generator_and_the_system_seeds_it() {
    let is_random = |name: &&String| {
        ["rand", "rng", "uuid", "ulid", "nanoid", "tempfile"]
            .iter()
            .any(|part| name.contains(part))
    };
    let named = named();
    let generators: Vec<&String> = named.iter().filter(is_random).collect();
    assert_eq!(generators, ["getrandom", "rand_chacha", "rand_core"]);
    assert_eq!(naming("rand_chacha"), ["base/rng.rs"]);
    assert_eq!(naming("rand_core"), ["base/rng.rs"]);
    assert_eq!(naming("getrandom::"), ["server/data.rs", "tool/stopped.rs"]);
    assert_eq!(naming("RandomState"), [""; 0]);
}
