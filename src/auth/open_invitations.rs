//! Invitations as their operator sees them: listed, and taken back. Refuses to know who asks.

use super::accounts::Accounts;
use super::admin::AccountError;
use crate::actor::rows::{RowKey, RowRange, Write};
use crate::base::limits;
use crate::im::credentials::name_key;
use crate::im::invitation::{self, INVITATION, Invitation, RESERVATION};

/// An invitation, without its token: nobody knows that but who made it and who has it.
#[derive(Debug)]
pub struct KnownInvitation {
    key: RowKey,
    pub invitation: Invitation,
}

impl KnownInvitation {
    /// What names it: the first digits of the digest of its token.
    pub fn id(&self) -> String {
        let digest = self.key.as_bytes().iter().skip(OWNER_BYTES).take(ID_BYTES);
        digest.map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Each of these blocks on the store.
impl Accounts {
    /// A page of all invitations, those behind `after`, and whether there are more. What was over lately is among them.
    ///
    /// # Errors
    /// `Store`.
    pub fn invitations(
        &self,
        after: Option<&KnownInvitation>,
    ) -> Result<(Vec<KnownInvitation>, bool), AccountError> {
        let range = RowRange {
            from: match after {
                Some(known) => known.key.clone().then(&[0]),
                None => RowKey::new(&[]),
            },
            to: RowKey::new(&[u8::MAX; OWNER_BYTES + DIGEST_BYTES + 1]),
            count_max: limits::INVITATIONS_READ_MAX,
            bytes_max: limits::RANGE_BYTES_MAX,
        };
        let (rows, more) = (self.rows.range)(&INVITATION, &range)?;
        let known = rows.into_iter().filter_map(|row| {
            Some(KnownInvitation {
                key: row.key,
                invitation: Invitation::decode(&row.value)?,
            })
        });
        Ok((known.collect(), more))
    }

    /// Takes back the invitation that this names: its id, its token, or an address that carries that.
    ///
    /// # Errors
    /// `Unknown` (also if an id names several), `Store`.
    pub fn withdraw(&self, named: &str) -> Result<KnownInvitation, AccountError> {
        let (_, behind) = named.split_once("preauth=").unwrap_or(("", named));
        let token = behind.split(';').next().unwrap_or_default();
        let digest = invitation::digest(token);
        let _writing = self.writing.lock();
        let mut found = Vec::new();
        let mut after: Option<KnownInvitation> = None;
        loop {
            let (page, more) = self.invitations(after.as_ref())?;
            let mut rest = page.into_iter().peekable();
            after = None;
            while let Some(known) = rest.next() {
                let is_last = rest.peek().is_none();
                let is_meant = known.id() == named || known.key.as_bytes()[OWNER_BYTES..] == digest;
                if is_last && more {
                    after = Some(KnownInvitation {
                        key: known.key.clone(),
                        invitation: known.invitation.clone(),
                    });
                }
                if is_meant {
                    found.push(known);
                }
            }
            if after.is_none() {
                break;
            }
        }
        let (Some(known), true) = (found.pop(), found.is_empty()) else {
            return Err(AccountError::Unknown);
        };
        (self.rows.save)(self.writes_of_withdrawal(&known)?)?;
        Ok(known)
    }

    fn writes_of_withdrawal(&self, known: &KnownInvitation) -> Result<Vec<Write>, AccountError> {
        let mut writes = vec![Write::Delete {
            table: &INVITATION,
            key: known.key.clone(),
        }];
        let Invitation {
            host, localpart, ..
        } = &known.invitation;
        if let Some(localpart) = localpart {
            let key = name_key(host, localpart);
            let reservation = (self.rows.row)(&RESERVATION, &key)?;
            if reservation.is_some_and(|value| invitation::is_kept_by(&value, &known.key)) {
                writes.push(Write::Delete {
                    table: &RESERVATION,
                    key,
                });
            }
        }
        Ok(writes)
    }
}

/// Of a key: the owner, then a SHA-256.
const OWNER_BYTES: usize = 8;
const DIGEST_BYTES: usize = 32;
/// Enough to tell the invitations of a server from each other.
const ID_BYTES: usize = 6;
