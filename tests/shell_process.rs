//! The server as a process: what it prints, what it leaves in its data directory, how it ends.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sha2::{Digest, Sha256};

/// How long anything may take before a test gives up on it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A directory with a configuration, removed with the test.
struct Place(PathBuf);

impl Place {
    fn new(name: &str, listener: &str) -> Place {
        let path =
            std::env::temp_dir().join(format!("stonechat-process-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        let config = format!(
            "[server]\nworkers = 2\npin = false\n[[host]]\nname = \"localhost\"\n\
             [[listener]]\naddress = \"{listener}\"\n\
             [[listener]]\naddress = \"[::1]:0\"\ntls = \"direct\"\n"
        );
        fs::write(path.join("stonechat.toml"), config).unwrap();
        Place(path)
    }

    fn data(&self) -> PathBuf {
        self.0.join("data")
    }

    /// Runs a subcommand with this on its standard input; it must succeed.
    fn tool(&self, arguments: &[&str], input: &str) {
        let mut child = tolerant()
            .args(arguments)
            .arg("--config")
            .arg(self.0.join("stonechat.toml"))
            .arg("--data")
            .arg(self.data())
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).unwrap();
        drop(stdin);
        assert!(child.wait().unwrap().success(), "{arguments:?}");
    }

    /// The records of an audit file: their number, and the rest.
    fn records(&self, file: &str) -> Vec<(u64, serde_json::Value)> {
        let text = fs::read_to_string(self.data().join(file)).unwrap();
        let records = text.lines().map(|line| {
            let record: serde_json::Value = serde_json::from_str(line).unwrap();
            (record["sequence"].as_u64().unwrap(), record)
        });
        records.collect()
    }

    /// Waits until the audit file is there and holds this: who writes it does so behind whoever is answered.
    fn until_recorded(&self, text: &str) {
        let begun = Instant::now();
        loop {
            let file = fs::read_to_string(self.data().join("audit.jsonl"));
            if file.is_ok_and(|file| file.contains(text)) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{text:?} is never recorded");
            std::thread::yield_now();
        }
    }

    fn command(&self) -> Command {
        let mut command = tolerant();
        command
            .arg("serve")
            .arg("--config")
            .arg(self.0.join("stonechat.toml"))
            .arg("--data")
            .arg(self.data())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn serve(&self) -> Server {
        let mut child = self.command().spawn().unwrap();
        let mut lines = Vec::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            lines.push(line.unwrap());
            if lines
                .last()
                .is_some_and(|line| line.starts_with("add a user with: "))
            {
                break;
            }
        }
        let log = child.stderr.take().unwrap();
        Server { child, lines, log }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

struct Server {
    child: Child,
    lines: Vec<String>,
    log: ChildStderr,
}

impl Server {
    fn address(&self, tls: &str) -> SocketAddr {
        let mut words = self.lines.iter().filter(|line| line.ends_with(tls));
        words
            .next()
            .unwrap()
            .split(' ')
            .nth(2)
            .unwrap()
            .parse()
            .unwrap()
    }

    /// Reads the log up to the line that holds this.
    fn until_logged(&mut self, text: &str) -> String {
        let mut line = Vec::new();
        let mut byte = [0];
        while self.log.read(&mut byte).unwrap() == 1 {
            if byte[0] != b'\n' {
                line.push(byte[0]);
                continue;
            }
            let read = String::from_utf8(std::mem::take(&mut line)).unwrap();
            if read.contains(text) {
                return read;
            }
        }
        panic!("the log ended without {text:?}");
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", name, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    fn end(mut self) -> (Option<i32>, String) {
        let mut log = String::new();
        self.log.read_to_string(&mut log).unwrap();
        (self.child.wait().unwrap().code(), log)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a client hears when the server is told to stop.
fn farewell(server: &Server) -> String {
    let mut client = TcpStream::connect(server.address("(STARTTLS)")).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let header = b"<stream:stream to='localhost' version='1.0' xmlns='jabber:client' \
        xmlns:stream='http://etherx.jabber.org/streams'>";
    client.write_all(header).unwrap();
    // An answer proves that the doorman has let it in.
    let mut first = [0; 1];
    client.read_exact(&mut first).unwrap();
    server.signal("TERM");
    let mut goodbye = String::new();
    client.read_to_string(&mut goodbye).unwrap();
    goodbye
}

/// The program as a careless operator calls it: whatever it makes would be open to everybody.
fn tolerant() -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "umask 0; exec \"$0\" \"$@\""]);
    command.arg(env!("CARGO_BIN_EXE_stonechat"));
    command
}

/// Everything below a directory, the directory itself too.
fn everything(directory: &Path) -> Vec<PathBuf> {
    let mut found = vec![directory.to_path_buf()];
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(everything(&path)),
            false => found.push(path),
        }
    }
    found
}

