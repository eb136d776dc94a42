//! A child process under measurement: started on one core, watched through /proc, stopped politely.
//! It knows nothing of XMPP, nor which server it runs.

#[path = "../../tests/common/ports.rs"]
#[allow(dead_code)] // What servers print is looked at elsewhere.
mod ports;

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Resource, Signal, getrlimit, kill_process, setrlimit};

/// How a server lets us know that it accepts connections.
pub enum Ready {
    /// Its output contains this. The null relay needs it: it pairs connections in the order of their arrival, and a
    /// probing connection would count as one.
    Says(&'static str),
    /// Its port accepts a connection.
    PortOpens,
}

/// A running server. Dropping it kills it.
pub struct Server {
    child: Child,
    /// The process that does the work: the child itself, or for ejabberd the virtual machine under it.
    worker: u32,
    pub address: SocketAddr,
    log: PathBuf,
}

impl Server {
    /// Starts `command` on these cores alone, with its output in the file `log`, and waits until it is ready.
    pub fn start(
        command: &[String],
        cores: &str,
        address: SocketAddr,
        log: &Path,
        ready: Ready,
    ) -> Result<Self> {
        let output = File::create(log).with_context(|| format!("creating {}", log.display()))?;
        // taskset replaces itself by the command, so that the child's id is the server's.
        let child = Command::new("taskset")
            .arg("--cpu-list")
            .arg(cores)
            .args(command)
            .stdin(Stdio::null())
            .stderr(output.try_clone()?)
            .stdout(output)
            .spawn()
            .with_context(|| format!("starting {}", command.join(" ")))?;
        let worker = child.id();
        let mut server = Self {
            child,
            worker,
            address,
            log: log.to_owned(),
        };
        server.wait_until(ready)?;
        server.worker = descendant_named(server.worker, "beam.smp").unwrap_or(server.worker);
        Ok(server)
    }

    fn wait_until(&mut self, ready: Ready) -> Result<()> {
        let deadline = Instant::now() + START_TIME;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                bail!(
                    "the server ended while starting ({status}):\n{}",
                    self.log_tail()
                );
            }
            let is_ready = match ready {
                Ready::Says(words) => self.log_text().contains(words),
                Ready::PortOpens => TcpStream::connect(self.address).is_ok(),
            };
            if is_ready {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!(
            "the server was not ready after {START_TIME:?}:\n{}",
            self.log_tail()
        )
    }

    /// Processor time of all threads of the server since its start, in steps of 10 ms.
    pub fn cpu(&self) -> Result<Duration> {
        cpu_of(&self.worker.to_string())
    }

    /// The same of those threads whose names begin so.
    pub fn cpu_of_threads(&self, name: &str) -> Result<Duration> {
        let tasks = format!("/proc/{}/task", self.worker);
        let mut sum = Duration::ZERO;
        for task in fs::read_dir(&tasks).with_context(|| format!("reading {tasks}"))? {
            let task = task?.path();
            // A thread may end while we look.
            let (Ok(comm), Ok(stat)) = (
                fs::read_to_string(task.join("comm")),
                fs::read_to_string(task.join("stat")),
            ) else {
                continue;
            };
            if comm.starts_with(name) {
                sum += cpu_in(&stat).context("no processor times of a thread")?;
            }
        }
        Ok(sum)
    }

    /// Resident bytes that belong to the server alone (clean and dirty private pages).
    pub fn private_bytes(&self) -> Result<u64> {
        private_bytes_of(self.worker)
    }

    /// The process that does the work.
    pub fn pid(&self) -> u32 {
        self.worker
    }

