//! What the clients do in a round: write, read, acknowledge until the server dies; come back and collect. It
//! refuses to judge; it reports.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use stonechat::base::Rng;

use crate::client::{Care, Client, Gone, Letter, News, PATIENCE};

/// Letters that one sender writes in a round at most: below the burst that the server lets pass.
const LETTERS_MAX: usize = 250;
/// Letters of one sender that are not acknowledged at most.
const WINDOW: usize = 48;

/// How a recipient behaves until the server dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    /// Online with stream management; acknowledges now and then.
    Diligent,
    /// The same, but never acknowledges.
    Silent,
    /// The same, but loses its connection on the way.
    Breaking,
    /// Online without stream management.
    Plain,
    /// The same, but logs out on the way.
    Leaving,
    /// Not there.
    Offline,
}

impl Habit {
    /// How it logs in.
    pub fn care(self) -> Care {
        match self {
            Habit::Diligent | Habit::Silent | Habit::Breaking => Care::Managed,
            Habit::Plain | Habit::Leaving | Habit::Offline => Care::Plain,
        }
    }
}

/// What a sender did before the server died, and after.
#[derive(Debug, Default)]
pub struct SenderReport {
    /// In the order in which they were written.
    pub sent: Vec<Letter>,
    /// So many of them were acknowledged, from the first.
    pub acknowledged: usize,
    /// Errors that came back.
    pub refused: Vec<String>,
}

/// What a recipient read on one login.
#[derive(Debug, Default)]
pub struct RecipientReport {
    pub letters: Vec<Letter>,
    /// So many of them the server is known to have forgotten durably.
    pub confirmed: usize,
}

/// What all clients of a round see of each other.
pub struct Signals {
    /// Acknowledgements so far.
    pub acknowledged: AtomicUsize,
    /// Nobody sends any more.
    pub is_sent: AtomicBool,
}

/// Writes letters until the server dies, or until it has written enough and the server dies then.
pub fn send_until_death(
    client: &mut Client,
    from: usize,
    names: &[String],
    numbers: &mut [u32],
    signals: &Signals,
    rng: &mut Rng,
) -> SenderReport {
    let mut report = SenderReport::default();
    // The end of the connection is what is waited for.
    let _ = send_all(client, from, names, numbers, signals, rng, &mut report);
    report
}

fn send_all(
    client: &mut Client,
    from: usize,
    names: &[String],
    numbers: &mut [u32],
    signals: &Signals,
    rng: &mut Rng,
    report: &mut SenderReport,
) -> Result<(), Gone> {
    loop {
        let open = report.sent.len() - report.acknowledged;
        if report.sent.len() < LETTERS_MAX && open < WINDOW {
            for _ in 0..=rng.below(6) {
                let to = rng.below(names.len() as u32) as usize;
                numbers[to] += 1;
                let number = numbers[to];
                let letter = Letter { from, to, number };
                // Before it is written: a part of it may arrive.
                report.sent.push(letter);
                client.send(letter, &names[to])?;
            }
            client.ask()?;
        }
        listen(client, signals, report)?;
    }
}

fn listen(client: &mut Client, signals: &Signals, report: &mut SenderReport) -> Result<(), Gone> {
    for news in client.news()? {
        match news {
            News::Acknowledged(h) => {
                let before = std::mem::replace(&mut report.acknowledged, h as usize);
                let new = report.acknowledged.saturating_sub(before);
                signals.acknowledged.fetch_add(new, Ordering::Relaxed);
            }
            News::Refused(text) => report.refused.push(text),
            _ => {}
        }
    }
    Ok(())
}

