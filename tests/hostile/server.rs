//! The real server as a process, with what a test of bad input wants to know of it: its memory, its log, its
//! audit file. It refuses to know XMPP.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::ports::listened_on;

/// How long anything may take before a test gives up on it. Nothing waits for it but what fails.
pub const PATIENCE: Duration = Duration::from_secs(60);
const BINARY: &str = env!("CARGO_BIN_EXE_stonechat");
pub const PASSWORD: &str = "pencil";

/// A running `stonechat serve`; dropped, it is killed and its directory removed.
pub struct Server {
    /// Where STARTTLS is spoken.
    pub port: u16,
    /// Where TLS begins at once.
    pub tls_port: u16,
    /// Where the options' own listeners are, and then those two.
    pub ports: Vec<u16>,
    directory: PathBuf,
    child: Child,
    log: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts one with these options (TOML, dotted keys; listeners of their own have port 0) and makes the accounts
    /// `names`, all with [`PASSWORD`].
    pub fn start(test: &str, options: &str, names: &[&str]) -> Server {
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("hostile-{}-{test}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).unwrap();
        let is_of_all = |line: &&str| line.starts_with("listener.");
        let of_all: String = options
            .lines()
            .filter(is_of_all)
            .map(|line| format!("{}\n", &line["listener.".len()..]))
            .collect();
        let options: String = options
            .lines()
            .filter(|line| !is_of_all(line))
            .map(|line| format!("{line}\n"))
            .collect();
        // Nothing is shed because the machine is busy.
        let config = format!(
            "auth.scram_iterations = 4096\nserver.workers = 2\nserver.pin = false\nserver.overload_after = \"0 ms\"\n{options}\n\
             [[listener]]\naddress = \"127.0.0.1:0\"\ntls = \"starttls\"\n{of_all}\
             [[listener]]\naddress = \"127.0.0.1:0\"\ntls = \"direct\"\n{of_all}\
             [[host]]\nname = \"localhost\"\n"
        );
        fs::write(directory.join("stonechat.toml"), config).unwrap();
        let (output, theirs) = std::io::pipe().unwrap();
        let child = command(&directory, &["serve", "--test-clock"])
            .stdin(Stdio::null())
            .stdout(theirs.try_clone().unwrap())
            .stderr(theirs)
            .spawn()
            .unwrap();
        let (log, reader, started) = listen_to(output);
        let mut server = Server {
            port: 0,
            tls_port: 0,
            ports: Vec::new(),
            directory,
            child,
            log,
            reader: Some(reader),
        };
        if started.recv_timeout(PATIENCE).is_err() {
            panic!("the server does not start:\n{}", server.log());
        }
        server.ports = server.log().lines().filter_map(listened_on).collect();
        let [.., port, tls_port] = server.ports[..] else {
            panic!("it does not say where it listens:\n{}", server.log());
        };
        (server.port, server.tls_port) = (port, tls_port);
        let lines: String = names
            .iter()
            .map(|name| format!("{name}@localhost {PASSWORD}\n"))
            .collect();
        server.tool(&["user", "add", "--from", "-"], &lines);
        server
    }

    /// Runs a subcommand with this on its standard input; it must succeed.
    pub fn tool(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = command(&self.directory, arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        output
    }

    /// Moves the server's clock.
    pub fn advance(&self, ms: u64) {
        assert_eq!(self.ask(&format!("time advance {ms}")), "ok\n");
    }

    /// Waits until it has let so many connections in: those that call at once wait in the system's backlog for a while.
    #[allow(dead_code)] // Not for tests/operation.
    pub fn has_let_in(&self, count: usize) {
        let until = Instant::now() + PATIENCE;
        loop {
            let status = self.ask("status");
            let accepted = status.split("accepted ").skip(1);
            let numbers = accepted.filter_map(|rest| rest.split(' ').next()?.parse::<usize>().ok());
            if numbers.sum::<usize>() >= count {
                return;
            }
            assert!(Instant::now() < until, "{count} have called: {status}");
        }
    }

    fn ask(&self, request: &str) -> String {
        let mut socket = UnixStream::connect(self.data().join("control.sock")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.write_all(format!("{request}\n").as_bytes()).unwrap();
        socket.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer
    }

    /// What it has written to its standard output and standard error.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// Resident memory, in bytes.
    pub fn resident(&self) -> usize {
        self.status("VmRSS:")
    }

    /// The most memory that was ever resident, in bytes.
    pub fn peak(&self) -> usize {
        self.status("VmHWM:")
    }

    fn status(&self, field: &str) -> usize {
        let path = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(path).expect("the server runs");
        let line = status.lines().find(|line| line.starts_with(field)).unwrap();
        let kib: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kib * 1024
    }

    /// Drains it and gives back everything it ever logged; fails if anything in it panicked.
    pub fn stop(&mut self) -> String {
        let pid = self.child.id().to_string();
        let killed = Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        assert!(killed.success());
        let status = self.child.wait().unwrap();
        self.reader.take().unwrap().join().unwrap();
        let log = self.log();
        assert!(status.success(), "{status}\n{log}");
        assert!(!log.contains("panicked"), "{log}");
        log
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Gone already if the test came to its end.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let log = self.log();
            let tail = log.len().saturating_sub(4_000);
            eprintln!("the log:\n{}", log.get(tail..).unwrap_or(&log));
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command
        .args(arguments)
        .arg("--config")
        .arg(directory.join("stonechat.toml"))
        .arg("--data")
        .arg(directory.join("data"));
    command
}

/// Collects the log on a thread; the channel speaks when the server takes connections.
fn listen_to(
    output: impl Read + Send + 'static,
) -> (Arc<Mutex<String>>, JoinHandle<()>, mpsc::Receiver<()>) {
    let log = Arc::new(Mutex::new(String::new()));
    let (tell, told) = mpsc::channel();
    let kept = Arc::clone(&log);
    let reader = thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let is_started = line.starts_with("add a user with: ");
            let mut log = kept.lock().unwrap();
            log.push_str(&line);
            log.push('\n');
            drop(log);
            if is_started {
                // Nobody listens any more if the test has given up.
                let _ = tell.send(());
            }
        }
    });
    (log, reader, told)
}