    /// Asks the server to end, waits for it, and kills it when it does not.
    pub fn stop(mut self) -> Result<()> {
        self.signal(Signal::TERM);
        let deadline = Instant::now() + STOP_TIME;
        while Instant::now() < deadline {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        eprintln!("  note: the server did not end within {STOP_TIME:?} of SIGTERM and is killed");
        Ok(())
    }

    /// Asks the server to end; [`Server::stop`] waits for it.
    pub fn signal_end(&self) {
        self.signal(Signal::TERM);
    }

    /// The error with how `name`, this server, fares: of its end who talks to it sees no more than a socket that is closed.
    pub fn explain(&mut self, name: &str, error: anyhow::Error) -> anyhow::Error {
        error.context(format!("server \"{name}\" {}", self.fate()))
    }

    /// Whether it runs or how it ended, and what it printed last.
    fn fate(&mut self) -> String {
        // Its sockets are closed some time before it has ended.
        let deadline = Instant::now() + END_TIME;
        let status = loop {
            match self.child.try_wait() {
                Ok(None) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                status => break status,
            }
        };
        let fate = match status {
            Ok(Some(status)) => format!("has ended ({status})"),
            Ok(None) => "still runs".to_owned(),
            Err(error) => format!("cannot be looked after ({error})"),
        };
        match self.log_tail() {
            said if said.is_empty() => format!("{fate} and has said nothing"),
            said => format!("{fate} and said last:\n{said}"),
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.worker).ok().and_then(Pid::from_raw) {
            // The only likely error is that it has ended, which is what was wanted.
            let _ = kill_process(pid, signal);
        }
    }

    /// What the server printed last, for error reports.
    pub fn log_tail(&self) -> String {
        let text = self.log_text();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    fn log_text(&self) -> String {
        fs::read(&self.log).map_or_else(|_| String::new(), |b| String::from_utf8_lossy(&b).into())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal(Signal::KILL);
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// As many as this process may have at all.
pub fn raise_descriptors() -> u64 {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // When it is refused, what was allowed before is what counts.
    let _ = setrlimit(Resource::Nofile, limit);
    getrlimit(Resource::Nofile).current.unwrap_or(1 << 20)
}

/// Keeps this process on one core.
pub fn pin(core: usize) -> Result<()> {
    let pinned = core_affinity::set_for_current(core_affinity::CoreId { id: core });
    ensure!(pinned, "this process may not run on core {core}");
    Ok(())
}

/// Processor time of another process.
pub fn cpu_of_process(pid: u32) -> Result<Duration> {
    cpu_of(&pid.to_string())
}

/// Processor time of this process, the load driver.
pub fn own_cpu() -> Result<Duration> {
    cpu_of("self")
}

/// Resident bytes that belong to a process alone.
pub fn private_bytes_of(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    private_bytes_in(&text).with_context(|| format!("no private pages in {path}"))
}

/// A loopback address on which nothing listens, and which no other part of this process was given.
pub fn unused_address() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free_port()))
}

/// The same of any process, by its id or `self`.
pub fn cpu_of(pid: &str) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    cpu_in(&text).with_context(|| format!("no processor times in {path}"))
}

/// utime and stime, fields 14 and 15 of proc(5). The name in field 2 may hold spaces and brackets, so
/// the fields are counted from the last closing bracket.
fn cpu_in(stat: &str) -> Option<Duration> {
    let mut fields = stat
        .get(stat.rfind(')')? + 1..)?
        .split_whitespace()
        .skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    // USER_HZ is 100 on every architecture we run on.
    Some(Duration::from_millis((user + system) * 10))
}

fn private_bytes_in(smaps: &str) -> Option<u64> {
    let kilobytes = |name| -> Option<u64> {
        let line = smaps.lines().find_map(|l| l.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.parse().ok()
    };
    Some((kilobytes("Private_Clean:")? + kilobytes("Private_Dirty:")?) * 1024)
}

/// The process called `name` among those started below `root`, if there is one.
fn descendant_named(root: u32, name: &str) -> Option<u32> {
    let mut pending = vec![root];
    while let Some(pid) = pending.pop() {
        if fs::read_to_string(format!("/proc/{pid}/comm")).ok()?.trim() == name {
            return Some(pid);
        }
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let children = children.unwrap_or_default();
        pending.extend(
            children
                .split_whitespace()
                .filter_map(|p| p.parse::<u32>().ok()),
        );
    }
    None
}

const START_TIME: Duration = Duration::from_secs(60);
const STOP_TIME: Duration = Duration::from_secs(20);
/// For the memory of a million sessions to be given back.
const END_TIME: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_found_behind_a_name_with_spaces_and_brackets() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194304 9 0 0 0 120 30 7 7 20 0 1 0 5 6 7";
        assert_eq!(cpu_in(stat), Some(Duration::from_millis(1_500)));
        assert_eq!(cpu_in("42 (cut) S 1"), None);
    }

    #[test]
    fn private_bytes_leave_shared_pages_out() {
        let smaps = "00-ff ---p 0 0 0 [rollup]\nRss: 900 kB\nShared_Clean: 500 kB\n\
                     Private_Clean:        4 kB\nPrivate_Dirty:      396 kB\n";
        assert_eq!(private_bytes_in(smaps), Some(400 * 1024));
        assert_eq!(private_bytes_in("Rss: 1 kB\n"), None);
    }

    #[test]
    fn an_error_names_the_server_how_it_ended_and_what_it_said_last() {
        let log = std::env::temp_dir().join(format!("stonechat-fate-{}", std::process::id()));
        let command = "echo listening; echo 'its last words' >&2; exec sleep 600";
        let command = ["sh", "-c", command].map(str::to_owned);
        let says = Ready::Says("last words");
        let server = Server::start(&command, "0", unused_address(), &log, says);
        let mut server = server.expect("a shell");
        let reset = || std::io::Error::from(std::io::ErrorKind::ConnectionReset).into();
        let running = format!("{:#}", server.explain("few", reset()));
        server.signal(Signal::KILL);
        let ended = format!("{:#}", server.explain("all", reset()));
        fs::remove_file(&log).expect("it was written");
        assert!(
            running.contains("server \"few\" still runs and said last:\nlistening\nits last words"),
            "{running}"
        );
        for part in [
            "server \"all\" has ended (signal: 9",
            "its last words",
            "connection reset",
        ] {
            assert!(ended.contains(part), "no {part:?} in {ended}");
        }
    }

    #[test]
    fn our_own_figures_can_be_read() {
        cpu_of("self").expect("this process has a stat file");
        assert_eq!(descendant_named(std::process::id(), "no such name"), None);
    }
}
