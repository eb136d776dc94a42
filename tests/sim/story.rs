//! What happens in one run of the simulation: a seed chooses the cast, what everybody does, and every accident.
//! It refuses to judge.

mod accidents;
mod acts;
mod end;

use stonechat::base::Rng;
use stonechat::jid::Jid;
use stonechat::shard::Control;

use crate::device::Device;
use crate::judge::Judge;
use crate::sim::{Habits, World, config};

struct Story {
    world: World,
    judge: Judge,
    devices: Vec<Device>,
    accounts: usize,
    chance: Rng,
    /// What was added to the stories later draws from here, so that older seeds go on telling theirs.
    later: Rng,
    /// The same for probes.
    probes: Rng,
    /// The same again.
    latest: Rng,
    /// The same for archives.
    archives: Rng,
    /// The same for friends, who see each other.
    friends: Rng,
    /// The same for workers with too much to do.
    loads: Rng,
    has_loads: bool,
    options: Options,
}

/// Options of the world, for the start and for reloads.
#[derive(Clone)]
struct Options {
    keep: &'static str,
    unacked: u32,
    ask_after: u32,
    burst: u32,
    /// Messages of an archive; 0 sets no bound.
    archived: u32,
}

/// Plays the run of one seed; the hash of all that the server did.
pub fn play(seed: u64, is_loud: bool) -> u64 {
    let mut story = Story::new(seed, is_loud);
    let crashes = story.one_in(3);
    let faults = story.one_in(3);
    let jumps = story.later.below(3) == 0;
    story.world.sockets_are_slow = story.later.below(3) == 0;
    let probes = story.probes.below(2) == 0;
    let blocks = story.latest.below(3) == 0;
    let naps = story.latest.below(2) == 0;
    story.judge.sends_receipts = naps;
    let retracts = story.archives.below(2) == 0;
    let friends = story.friends.below(2) == 0;
    story.has_loads = story.loads.below(3) == 0;
    story.judge.resends = !jumps && story.friends.below(2) == 0;
    for _ in 0..ACTIONS {
        story.act(crashes, faults);
        if probes && story.probes.below(10) == 0 {
            story.probe();
        }
        if jumps && story.later.below(25) == 0 {
            story.set_clock();
        }
        if blocks && story.latest.below(6) == 0 {
            story.block();
        }
        if naps && story.latest.below(3) == 0 {
            story.nap();
        }
        if retracts && story.archives.below(6) == 0 {
            story.retract();
        }
        if story.can_hoard() && story.archives.below(4) == 0 {
            story.hoard();
        }
        if friends && story.friends.below(3) != 0 {
            story.meet();
        }
        if story.judge.resends && story.friends.below(12) == 0 {
            story.forget();
        }
        if story.has_loads && story.loads.below(5) == 0 {
            story.load();
        }
        for _ in 0..story.below(20) {
            story.world.step();
        }
        story.look();
    }
    story.end();
    story.world.trace
}

