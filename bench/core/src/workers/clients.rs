//! Clients of one worker, without an XML parser: they log in, and then leave, or say something each in every round. What
//! they hear is counted. They know nothing of other workers but that a round may wait for theirs.

use std::collections::VecDeque;
use std::io::Write as _;
use std::ops::Range;

use anyhow::{Context, Error, Result, anyhow, ensure};
use memchr::memmem::{self, Finder};
use slotmap::SecondaryMap;

use stonechat::base::StreamKey;

use crate::relay;
use crate::rosters::user_name;
use crate::world::{BIND, HEADER, World, auth};

/// One client, wherever its connection is.
pub struct Client {
    user: u32,
    /// How far its login has come: see [`step`].
    step: usize,
    /// Since the last step.
    heard: Vec<u8>,
    said: Vec<u8>,
    /// How much of that the stream has taken.
    taken: usize,
    /// What reached it in this window.
    count: u64,
}

/// What the clients of a window do.
#[derive(Clone, Debug)]
pub enum Act {
    /// These users log in, no more of them at a time than `window` at each worker.
    LogIn {
        users: Range<u32>,
        window: usize,
        then: Then,
    },
    /// Everybody says something so many times.
    Say { what: What, rounds: u64 },
}

/// What follows upon a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    Stay,
    Leave,
}

/// What is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// 200 bytes to the partner, when all clients of this worker have got what theirs said in the round before.
    Chat,
    /// Something else to so many contacts, when those of all workers have heard the round before: what is not written yet
    /// would be replaced by it.
    Presence { contacts: u32 },
}

pub struct Clients {
    all: SecondaryMap<StreamKey, Client>,
    /// Whose streams are to be read.
    pub ready: VecDeque<StreamKey>,
    /// This worker's number in its process, and how many there are.
    place: (usize, usize),
    act: Act,
    to_come: VecDeque<u32>,
    /// In the middle of a login, or of its end.
    under_way: usize,
    /// Completed in this window.
    logins: u64,
    round: u64,
    /// Clients who have not heard all of the round.
    behind: usize,
    /// The last round in which all clients heard everything, of each worker.
    done: Vec<u64>,
    starts: Finder<'static>,
    fault: Option<Error>,
}

impl Clients {
    pub fn new(worker: usize, workers: usize) -> Clients {
        Clients {
            all: SecondaryMap::new(),
            ready: VecDeque::new(),
            place: (worker, workers),
            act: Act::LogIn {
                users: 0..0,
                window: 0,
                then: Then::Stay,
            },
            to_come: VecDeque::new(),
            under_way: 0,
            logins: 0,
            round: 0,
            behind: 0,
            done: vec![0; workers],
            starts: Finder::new(""),
            fault: None,
        }
    }

    /// A window begins.
    pub fn begin(&mut self, act: Act) {
        (self.logins, self.round, self.behind) = (0, 0, 0);
        self.done.fill(0);
        for client in self.all.values_mut() {
            client.count = 0;
        }
        match &act {
            Act::LogIn { users, .. } => {
                let (worker, workers) = self.place;
                // Whoever comes may come to any worker.
                self.to_come = users.clone().skip(worker).step_by(workers).collect();
            }
            Act::Say { what, .. } => {
                self.starts = Finder::new(match what {
                    What::Chat => "<message",
                    What::Presence { .. } => "<presence",
                });
            }
        }
        self.act = act;
    }

    /// What is said of itself in this turn. Gives the number of a round that is over here, once, if other workers wait for
    /// that.
    pub fn speak(&mut self, world: &mut World) -> Option<u64> {
        match self.act {
            Act::LogIn { window, .. } => {
                while self.under_way < window
                    && let Some(user) = self.to_come.pop_front()
                {
                    let client = Client {
                        user,
                        step: 0,
                        heard: Vec::new(),
                        said: HEADER.into(),
                        taken: 0,
                        count: 0,
                    };
                    self.came(world.open(), client);
                }
                None
            }
            Act::Say { what, .. } => {
                let (own, _) = self.place;
                let news = self.has_news().then_some(self.round);
                self.done[own] = news.unwrap_or(self.done[own]);
                if self.may_begin() {
                    self.begin_round(what);
                }
                news.filter(|_| what.is_gated())
            }
        }
    }

