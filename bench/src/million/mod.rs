//! Sessions by the hundred thousand in one server process, through one descriptor: what each of them costs, and whether it
//! costs more the more there are. It needs a server built with the feature `trunk`.

mod client;
mod crowd;
mod trunk;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use crate::client::message::user_name;
use crate::client::people::PASSWORD;
use crate::client::sasl::KeyCache;
use crate::client::tls::{giving_keys, of_direct, trusting_config};
use crate::process::{Ready, Server, unused_address};
use crate::target::{Archive, CompactTls};

use client::Plan;
use crowd::{Crowd, Talk};
use trunk::Trunk;

/// What is measured, and with which programs.
#[derive(Debug, Clone)]
pub struct Million {
    /// Stonechat's, with the feature `trunk`.
    pub server: PathBuf,
    /// Of the package in `core/`.
    pub core_program: PathBuf,
    pub server_core: usize,
    /// Where data goes: with a million rosters some gigabytes.
    pub directory: PathBuf,
    /// The numbers of sessions at which everything is measured, rising.
    pub levels: Vec<usize>,
    /// In each roster, an even number.
    pub contacts: u32,
    pub is_encrypted: bool,
    pub compact_tls: CompactTls,
    /// On: as the server is by default, every message archived for both. Off: nothing is archived or stored for who is there.
    pub archive: Archive,
    /// For chat, and again for presence.
    pub seconds: u64,
}

impl Million {
    /// What costs nothing because nothing of it is done has no figure.
    fn check(&self) -> Result<()> {
        let (levels, contacts) = (&self.levels, self.contacts);
        ensure!(
            levels.is_sorted_by(|less, more| less < more),
            "numbers of sessions rise: {levels:?}"
        );
        ensure!(
            contacts.is_multiple_of(2),
            "an even number of contacts: {contacts}"
        );
        let fewest = 2.max(contacts as usize + 1);
        ensure!(
            levels.iter().all(|level| *level >= fewest),
            "fewer than {fewest} sessions have nobody to talk to: {levels:?}"
        );
        ensure!(self.seconds > 0, "talk takes at least a second");
        Ok(())
    }
}

/// What one session, or one operation, costs at one level.
#[derive(Debug, Serialize)]
struct Level {
    sessions: usize,
    /// Of the process, beyond what it had without sessions, divided by them.
    bytes_per_session: f64,
    login_us: f64,
    logins_per_s: f64,
    chat_us: f64,
    messages_per_s: f64,
    /// What a message costs here over what it costs on another server, which has as many sessions as the first level: taken in turn,
    /// because this machine is a third slower from one minute to the next.
    chat_growth: f64,
    /// None where there are no contacts.
    presence_us: Option<f64>,
    presences_per_s: Option<f64>,
    presence_growth: Option<f64>,
}

/// A server and all who are on it.
struct Company {
    name: &'static str,
    server: Server,
    crowd: Crowd,
    house: House,
}

/// What coming in has cost.
struct Logins {
    us: f64,
    per_s: f64,
}

impl Company {
    /// Starts a server on which `users` have accounts, and nobody is yet.
    fn found(wishes: &Million, name: &'static str, users: usize) -> Result<Self> {
        let house = House::prepare(wishes, name, users)?;
        let (server, start_s) = house.start()?;
        eprintln!("  {name}: started in {start_s:.1} s");
        let tls = match wishes.is_encrypted {
            true => {
                let config = trusting_config()?;
                Some(giving_keys(&of_direct(&config)))
            }
            false => None,
        };
        let plan = Plan {
            tls,
            keys: KeyCache::default(),
            contacts: wishes.contacts as usize,
        };
        Ok(Self {
            name,
            server,
            crowd: Crowd::new(Trunk::connect(&house.trunk)?, plan),
            house,
        })
    }

    /// Until `count` are there.
    fn log_in(&mut self, count: usize) -> Result<Logins> {
        let (clock, already) = (Instant::now(), self.crowd.online);
        let came = (count - already) as f64;
        let cpu = self.server.cpu()?;
        let logged_in = self.crowd.log_in(count, LOGINS_AT_A_TIME);
        let per_s = came / clock.elapsed().as_secs_f64();
        let settled = logged_in.and_then(|()| settle(&self.server, &mut self.crowd));
        self.explained(settled)?;
        let us = (self.server.cpu()? - cpu).as_secs_f64() * 1e6 / came;
        Ok(Logins { us, per_s })
    }

