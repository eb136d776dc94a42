//! Invitations (XEP-0401) made, found and used up. Refuses to know elements and commands: the operator's tool asks
//! here, and so will the ad hoc commands of that XEP.
//!
//! A token is a masked number of its owner and 128 random bits, so that one row is looked for and not all.

use super::accounts::Accounts;
use super::admin::AccountError;
use crate::actor::Tell;
use crate::actor::auth::{AccountAnswer, ScramHash};
use crate::actor::rows::{RowKey, StoreError, Write};
use crate::base::{AccountId, Now, Secret, Sequence, limits};
use crate::im::credentials::{AccountRow, AccountState, name_key};
use crate::im::invitation::{self, INVITATION, Invitation, OPERATOR, RESERVATION};
use crate::im::outgoing;
use crate::im::roster::{Head, Numbers, ROSTER, RosterItem, Standing, head_key};
use crate::im::subscription::invited;
use crate::jid::Jid;
use crate::stream::sasl::digest::hmac;

/// What an invitation shall be good for. Names are prepared.
#[derive(Clone, Debug)]
pub struct InviteWish {
    /// Where it registers.
    pub host: String,
    /// The account whose contact they become who come by it.
    pub contact: Option<Jid>,
    /// The only name that may be taken; it is kept for who comes.
    pub localpart: Option<String>,
    pub uses: u32,
    pub expires_in_ms: u64,
    /// Whether it registers, where the host allows it.
    pub registers: bool,
}

/// An invitation that was made.
#[derive(Debug)]
pub struct Invited {
    pub token: Secret,
    pub expires_wall_ms: u64,
}

/// A token's row as it was found.
pub(super) struct Found {
    pub key: RowKey,
    pub invitation: Invitation,
    /// Whose it is, unless the operator's.
    pub inviter: Option<AccountId>,
}

/// Each of these blocks on the store.
impl Accounts {
    /// Makes an invitation.
    ///
    /// # Errors
    /// `Unknown` (the contact is no account that may log in), `Exists` and `Tombstoned` (the name is taken),
    /// `TooManyInvitations`, `Store`.
    pub fn invite(&self, wish: &InviteWish, now: Now) -> Result<Invited, AccountError> {
        let _writing = self.writing.lock();
        let owner = match &wish.contact {
            None => OPERATOR,
            Some(contact) => {
                let localpart = contact.localpart().unwrap_or_default();
                let row = self.load(contact.domainpart(), localpart)?;
                let row = row.filter(|row| row.state == AccountState::Enabled);
                row.ok_or(AccountError::Unknown)?.account.id
            }
        };
        if let Some(localpart) = &wish.localpart {
            self.check_free(&wish.host, localpart, None, now)?;
        }
        let mut writes = self.make_room_for_invitation(owner, now)?;
        let token = self.invitation_token(owner);
        let text = std::str::from_utf8(token.expose()).expect("hexadecimal digits");
        let key = invitation::key(owner, text);
        let invitation = Invitation {
            host: wish.host.clone(),
            expires_wall_ms: now.wall_ms.saturating_add(wish.expires_in_ms),
            uses: wish.uses.max(1),
            contact: wish.contact.clone(),
            localpart: wish.localpart.clone(),
            registers: wish.registers,
        };
        let expires_wall_ms = invitation.expires_wall_ms;
        if let Some(localpart) = &wish.localpart {
            // XEP-0445 section 5: "The server MUST reserve the username at least until the corresponding token
            // expires."
            writes.push(Write::Put {
                table: &RESERVATION,
                key: name_key(&wish.host, localpart),
                value: invitation::reservation(expires_wall_ms, &key).into(),
            });
        }
        writes.push(Write::Put {
            table: &INVITATION,
            key,
            value: invitation.encode().into(),
        });
        (self.rows.save)(writes)?;
        Ok(Invited {
            token,
            expires_wall_ms,
        })
    }

    /// Whether somebody who shows this token may register on `host`.
    pub(super) fn admits(&self, host: &str, token: &Secret, now: Now) -> Result<bool, StoreError> {
        let found = self.find_invitation(host, token)?;
        Ok(found.is_some_and(|found| found.invitation.is_open(now)))
    }

