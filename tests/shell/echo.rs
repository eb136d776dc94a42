//! What stands behind the border in these tests: lines in, lines out, and a few orders in capital letters.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use slotmap::SlotMap;
use stonechat::actor::Ticket;
use stonechat::actor::rows::{Durability, Export, Fence, RowKey, Slices, Table};
use stonechat::base::{Now, StreamKey, WorkerId};
use stonechat::config::{Config, Dictionary};
use stonechat::shard::{Ask, Batch, Codec, Control, Input, Opened, Output, Place, Rendered};
use stonechat::stream::{StreamState, TlsFacts};
use stonechat::worker::Core;

/// What moves between echoes beside the real types, which have no place for it: streams by the name that
/// the state carries as its peer, lines by sender, receiver and number of the batch.
#[derive(Default)]
pub struct Luggage {
    streams: HashMap<String, EchoStream>,
    lines: HashMap<(WorkerId, WorkerId, u64), Vec<String>>,
}

#[derive(Debug, Default)]
pub struct EchoStream {
    tail: Vec<u8>,
    out: VecDeque<Vec<u8>>,
    waits: bool,
    guesses: bool,
    closing: bool,
    who: String,
}

pub struct Echo {
    place: Place,
    config: Arc<Config>,
    luggage: Arc<Mutex<Luggage>>,
    count: u64,
    streams: SlotMap<StreamKey, EchoStream>,
    outputs: VecDeque<Output>,
    outbox: Vec<Vec<String>>,
    deadline: Option<u64>,
    asked: Option<StreamKey>,
    is_full: bool,
    /// So many streams were named at a time as the next that are read or written.
    looked: RefCell<Vec<usize>>,
}

static TABLE: Table = Table {
    name: "echo",
    durability: Durability::Soon,
    export: Export::Never,
    slices: Slices::Whole,
    about: "",
};

impl Echo {
    pub fn new(place: Place, config: Arc<Config>, luggage: Arc<Mutex<Luggage>>) -> Echo {
        Echo {
            place,
            config,
            luggage,
            count: 0,
            streams: SlotMap::with_key(),
            outputs: VecDeque::new(),
            outbox: vec![Vec::new(); usize::from(place.worker_count)],
            deadline: None,
            asked: None,
            is_full: false,
            looked: RefCell::default(),
        }
    }
    fn secured(&mut self, key: StreamKey, facts: &TlsFacts) {
        let line = format!(
            "secured {:?} {} {} {:?} {:?} {:?}\n",
            facts.version,
            facts.exporter.map_or("-".into(), |e| hex(&e)),
            facts.end_point.as_deref().map_or("-".into(), hex),
            facts.server_name,
            facts
                .alpn
                .as_ref()
                .map(|a| String::from_utf8_lossy(a).into_owned()),
            facts.certificate_addresses
        );
        self.say(key, line.into_bytes());
    }
    fn say(&mut self, key: StreamKey, line: Vec<u8>) {
        if let Some(s) = self.streams.get_mut(key) {
            s.out.push_back(line);
            self.outputs.push_back(Output::Flush(key));
        }
    }
    fn wake(&mut self, key: StreamKey) {
        if let Some(s) = self.streams.get_mut(key) {
            s.waits = false;
            self.outputs.push_back(Output::Resume(key));
        }
    }
    fn bytes(&mut self, now: Now, key: StreamKey, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while taken < bytes.len() {
            let Some(s) = self.streams.get_mut(key) else {
                return taken;
            };
            if s.waits || s.closing {
                return taken;
            }
            let rest = &bytes[taken..];
            let Some(end) = rest.iter().position(|b| *b == b'\n') else {
                s.tail.extend_from_slice(rest);
                return bytes.len();
            };
            taken += end + 1;
            let mut line = std::mem::take(&mut s.tail);
            line.extend_from_slice(&rest[..end]);
            let text = String::from_utf8_lossy(&line).into_owned();
            let words: Vec<&str> = text.split(' ').collect();
            match words[0] {
                "STARTTLS" => {
                    self.say(key, b"proceed\n".to_vec());
                    self.outputs.push_back(Output::StartTls(key));
                    return taken;
                }
                "COMPRESS" => {
                    s.waits = true;
                    self.say(key, b"compressing\n".to_vec());
                    self.outputs.push_back(Output::Compress(key, CODEC));
                    return taken;
                }
                "WAIT" => {
                    s.waits = true;
                    self.asked = Some(key);
                    let ask = Ask::Row {
                        table: &TABLE,
                        key: RowKey::new(b""),
                        fence: Fence::None,
                    };
                    self.outputs.push_back(Output::Ask(Ticket(7), ask));
                }
                "MOVE" => {
                    let stream = self.streams.remove(key).unwrap();
                    let to = WorkerId(words[1].parse().unwrap());
                    self.count += 1;
                    let name = format!("{} {}", self.place.worker.0, self.count);
                    let state = StreamState::new(
                        now,
                        &self.config,
                        0,
                        stonechat::base::AddressPrefix::Local,
                        Arc::from(&*name),
                        None,
                    );
                    self.luggage.lock().unwrap().streams.insert(name, stream);
                    self.outputs
                        .push_back(Output::HandOver(to, key, Box::new(state)));
                    return taken;
                }
                "TELL" => self.outbox[words[1].parse::<usize>().unwrap()]
                    .push(format!("told {}\n", words[2])),
                "TICK" => self.deadline = Some(now.mono_ms + words[1].parse::<u64>().unwrap()),
                "WHO" => {
                    let who = s.who.clone().into_bytes();
                    self.say(key, who);
                }
                "BIG" => {
                    let count: usize = words[1].parse().unwrap();
                    for _ in 0..count / 16_384 {
                        s.out.push_back(vec![b'x'; 16_384]);
                    }
                    self.outputs.push_back(Output::Flush(key));
                }
                "GUESS" => s.guesses = true,
                "VERDICT" => {
                    let keys: Vec<_> = self.streams.keys().collect();
                    for key in keys {
                        if std::mem::take(&mut self.streams[key].guesses) {
                            self.wake(key);
                        }
                    }
                }
                "LOOKED" => {
                    let looked = format!("looked {:?}\n", self.looked.take());
                    self.say(key, looked.into_bytes());
                }
                "CLOSE" => {
                    s.closing = true;
                    self.say(key, b"bye\n".to_vec());
                    self.outputs.push_back(Output::Close(key));
                }
                "FULL" => self.is_full = true,
                "FREE" => self.is_full = false,
                "PANIC" => panic!("asked to"),
                _ => {
                    line.push(b'\n');
                    self.say(key, line);
                }
            }
        }
        taken
    }
}

