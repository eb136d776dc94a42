//! XEP-0138 in the shard: who may have a codec, and what becomes of a stream whose bytes cannot be read. Refuses to know
//! zlib.

use crate::base::{Now, StreamKey};
use crate::stream::processing_failed;

use super::Shard;
use super::load::Pressure;
use super::output::{Codec, Output};
use super::session_end::Loss;

impl Shard {
    /// A client wishes for compression where it is offered. A codec is memory: where new logins wait there is none for it, and
    /// never more than a share of the worker's.
    pub(super) fn compress(&mut self, now: Now, key: StreamKey) {
        let is_full = self.pressure() >= Pressure::Logins || !self.has_room_for_codec(now);
        let c2s = &self.config.c2s;
        let dictionary = c2s.compression_dictionary;
        let codec = Codec {
            dictionary,
            element_bytes: u32::try_from(c2s.element_size.as_bytes()).unwrap_or(u32::MAX),
        };
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        if is_full {
            stream.refuse_compression("setup-failed");
        } else {
            stream.begin_compression(dictionary);
            self.outputs.push_back(Output::Compress(key, codec));
        }
        self.count_stream(key);
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

    /// Compressed bytes became fewer than they were, or none: without a rate of their own they would keep the worker
    /// decompressing for nothing as fast as the line is. Returns `count` if the stream may be read on.
    pub(super) fn spent(&mut self, now: Now, key: StreamKey, count: usize) -> usize {
        let Some(stream) = self.streams.get_mut(key) else {
            return count;
        };
        stream.heard(now);
        stream.spent(count);
        if self.may_read(now, key) {
            return count;
        }
        if let Some(stream) = self.streams.get_mut(key) {
            stream.is_paused = true;
        }
        0
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

#[cfg(test)]
mod tests {
    use super::super::input::Input;
    use super::super::testing::{NOW, connect, open, rendered, stage};
    use super::*;
    use crate::base::{ActorKey, SessionId, limits};
    use crate::config::Dictionary;
    use crate::stream::SessionRef;

    /// The worker has room for so many codecs.
    fn with_room_for(shard: &mut Shard, codecs: usize) {
        let budget = codecs * limits::COMPRESSED_STREAM_BYTES * 100 / limits::LOAD_CODECS_PERCENT;
        let mut config = (*shard.config).clone();
        config.server.queue_memory = crate::config::units::Size::from_bytes(budget as u64 + 100);
        shard.config = std::sync::Arc::new(config);
        shard.place.worker_count = 1;
    }

    fn compressed(shard: &mut Shard, after_ms: u64) -> StreamKey {
        let key = open(shard);
        shard.streams[key].opened_at_ms += after_ms;
        shard.compress(NOW, key);
        shard.compressed(key);
        key
    }

    fn bind(shard: &mut Shard, key: StreamKey) {
        let session = SessionRef {
            actor: ActorKey::default(),
            session: SessionId(9),
        };
        let jid = crate::jid::Jid::parse("romeo@localhost/orchard").expect("valid");
        shard.streams[key].bound(session, jid);
    }

    #[test]
    fn codecs_have_a_share_and_beyond_it_a_client_goes_on_without() {
        let (mut shard, _) = stage();
        with_room_for(&mut shard, 3);
        let keys: Vec<StreamKey> = (0..3).map(|n| compressed(&mut shard, n)).collect();
        for key in &keys {
            assert_eq!(
                shard.streams[*key].compression,
                Some(Dictionary::Sender),
                "there is room"
            );
            bind(&mut shard, *key);
        }
        assert!(shard.pressure() < Pressure::Logins);
        let late = compressed(&mut shard, 3);
        let said = rendered(&mut shard, late);
        assert!(said.contains("<setup-failed/>"), "{said}");
        assert_eq!(shard.streams[late].compression, None);
        // Sessions keep theirs, until they end.
        assert!(keys.iter().all(|key| shard.streams[*key].codec_bytes() > 0));
        shard.closed(NOW, keys[1], crate::shard::CloseReason::EndOfStream);
        let late = compressed(&mut shard, 4);
        assert!(shard.streams[late].compression.is_some());
    }

    #[test]
    fn who_has_a_codec_and_no_session_for_longest_leaves_it_to_the_next() {
        let (mut shard, _) = stage();
        with_room_for(&mut shard, 3);
        let keys: Vec<StreamKey> = (0..3).map(|n| compressed(&mut shard, n)).collect();
        bind(&mut shard, keys[0]);
        let late = compressed(&mut shard, 3);
        assert!(shard.streams[late].compression.is_some());
        let said = rendered(&mut shard, keys[1]);
        assert!(said.contains("<resource-constraint "), "{said}");
        let kept = [keys[0], keys[2]].map(|key| shard.streams[key].codec_bytes() > 0);
        assert_eq!(kept, [true, true]);
    }

    #[test]
    fn compressed_bytes_count_against_the_rate_whatever_they_become() {
        let (mut shard, actor) = stage();
        let key = connect(&mut shard, actor);
        let burst = limits::RATE_BYTES_BURST as usize;
        assert_eq!(shard.handle(NOW, Input::Spent(key, 1_000)), 1_000);
        assert_eq!(shard.handle(NOW, Input::Spent(key, burst)), 0);
        let resumes = |shard: &mut Shard| {
            let outputs: Vec<Output> = std::iter::from_fn(|| shard.poll_output()).collect();
            let is_it = |output: &Output| matches!(output, Output::Resume(it) if *it == key);
            outputs.iter().any(is_it)
        };
        assert!(!resumes(&mut shard));
        let at = |after_ms| Now {
            mono_ms: NOW.mono_ms + after_ms,
            ..NOW
        };
        shard.handle(at(1), Input::Tick);
        assert!(!resumes(&mut shard));
        shard.handle(at(10_000), Input::Tick);
        assert!(resumes(&mut shard), "it is read on");
        assert_eq!(shard.handle(at(10_000), Input::Spent(key, 10)), 10);
    }
}
