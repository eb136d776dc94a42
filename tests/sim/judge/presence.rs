//! What contacts see of each other, and what they know of that.

use super::*;

impl Judge {
    /// A presence came.
    pub fn presence(&mut self, session: usize, element: roxmltree::Node<'_, '_>) {
        let from = element.attribute("from").unwrap_or_default().to_string();
        let (of, own) = (account_of(&from), self.sessions[session].account);
        if element.attribute("type") != Some("error") {
            self.passes(session, of, "presence");
        }
        let is_apart = of.is_some_and(|of| self.are_apart(of, own));
        if element.attribute("type").is_none() && of != Some(own) {
            let granted = of.is_some_and(|of| self.grants.contains(&(of, own)));
            assert!(
                granted,
                "session {session} sees {from}, who never allowed it"
            );
            if let Some(of) = of {
                self.not_revoked(of, own, element);
            }
        }
        let status = element
            .children()
            .find(|c| c.has_tag_name((CLIENT, "status")));
        let status = status.and_then(|s| s.text()).unwrap_or_default();
        let at = &mut self.sessions[session];
        let view = &mut at.view;
        match element.attribute("type") {
            // An answer to a probe: who is not available is not told what comes of it.
            None if at.status.is_none() => {}
            None => {
                view.insert(from, status.to_string());
            }
            // Its own: from here on it saw nobody.
            Some("unavailable") if from == at.jid => view.clear(),
            Some("unavailable") => {
                view.remove(&from);
            }
            Some("subscribe" | "subscribed" | "unsubscribe" | "unsubscribed") => {
                assert!(!from.contains('/'), "{from} shows a resource");
            }
            // The store could not be read, or the roster not be written.
            Some("error") if self.had_faults || of.is_none() || is_apart => {}
            Some(other) => panic!("presence of type {other} came from {from}"),
        }
    }

    /// An account lets another see it.
    pub fn granted(&mut self, session: usize, to: usize) {
        let pair = (self.sessions[session].account, to);
        self.grants.insert(pair);
        self.granted_in.entry(pair).or_default().insert(session);
        self.revoked.remove(&pair);
    }

    /// It does so no longer. Nobody knows in which order two sessions are heard.
    pub fn revoked(&mut self, session: usize, to: usize, said: u32) {
        let pair = (self.sessions[session].account, to);
        let grants = self.granted_in.get(&pair);
        let others = grants.into_iter().flatten().filter(|at| **at != session);
        if !others.into_iter().any(|at| self.sessions[*at].is_alive) {
            self.revoked.insert(pair, (session, said));
        }
    }

    pub(super) fn not_revoked(&self, of: usize, to: usize, element: roxmltree::Node<'_, '_>) {
        let status = element
            .children()
            .find(|c| c.has_tag_name((CLIENT, "status")));
        let status = status.and_then(|s| s.text()).unwrap_or_default();
        let said = self.said_in.get(status);
        let Some((&(by, before), &(session, number))) = self.revoked.get(&(of, to)).zip(said)
        else {
            return;
        };
        // What a session sent may have been lost before it was resumed, or refused by a disk.
        let is_sure = !self.sessions[session].is_unsure && !self.had_faults;
        assert!(
            session != by || number <= before || !is_sure,
            "u{to} sees {status} of session {session}, which took that back before"
        );
    }

    /// A push changed the roster.
    pub fn pushed(&mut self, session: usize, query: roxmltree::Node<'_, '_>) {
        let Some(roster) = &mut self.sessions[session].roster else {
            return;
        };
        for item in query.children().filter(|item| item.is_element()) {
            let jid = item.attribute("jid").unwrap_or_default().to_string();
            match item.attribute("subscription") {
                Some("remove") => drop(roster.remove(&jid)),
                _ => drop(roster.insert(jid, described(item))),
            }
        }
    }

    /// A roster came whole.
    pub fn roster(&mut self, session: usize, query: roxmltree::Node<'_, '_>, id: Option<&str>) {
        let items = query.children().filter(|item| item.is_element());
        let whole: BTreeMap<String, String> = items
            .clone()
            .map(|item| {
                (
                    item.attribute("jid").unwrap_or_default().to_string(),
                    described(item),
                )
            })
            .collect();
        let before = self.sessions[session].roster.replace(whole.clone());
        assert!(
            before.as_ref().is_none_or(|before| *before == whole),
            "pushes to session {session} left {before:?}, and {id:?} shows {whole:?}"
        );
        let account = self.sessions[session].account;
        self.asks.retain(|(asker, _)| *asker != account);
        let asked = items.filter(|item| item.attribute("ask") == Some("subscribe"));
        let asked = asked.filter_map(|item| account_of(item.attribute("jid")?));
        self.asks.extend(asked.map(|of| (account, of)));
        let items = query.children().filter(|item| item.is_element());
        let items = items.filter_map(|item| {
            let subscription = item.attribute("subscription").unwrap_or("none");
            Some((
                account_of(item.attribute("jid")?)?,
                subscription.to_string(),
            ))
        });
        let account = self.sessions[session].account;
        self.rosters.insert(account, items.collect());
    }

    pub(super) fn subscription(&self, of: usize, to: usize) -> &str {
        let roster = self.rosters.get(&of);
        roster
            .and_then(|roster| roster.get(&to))
            .map_or("none", String::as_str)
    }

    /// Both halves of every subscription are there, or neither.
    pub(super) fn halves_agree(&self) {
        // What somebody asks who is blocked is never heard (XEP-0191 section 3.3).
        let unheard = self.asks.difference(&self.pending);
        let unheard: Vec<_> = unheard.filter(|(a, b)| !self.are_apart(*a, *b)).collect();
        assert!(unheard.is_empty(), "{unheard:?} ask and are not heard");
        let unasked: Vec<_> = self.pending.difference(&self.asks).collect();
        assert!(
            unasked.is_empty(),
            "{unasked:?} are shown to ask, and do not"
        );
        let accounts = self.single.len();
        for (a, b) in (0..accounts).flat_map(|a| (0..accounts).map(move |b| (a, b))) {
            let (ours, theirs) = (self.subscription(a, b), self.subscription(b, a));
            let sees = matches!(ours, "to" | "both");
            let is_seen = matches!(theirs, "from" | "both");
            assert_eq!(
                sees, is_seen,
                "u{a} has {ours} to u{b}, u{b} has {theirs} to u{a}"
            );
        }
    }

    pub(super) fn everybody_sees_everybody(&self) {
        for at in self
            .sessions
            .iter()
            .filter(|at| at.is_alive && !at.is_unsure)
        {
            let own = self
                .sessions
                .iter()
                .filter(|other| other.is_alive)
                .filter(|other| {
                    let subscription = self.subscription(at.account, other.account);
                    other.account == at.account || matches!(subscription, "to" | "both")
                });
            let said: BTreeMap<String, String> = own
                .filter_map(|other| Some((other.jid.clone(), other.status.clone()?)))
                .collect();
            // Whom it blocked, it did not see go. A block that a failing disk took back may have been in force.
            let may_be_stale = |jid: &str| {
                let of = account_of(jid).filter(|of| *of != at.account);
                of.is_some_and(|of| {
                    self.blocks.contains(&(at.account, of))
                        || (self.had_faults && self.are_apart(at.account, of))
                })
            };
            let mut view = at.view.clone();
            view.retain(|jid, _| said.contains_key(jid) || !may_be_stale(jid));
            assert_eq!(view, said, "what {} sees is not what was sent", at.jid);
        }
    }
}
