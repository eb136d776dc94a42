//! The server as a process: what it prints, what it leaves in its data directory, how it ends.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

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

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stonechat"));
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
    let mut client = TcpStream::connect(server.address("(STARTTLS)")).unwrap();
    client
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let header = b"<stream:stream to='localhost' version='1.0' xmlns='jabber:client' \
        xmlns:stream='http://etherx.jabber.org/streams'>";
    client.write_all(header).unwrap();
    // An answer proves that the doorman has let it in.
    let mut first = [0; 1];
    client.read_exact(&mut first).unwrap();
    server.signal("TERM");
    let mut goodbye = String::new();
    client.read_to_string(&mut goodbye).unwrap();
    assert!(goodbye.contains("<system-shutdown"), "{goodbye}");
    drop(client);
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
