//! Processor time per presence that reaches a contact, beside the null fan-out's in the same run: in every round each
//! variant is started anew with a fan-out of its own, and the two are driven in turn, a few rotations each.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::crowd::{Crowd, Hears};
use super::tally::Outcome;
use super::{Bench, LOGINS_IN_FLIGHT, Pace, until_quiet};
use crate::client::sasl::Mechanism;
use crate::client::session::Transport;
use crate::client::swarm::Swarm;
use crate::figures::Figure;
use crate::target::{Contacts, Site, Wishes, start_fan_out};

/// Who is there, and how many of them say something at a time.
#[derive(Debug, Clone, Copy)]
pub struct Audience {
    pub users: usize,
    /// Contacts of each, all of them online and mutual; an even number.
    pub contacts: u32,
    /// Users whose presence is under way at a time.
    pub speakers: usize,
}

/// Measures the null fan-out, and beside it the server over every transport.
pub fn measure(
    bench: &Bench,
    audience: Audience,
    pace: Pace,
    transports: &[Transport],
) -> Result<Vec<Figure>> {
    let Audience {
        users,
        contacts,
        speakers,
    } = audience;
    ensure!(
        contacts.is_multiple_of(2) && (contacts as usize) < users,
        "an even number of contacts, fewer than there are users"
    );
    ensure!((1..=users).contains(&speakers), "1 to {users} speakers");
    let title = format!("presence, {users} users x {contacts} contacts, {speakers} at a time");
    let mut sites: Vec<(Site, Transport, Figure)> = Vec::new();
    for &transport in transports {
        let wishes = Wishes {
            contacts: Contacts::Neighbours(contacts),
            ..Wishes::plain(u32::try_from(users)?, transport)
        };
        let what = format!("{title}, {}", transport.label());
        let figure = Figure::new(what, bench.kind.label(), UNIT);
        sites.push((bench.prepare(wishes)?, transport, figure));
    }
    let mut fan_out = Figure::new(format!("{title}, plain"), "null fan-out", UNIT);
    for round in 1..=bench.rounds {
        for (site, transport, figure) in &mut sites {
            let (floor, outcome) = both(bench, site, audience, pace, *transport)?;
            eprintln!(
                "  round {round}: {} {:.2} us, null fan-out {:.2} us",
                figure.measure, outcome.server_us, floor.server_us
            );
            floor.push_to(&mut fan_out, RATE);
            outcome.push_to(figure, RATE);
            figure.ratios.push(outcome.server_us / floor.server_us);
        }
    }
    Ok(std::iter::once(fan_out)
        .chain(sites.into_iter().map(|(_, _, figure)| figure))
        .collect())
}

/// The null fan-out and a server, in turn.
fn both(
    bench: &Bench,
    site: &Site,
    audience: Audience,
    pace: Pace,
    transport: Transport,
) -> Result<(Outcome, Outcome)> {
    let (fan_out, _files) = start_fan_out(bench.server_core, audience.users, audience.contacts)?;
    let mut relayed = Swarm::new(fan_out.address, Transport::Plain, Mechanism::Plain)?;
    relayed.connect(audience.users)?;
    let server = site.start()?;
    let mut served = Swarm::new(server.address, transport, Mechanism::ScramSha1)?;
    served.expect_contacts(audience.contacts);
    served.log_in(audience.users, LOGINS_IN_FLIGHT)?;
    until_quiet(&server, &mut served, Duration::from_secs(10))?;
    let mut floor = Crowd::new(&fan_out, &mut relayed, audience, Hears::Contacts)?;
    let mut crowd = Crowd::new(&server, &mut served, audience, Hears::ContactsAndItself)?;
    let rotation = floor
        .rehearse(pace.warm_up)?
        .max(crowd.rehearse(pace.warm_up)?);
    for (warm_up, slice) in pace.slices(rotation) {
        floor.slice(warm_up, slice)?;
        crowd.slice(warm_up, slice)?;
    }
    let outcomes = (floor.outcome()?, crowd.outcome()?);
    served.log_out()?;
    server.stop()?;
    drop(relayed);
    fan_out.stop()?;
    Ok(outcomes)
}

const UNIT: &str = "CPU us / delivery";
const RATE: &str = "deliveries/s";
