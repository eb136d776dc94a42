//! Processor time per login: from the connection to the roster and the initial presence, everything
//! the server does for it. Farewells stand beside it.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::{Bench, LOGINS_IN_FLIGHT, until_quiet};
use crate::client::sasl::Mechanism;
use crate::client::session::Transport;
use crate::client::swarm::Swarm;
use crate::figures::Figure;
use crate::process::{Server, cpu_of_process, own_cpu};
use crate::target::{Contacts, Wishes};

/// How many log in, and whom they know.
#[derive(Debug, Clone, Copy)]
pub struct Storm {
    /// Logins of a round.
    pub count: usize,
    /// Contacts of each, all of them offline.
    pub contacts: u32,
}

/// Measures so many logins a round. A round before the first warms the server up, lets the driver derive all keys, and
/// fetches tokens. With these a second one does not count: the first use of a token is written down, the others are not.
pub fn measure(
    bench: &Bench,
    storm: Storm,
    mechanism: Mechanism,
    transport: Transport,
) -> Result<Figure> {
    let wishes = Wishes {
        mechanism,
        contacts: match storm.contacts {
            0 => Contacts::None,
            count => Contacts::Offline(count),
        },
        ..Wishes::plain(u32::try_from(storm.count)?, transport)
    };
    let site = bench.prepare(wishes)?;
    let server = site.start()?;
    let mut swarm = Swarm::new(server.address, transport, mechanism)?;
    swarm.expect_contacts(storm.contacts);
    let title = format!(
        "login, {}, {}, {} contacts",
        mechanism.name(),
        transport.label(),
        storm.contacts
    );
    let mut figure = Figure::new(title, bench.kind.label(), "CPU us / login");
    let each = |time: Duration| time.as_secs_f64() * 1e6 / storm.count as f64;
    let warm_ups = match mechanism {
        Mechanism::Fast => 2,
        _ => 1,
    };
    for round in 1..=bench.rounds + warm_ups {
        let (before, driver_cpu, began) = (
            Spent::by(&server, bench.programs.beside)?,
            own_cpu()?,
            Instant::now(),
        );
        swarm.log_in(storm.count, LOGINS_IN_FLIGHT)?;
        let wall = began.elapsed();
        // As long as logins queue.
        let busy = bench.programs.beside.map(cpu_of_process).transpose()?;
        // What it still does for the last of them belongs to them.
        swarm.idle(Duration::from_millis(300))?;
        let (after, driver_after) = (Spent::by(&server, bench.programs.beside)?, own_cpu()?);
        swarm.log_out()?;
        until_quiet(&server, &mut swarm, Duration::from_secs(10))?;
        if round > warm_ups {
            let cost = each(after.all - before.all);
            eprintln!(
                "  round {}: {} {cost:.0} us",
                round - warm_ups,
                figure.measure
            );
            figure.values.push(cost);
            let workers = after.workers - before.workers;
            figure.push_beside("workers us", each(workers));
            figure.push_beside("helpers us", each(after.all - before.all - workers));
            if let Some((before, after)) = before.beside.zip(after.beside) {
                let beside = each(after - before);
                let share = busy
                    .map_or(Duration::ZERO, |busy| busy - before)
                    .as_secs_f64()
                    / wall.as_secs_f64();
                eprintln!(
                    "  round {}: beside {beside:.1} us, {:.1} % of a core while they logged in",
                    round - warm_ups,
                    share * 100.0
                );
                figure.push_beside("beside us", beside);
                figure.push_beside("beside busy %", share * 100.0);
            }
            figure.push_beside("farewell us", each(server.cpu()? - after.all));
            figure.push_beside("logins/s", storm.count as f64 / wall.as_secs_f64());
            figure.push_beside("driver us", each(driver_after - driver_cpu));
        }
    }
    server.stop()?;
    Ok(figure)
}

/// Processor time of a server until now.
struct Spent {
    all: Duration,
    /// Of the threads that Stonechat calls workers.
    workers: Duration,
    /// Of the process in which users live.
    beside: Option<Duration>,
}

impl Spent {
    fn by(server: &Server, beside: Option<u32>) -> Result<Self> {
        Ok(Self {
            all: server.cpu()?,
            workers: server.cpu_of_threads("worker-")?,
            beside: beside.map(cpu_of_process).transpose()?,
        })
    }
}
