//! Lists that the configuration displays to others: by whatever names of both, to one group, and an operator hears of names that
//! mean nothing.

use crate::changes::until_said;
use crate::client::Client;
use crate::rosters::{item, listed, roster, serve};
use crate::served::house;
use crate::slapd::{BASE, Slapd};

#[test]
fn a_list_is_displayed_by_the_names_of_entries_and_what_names_nothing_is_told() {
    let directory = Slapd::start("displays");
    let capulets = format!("cn=capulets,ou=groups,{BASE}");
    let house = listed(
        "displays",
        &directory,
        &format!(
            "lists = [\"capulets\"]\n\
             displays = [\"{capulets}=>cn=rulers,ou=groups,{BASE}\", \"gods=rulers\", \"capulets=fates\", \"{capulets}=rulers\"]\n"
        ),
    );
    let mut server = serve(&house);
    for unknown in [
        "gods",
        "fates",
        // Two halves of what has no arrow.
        "cn",
        &format!("capulets,ou=groups,{BASE}=rulers"),
    ] {
        until_said(
            &mut server,
            &format!("directory_groups_trouble host=localhost unknown={unknown:?}"),
        );
    }
    let mut escalus = Client::session(&server, "escalus", "palace");
    let seen = roster(&mut escalus, "");
    assert!(
        seen.contains(&item("juliet", "Juliet", "to", &["capulets"])),
        "{seen}"
    );
    let (fine, said) = house.tool(&["directory", "test", "escalus"], "");
    assert!(!fine, "{said}");
    for problem in [
        "displays (LIST) names \"gods\", and there is no such group",
        "displays (GROUP) names \"fates\", and there is no such group",
        "displays (LIST) names \"cn\", and there is no such group",
    ] {
        assert!(said.contains(problem), "{problem:?} is not in\n{said}");
    }
    assert!(
        said.contains("ok      group: capulets (4 members): a contact list that is shown"),
        "{said}"
    );
}

#[test]
fn a_group_that_somebody_makes_of_the_name_of_another_sees_no_list_of_that_ones() {
    let directory = Slapd::start("displays-ambiguous");
    directory.change(&format!(
        "dn: cn=rulers,ou=people,{BASE}\nobjectClass: groupOfNames\ncn: rulers\nmember: uid=romeo,ou=people,{BASE}\n"
    ));
    let house = house(
        "displays-ambiguous",
        &directory,
        &format!(
            "poll = \"1 s\"\n[host.directory_groups]\nbase = \"{BASE}\"\nlists = [\"capulets\"]\n\
             displays = [\"capulets=rulers\"]\n"
        ),
    );
    let mut server = serve(&house);
    until_said(
        &mut server,
        "directory_groups_trouble host=localhost ambiguous=\"rulers\" groups=[\"cn=rulers,ou=groups,",
    );
    let several =
        format!("cn=rulers,ou=groups,{BASE} and cn=rulers,ou=people,{BASE}: none of them counts");
    for name in ["romeo", "escalus"] {
        let mut client = Client::session(&server, name, "palace");
        let seen = roster(&mut client, "");
        assert!(!seen.contains("juliet@localhost"), "{name}: {seen}");
        let (fine, said) = house.tool(&["directory", "test", name], "");
        let problem = format!("displays (GROUP) names \"rulers\", which is the cn of {several}");
        assert!(!fine && said.contains(&problem), "{said}");
        assert!(!said.contains("a contact list"), "{said}");
    }
}
