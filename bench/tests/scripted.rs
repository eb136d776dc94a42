//! The load tool against a server that is a script, which does what no good server does: so that it is seen whether the tool
//! notices, and whom it blames.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use stonechat_bench::client::sasl::from_base64;
use stonechat_bench::client::stanza::{Piece, Stanza, first_element};

/// What the server does that it should not, and with what it is not usual.
#[derive(Clone, Copy, PartialEq)]
enum Script {
    /// SASL2 with Bind 2, and client states (XEP-0352).
    Modern,
    Good,
    /// Nobody is told of the presence of the second user.
    LosesPresence,
    /// All are told twice.
    DoublesPresence,
    /// Somebody is told who has nothing to do with it.
    LeadsPresenceAstray,
    /// Who leaves is told once more what the last message to them was.
    RepeatsAtFarewell,
    /// Who comes is told once more what the last run's last message to them was.
    Remembers,
}

/// Forgetful and in the clear; everybody has the neighbours on a ring of four as contacts.
#[derive(Clone)]
struct Server {
    script: Script,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    online: HashMap<String, TcpStream>,
    /// The last message to each.
    last: HashMap<String, String>,
    /// How often somebody's phone was laid down.
    inactive: u32,
}

impl Server {
    fn start(script: Script) -> (Self, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = Self {
            script,
            state: Arc::default(),
        };
        let serving = server.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                let (server, client) = (serving.clone(), client.expect("a client"));
                thread::spawn(move || server.serve(client));
            }
        });
        (server, address)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics with it")
    }

    fn serve(&self, client: TcpStream) {
        let mut session = Session {
            server: self.clone(),
            out: client.try_clone().expect("a socket"),
            name: String::new(),
        };
        let (mut from, mut input, mut bytes) = (client, Vec::new(), [0; 16 * 1024]);
        while let Ok(count @ 1..) = from.read(&mut bytes) {
            input.extend_from_slice(&bytes[..count]);
            loop {
                let (skip, length) = match first_element(&input) {
                    Piece::Element { skip, length } => (skip, length),
                    Piece::Unfinished { skip } => (skip, 0),
                    Piece::End => return session.say("</stream:stream>"),
                };
                if memchr::memmem::find(&input[..skip], b"<stream:stream").is_some() {
                    session.open();
                }
                let element = String::from_utf8_lossy(&input[skip..skip + length]).into_owned();
                input.drain(..skip + length);
                if element.is_empty() {
                    break;
                }
                session.take(&element);
            }
        }
    }
}

struct Session {
    server: Server,
    out: TcpStream,
    /// Once it is known.
    name: String,
}

impl Session {
    fn say(&mut self, text: &str) {
        // Whoever is gone does not hear it.
        let _ = self.out.write_all(text.as_bytes());
    }

    fn open(&mut self) {
        let features = match self.name.is_empty() {
            true => MECHANISMS,
            false => BINDING,
        };
        self.say(&format!(
            "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>\
             <stream:features>{features}</stream:features>"
        ));
    }

    fn take(&mut self, element: &str) {
        let stanza = Stanza {
            bytes: element.as_bytes(),
        };
        let text = |name| String::from_utf8_lossy(stanza.attribute(name).unwrap_or_default());
        match stanza.name() {
            b"auth" => {
                self.name = name_in(between(element, ">", "<"));
                self.say("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
            }
            b"authenticate" => {
                let initial = between(element, "<initial-response>", "</initial-response>");
                self.name = name_in(initial);
                self.say(&format!(
                    "<success xmlns='urn:xmpp:sasl:2'><bound xmlns='urn:xmpp:bind:0'/></success>\
                     <stream:features>{BINDING}<csi xmlns='urn:xmpp:csi:0'/></stream:features>"
                ));
            }
            b"inactive" => self.server.state().inactive += 1,
            b"iq" if text("id") == "bench-bind" => {
                let jid = format!("<jid>{}@localhost/load</jid>", self.name);
                self.say(&format!(
                    "<iq type='result' id='bench-bind'><bind>{jid}</bind></iq>"
                ));
            }
            b"iq" if text("id") == "bench-roster" => {
                let items = self
                    .neighbours()
                    .map(|name| format!("<item jid='{name}@localhost' subscription='both'/>"));
                self.say(&format!(
                    "<iq type='result' id='bench-roster'><query>{}</query></iq>",
                    items.concat()
                ));
            }
            b"presence" if element == "<presence/>" => self.come(),
            b"presence" if text("type") == "unavailable" => {
                self.say_again(Script::RepeatsAtFarewell)
            }
            b"presence" if !text("id").is_empty() => self.spread(element),
            b"message" => self.deliver(&text("to"), element),
            _ => {}
        }
    }

    fn come(&mut self) {
        let out = self.out.try_clone().expect("a socket");
        let mut state = self.server.state();
        state.online.insert(self.name.clone(), out);
        drop(state);
        for neighbour in self.neighbours() {
            let mut state = self.server.state();
            if let Some(out) = state.online.get_mut(&neighbour) {
                let _ = write!(out, "<presence from='{}@localhost/load'/>", self.name);
                drop(state);
                self.say(&format!("<presence from='{neighbour}@localhost/load'/>"));
            }
        }
        self.say_again(Script::Remembers);
    }

    /// The last message, if it is in the script.
    fn say_again(&mut self, in_script: Script) {
        let last = self.server.state().last.get(&self.name).cloned();
        if let Some(last) = last.filter(|_| self.server.script == in_script) {
            self.say(&last);
        }
    }

    fn spread(&mut self, element: &str) {
        let stamped = format!("<presence from='{}@localhost/load'", self.name);
        let mut element = element.replacen("<presence", &stamped, 1);
        let mut hearers = self.neighbours();
        if self.name == "load000001" {
            match self.server.script {
                Script::LosesPresence => return,
                Script::DoublesPresence => element = element.repeat(2),
                Script::LeadsPresenceAstray => hearers[0] = "load000003".to_owned(),
                _ => {}
            }
        }
        let mut state = self.server.state();
        for hearer in hearers {
            if let Some(out) = state.online.get_mut(&hearer) {
                let _ = out.write_all(element.as_bytes());
            }
        }
    }

    fn deliver(&mut self, to: &str, element: &str) {
        let name = to.split('@').next().unwrap_or_default();
        let stamped = format!("<message from='{}@localhost/load'", self.name);
        let element = element.replacen("<message", &stamped, 1);
        let mut state = self.server.state();
        if let Some(out) = state.online.get_mut(name) {
            let _ = out.write_all(element.as_bytes());
        }
        state.last.insert(name.to_owned(), element);
    }

    /// On either side, on a ring of four.
    fn neighbours(&self) -> [String; 2] {
        let number: u32 = self.name["load".len()..].parse().expect("a number");
        [1, 3].map(|step| format!("load{:06}", (number + step) % 4))
    }
}

const MECHANISMS: &str = "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms>";
const BINDING: &str = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>";

/// Who a PLAIN message is from.
fn name_in(message: &str) -> String {
    let bytes = from_base64(message).expect("base64");
    let parts: Vec<&[u8]> = bytes.split(|byte| *byte == 0).collect();
    String::from_utf8_lossy(parts[1]).into_owned()
}

fn between<'a>(text: &'a str, before: &str, behind: &str) -> &'a str {
    let (_, rest) = text.split_once(before).expect("it begins");
    rest.split_once(behind).expect("it ends").0
}

