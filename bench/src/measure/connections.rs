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
use crate::figures::Figure;
use crate::process::Server;
use crate::target::{Collector, Wishes};

/// How many connections, and how long the server may rest before its memory is read.
#[derive(Debug, Clone, Copy)]
pub struct Turnover {
    pub count: usize,
    pub rest: Duration,
}

/// A quarter of the connections says nothing, a quarter breaks off in its first stanza, a quarter logs in and breaks off, a
/// quarter logs in and says goodbye.
///
/// # Errors
/// If descriptors stay open, or memory is more than a twentieth and [`SLACK`] above what it was.
pub fn measure(bench: &Bench, turnover: Turnover, transport: Transport) -> Result<Vec<Figure>> {
    let wishes = Wishes {
        collector: Collector::Incremental,
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
    let began = Instant::now();
    come_and_go(server.address, &mut swarm, turnover.count)?;
    let seconds = began.elapsed().as_secs_f64();
    let (memory_after, descriptors_after) =
        at_rest(&server, &mut swarm, turnover.rest, Some(descriptors))?;
    server.stop()?;
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
    grown
        .values
        .push((memory_after as f64 - memory as f64) / turnover.count as f64);
    grown.push_beside("MiB before", memory as f64 / f64::from(1 << 20));
    grown.push_beside("MiB after", memory_after as f64 / f64::from(1 << 20));
    grown.push_beside("connections/s", turnover.count as f64 / seconds);
    let mut open = Figure::new(title("open descriptors"), bench.kind.label(), "descriptors");
    open.values.push(descriptors_after as f64);
    open.push_beside("before", descriptors as f64);
    eprintln!(
        "  {memory} bytes and {descriptors} descriptors before, {memory_after} and {descriptors_after} after"
    );
    ensure!(
        descriptors_after <= descriptors,
        "{descriptors} descriptors were open before, {descriptors_after} are after"
    );
    ensure!(
        memory_after <= memory + memory / 20 + SLACK,
        "{memory} bytes before, {memory_after} after"
    );
    Ok(vec![grown, open])
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
/// An allocator may keep this whatever came and went.
pub const SLACK: u64 = 4 << 20;
/// Who only connected may be thrown out no sooner than by a timer.
const CLOSING_PATIENCE: Duration = Duration::from_secs(60);
/// A stream that begins, and a stanza that does not end.
const BEGINNING: &[u8] = b"<?xml version='1.0'?><stream:stream to='localhost' version='1.0' \
    xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'><iq type='get' id='1'><que";
