//! The UID of an archived message: where it lies, and what nobody can guess.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::base::Seal;

/// "A server-assigned UID that MUST be unpredictable and unique within the archive" (XEP-0313 section 3): the number
/// says which row it is, so that a page begins without a search; the tag is random and stands in the row. Clients see
/// both sealed: "Entities observing the value MUST NOT be able to infer any information from it" (XEP-0359 section 6),
/// and the number is a time and a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArchiveId {
    pub number: u64,
    pub tag: u64,
}

impl ArchiveId {
    /// The UID that a client gives back; none if it cannot be one of ours.
    pub fn parse(text: &str, seal: &Seal) -> Option<ArchiveId> {
        let mut bytes = [0; 16];
        let length = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
        let is_whole = length == bytes.len();
        is_whole.then(|| ArchiveId::from_bytes(&seal.open(bytes)))?
    }

    /// The UID as clients see it.
    pub fn text(self, seal: &Seal) -> String {
        let letters = self.letters(seal);
        letters.iter().copied().map(char::from).collect()
    }

    /// The same in ASCII.
    pub fn letters(self, seal: &Seal) -> [u8; 22] {
        let mut letters = [0; 22];
        let sealed = seal.close(self.to_bytes());
        let length = URL_SAFE_NO_PAD.encode_slice(sealed, &mut letters);
        // Four letters for each three bytes.
        debug_assert_eq!(length.ok(), Some(letters.len()));
        letters
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_comes_back_as_it_went() {
        let id = ArchiveId {
            number: 0x0123_4567_89ab_cdef,
            tag: u64::MAX - 1,
        };
        let seal = Seal::new(&[7; 16]);
        let text = id.text(&seal);
        assert_eq!(ArchiveId::parse(&text, &seal), Some(id));
        assert_eq!(text.len(), 22);
        assert_ne!(ArchiveId::parse(&text, &Seal::new(&[8; 16])), Some(id));
    }

    #[test]
    fn ids_of_neighbours_have_nothing_in_common() {
        let seal = Seal::new(&[7; 16]);
        let ids = (0..1_000).map(|number| ArchiveId { number, tag: 5 });
        let texts: Vec<String> = ids.map(|id| id.text(&seal)).collect();
        // Of 64 letters at each place, two agree once in 64 times: 344 places of 22,000.
        let pairs = texts.windows(2);
        let same = pairs.map(|pair| {
            pair[0]
                .bytes()
                .zip(pair[1].bytes())
                .filter(|(a, b)| a == b)
                .count()
        });
        let same: usize = same.sum();
        assert!(same < 700, "{same} letters are as in the id before");
        let mut sorted = texts.clone();
        sorted.sort();
        assert_ne!(sorted, texts, "their order is not that of the messages");
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
            assert_eq!(ArchiveId::parse(text, &Seal::new(&[7; 16])), None, "{text}");
        }
    }
}
