//! Two who chat while somebody else attacks, and must notice nothing; and the house in which both happen. It
//! refuses to know the attack.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::server::Server;

const MIB: usize = 1024 * 1024;
/// What a server may grow by whatever is done to it, beyond what a test allows for its attack: caches of the
/// store, buffers of the bystanders, the allocator's slack.
const SLACK: usize = 24 * MIB;
/// Longest time that a message of a bystander may take, on a machine that is busy with other tests.
const STALL_MAX: Duration = Duration::from_secs(20);
/// Pause between two rounds: well below the rate that slows a writer.
const PAUSE: Duration = Duration::from_millis(25);

/// A server, and two in it who chat.
pub struct House {
    pub server: Server,
    rounds: Arc<Rounds>,
    stop: Sender<()>,
    chat: Option<JoinHandle<()>>,
    resident: usize,
}

/// How often the bystanders have heard each other.
#[derive(Default)]
struct Rounds {
    count: Mutex<usize>,
    changed: Condvar,
}

impl House {
    /// A server with these options, the accounts `names`, and two bystanders.
    pub fn open(test: &str, options: &str, names: &[&str]) -> House {
        let names: Vec<&str> = names.iter().chain(&["nurse", "friar"]).copied().collect();
        let server = Server::start(test, options, &names);
        let nurse = Client::session(&server, "nurse", "kitchen");
        let friar = Client::session(&server, "friar", "cell");
        let rounds = Arc::new(Rounds::default());
        let (stop, stopped) = mpsc::channel();
        let count = Arc::clone(&rounds);
        let chat = thread::spawn(move || {
            let (mut nurse, mut friar) = (nurse, friar);
            for round in 0.. {
                let begun = Instant::now();
                say(&mut nurse, &mut friar, "friar@localhost/cell", round);
                say(&mut friar, &mut nurse, "nurse@localhost/kitchen", round);
                let took = begun.elapsed();
                assert!(
                    took < STALL_MAX,
                    "round {round} of the bystanders took {took:?}"
                );
                *count.count.lock().unwrap() += 1;
                count.changed.notify_all();
                if stopped.recv_timeout(PAUSE) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        });
        let house = House {
            resident: server.resident(),
            server,
            rounds,
            stop,
            chat: Some(chat),
        };
        house.chat_on();
        house
    }

    /// Waits until the bystanders have exchanged two more messages each.
    pub fn chat_on(&self) {
        let count = self.rounds.count.lock().unwrap();
        let target = *count + 2;
        let waiting = |count: &mut usize| *count < target;
        let changed = &self.rounds.changed;
        let (count, waited) = changed
            .wait_timeout_while(count, 2 * STALL_MAX, waiting)
            .unwrap();
        // The chatting thread must not die of our panic.
        drop(count);
        assert!(!waited.timed_out(), "the bystanders no longer chat");
    }

    /// Lets time pass; the bystanders are heard of before and behind it.
    pub fn advance(&self, ms: u64) {
        self.chat_on();
        self.server.advance(ms);
        self.chat_on();
    }

    /// The attack is over. The bystanders must still chat, nothing may have panicked, and at no moment may the
    /// server have held more than `grown` bytes beyond what it had before. Everything it logged.
    pub fn close(mut self, grown: usize) -> String {
        self.chat_on();
        // Fails if they are gone, which joining tells better.
        let _ = self.stop.send(());
        if let Some(chat) = self.chat.take() {
            chat.join().expect("the bystanders noticed nothing");
        }
        let more = self.server.peak().saturating_sub(self.resident);
        assert!(
            more <= grown + SLACK,
            "the server grew by {} KiB, {} allowed",
            more / 1024,
            (grown + SLACK) / 1024
        );
        self.server.stop()
    }
}

fn say(from: &mut Client, to: &mut Client, address: &str, round: usize) {
    from.send(&format!(
        "<message to='{address}' type='chat' id='{round}'><body>round {round}</body></message>"
    ));
    loop {
        let element = to.element();
        // The server may ask whether one is there.
        if element.starts_with("<iq") {
            continue;
        }
        let expected = format!("<body>round {round}</body>");
        assert!(
            element.contains(&expected),
            "not {expected} next: {element}"
        );
        return;
    }
}
