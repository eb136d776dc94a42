//! Resident bytes per idle session: the slope between few sessions and many, so that what the server
//! needs anyway does not count.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::{Bench, LOGINS_IN_FLIGHT, until_quiet};
use crate::client::sasl::Mechanism;
use crate::client::session::Transport;
use crate::client::swarm::Swarm;
use crate::figures::Figure;
use crate::target::{Collector, CompactTls, Contacts, Wishes};

/// Between which numbers of sessions the slope is taken, and how long they rest before each reading.
#[derive(Debug, Clone, Copy)]
pub struct Slope {
    /// Contacts in each roster.
    pub contacts: u32,
    pub from: usize,
    pub to: usize,
    /// See [`Wishes::store_cache`].
    pub store_cache: Option<u32>,
    pub compact_tls: CompactTls,
    /// Long enough for allocators to give pages back (jemalloc: 10 s) and for a collector to run.
    pub rest: Duration,
    pub mechanism: Mechanism,
}

/// Sessions here are authenticated and bound, have fetched their roster and sent initial presence.
pub fn measure(bench: &Bench, slope: Slope, transport: Transport) -> Result<Figure> {
    ensure!(
        slope.from < slope.to,
        "the slope needs more sessions at its end than at its start"
    );
    let wishes = Wishes {
        compact_tls: slope.compact_tls,
        mechanism: slope.mechanism,
        collector: Collector::Incremental,
        contacts: match slope.contacts {
            0 => Contacts::None,
            count => Contacts::Offline(count),
        },
        store_cache: slope.store_cache,
        ..Wishes::plain(u32::try_from(slope.to)?, transport)
    };
    let site = bench.prepare(wishes)?;
    let title = format!(
        "memory, {} to {} sessions, {} contacts, {}{}",
        slope.from,
        slope.to,
        slope.contacts,
        transport.label(),
        slope.compact_tls.label()
    );
    let mut figure = Figure::new(title, bench.kind.label(), "bytes / session");
    for round in 1..=bench.rounds {
        let server = site.start()?;
        let mut swarm = Swarm::new(server.address, transport, wishes.mechanism)?;
        swarm.expect_contacts(slope.contacts);
        let mut resident = Vec::new();
        for count in [slope.from, slope.to] {
            swarm.log_in(count, LOGINS_IN_FLIGHT)?;
            until_quiet(&server, &mut swarm, Duration::from_secs(60))?;
            swarm.idle(slope.rest)?;
            resident.push(server.private_bytes()? as f64);
        }
        let each = (resident[1] - resident[0]) / (slope.to - slope.from) as f64;
        eprintln!("  round {round}: {} {each:.0} bytes", figure.measure);
        figure.values.push(each);
        figure.push_beside("MiB at the end", resident[1] / f64::from(1 << 20));
        swarm.log_out()?;
        server.stop()?;
    }
    Ok(figure)
}
