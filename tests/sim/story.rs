//! What happens in one run of the simulation: a seed chooses the cast, what everybody does, and every accident.
//! It refuses to judge.

use std::collections::BTreeSet;
use std::sync::Arc;

use stonechat::actor::rows::StoreError;
use stonechat::base::Rng;
use stonechat::im::outgoing::OUTGOING;
use stonechat::im::pending::PENDING;
use stonechat::jid::Jid;
use stonechat::shard::Control;

use crate::device::Device;
use crate::judge::{Entry, Judge, Message, account_of, entry_in};
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

    /// A worker has more or less to do than before.
    fn load(&mut self) {
        let worker = self.loads.below(4) as usize;
        let ms = [0, 0, 200, 400, 800][self.loads.below(5) as usize];
        self.judge
            .say(|| format!("worker {worker} is {ms} ms behind"));
        self.world.waited_at(worker, ms);
    }

    /// Somebody's client asks for somebody's presence.
    fn probe(&mut self) {
        let at = self.probes.below(self.devices.len() as u32) as usize;
        let to = self.probes.below(self.accounts as u32);
        if self.devices[at].is_ready() {
            let device = &mut self.devices[at];
            device.send_probe(
                &mut self.world,
                &mut self.judge,
                &format!("u{to}@localhost"),
            );
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
                self.world.control(&Control::Disconnect(jid));
            }
            _ => {}
        }
    }

    fn chat(&mut self, at: usize) {
        let Some(log) = self.devices[at].log() else {
            return;
        };
        let own = self.devices[at].account;
        let other = self.below(self.devices.len());
        let (to, address) = match self.below(16) {
            0 => (None, "nobody@localhost".to_string()),
            1 => (None, "u0@elsewhere".to_string()),
            2 => (Some(own), format!("u{own}@localhost")),
            3..8 => {
                let to = self.devices[other].account;
                let session = self.devices[other].session.as_ref().map(|s| s.log);
                let full = session.map(|log| self.judge.sessions[log].jid.clone());
                (
                    Some(to),
                    full.unwrap_or_else(|| format!("u{to}@localhost/gone")),
                )
            }
            _ => {
                // Favourites, so that there are conversations.
                let to = (own + 1 + self.below(2)) % self.accounts;
                (Some(to), format!("u{to}@localhost"))
            }
        };
        for _ in 0..1 + self.below(4) {
            let number = self.judge.messages.len();
            self.judge.messages.push(Message::new(
                log,
                to,
                !address.contains('/'),
                self.judge.life,
            ));
            let device = &mut self.devices[at];
            device.send_message(&mut self.world, &mut self.judge, number, &address);
        }
    }

    /// Somebody takes back what he said a moment ago.
    fn retract(&mut self) {
        let at = self.archives.below(self.devices.len() as u32) as usize;
        let Some(log) = self.devices[at].log() else {
            return;
        };
        let messages = &self.judge.messages;
        let is_own =
            |number: &usize| messages[*number].sender == log && messages[*number].to.is_some();
        let own: Vec<usize> = (0..messages.len()).rev().filter(is_own).take(8).collect();
        if own.is_empty() {
            return;
        }
        let of = own[self.archives.below(own.len() as u32) as usize];
        let to = self.judge.messages[of].to;
        let number = self.judge.messages.len();
        self.judge.messages[of].is_retracted = true;
        self.judge.messages.push(Message {
            retracts: Some(of),
            ..Message::new(log, to, true, self.judge.life)
        });
        let address = format!("u{}@localhost", to.unwrap_or_default());
        let device = &mut self.devices[at];
        device.send_retraction(&mut self.world, &mut self.judge, (number, of), &address);
    }

    /// Whether archives have a bound, and clients may send and hold enough to reach it.
    fn can_hoard(&self) -> bool {
        self.judge.quota.is_some() && self.options.burst > 100 && self.options.unacked > 100
    }

    /// Somebody writes himself a lot of notes, which his archive is too small for.
    fn hoard(&mut self) {
        // Few do, so that theirs fill up.
        let at = self.archives.below(2) as usize;
        let Some(log) = self.devices[at].log() else {
            return;
        };
        let own = self.devices[at].account;
        for _ in 0..8 + self.archives.below(16) {
            let number = self.judge.messages.len();
            self.judge
                .messages
                .push(Message::new(log, Some(own), true, self.judge.life));
            let device = &mut self.devices[at];
            let address = format!("u{own}@localhost");
            device.send_message(&mut self.world, &mut self.judge, number, &address);
        }
    }

    /// A device that is ready, and the account that its own is a couple with, if there are such.
    fn one_of_a_couple(&mut self) -> Option<(usize, usize)> {
        let first = self.friends.below(self.devices.len() as u32) as usize;
        let count = self.devices.len();
        let mut all = (first..first + count).map(|at| at % count);
        let at = all.find(|&at| self.devices[at].is_ready())?;
        let other = self.devices[at].account ^ 1;
        (other < self.accounts).then_some((at, other))
    }

    /// Two become each other's contacts, now and then no longer, and tell what they do.
    fn meet(&mut self) {
        let Some((at, other)) = self.one_of_a_couple() else {
            return;
        };
        let which = self.friends.below(60);
        let device = &mut self.devices[at];
        let (world, judge) = (&mut self.world, &mut self.judge);
        let to = format!("u{other}@localhost");
        match which {
            0..12 => device.send_subscription(world, judge, "subscribe", &to),
            12..24 => {
                device.send_subscription(world, judge, "subscribed", &to);
                if let Some(log) = device.log() {
                    judge.granted(log, other);
                }
            }
            24 => device.send_subscription(world, judge, "unsubscribe", &to),
            25 => {
                device.send_subscription(world, judge, "unsubscribed", &to);
                device.revokes(judge, other);
            }
            _ => device.send_presence(world, judge, Some(which as i8 - 26)),
        }
    }

    /// Somebody says something, and his client forgets its session before it knows what became of that.
    fn forget(&mut self) {
        let Some((at, other)) = self.one_of_a_couple() else {
            return;
        };
        let Some(log) = self.devices[at]
            .log()
            .filter(|_| self.devices[at].can_resume())
        else {
            return;
        };
        let (world, judge) = (&mut self.world, &mut self.judge);
        for _ in 0..1 + self.friends.below(3) {
            let number = judge.messages.len();
            let message = Message::new(log, Some(other), true, judge.life);
            judge.messages.push(message);
            self.devices[at].send_message(world, judge, number, &format!("u{other}@localhost"));
        }
        for _ in 0..self.friends.below(60) {
            world.step();
        }
        self.devices[at].lose(world, judge);
        self.devices[at].connect(world, judge, false);
    }

    fn befriend(&mut self, at: usize) {
        if !self.devices[at].is_ready() {
            return;
        }
        let own = self.devices[at].account;
        let other = self.below(self.accounts);
        let nobody = self.one_in(20);
        let to = match nobody {
            true => "nobody@localhost".to_string(),
            false => format!("u{other}@localhost"),
        };
        if other == own {
            return self.devices[at].ask_roster(&mut self.world, &mut self.judge);
        }
        let which = self.below(12);
        let device = &mut self.devices[at];
        let (world, judge) = (&mut self.world, &mut self.judge);
        let act = match which {
            0..4 => "subscribe",
            4..8 => "subscribed",
            8 => "unsubscribe",
            9 => "unsubscribed",
            10 => {
                let item = format!("<item jid='{to}' name='n'><group>g</group></item>");
                return device.set_item(world, judge, &item);
            }
            _ => {
                let item = format!("<item jid='{to}' subscription='remove'/>");
                device.set_item(world, judge, &item);
                if !nobody {
                    device.revokes(judge, other);
                }
                return;
            }
        };
        device.send_subscription(world, judge, act, &to);
        match (act, device.log()) {
            ("subscribed", Some(log)) if !nobody => judge.granted(log, other),
            ("unsubscribed", Some(_)) if !nobody => device.revokes(judge, other),
            _ => {}
        }
    }

    fn ask(&mut self, at: usize) {
        if self.one_in(2) {
            let (max, is_last) = (1 + self.below(40), self.one_in(2));
            return self.devices[at].search(&mut self.world, &mut self.judge, max, is_last);
        }
        let own = self.devices[at].account;
        let other = self.below(self.devices.len());
        let session = self.devices[other].session.as_ref().map(|s| s.log);
        let full = session.map(|log| self.judge.sessions[log].jid.clone());
        let to_device = self.devices[other].account == own;
        let (to, to_device) = match self.below(4) {
            0 => (None, false),
            1 => (Some("localhost".to_string()), false),
            2 => (Some(format!("u{own}@localhost")), false),
            _ => match full {
                Some(full) => (Some(full), to_device),
                None => (Some("nobody@localhost".to_string()), false),
            },
        };
        let device = &mut self.devices[at];
        device.ask(&mut self.world, &mut self.judge, to.as_deref(), to_device);
    }

    /// Somebody looks away from a phone, or at it, or writes.
    fn nap(&mut self) {
        let at = self.latest.below(self.devices.len() as u32) as usize;
        let to = self.latest.below(self.accounts as u32);
        let (name, to) = match self.latest.below(6) {
            0..3 => ("inactive", String::new()),
            3 => ("active", String::new()),
            _ => ("composing", format!("u{to}@localhost")),
        };
        let device = &mut self.devices[at];
        device.send_state(&mut self.world, &mut self.judge, name, &to);
    }

    /// Somebody keeps somebody else away, or no longer.
    fn block(&mut self) {
        let at = self.latest.below(self.devices.len() as u32) as usize;
        let own = self.devices[at].account;
        let other = self.latest.below(self.accounts as u32) as usize;
        let everybody: Vec<usize> = (0..self.accounts).filter(|&other| other != own).collect();
        let (name, item, others) = match self.latest.below(10) {
            0..6 if other != own => ("block", format!("u{other}@localhost"), vec![other]),
            6 => ("block", "localhost".to_string(), everybody),
            7 => ("unblock", String::new(), everybody),
            // Whoever is blocked with everybody else stays so, but nobody here knows.
            _ if other != own => ("unblock", format!("u{other}@localhost"), vec![other]),
            _ => return,
        };
        let item = match item.is_empty() {
            true => item,
            false => format!("<item jid='{item}'/>"),
        };
        let device = &mut self.devices[at];
        device.set_block(&mut self.world, &mut self.judge, name, &item, &others);
    }

    fn stall(&mut self, at: usize, stalled: bool) {
        let Some(link) = &mut self.devices[at].link else {
            return;
        };
        link.is_stalled = stalled;
        self.world.stall(link.conn, stalled);
    }

    fn time_passes(&mut self) {
        let ms = match self.below(6) {
            0 => 90_000,
            1 => 11_000,
            2 => 3_000,
            _ => 1 + self.below(500) as u64,
        };
        self.judge.say(|| format!("{ms} ms pass"));
        self.world.advance(ms);
    }

    /// An administrator corrects the wall clock, by milliseconds or years.
    fn set_clock(&mut self) {
        let most_ms = [5, 2_000, 7_200_000, 100_000_000_000][self.later.below(4) as usize];
        let ms = self.later.next_u64() % most_ms;
        let now_ms = self.world.now.wall_ms;
        let wall_ms = match self.later.below(2) {
            0 => now_ms + ms,
            _ => now_ms - ms,
        };
        self.judge
            .say(|| format!("the clock goes from {now_ms} to {wall_ms}"));
        self.world.set_wall_clock(wall_ms);
    }

    fn fault(&mut self) {
        self.judge.had_faults = true;
        let which = self.below(6);
        self.judge.say(|| format!("fault {which}"));
        self.world.disk_is_asleep = which == 0;
        self.world.store.lock().set_fault(match which {
            1 => Some(StoreError::DiskFull),
            2 => Some(StoreError::Broken),
            _ => None,
        });
    }

    fn crash(&mut self) {
        self.judge.say(|| "the power goes".to_string());
        for device in &mut self.devices {
            device.crashed(&mut self.world, &mut self.judge);
        }
        self.judge.life += 1;
        let seed = self.chance.next_u64();
        let world = std::mem::replace(&mut self.world, self.options.nowhere());
        world.store.lock().set_fault(None);
        self.world = world.crash(seed);
    }

    fn reload(&mut self) {
        self.options.ask_after = 1 + self.below(6) as u32;
        if self.later.below(4) == 0 {
            self.options.keep = match self.options.keep {
                "always" => "offline-only",
                _ => "always",
            };
            self.judge.keeps_always = false;
        }
        let config = Arc::new(self.options.config());
        self.world.control(&Control::Reconfigure(config));
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

    /// Everything happens that can happen without time.
    fn calm(&mut self) {
        let mut rounds = 0;
        loop {
            self.world.settle();
            let mut any = false;
            for at in 0..self.devices.len() {
                any |= self.devices[at].read(&mut self.world, &mut self.judge, usize::MAX);
            }
            if !any {
                break;
            }
            rounds += 1;
            assert!(rounds < 1_000, "clients and server do not come to rest");
        }
    }

    /// Time with everybody awake.
    fn wait(&mut self, ms: u64) {
        let end_ms = self.world.now.mono_ms + ms;
        while self.world.now.mono_ms < end_ms {
            self.world.advance(10_000.min(ms));
            self.calm();
        }
    }

    /// Everybody comes back; then the judge speaks.
    fn end(&mut self) {
        self.judge.say(|| "the end".to_string());
        self.world.store.lock().set_fault(None);
        self.world.disk_is_asleep = false;
        if self.has_loads {
            self.world.advance(10_000);
            self.world.waited(0);
        }
        for at in 0..self.devices.len() {
            self.stall(at, false);
        }
        self.calm();
        self.wait(11_000);
        if self.judge.had_faults {
            // What could not be read or removed stays "for the next login".
            for device in &mut self.devices {
                if device.is_ready() {
                    device.close(&mut self.world, &mut self.judge);
                } else {
                    device.lose(&mut self.world, &mut self.judge);
                    device.give_up_session(&mut self.judge);
                }
            }
            self.calm();
        }
        // A farewell behind many stanzas is heard when their rate allows.
        for round in 0..20 {
            if round >= 3 && self.devices.iter().all(Device::is_ready) {
                break;
            }
            for at in 0..self.devices.len() {
                if self.devices[at].link.is_none() {
                    let resumes = self.one_in(2);
                    self.devices[at].connect(&mut self.world, &mut self.judge, resumes);
                }
            }
            self.calm();
            self.wait(1_000);
        }
        for at in 0..self.devices.len() {
            let device = &self.devices[at];
            assert!(device.is_ready(), "{} cannot come back", device.title());
            self.devices[at].send_presence(&mut self.world, &mut self.judge, Some(1));
        }
        self.calm();
        // Whoever was kept away is seen again.
        let blockers: BTreeSet<usize> = self.judge.blocks.iter().map(|(by, _)| *by).collect();
        for by in blockers {
            let everybody: Vec<usize> = (0..self.accounts).filter(|&other| other != by).collect();
            let devices = self.devices.iter_mut();
            if let Some(device) = devices.into_iter().find(|device| device.account == by) {
                let (world, judge) = (&mut self.world, &mut self.judge);
                device.set_block(world, judge, "unblock", "", &everybody);
            }
        }
        self.calm();
        if self.judge.had_faults {
            // What was told while the disk failed is told again soon, or by the hour if nobody heard of it.
            self.wait(3_700_000);
        }
        // Sessions that nobody resumed end, after a ping where their connection still stands, and what they held
        // goes to others.
        self.wait(310_000);
        for device in &self.devices {
            assert!(device.is_ready(), "{} was sent away", device.title());
        }
        for at in 0..self.devices.len() {
            self.devices[at].request_ack(&mut self.world);
            self.devices[at].send_ack(&mut self.world);
            self.devices[at].ask(&mut self.world, &mut self.judge, None, false);
            self.devices[at].ask_roster(&mut self.world, &mut self.judge);
        }
        self.calm();
        self.rest();
        for account in 0..self.accounts {
            let requests = self.world.requests(&format!("u{account}"));
            let askers = requests.iter().filter_map(|jid| account_of(jid));
            self.judge
                .pending
                .extend(askers.map(|asker| (asker, account)));
        }
        self.judge.verdict();
        let archives: Vec<Vec<Entry>> = (0..self.accounts)
            .map(|account| self.world.archive(&format!("u{account}")))
            .map(|archive| archive.iter().map(|xml| entry_in(xml)).collect())
            .collect();
        self.judge.archives(&archives);
        for at in 0..self.devices.len() {
            self.devices[at].close(&mut self.world, &mut self.judge);
        }
        self.calm();
        self.world.advance(400_000);
        self.rest();
        assert_eq!(self.world.stream_count(), 0, "streams are left");
        assert_eq!(self.world.resident_accounts(), 0, "accounts are left");
    }

    fn rest(&self) {
        self.world.assert_rest();
        assert_eq!(self.world.row_count(&PENDING), 0, "rows are left");
        assert_eq!(self.world.row_count(&OUTGOING), 0, "tells are left");
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
