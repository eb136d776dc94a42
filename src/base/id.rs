//! The small numbers that name things: workers, partitions, accounts, sessions, traces.

use std::fmt;

/// A worker thread of this node, counted from zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkerId(pub u8);

impl WorkerId {
    /// The worker's place in arrays that hold one thing per worker.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// One of [`Partition::COUNT`] slices of all bare JIDs, rooms and domains. Partitions, not hashes, are
/// assigned to workers, so that neither stored data nor a cluster depends on the number of cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Partition(u16);

impl Partition {
    /// Number of partitions: fixed for ever, because a cluster assigns them by number.
    pub const COUNT: u16 = 1024;

    /// The partition of something whose keyed hash is `hash`.
    pub fn of_hash(hash: u64) -> Partition {
        // The remainder is below 1,024 and so fits.
        Partition((hash % u64::from(Self::COUNT)) as u16)
    }

    /// The partition's place in arrays of [`Partition::COUNT`].
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// The immutable number of an account. A name may be removed and registered again; the number is never
/// given twice, so nothing that belongs to the old account falls to the new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId(pub u64);

/// Counts the changes of an account's password and rights. Tokens carry the generation under which they
/// were made and are refused under any other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Generation(pub u32);

impl Generation {
    /// The one that a change makes of it.
    pub fn next(self) -> Generation {
        Generation(self.0.wrapping_add(1))
    }

    /// Whether changes have made the other of it. They begin anew behind the last number.
    pub fn is_before(self, other: Generation) -> bool {
        let count = other.0.wrapping_sub(self.0);
        count != 0 && count <= u32::MAX / 2
    }
}

/// A bound resource, unique within its worker's lifetime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub u64);

/// What a client calls its installation (RFC 9562).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uuid([u8; 16]);

impl Uuid {
    /// Its 16 bytes.
    pub fn bytes(self) -> [u8; 16] {
        self.0
    }

    /// The one of these bytes, as [`Uuid::bytes`] gave them.
    pub fn from_bytes(bytes: [u8; 16]) -> Uuid {
        Uuid(bytes)
    }

    /// Reads a random (version 4) UUID, `xxxxxxxx-xxxx-4xxx-xxxx-xxxxxxxxxxxx` in any case; none for anything
    /// else: other versions may be the same on two machines.
    pub fn parse_v4(text: &str) -> Option<Uuid> {
        let is_hyphen = |at: usize| matches!(at, 8 | 13 | 18 | 23);
        let shaped = |(at, byte): (usize, u8)| match is_hyphen(at) {
            true => byte == b'-',
            false => byte.is_ascii_hexdigit(),
        };
        if text.len() != 36 || !text.bytes().enumerate().all(shaped) || text.as_bytes()[14] != b'4'
        {
            return None;
        }
        let digits: String = text.chars().filter(|digit| *digit != '-').collect();
        let number = u128::from_str_radix(&digits, 16).ok()?;
        Some(Uuid(number.to_be_bytes()))
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = format!("{:032x}", u128::from_be_bytes(self.0));
        let groups = [0..8, 8..12, 12..16, 16..20, 20..32];
        let groups: Vec<&str> = groups.into_iter().map(|group| &digits[group]).collect();
        f.write_str(&groups.join("-"))
    }
}

/// Given to a stanza when it enters and to everything that it causes, so that one search through the log
/// follows a message over workers and nodes. The high byte names the worker that gave it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TraceId(pub u64);

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

/// What an attacker can hold cheaply counts as one address: an IPv4 address, or an IPv6 /64. The shell
/// makes it from the socket; the core only compares it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AddressPrefix {
    /// All four octets.
    V4([u8; 4]),
    /// The first 64 bits.
    V6([u8; 8]),
    /// No address at all: the simulator, a unix socket.
    Local,
}

slotmap::new_key_type! {
    /// A stream of one worker; a stale key finds nothing.
    pub struct StreamKey;
    /// An account (later also a room) that is resident on one worker; a stale key finds nothing.
    pub struct ActorKey;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_random_uuid_is_the_same_in_any_case_and_nothing_else_is_one() {
        let upper = Uuid::parse_v4("D4565FA7-4D72-4749-B3D3-740EDBF87770");
        assert!(upper.is_some());
        let written = upper.map(|uuid| uuid.to_string());
        assert_eq!(
            written.as_deref(),
            Some("d4565fa7-4d72-4749-b3d3-740edbf87770")
        );
        assert_eq!(
            upper,
            Uuid::parse_v4("d4565fa7-4d72-4749-b3d3-740edbf87770")
        );
        assert_ne!(
            upper,
            Uuid::parse_v4("d4565fa7-4d72-4749-b3d3-740edbf87771")
        );
        for text in [
            "",
            "phone",
            "d4565fa7-4d72-1749-b3d3-740edbf87770",
            "d4565fa74d724749b3d3740edbf87770",
            "d4565fa7-4d72-4749-b3d3-740edbf8777",
            "d4565fa7-4d72-4749-b3d3-740edbf8777g",
            "+4565fa7-4d72-4749-b3d3-740edbf87770",
            "d4565fa7-4d72-4749-b3d3-740edbf8\u{1f600}",
        ] {
            assert_eq!(Uuid::parse_v4(text), None, "{text}");
        }
    }
}
