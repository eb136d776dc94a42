//! Presence in broadcast, the core alone: every user says something else, and all contacts hear it. Counts what arrived,
//! and takes the time of this thread for it.

use anyhow::{Result, ensure};
use memchr::memmem::Finder;

use stonechat::base::StreamKey;

use crate::cpu;
use crate::rosters::{Who, user_name};
use crate::world::World;

/// How many, and how often.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub users: u32,
    pub contacts: u32,
    pub flips: u32,
    pub reads_per_turn: usize,
}

/// Prints the microseconds for each presence delivered, a line a round, the median last.
pub fn measure(load: Load, rounds: usize) -> Result<()> {
    ensure!(
        load.contacts < load.users && load.contacts.is_multiple_of(2),
        "an even number of contacts, fewer than there are users"
    );
    let (mut world, streams) = crowd(load)?;
    let starts = Finder::new("<presence");
    let mut values = Vec::new();
    for round in 0..=rounds {
        let (mut delivered, mut bytes) = (0_u64, 0_usize);
        let began = cpu();
        for flip in 0..load.flips {
            let said = format!(
                "<presence id='f{flip:05}'><show>{}</show><status>round {round}, and out again</status></presence>",
                ["away", "dnd"][flip as usize % 2]
            );
            let said: Vec<_> = streams.iter().map(|&key| (key, said.as_bytes())).collect();
            world.say(&said, |_, written| {
                delivered += starts.find_iter(written).count() as u64;
                bytes += written.len();
            })?;
        }
        let spent = cpu() - began;
        // Every contact, and the session itself (RFC 6121 section 4.4.2).
        let expected = u64::from(load.flips) * u64::from(load.users) * u64::from(load.contacts + 1);
        ensure!(
            delivered == expected,
            "{delivered} presences of {expected} arrived"
        );
        let each = spent.as_secs_f64() * 1e6 / delivered as f64;
        println!(
            "round {round}: {each:.3} us / delivery, {} bytes each",
            bytes as u64 / delivered
        );
        // The first warms up.
        if round > 0 {
            values.push(each);
        }
    }
    values.sort_by(f64::total_cmp);
    println!("median {:.3} us / delivery", values[values.len() / 2]);
    Ok(())
}

fn crowd(load: Load) -> Result<(World, Vec<StreamKey>)> {
    let mut world = World::new(load.reads_per_turn, "")?;
    world.people(load.users, Who::Neighbours, load.contacts)?;
    let mut streams = Vec::new();
    for user in 0..load.users {
        streams.push(world.log_in(&user_name(user))?);
    }
    Ok((world, streams))
}
