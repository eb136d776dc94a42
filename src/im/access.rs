//! What people of a host may do by the groups of its directory: one question for all who ask it, about the account that is
//! served or about somebody who is named. Refuses to know what follows for who may not.

use crate::actor::groups::{Membership, Right};
use crate::config::HostConfig;

/// Whether somebody at this place among the groups of the host may do this. Where the host names groups for it, their members
/// may, and nobody until it is known who that is; where it names none, everybody may but manage.
///
/// Of who is not the account that is served, the place is that of [`Membership::find`].
pub fn allows(host: &HostConfig, place: &Membership, right: Right) -> bool {
    let directory = host.directory.as_ref();
    let rules = directory.and_then(|directory| directory.groups.as_ref());
    let named = rules.map(|rules| match right {
        Right::CreateRooms => &rules.options.create_rooms,
        Right::Federate => &rules.options.federate,
        Right::Manage => &rules.options.managers,
        Right::Register => &rules.options.register,
    });
    // What the groups say may be from before the options were these.
    match named.is_none_or(Vec::is_empty) {
        true => right != Right::Manage,
        false => {
            let member = place.member();
            member.is_some_and(|(groups, who)| groups.gives(who, right))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use super::*;
    use crate::actor::groups::{Draft, Groups};
    use crate::config::{Outside, load};

    fn host(section: &str) -> Arc<HostConfig> {
        let text = format!("[[host]]\nname = \"a\"\n{section}");
        let outside = Outside {
            features: &[],
            address: |_| Ok(()),
            log_filter: |_| Ok(()),
            cores: 1,
        };
        let config = load("s.toml", &text, &outside).expect("valid");
        Arc::clone(&config.hosts[0])
    }

    const DIRECTORY: &str = "[host.directory]\nservers = [\"ldap://a\"]\nbase = \"dc=a\"\n\
        [host.directory_groups]\nbase = \"dc=a\"\n";

    /// Escalus, to whom groups give these rights, and Romeo, to whom they give none.
    fn groups(rights: &[Right]) -> Arc<Groups> {
        let people = ["escalus", "romeo"].map(|name| (name.to_owned(), String::new()));
        let escalus = BTreeSet::from(["escalus".to_owned()]);
        let rights = rights.iter().map(|right| (*right, escalus.clone()));
        Arc::new(Groups::new(&Draft {
            people: people.into(),
            rights: rights.collect(),
            ..Draft::default()
        }))
    }

    fn allowed(host: &HostConfig, groups: Option<&Arc<Groups>>, name: &str) -> Vec<Right> {
        let place = Membership::find(groups, Some(name));
        let all = Right::ALL.into_iter();
        all.filter(|right| allows(host, &place, *right)).collect()
    }

    #[test]
    fn what_no_group_is_named_for_everybody_may_and_manage_nobody() {
        let open = [Right::CreateRooms, Right::Federate, Right::Register];
        for host in [host(""), host(DIRECTORY)] {
            assert_eq!(allowed(&host, None, "romeo"), open);
            // Groups that were read when the options were others.
            let groups = groups(&Right::ALL);
            assert_eq!(allowed(&host, Some(&groups), "romeo"), open);
            assert_eq!(allowed(&host, Some(&groups), "escalus"), open);
        }
    }

    #[test]
    fn what_groups_are_named_for_their_members_may_once_they_are_known() {
        let rules = [
            ("create_rooms", Right::CreateRooms),
            ("federate", Right::Federate),
            ("managers", Right::Manage),
            ("register", Right::Register),
        ];
        for (rule, right) in rules {
            let host = host(&format!("{DIRECTORY}{rule} = [\"rulers\"]\n"));
            let may = |groups: Option<&Arc<Groups>>, name: &str| {
                allowed(&host, groups, name).contains(&right)
            };
            let known = groups(&[right]);
            assert!(may(Some(&known), "escalus"), "{rule}");
            for name in ["romeo", "paris"] {
                assert!(!may(Some(&known), name), "{rule} {name}");
            }
            assert!(!may(None, "escalus"), "{rule}: nobody is known yet");
            assert!(
                !may(Some(&groups(&[])), "escalus"),
                "{rule}: of before the rule was"
            );
        }
    }
}