    /// The invitation to `host` of this token, whether or not its time is over: XEP-0445 section 4, "it MUST only be
    /// checked at this point", which is [`Accounts::admits`].
    pub(super) fn find_invitation(
        &self,
        host: &str,
        token: &Secret,
    ) -> Result<Option<Found>, StoreError> {
        let Some((owner, text)) = self.owner_of(token) else {
            return Ok(None);
        };
        let key = invitation::key(owner, &text);
        let Some(value) = (self.rows.row)(&INVITATION, &key)? else {
            return Ok(None);
        };
        let Some(invitation) = Invitation::decode(&value) else {
            log::error!("invitation_row_damaged account={}", owner.0);
            return Err(StoreError::Broken);
        };
        let fits = invitation.host == host && invitation.registers && invitation.uses > 0;
        let inviter = Some(owner).filter(|owner| *owner != OPERATOR);
        if !fits || !self.is_still_there(&invitation, inviter)? {
            return Ok(None);
        }
        Ok(Some(Found {
            key,
            invitation,
            inviter,
        }))
    }

    /// Uses an invitation for a contact who has an account (XEP-0379): under the same lock as registrations, and as it is
    /// now, whatever whoever asks has read.
    pub(super) fn redeem(
        &self,
        key: &RowKey,
        contact: &Jid,
        now: Now,
    ) -> Result<AccountAnswer, AccountError> {
        let _writing = self.writing.lock();
        let row = (self.rows.row)(&INVITATION, key)?;
        let invitation = row.and_then(|row| Invitation::decode(&row));
        let invitation = invitation.filter(|known| known.welcomes(contact, now));
        let invitation = invitation.ok_or(AccountError::Unknown)?;
        (self.rows.save)(vec![invitation.used(key.clone())])?;
        Ok(AccountAnswer::Redeemed)
    }

    /// Whether who invites is still there, and may log in: the rows of who was removed go when their turn comes.
    fn is_still_there(
        &self,
        invitation: &Invitation,
        inviter: Option<AccountId>,
    ) -> Result<bool, StoreError> {
        let (Some(contact), Some(inviter)) = (&invitation.contact, inviter) else {
            return Ok(true);
        };
        let localpart = contact.localpart().unwrap_or_default();
        let row = self.load(contact.domainpart(), localpart)?;
        // Whom the operator has shut out lets nobody in.
        let is_own =
            |row: &AccountRow| row.account.id == inviter && row.state == AccountState::Enabled;
        Ok(row.as_ref().is_some_and(is_own))
    }

    /// What is written with the account of who came by an invitation: it is used up by one, the name is kept for
    /// nobody any more, and with a contact it has the newcomer's half of a subscription in both directions.
    pub(super) fn writes_of_newcomer(
        &self,
        found: Found,
        newcomer: AccountId,
        jid: &Jid,
        now: Now,
    ) -> Vec<Write> {
        let Found {
            key,
            invitation,
            inviter,
        } = found;
        let mut writes = Vec::new();
        if let Some(localpart) = &invitation.localpart {
            writes.push(Write::Delete {
                table: &RESERVATION,
                key: name_key(&invitation.host, localpart),
            });
        }
        if let (Some(contact), Some(inviter)) = (&invitation.contact, inviter) {
            writes.extend(self.befriend(contact, inviter, newcomer, jid, now));
        }
        writes.push(invitation.used(key));
        writes
    }

    /// The newcomer asks the inviter for a subscription, by a token that serves for nothing else, and has approved what
    /// the inviter asks for.
    fn befriend(
        &self,
        contact: &Jid,
        inviter: AccountId,
        newcomer: AccountId,
        jid: &Jid,
        now: Now,
    ) -> [Write; 4] {
        let token = self.invitation_token(inviter);
        let text = std::str::from_utf8(token.expose()).expect("hexadecimal digits");
        let proof = Invitation {
            host: jid.domainpart().to_owned(),
            expires_wall_ms: now.wall_ms.saturating_add(limits::INVITATION_PROOF_MS),
            uses: 1,
            contact: Some(contact.clone()),
            localpart: jid.localpart().map(str::to_owned),
            registers: false,
        };
        // Above what an earlier account of this name told, below what this one will tell.
        let number = Sequence::first_at(now.wall_ms).max(1);
        let item = RosterItem {
            standing: Standing {
                ask: true,
                approved: true,
                listed: true,
                ..Standing::default()
            },
            version: 1,
            numbers: Numbers {
                asked: number,
                ..Numbers::default()
            },
            ..RosterItem::unknown(contact.clone())
        };
        let mut epoch = [0; 4];
        self.fill(&mut epoch);
        let head = Head {
            epoch: u32::from_be_bytes(epoch).max(1),
            floor: 0,
        };
        let tell = Tell {
            account: newcomer,
            number,
            answers: 0,
        };
        let row = item.row(newcomer);
        [
            Write::Put {
                table: &INVITATION,
                key: invitation::key(inviter, text),
                value: proof.encode().into(),
            },
            Write::Put {
                table: &ROSTER,
                key: row.key,
                value: row.value.into(),
            },
            Write::Put {
                table: &ROSTER,
                key: head_key(newcomer),
                value: head.encode(),
            },
            outgoing::put(&invited(jid, contact, text), tell),
        ]
    }

