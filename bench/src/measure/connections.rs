//! Connections that come and go by the ten thousand: what of them stays behind in the server's memory, and of its
//! descriptors.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::{Bench, until_quiet};
use crate::client::sasl::Mechanism;
use crate::client::session::Transport;
use crate::client::swarm::Swarm;
use crate::figures::{Figure, median};
use crate::process::Server;
use crate::target::{Collector, Wishes};

/// How many connections, and how long the server may rest before its memory is read.
#[derive(Debug, Clone, Copy)]
pub struct Turnover {
    pub count: usize,
    pub rest: Duration,
    /// Whether the end of a session is written down (XEP-0012): the store keeps what it has not sorted yet in memory, a hundred
    /// bytes of each, until those fill its buffers.
    pub last_activity: bool,
}

/// A quarter of the connections says nothing, a quarter breaks off in its first stanza, a quarter logs in and breaks off, a
/// quarter logs in and says goodbye. Memory is read before, and behind each of several parts of them: what a connection leaves behind
/// makes each reading larger than the one before, caches that fill and an allocator's moods do not.
///
/// # Errors
/// If descriptors stay open, or memory grows by more than [`most`] allows, or, where something is written, than the store's buffers.
pub fn measure(bench: &Bench, turnover: Turnover, transport: Transport) -> Result<Vec<Figure>> {
    let wishes = Wishes {
        collector: Collector::Incremental,
        last_activity: turnover.last_activity,
        ..Wishes::plain(u32::try_from(BATCH)?, transport)
    };
    let site = bench.prepare(wishes)?;
    let server = site.start()?;
    let mut swarm = Swarm::new(server.address, transport, Mechanism::ScramSha1)?;
    // Tables and pools have their size after some hundreds.
    come_and_go(
        server.address,
        &mut swarm,
        (turnover.count / 20).clamp(8 * BATCH, 100 * BATCH),
    )?;
    let (memory, descriptors) = at_rest(&server, &mut swarm, turnover.rest, None)?;
    let mut readings = vec![(0, memory)];
    let mut busy = Duration::ZERO;
    let mut descriptors_after = descriptors;
    let mut done = 0;
    for part in 1..=PARTS {
        let began = Instant::now();
        let count = turnover.count * part / PARTS - done;
        come_and_go(server.address, &mut swarm, count)?;
        busy += began.elapsed();
        done += count;
        let (memory, open) = at_rest(&server, &mut swarm, turnover.rest, Some(descriptors))?;
        readings.push((done, memory));
        descriptors_after = open;
    }
    server.stop()?;
    let memory_after = readings[PARTS].1;
    let each = slope(&readings);
    let title = |what: &str| {
        format!(
            "{what} after {} connections, {}",
            turnover.count,
            transport.label()
        )
    };
    let mut grown = Figure::new(
        title("memory"),
        bench.kind.label(),
        "bytes more / connection",
    );
    grown.values.push(each);
    grown.push_beside("MiB before", memory as f64 / f64::from(1 << 20));
    grown.push_beside("MiB after", memory_after as f64 / f64::from(1 << 20));
    grown.push_beside("connections/s", turnover.count as f64 / busy.as_secs_f64());
    let mut open = Figure::new(title("open descriptors"), bench.kind.label(), "descriptors");
    open.values.push(descriptors_after as f64);
    open.push_beside("before", descriptors as f64);
    eprintln!(
        "  {descriptors} descriptors before, {descriptors_after} after; bytes behind so many connections: {readings:?}"
    );
    ensure!(
        descriptors_after <= descriptors,
        "{descriptors} descriptors were open before, {descriptors_after} are after"
    );
    let is_bounded = match turnover.last_activity {
        true => readings.iter().all(|(_, now)| *now <= memory + BUFFERS),
        false => each <= most(turnover.count),
    };
    ensure!(
        is_bounded,
        "each connection leaves {each:.0} bytes behind: {readings:?}"
    );
    Ok(vec![grown, open])
}