/// Runs a scenario of four users, with short times.
fn run(address: SocketAddr, scenario: &str, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stonechat-load"))
        .args(["run", scenario, "--set", "users.count=4"])
        .args(["--transport", "plain", "--mechanism", "plain"])
        .args(["--set", "time.settle=0 s", "--set", "time.warm-up=100 ms"])
        .args(["--set", "time.measure=1 s", "--set", "time.patience=10 s"])
        .args(more)
        .args(["--server", &address.to_string()])
        .output()
        .expect("the tool was just built")
}

fn told(output: &Output) -> String {
    let texts = [&output.stdout, &output.stderr];
    texts
        .map(|text| String::from_utf8_lossy(text).into_owned())
        .concat()
}

#[test]
fn what_another_run_has_left_is_no_fault_of_this_one() {
    let (_, address) = Server::start(Script::Remembers);
    let first = run(address, "chat", &[]);
    assert!(first.status.success(), "{}", told(&first));
    assert!(!told(&first).contains("another run"), "{}", told(&first));
    let second = run(address, "chat", &[]);
    assert!(second.status.success(), "{}", told(&second));
    let said = told(&second);
    assert!(said.contains("4 stanzas of another run"), "{said}");
}

#[test]
fn a_rate_that_was_not_reached_is_noted() {
    let (_, address) = Server::start(Script::Good);
    let output = run(
        address,
        "login",
        &["--set", "login.rate=1000", "--set", "login.stay=200 ms"],
    );
    let said = told(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("% of the 1000 that were asked for"), "{said}");
    assert!(said.contains("nobody was away who could come"), "{said}");
}

/// Four people of whom each says much.
const DAY: [&str; 12] = [
    "--set",
    "users.community=4",
    "--set",
    "users.contacts=2",
    "--set",
    "day.online=100",
    "--set",
    "day.messages=36000",
    "--set",
    "day.archive-reads=0",
    "--set",
    "day.leaves=0",
];

#[test]
fn phones_lie_idle_however_one_came_in() {
    let (server, address) = Server::start(Script::Modern);
    let more = ["--sasl2", "--set", "connection.stream-management=false"];
    let idle = ["--set", "day.idle=50"];
    let output = run(address, "day", &[&DAY[..], &more, &idle].concat());
    assert!(server.state().inactive > 0, "{}", told(&output));
}

#[test]
fn presence_of_a_day_is_lost_doubled_or_astray_as_messages_are() {
    let more = ["--set", "connection.stream-management=false"];
    let often = ["--set", "day.presence=36000", "--set", "day.idle=0"];
    for (script, word) in [
        (Script::Good, "passed"),
        (Script::LosesPresence, "2 lost"),
        (Script::DoublesPresence, " duplicated"),
        (Script::LeadsPresenceAstray, " misrouted"),
    ] {
        let (_, address) = Server::start(script);
        let few = ["--set", "time.patience=2 s"];
        let output = run(address, "day", &[&DAY[..], &more, &often, &few].concat());
        let said = told(&output);
        assert!(said.contains(word), "{word}: {said}");
        assert_eq!(output.status.success(), script == Script::Good, "{said}");
    }
}

#[test]
fn what_goes_wrong_while_all_log_out_fails_the_run() {
    let (_, address) = Server::start(Script::RepeatsAtFarewell);
    let output = run(address, "chat", &[]);
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    let said = told(&output);
    assert!(said.contains("4 duplicated"), "{said}");
}
