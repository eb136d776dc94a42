//! Tokens for fast authentication (XEP-0484): issued, proved, rotated and withdrawn. Refuses to know elements, streams
//! and who waits.
//!
//! What is kept of a token is a number and a time; the token itself is a MAC over them under the secret that lies beside
//! the store. So whoever reads the store has no token, and whatever changes the generation of an account, a new password
//! or an operator's word, ends its tokens without touching a row.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;

use super::accounts::Accounts;
use super::slots::{SERIAL_BYTES, Slot, Slots, TOKEN, client_of, key, range};
use crate::actor::auth::{
    AccountAnswer, AccountAsk, AccountRef, AuthAnswer, FreshToken, KnownClient, ScramHash,
    TokenMechanism, TokenProof, TokenWish,
};
use crate::actor::rows::{RowKey, StoreError, Write};
use crate::base::{AccountId, Generation, Now, Secret, Uuid, limits};
use crate::im::credentials::AccountState;
use crate::stream::sasl::digest::hmac;
use crate::stream::sasl::token;

/// An answer, and what has to be durable before it is given.
pub(super) struct Judged {
    pub answer: AuthAnswer,
    pub writes: Vec<Write>,
}

impl Judged {
    fn plain(answer: AuthAnswer) -> Judged {
        Judged {
            answer,
            writes: Vec::new(),
        }
    }
}

/// Each of these reads the store once or twice.
impl Accounts {
    /// [`Accounts::prove_token`] where nothing has to be written for it; none where something has.
    pub(super) fn peek_token(&self, proof: &TokenProof, now: Now) -> Option<AuthAnswer> {
        match self.judge(proof, now) {
            Ok((judged, used)) if judged.writes.is_empty() => {
                Some(self.counted(proof, judged, used).answer)
            }
            Ok(_) => None,
            Err(_) => Some(AuthAnswer::Unavailable),
        }
    }

    /// Whether somebody holds a token. For an account that is unknown or disabled, and for a client that has none, the
    /// same reads and MACs are made. To be called by one thread, which commits what it says before it asks again about
    /// the same account.
    pub(super) fn prove_token(&self, proof: &TokenProof, now: Now) -> Judged {
        match self.judge(proof, now) {
            Ok((judged, used)) => self.counted(proof, judged, used),
            Err(_) => Judged::plain(AuthAnswer::Unavailable),
        }
    }

    /// The verdict, unless the client counted backwards.
    fn counted(
        &self,
        proof: &TokenProof,
        judged: Judged,
        used: Option<(AccountId, Slot)>,
    ) -> Judged {
        match used {
            Some((account, slot)) if !self.counts_on(account, proof, &slot) => {
                Judged::plain(AuthAnswer::Refused)
            }
            _ => judged,
        }
    }

    fn judge(
        &self,
        proof: &TokenProof,
        now: Now,
    ) -> Result<(Judged, Option<(AccountId, Slot)>), StoreError> {
        let row = self.load(&proof.host, &proof.localpart)?;
        let account = row
            .filter(|row| row.state == AccountState::Enabled)
            .map(|row| row.account);
        let of = account.unwrap_or(NOBODY);
        let slots = self.slots(of.id, proof.client)?;
        let fits = |of: AccountRef, slot: Option<Slot>| {
            let made_up = Slot {
                mechanism: proof.mechanism,
                serial: [0; SERIAL_BYTES],
                issued_wall_ms: 0,
                expires_wall_ms: 0,
            };
            let text = self.token(of, proof.client, &slot.unwrap_or(made_up));
            let expected = token::initiator(&text, &proof.binding);
            let same = expected.expose().ct_eq(proof.proof.expose());
            // Section 3.4: "Servers MUST bind tokens to the mechanism selected by the client in its original request".
            let is_real = slot.is_some_and(|slot| slot.mechanism == proof.mechanism);
            (bool::from(same) && is_real).then_some(text)
        };
        let (fresh, current) = (fits(of, slots.fresh), fits(of, slots.current));
        let past = slots.past.map(|slot| fits(of, slot).is_some());
        // Of the password before, or from before an operator's word, of which disabling and enabling are two.
        let outlived = [1, 2].map(|ago| {
            let generation = Generation(of.generation.0.wrapping_sub(ago));
            let before = AccountRef { generation, ..of };
            let both = [fits(before, slots.fresh), fits(before, slots.current)];
            both.iter().any(Option::is_some)
        });
        let was_good = outlived.contains(&true) || past.contains(&true);
        let (slot, text, is_fresh) = match (fresh, current) {
            (Some(text), _) => (slots.fresh, text, true),
            (None, Some(text)) => (slots.current, text, false),
            // Section 4.2: "If the server no longer trusts a token, it MUST instead fail the authentication (returning
            // the SASL 'credentials-expired' error condition)".
            (None, None) if account.is_some() && was_good => {
                return Ok((Judged::plain(AuthAnswer::Expired), None));
            }
            (None, None) => return Ok((Judged::plain(AuthAnswer::Refused), None)),
        };
        let (Some(account), Some(slot)) = (account, slot) else {
            return Ok((Judged::plain(AuthAnswer::Refused), None));
        };
        if now.wall_ms >= slot.expires_wall_ms {
            return Ok((Judged::plain(AuthAnswer::Expired), None));
        }
        // "move the token from the 'new' slot to the 'current' slot (overwrite any existing token in that slot)".
        let mut after = slots;
        if is_fresh {
            after.retire(slots.current);
            (after.current, after.fresh) = (Some(slot), None);
        } else {
            // Section 3.5: "Upon successful use of any token, the server MUST invalidate all tokens issued to the same client
            // with an earlier expiry than the current token": an operator may have shortened them meanwhile.
            let ends_first = |fresh: &Slot| fresh.expires_wall_ms < slot.expires_wall_ms;
            if slots.fresh.as_ref().is_some_and(ends_first) {
                after.retire(slots.fresh);
                after.fresh = None;
            }
        }
        if proof.invalidates {
            // Whoever logs out has no use for what was not used yet either.
            after.retire_all();
        }
        let wished = proof.request.or_else(|| {
            let is_due = now.wall_ms >= slot.due_wall_ms();
            (is_due && !proof.invalidates).then_some(proof.mechanism)
        });
        let token = wished.map(|mechanism| self.fresh_slot(mechanism, now));
        if token.is_some() {
            after.retire(after.fresh);
            after.fresh = token;
        }
        let writes = match after == slots {
            true => Vec::new(),
            false => vec![after.write(account.id, proof.client, now)],
        };
        let answer = AuthAnswer::Proved {
            account,
            responder: token::responder(&text, &proof.binding),
            token: token.map(|slot| self.told(account, proof.client, &slot)),
        };
        Ok((Judged { answer, writes }, Some((account.id, slot))))
    }

