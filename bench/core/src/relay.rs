//! What a message from one session to another makes the core allocate, archive off and nothing kept, from the sender's
//! bytes to the recipient's.

use anyhow::{Result, ensure};
use memchr::memmem::Finder;

use stonechat::base::StreamKey;

use crate::counting::{self, count};
use crate::rosters::user_name;
use crate::world::World;

pub use crate::counting::Detail;

/// How many, and how often.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub pairs: u32,
    /// Of each session, in a round.
    pub messages: u32,
    pub reads_per_turn: usize,
}

/// Prints allocations and bytes for each message, a line a round; with places, those of the last round. Gives the last
/// round's allocations for each message.
pub fn measure(load: Load, detail: Detail) -> Result<f64> {
    let mut world = World::new(load.reads_per_turn, CONFIGURATION)?;
    let mut streams: Vec<StreamKey> = Vec::new();
    for user in 0..2 * load.pairs {
        world.register(&user_name(user))?;
        streams.push(world.log_in(&user_name(user))?);
    }
    let said: Vec<String> = (0..2 * load.pairs).map(|user| message(user ^ 1)).collect();
    let said: Vec<_> = streams
        .iter()
        .zip(&said)
        .map(|(&key, text)| (key, text.as_bytes()))
        .collect();
    let starts = Finder::new("<message");
    let expected = u64::from(2 * load.pairs) * u64::from(load.messages);
    let mut last = f64::NAN;
    // Queues and tables grow in the first rounds, and have their size then.
    for round in 0..ROUNDS {
        let detail = match round + 1 == ROUNDS {
            true => detail,
            false => Detail::Counts,
        };
        let mut delivered = 0;
        let (outcome, allocated) = count(detail, || {
            for _ in 0..load.messages {
                world.say(&said, |_, written| {
                    delivered += starts.find_iter(written).count() as u64;
                })?;
            }
            anyhow::Ok(())
        });
        outcome?;
        ensure!(
            delivered == expected,
            "{delivered} messages of {expected} arrived"
        );
        last = allocated.calls as f64 / expected as f64;
        println!(
            "round {round}: {last:.3} allocations / message, {:.1} bytes",
            allocated.bytes as f64 / expected as f64,
        );
    }
    for (place, times) in counting::places() {
        println!("{:8.3} {place}", times as f64 / expected as f64);
    }
    Ok(last)
}

/// 200 bytes, as the driver's.
pub fn message(to: u32) -> String {
    let head = format!(
        "<message to='{}@localhost/b' type='chat' id='00000000'><body>",
        user_name(to)
    );
    let tail = "</body></message>";
    let body = "words ".repeat(40);
    format!("{head}{}{tail}", &body[..200 - head.len() - tail.len()])
}

const ROUNDS: usize = 4;

const CONFIGURATION: &str = "[delivery]\nkeep = \"offline-only\"\n[features]\nmam = false\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relayed_message_allocates_what_it_is_and_nothing_else() {
        let load = Load {
            pairs: 3,
            messages: 2,
            reads_per_turn: 4,
        };
        let each = measure(load, Detail::Places).expect("measured");
        // The payload and its `Arc`, the address, the id.
        assert!(each <= 4.0, "{each} allocations a message");
        assert_eq!(message(7).len(), 200);
    }
}
