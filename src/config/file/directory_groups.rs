//! The options of a host whose LDAP directory has groups: who manages, who may do what, whose contact lists appear in
//! rosters. Refuses to know what a preset says where they are empty (`config/groups.rs` does).

use documented::{Documented, DocumentedFields};
use serde::{Deserialize, Serialize};

use crate::base::limits;

/// What the groups of a host's directory mean; without `base` nothing. A group is written as its `cn`, or as the name of
/// its entry; of several of one `cn` none gives a right or sees a list by `displays`, and each is a list. They are read at the
/// start, every `host.directory.poll`, and when the directory tells of a change. What depends on the kind of directory is
/// the preset's where it is empty; conf/README.md lists those.
#[derive(Clone, Debug, Deserialize, Documented, DocumentedFields, PartialEq, Eq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct HostDirectoryGroups {
    /// The entry below which groups are looked for.
    /// reload: live
    pub base: String,
    /// What is a group, as a filter (RFC 4515).
    /// reload: live
    pub filter: String,
    /// How deep groups may be in groups, 1 to 100; what is deeper does not count. A "rule" knows no bound.
    /// reload: live
    pub depth: u32,
    /// How groups in groups are found: "walk" reads all groups and follows them, "rule" asks an Active Directory for
    /// everybody in a group that means something, one question for each (LDAP_MATCHING_RULE_IN_CHAIN).
    /// reload: live
    pub nested: GroupNesting,
    /// Groups whose members may run the commands of managers; without any nobody may.
    /// reload: live
    pub managers: Vec<String>,
    /// Groups whose members may create rooms; without any everybody may.
    /// reload: live
    pub create_rooms: Vec<String>,
    /// Groups whose members may speak with other servers; without any everybody may.
    /// reload: live
    pub federate: Vec<String>,
    /// Groups whose members may use in-band registration (XEP-0077), by which who is in the directory changes the own
    /// password, if `host.directory.password_change` lets them; without any everybody may.
    /// reload: live
    pub register: Vec<String>,
    /// Groups that are contact lists: their members have each other in their rosters.
    /// reload: live
    pub lists: Vec<String>,
    /// What marks a group as a contact list, as a filter, or "-" for nothing but `lists`.
    /// reload: live
    pub lists_filter: String,
    /// The attribute with the name of a list in rosters, or "-" for none; `cn` where a group has none.
    /// reload: live
    pub list_name: String,
    /// The attribute that names groups whose members see the list, too, or "-" for none.
    /// reload: live
    pub display_to: String,
    /// The same by the configuration: "LIST=GROUP", or with an arrow where LIST is the name of an entry, which has equals signs of its
    /// own: "cn=sales,ou=groups,dc=example,dc=org=>board".
    /// reload: live
    pub displays: Vec<String>,
    /// Members of a list beyond which it appears in nobody's roster, 1 to 100000.
    /// reload: live
    pub members: u32,
    /// Members of a list up to which each is told at once that it changed; of a larger one they hear when they ask for
    /// their rosters.
    /// reload: live
    pub pushes: u32,
}

impl Default for HostDirectoryGroups {
    fn default() -> HostDirectoryGroups {
        HostDirectoryGroups {
            base: String::new(),
            filter: String::new(),
            depth: limits::DIRECTORY_GROUP_DEPTH_MAX,
            nested: GroupNesting::default(),
            managers: Vec::new(),
            create_rooms: Vec::new(),
            federate: Vec::new(),
            register: Vec::new(),
            lists: Vec::new(),
            lists_filter: String::new(),
            list_name: String::new(),
            display_to: String::new(),
            displays: Vec::new(),
            members: limits::DIRECTORY_LIST_MEMBERS_MAX,
            pushes: limits::DIRECTORY_LIST_PUSHES_MAX,
        }
    }
}

/// How groups in groups are found.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum GroupNesting {
    /// The directory does it.
    Rule,
    /// We do.
    #[default]
    Walk,
}
