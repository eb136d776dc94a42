//! The UID of an archived message: where it lies, and what nobody can guess.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// "A server-assigned UID that MUST be unpredictable and unique within the archive" (XEP-0313 section 3): the number
/// says which row it is, so that a page begins without a search; the tag is random and stands in the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArchiveId {
    pub number: u64,
    pub tag: u64,
}

impl ArchiveId {
    /// The UID that a client gives back; none if it is none of ours.
    pub fn parse(text: &str) -> Option<ArchiveId> {
        let mut bytes = [0; 16];
        let length = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
        ArchiveId::from_bytes(&bytes[..length])
    }

    /// The UID of these bytes; none if they are not as many as [`ArchiveId::to_bytes`] gives.
    pub fn from_bytes(bytes: &[u8]) -> Option<ArchiveId> {
        let (number, tag) = bytes.split_first_chunk::<8>()?;
        Some(ArchiveId {
            number: u64::from_be_bytes(*number),
            tag: u64::from_be_bytes(tag.try_into().ok()?),
        })
    }

    /// Its bytes.
    pub fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.number.to_be_bytes());
        bytes[8..].copy_from_slice(&self.tag.to_be_bytes());
        bytes
    }
}

impl fmt::Display for ArchiveId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.to_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_comes_back_as_it_went() {
        let id = ArchiveId {
            number: 0x0123_4567_89ab_cdef,
            tag: u64::MAX - 1,
        };
        assert_eq!(ArchiveId::parse(&id.to_string()), Some(id));
        assert_eq!(id.to_string().len(), 22);
    }

    #[test]
    fn what_is_no_id_is_none() {
        for text in [
            "",
            "28482-98726-73623",
            "AAAA",
            "????",
            &"A".repeat(23),
            &"A".repeat(400),
        ] {
            assert_eq!(ArchiveId::parse(text), None, "{text}");
        }
    }
}
