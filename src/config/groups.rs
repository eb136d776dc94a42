//! What a host's options say of its directory's groups, with a preset behind them. Refuses to know who is in any.

use super::check::Sink;
use super::directory::{is_attribute, is_balanced, is_dn};
use super::file::{DirectoryPreset, GroupNesting, HostDirectoryGroups};
use crate::base::limits;

/// What groups mean, checked, with the preset applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupsConfig {
    /// The options, none of which is left to the preset.
    pub options: HostDirectoryGroups,
    /// The attribute that an entry can be looked for by its name with.
    pub entry_name: &'static str,
    /// Lists and who sees them, too.
    pub displays: Vec<(String, String)>,
}

/// What an empty option means.
struct PresetGroups {
    filter: &'static str,
    entry_name: &'static str,
}

fn preset(preset: DirectoryPreset) -> PresetGroups {
    const RFC: &str =
        "(|(objectClass=groupOfNames)(objectClass=groupOfUniqueNames)(objectClass=posixGroup))";
    match preset {
        DirectoryPreset::OpenLdap => PresetGroups {
            filter: RFC,
            // RFC 5020.
            entry_name: "entryDN",
        },
        DirectoryPreset::Ds389 => PresetGroups {
            filter: RFC,
            entry_name: "entrydn",
        },
        DirectoryPreset::ActiveDirectory => PresetGroups {
            filter: "(objectCategory=group)",
            entry_name: "distinguishedName",
        },
    }
}

/// The options with the preset's where nothing is said; none where groups mean nothing. `at` is the path of their section.
pub(super) fn check_groups(
    option: &HostDirectoryGroups,
    kind: DirectoryPreset,
    at: &impl Fn(&str) -> String,
    sink: &mut Sink<'_>,
) -> Option<GroupsConfig> {
    if option.base.is_empty() {
        sink.require(
            *option == HostDirectoryGroups::default(),
            &at("base"),
            "is missing: name the entry below which the groups are",
        );
        return None;
    }
    let defaults = preset(kind);
    let or = |own: &String, preset: &str| match own.as_str() {
        "" => preset.to_owned(),
        "-" => String::new(),
        _ => own.clone(),
    };
    let options = HostDirectoryGroups {
        filter: or(&option.filter, defaults.filter),
        lists_filter: or(&option.lists_filter, "(objectClass=stonechatContactList)"),
        list_name: or(&option.list_name, "stonechatDisplayName"),
        display_to: or(&option.display_to, "stonechatDisplayTo"),
        ..option.clone()
    };
    sink.require(
        is_dn(&options.base),
        &at("base"),
        "must be the name of an entry (RFC 4514), as in \"ou=groups,dc=example,dc=org\"",
    );
    for (name, filter) in [
        ("filter", &options.filter),
        ("lists_filter", &options.lists_filter),
    ] {
        let may_be_none = name == "lists_filter" && filter.is_empty();
        sink.require(
            may_be_none || is_balanced(filter),
            &at(name),
            "must be a filter in matching parentheses (RFC 4515), as in \"(objectClass=group)\"",
        );
    }
    for (name, attribute) in [
        ("list_name", &options.list_name),
        ("display_to", &options.display_to),
    ] {
        sink.require(
            attribute.is_empty() || is_attribute(attribute),
            &at(name),
            "must be the name of an attribute, or \"-\"",
        );
    }
    sink.require(
        options.nested == GroupNesting::Walk || kind == DirectoryPreset::ActiveDirectory,
        &at("nested"),
        "must be \"walk\": only an Active Directory knows the rule",
    );
    let mut displays = Vec::new();
    for text in &options.displays {
        // The name of an entry has equals signs of its own: without an arrow what stands first is none.
        match text.split_once("=>").or_else(|| text.split_once('=')) {
            Some((list, group)) if !list.trim().is_empty() && !group.trim().is_empty() => {
                displays.push((list.trim().to_owned(), group.trim().to_owned()));
            }
            _ => sink.push(
                &at("displays"),
                format!("`{text}`: write LIST=GROUP, or names of entries as LIST=>GROUP"),
            ),
        }
    }
    for (name, count, max) in [
        ("depth", options.depth, limits::DIRECTORY_GROUP_DEPTH_LIMIT),
        (
            "members",
            options.members,
            limits::DIRECTORY_LIST_MEMBERS_LIMIT,
        ),
    ] {
        if !(1..=max).contains(&count) {
            sink.push(&at(name), format!("must be between 1 and {max}"));
        }
    }
    Some(GroupsConfig {
        options,
        entry_name: defaults.entry_name,
        displays,
    })
}
