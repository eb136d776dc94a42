//! XEP-0138: Stream Compression, version 2.1: the codec of one connection, in both directions. Refuses to know sockets,
//! and what is compressed.
//!
//! What is sent goes through zlib itself with small windows, because no safe wrapper offers them: 12 KiB a connection
//! instead of 300 (CRATES.md section 4). What comes is bounded in bytes at a time and in how much it may swell, so that
//! no bomb costs more than the turn in which it is found (peers.md row 29).

use std::ffi::c_int;
use std::io;
use std::mem::MaybeUninit;

use flate2::{Decompress, FlushDecompress, Status};

use crate::base::limits;
use crate::config::Dictionary;
use crate::shard::{CloseReason, Codec};

use super::connection::Then;

/// Compression and decompression of one connection.
pub struct Zlib {
    inflate: Decompress,
    /// None while it rests ([`Zlib::rest`]).
    deflate: Option<Deflater>,
    flush: c_int,
    /// The header of RFC 1950 is written: whatever compresses from now on writes none.
    has_begun: bool,
    /// Compressed, and not decompressed yet; without memory when there is none.
    input: Vec<u8>,
    taken: usize,
    /// What comes behind `input`.
    then: Then,
    /// The buffer was full: there may be more even without further input.
    is_full: bool,
    /// What may come out of the first bytes beyond the ratio: the largest element, however well it packs.
    slack: u64,
    /// Bytes that were decompressed since [`Zlib::take_surplus`], beyond those that they became.
    surplus: usize,
}

/// What cannot be decompressed, or swells too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Garbled;

impl std::fmt::Debug for Zlib {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let waiting = self.input.len() - self.taken;
        write!(f, "Zlib({waiting} bytes wait)")
    }
}

impl Zlib {
    /// A codec at its beginning.
    ///
    /// # Errors
    /// There is no memory.
    pub fn new(codec: Codec) -> io::Result<Box<Zlib>> {
        Ok(Box::new(Zlib {
            // Windows of any size, with the header of RFC 1950. The memory for the window comes with the first bytes.
            inflate: Decompress::new(true),
            deflate: Some(Deflater::new(WINDOW_BITS)?),
            flush: match codec.dictionary {
                Dictionary::Sender => libz_sys::Z_FULL_FLUSH,
                Dictionary::Stream => libz_sys::Z_SYNC_FLUSH,
            },
            has_begun: false,
            input: Vec::new(),
            taken: 0,
            then: Then::Wait,
            is_full: false,
            slack: u64::from(codec.element_bytes),
            surplus: 0,
        }))
    }

    /// Takes what was read, and what then. To be called only when nothing waits.
    pub fn feed(&mut self, compressed: &[u8], then: Then) {
        self.input = compressed.to_vec();
        self.taken = 0;
        self.then = then;
    }

    /// Whether there is something to decompress.
    pub fn holds_input(&self) -> bool {
        self.is_full || self.taken < self.input.len()
    }

    /// Bytes that were decompressed since this was last asked, beyond those that they became: what the peer has not paid for
    /// by what it said.
    pub fn take_surplus(&mut self) -> usize {
        std::mem::take(&mut self.surplus)
    }

    /// Decompresses into `out`: how many bytes, and what then.
    pub fn open(&mut self, out: &mut [u8]) -> (usize, Then) {
        let (read, made) = (self.inflate.total_in(), self.inflate.total_out());
        let opened = self.inflate(out);
        let (read, made) = (
            self.inflate.total_in() - read,
            self.inflate.total_out() - made,
        );
        // It is never more than what `feed` was given.
        self.surplus += read.saturating_sub(made) as usize;
        match opened {
            Ok(count) if self.holds_input() => (count, Then::Again),
            Ok(count) => {
                self.input = Vec::new();
                self.taken = 0;
                (count, self.then)
            }
            Err(Garbled) => {
                self.input = Vec::new();
                self.taken = 0;
                self.is_full = false;
                (0, Then::Garbled)
            }
        }
    }

    fn inflate(&mut self, out: &mut [u8]) -> Result<usize, Garbled> {
        let mut filled = 0;
        loop {
            let (read, made) = (self.inflate.total_in(), self.inflate.total_out());
            let input = &self.input[self.taken..];
            let status = self
                .inflate
                .decompress(input, &mut out[filled..], FlushDecompress::Sync);
            let (read, made) = (
                (self.inflate.total_in() - read) as usize,
                (self.inflate.total_out() - made) as usize,
            );
            self.taken += read;
            filled += made;
            let status = status.map_err(|_| Garbled)?;
            let allowed = self.inflate.total_in() * limits::INFLATE_RATIO_MAX;
            if self.inflate.total_out() > allowed.saturating_add(self.slack) {
                return Err(Garbled);
            }
            self.is_full = filled == out.len();
            if status == Status::StreamEnd {
                // The peer will say nothing more.
                self.is_full = false;
                self.taken = self.input.len();
                self.then = Then::End(CloseReason::EndOfStream);
                return Ok(filled);
            }
            let is_stuck = read == 0 && made == 0;
            if self.is_full || is_stuck || self.taken == self.input.len() {
                if is_stuck {
                    // It waits for what comes next, and has taken what there is.
                    self.taken = self.input.len();
                }
                return Ok(filled);
            }
        }
    }

