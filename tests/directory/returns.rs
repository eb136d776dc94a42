//! A directory that tells of changes (RFC 4533) and comes back after a while: what became of its rooms meanwhile is told, whether
//! it remembers what was deleted (the delete phase) or says what is there (the present phase).

use crate::changes::until_said;
use crate::faults::QUICK;
use crate::served::house;
use crate::server::Server;
use crate::slapd::{BASE, Schema, Slapd, Wishes};

/// Reads until the log says of a room so many times that it is so, and of another that it is gone.
fn until_told(server: &mut Server, expected: &[(&str, usize)]) {
    let is_told = |server: &Server| {
        let count = |text: &str| server.printed().matches(text).count();
        expected.iter().all(|(text, times)| count(text) >= *times)
    };
    while !is_told(server) {
        server.until_logged("directory_room");
    }
}

#[test]
fn what_became_of_rooms_while_nobody_listened_is_told_in_either_phase() {
    for phase in ["delete", "present"] {
        let wishes = Wishes {
            schema: Schema::Stonechat,
            ..Wishes::default()
        };
        let test = format!("rooms-{phase}");
        let mut directory = Slapd::with(&test, wishes);
        let more = format!("poll = \"1 h\"\nrooms_base = \"ou=rooms,{BASE}\"\n{QUICK}");
        let house = house(&test, &directory, &more);
        let mut server = house.serve();
        let shown = |name: &str| format!("directory_room host=localhost room={name}");
        for name in ["ballroom", "crypt", "piazza"] {
            until_said(&mut server, &shown(name));
        }
        server.signal("STOP");
        // Its connections end, so that it has to ask.
        directory.kill();
        directory.start_again();
        directory.change(&format!(
            "dn: cn=crypt,ou=rooms,{BASE}\nchangetype: delete\n\n\
             dn: cn=piazza,ou=rooms,{BASE}\nchangetype: modify\nreplace: description\ndescription: The square\n\n\
             dn: cn=church,ou=rooms,{BASE}\nchangetype: add\nobjectClass: stonechatRoom\ncn: church\n"
        ));
        if phase == "present" {
            // It forgets what was deleted.
            directory.stop();
            directory.start_again();
        }
        server.signal("CONT");
        let (piazza, church) = (shown("piazza"), shown("church"));
        until_told(
            &mut server,
            &[
                ("directory_room_gone host=localhost room=crypt", 1),
                (piazza.as_str(), 2),
                (church.as_str(), 1),
            ],
        );
        // It listens again, and what nobody touched was told once.
        directory.change(&format!(
            "dn: cn=church,ou=rooms,{BASE}\nchangetype: delete\n"
        ));
        until_told(
            &mut server,
            &[("directory_room_gone host=localhost room=church", 1)],
        );
        let log = server.stop();
        assert_eq!(log.matches(&shown("ballroom")).count(), 1, "{phase}: {log}");
        assert_eq!(
            log.matches("directory_room_gone").count(),
            2,
            "{phase}: {log}"
        );
        assert!(!log.contains("directory_room_collision"), "{phase}: {log}");
    }
}