    /// Whether the next turn has something to say without anybody's doing.
    pub fn has_more(&self) -> bool {
        match self.act {
            _ if !self.ready.is_empty() => true,
            Act::LogIn { window, .. } => self.under_way < window && !self.to_come.is_empty(),
            Act::Say { .. } => self.has_news() || self.may_begin(),
        }
    }

    /// Whether all clients have said and heard all of this round, and nobody knows it yet.
    fn has_news(&self) -> bool {
        let (own, _) = self.place;
        self.behind == 0 && self.ready.is_empty() && self.done[own] < self.round
    }

    fn may_begin(&self) -> bool {
        let Act::Say { what, rounds } = self.act else {
            return false;
        };
        let is_over = self.behind == 0 && self.ready.is_empty();
        let mut done = self.done.iter();
        let may = !what.is_gated() || done.all(|&done| done >= self.round);
        is_over && may && self.round < rounds
    }

    fn begin_round(&mut self, what: What) {
        self.round += 1;
        let due = self.due();
        for (key, client) in &mut self.all {
            match what {
                What::Chat => client.say_to_partner(self.round),
                What::Presence { .. } => client.say_to_contacts(self.round),
            }
            client.taken = 0;
            self.ready.push_back(key);
            self.behind += usize::from(client.count < due);
        }
    }

    /// What a client must have heard by the end of this round.
    fn due(&self) -> u64 {
        match self.act {
            Act::LogIn { .. } => 0,
            Act::Say { what, .. } => self.round * what.each(),
        }
    }

    /// Another worker's clients have heard all of a round.
    pub fn done_elsewhere(&mut self, worker: usize, round: u64) {
        self.done[worker] = round;
    }

    /// What the next of those who are ready has to say.
    pub fn next(&mut self) -> Option<(StreamKey, &[u8])> {
        let key = self.ready.pop_front()?;
        let client = self.all.get(key)?;
        Some((key, &client.said[client.taken..]))
    }

    /// The stream took so many bytes of it. The rest waits until it takes more.
    pub fn took(&mut self, key: StreamKey, taken: usize) {
        if let Some(client) = self.all.get_mut(key) {
            client.taken += taken;
        }
    }

    /// A stream takes bytes again.
    pub fn resume(&mut self, key: StreamKey) {
        let waits = |client: &Client| client.taken < client.said.len();
        if self.all.get(key).is_some_and(waits) && !self.ready.contains(&key) {
            self.ready.push_back(key);
        }
    }

    /// The server has written this.
    pub fn hear(&mut self, key: StreamKey, bytes: &[u8]) {
        let heard = match self.act {
            _ if bytes.is_empty() => Ok(()),
            Act::LogIn { then, .. } => self.hear_login(key, bytes, then),
            Act::Say { what, .. } => self.hear_others(key, bytes, what),
        };
        if let Err(error) = heard {
            self.fault.get_or_insert(error);
        }
    }

    fn hear_login(&mut self, key: StreamKey, bytes: &[u8], then: Then) -> Result<()> {
        let Some(client) = self.all.get_mut(key) else {
            return Ok(());
        };
        let Some((_, awaited)) = step(client.step, client.user, then) else {
            return Ok(());
        };
        client.heard.extend_from_slice(bytes);
        let heard = &client.heard;
        if memmem::find(heard, b"error").is_some() || memmem::find(heard, b"<failure").is_some() {
            return Err(anyhow!("no login: {}", String::from_utf8_lossy(heard)));
        }
        if memmem::find(heard, awaited).is_none() {
            return Ok(());
        }
        client.heard.clear();
        client.step += 1;
        if let Some((said, _)) = step(client.step, client.user, then) {
            client.said = said;
            client.taken = 0;
            self.ready.push_back(key);
            return Ok(());
        }
        self.under_way -= 1;
        self.logins += 1;
        if then == Then::Leave {
            self.all.remove(key);
        }
        Ok(())
    }

