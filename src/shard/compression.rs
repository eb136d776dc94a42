//! XEP-0138 in the shard: who may have a codec, and what becomes of a stream whose bytes cannot be read. Refuses to know
//! zlib.

use crate::base::{Now, StreamKey};
use crate::stream::processing_failed;

use super::Shard;
use super::load::Pressure;
use super::output::Output;
use super::session_end::Loss;

impl Shard {
    /// A client wishes for compression where it is offered. A codec is memory: where new logins wait there is none for it.
    pub(super) fn compress(&mut self, key: StreamKey) {
        let is_full = self.pressure() >= Pressure::Logins;
        let dictionary = self.config.c2s.compression_dictionary;
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        if is_full {
            stream.refuse_compression("setup-failed");
        } else {
            stream.begin_compression();
            self.outputs.push_back(Output::Compress(key, dictionary));
        }
        self.flush(key);
    }

    /// From here on both directions are compressed.
    pub(super) fn compressed(&mut self, key: StreamKey) {
        if let Some(stream) = self.streams.get_mut(key) {
            stream.compressed();
        }
        self.count_stream(key);
        self.resume_stream(key);
    }

    /// What came cannot be decompressed. The client may come back for its session.
    pub(super) fn garbled(&mut self, now: Now, key: StreamKey) {
        if let Some(stream) = self.streams.get(key) {
            log::info!(
                "compression_failed stream={} peer={}",
                stream.id,
                stream.peer
            );
        }
        self.lose_stream(now, key, Loss::Resumable);
        self.fail_stream(now, key, processing_failed());
    }
}
