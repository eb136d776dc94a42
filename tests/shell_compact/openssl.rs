//! Records as OpenSSL reads and writes them: its `s_client`, which also changes keys when told to.

use std::fmt;
use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};

use crossbeam_channel::{Receiver, RecvTimeoutError, unbounded};

use crate::house::{PATIENCE, Server};

const SUITES: [&str; 3] = [
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
];

/// `openssl s_client`.
struct Client {
    child: Child,
    input: Option<ChildStdin>,
    output: Printed,
    errors: Printed,
}

/// What it prints, as far as it has come.
struct Printed {
    pieces: Receiver<Vec<u8>>,
    bytes: Vec<u8>,
    /// How much of it was waited for already.
    seen: usize,
}

impl Client {
    fn connect(server: &Server, suite: &str, arguments: &[&str]) -> Client {
        let mut child = Command::new("openssl")
            .args(["s_client", "-connect", &server.direct.to_string()])
            .args(["-servername", "juliet.example", "-alpn", "xmpp-client"])
            .args(["-tls1_3", "-ciphersuites", suite])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("openssl is installed");
        Client {
            input: child.stdin.take(),
            output: Printed::of(child.stdout.take().unwrap()),
            errors: Printed::of(child.stderr.take().unwrap()),
            child,
        }
    }

    fn types(&mut self, text: &str) {
        let input = self.input.as_mut().unwrap();
        input.write_all(text.as_bytes()).unwrap();
        input.flush().unwrap();
    }

    fn until(&mut self, text: &str) {
        self.output.until(text);
    }

    /// Changes keys, with the next line that is typed: "K" asks for the server's, too.
    fn changes_keys(&mut self, letter: &str) {
        self.types(letter);
        self.errors.until("KEYUPDATE");
    }

    /// All that it has printed when it ends.
    fn rest(mut self) -> Vec<u8> {
        loop {
            match self.output.pieces.recv_timeout(PATIENCE) {
                Ok(piece) => self.output.bytes.extend(piece),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it never ended: {:?}", self.output),
            }
        }
        self.child.wait().unwrap();
        std::mem::take(&mut self.output.bytes)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Printed {
    fn of(mut stream: impl Read + Send + 'static) -> Printed {
        let (sender, pieces) = unbounded();
        std::thread::spawn(move || {
            let mut buffer = [0; 16 * 1024];
            while let Ok(count @ 1..) = stream.read(&mut buffer) {
                // Nobody may be waiting any more.
                let _ = sender.send(buffer[..count].to_vec());
            }
        });
        Printed {
            pieces,
            bytes: Vec::new(),
            seen: 0,
        }
    }

    /// Waits until this is printed behind what was waited for before.
    fn until(&mut self, text: &str) {
        loop {
            let new = &self.bytes[self.seen..];
            let found = new.windows(text.len()).position(|it| it == text.as_bytes());
            if let Some(at) = found {
                self.seen += at + text.len();
                return;
            }
            match self.pieces.recv_timeout(PATIENCE) {
                Ok(piece) => self.bytes.extend(piece),
                Err(_) => panic!("{text:?} never came: {self:?}"),
            }
        }
    }
}

impl fmt::Debug for Printed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = String::from_utf8_lossy(&self.bytes[self.seen..]);
        write!(f, "behind {} bytes {text}", self.seen)
    }
}

/// RFC 8446 section 4: a KeyUpdate as `-msg` prints it.
const NOT_REQUESTED: &str = "18 00 00 01 00";

#[test]
fn openssl_talks_with_a_compact_connection_and_both_change_keys() {
    let server = Server::start();
    for suite in SUITES {
        let mut client = Client::connect(&server, suite, &["-msg"]);
        client.types("wherefore\n");
        client.until("secured V1_3");
        client.until("wherefore");
        for round in 0..3 {
            client.changes_keys("K\n");
            client.types(&format!("art thou {round}\n"));
            // Behind the request that it sent itself comes the server's answer, and then the echo under the next key.
            client.until("18 00 00 01 01");
            client.until(NOT_REQUESTED);
            client.until(&format!("art thou {round}"));
            client.changes_keys("k\n");
            // None of the letters that are commands ("R" is one) begins a line of the play.
            client.types(&format!("deny thy father {round}\n"));
            client.until(NOT_REQUESTED);
            client.until(&format!("deny thy father {round}"));
        }
        client.types("CLOSE\n");
        client.until("bye");
        client.until("close_notify");
        client.rest();
    }
    let counters = server.until(|counters| counters.connections == 0);
    assert_eq!((counters.compact, counters.records_broken), (3, 0));
}

#[test]
fn large_amounts_come_through_openssl_unchanged() {
    let server = Server::start();
    for suite in SUITES {
        // Prints what the server says and nothing else, takes no commands, and goes when the server does.
        let mut client = Client::connect(&server, suite, &["-quiet", "-verify_quiet"]);
        let line = "parting is such sweet sorrow ".repeat(20_000);
        client.types(&line);
        client.types("\nBIG 2097152\nend\nCLOSE\n");
        let printed = client.rest();
        let printed = String::from_utf8(printed).unwrap();
        let expected = format!("{line}\n{}end\nbye\n", "x".repeat(2_097_152));
        let at = printed.find('\n').unwrap() + 1;
        assert!(printed[..at].contains("secured V1_3"), "{}", &printed[..at]);
        assert!(printed[at..] == expected, "{} bytes", printed.len());
    }
    let counters = server.until(|counters| counters.connections == 0);
    assert_eq!((counters.compact, counters.records_broken), (3, 0));
}

#[test]
fn openssl_that_says_goodbye_is_understood() {
    let server = Server::start();
    let mut client = Client::connect(&server, SUITES[0], &["-msg"]);
    client.types("wherefore\n");
    client.until("wherefore");
    client.types("Q\n");
    client.rest();
    let counters = server.until(|counters| counters.connections == 0);
    assert_eq!((counters.compact, counters.records_broken), (1, 0));
}
