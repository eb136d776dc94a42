//! What is in archives when all is over.

use super::*;

impl Judge {
    /// What is in the archive of each account, oldest first, by number: every acknowledged message is in both archives,
    /// once, in the order in which its sender sent it, but for the oldest where there are more than may be; and of what was
    /// retracted nothing is left.
    pub fn archives(&self, archives: &[Vec<Entry>]) {
        let mut found: Vec<BTreeSet<usize>> = Vec::new();
        for (account, archive) in archives.iter().enumerate() {
            let mut seen = BTreeSet::new();
            let mut newest = BTreeMap::new();
            for entry in archive {
                let number = entry.number;
                let message = &self.messages[number];
                let sender = self.sessions[message.sender].account;
                assert!(
                    sender == account || message.to == Some(account),
                    "message {number} is in the archive of u{account}, whom it does not concern"
                );
                assert!(
                    seen.insert(number),
                    "message {number} is twice in the archive of u{account}"
                );
                if message.again_of.is_some() {
                    continue;
                }
                let before = newest.insert(self.line(number), number);
                assert!(
                    before.is_none_or(|before| before < number),
                    "message {number} is behind {before:?} of the same sender in the archive of u{account}"
                );
            }
            self.retractions(account, archive);
            found.push(seen);
        }
        if self.had_faults {
            return;
        }
        for (number, message) in self.messages.iter().enumerate() {
            let claimed = match message.claim {
                Claim::None => false,
                Claim::Held { life } => life == self.life,
                Claim::Acknowledged => true,
            };
            if self.is_between_strangers(message) {
                continue;
            }
            let sender = self.sessions[message.sender].account;
            let owners = [Some(sender), message.to.filter(|_| !message.bounced)];
            for account in owners.into_iter().flatten().filter(|_| claimed) {
                assert!(
                    found[account].contains(&number) || self.was_trimmed(&found[account], number),
                    "message {number} is not in the archive of u{account}: {message:?}"
                );
            }
        }
    }

    /// "Any such deleted messages MUST be the oldest in the archive" (XEP-0313 section 3.2): whether this one may have
    /// gone, in an archive that is as full as it may be and has nothing older of the same line.
    pub(super) fn was_trimmed(&self, archive: &BTreeSet<usize>, number: usize) -> bool {
        let line = self.line(number);
        let mut older = archive.range(..number);
        let is_full = self.quota.is_some_and(|(most, _)| archive.len() >= most);
        is_full && older.all(|&other| self.line(other) != line)
    }

    /// What was retracted is a notice from the retraction on, which is there itself; and nothing else is.
    pub(super) fn retractions(&self, account: usize, archive: &[Entry]) {
        for (at, entry) in archive.iter().enumerate() {
            let number = entry.number;
            if let Some(by) = entry.retracted_by {
                assert_eq!(
                    self.messages[by].retracts,
                    Some(number),
                    "message {number} was retracted by {by} in the archive of u{account}"
                );
                let mut behind = archive[at..].iter();
                assert!(
                    behind.any(|later| later.number == by),
                    "message {number} is retracted in the archive of u{account}, which does not have {by}"
                );
            }
            let mut behind = archive[at..].iter();
            let is_retracted =
                behind.any(|later| self.messages[later.number].retracts == Some(number));
            assert!(
                entry.retracted_by.is_some() || !is_retracted,
                "message {number} was retracted and stands in the archive of u{account}"
            );
        }
        if let Some((most, more)) = self.quota.filter(|_| !self.had_faults) {
            assert!(
                archive.len() <= most + more,
                "the archive of u{account} has {} messages",
                archive.len()
            );
        }
    }
}