    /// A token for a client that has proved itself otherwise. Where an account has as many clients as it may, the one
    /// whose token ends first gives way.
    pub(super) fn issue_token(&self, wish: &TokenWish, now: Now) -> Judged {
        match self.issue(wish, now) {
            Ok(judged) => judged,
            Err(_) => Judged::plain(AuthAnswer::Unavailable),
        }
    }

    fn issue(&self, wish: &TokenWish, now: Now) -> Result<Judged, StoreError> {
        let row = self.load(&wish.host, &wish.localpart)?;
        let account = row
            .filter(|row| row.state == AccountState::Enabled && row.account == wish.account)
            .map(|row| row.account);
        // Another password meanwhile: what was proved is proved no more.
        let Some(account) = account else {
            return Ok(Judged::plain(AuthAnswer::Refused));
        };
        let (rows, _) = (self.rows.range)(&TOKEN, &range(account.id))?;
        let own = key(account.id, wish.client);
        let before = rows.iter().find(|row| row.key == own);
        let before = before.and_then(|row| Slots::decode(&row.value));
        let slot = self.fresh_slot(wish.mechanism, now);
        let mut after = before.unwrap_or_default();
        after.retire(after.fresh);
        after.fresh = Some(slot);
        let mut writes = vec![after.write(account.id, wish.client, now)];
        // Those that have none any more give way first.
        let mut others: Vec<((bool, u64), RowKey)> = rows
            .into_iter()
            .filter(|row| row.key != own)
            .map(|row| {
                let slots = Slots::decode(&row.value).unwrap_or_default();
                let ends_wall_ms = slots.last_wall_ms().max(slots.past_wall_ms());
                ((slots.last_wall_ms() > 0, ends_wall_ms), row.key)
            })
            .collect();
        others.sort();
        let clients_max = self.settings.lock().tokens.clients_max;
        let too_many = (others.len() + 1).saturating_sub(clients_max);
        let gone = others
            .into_iter()
            .enumerate()
            .filter(|(at, ((_, ends), _))| *at < too_many || *ends <= now.wall_ms);
        writes.extend(gone.map(|(_, (_, key))| Write::Delete { table: &TOKEN, key }));
        let token = self.told(account, wish.client, &slot);
        Ok(Judged {
            answer: AuthAnswer::Issued(token),
            writes,
        })
    }

    /// The clients of an account that have tokens which are not over, the one that got its last most lately first.
    pub(super) fn clients(
        &self,
        account: AccountId,
        now: Now,
    ) -> Result<Vec<KnownClient>, StoreError> {
        let (rows, _) = (self.rows.range)(&TOKEN, &range(account))?;
        let mut known: Vec<KnownClient> = rows
            .iter()
            .filter_map(|row| {
                let slots = Slots::decode(&row.value)?;
                let both = slots.fresh.iter().chain(&slots.current);
                let last = both.max_by_key(|slot| slot.issued_wall_ms)?;
                Some(KnownClient {
                    client: client_of(&row.key)?,
                    issued_wall_ms: last.issued_wall_ms,
                    expires_wall_ms: slots.last_wall_ms(),
                })
            })
            .filter(|known| now.wall_ms < known.expires_wall_ms)
            .collect();
        known.sort_by_key(|known| std::cmp::Reverse((known.issued_wall_ms, known.client)));
        Ok(known)
    }

