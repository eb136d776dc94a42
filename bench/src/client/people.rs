//! Who the users of a run are: addresses and passwords made from numbers. It knows nothing of servers.

/// The password of every user of a run that names no other.
pub const PASSWORD: &str = "pencil";

/// Users with numbers: `u00000@localhost` and up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct People {
    pub domain: String,
    /// What names begin with.
    pub prefix: String,
    /// Digits of the number behind it, with leading zeros, so that all names have one length.
    pub digits: usize,
    pub password: String,
    /// The resource that every session binds.
    pub resource: String,
}

impl People {
    /// As `stonechat-bench` makes them.
    pub fn of_bench() -> Self {
        Self {
            domain: "localhost".to_owned(),
            prefix: "u".to_owned(),
            digits: 5,
            password: PASSWORD.to_owned(),
            resource: super::message::RESOURCE.to_owned(),
        }
    }

    /// The local part of a user's address.
    pub fn name(&self, user: u32) -> String {
        format!("{}{user:0digits$}", self.prefix, digits = self.digits)
    }

    pub fn bare(&self, user: u32) -> String {
        format!("{}@{}", self.name(user), self.domain)
    }

    pub fn full(&self, user: u32) -> String {
        format!("{}/{}", self.bare(user), self.resource)
    }

    /// The user whose address this is, with a resource or without.
    pub fn number(&self, address: &[u8]) -> Option<u32> {
        let digits = address.strip_prefix(self.prefix.as_bytes())?;
        let at = memchr::memchr(b'@', digits)?;
        let domain = digits[at + 1..].strip_prefix(self.domain.as_bytes())?;
        let is_ours = domain.is_empty() || domain[0] == b'/';
        let number = std::str::from_utf8(&digits[..at]).ok()?.parse().ok()?;
        (is_ours && digits[..at].len() >= self.digits).then_some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_found_again_in_its_address() {
        let people = People::of_bench();
        assert_eq!(people.full(42), "u00042@localhost/b");
        assert_eq!(people.number(people.full(42).as_bytes()), Some(42));
        assert_eq!(
            people.number(people.bare(123_456).as_bytes()),
            Some(123_456)
        );
        for other in [
            "u42@localhost",
            "u00042@localhost.example",
            "x00042@localhost",
            "localhost",
        ] {
            assert_eq!(people.number(other.as_bytes()), None, "{other}");
        }
    }
}
