//! A data directory with its configuration, and servers that run on it one after the other. It refuses to know
//! XMPP.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::ports::listened_on;

/// How long anything may take before a test gives up on it. Nothing waits for it but what fails.
pub const PATIENCE: Duration = Duration::from_secs(60);
pub const PASSWORD: &str = "pencil";
pub const BINARY: &str = env!("CARGO_BIN_EXE_stonechat");

/// A directory, removed with the test.
pub struct House {
    directory: PathBuf,
    pub data: PathBuf,
}

impl House {
    /// One whose servers have these options (TOML, dotted keys) and serve these hosts (`[[host]]` sections).
    pub fn new(test: &str, options: &str, hosts: &str) -> House {
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("operation-{}-{test}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).unwrap();
        let house = House {
            data: directory.join("data"),
            directory,
        };
        house.configure(options, hosts);
        house
    }

    /// The host that is served where nothing else is said.
    pub fn of_localhost(test: &str, options: &str) -> House {
        House::new(test, options, LOCALHOST)
    }

    /// Writes the configuration anew. What else listens (in `hosts`) comes behind the two of every server.
    pub fn configure(&self, options: &str, hosts: &str) {
        // Nothing is shed because the machine is busy.
        self.write_config(&format!(
            "auth.scram_iterations = 4096\nserver.workers = 2\nserver.pin = false\nserver.overload_after = \"0 ms\"\n{options}\n\
             [[listener]]\naddress = \"127.0.0.1:0\"\n\
             [[listener]]\naddress = \"127.0.0.1:0\"\ntls = \"direct\"\n{hosts}"
        ));
    }

    /// This is the configuration.
    pub fn write_config(&self, text: &str) {
        fs::write(self.path("stonechat.toml"), text).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The data directory before the first start.
    pub fn make_data(&self) {
        let mut builder = fs::DirBuilder::new();
        builder.mode(0o700).create(&self.data).unwrap();
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command
            .args(arguments)
            .arg("--config")
            .arg(self.path("stonechat.toml"))
            .arg("--data")
            .arg(&self.data)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs a subcommand with this on its standard input: whether it succeeded, and what it said.
    pub fn tool(&self, arguments: &[&str], input: &str) -> (bool, String) {
        let mut child = self.command(arguments).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // It may have ended without reading.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (
            output.status.success(),
            String::from_utf8_lossy(&said).into_owned(),
        )
    }

    /// Begins a subcommand with this on its standard input.
    pub fn begin(&self, arguments: &[&str], input: &str) -> Child {
        let mut child = self.command(arguments).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).unwrap();
        child
    }

    /// Makes an account with [`PASSWORD`].
    pub fn add(&self, jid: &str) {
        let (fine, said) = self.tool(&["user", "add", jid], &format!("{PASSWORD}\n"));
        assert!(fine, "{said}");
    }

    /// Starts a server, whose clock a test may move, and waits until it listens.
    pub fn serve(&self) -> Server {
        self.serve_by(self.command(&["serve", "--test-clock"]))
    }

    /// The same by a command of the test's own.
    pub fn serve_by(&self, mut command: Command) -> Server {
        let (output, theirs) = std::io::pipe().unwrap();
        let child = command
            .stdout(theirs.try_clone().unwrap())
            .stderr(theirs)
            .spawn()
            .unwrap();
        let (tell, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // Nobody listens any more if the test has given up.
                let _ = tell.send(line);
            }
        });
        let mut server = Server {
            port: 0,
            tls_port: 0,
            ports: Vec::new(),
            child,
            lines,
            log: String::new(),
        };
        server.until_logged("add a user with: ");
        server.ports = server.log.lines().filter_map(listened_on).collect();
        let [port, tls_port, ..] = server.ports[..] else {
            panic!("it does not say where it listens:\n{}", server.log);
        };
        (server.port, server.tls_port) = (port, tls_port);
        // A pipe that this process holds never ends.
        drop(command);
        server
    }

    /// Asks the server until it says that it has so many connections.
    pub fn until_connected(&self, count: usize) {
        let wanted = format!("connections: {count}\n");
        loop {
            let (fine, said) = self.tool(&["status"], "");
            assert!(fine, "{said}");
            if said.starts_with(&wanted) {
                return;
            }
        }
    }

    /// The records of the audit file.
    pub fn records(&self) -> Vec<serde_json::Value> {
        let text = fs::read_to_string(self.data.join("audit.jsonl")).unwrap();
        let lines = text.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A running server; dropped, it is killed.
pub struct Server {
    /// Where STARTTLS is spoken.
    pub port: u16,
    /// Where TLS begins at once.
    pub tls_port: u16,
    /// Those two, and where else it listens.
    pub ports: Vec<u16>,
    child: Child,
    lines: Receiver<String>,
    log: String,
}

impl Server {
    /// Reads what it prints up to the line that holds this, which must come in time, whatever else does.
    pub fn until_logged(&mut self, text: &str) -> String {
        let begun = Instant::now();
        loop {
            let left = PATIENCE.saturating_sub(begun.elapsed());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("no line says {text:?}:\n{}", self.log);
            };
            self.log.push_str(&line);
            self.log.push('\n');
            if line.contains(text) {
                return line;
            }
        }
    }

    /// What it printed up to the line that was waited for last.
    pub fn printed(&self) -> &str {
        &self.log
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.unwrap().success());
    }

    /// Waits for its end: its status, and all that it printed.
    pub fn end(mut self) -> (Option<i32>, String) {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => {
                    self.log.push_str(&line);
                    self.log.push('\n');
                }
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it does not end:\n{}", self.log),
            }
        }
        let status = self.child.wait().unwrap();
        (status.code(), std::mem::take(&mut self.log))
    }

    /// SIGTERM, which must end it well.
    pub fn stop(self) -> String {
        self.signal("TERM");
        let (code, log) = self.end();
        assert_eq!(code, Some(0), "{log}");
        log
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub const LOCALHOST: &str = "[[host]]\nname = \"localhost\"\n";

/// Makes a file whose filesystem takes a few more bytes at its end and then none: it is as long as a file can be,
/// and empty but for a line feed.
pub fn make_full(path: &Path) {
    let file = File::create_new(path).unwrap();
    let (mut fits, mut too_long) = (0, i64::MAX as u64);
    while fits + 1 < too_long {
        let length = fits + (too_long - fits) / 2;
        match file.set_len(length) {
            Ok(()) => fits = length,
            Err(_) => too_long = length,
        }
    }
    let length = fits - 20;
    file.set_len(length).unwrap();
    file.write_all_at(b"\n", length - 1).unwrap();
}