    /// The tokens of some clients end. To be called like [`Accounts::prove_token`]: whoever uses one at the same time does
    /// so before or behind.
    pub(super) fn revoke_clients(&self, ask: &AccountAsk, now: Now) -> Judged {
        let AccountAsk::Revoke {
            host,
            localpart,
            account,
            clients,
        } = ask
        else {
            return Judged::plain(AuthAnswer::Unavailable);
        };
        let found = self.load(host, localpart).and_then(|row| {
            let row = row.filter(|row| row.account == *account);
            let rows = (self.rows.range)(&TOKEN, &range(account.id))?.0;
            Ok((row, rows))
        });
        let Ok((row, rows)) = found else {
            return Judged::plain(AuthAnswer::Unavailable);
        };
        let Some(row) = row else {
            return Judged::plain(AuthAnswer::Own(AccountAnswer::Gone));
        };
        let writes = rows.into_iter().filter_map(|row| {
            let key = row.key;
            let client = client_of(&key);
            let is_meant = client.is_none_or(|client| clients.include(client));
            let slots = client.zip(Slots::decode(&row.value));
            is_meant.then(|| match slots {
                Some((client, mut slots)) => {
                    slots.retire_all();
                    slots.write(account.id, client, now)
                }
                None => Write::Delete { table: &TOKEN, key },
            })
        });
        Judged {
            answer: AuthAnswer::Own(AccountAnswer::Done(row.account)),
            writes: writes.collect(),
        }
    }

    /// Whether the count of an attempt is above every one before (section 3.4). Without TLS 0-RTT, which is off, nobody
    /// has to count; who does is taken at the word. The counts are memory: TLS itself refuses what is sent again.
    fn counts_on(&self, account: AccountId, proof: &TokenProof, slot: &Slot) -> bool {
        let Some(count) = proof.count else {
            return true;
        };
        let mut counts = self.token_counts.lock();
        if counts.len() >= limits::TOKEN_COUNTS_MAX {
            counts.clear();
        }
        let known = counts.entry((account, proof.client));
        let known = known.or_insert((slot.serial, 0));
        if known.0 != slot.serial {
            *known = (slot.serial, 0);
        }
        let is_next = count > known.1;
        known.1 = known.1.max(count);
        is_next
    }

    fn slots(&self, account: AccountId, client: Uuid) -> Result<Slots, StoreError> {
        let Some(value) = (self.rows.row)(&TOKEN, &key(account, client))? else {
            return Ok(Slots::default());
        };
        Ok(Slots::decode(&value).unwrap_or_else(|| {
            log::error!("token_row_damaged account={}", account.0);
            Slots::default()
        }))
    }

    fn fresh_slot(&self, mechanism: TokenMechanism, now: Now) -> Slot {
        let mut serial = [0; SERIAL_BYTES];
        self.fill(&mut serial);
        let expiry_ms = self.settings.lock().tokens.expiry_ms;
        Slot {
            mechanism,
            serial,
            issued_wall_ms: now.wall_ms,
            expires_wall_ms: now.wall_ms.saturating_add(expiry_ms),
        }
    }

    fn told(&self, account: AccountRef, client: Uuid, slot: &Slot) -> FreshToken {
        FreshToken {
            token: self.token(account, client, slot),
            expires_wall_ms: slot.expires_wall_ms,
        }
    }

    /// The token's text, by which both sides make their MACs.
    fn token(&self, account: AccountRef, client: Uuid, slot: &Slot) -> Secret {
        let mut text = b"fast\0".to_vec();
        text.extend_from_slice(&account.id.0.to_be_bytes());
        text.extend_from_slice(&account.generation.0.to_be_bytes());
        text.extend_from_slice(&client.bytes());
        slot.put(&mut text);
        let mac = hmac(ScramHash::Sha256, self.secret(), &text);
        Secret::new(URL_SAFE_NO_PAD.encode(mac.expose()).into_bytes())
    }
}

/// Whose tokens are compared for who has no account. No account has this number.
const NOBODY: AccountRef = AccountRef {
    id: AccountId(u64::MAX),
    generation: Generation(0),
};

/// What an operator chooses.
#[derive(Clone, Copy, Debug)]
pub struct TokenSettings {
    /// How long a token is good.
    pub expiry_ms: u64,
    /// Clients of one account that may have tokens.
    pub clients_max: usize,
}

impl Default for TokenSettings {
    fn default() -> TokenSettings {
        TokenSettings {
            expiry_ms: limits::TOKEN_EXPIRY_MS,
            clients_max: limits::TOKEN_CLIENTS_MAX as usize,
        }
    }
}

/// See `Accounts::counts_on`: counts of attempts by client, with the serial of the token that they belong to.
pub(super) type TokenCounts = crate::base::KeyedMap<(AccountId, Uuid), ([u8; SERIAL_BYTES], u32)>;
