//! The real server as a process: configuration, start, users, the hands of its clock, end.
//! It refuses to know what is said to it; `socket.rs` carries that.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use stonechat::server::command::parse_answer;

use super::direction::HostOption;
use super::ports::listened_on;

/// How long a server may take to start, and a command to it to be answered.
const PATIENCE: Duration = Duration::from_secs(60);
/// A worker answers an order at the beginning of a turn, before it looks at its sockets. The answer may be of the turn in
/// which the last events were looked for before something happened on a socket; the next turn sees it, reads it behind its
/// answer, and has done what it said before the third.
const TURNS: usize = 3;
const BINARY: &str = env!("CARGO_BIN_EXE_stonechat");
const TMP: &str = env!("CARGO_TARGET_TMPDIR");

/// A running `stonechat serve` with a directory of its own; dropped, it is killed and its
/// directory removed.
pub struct Server {
    pub host: String,
    /// The port where STARTTLS is spoken.
    pub port: u16,
    /// The port of direct TLS.
    pub tls_port: u16,
    /// Connections that were ever made to it.
    pub connected: AtomicU64,
    directory: PathBuf,
    child: Mutex<Child>,
}

impl Server {
    /// Starts one with these options, `path` = value in TOML, and waits until it listens.
    ///
    /// # Errors
    /// What it printed instead.
    pub fn start(number: usize, options: &[HostOption]) -> Result<Server, String> {
        let directory = PathBuf::from(TMP).join(format!("scenes-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&directory).map_err(|e| format!("{}: {e}", directory.display()))?;
        std::fs::write(directory.join("stonechat.toml"), configuration(options))
            .map_err(|e| e.to_string())?;
        let (output, theirs) = std::io::pipe().map_err(|e| e.to_string())?;
        let child = command(&directory, &["serve"])
            .arg("--test-clock")
            .stdin(Stdio::null())
            .stdout(theirs.try_clone().map_err(|e| e.to_string())?)
            .stderr(theirs)
            .spawn()
            .map_err(|e| format!("{BINARY}: {e}"))?;
        let mut server = Server {
            host: "localhost".to_string(),
            port: 0,
            tls_port: 0,
            connected: AtomicU64::new(0),
            directory,
            child: Mutex::new(child),
        };
        let log = PathBuf::from(TMP).join(format!("scenes-{number}.log"));
        let log = File::create(&log).map_err(|e| format!("{}: {e}", log.display()))?;
        [server.port, server.tls_port] = listening(output, log)?;
        Ok(server)
    }

    /// `stonechat user add`.
    pub fn register(&self, localpart: &str, password: &str) -> Result<(), String> {
        let jid = format!("{localpart}@{}", self.host);
        let mut child = command(&self.directory, &["user", "add", &jid])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| format!("{BINARY}: {e}"))?;
        if let Some(mut stdin) = child.stdin.take() {
            writeln!(stdin, "{password}").map_err(|e| format!("user add: {e}"))?;
        }
        let output = child
            .wait_with_output()
            .map_err(|e| format!("user add: {e}"))?;
        if output.status.success() {
            return Ok(());
        }
        Err(format!(
            "user add {jid}: {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        ))
    }

    /// What the operator's tool asks, over the control socket.
    pub fn operate(&self, command: &str) -> Result<Vec<String>, String> {
        parse_answer(&self.ask(command)?)
    }

    /// Moves the server's clock, in milliseconds, once everybody who has connected is inside: who still waits
    /// at the door when time passes is a newcomer of the time after.
    pub fn advance(&self, ms: u64) -> Result<(), String> {
        let connected = self.connected.load(Ordering::Relaxed);
        let until = Instant::now() + PATIENCE;
        loop {
            let status = self.ask("status")?;
            let inside: u64 = status.split("accepted ").skip(1).map(leading_number).sum();
            if inside >= connected {
                break;
            }
            if Instant::now() > until {
                return Err(format!("{connected} have connected:\n{status}"));
            }
        }
        let answer = self.ask(&format!("time advance {ms}"))?;
        if answer == "ok\n" {
            Ok(())
        } else {
            Err(format!("time advance {ms}: {answer}"))
        }
    }

    /// Returns when each worker has read what was in its sockets before this was called.
    pub fn catch_up(&self) -> Result<(), String> {
        for _ in 0..TURNS {
            self.ask("status")?;
        }
        Ok(())
    }

    /// A request over the control socket, and all of its answer.
    fn ask(&self, request: &str) -> Result<String, String> {
        let path = self.directory.join("data/control.sock");
        let failed = |e: std::io::Error| format!("{}: {e}", path.display());
        let mut socket = UnixStream::connect(&path).map_err(failed)?;
        socket.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
        socket
            .write_all(format!("{request}\n").as_bytes())
            .map_err(failed)?;
        // The request ends where the client stops writing.
        socket.shutdown(std::net::Shutdown::Write).map_err(failed)?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).map_err(failed)?;
        Ok(answer)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let mut child = self
            .child
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        // A server that is gone already has failed its scenes; a directory that stays does no harm.
        let _ = child.kill();
        let _ = child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn command(directory: &std::path::Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command
        .args(arguments)
        .arg("--config")
        .arg(directory.join("stonechat.toml"));
    command.arg("--data").arg(directory.join("data"));
    command
}

/// One host on two ports that the system chooses; the options of the scene are dotted keys, those of the host and of
/// the listeners in their tables, and with them cheap passwords, which no scene is about, and nothing is shed because the
/// machine is busy.
fn configuration(options: &[HostOption]) -> String {
    let (of_host, options): (Vec<&HostOption>, Vec<&HostOption>) =
        options.iter().partition(|o| o.path.starts_with("host."));
    let (of_all, options): (Vec<&HostOption>, Vec<&HostOption>) = options
        .into_iter()
        .partition(|o| o.path.starts_with("listener."));
    let lines = |options: Vec<&HostOption>| -> String {
        let line = |o: &HostOption| {
            let path = o.path.trim_start_matches("host.");
            let path = path.trim_start_matches("listener.");
            format!("{path} = {}\n", o.value)
        };
        options.into_iter().map(line).collect()
    };
    let (of_host, of_all, options) = (lines(of_host), lines(of_all), lines(options));
    let listener =
        |tls: &str| format!("[[listener]]\naddress = \"127.0.0.1:0\"\ntls = \"{tls}\"\n{of_all}\n");
    format!(
        "auth.scram_iterations = 4096\nserver.overload_after = \"0 ms\"\n{options}\n{}{}[[host]]\nname = \"localhost\"\n{of_host}",
        listener("starttls"),
        listener("direct")
    )
}

fn leading_number(text: &str) -> u64 {
    let digits = text.split(|c: char| !c.is_ascii_digit()).next();
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// Reads what the server prints until it has said at which two ports it listens, and goes on reading on a thread, so
/// that the server never waits for its own log.
fn listening(output: impl Read + Send + 'static, mut log: File) -> Result<[u16; 2], String> {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let mut printed = String::new();
        let mut is_told = false;
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            // A log that cannot be written must not stop the reading.
            let _ = writeln!(log, "{line}");
            if is_told {
                continue;
            }
            printed.push_str(&line);
            printed.push('\n');
            let ports: Vec<u16> = printed.lines().filter_map(listened_on).collect();
            if let [port, tls_port] = ports[..] {
                is_told = true;
                let _ = tell.send(Ok([port, tls_port]));
            }
        }
        if !is_told {
            let _ = tell.send(Err(format!(
                "the server ended before it listened:\n{printed}"
            )));
        }
    });
    told.recv_timeout(PATIENCE)
        .unwrap_or_else(|_| Err("the server does not begin to listen".to_string()))
}