    /// One more slice.
    fn talk(&mut self, talk: Talk, at_a_time: usize, slices: &mut Slices) -> Result<()> {
        // Memory that others have used meanwhile comes back into the caches first, as far as it can.
        let ready = self.crowd.talk(talk, at_a_time, SLICE / 10);
        self.explained(ready)?;
        let (clock, already) = (Instant::now(), self.crowd.deliveries);
        let cpu = self.server.cpu()?;
        let talked = self.crowd.talk(talk, at_a_time, SLICE);
        self.explained(talked)?;
        slices.count += self.crowd.deliveries - already;
        slices.cpu += self.server.cpu()? - cpu;
        slices.time += clock.elapsed();
        Ok(())
    }

    fn private_bytes(&mut self) -> Result<u64> {
        let bytes = self.server.private_bytes();
        self.explained(bytes)
    }

    fn see_off(&mut self) -> Result<()> {
        let seen = self.crowd.see_off(END_PATIENCE);
        self.explained(seen)
    }

    fn explained<T>(&mut self, done: Result<T>) -> Result<T> {
        done.map_err(|error| self.server.explain(self.name, error))
    }
}

/// Prints a line for each level, and returns all as JSON.
pub fn measure(wishes: &Million) -> Result<String> {
    wishes.check()?;
    let users = *wishes.levels.last().context("no number of sessions")?;
    let mut few = Company::found(wishes, "few", wishes.levels[0])?;
    few.log_in(wishes.levels[0])?;
    let mut all = Company::found(wishes, "all", users)?;
    let before = all.private_bytes()? as f64;
    let mut levels = Vec::new();
    for &count in &wishes.levels {
        let logins = all.log_in(count)?;
        let bytes = all.private_bytes()? as f64 - before;
        let seconds = Duration::from_secs(wishes.seconds);
        let chat = compare(&mut all, &mut few, Talk::Chat, 256, seconds)?;
        let presence = Talk::Presence {
            reach: wishes.contacts / 2,
        };
        let presence = match wishes.contacts {
            0 => None,
            _ => Some(compare(&mut all, &mut few, presence, 16, seconds)?),
        };
        let level = Level {
            sessions: count,
            bytes_per_session: bytes / count as f64,
            login_us: logins.us,
            logins_per_s: logins.per_s,
            chat_us: chat.us,
            messages_per_s: chat.per_s,
            chat_growth: chat.growth,
            presence_us: presence.as_ref().map(|said| said.us),
            presences_per_s: presence.as_ref().map(|said| said.per_s),
            presence_growth: presence.as_ref().map(|said| said.growth),
        };
        println!("{}", serde_json::to_string(&level)?);
        levels.push(level);
    }
    few.server.stop()?;
    let total = all.private_bytes()?;
    let clock = Instant::now();
    all.server.signal_end();
    all.see_off()?;
    let farewell_s = clock.elapsed().as_secs_f64();
    all.server.stop()?;
    let drain_s = clock.elapsed().as_secs_f64();
    let (again, restart_s) = all.house.start()?;
    again.stop()?;
    let result = serde_json::json!({
        "contacts": wishes.contacts,
        "tls": wishes.is_encrypted,
        "compact_tls": wishes.compact_tls == CompactTls::On,
        "archive": wishes.archive == Archive::On,
        "levels": levels,
        "private_bytes": total,
        "farewell_s": farewell_s,
        "drain_s": drain_s,
        "restart_s": restart_s,
    });
    Ok(serde_json::to_string_pretty(&result)?)
}

/// What was said while all talked.
#[derive(Debug)]
struct Said {
    /// Of the server, for each delivery.
    us: f64,
    per_s: f64,
    /// As [`Level::chat_growth`].
    growth: f64,
}

/// All talk for `time`, in turn with the `few` of the other server, who do so as long.
fn compare(
    all: &mut Company,
    few: &mut Company,
    talk: Talk,
    at_a_time: usize,
    time: Duration,
) -> Result<Said> {
    let (mut of_all, mut of_few) = (Slices::default(), Slices::default());
    while of_all.time < time {
        for (company, slices) in [(&mut *all, &mut of_all), (&mut *few, &mut of_few)] {
            company.talk(talk, at_a_time, slices)?;
        }
    }
    let us = of_all.us().context("all")?;
    Ok(Said {
        us,
        per_s: of_all.count as f64 / of_all.time.as_secs_f64(),
        growth: us / of_few.us().context("few")?,
    })
}

/// What was done in the turns of one crowd.
#[derive(Debug, Default)]
struct Slices {
    count: u64,
    cpu: Duration,
    time: Duration,
}