impl Core for Echo {
    fn open(&mut self, _now: Now, opened: Opened) -> StreamKey {
        let who = format!(
            "who {} {} {:?}\n",
            opened.listener, opened.peer, opened.prefix
        );
        let key = self.streams.insert(EchoStream {
            who,
            ..EchoStream::default()
        });
        if let Some(facts) = opened.secured {
            self.secured(key, &facts);
        }
        if self.is_full {
            let line = format!("waited {}\n", opened.waited_ms);
            self.say(key, line.into_bytes());
            self.streams[key].closing = true;
            self.outputs.push_back(Output::Close(key));
        }
        key
    }

    fn admits(&self) -> bool {
        !self.is_full
    }

    fn take_in(&mut self, now: Now, stream: StreamKey, bytes: &[u8]) -> usize {
        self.handle(now, Input::Bytes(stream, bytes))
    }

    fn hand_out(&mut self, _now: Now) {}

    fn look_ahead(&self, streams: &[StreamKey]) {
        self.looked.borrow_mut().push(streams.len());
    }

    fn lets_go(&mut self, stream: StreamKey) -> bool {
        self.streams.get(stream).is_none_or(|s| !s.guesses)
    }

    fn arrive(&mut self, _now: Now, state: Box<StreamState>) -> StreamKey {
        let stream = self
            .luggage
            .lock()
            .unwrap()
            .streams
            .remove(&*state.peer)
            .unwrap();
        let key = self.streams.insert(stream);
        self.say(key, b"arrived\n".to_vec());
        key
    }

    fn handle(&mut self, now: Now, input: Input<'_>) -> usize {
        match input {
            Input::Bytes(key, bytes) => return self.bytes(now, key, bytes),
            Input::Secured(key, facts) => self.secured(key, &facts),
            Input::Compressed(key) => {
                self.say(key, b"compressed\n".to_vec());
                self.wake(key);
            }
            Input::Spent(_, count) => return count,
            Input::Garbled(key) => {
                self.say(key, b"garbled\n".to_vec());
                self.outputs.push_back(Output::Close(key));
            }
            Input::Written(_) => {}
            Input::Closed(key, _) => {
                self.streams.remove(key);
            }
            Input::Mesh(batch) => {
                let keys: Vec<_> = self.streams.keys().collect();
                let waybill = (batch.from, self.place.worker, batch.number);
                let lines = self.luggage.lock().unwrap().lines.remove(&waybill).unwrap();
                for line in lines {
                    for key in &keys {
                        self.say(*key, line.clone().into_bytes());
                    }
                }
            }
            Input::Answer(..) => {
                if let Some(key) = self.asked.take() {
                    self.wake(key);
                }
            }
            Input::Control(Control::Drain) => {
                let keys: Vec<_> = self.streams.keys().collect();
                for key in keys {
                    self.say(key, b"shutdown\n".to_vec());
                    self.outputs.push_back(Output::Close(key));
                }
            }
            Input::Control(_) | Input::Waited(_) => {}
            Input::Tick => {
                if self.deadline.is_some_and(|d| d <= now.mono_ms) {
                    self.deadline = None;
                    let keys: Vec<_> = self.streams.keys().collect();
                    for key in keys {
                        self.say(key, b"tick\n".to_vec());
                    }
                }
            }
        }
        0
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn render(&mut self, _now: Now, key: StreamKey, out: &mut Vec<u8>) -> Rendered {
        let Some(s) = self.streams.get_mut(key) else {
            return Rendered::Done;
        };
        while out.len() < 16_384 {
            let Some(line) = s.out.pop_front() else {
                return Rendered::Done;
            };
            out.extend_from_slice(&line);
        }
        if s.out.is_empty() {
            Rendered::Done
        } else {
            Rendered::More
        }
    }

    fn next_deadline(&self) -> Option<u64> {
        self.deadline
    }

    fn is_settled(&self) -> bool {
        true
    }

    fn outbox_is_empty(&self, to: WorkerId) -> bool {
        self.outbox[to.index()].is_empty()
    }

    fn take_batch(&mut self, to: WorkerId) -> Option<Batch> {
        let lines = std::mem::take(&mut self.outbox[to.index()]);
        if lines.is_empty() {
            return None;
        }
        self.count += 1;
        let (from, number) = (self.place.worker, self.count);
        self.luggage
            .lock()
            .unwrap()
            .lines
            .insert((from, to, number), lines);
        Some(Batch {
            from,
            number,
            envelopes: Vec::new(),
        })
    }

    fn channel_holds(&mut self, _: WorkerId, _: usize) {}

    fn waits_for(&self, to: WorkerId) -> bool {
        !self.outbox[to.index()].is_empty()
    }

    fn end_turn(&mut self, _: Now) {}
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

const CODEC: Codec = Codec {
    dictionary: Dictionary::Stream,
    element_bytes: 256 * 1024,
};