    /// How many names an account's open invitations keep for those who were invited.
    pub(super) fn names_kept_by(&self, owner: AccountId, now: Now) -> Result<usize, StoreError> {
        let (rows, _) = (self.rows.range)(&INVITATION, &invitation::range(owner))?;
        let open = rows.iter().filter_map(|row| Invitation::decode(&row.value));
        let open = open.filter(|known| known.is_open(now) && known.registers);
        Ok(open.filter(|known| known.localpart.is_some()).count())
    }

    /// The removal of what is over, if then there is room for one more.
    fn make_room_for_invitation(
        &self,
        owner: AccountId,
        now: Now,
    ) -> Result<Vec<Write>, AccountError> {
        let (rows, _) = (self.rows.range)(&INVITATION, &invitation::range(owner))?;
        let count = rows.len();
        let mut deletes = Vec::new();
        let mut over = 0;
        for row in rows {
            let invitation = Invitation::decode(&row.value);
            if invitation.as_ref().is_some_and(|known| known.is_open(now)) {
                continue;
            }
            over += 1;
            // Whoever has shown it in time may still be filling in the form: XEP-0445 section 4.
            let long_over = |known: &Invitation| {
                let until_ms = known.expires_wall_ms;
                now.wall_ms >= until_ms.saturating_add(limits::INVITATION_GRACE_MS)
            };
            if invitation.as_ref().is_some_and(|known| !long_over(known)) {
                continue;
            }
            let kept = invitation.and_then(|known| Some((known.host, known.localpart?)));
            if let Some((host, localpart)) = kept {
                let name = name_key(&host, &localpart);
                let reservation = (self.rows.row)(&RESERVATION, &name)?;
                // It may be kept anew, by another.
                if reservation.is_some_and(|value| invitation::is_kept_by(&value, &row.key)) {
                    deletes.push(Write::Delete {
                        table: &RESERVATION,
                        key: name,
                    });
                }
            }
            deletes.push(Write::Delete {
                table: &INVITATION,
                key: row.key,
            });
        }
        let bound = match owner {
            OPERATOR => limits::INVITATIONS_READ_MAX,
            _ => self.settings.lock().invitations_per_account as usize,
        };
        match count - over < bound {
            true => Ok(deletes),
            false => Err(AccountError::TooManyInvitations),
        }
    }

    /// XEP-0401 section 5.1: "a securely generated random alpha-numeric string".
    fn invitation_token(&self, owner: AccountId) -> Secret {
        let mut random = [0; RANDOM_BYTES];
        self.fill(&mut random);
        let masked = owner.0 ^ self.mask(&random);
        let hexadecimal =
            |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("{byte:02x}")).collect() };
        let text = hexadecimal(&masked.to_be_bytes()) + &hexadecimal(&random);
        Secret::new(text.into_bytes())
    }

    /// Whose a token would be if it is one, and its text.
    fn owner_of(&self, token: &Secret) -> Option<(AccountId, String)> {
        let text = std::str::from_utf8(token.expose()).ok()?;
        if text.len() != 2 * (8 + RANDOM_BYTES) || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let (masked, random) = text.split_at(16);
        let mut bytes = [0; RANDOM_BYTES];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&random[2 * at..2 * at + 2], 16).ok()?;
        }
        let masked = u64::from_str_radix(masked, 16).ok()?;
        Some((AccountId(masked ^ self.mask(&bytes)), text.to_owned()))
    }

    /// So that a token does not tell how many accounts there are.
    fn mask(&self, random: &[u8]) -> u64 {
        let label = [b"invitation\0", random].concat();
        let digest = hmac(ScramHash::Sha256, self.secret(), &label);
        let first = digest
            .expose()
            .first_chunk()
            .expect("a digest has 32 bytes");
        u64::from_be_bytes(*first)
    }
}

/// Of a token: XEP-0379 section 6.1 asks for 80 bits, our checklist for 128.
const RANDOM_BYTES: usize = 16;
