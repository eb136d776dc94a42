//! A part of a run: a process that drives some of the users, told what to do by a coordinator over its standard input or a
//! connection, one JSON object a line. It lives as long as the coordinator.

use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::scenario::Scenario;
use super::stage::{Ends, Stage};
use super::unit::{News, Order, Task, Unit};
use super::words::Tag;
use crate::client::plan::LoginPlan;
use crate::client::tls::{giving_keys, trusting_config};
use crate::process::{pin, raise_descriptors};

/// The coordinator's first line.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Assignment {
    pub scenario: Scenario,
    pub domain: String,
    pub servers: Vec<SocketAddr>,
    pub sources: Vec<IpAddr>,
    /// For each thread its users: the number of the first, and how many.
    pub threads: Vec<(u32, u32)>,
    /// A processor for each thread, in turn; none to let the kernel choose.
    pub cores: Vec<usize>,
    pub seed: u64,
    pub run: Tag,
    pub tick_ms: u64,
    /// Whether accounts are made, and contacts (then logins expect none).
    pub prepares: bool,
}

/// What a part says: first itself, then news of its threads.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Line {
    Hello {
        version: String,
        pid: u32,
        descriptors: u64,
    },
    News {
        thread: usize,
        news: News,
    },
}

/// As a child of the coordinator.
pub fn over_standard_streams() -> Result<()> {
    serve(std::io::stdin().lock(), std::io::stdout())
}

/// On another machine, or under other circumstances.
pub fn join(address: &str) -> Result<()> {
    let stream = connect(address).with_context(|| format!("joining {address}"))?;
    stream.set_nodelay(true)?;
    let reader = BufReader::new(stream.try_clone()?);
    serve(reader, stream)
}

/// Parts may be started before their coordinator: who is refused tries again for a while.
fn connect(address: &str) -> std::io::Result<TcpStream> {
    let deadline = Instant::now() + JOINING_PATIENCE;
    loop {
        match TcpStream::connect(address) {
            Err(error)
                if error.kind() == std::io::ErrorKind::ConnectionRefused
                    && Instant::now() < deadline =>
            {
                thread::sleep(JOINING_PAUSE);
            }
            other => return other,
        }
    }
}

fn serve(mut orders: impl BufRead, mut out: impl Write + Send + 'static) -> Result<()> {
    let descriptors = raise_descriptors();
    let (lines, to_write) = channel::<Line>();
    let hello = Line::Hello {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        descriptors,
    };
    lines.send(hello)?;
    let writer = thread::spawn(move || write_all(&to_write, &mut out));
    let mut line = String::new();
    orders.read_line(&mut line)?;
    ensure!(!line.is_empty(), "the coordinator left without a word");
    let assignment: Assignment = serde_json::from_str(&line).context("the assignment")?;
    let mut threads = Vec::new();
    let mut senders = Vec::new();
    for (thread, &(first, count)) in assignment.threads.iter().enumerate() {
        let (order, to_follow) = channel();
        let (news, to_forward) = channel();
        senders.push(order);
        let lines = lines.clone();
        thread::spawn(move || forward(thread, &to_forward, &lines));
        let assignment = assignment.clone();
        let run = move || {
            let told = news.clone();
            let work = || run_thread(&assignment, thread, (first, count), to_follow, news);
            telling_of_panics(&told, work);
        };
        threads.push(
            thread::Builder::new()
                .name(format!("load-{thread}"))
                .spawn(run)?,
        );
    }
    drop(lines);
    for line in orders.lines() {
        let order: Order = serde_json::from_str(&line?).context("an order")?;
        for sender in &senders {
            // A thread that failed has said so.
            let _ = sender.send(order);
        }
        if order == Order::Leave {
            for thread in threads.drain(..) {
                let _ = thread.join();
            }
            break;
        }
    }
    // Without a coordinator there is nobody to work for; sessions end with this process.
    drop(senders);
    if threads.is_empty() {
        let _ = writer.join();
    }
    Ok(())
}

fn write_all(lines: &Receiver<Line>, out: &mut impl Write) {
    for line in lines {
        let Ok(mut text) = serde_json::to_string(&line) else {
            return;
        };
        text.push('\n');
        if out
            .write_all(text.as_bytes())
            .and_then(|()| out.flush())
            .is_err()
        {
            return;
        }
    }
}

fn forward(thread: usize, news: &Receiver<News>, lines: &Sender<Line>) {
    for news in news {
        if lines.send(Line::News { thread, news }).is_err() {
            return;
        }
    }
}

/// A thread that is gone without a word would be waited for, and the run would never end.
fn telling_of_panics(news: &Sender<News>, work: impl FnOnce()) {
    // Nothing of what it worked on is used again.
    if let Err(panic) = catch_unwind(AssertUnwindSafe(work)) {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        let why = format!("a thread panicked: {}", text.unwrap_or("without a word"));
        let _ = news.send(News::Failed(why));
    }
}

fn run_thread(
    assignment: &Assignment,
    thread: usize,
    (first, count): (u32, u32),
    orders: Receiver<Order>,
    news: Sender<News>,
) {
    if !assignment.cores.is_empty() {
        let id = assignment.cores[thread % assignment.cores.len()];
        if let Err(error) = pin(id) {
            let _ = news.send(News::Failed(format!("{error:#}")));
            return;
        }
    }
    let plan = match plan_of(assignment) {
        Ok(plan) => plan,
        Err(error) => {
            let _ = news.send(News::Failed(format!("{error:#}")));
            return;
        }
    };
    let ends = Ends {
        servers: assignment.servers.clone(),
        sources: assignment.sources.clone(),
    };
    let seed = assignment
        .seed
        .wrapping_add(u64::from(first).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let task = Task {
        scenario: assignment.scenario.clone(),
        share: f64::from(count) / f64::from(assignment.scenario.users.count),
        tick: Duration::from_millis(assignment.tick_ms),
    };
    match Stage::new(plan, ends, assignment.run, (first, count), seed) {
        Ok(stage) => Unit::new(task, stage, orders, news).run(),
        Err(error) => {
            let _ = news.send(News::Failed(format!("{error:#}")));
        }
    }
}

fn plan_of(assignment: &Assignment) -> Result<LoginPlan> {
    let connection = &assignment.scenario.connection;
    let tls = match connection.keys_only {
        true => giving_keys(&*trusting_config()?),
        false => trusting_config()?,
    };
    let people = assignment.scenario.people(&assignment.domain);
    Ok(LoginPlan {
        contacts: match assignment.prepares {
            true => 0,
            false => assignment.scenario.users.contacts as usize,
        },
        registers: assignment.prepares,
        manages: connection.stream_management,
        sasl2: connection.sasl2,
        keys_only: connection.keys_only,
        ..LoginPlan::new(people, connection.transport, connection.mechanism, tls)
    })
}

const JOINING_PATIENCE: Duration = Duration::from_secs(60);
const JOINING_PAUSE: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_panics_says_so() {
        let (news, told) = channel();
        telling_of_panics(&news, || ());
        telling_of_panics(&news, || panic!("{} legs", 3));
        drop(news);
        let told: Vec<News> = told.iter().collect();
        assert!(
            matches!(&told[..], [News::Failed(why)] if why.contains("3 legs")),
            "{told:?}"
        );
    }
}