/// The median slope between any two readings (Theil and Sen): one or two that are off do not move it.
fn slope(readings: &[(usize, u64)]) -> f64 {
    let mut slopes = Vec::new();
    for (place, (count, memory)) in readings.iter().enumerate() {
        for (earlier, before) in &readings[..place] {
            slopes.push((*memory as f64 - *before as f64) / (count - earlier) as f64);
        }
    }
    median(&slopes)
}

/// Bytes that a connection may seem to leave behind, when there were so many: no allocation is smaller, and the allocator's moods.
fn most(count: usize) -> f64 {
    LEAST_ALLOCATION + MOODS / count as f64
}

fn come_and_go(address: SocketAddr, swarm: &mut Swarm, count: usize) -> Result<()> {
    for batch in 0..count.div_ceil(BATCH) {
        match batch % 4 {
            0 => drop(connect_all(address)?),
            1 => {
                for mut connection in connect_all(address)? {
                    connection.write_all(BEGINNING)?;
                }
            }
            2 => {
                swarm.log_in(BATCH, BATCH)?;
                swarm.sessions.clear();
            }
            _ => {
                swarm.log_in(BATCH, BATCH)?;
                swarm.log_out()?;
            }
        }
    }
    Ok(())
}

fn connect_all(address: SocketAddr) -> Result<Vec<TcpStream>> {
    let all = (0..BATCH).map(|_| TcpStream::connect(address).context("connecting"));
    all.collect()
}

/// Memory and descriptors, once the latter are as few as wanted or time is over.
fn at_rest(
    server: &Server,
    swarm: &mut Swarm,
    rest: Duration,
    wanted: Option<usize>,
) -> Result<(u64, usize)> {
    until_quiet(server, swarm, Duration::from_secs(30))?;
    swarm.idle(rest)?;
    let deadline = Instant::now() + CLOSING_PATIENCE;
    loop {
        let open = fs::read_dir(format!("/proc/{}/fd", server.pid()))?.count();
        if wanted.is_none_or(|wanted| open <= wanted) || Instant::now() > deadline {
            return Ok((server.private_bytes()?, open));
        }
        swarm.idle(Duration::from_millis(200))?;
    }
}

/// At a time.
const BATCH: usize = 64;
const PARTS: usize = 4;
/// What a table of the store keeps in memory: 16 MiB by its own count until they are sorted into a file, those of the last two
/// times, and as an allocator counts. Bytes.
const BUFFERS: u64 = 64 << 20;
/// Of jemalloc, in bytes.
const LEAST_ALLOCATION: f64 = 8.0;
/// What an allocator keeps more or less of from one reading to the next, whatever came and went: on a busy machine 2 MB more at
/// the last of five, which makes 1.1 MB of nothing.
const MOODS: f64 = 1_800_000.0;
/// Who only connected may be thrown out no sooner than by a timer.
const CLOSING_PATIENCE: Duration = Duration::from_secs(60);
/// A stream that begins, and a stanza that does not end.
const BEGINNING: &[u8] = b"<?xml version='1.0'?><stream:stream to='localhost' version='1.0' \
    xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'><iq type='get' id='1'><que";

#[cfg(test)]
mod tests {
    use super::*;

    fn readings(count: usize, leak: f64, moods: [i64; PARTS]) -> Vec<(usize, u64)> {
        let mut all = vec![(0, 40_000_000)];
        for (part, mood) in (1..).zip(moods) {
            let done = count * part / PARTS;
            let memory = 40_000_000.0 + leak * done as f64 + mood as f64;
            all.push((done, memory as u64));
        }
        all
    }

    #[test]
    fn five_hundred_bytes_a_connection_are_too_much_already_of_four_thousand() {
        // A cache that fills at first, and pages that are given back late.
        let moods = [700_000, 650_000, 900_000, 700_000];
        let of = |count, leak| slope(&readings(count, leak, moods)) <= most(count);
        assert!(of(4_096, 0.0) && of(100_000, 0.0));
        assert!(!of(4_096, 500.0));
        assert!(!of(100_000, 30.0));
        let none = slope(&readings(4_096, 500.0, [0; PARTS]));
        assert!((499.0..501.0).contains(&none), "{none}");
    }
}
