//! Processor time per chat message, beside the null relay's in the same run: in every round each variant is started
//! anew with a relay of its own, and the two are driven in turn, a few rotations each.

use anyhow::{Result, ensure};

use super::pairs::Game;
use super::tally::Outcome;
use super::{Bench, LOGINS_IN_FLIGHT, Pace, until_quiet};
use crate::client::sasl::Mechanism;
use crate::client::session::Transport;
use crate::client::swarm::Swarm;
use crate::figures::Figure;
use crate::process::raise_descriptors;
use crate::target::{Archive, CompactTls, Keep, Site, Wishes, start_relay};
use std::time::Duration;

/// What of a server is compared.
#[derive(Debug, Clone, Copy)]
pub struct Variant {
    pub transport: Transport,
    pub keep: Keep,
    pub archive: Archive,
    pub compact_tls: CompactTls,
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
            keep: variant.keep,
            archive: variant.archive,
            compact_tls: variant.compact_tls,
            ..Wishes::plain(u32::try_from(2 * pairs)?, variant.transport)
        };
        let archive = match variant.archive {
            Archive::Off => "",
            Archive::On => ", archive",
        };
        let what = format!(
            "{title}, {}{}, {}{archive}",
            variant.transport.label(),
            variant.compact_tls.label(),
            variant.keep.label()
        );
        let figure = Figure::new(what, bench.kind.label(), UNIT);
        sites.push((bench.prepare(wishes)?, variant, figure));
    }
    let mut relay = Figure::new(format!("{title}, plain"), "null relay", UNIT);
    for round in 1..=bench.rounds {
        if sites.is_empty() {
            alone(bench, pairs, pace)?.push_to(&mut relay, "messages/s");
        }
        for (site, variant, figure) in &mut sites {
            let (floor, outcome) = both(bench, site, pairs, pace, variant.transport)?;
            eprintln!(
                "  round {round}: {} {:.2} us, null relay {:.2} us",
                figure.measure, outcome.server_us, floor.server_us
            );
            floor.push_to(&mut relay, "messages/s");
            outcome.push_to(figure, "messages/s");
            figure.ratios.push(outcome.server_us / floor.server_us);
        }
    }
    Ok(std::iter::once(relay)
        .chain(sites.into_iter().map(|(_, _, figure)| figure))
        .collect())
}

/// The null relay with nothing beside it.
fn alone(bench: &Bench, pairs: usize, pace: Pace) -> Result<Outcome> {
    let (relay, _files) = start_relay(bench.server_core)?;
    let mut swarm = Swarm::new(relay.address, Transport::Plain, Mechanism::Plain)?;
    swarm.connect(2 * pairs)?;
    let mut game = Game::new(&relay, &mut swarm, pace)?;
    let rotation = game.rehearse(pace.warm_up)?;
    for (warm_up, slice) in pace.slices(rotation) {
        game.slice(warm_up, slice)?;
    }
    let outcome = game.outcome()?;
    relay.stop()?;
    Ok(outcome)
}

/// The null relay and a server, in turn.
fn both(
    bench: &Bench,
    site: &Site,
    pairs: usize,
    pace: Pace,
    transport: Transport,
) -> Result<(Outcome, Outcome)> {
    let (relay, _files) = start_relay(bench.server_core)?;
    let mut relayed = Swarm::new(relay.address, Transport::Plain, Mechanism::Plain)?;
    // Both ends of this driver are descriptors of one process: with many pairs a few are missing on the relay.
    let free = usize::try_from(raise_descriptors())?.saturating_sub(2 * pairs + SPARE_DESCRIPTORS);
    let relay_pairs = pairs.min(free / 2);
    ensure!(relay_pairs > 0, "too few descriptors for {pairs} pairs");
    relayed.connect(2 * relay_pairs)?;
    let server = site.start()?;
    let mut served = Swarm::new(server.address, transport, Mechanism::ScramSha1)?;
    served.log_in(2 * pairs, LOGINS_IN_FLIGHT)?;
    until_quiet(&server, &mut served, Duration::from_secs(10))?;
    let mut floor = Game::new(&relay, &mut relayed, pace)?;
    let mut game = Game::new(&server, &mut served, pace)?;
    let rotation = floor
        .rehearse(pace.warm_up)?
        .max(game.rehearse(pace.warm_up)?);
    for (warm_up, slice) in pace.slices(rotation) {
        floor.slice(warm_up, slice)?;
        game.slice(warm_up, slice)?;
    }
    let outcomes = (floor.outcome()?, game.outcome()?);
    served.log_out()?;
    server.stop()?;
    drop(relayed);
    relay.stop()?;
    Ok(outcomes)
}

/// For whatever else this process has open.
const SPARE_DESCRIPTORS: usize = 200;
const UNIT: &str = "CPU us / message";
