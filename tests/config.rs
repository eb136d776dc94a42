//! The files in `conf/` against the program, and the program as an operator meets it. Refuses to need a
//! port of its own.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use stonechat::config;
use stonechat::server::settings::{FEATURE_NAMES, read_config};

fn conf(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("conf")
        .join(file)
}

#[test]
fn the_reference_is_what_the_program_prints() {
    let path = conf("reference.toml");
    let expected = config::reference(FEATURE_NAMES);
    let found = fs::read_to_string(&path).unwrap_or_default();
    if found != expected {
        fs::write(&path, expected).expect("conf/ is writable");
        panic!("conf/reference.toml was out of date and has been written anew: commit it");
    }
}

#[test]
fn the_reference_means_the_defaults() {
    let reference = read_config(Some(&conf("reference.toml"))).expect("valid");
    let defaults = read_config(None).expect("valid");
    assert_eq!(config::difference(&defaults, &reference), []);
}

#[test]
fn the_reference_says_what_amounts_a_directory_lets_one_set() {
    const TIMES: (&[&str], &[&str]) =
        (&["\"100 ms\"", "\"1 min\""], &["\"99 ms\"", "\"60001 ms\""]);
    const NAME: (&[&str], &[&str]) = (&["\"-\""], &["\"a b\""]);
    let data = data("amounts");
    let path = data.with_extension("toml");
    let errors = |option: &str, value: &str| {
        let (section, name) = option.split_once('.').expect("a section");
        let groups = "[host.directory_groups]\nbase = \"dc=a\"\n";
        let text =
            "[[host]]\nname = \"a\"\n[host.directory]\nservers = [\"ldap://a\"]\nbase = \"dc=a\"\n";
        let section = match section {
            "directory" => "",
            "directory_groups" => groups,
            _ => "[host.directory_cards]\n",
        };
        fs::write(&path, format!("{text}{section}{name} = {value}\n")).expect("writable");
        read_config(Some(&path)).err().unwrap_or_default()
    };
    for (option, (least_and_most, beyond)) in [
        ("directory.connect_timeout", TIMES),
        ("directory.operation_timeout", TIMES),
        ("directory.queue_timeout", TIMES),
        (
            "directory.search_connections",
            (&["1", "64"][..], &["0", "65"][..]),
        ),
        ("directory.bind_connections", (&["1", "64"], &["0", "65"])),
        ("directory.queue", (&["1", "65536"], &["0", "65537"])),
        ("directory.cache", (&["1", "10000000"], &["0", "10000001"])),
        (
            "directory.watched",
            (&["1", "20000000"], &["0", "20000001"]),
        ),
        ("directory.poll", (&["\"1 s\""], &["\"999 ms\""])),
        (
            "directory_cards.photo_size",
            (&["\"512 KiB\""], &["\"513 KiB\""]),
        ),
        ("directory_groups.depth", (&["1", "100"], &["0", "101"])),
        (
            "directory_groups.members",
            (&["1", "100000"], &["0", "100001"]),
        ),
        ("directory_groups.list_name", NAME),
        ("directory_groups.display_to", NAME),
    ] {
        let about = config::help(&format!("host.{option}")).expect("an option");
        let (about, _) = about.rsplit_once(" Its default: ").expect("has one");
        for value in least_and_most {
            assert!(about.contains(value), "{option}: {value}: {about}");
            assert_eq!(errors(option, value), [], "{option}: {value}");
        }
        for value in beyond {
            let errors = errors(option, value);
            let path = format!("host[0].{option}");
            assert!(
                errors.len() == 1 && errors[0].path == path,
                "{value}: {errors:?}"
            );
        }
    }
}

#[test]
fn the_example_is_valid_and_short() {
    let text = fs::read_to_string(conf("example.toml")).expect("is there");
    assert!(text.lines().count() <= 12);
    let config = read_config(Some(&conf("example.toml"))).expect("valid");
    assert_eq!(&*config.hosts[0].name, "example.org");
}

