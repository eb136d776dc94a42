//! Processor time per login: from the connection to the roster and the initial presence, everything
//! the server does for it. Farewells are not counted.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::{Bench, LOGINS_IN_FLIGHT, until_quiet};
use crate::client::sasl::Mechanism;
use crate::client::session::Transport;
use crate::client::swarm::Swarm;
use crate::figures::Figure;
use crate::process::own_cpu;
use crate::target::{Archive, Collector, Keep, Wishes};

/// Measures `count` logins a round. A round before the first warms the server up, and lets the
/// driver derive all keys.
pub fn measure(
    bench: &Bench,
    count: usize,
    mechanism: Mechanism,
    transport: Transport,
) -> Result<Figure> {
    let wishes = Wishes {
        users: u32::try_from(count)?,
        transport,
        keep: Keep::OfflineOnly,
        archive: Archive::Off,
        mechanism,
        collector: Collector::Generational,
    };
    let site = bench.prepare(wishes)?;
    let server = site.start()?;
    let mut swarm = Swarm::new(server.address, transport, mechanism)?;
    let title = format!("login, {}, {}", mechanism.name(), transport.label());
    let mut figure = Figure::new(title, bench.kind.label(), "CPU us / login");
    for round in 0..=bench.rounds {
        let (server_cpu, driver_cpu, began) = (server.cpu()?, own_cpu()?, Instant::now());
        swarm.log_in(count, LOGINS_IN_FLIGHT)?;
        let wall = began.elapsed();
        // What it still does for the last of them belongs to them.
        swarm.idle(Duration::from_millis(300))?;
        let each = |time: Duration| time.as_secs_f64() * 1e6 / count as f64;
        if round > 0 {
            let cost = each(server.cpu()? - server_cpu);
            eprintln!("  round {round}: {} {cost:.0} us", figure.measure);
            figure.values.push(cost);
            figure.push_beside("logins/s", count as f64 / wall.as_secs_f64());
            figure.push_beside("driver us", each(own_cpu()? - driver_cpu));
        }
        swarm.log_out()?;
        until_quiet(&server, &mut swarm, Duration::from_secs(10))?;
    }
    server.stop()?;
    Ok(figure)
}