/// SHA-256 of the first certificate of a PEM file, in hexadecimal.
fn fingerprint(path: &Path) -> String {
    let certificate = CertificateDer::from_pem_file(path).unwrap();
    let digest = Sha256::digest(&certificate);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_first_start_makes_everything_and_says_where_it_is() {
    let place = Place::new("first", "127.0.0.1:0");
    let server = place.serve();
    let data = place.data();
    assert!(server.lines[0].starts_with("listening on 127.0.0.1:"));
    assert!(server.lines[1].starts_with("listening on [::1]:"));
    assert_eq!(server.lines[2], format!("data in {}", data.display()));
    assert!(server.lines[3].contains("user add NAME@localhost --config "));
    assert_eq!(mode(&data), 0o700);
    for file in ["secret", "cert/localhost.pem", "control.sock"] {
        assert_eq!(mode(&data.join(file)), 0o600, "{file}");
    }
    TcpStream::connect(server.address("(STARTTLS)")).unwrap();
    TcpStream::connect(server.address("(direct TLS)")).unwrap();
}

#[test]
fn sigterm_drains_and_the_next_start_finds_the_same_secrets() {
    let place = Place::new("drain", "127.0.0.1:0");
    let server = place.serve();
    let (secret, certificate) = (
        place.data().join("secret"),
        place.data().join("cert/localhost.pem"),
    );
    let before = (fs::read(&secret).unwrap(), fs::read(&certificate).unwrap());
    let goodbye = farewell(&server);
    assert!(goodbye.contains("<system-shutdown"), "{goodbye}");
    let (code, log) = server.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains(" stopped"), "{log}");
    assert!(!place.data().join("control.sock").exists());
    let server = place.serve();
    assert_eq!(
        (fs::read(&secret).unwrap(), fs::read(&certificate).unwrap()),
        before
    );
    server.signal("INT");
    assert_eq!(server.end().0, Some(0));
}

#[test]
fn sighup_reads_everything_again_and_a_broken_file_changes_nothing() {
    let place = Place::new("reload", "127.0.0.1:0");
    let server = place.serve();
    let file = place.0.join("stonechat.toml");
    let text = fs::read_to_string(&file).unwrap();
    let ask = |command: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_stonechat"))
            .args([command, "--data"])
            .arg(place.data())
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr)
    };
    fs::write(&file, format!("{text}[sm]\nresume_timeout = \"1 min\"\n")).unwrap();
    let said = ask("reload");
    assert!(
        said.contains("changed: sm.resume_timeout: \"5 min\" -> \"1 min\""),
        "{said}"
    );
    fs::write(&file, format!("{text}[sm]\nresume_timeout = 7\n")).unwrap();
    let said = ask("reload");
    assert!(said.contains("nothing changed"), "{said}");
    assert!(ask("status").contains("worker 1: connections 0"));
    server.signal("HUP");
    server.signal("TERM");
    // Signals are taken in the order of their numbers, and SIGHUP is the first.
    let (code, log) = server.end();
    assert_eq!(code, Some(0));
    let refusals: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("refused: "))
        .collect();
    assert_eq!(refusals.len(), 2, "by the command and by the signal: {log}");
    for line in refusals {
        assert!(
            line.contains(" WARN ") && line.contains("sm.resume_timeout"),
            "{line}"
        );
    }
}

#[test]
fn a_port_that_is_taken_ends_the_start_and_names_the_port() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let place = Place::new("taken", &address);
    let output = place.command().output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&address), "{said}");
}

#[test]
fn whatever_is_made_on_disk_belongs_to_the_server_alone() {
    let place = Place::new("modes", "127.0.0.1:0");
    // On the store of a stopped server, which makes the data directory.
    place.tool(&["user", "add", "romeo@localhost"], "pencil\n");
    let server = place.serve();
    place.tool(&["user", "add", "juliet@localhost"], "pencil\n");
    let (first, second) = (place.0.join("copies/first"), place.0.join("copies/second"));
    place.tool(&["backup", first.to_str().unwrap()], "");
    server.signal("TERM");
    assert_eq!(server.end().0, Some(0));
    place.tool(&["backup", second.to_str().unwrap()], "");
    // What is there only while it runs.
    let server = place.serve();
    let mut files = 0;
    for path in [place.data(), first, second]
        .iter()
        .flat_map(|root| everything(root))
    {
        let expected = match path.is_dir() {
            true => 0o700,
            false => 0o600,
        };
        // The store may put away what it needs no more.
        let Ok(found) = fs::metadata(&path) else {
            continue;
        };
        files += usize::from(!path.is_dir());
        let mode = found.permissions().mode() & 0o777;
        assert_eq!(mode, expected, "{}", path.display());
    }
    assert!(files > 10, "{files} files are not all of them");
    server.signal("TERM");
    assert_eq!(server.end().0, Some(0));
}

