//! What can be said of a record without its keys: where it ends, and which suite a ClientHello names first. Refuses to
//! know what is in any other.

/// The length of the first record in `bytes` with its header, once it is whole. What cannot be a record
/// is handed over as it is, so that rustls makes the alert.
pub(super) fn record_bytes(bytes: &[u8]) -> Option<usize> {
    let header = bytes.get(..RECORD_HEADER_BYTES)?;
    let body_bytes = usize::from(u16::from_be_bytes([header[3], header[4]]));
    // RFC 8446 section 5.1: content types 20 to 23, and "legacy_record_version" 3.x on the wire.
    let plausible =
        matches!(header[0], 20..=23) && header[1] == 3 && body_bytes <= RECORD_BODY_BYTES_MAX;
    if !plausible {
        return Some(bytes.len());
    }
    let length = RECORD_HEADER_BYTES + body_bytes;
    (bytes.len() >= length).then_some(length)
}

/// Whether the first suite in a ClientHello is one of ChaCha20. Who sends anything else, or a part of one, has told no
/// preference.
pub(super) fn prefers_chacha(record: &[u8]) -> bool {
    // RFC 8446 section 4.1.2, behind the headers of record and message: version and random, then the session's id.
    let suites = || -> Option<&[u8]> {
        let hello = record.get(RECORD_HEADER_BYTES + MESSAGE_HEADER_BYTES + 2 + 32..)?;
        let (&id_bytes, rest) = hello.split_first()?;
        let (length, rest) = rest.get(usize::from(id_bytes)..)?.split_first_chunk()?;
        rest.get(..usize::from(u16::from_be_bytes(*length)))
    };
    let is_hello = record.first() == Some(&22) && record.get(RECORD_HEADER_BYTES) == Some(&1);
    let suites = is_hello.then(suites).flatten().unwrap_or_default();
    let mut suites = suites.chunks_exact(2).map(|pair| [pair[0], pair[1]]);
    // RFC 8701: 0x0A0A, 0x1A1A and so on stand for suites that nobody knows.
    let is_real = |suite: &[u8; 2]| suite[0] != suite[1] || suite[0] & 0x0f != 0x0a;
    matches!(
        suites.find(is_real),
        Some([0x13, 0x03] | [0xcc, 0xa8] | [0xcc, 0xa9])
    )
}

const RECORD_HEADER_BYTES: usize = 5;
/// RFC 8446 section 4: of a handshake message.
const MESSAGE_HEADER_BYTES: usize = 4;
/// RFC 5246 section 6.2.3: "The length MUST NOT exceed 2^14 + 2048"; TLS 1.3 allows less.
const RECORD_BODY_BYTES_MAX: usize = 16_384 + 2_048;
/// Longest record that may wait unfinished.
pub const PARTIAL_BYTES_MAX: usize = RECORD_HEADER_BYTES + RECORD_BODY_BYTES_MAX;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hello_that_is_cut_or_is_none_tells_no_preference() {
        let mut hello = vec![22, 3, 1, 0, 0, 1, 0, 0, 0, 3, 3];
        hello.extend([7; 32]);
        hello.extend([2, 9, 9, 0, 6, 0x1a, 0x1a, 0x13, 0x03, 0x13, 0x01]);
        assert!(prefers_chacha(&hello));
        for length in 0..hello.len() {
            assert!(!prefers_chacha(&hello[..length]), "{length}");
        }
        let mut other = hello.clone();
        other[5] = 2;
        assert!(!prefers_chacha(&other));
        let end = hello.len();
        hello.swap(end - 3, end - 1);
        assert!(!prefers_chacha(&hello));
    }
}
