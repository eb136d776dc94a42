//! Processor time per chat message, beside the null relay's in the same run: in every round the
//! relay first, then each variant, everything started anew.

use anyhow::Result;

use super::pairs::{Outcome, Pace, play};
use super::{Bench, LOGINS_IN_FLIGHT, until_quiet};
use crate::client::sasl::Mechanism;
use crate::client::session::Transport;
use crate::client::swarm::Swarm;
use crate::figures::Figure;
use crate::target::{Archive, Collector, Keep, Site, Wishes, start_relay};
use std::time::Duration;

/// What of a server is compared.
#[derive(Debug, Clone, Copy)]
pub struct Variant {
    pub transport: Transport,
    pub keep: Keep,
    pub archive: Archive,
}

/// Measures the null relay, and beside it every variant of the server.
pub fn measure(
    bench: &Bench,
    pairs: usize,
    pace: Pace,
    variants: &[Variant],
) -> Result<Vec<Figure>> {
    let title = format!("chat, {pairs} pairs, {} in flight", pace.in_flight);
    let mut sites: Vec<(Site, Variant, Figure)> = Vec::new();
    for &variant in variants {
        let wishes = Wishes {
            users: u32::try_from(2 * pairs)?,
            transport: variant.transport,
            keep: variant.keep,
            archive: variant.archive,
            mechanism: Mechanism::ScramSha1,
            collector: Collector::Generational,
        };
        let archive = match variant.archive {
            Archive::Off => "",
            Archive::On => ", archive",
        };
        let what = format!(
            "{title}, {}, {}{archive}",
            variant.transport.label(),
            variant.keep.label()
        );
        let figure = Figure::new(what, bench.kind.label(), UNIT);
        sites.push((bench.prepare(wishes)?, variant, figure));
    }
    let mut relay = Figure::new(format!("{title}, plain"), "null relay", UNIT);
    for round in 1..=bench.rounds {
        let floor = relay_once(bench, pairs, pace)?;
        eprintln!("  round {round}: null relay {:.2} us", floor.server_us);
        push(&mut relay, &floor);
        for (site, variant, figure) in &mut sites {
            let outcome = server_once(site, pairs, pace, variant.transport)?;
            eprintln!(
                "  round {round}: {} {:.2} us",
                figure.measure, outcome.server_us
            );
            push(figure, &outcome);
            figure.ratios.push(outcome.server_us / floor.server_us);
        }
    }
    Ok(std::iter::once(relay)
        .chain(sites.into_iter().map(|(_, _, figure)| figure))
        .collect())
}

fn relay_once(bench: &Bench, pairs: usize, pace: Pace) -> Result<Outcome> {
    let (server, _files) = start_relay(bench.server_core)?;
    let mut swarm = Swarm::new(server.address, Transport::Plain, Mechanism::Plain)?;
    swarm.connect(2 * pairs)?;
    let outcome = play(&server, &mut swarm, pace);
    drop(swarm);
    server.stop()?;
    outcome
}

fn server_once(site: &Site, pairs: usize, pace: Pace, transport: Transport) -> Result<Outcome> {
    let server = site.start()?;
    let mut swarm = Swarm::new(server.address, transport, Mechanism::ScramSha1)?;
    swarm.log_in(2 * pairs, LOGINS_IN_FLIGHT)?;
    until_quiet(&server, &mut swarm, Duration::from_secs(10))?;
    let outcome = play(&server, &mut swarm, pace)?;
    swarm.log_out()?;
    server.stop()?;
    Ok(outcome)
}

fn push(figure: &mut Figure, outcome: &Outcome) {
    figure.values.push(outcome.server_us);
    figure.push_beside("messages/s", outcome.per_second);
    figure.push_beside("p50 ms", outcome.p50_ms);
    figure.push_beside("p99 ms", outcome.p99_ms);
    figure.push_beside("server busy %", outcome.server_busy);
    figure.push_beside("driver us", outcome.driver_us);
}

const UNIT: &str = "CPU us / message";