#[test]
fn the_worked_directories_of_the_manual_are_valid_and_mean_groups() {
    let manual = fs::read_to_string(conf("README.md")).expect("is there");
    let (_, manual) = manual
        .split_once("\n## Directories, set up\n")
        .expect("is there");
    let mut count = 0;
    for block in manual.split("\n\n") {
        let lines = block.lines().map_while(|line| line.strip_prefix("    "));
        let text: String = lines.map(|line| format!("{line}\n")).collect();
        if !text.starts_with("[[host]]\n") {
            continue;
        }
        let data = data(&format!("worked-{count}"));
        let path = data.with_extension("toml");
        fs::write(&path, &text).expect("writable");
        let config = read_config(Some(&path)).expect("valid");
        let directory = config.hosts[0].directory.as_ref();
        let groups = directory.and_then(|directory| directory.groups.as_ref());
        let options = &groups.expect("colleagues and managers").options;
        assert!(!options.managers.is_empty(), "{text}");
        assert!(options.lists_filter.contains("team"), "{text}");
        count += 1;
    }
    assert_eq!(count, 3);
}

#[test]
fn the_manual_names_every_audit_event_and_every_section() {
    let manual = fs::read_to_string(conf("README.md")).expect("is there");
    for section in config::sections() {
        assert!(
            manual.contains(&format!("`{}`", section.path)),
            "{}",
            section.path
        );
    }
    let source = include_str!("../src/actor/audit.rs");
    let source = &source[source.find("pub enum AuditEvent").expect("is there")..];
    let variants = source[..source.find("\n}").expect("ends")]
        .lines()
        .filter_map(|line| {
            let name = line.strip_prefix("    ")?.trim_end_matches(['{', ' ']);
            name.split(' ')
                .next()
                .filter(|name| name.starts_with(|c: char| c.is_ascii_uppercase()))
        });
    let mut count = 0;
    for variant in variants {
        assert!(
            manual.contains(&format!("`{}`", kebab(variant))),
            "{variant}"
        );
        count += 1;
    }
    assert!(count >= 10, "the variants were not found");
}

fn kebab(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !out.is_empty() {
            out.push('-');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

// ---- The program ----

/// A data directory that nobody has made yet, in one that is removed with the test.
struct Data(PathBuf);

fn data(name: &str) -> Data {
    let around = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let around = around.join(format!("tool-{}-{name}", std::process::id()));
    let _ = fs::remove_dir_all(&around);
    fs::create_dir_all(&around).expect("the build directory is writable");
    Data(around.join("data"))
}

impl std::ops::Deref for Data {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        let _ = self.0.parent().map(fs::remove_dir_all);
    }
}

/// Runs the program on the data directory with `input` on standard input.
fn stonechat(data: &Path, arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_stonechat"))
        .args(arguments)
        .arg("--data")
        .arg(data)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    // It may end without reading, which is no failure of the test.
    let _ = child
        .stdin
        .take()
        .expect("piped")
        .write_all(input.as_bytes());
    child.wait_with_output().expect("it ends")
}

fn said(output: &Output) -> (bool, String) {
    let text = [output.stdout.clone(), output.stderr.clone()].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

#[test]
fn accounts_of_a_stopped_server_are_made_listed_disabled_and_removed() {
    let data = data("accounts");
    let config = data.with_extension("toml");
    fs::write(
        &config,
        "[[host]]\nname = \"localhost\"\nauth.scram_iterations = 4096\n",
    )
    .expect("writable");
    let config = config.to_str().expect("UTF-8");
    let run = |arguments: &[&str], input: &str| {
        said(&stonechat(
            &data,
            &[arguments, &["--config", config]].concat(),
            input,
        ))
    };
    assert_eq!(
        run(&["user", "add", "romeo@localhost"], "canary-5e1f\n"),
        (true, "romeo@localhost is added\n".to_owned())
    );
    let twice = run(&["user", "add", "Romeo@LOCALHOST"], "canary-5e1f\n");
    assert_eq!(
        twice,
        (
            false,
            "stonechat: romeo@localhost: the account exists already\n".to_owned()
        )
    );
    let many = "juliet@localhost canary-5e1f with space\n# nobody\n\nnurse@localhost canary-5e1f\n";
    assert!(run(&["user", "add", "--from", "-"], many).0);
    assert!(run(&["user", "disable", "nurse@localhost"], "").0);
    assert!(run(&["user", "passwd", "romeo@localhost"], "canary-5e1f two\n").0);
    let list = "juliet@localhost\nnurse@localhost disabled\nromeo@localhost\n";
    assert_eq!(run(&["user", "list"], ""), (true, list.to_owned()));
    assert!(run(&["user", "enable", "nurse@localhost"], "").0);
    assert!(run(&["user", "remove", "nurse@localhost"], "").0);
    assert!(!run(&["user", "remove", "nurse@localhost"], "").0);
    assert!(
        !run(&["user", "add", "nurse@localhost"], "canary-5e1f\n").0,
        "the name is kept from others"
    );
    let (fine, text) = run(&["user", "add", "romeo@elsewhere.example"], "canary-5e1f\n");
    assert!(!fine && text.contains("not served here"), "{text}");

    let copy = data.join("copy");
    assert!(run(&["backup", copy.to_str().expect("UTF-8")], "").0);
    let mode = fs::metadata(&copy).expect("is there").permissions().mode();
    assert_eq!(
        mode & 0o777,
        0o700,
        "keys of users are nobody else's business"
    );

    let audit = fs::read_to_string(data.join("audit.jsonl")).expect("is kept");
    let events: Vec<&str> = audit
        .lines()
        .filter_map(|line| line.split("\"event\":\"").nth(1)?.split('"').next())
        .collect();
    assert_eq!(
        events,
        [
            "account-added",
            "account-added",
            "account-added",
            "account-disabled",
            "password-changed",
            "account-enabled",
            "account-removed",
            "backup",
        ]
    );
    no_file_holds(&data, b"canary-5e1f");
}

/// Passwords are in no file of the data directory, of whatever kind.
fn no_file_holds(directory: &Path, canary: &[u8]) {
    for entry in fs::read_dir(directory).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            no_file_holds(&path, canary);
        } else if let Ok(bytes) = fs::read(&path) {
            assert!(
                !bytes.windows(canary.len()).any(|window| window == canary),
                "{}",
                path.display()
            );
        }
    }
}

