//! All clients of a trunk and what is under way between them: messages between random pairs, presence of random users.
//! Whatever does not come, comes twice, or comes to somebody else is an error. It knows nothing of servers and figures.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use memchr::memmem;

use super::client::{Client, Plan};
use super::trunk::{Frame, Trunk};
use crate::client::message::{RESOURCE, user_name};

pub struct Crowd {
    trunk: Trunk,
    plan: Plan,
    clients: Vec<Client>,
    /// Logins under way.
    arriving: usize,
    pub online: usize,
    /// Who hears what next, by its number.
    awaited: HashMap<u64, Awaited>,
    number: u64,
    random: u64,
    /// What reached clients.
    pub deliveries: u64,
    /// Lanes that the server has ended.
    pub ended: usize,
    may_end: bool,
}

/// Something that was said.
struct Awaited {
    talk: Talk,
    /// Whom it must still reach, each once, as [`Talk::bit`] has them.
    left: u128,
}

/// What the crowd does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Talk {
    /// A message to the partner.
    Chat,
    /// Presence, to all contacts: so many on either side, at most 63.
    Presence { reach: u32 },
}

impl Crowd {
    pub fn new(trunk: Trunk, plan: Plan) -> Self {
        Self {
            trunk,
            plan,
            clients: Vec::new(),
            arriving: 0,
            online: 0,
            awaited: HashMap::new(),
            number: 0,
            random: 0x9e37_79b9_7f4a_7c15,
            deliveries: 0,
            ended: 0,
            may_end: false,
        }
    }

    /// Logs in, so many at a time, until `count` are online.
    pub fn log_in(&mut self, count: usize, at_a_time: usize) -> Result<()> {
        let mut progress = (Instant::now(), 0);
        while self.online < count {
            while self.clients.len() < count && self.arriving < at_a_time {
                let number = u32::try_from(self.clients.len())?;
                let client = Client::enter(number, &self.plan, &mut self.trunk)?;
                self.clients.push(client);
                self.arriving += 1;
            }
            self.turn(Duration::from_millis(500))?;
            if self.online > progress.1 {
                progress = (Instant::now(), self.online);
            }
            ensure!(progress.0.elapsed() < PATIENCE, "nobody comes in any more");
        }
        Ok(())
    }

