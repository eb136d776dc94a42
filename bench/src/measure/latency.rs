//! How late messages are when a server has as much time as it wants: at a share of what it can do at most, and beside the null
//! relay at the very same rate, in turn.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::pairs::Game;
use super::{Bench, LOGINS_IN_FLIGHT, Pace, until_quiet};
use crate::client::sasl::Mechanism;
use crate::client::session::Transport;
use crate::client::swarm::Swarm;
use crate::figures::Figure;
use crate::target::{Wishes, start_relay};

/// Pairs at so many percent of the server's own saturation, found first in each round; two figures, the relay's and the
/// server's, of the 99th percentile.
pub fn measure(
    bench: &Bench,
    pairs: usize,
    pace: Pace,
    percent: u32,
    transport: Transport,
) -> Result<[Figure; 2]> {
    ensure!((1..100).contains(&percent), "1 to 99 percent");
    let wishes = Wishes::plain(u32::try_from(2 * pairs)?, transport);
    let site = bench.prepare(wishes)?;
    let title = format!("latency p99, {pairs} pairs, {percent} % of saturation");
    let mut floor_figure = Figure::new(format!("{title}, plain"), "null relay", UNIT);
    let what = format!("{title}, {}", transport.label());
    let mut figure = Figure::new(what, bench.kind.label(), UNIT);
    for round in 1..=bench.rounds {
        let (relay, _files) = start_relay(bench.server_core)?;
        let mut relayed = Swarm::new(relay.address, Transport::Plain, Mechanism::Plain)?;
        relayed.connect(2 * pairs)?;
        let server = site.start()?;
        let mut served = Swarm::new(server.address, transport, Mechanism::ScramSha1)?;
        served.log_in(2 * pairs, LOGINS_IN_FLIGHT)?;
        until_quiet(&server, &mut served, Duration::from_secs(10))?;
        let mut closed = Game::new(&server, &mut served, pace)?;
        closed.slice(pace.warm_up, SATURATION_TIME)?;
        let most = closed.outcome()?.per_second;
        until_quiet(&server, &mut served, Duration::from_secs(10))?;
        let rate = most * f64::from(percent) / 100.0;
        let paced = Pace {
            in_flight: UNDER_WAY_MAX,
            ..pace
        };
        let mut floor = Game::new(&relay, &mut relayed, paced)?;
        let mut game = Game::new(&server, &mut served, paced)?;
        for (warm_up, slice) in paced.slices(Duration::ZERO) {
            floor.paced_slice(rate, warm_up, slice)?;
            game.paced_slice(rate, warm_up, slice)?;
        }
        let (floor, game) = (floor.paced_outcome()?, game.paced_outcome()?);
        eprintln!(
            "  round {round}: {rate:.0} messages/s: {} {:.3} ms, null relay {:.3} ms",
            figure.program, game.p99_ms, floor.p99_ms
        );
        for (figure, outcome) in [(&mut floor_figure, &floor), (&mut figure, &game)] {
            figure.values.push(outcome.p99_ms);
            figure.push_beside("p50 ms", outcome.p50_ms);
            figure.push_beside("messages/s", outcome.per_second);
            figure.push_beside("CPU us / message", outcome.server_us);
            figure.push_beside("server busy %", outcome.server_busy);
        }
        figure.push_beside("saturation, messages/s", most);
        figure.ratios.push(game.p99_ms / floor.p99_ms);
        served.log_out()?;
        server.stop()?;
        drop(relayed);
        relay.stop()?;
    }
    Ok([floor_figure, figure])
}

/// How long the server shows what it can do at most.
const SATURATION_TIME: Duration = Duration::from_secs(3);
/// Messages of one client that may be under way: at a quarter of saturation there is hardly ever one.
const UNDER_WAY_MAX: usize = 256;
const UNIT: &str = "ms";