    fn hear_others(&mut self, key: StreamKey, bytes: &[u8], what: What) -> Result<()> {
        let due = self.due();
        let client = self.all.get_mut(key).context("a stream of nobody's")?;
        let before = client.count;
        for at in self.starts.find_iter(bytes) {
            client.count += 1;
            if what == What::Chat {
                let number = number(&bytes[at..])?;
                ensure!(
                    number == client.count,
                    "user {} hears {number} instead of {}",
                    client.user,
                    client.count
                );
            }
        }
        // Another worker may be a round ahead, and no more.
        ensure!(
            client.count <= due + what.each(),
            "user {} hears too much",
            client.user
        );
        self.behind -= usize::from(before < due && client.count >= due);
        Ok(())
    }

    /// A connection came, from outside or from another worker.
    pub fn came(&mut self, key: StreamKey, client: Client) {
        self.under_way += 1;
        if client.taken < client.said.len() {
            self.ready.push_back(key);
        }
        self.all.insert(key, client);
    }

    /// A connection goes to another worker.
    pub fn goes(&mut self, key: StreamKey) -> Option<Client> {
        let client = self.all.remove(key)?;
        self.under_way -= 1;
        Some(client)
    }

    /// The window is over. Gives what was done: logins, messages or presences that arrived.
    ///
    /// # Errors
    /// If something is missing, or was heard twice, or what should not.
    pub fn end(&mut self) -> Result<u64> {
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        match self.act {
            Act::LogIn { .. } => {
                let left = self.under_way + self.to_come.len();
                ensure!(left == 0, "{left} logins do not end");
                Ok(self.logins)
            }
            Act::Say { what, rounds } => {
                let each = rounds * what.each();
                for client in self.all.values() {
                    ensure!(
                        client.count == each,
                        "user {} has heard {} of {each}",
                        client.user,
                        client.count
                    );
                }
                Ok(each * self.all.len() as u64)
            }
        }
    }
}

impl What {
    /// Whether a round waits for all workers.
    fn is_gated(self) -> bool {
        matches!(self, What::Presence { .. })
    }

    /// What reaches each client in a round.
    fn each(self) -> u64 {
        match self {
            What::Chat => 1,
            // RFC 6121 section 4.4.2: the session itself, too.
            What::Presence { contacts } => u64::from(contacts) + 1,
        }
    }
}

impl Client {
    fn say_to_partner(&mut self, round: u64) {
        if !self.said.starts_with(b"<message") {
            self.said = relay::message(self.user ^ 1).into_bytes();
        }
        let id = memmem::find(&self.said, ID).expect("every message has one") + ID.len();
        write!(&mut self.said[id..], "{round:0DIGITS$}").expect("the text is longer");
    }

    fn say_to_contacts(&mut self, round: u64) {
        let show = ["away", "dnd"][round as usize % 2];
        self.said.clear();
        write!(
            self.said,
            "<presence id='f{round:05}'><show>{show}</show><status>round {round}, and out again</status></presence>"
        )
        .expect("memory takes everything");
    }
}

/// The number of a message.
fn number(message: &[u8]) -> Result<u64> {
    let id = memmem::find(message, ID).map(|at| at + ID.len());
    let digits = id.and_then(|at| message.get(at..at + DIGITS));
    let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
    let number = digits.and_then(|digits| digits.parse().ok());
    number.context("a message without a number")
}

const ID: &[u8] = b"id='";
const DIGITS: usize = 8;

/// What a client says, and with what text the server's answer to it ends.
fn step(step: usize, user: u32, then: Then) -> Option<(Vec<u8>, &'static [u8])> {
    Some(match step {
        0 | 2 => (HEADER.into(), b"</stream:features>"),
        1 => (auth(&user_name(user)).into(), b"<success"),
        3 => (BIND.into(), b"id='r'"),
        // Its own comes back.
        4 => (b"<presence/>".to_vec(), b"<presence"),
        5 if then == Then::Leave => (b"</stream:stream>".to_vec(), b"</stream:stream>"),
        _ => return None,
    })
}