    /// Takes in whatever comes for a while.
    pub fn rest(&mut self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            self.turn(left.min(Duration::from_millis(100)))?;
        }
        Ok(())
    }

    /// Keeps so many things under way for a while, then waits until all have arrived.
    pub fn talk(&mut self, talk: Talk, at_a_time: usize, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            while self.awaited.len() < at_a_time {
                self.say(talk)?;
            }
            self.turn(Duration::from_millis(100))?;
        }
        let deadline = Instant::now() + PATIENCE;
        while !self.awaited.is_empty() {
            self.turn(Duration::from_millis(100))?;
            let lost = self.awaited.len();
            ensure!(Instant::now() < deadline, "{lost} never arrived everywhere");
        }
        Ok(())
    }

    /// Waits until the server has said farewell to all.
    pub fn see_off(&mut self, patience: Duration) -> Result<()> {
        self.may_end = true;
        let deadline = Instant::now() + patience;
        while self.ended < self.online {
            self.turn(Duration::from_millis(100))
                .with_context(|| format!("{} of {} heard it", self.ended, self.online))?;
            ensure!(
                Instant::now() < deadline,
                "{} of {}",
                self.ended,
                self.online
            );
        }
        Ok(())
    }

    fn say(&mut self, talk: Talk) -> Result<()> {
        let among = self.online;
        self.number += 1;
        let number = self.number;
        let (by, left, text) = match talk {
            Talk::Chat => {
                let by = self.below(among as u64 / 2 * 2);
                let to = user_name(by ^ 1);
                let text = format!(
                    "<message to='{to}@localhost/{RESOURCE}' type='chat' id='said-{by:08}-{number:012}'>\
                     <body>{WORDS}</body></message>"
                );
                (by, 1, text)
            }
            Talk::Presence { reach } => {
                // Everybody within reach is online.
                let span = among as u64 - 2 * u64::from(reach);
                let by = self.below(span) + reach;
                let show = if number.is_multiple_of(2) {
                    "away"
                } else {
                    "chat"
                };
                let text = format!(
                    "<presence id='said-{by:08}-{number:012}'><show>{show}</show>\
                     <status>{STATUS}</status></presence>"
                );
                // Bit `reach` would be the user himself.
                let all = (1_u128 << (2 * reach + 1)) - 1;
                (by, all ^ 1 << reach, text)
            }
        };
        self.awaited.insert(number, Awaited { talk, left });
        let client = &mut self.clients[by as usize];
        client.say(by, text.as_bytes(), &mut self.trunk)
    }

    /// Evenly below `bound`: SplitMix64, so that two runs draw the same.
    fn below(&mut self, bound: u64) -> u32 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from((z ^ z >> 31) % bound).expect("users are counted in a u32")
    }

    fn turn(&mut self, patience: Duration) -> Result<()> {
        let Self {
            trunk,
            clients,
            plan,
            awaited,
            ..
        } = self;
        let (mut came, mut heard, mut ended) = (0, 0, 0);
        let mut text = Vec::new();
        // Frames are answered once all are there: the trunk is lent to whoever takes them.
        let mut frames = Vec::new();
        trunk.turn(patience, |lane, frame| {
            match frame {
                Frame::Bytes(bytes) => frames.push((lane, Some(bytes.to_vec()))),
                Frame::End => frames.push((lane, None)),
            }
            Ok(())
        })?;
        for (lane, bytes) in frames {
            let client = clients.get_mut(lane as usize).context("no such lane")?;
            let Some(bytes) = bytes else {
                ensure!(self.may_end, "the server ended {}", user_name(lane));
                trunk.close(lane);
                if !matches!(std::mem::replace(client, Client::Absent), Client::Absent) {
                    ended += 1;
                }
                continue;
            };
            match client {
                Client::LoggingIn(_) => {
                    came += usize::from(client.take(lane, &bytes, plan, trunk)?)
                }
                Client::Online(_) => {
                    text.clear();
                    client.hear(&bytes, &mut text)?;
                    heard += settle(lane, &text, awaited)?;
                }
                Client::Absent => {}
            }
        }
        self.online += came;
        self.arriving -= came;
        self.deliveries += heard;
        self.ended += ended;
        Ok(())
    }
}

/// Counts what `text` brings to somebody.
fn settle(lane: u32, text: &[u8], awaited: &mut HashMap<u64, Awaited>) -> Result<u64> {
    let name = user_name(lane);
    if memmem::find(text, b"type='error'").is_some() {
        bail!("{name} got {}", String::from_utf8_lossy(text));
    }
    let mut count = 0;
    for at in memmem::find_iter(text, ID) {
        let id = text.get(at + ID.len()..).and_then(|rest| rest.get(..21));
        let (by, number) = std::str::from_utf8(id.context("half a stanza")?)?
            .split_once('-')
            .context("an id that is not ours")?;
        let (by, number): (u32, u64) = (by.parse()?, number.parse()?);
        if by == lane {
            // RFC 6121 section 4.4.2: one's own presence comes back.
            continue;
        }
        let said = awaited.get_mut(&number);
        let said = said.with_context(|| format!("{number} came to {name} once more"))?;
        let bit = said.talk.bit(by, lane);
        let bit = bit.with_context(|| format!("{number} strayed to {name}"))?;
        ensure!(said.left & bit != 0, "{number} came to {name} twice");
        said.left ^= bit;
        count += 1;
        if said.left == 0 {
            awaited.remove(&number);
        }
    }
    Ok(count)
}

impl Talk {
    /// Which bit stands for `who`; none if it is not for them.
    fn bit(self, by: u32, who: u32) -> Option<u128> {
        match self {
            Self::Chat => (who == by ^ 1).then_some(1),
            Self::Presence { reach } => {
                let place = (who + reach).checked_sub(by)?;
                (place <= 2 * reach).then(|| 1 << place)
            }
        }
    }
}

/// Before the sender and the number of everything that is said here.
const ID: &[u8] = b" id='said-";
const WORDS: &str = "but soft what light through yonder window breaks it is the east and juliet";
const STATUS: &str = "arise fair sun and kill the envious moon";
const PATIENCE: Duration = Duration::from_secs(60);
