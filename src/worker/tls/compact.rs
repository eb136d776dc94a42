//! How a connection leaves rustls once its handshake is over (`tls.compact`), and the form that it has then: keys and nothing
//! else. Refuses to know handshakes, and what a record looks like.
//!
//! rustls keeps 7.3 KB for a connection: a buffer of 4 KiB that is never given back, two expanded keys, a box of states. What TLS 1.3
//! needs behind its handshake is two traffic secrets and two counters. This is where they come from:
//!
//! - **The channel binding** of SCRAM-PLUS (RFC 9266) is exported by rustls itself before the connection leaves it, as ever. So the
//!   exporter's secret is never ours.
//! - **Sequence numbers and keys** come from `ServerConnection::dangerous_extract_secrets`. It gives AEAD keys, and from those nobody
//!   can derive the next ones, which a KeyUpdate needs (RFC 8446 section 7.2).
//! - **Traffic secrets** come from rustls' [`KeyLog`], which calls with `CLIENT_TRAFFIC_SECRET_0` and `SERVER_TRAFFIC_SECRET_0` while
//!   a record is processed. [`Overhearing`] notes them for whoever processes that record on this thread, who takes them at once
//!   ([`overheard`]) and keeps them with the connection, in memory that is wiped when it is given back. They are written nowhere, other
//!   secrets are not asked for, and a context without `tls.compact` has no [`KeyLog`] at all.
//! - What follows from the overheard secrets **must be the keys that rustls extracts**, or the connection is given up. So whatever went
//!   wrong between the two, nothing is sealed with what the peer does not have.
//!
//! The other way would have been `UnbufferedServerConnection::dangerous_into_kernel_connection`, whose `KernelConnection` derives the
//! next keys itself. As of rustls 0.23.46 it has neither exporter nor server name, so it needs the exporter's secret from the
//! [`KeyLog`], which is worth more than the two above, and keeps 0.9 KB for each connection.
//!
//! Nothing can be lost on the way: the connection leaves when rustls wants to write nothing, before it has opened the first record
//! behind the handshake, and what came with the handshake's last bytes was never given to it ([`super::Session::shake_hands`]).

use std::cell::Cell;
use std::io::{self, Write};

use rustls::server::ServerConnection;
use rustls::{ExtractedSecrets, KeyLog};

use crate::base::Secret;

use super::Opened;
use super::record::{Records, Sequence, Silent};
use super::traffic::Suite;

/// A connection that needs rustls no more.
#[derive(Debug)]
pub struct Compact {
    records: Records,
    /// Ciphertext that the socket has not taken; empty and without memory when idle.
    unsent: Vec<u8>,
    /// How much of it the socket has.
    sent: usize,
}

impl Compact {
    /// A connection that says nothing and takes nothing, until [`Compact::take_over`].
    pub fn blank(suite: Suite) -> Box<Compact> {
        Box::new(Compact {
            records: Records::blank(suite),
            unsent: Vec::new(),
            sent: 0,
        })
    }

    /// Takes a connection out of rustls, behind its handshake and with nothing to write. If the two do not agree, which would be a
    /// defect, it stays as it was: broken.
    pub fn take_over(&mut self, rustls: ServerConnection, secrets: &TrafficSecrets) {
        let records = &mut self.records;
        let agreed = rustls.dangerous_extract_secrets().map(|extracted| {
            begin(records, secrets, &extracted) && records.agrees_with(&extracted)
        });
        if !matches!(agreed, Ok(true)) {
            log::error!("tls_compact_failed agreed={agreed:?}");
            records.forget();
        }
    }

    /// As [`super::Session::glance`].
    pub fn glance(&self) -> usize {
        self.records.glance() ^ self.unsent.len() ^ self.sent
    }

    /// As [`Records::open`].
    pub fn open(
        &mut self,
        ciphertext: &[u8],
        plaintext: &mut [u8],
        filled: &mut usize,
    ) -> (usize, Opened) {
        self.records
            .open(ciphertext, plaintext, filled, &mut self.unsent)
    }

    /// As [`Records::seal`].
    ///
    /// # Errors
    /// The connection has been closed or has failed.
    pub fn seal(&mut self, plaintext: &[u8]) -> io::Result<()> {
        let sealed = self.records.seal(plaintext, &mut self.unsent);
        sealed.map_err(|Silent| io::Error::from(io::ErrorKind::NotConnected))
    }

    /// As [`Records::close`].
    pub fn close(&mut self) {
        self.records.close(&mut self.unsent);
    }

    /// Whether ciphertext waits for the socket.
    pub fn wants_push(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Writes ciphertext once.
    ///
    /// # Errors
    /// The socket's; or it takes no byte, which is none of a socket.
    pub fn push(&mut self, socket: &mut dyn Write) -> io::Result<usize> {
        let count = socket.write(&self.unsent[self.sent..])?;
        if count == 0 && self.wants_push() {
            return Err(io::Error::from(io::ErrorKind::WriteZero));
        }
        self.sent += count;
        if self.sent >= self.unsent.len() {
            self.sent = 0;
            self.unsent = Vec::new();
        }
        Ok(count)
    }

    #[cfg(test)]
    pub fn unsent_capacity(&self) -> usize {
        self.unsent.capacity()
    }

    /// Says that our next records are under the next key.
    #[cfg(test)]
    pub fn renew(&mut self) {
        self.records.renew(&mut self.unsent).unwrap();
    }
}

fn begin(records: &mut Records, secrets: &TrafficSecrets, extracted: &ExtractedSecrets) -> bool {
    let sequence = Sequence {
        from_peer: extracted.rx.0,
        to_peer: extracted.tx.0,
    };
    let (from_client, from_server) = (secrets.client.expose(), secrets.server.expose());
    records.begin(from_client, from_server, sequence).is_ok()
}

/// The first traffic secrets of a connection, wiped when dropped.
#[derive(Debug)]
pub struct TrafficSecrets {
    client: Secret,
    server: Secret,
}

/// Notes the traffic secrets of the connection whose record is being processed, for [`overheard`] on the same thread.
#[derive(Debug)]
pub struct Overhearing;

impl KeyLog for Overhearing {
    fn log(&self, label: &str, _client_random: &[u8], secret: &[u8]) {
        let mut heard = HEARD.take();
        match label {
            CLIENT => heard.client = Some(Secret::new(secret.to_vec())),
            SERVER => heard.server = Some(Secret::new(secret.to_vec())),
            _ => {}
        }
        HEARD.set(heard);
    }

    fn will_log(&self, label: &str) -> bool {
        matches!(label, CLIENT | SERVER)
    }
}

/// What rustls has told since this was called last; to be called behind every record that it processes in a handshake, so that
/// nothing is left for another connection.
pub fn overheard() -> Option<TrafficSecrets> {
    let heard = HEARD.take();
    Some(TrafficSecrets {
        client: heard.client?,
        server: heard.server?,
    })
}

thread_local! {
    static HEARD: Cell<Heard> = const { Cell::new(Heard { client: None, server: None }) };
}

#[derive(Default)]
struct Heard {
    client: Option<Secret>,
    server: Option<Secret>,
}

const CLIENT: &str = "CLIENT_TRAFFIC_SECRET_0";
const SERVER: &str = "SERVER_TRAFFIC_SECRET_0";

const _: () = assert!(size_of::<Compact>() <= 256);
