//! What the process asks of a worker besides its work. Refuses to know who asks.

use std::sync::Arc;

use crossbeam_channel::Sender;

use crate::base::WorkerId;
use crate::shard::Control;

use super::tls::TlsContext;

/// An order to one worker.
#[derive(Debug)]
pub enum Order {
    /// For the shard.
    Control(Control),
    /// Handshakes that begin from now on use these certificates.
    Tls(Arc<TlsContext>),
    /// Tell what you have counted.
    Report(Sender<Counters>),
    /// The clock of a test was moved: whoever sleeps has set its alarm by the old time.
    LookAtClock,
    /// Say whether you could stop without losing anything.
    AreYouSettled(Sender<(WorkerId, Settled)>),
    /// Connections come through this, too.
    #[cfg(feature = "trunk")]
    Trunk(Box<super::NewTrunk>),
    /// Close every socket and end the thread.
    Stop,
}

/// Whether a worker has nothing left to do but wait for its sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Questions to the store are open, something is not saved, or something waits for or from another worker.
    Busy,
    /// Nothing. `batches` counts what it ever sent to and received from other workers.
    Idle { batches: u64 },
}

/// What a worker counts; plain numbers of its own, copied on request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections in this worker's hands now.
    pub connections: usize,
    /// Connections that the doorman has brought, and that wait because there is too much to do.
    pub waiting: usize,
    /// Connections that came from the doorman.
    pub accepted: u64,
    /// Of those, such as have waited too long and were let in only to be told so.
    pub late: u64,
    /// Connections that came from another worker.
    pub arrived: u64,
    /// Connections that went to another worker.
    pub handed_over: u64,
    /// Handshakes that were completed.
    pub secured: u64,
    /// Those of them whose connections left rustls at once (`tls.compact`).
    pub compact: u64,
    /// Handshakes that failed: bytes that are no TLS, no common parameters, a bad certificate.
    pub handshakes_failed: u64,
    /// Handshakes, and PROXY headers, that took too long.
    pub handshakes_late: u64,
    /// Bytes that came behind a STARTTLS request in plaintext, and were dropped.
    pub injected_bytes: u64,
    /// Connections without a good PROXY header on a listener that requires one.
    pub proxy_refused: u64,
    /// Established TLS connections that sent something broken.
    pub records_broken: u64,
    /// Connections that began to be compressed.
    pub compressed: u64,
    /// Those of them that sent what cannot be decompressed.
    pub garbled: u64,
    /// Plaintext bytes from peers.
    pub read_bytes: u64,
    /// Plaintext bytes to peers.
    pub written_bytes: u64,
    /// How long somebody whose turn it was has waited for it last, in milliseconds.
    pub lag_ms: u64,
}