#[test]
fn the_name_of_a_removed_account_is_free_when_its_time_is_over() {
    let data = data("tombstone");
    let config = data.with_extension("toml");
    fs::write(
        &config,
        "[auth]\ntombstone = \"0 s\"\nscram_iterations = 4096\n",
    )
    .expect("writable");
    let config = config.to_str().expect("UTF-8");
    for verb in ["add", "remove", "add"] {
        let arguments = ["user", verb, "romeo@localhost", "--config", config];
        let (fine, text) = said(&stonechat(&data, &arguments, "secret\n"));
        assert!(fine, "{text}");
    }
}

#[test]
fn check_says_what_is_wrong_and_how_to_mend_it() {
    let data = data("check");
    let config = data.with_extension("toml");
    let text = "[[host]]\nname = \"a.example\"\ncertificate = \"no.pem\"\nkey = \"no.key\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n";
    fs::write(&config, text).expect("writable");
    let path = config.to_str().expect("UTF-8");
    let (fine, text) = said(&stonechat(&data, &["check", "--config", path], ""));
    assert!(!fine);
    assert!(text.contains(".toml:3: host[0].certificate: "), "{text}");
    assert!(text.contains("mend: give a certificate chain"), "{text}");
    fs::write(&config, "[[listener]]\naddress = \"127.0.0.1:0\"\n").expect("writable");
    let (fine, text) = said(&stonechat(&data, &["check", "--config", path], ""));
    assert!(fine, "{text}");
}

#[test]
fn the_effective_configuration_is_a_valid_one() {
    let data = data("effective");
    let (fine, text) = said(&stonechat(&data, &["config", "effective"], ""));
    assert!(fine);
    let path = data.with_extension("toml");
    fs::write(&path, text).expect("writable");
    let defaults = read_config(None).expect("valid");
    assert_eq!(
        config::difference(&defaults, &read_config(Some(&path)).expect("valid")),
        []
    );
}

#[test]
fn what_needs_a_running_server_says_so() {
    let data = data("stopped");
    let (fine, text) = said(&stonechat(&data, &["reload"], ""));
    assert!(!fine && text.contains("no server is running on"), "{text}");
    assert!(!data.exists(), "asking makes nothing");
}

#[test]
fn looking_at_a_server_that_never_was_makes_nothing() {
    let data = data("never");
    for command in [
        &["user", "list"][..],
        &["user", "remove", "romeo@localhost"],
        &["user", "disable", "romeo@localhost"],
    ] {
        let (fine, text) = said(&stonechat(&data, command, ""));
        assert!(!fine && text.contains("there is no store in"), "{text}");
        assert!(!data.exists(), "{command:?} made a data directory");
    }
}

#[test]
fn a_reader_that_has_enough_is_no_error() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_stonechat"))
        .args(["config", "reference"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert!(output.status.success());
}
