//! Prepared addresses in one block of memory, for an audience: fifty of them are two allocations, not fifty.

use super::Jid;

/// Addresses in the order in which they came, repetitions included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JidList {
    text: String,
    /// Where each ends.
    ends: Vec<u32>,
}

impl JidList {
    /// Adds an address.
    pub fn push(&mut self, jid: &Jid) {
        self.push_prepared(jid.as_str());
    }

    /// Adds the address that this text is, which was prepared before.
    pub fn push_prepared(&mut self, text: &str) {
        self.text.push_str(text);
        self.end();
    }

    /// Adds the bare address of these parts, which were prepared before.
    pub fn push_parts(&mut self, localpart: &str, domainpart: &str) {
        self.text.push_str(localpart);
        self.text.push('@');
        self.text.push_str(domainpart);
        self.end();
    }

    fn end(&mut self) {
        let end = u32::try_from(self.text.len());
        self.ends
            .push(end.expect("a roster is bounded far below 4 GiB"));
    }

    /// Their texts.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let mut start = 0;
        self.ends.iter().map(move |&end| {
            let text = &self.text[start..end as usize];
            start = end as usize;
            text
        })
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes of memory beside the struct itself.
    pub fn bytes(&self) -> usize {
        self.text.len() + self.ends.len() * size_of::<u32>()
    }

    /// Takes out the addresses of this bare address, with a resource or without, in their order.
    pub fn take_of(&mut self, bare: &str) -> JidList {
        let is_its = |text: &str| match text.strip_prefix(bare) {
            Some(rest) => rest.is_empty() || rest.starts_with('/'),
            None => false,
        };
        let mut taken = JidList::default();
        if !self.iter().any(is_its) {
            return taken;
        }
        let mut kept = JidList::default();
        for text in self.iter() {
            match is_its(text) {
                true => taken.push_prepared(text),
                false => kept.push_prepared(text),
            }
        }
        *self = kept;
        taken
    }

    /// Keeps so many, and gives the others.
    pub fn split_off(&mut self, at: usize) -> JidList {
        let mut rest = JidList::default();
        for text in self.iter().skip(at) {
            rest.push_prepared(text);
        }
        self.ends.truncate(at);
        self.text
            .truncate(self.ends.last().map_or(0, |&end| end as usize));
        rest
    }
}

impl<'a> FromIterator<&'a Jid> for JidList {
    fn from_iter<T: IntoIterator<Item = &'a Jid>>(jids: T) -> JidList {
        let mut list = JidList::default();
        for jid in jids {
            list.push(jid);
        }
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_keeps_order_and_can_be_split() {
        let mut list = JidList::default();
        list.push_parts("romeo", "example.net");
        list.push(&Jid::parse("juliet@example.com/balcony").expect("valid"));
        list.push_prepared("example.org");
        let rest = list.clone().split_off(1);
        let texts: Vec<&str> = rest.iter().collect();
        assert_eq!(texts, ["juliet@example.com/balcony", "example.org"]);
        assert_eq!(list.split_off(1), rest);
        assert_eq!(list.iter().collect::<Vec<_>>(), ["romeo@example.net"]);
        assert_eq!(list.len(), 1);
        assert!(list.split_off(0).len() == 1 && list.is_empty());
        assert_eq!(list.bytes(), 0);
    }

    #[test]
    fn the_addresses_of_one_account_can_be_taken_out() {
        let mut list = JidList::default();
        for text in ["a@b", "c@d/1", "c@d.e", "c@d", "c@d/2"] {
            list.push_prepared(text);
        }
        let taken = list.take_of("c@d");
        assert_eq!(taken.iter().collect::<Vec<_>>(), ["c@d/1", "c@d", "c@d/2"]);
        assert_eq!(list.iter().collect::<Vec<_>>(), ["a@b", "c@d.e"]);
        assert!(list.take_of("c@d").is_empty());
        assert_eq!(list.len(), 2);
    }
}