#[test]
fn another_certificate_is_recorded_and_the_same_one_is_not() {
    let place = Place::new("certificates", "127.0.0.1:0");
    let pem = place.data().join("cert/localhost.pem");
    let mut server = place.serve();
    let first = fingerprint(&pem);
    server.signal("HUP");
    server.until_logged("certificates were read again");
    fs::remove_file(&pem).unwrap();
    server.signal("HUP");
    let line = server.until_logged("changed: certificate of localhost");
    let second = fingerprint(&pem);
    assert!(line.contains(&second) && first != second, "{line}");
    server.signal("TERM");
    assert_eq!(server.end().0, Some(0));
    // A start changes nothing.
    let server = place.serve();
    server.signal("TERM");
    assert_eq!(server.end().0, Some(0));
    let records = place.records("audit.jsonl");
    let shown: Vec<(&str, &str)> = records
        .iter()
        .filter(|(_, record)| record["event"] == "certificate-changed")
        .map(|(_, record)| {
            let text = |field: &str| record[field].as_str().unwrap();
            (text("host"), text("fingerprint"))
        })
        .collect();
    assert_eq!(
        shown,
        [("localhost", &*first), ("localhost", &*second)],
        "one when it was made, one when it was replaced"
    );
}

#[test]
fn records_follow_into_a_new_file_when_the_old_one_was_moved_away() {
    let place = Place::new("rotated", "127.0.0.1:0");
    let mut server = place.serve();
    let rotate = |to: &str| {
        fs::rename(place.data().join("audit.jsonl"), place.data().join(to)).unwrap();
    };
    place.tool(&["user", "add", "romeo@localhost"], "pencil\n");
    place.until_recorded("romeo@localhost");
    rotate("audit.1");
    server.signal("HUP");
    server.until_logged("certificates were read again");
    // It is opened anew.
    place.until_recorded("");
    place.tool(&["user", "add", "juliet@localhost"], "pencil\n");
    place.until_recorded("juliet@localhost");
    rotate("audit.2");
    // A file that cannot be read is no reason to write on into the one that was moved.
    fs::write(place.0.join("stonechat.toml"), "nonsense").unwrap();
    server.signal("HUP");
    server.until_logged("nothing changed");
    place.until_recorded("");
    place.tool(&["user", "disable", "juliet@localhost"], "");
    server.signal("TERM");
    assert_eq!(server.end().0, Some(0));
    let events = |file: &str| -> Vec<(u64, String)> {
        let records = place.records(file).into_iter();
        let of_accounts = records.filter(|(_, record)| record["account"].is_string());
        of_accounts
            .map(|(number, record)| (number, record["event"].as_str().unwrap().to_owned()))
            .collect()
    };
    let expected = |number, event: &str| vec![(number, event.to_owned())];
    assert_eq!(events("audit.1"), expected(2, "account-added"));
    // Each behind the record of the reload that began its file.
    assert_eq!(events("audit.2"), expected(4, "account-added"));
    assert_eq!(events("audit.jsonl"), expected(6, "account-disabled"));
}

#[test]
fn clients_of_a_stopping_server_are_sent_to_the_other_one_if_there_is_one() {
    let place = Place::new("elsewhere", "127.0.0.1:0");
    let file = place.0.join("stonechat.toml");
    let text = fs::read_to_string(&file).unwrap();
    let other = "[server]\nsee_other_host = \"[2001:db8::1]:5222\"\n";
    fs::write(&file, text.replacen("[server]\n", other, 1)).unwrap();
    let server = place.serve();
    let goodbye = farewell(&server);
    let expected = "<see-other-host xmlns='urn:ietf:params:xml:ns:xmpp-streams'>[2001:db8::1]:5222</see-other-host>";
    assert!(goodbye.contains(expected), "{goodbye}");
    assert_eq!(server.end().0, Some(0));
}
