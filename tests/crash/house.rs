//! The real server as a process on one data directory, killed and started again. It refuses to know what its
//! clients say.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::ports::listened_on;

/// How long a server may take to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const BINARY: &str = env!("CARGO_BIN_EXE_stonechat");
const TMP: &str = env!("CARGO_TARGET_TMPDIR");

/// What the log of a healthy server never says.
const TROUBLE: &[&str] = &[
    "panicked",
    "save_failed",
    "_damaged",
    "unreadable",
    "sweep_failed",
];

/// A data directory, and the server that runs on it; dropped, both are gone.
pub struct House {
    /// Another one after each start.
    pub port: u16,
    directory: PathBuf,
    child: Option<Child>,
}

impl House {
    /// A directory with these accounts, whose password is their name, and a running server.
    ///
    /// # Errors
    /// What the server said instead of starting, or of adding an account.
    pub fn build(number: usize, names: &[String]) -> Result<House, String> {
        let directory = PathBuf::from(TMP).join(format!("crash-{}-{number}", std::process::id()));
        let failed = |e| format!("{}: {e}", directory.display());
        fs::create_dir_all(&directory).map_err(failed)?;
        // Two workers on any machine: half of what is said crosses the mesh. Nothing is shed because it is busy.
        let config = "server.workers = 2\nserver.pin = false\nserver.overload_after = \"0 ms\"\nauth.scram_iterations = 4096\n\n\
             [[listener]]\naddress = \"127.0.0.1:0\"\ntls = \"none\"\n\n\
             [[host]]\nname = \"localhost\"\n";
        fs::write(directory.join("stonechat.toml"), config).map_err(failed)?;
        let mut house = House {
            port: 0,
            directory,
            child: None,
        };
        house.start()?;
        for name in names {
            house.add_account(name)?;
        }
        Ok(house)
    }

    /// Starts the server and waits until it listens.
    ///
    /// # Errors
    /// What it printed instead.
    pub fn start(&mut self) -> Result<(), String> {
        let (output, theirs) = std::io::pipe().map_err(|e| e.to_string())?;
        let mut command = self.command(&["serve"]);
        let command = command
            .stdin(Stdio::null())
            .stdout(theirs.try_clone().map_err(|e| e.to_string())?)
            .stderr(theirs);
        self.child = Some(command.spawn().map_err(|e| format!("{BINARY}: {e}"))?);
        let log = File::options().create(true).append(true).open(self.log());
        self.port = listening(output, log.map_err(|e| e.to_string())?)?;
        Ok(())
    }

    /// SIGKILL.
    ///
    /// # Errors
    /// The server had ended by itself.
    pub fn kill(&mut self) -> Result<(), String> {
        let mut child = self.child.take().ok_or("no server is running")?;
        let ended = child.try_wait().map_err(|e| e.to_string())?;
        child.kill().map_err(|e| e.to_string())?;
        child.wait().map_err(|e| e.to_string())?;
        match ended {
            Some(status) => Err(format!("the server ended by itself: {status}")),
            None => Ok(()),
        }
    }

    /// Lines of the log that speak of trouble.
    pub fn troubles(&self) -> Vec<String> {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let is_trouble = |line: &&str| TROUBLE.iter().any(|word| line.contains(word));
        log.lines().filter(is_trouble).map(str::to_owned).collect()
    }

    fn add_account(&self, name: &str) -> Result<(), String> {
        let jid = format!("{name}@localhost");
        let mut child = self
            .command(&["user", "add", &jid])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| format!("{BINARY}: {e}"))?;
        if let Some(mut stdin) = child.stdin.take() {
            writeln!(stdin, "{name}").map_err(|e| format!("user add: {e}"))?;
        }
        let output = child.wait_with_output().map_err(|e| e.to_string())?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("user add {jid}: {}: {said}", output.status))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command.args(arguments);
        command
            .arg("--config")
            .arg(self.directory.join("stonechat.toml"));
        command.arg("--data").arg(self.directory.join("data"));
        command
    }

    fn log(&self) -> PathBuf {
        self.directory.join("server.log")
    }

    /// Keeps the directory for whoever looks into a failure; where it is.
    pub fn leave(mut self) -> PathBuf {
        self.stop();
        std::mem::take(&mut self.directory)
    }

    fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may be gone already, which is what is wanted.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.stop();
        if self.directory != Path::new("") {
            let _ = fs::remove_dir_all(&self.directory);
        }
    }
}

/// Reads what the server prints until it says where it listens, and goes on reading on a thread, so that the server
/// never waits for its own log.
fn listening(output: impl Read + Send + 'static, mut log: File) -> Result<u16, String> {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let mut printed = String::new();
        let mut is_told = false;
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            // A log that cannot be written must not stop the reading.
            let _ = writeln!(log, "{line}");
            if let (false, Some(port)) = (is_told, listened_on(&line)) {
                is_told = true;
                let _ = tell.send(Ok(port));
            }
            if !is_told {
                printed.push_str(&line);
                printed.push('\n');
            }
        }
        if !is_told {
            let _ = tell.send(Err(format!(
                "the server ended before it listened:\n{printed}"
            )));
        }
    });
    told.recv_timeout(PATIENCE)
        .unwrap_or_else(|_| Err("the server does not begin to listen".to_owned()))
}