    /// Compresses, so that the peer can read all of it at once.
    ///
    /// # Errors
    /// zlib is broken, or there is no memory.
    pub fn seal(&mut self, plain: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        let deflate = match &mut self.deflate {
            Some(deflate) => deflate,
            // Blocks of RFC 1951 go on where others ended, whoever made those: "negative" bits are zlib's word for it.
            resting => resting.insert(Deflater::new(-WINDOW_BITS)?),
        };
        let before = out.len();
        deflate.run(plain, self.flush, out)?;
        self.has_begun |= out.len() > before;
        Ok(())
    }

    /// Gives back what compresses, 12 KiB, until there is something to send: where the dictionary was forgotten nothing of
    /// it is needed again. What decompresses stays, because the peer may refer to all that its window holds.
    pub fn rest(&mut self) {
        if self.has_begun && self.flush == libz_sys::Z_FULL_FLUSH {
            self.deflate = None;
        }
    }
}

/// zlib's compressor. Boxed, because zlib keeps a pointer to it.
struct Deflater(Box<MaybeUninit<libz_sys::z_stream>>);

// SAFETY: all that it points to was allocated by zlib for it alone, and zlib has no state of threads.
unsafe impl Send for Deflater {}

impl Deflater {
    fn new(window_bits: c_int) -> io::Result<Deflater> {
        let mut stream = Box::new(MaybeUninit::<libz_sys::z_stream>::zeroed());
        // SAFETY: zlib's manual wants `zalloc`, `zfree` and `opaque` to be null for its own allocator, and reads nothing
        // else of the structure, which is zeroed and outlives the call. No reference to it is made, because functions that
        // are null are no Rust values.
        let code = unsafe {
            libz_sys::deflateInit2_(
                stream.as_mut_ptr(),
                LEVEL,
                libz_sys::Z_DEFLATED,
                window_bits,
                MEMORY_LEVEL,
                libz_sys::Z_DEFAULT_STRATEGY,
                libz_sys::zlibVersion(),
                size_of::<libz_sys::z_stream>() as c_int,
            )
        };
        match code {
            libz_sys::Z_OK => Ok(Deflater(stream)),
            _ => Err(io::Error::from(io::ErrorKind::OutOfMemory)),
        }
    }

