//! What clients do with their connections: open them, write, read, secure, lose them. Refuses to know when the
//! server looks.

use std::collections::VecDeque;

use stonechat::base::AddressPrefix;
use stonechat::shard::{CloseReason, Input, Opened};
use stonechat::stream::{TlsFacts, TlsVersion};

use super::{Conn, ConnId, World};

pub(super) fn facts() -> Box<TlsFacts> {
    Box::new(TlsFacts {
        version: TlsVersion::V1_3,
        exporter: Some([7; 32]),
        end_point: Some(vec![9; 32]),
        server_name: Some("localhost".into()),
        alpn: None,
        certificate_addresses: Vec::new(),
        certificate_subject: None,
    })
}

impl World {
    /// Opens a connection through a listener of direct TLS, its handshake done.
    pub fn connect_secure(&mut self, listener: usize) -> ConnId {
        self.open(listener, Some(facts()))
    }

    /// Opens a connection through this listener of the configuration.
    pub fn connect(&mut self, listener: usize) -> ConnId {
        self.open(listener, None)
    }

    pub(super) fn open(&mut self, listener: usize, secured: Option<Box<TlsFacts>>) -> ConnId {
        let worker = self.below(self.workers.len());
        let id = self.conns.len();
        let opened = Opened {
            listener,
            prefix: AddressPrefix::Local,
            address: None,
            peer: "simulated".into(),
            secured,
            waited_ms: 0,
        };
        let key = self.workers[worker].shard.open(self.now, opened);
        self.conns.push(Conn {
            worker,
            key: Some(key),
            upstream: VecDeque::new(),
            unread: Vec::new(),
            waits: false,
            downstream: Vec::new(),
            dirty: false,
            unwritten: false,
            securing: false,
            stalled: false,
            stuck: Vec::new(),
            closing: false,
            closed: false,
        });
        self.outputs(worker);
        ConnId(id)
    }

    pub fn write(&mut self, conn: ConnId, bytes: &[u8]) {
        let conn = &mut self.conns[conn.0];
        if conn.key.is_some() || !conn.closed {
            conn.upstream.extend(bytes);
        }
    }

    /// What the client can read now.
    pub fn read(&mut self, conn: ConnId) -> Vec<u8> {
        std::mem::take(&mut self.conns[conn.0].downstream)
    }

    /// The simulated connection gives back what it needed for reading and writing.
    pub fn forget_buffers(&mut self, conn: ConnId) {
        let conn = &mut self.conns[conn.0];
        conn.upstream.shrink_to_fit();
        conn.unread.shrink_to_fit();
    }

    pub fn is_closed(&self, conn: ConnId) -> bool {
        self.conns[conn.0].closed
    }

    /// The client finishes the handshake that the server awaits.
    pub fn start_tls(&mut self, conn: ConnId) -> Result<(), String> {
        let at = &mut self.conns[conn.0];
        if !std::mem::take(&mut at.securing) {
            return Err("the server does not await a handshake".into());
        }
        let (worker, Some(key)) = (at.worker, at.key) else {
            return Err("the connection is gone".into());
        };
        self.workers[worker]
            .shard
            .handle(self.now, Input::Secured(key, facts()));
        self.outputs(worker);
        Ok(())
    }

    /// The connection breaks without a word. Returns what the server had written and the client had not read.
    pub fn lose(&mut self, conn: ConnId) -> Vec<u8> {
        let at = &mut self.conns[conn.0];
        at.closed = true;
        at.upstream.clear();
        let lost = std::mem::take(&mut at.downstream);
        self.gone(conn.0, CloseReason::Failed);
        lost
    }

    /// The client stops reading, or reads again.
    pub fn stall(&mut self, conn: ConnId, stalled: bool) {
        let at = &mut self.conns[conn.0];
        at.stalled = stalled;
        if !stalled {
            let stuck = std::mem::take(&mut at.stuck);
            at.downstream.extend(stuck);
            at.dirty = true;
        }
    }
}