/// Sends again what was not acknowledged, in the same order and under the same origin-ids, and waits until all
/// of it is.
///
/// # Errors
/// The server refuses, or does not acknowledge.
pub fn send_again(
    port: u16,
    name: &str,
    names: &[String],
    letters: &[Letter],
    signals: &Signals,
) -> Result<(), String> {
    let mut client = Client::login(port, name, Care::Managed)?;
    let mut report = SenderReport::default();
    for &letter in letters {
        client.send(letter, &names[letter.to])?;
        report.sent.push(letter);
    }
    client.ask()?;
    let begun = Instant::now();
    while report.acknowledged < letters.len() {
        listen(&mut client, signals, &mut report)?;
        if begun.elapsed() > PATIENCE {
            let count = report.acknowledged;
            return Err(format!(
                "{name}: {count} of {} are acknowledged",
                letters.len()
            ));
        }
    }
    if let Some(text) = report.refused.pop() {
        return Err(format!("{name}: refused: {text}"));
    }
    client.close()?;
    Ok(())
}

/// Reads by its habit until the server dies or it goes itself.
pub fn read_until_death(mut client: Client, habit: Habit, rng: &mut Rng) -> RecipientReport {
    let mut report = RecipientReport::default();
    let goes_after = 1 + rng.below(60) as usize;
    let (mut acknowledged, mut is_leaving) = (0, false);
    // Notes on their way: the number of the stanza, and how many letters were acknowledged before it.
    let mut notes: Vec<(u32, usize)> = Vec::new();
    loop {
        let Ok(news) = client.news() else {
            return report;
        };
        for news in news {
            match news {
                News::Letter(letter) => report.letters.push(letter),
                News::Acknowledged(h) => {
                    let done = notes.iter().filter(|(number, _)| *number <= h);
                    report.confirmed = done.map(|(_, count)| *count).max().unwrap_or(0);
                }
                _ => {}
            }
        }
        let count = report.letters.len();
        let done = match habit {
            Habit::Diligent if count > acknowledged && rng.below(3) == 0 => {
                acknowledged = count;
                client.acknowledge().and_then(|()| match rng.below(3) {
                    0 => {
                        let (_, number) = client.note()?;
                        notes.push((number, count));
                        client.ask()
                    }
                    _ => Ok(()),
                })
            }
            Habit::Breaking if count >= goes_after => {
                client.vanish();
                return report;
            }
            Habit::Leaving if count >= goes_after && !is_leaving => {
                is_leaving = true;
                client.close()
            }
            _ => Ok(()),
        };
        // When writing fails the server is dead, but what is in the socket can still be read.
        drop(done);
    }
}

/// Logs in and reads everything that waits, and what comes until `signals` say that nobody sends any more.
///
/// # Errors
/// The server does not answer, or refuses.
pub fn collect(
    port: u16,
    name: &str,
    care: Care,
    signals: &Signals,
) -> Result<RecipientReport, String> {
    let mut client = Client::login(port, name, care)?;
    client.appear()?;
    let mut report = RecipientReport::default();
    let begun = Instant::now();
    let mut notes = BTreeSet::new();
    let mut asked = None;
    let mut settled = 0;
    loop {
        if asked.is_none() && signals.is_sent.load(Ordering::Acquire) {
            let note = client.note()?;
            asked = Some(note);
        }
        for news in client.news()? {
            match news {
                News::Letter(letter) => report.letters.push(letter),
                News::Note(number) => {
                    notes.insert(number);
                }
                News::Acknowledged(h) => settled = h,
                News::Refused(text) => return Err(format!("{name}: refused: {text}")),
                _ => {}
            }
        }
        if asked.is_some_and(|(number, _)| notes.contains(&number)) {
            break;
        }
        if begun.elapsed() > PATIENCE {
            return Err(format!("{name}: it does not become quiet"));
        }
    }
    if client.is_managed() {
        client.acknowledge()?;
        let (_, number) = client.note()?;
        client.ask()?;
        while settled < number {
            for news in client.news()? {
                match news {
                    News::Acknowledged(h) => settled = h,
                    News::Letter(letter) => report.letters.push(letter),
                    _ => {}
                }
            }
            if begun.elapsed() > PATIENCE {
                return Err(format!("{name}: its note is not acknowledged"));
            }
        }
        client.acknowledge()?;
        report.confirmed = report.letters.len();
    }
    client.close()?;
    // The server answers and closes.
    while client.news().is_ok() {
        if begun.elapsed() > PATIENCE {
            return Err(format!("{name}: the server does not close"));
        }
    }
    Ok(report)
}
