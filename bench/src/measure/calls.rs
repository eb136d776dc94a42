//! System calls of the server per message that it delivers, counted by the kernel (`perf stat`) or, where that is not to be
//! had, by `strace`, which slows the server down.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::pairs::Game;
use super::{Bench, LOGINS_IN_FLIGHT, Pace, until_quiet};
use crate::client::sasl::Mechanism;
use crate::client::session::Transport;
use crate::client::swarm::Swarm;
use crate::figures::Figure;
use crate::target::Wishes;

/// Pairs with so many messages in flight; one figure, with the calls by name beside it.
pub fn measure(bench: &Bench, pairs: usize, pace: Pace, transport: Transport) -> Result<Figure> {
    let wishes = Wishes::plain(u32::try_from(2 * pairs)?, transport);
    let site = bench.prepare(wishes)?;
    let title = format!(
        "system calls, {pairs} pairs, {} in flight, {}",
        pace.in_flight,
        transport.label()
    );
    let mut figure = Figure::new(title, bench.kind.label(), "calls / message");
    for round in 1..=bench.rounds {
        let server = site.start()?;
        let mut swarm = Swarm::new(server.address, transport, Mechanism::ScramSha1)?;
        swarm.log_in(2 * pairs, LOGINS_IN_FLIGHT)?;
        until_quiet(&server, &mut swarm, Duration::from_secs(10))?;
        let mut game = Game::new(&server, &mut swarm, pace)?;
        game.slice(pace.warm_up, Duration::ZERO)?;
        let before = game.delivered();
        let counter = Counter::attach(server.pid())?;
        game.slice(Duration::ZERO, pace.window)?;
        let calls = counter.detach()?;
        let messages = (game.delivered() - before) as f64;
        ensure!(messages > 0.0, "no messages");
        let all = calls.get(ALL).context("no sum of calls")? / messages;
        eprintln!("  round {round}: {} {all:.3}", figure.measure);
        figure.values.push(all);
        for (name, count) in calls.iter().filter(|(name, _)| *name != ALL) {
            if count / messages >= 0.001 {
                figure.push_beside(name.clone(), count / messages);
            }
        }
        swarm.log_out()?;
        server.stop()?;
    }
    Ok(figure)
}

/// Under which the sum is told.
const ALL: &str = "all";

/// A program that counts the calls of a process.
struct Counter {
    child: Child,
    output: std::path::PathBuf,
    is_perf: bool,
}

impl Counter {
    fn attach(pid: u32) -> Result<Self> {
        let output = std::env::temp_dir().join(format!("stonechat-calls-{pid}"));
        let is_perf = perf_counts();
        let mut command = Command::new(if is_perf { "perf" } else { "strace" });
        match is_perf {
            true => {
                let by_name = COUNTED.map(|name| format!("syscalls:sys_enter_{name}"));
                let events = format!("raw_syscalls:sys_enter,{}", by_name.join(","));
                command.args(["stat", "-x", ",", "-e", &events]);
            }
            false => drop(command.args(["-f", "-c", "-q"])),
        }
        command
            .arg("-o")
            .arg(&output)
            .args(["-p", &pid.to_string()]);
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = child
            .spawn()
            .context("counting system calls (apt-get install linux-perf, or strace)")?;
        // Neither says when it is there. What happens meanwhile is little: nobody plays.
        thread::sleep(ATTACHING);
        Ok(Self {
            child,
            output,
            is_perf,
        })
    }

    fn detach(mut self) -> Result<BTreeMap<String, f64>> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.context("no process")?, Signal::INT)?;
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                bail!("the counter of system calls does not end");
            }
            thread::sleep(Duration::from_millis(20));
        }
        let text = fs::read_to_string(&self.output).context("reading the counts")?;
        let calls = match self.is_perf {
            true => of_perf(&text),
            false => of_strace(&text),
        };
        ensure!(calls.contains_key(ALL), "no system calls in: {text}");
        Ok(calls)
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        let _ = fs::remove_file(&self.output);
    }
}

/// Whether perf may count here: it needs the kernel's trace points.
fn perf_counts() -> bool {
    let tried = Command::new("perf")
        .args(["stat", "-x", ",", "-e", "raw_syscalls:sys_enter", "true"])
        .output();
    tried.is_ok_and(|output| {
        output.status.success()
            && of_perf(&String::from_utf8_lossy(&output.stderr)).contains_key(ALL)
    })
}

/// Lines like `1234,,raw_syscalls:sys_enter,...`.
fn of_perf(text: &str) -> BTreeMap<String, f64> {
    let counts = text.lines().filter_map(|line| {
        let mut fields = line.split(',');
        let count = fields.next()?.parse().ok()?;
        let name = fields.nth(1)?;
        let name = match name {
            "raw_syscalls:sys_enter" => ALL,
            other => other.strip_prefix("syscalls:sys_enter_")?,
        };
        Some((name.to_owned(), count))
    });
    counts.collect()
}

/// The table of `strace -c`: share, seconds, microseconds for each, calls, errors, name.
fn of_strace(text: &str) -> BTreeMap<String, f64> {
    let counts = text.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let count: f64 = fields.get(3)?.parse().ok()?;
        let name = match *fields.last()? {
            "total" => ALL,
            other => other,
        };
        Some((name.to_owned(), count))
    });
    counts.collect()
}

const COUNTED: [&str; 11] = [
    "epoll_wait",
    "epoll_pwait",
    "recvfrom",
    "sendto",
    "read",
    "write",
    "readv",
    "writev",
    "recvmsg",
    "sendmsg",
    "futex",
];
const ATTACHING: Duration = Duration::from_millis(700);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_found_in_what_perf_and_strace_say() {
        let perf = "# started on Thu\n\n1400,,raw_syscalls:sys_enter,1,100.00,,\n\
                    700,,syscalls:sys_enter_sendto,1,100.00,,\n<not counted>,,syscalls:sys_enter_read,0,0,,\n";
        let calls = of_perf(perf);
        assert_eq!(
            (calls[ALL], calls["sendto"], calls.len()),
            (1_400.0, 700.0, 2)
        );
        let strace = "% time     seconds  usecs/call     calls    errors syscall\n\
                      ------ ----------- ----------- --------- --------- ----------------\n\
                      \x2050.00    0.001000           1       700         3 recvfrom\n\
                      \x2050.00    0.001000           1       600           sendto\n\
                      ------ ----------- ----------- --------- --------- ----------------\n\
                      100.00    0.002000           1      1300         3 total\n";
        let calls = of_strace(strace);
        assert_eq!(
            (calls[ALL], calls["recvfrom"], calls["sendto"]),
            (1_300.0, 700.0, 600.0)
        );
    }
}