impl Slices {
    /// Of the server's processor, for each delivery.
    fn us(&self) -> Result<f64> {
        let time = self.time;
        ensure!(self.count > 0, "nothing was delivered in {time:?}");
        ensure!(
            !self.cpu.is_zero(),
            "the server used too little of its processor in {time:?} to be told"
        );
        Ok(self.cpu.as_secs_f64() * 1e6 / self.count as f64)
    }
}

/// Lets the server finish what it does behind everybody's back.
fn settle(server: &Server, crowd: &mut Crowd) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(120);
    let mut before = server.cpu()?;
    loop {
        crowd.rest(Duration::from_millis(500))?;
        let now = server.cpu()?;
        if now - before <= Duration::from_millis(30) || Instant::now() > deadline {
            return crowd.rest(Duration::from_secs(12));
        }
        before = now;
    }
}

/// The server's directory; removed when dropped.
struct House {
    wishes: Million,
    directory: PathBuf,
    trunk: PathBuf,
}

impl House {
    fn prepare(wishes: &Million, name: &str, users: usize) -> Result<Self> {
        let directory = wishes
            .directory
            .join(format!("million-{name}-{}", std::process::id()));
        fs::create_dir_all(&directory)
            .with_context(|| format!("creating {}", directory.display()))?;
        let house = Self {
            wishes: wishes.clone(),
            trunk: directory.join("trunk"),
            directory,
        };
        house.configure()?;
        fs::write(
            house.path("user"),
            format!("{}@localhost {PASSWORD}\n", user_name(0)),
        )?;
        let mut add = Command::new(&wishes.server);
        add.args(["user", "add", "--from"]).arg(house.path("user"));
        run(add.args(house.arguments()))?;
        let mut fill = Command::new(&wishes.core_program);
        fill.arg("copies").arg("--data").arg(house.path("data"));
        fill.args(["--users", &users.to_string()]);
        run(fill.args(["--contacts", &wishes.contacts.to_string()]))?;
        Ok(house)
    }

    fn configure(&self) -> Result<()> {
        let address = unused_address();
        let tls = match self.wishes.is_encrypted {
            true => "direct",
            false => "none",
        };
        let compact = match self.wishes.compact_tls {
            CompactTls::Off => "",
            CompactTls::On => "[tls]\ncompact = true\n",
        };
        let archive = match self.wishes.archive {
            Archive::Off => "[delivery]\nkeep = \"offline-only\"\n[features]\nmam = false\n",
            Archive::On => "",
        };
        // Nobody is pinged: these clients do not answer.
        let text = format!(
            "[server]\nworkers = 1\n[[host]]\nname = \"localhost\"\n\
             [[listener]]\naddress = \"{address}\"\nkind = \"c2s\"\ntls = \"{tls}\"\n\
             [c2s]\nping_after = \"24 h\"\n[auth]\nscram_iterations = 4096\n\
             {archive}{compact}"
        );
        Ok(fs::write(self.path("stonechat.toml"), text)?)
    }

    /// Starts the server, and says how long it took until it listened.
    fn start(&self) -> Result<(Server, f64)> {
        if self.trunk.exists() {
            fs::remove_file(&self.trunk)?;
        }
        let mut command = vec![
            "env".to_owned(),
            format!("STONECHAT_TRUNK={}", self.trunk.display()),
            self.wishes.server.display().to_string(),
            "serve".to_owned(),
        ];
        command.extend(self.arguments().map(|path| path.display().to_string()));
        let clock = Instant::now();
        let core = self.wishes.server_core.to_string();
        let (address, log) = (unused_address(), self.path("output"));
        let server = Server::start(&command, &core, address, &log, Ready::Says("listening"))?;
        Ok((server, clock.elapsed().as_secs_f64()))
    }

    fn arguments(&self) -> [PathBuf; 4] {
        let [config, data] = ["--config", "--data"].map(PathBuf::from);
        [config, self.path("stonechat.toml"), data, self.path("data")]
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.directory) {
            eprintln!(
                "  note: {} stays behind: {error}",
                Path::display(&self.directory)
            );
        }
    }
}

fn run(command: &mut Command) -> Result<()> {
    let output = command
        .output()
        .with_context(|| format!("starting {command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let status = output.status;
    ensure!(status.success(), "{command:?} failed ({status}): {said}");
    Ok(())
}

const LOGINS_AT_A_TIME: usize = 64;
/// Processor time is told in steps of ten milliseconds.
const SLICE: Duration = Duration::from_secs(1);
const END_PATIENCE: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests;