impl Story {
    fn new(seed: u64, is_loud: bool) -> Story {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&(seed ^ 0xcafe_0000).to_le_bytes());
        let mut chance = Rng::from_seed(bytes);
        bytes[8] = 1;
        let later = Rng::from_seed(bytes);
        bytes[8] = 2;
        let latest = Rng::from_seed(bytes);
        bytes[8] = 3;
        let probes = Rng::from_seed(bytes);
        bytes[8] = 4;
        let mut archives = Rng::from_seed(bytes);
        bytes[8] = 5;
        let friends = Rng::from_seed(bytes);
        bytes[8] = 6;
        let loads = Rng::from_seed(bytes);
        let mut below = |bound: u32| chance.below(bound);
        let options = Options {
            keep: if below(3) == 0 {
                "offline-only"
            } else {
                "always"
            },
            unacked: [12, 40, 500][below(3) as usize],
            ask_after: 1 + below(6),
            burst: [20, 1_000][below(2) as usize],
            archived: [0, 0, 3, 20][archives.below(4) as usize],
        };
        let workers = if below(3) == 0 { 1 } else { 4 };
        let accounts = 6 + below(5) as usize;
        let mut world = World::new(seed, workers, Habits::ROUGH, options.config());
        let mut judge = Judge {
            keeps_always: options.keep == "always",
            quota: match options.archived as usize {
                0 => None,
                // "And a few more" (the operator's manual): it is looked at with every 64th message.
                most => Some((most, 64)),
            },
            is_loud,
            ..Judge::default()
        };
        let mut devices: Vec<Device> = Vec::new();
        for account in 0..accounts {
            world.register(&format!("u{account}"), "secret");
            let count = 1 + below(3);
            for name in &["a", "b", "c"][..count as usize] {
                let mut device = Device::new(devices.len(), account, name);
                device.manages = below(3) != 0;
                device.wants_carbons = below(3) == 0;
                device.is_modern = below(2) == 0;
                devices.push(device);
            }
            let is_modern = devices.last().is_some_and(|device| device.is_modern);
            judge.single.push(count == 1 && !is_modern);
        }
        judge.say(|| {
            format!(
                "{workers} workers, {accounts} accounts, keep {}",
                options.keep
            )
        });
        Story {
            world,
            judge,
            devices,
            accounts,
            chance,
            later,
            probes,
            latest,
            archives,
            friends,
            loads,
            has_loads: false,
            options,
        }
    }

    /// One thing happens.
    fn act(&mut self, crashes: bool, faults: bool) {
        let at = self.below(self.devices.len());
        match self.below(100) {
            0..24 => self.chat(at),
            24..34 => self.befriend(at),
            34..40 => self.ask(at),
            40..47 => {
                let priority = match self.below(9) {
                    0 => None,
                    priority => Some(priority as i8 - 3),
                };
                self.devices[at].send_presence(&mut self.world, &mut self.judge, priority);
            }
            47..52 => {
                let torn = self.below(400);
                let device = &mut self.devices[at];
                device.read(&mut self.world, &mut self.judge, torn);
                device.lose(&mut self.world, &mut self.judge);
            }
            52..72 => {
                let again = self.one_in(8);
                if self.devices[at].link.is_none() || (again && self.devices[at].can_resume()) {
                    let resumes = !self.one_in(5);
                    self.devices[at].connect(&mut self.world, &mut self.judge, resumes);
                }
            }
            72..74 => self.devices[at].close(&mut self.world, &mut self.judge),
            74..77 => {
                let stalled = self.one_in(2);
                self.stall(at, stalled);
            }
            77..81 => self.devices[at].request_ack(&mut self.world),
            81..83 => self.devices[at].send_ack(&mut self.world),
            83..90 => self.time_passes(),
            90..92 => self.calm(),
            92..95 if faults => self.fault(),
            95..96 if crashes => self.crash(),
            96..97 => self.reload(),
            97..98 if self.one_in(2) => {
                let account = self.devices[at].account;
                self.judge.say(|| format!("u{account} is disconnected"));
                let jid = Jid::parse(&format!("u{account}@localhost")).expect("an address");
                let at_ms = self.world.now.mono_ms;
                self.world.control(&Control::Disconnect(jid, None, at_ms));
            }
            _ => {}
        }
    }

    /// Everybody looks at some of what came.
    fn look(&mut self) {
        for at in 0..self.devices.len() {
            if self.one_in(2) {
                let count = if self.one_in(3) {
                    self.below(300)
                } else {
                    usize::MAX
                };
                self.devices[at].read(&mut self.world, &mut self.judge, count);
            }
        }
    }

    fn below(&mut self, bound: usize) -> usize {
        self.chance.below(bound as u32) as usize
    }

    fn one_in(&mut self, bound: u32) -> bool {
        self.chance.below(bound) == 0
    }
}

impl Options {
    fn config(&self) -> stonechat::config::Config {
        // Clocks jump by years here, and what is older than its retention goes.
        let text = format!(
            "host.archive.retention = \"0 d\"\nhost.archive.messages = {}\ndelivery.keep = \"{}\"\nsm.unacked_count = {}\nsm.ack_request_after = {}\n\
             sm.resume_timeout = \"1 min\"\nc2s.rate_stanzas_burst = {}\nc2s.rate_stanzas_per_s = 5\n",
            self.archived, self.keep, self.unacked, self.ask_after, self.burst
        );
        config(&text).expect("the options are right")
    }

    /// A world for the moment in which there is none.
    fn nowhere(&self) -> World {
        World::new(0, 1, Habits::KIND, self.config())
    }
}

const ACTIONS: usize = 150;