    fn run(&mut self, plain: &[u8], flush: c_int, out: &mut Vec<u8>) -> io::Result<()> {
        let length =
            u32::try_from(plain.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        let stream = self.0.as_mut_ptr();
        // SAFETY: `new` initialised the structure; `plain` is not written to, and outlives every call below.
        unsafe {
            (*stream).next_in = plain.as_ptr().cast_mut();
            (*stream).avail_in = length;
        }
        loop {
            out.reserve(OUTPUT_BYTES);
            let spare = out.spare_capacity_mut();
            let room = u32::try_from(spare.len()).unwrap_or(u32::MAX);
            // SAFETY: as above; zlib writes at most `room` bytes to the spare capacity, and says how many it left.
            let (code, left) = unsafe {
                (*stream).next_out = spare.as_mut_ptr().cast();
                (*stream).avail_out = room;
                let code = libz_sys::deflate(stream, flush);
                (code, (*stream).avail_out)
            };
            // SAFETY: zlib has written `room - left` bytes behind the vector's end.
            unsafe { out.set_len(out.len() + (room - left) as usize) };
            match code {
                // "if deflate returns with avail_out == 0, this function must be called again".
                libz_sys::Z_OK if left == 0 => {}
                // Nothing was left to do.
                libz_sys::Z_OK | libz_sys::Z_BUF_ERROR => return Ok(()),
                _ => return Err(io::Error::from(io::ErrorKind::InvalidData)),
            }
        }
    }
}

impl Drop for Deflater {
    fn drop(&mut self) {
        // SAFETY: `new` initialised the structure, and nobody uses it any more.
        unsafe { libz_sys::deflateEnd(self.0.as_mut_ptr()) };
    }
}

/// zlib's default.
const LEVEL: c_int = 6;
/// A window of 1 KiB: 7.5 to 1 on similar stanzas, where 32 KiB give 7.8 (CRATES.md section 4).
const WINDOW_BITS: c_int = 10;
const MEMORY_LEVEL: c_int = 2;
/// Room that is offered at a time.
const OUTPUT_BYTES: usize = 4 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compress, Compression, FlushCompress};

    fn codec() -> Box<Zlib> {
        with(Dictionary::Stream, limits::ELEMENT_BYTES_MAX)
    }

    fn with(dictionary: Dictionary, element_bytes: usize) -> Box<Zlib> {
        let codec = Codec {
            dictionary,
            element_bytes: element_bytes as u32,
        };
        Zlib::new(codec).expect("there is memory")
    }

    fn client(plain: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(plain.len() + 1_024);
        let mut deflate = Compress::new(Compression::best(), true);
        deflate
            .compress_vec(plain, &mut out, FlushCompress::Sync)
            .expect("there is room");
        out
    }

    fn opened(zlib: &mut Zlib, room: usize) -> (Vec<u8>, Then) {
        let mut all = Vec::new();
        loop {
            let mut out = vec![0; room];
            let (count, then) = zlib.open(&mut out);
            all.extend_from_slice(&out[..count]);
            if then != Then::Again || !zlib.holds_input() {
                return (all, then);
            }
        }
    }

    #[test]
    fn what_comes_in_pieces_is_read_in_pieces_of_any_size() {
        let plain = "<message><body>Soft! what light</body></message>".repeat(50);
        let compressed = client(plain.as_bytes());
        for (piece, room) in [(1, 7), (3, 1), (1_000, 64), (usize::MAX, 10_000)] {
            let mut zlib = codec();
            let mut all = Vec::new();
            for piece in compressed.chunks(piece.min(compressed.len())) {
                zlib.feed(piece, Then::Wait);
                let (bytes, then) = opened(&mut zlib, room);
                assert_eq!(then, Then::Wait);
                all.extend(bytes);
            }
            assert_eq!(all, plain.as_bytes());
            assert!(!zlib.holds_input());
        }
    }

    #[test]
    fn every_piece_that_is_sealed_can_be_read_at_once_and_small_windows_suffice() {
        for dictionary in [Dictionary::Stream, Dictionary::Sender] {
            let mut zlib = with(dictionary, limits::ELEMENT_BYTES_MAX);
            let mut peer = Decompress::new(true);
            let mut sent = 0;
            for number in 0..100 {
                // Before the first piece, too, and not behind each.
                if number % 3 == 0 {
                    zlib.rest();
                }
                let plain = format!(
                    "<message id='{number}'><body>{}</body></message>",
                    "a".repeat(number * 100)
                );
                let mut sealed = Vec::new();
                zlib.seal(plain.as_bytes(), &mut sealed)
                    .expect("zlib works");
                sent += sealed.len();
                let mut read = Vec::with_capacity(plain.len() + 1);
                peer.decompress_vec(&sealed, &mut read, FlushDecompress::Sync)
                    .expect("what zlib wrote it reads");
                assert_eq!(String::from_utf8(read).expect("UTF-8"), plain);
            }
            assert!(sent < 20_000, "{sent}");
        }
    }

    #[test]
    fn a_compressor_rests_only_behind_its_header_and_what_it_has_forgotten() {
        for (dictionary, rests) in [(Dictionary::Stream, false), (Dictionary::Sender, true)] {
            let mut zlib = with(dictionary, limits::ELEMENT_BYTES_MAX);
            zlib.rest();
            assert!(zlib.deflate.is_some());
            zlib.seal(b"<a/>", &mut Vec::new()).expect("zlib works");
            zlib.rest();
            assert_eq!(zlib.deflate.is_none(), rests);
        }
    }

    #[test]
    fn a_dictionary_that_is_forgotten_gives_no_secret_away() {
        let sealed = |dictionary| {
            let mut zlib = with(dictionary, limits::ELEMENT_BYTES_MAX);
            let mut lengths = Vec::new();
            for body in ["the secret is 7f3a9c21", "the secret is 7f3a9c21"] {
                let mut out = Vec::new();
                zlib.seal(body.as_bytes(), &mut out).expect("zlib works");
                lengths.push(out.len());
            }
            lengths
        };
        let (kept, forgotten) = (sealed(Dictionary::Stream), sealed(Dictionary::Sender));
        assert!(
            kept[1] + 10 < kept[0],
            "a guess that is right is shorter: {kept:?}"
        );
        // The first has the two bytes of the header.
        assert!(forgotten[1].abs_diff(forgotten[0]) <= 2, "{forgotten:?}");
    }

    #[test]
    fn what_becomes_nothing_is_counted_and_what_grows_is_not() {
        let mut zlib = codec();
        let plain = "<message><body>Soft! what light</body></message>".repeat(50);
        zlib.feed(&client(plain.as_bytes()), Then::Wait);
        assert_eq!(opened(&mut zlib, 10_000).0.len(), plain.len());
        assert_eq!(zlib.take_surplus(), 0);
        let nothing = b"\0\0\0\xff\xff".repeat(100);
        zlib.feed(&nothing, Then::Wait);
        assert_eq!(opened(&mut zlib, 10_000).0.len(), 0);
        assert_eq!(zlib.take_surplus(), nothing.len());
        assert_eq!(zlib.take_surplus(), 0);
    }

    #[test]
    fn a_bomb_is_cut_off_at_its_ratio_whatever_it_would_become() {
        let mut bomb = Vec::new();
        let mut deflate = Compress::new(Compression::best(), true);
        let zeros = vec![b' '; 1 << 20];
        for _ in 0..64 {
            bomb.reserve(1 << 16);
            deflate
                .compress_vec(&zeros, &mut bomb, FlushCompress::Sync)
                .expect("there is room");
        }
        let mut zlib = codec();
        let mut made = 0;
        let mut then = Then::Wait;
        for piece in bomb.chunks(4_096) {
            zlib.feed(piece, Then::Wait);
            let (bytes, next) = opened(&mut zlib, limits::READ_PER_TURN_BYTES);
            made += bytes.len();
            then = next;
            if then == Then::Garbled {
                break;
            }
        }
        assert_eq!(then, Then::Garbled);
        assert!(made < 2 << 20, "{made} bytes came out of it");
    }

    #[test]
    fn the_largest_element_of_the_configuration_passes_however_well_it_packs() {
        let plain = " ".repeat(4 * limits::ELEMENT_BYTES_MAX);
        let packed = client(plain.as_bytes());
        assert!(packed.len() * 200 < plain.len(), "{}", packed.len());
        for (element_bytes, passes) in [(limits::ELEMENT_BYTES_MAX, false), (plain.len(), true)] {
            let mut zlib = with(Dictionary::Stream, element_bytes);
            zlib.feed(&packed, Then::Wait);
            let (_, then) = opened(&mut zlib, limits::READ_PER_TURN_BYTES);
            assert_eq!(then == Then::Wait, passes, "{element_bytes}: {then:?}");
        }
    }

    #[test]
    fn what_is_no_zlib_is_garbled_and_what_ends_has_ended() {
        for bytes in [
            &b"<stream:stream>"[..],
            b"\x78\x9c\xff\xff\xff\xff",
            b"\x78\xbb\0\0\0\0\0",
        ] {
            let mut zlib = codec();
            zlib.feed(bytes, Then::Wait);
            assert_eq!(opened(&mut zlib, 100).1, Then::Garbled, "{bytes:x?}");
        }
        let mut whole = Vec::with_capacity(100);
        Compress::new(Compression::fast(), true)
            .compress_vec(b"<a/>", &mut whole, FlushCompress::Finish)
            .expect("there is room");
        let mut zlib = codec();
        zlib.feed(&whole, Then::Wait);
        let end = Then::End(CloseReason::EndOfStream);
        assert_eq!(opened(&mut zlib, 100), (b"<a/>".to_vec(), end));
        // Cut anywhere it is merely not complete.
        for cut in 0..whole.len() - 1 {
            let mut zlib = codec();
            zlib.feed(&whole[..cut], Then::Wait);
            assert_eq!(opened(&mut zlib, 100).1, Then::Wait, "cut at {cut}");
        }
    }

    proptest::proptest! {
        /// A parser in C reads what any user sends: any bytes behind a good beginning, in any pieces, with any room.
        #[test]
        fn any_bytes_are_opened_or_refused_and_all_that_is_opened_is_counted(
            begins in proptest::bool::ANY,
            bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..2_000),
            piece in 1_usize..300,
            room in 1_usize..300,
        ) {
            let mut zlib = codec();
            let mut input = match begins {
                true => client(b"<stream:stream xmlns='jabber:client'>"),
                false => vec![0x78, 0x9c],
            };
            input.extend(bytes);
            let (mut read, mut made, mut surplus) = (0, 0, 0);
            for piece in input.chunks(piece) {
                zlib.feed(piece, Then::Wait);
                let (bytes, then) = opened(&mut zlib, room);
                read += piece.len();
                made += bytes.len();
                surplus += zlib.take_surplus();
                proptest::prop_assert!(made <= read * 100 + limits::ELEMENT_BYTES_MAX);
                proptest::prop_assert!(surplus <= read);
                match then {
                    Then::Wait => proptest::prop_assert!(surplus + made >= read.saturating_sub(piece.len())),
                    Then::Garbled | Then::End(_) => break,
                    Then::Again | Then::Broken => proptest::prop_assert!(false, "{then:?}"),
                }
            }
        }
    }
}
