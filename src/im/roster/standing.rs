//! What stands between an account and a contact (RFC 6121 appendix A.1), with the two facts that are no part of
//! the nine states: whether the user sees an item, and whether a request is approved before it comes.

/// All of it, one byte in rows and in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The user has a subscription to the contact's presence.
    pub to: bool,
    /// The contact has a subscription to the user's presence.
    pub from: bool,
    /// "Pending Out": the user asked for one.
    pub ask: bool,
    /// "Pending In": the contact asked for one.
    pub pending_in: bool,
    /// Section 3.4: what the contact will ask for is granted.
    pub approved: bool,
    /// The user has an item for the contact; without it, what is known is the server's own affair.
    pub listed: bool,
}

impl Standing {
    /// As one byte.
    pub fn bits(self) -> u8 {
        let flags = [
            self.to,
            self.from,
            self.ask,
            self.pending_in,
            self.approved,
            self.listed,
        ];
        let bit = |(at, flag): (usize, bool)| u8::from(flag) << at;
        flags.into_iter().enumerate().map(bit).sum()
    }

    /// From [`Standing::bits`]; none for any other byte.
    pub fn from_bits(bits: u8) -> Option<Standing> {
        let flag = |at: u8| bits & 1 << at != 0;
        (bits < 1 << COUNT).then(|| Standing {
            to: flag(0),
            from: flag(1),
            ask: flag(2),
            pending_in: flag(3),
            approved: flag(4),
            listed: flag(5),
        })
    }

    /// What either says.
    pub fn or(self, other: Standing) -> Standing {
        Standing {
            to: self.to || other.to,
            from: self.from || other.from,
            ask: self.ask || other.ask,
            pending_in: self.pending_in || other.pending_in,
            approved: self.approved || other.approved,
            listed: self.listed || other.listed,
        }
    }

    /// The value of the 'subscription' attribute (section 2.1.2.5).
    pub fn subscription(self) -> &'static str {
        match (self.to, self.from) {
            (false, false) => "none",
            (true, false) => "to",
            (false, true) => "from",
            (true, true) => "both",
        }
    }
}

/// Flags of a standing.
pub const COUNT: u8 = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_below_the_flags_is_a_standing_of_its_own() {
        for bits in 0..1 << COUNT {
            assert_eq!(Standing::from_bits(bits).map(Standing::bits), Some(bits));
        }
        assert_eq!(Standing::from_bits(1 << COUNT), None);
    }
}
