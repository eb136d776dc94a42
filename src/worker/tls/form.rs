//! The form of a record of TLS 1.3 (RFC 8446 sections 5.1 and 5.2): where one ends, and one made of its content. Refuses to know what
//! its content says, and what follows from what is wrong.

use ring::aead::{Aad, LessSafeKey};
use ring::error::Unspecified;

use super::traffic::Traffic;

/// A whole record as it came.
pub(super) struct Sealed<'a> {
    pub header: [u8; RECORD_HEADER_BYTES],
    pub body: &'a [u8],
}

/// The first record, once it is whole.
pub(super) fn first_record(bytes: &[u8]) -> Result<Option<Sealed<'_>>, Alert> {
    let Some((header, rest)) = bytes.split_first_chunk() else {
        return Ok(None);
    };
    let [kind, _, _, high, low] = *header;
    // Section 5.2: "The outer opaque_type field of a TLSCiphertext record is always set to the value 23". A change_cipher_spec
    // "after the peer's Finished message [...] MUST be treated as an unexpected record type" (section 5).
    if kind != APPLICATION_DATA {
        return Err(Alert::UnexpectedMessage);
    }
    // Section 5.2: "An endpoint that receives a record that exceeds this length MUST terminate the connection with a
    // "record_overflow" alert."
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > SEALED_BYTES_MAX {
        return Err(Alert::RecordOverflow);
    }
    let body = rest.get(..length);
    Ok(body.map(|body| Sealed {
        header: *header,
        body,
    }))
}

/// Appends one record. If it cannot be sealed, nothing of it is left there.
pub(super) fn seal_record(
    key: &LessSafeKey,
    traffic: &mut Traffic,
    kind: u8,
    content: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Unspecified> {
    let length = u16::try_from(content.len() + 1 + TAG_BYTES).map_err(|_| Unspecified)?;
    let [high, low] = length.to_be_bytes();
    let header = [APPLICATION_DATA, 3, 3, high, low];
    let nonce = traffic.next_nonce()?;
    let start = out.len();
    out.extend_from_slice(&header);
    out.extend_from_slice(content);
    out.push(kind);
    let inner = &mut out[start + RECORD_HEADER_BYTES..];
    match key.seal_in_place_separate_tag(nonce, Aad::from(header), inner) {
        Ok(tag) => out.extend_from_slice(tag.as_ref()),
        Err(error) => {
            out.truncate(start);
            return Err(error);
        }
    }
    Ok(())
}

/// RFC 8446 section 6: those that we send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Alert {
    CloseNotify = 0,
    UnexpectedMessage = 10,
    BadRecordMac = 20,
    RecordOverflow = 22,
    IllegalParameter = 47,
    DecodeError = 50,
    InternalError = 80,
}

/// RFC 8446 section 5.1.
pub(super) const ALERT: u8 = 21;
pub(super) const HANDSHAKE: u8 = 22;
pub(super) const APPLICATION_DATA: u8 = 23;
pub(super) const RECORD_HEADER_BYTES: usize = 5;
/// Of content: "The length MUST NOT exceed 2^14 bytes" (section 5.1).
pub(super) const FRAGMENT_BYTES_MAX: usize = 1 << 14;
/// Of what is sealed: "The length MUST NOT exceed 2^14 + 256 bytes" (section 5.2).
pub(super) const SEALED_BYTES_MAX: usize = FRAGMENT_BYTES_MAX + 256;
/// What all three AEADs add.
pub(super) const TAG_BYTES: usize = 16;
/// What a record is longer than its content.
pub(super) const RECORD_EXTRA_BYTES: usize = RECORD_HEADER_BYTES + 1 + TAG_BYTES;
