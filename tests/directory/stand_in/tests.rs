//! The stand-in does what its modes say, as a client takes it that is well known.

use std::io::{Read, Write};
use std::process::Command;

use super::answer::nested;
use super::*;
use crate::ber::ENUMERATED;
use crate::slapd::{BASE, JULIET, PASSWORD};

fn start(mode: Mode) -> StandIn {
    let stand_in = StandIn::start(vec![Entry::person("juliet"), Entry::person("romeo")]);
    stand_in.set(mode);
    stand_in
}

/// What ldapsearch says of a search for Juliet, within five seconds.
fn search(stand_in: &StandIn, arguments: &[&str]) -> String {
    let filter = "(&(objectClass=inetOrgPerson)(uid=juliet))";
    let mut command = Command::new("timeout");
    command.args([
        "5",
        "ldapsearch",
        "-o",
        "nettimeout=2",
        "-H",
        &stand_in.url(),
    ]);
    command.args(["-x", "-D", JULIET, "-w", PASSWORD, "-b", BASE]);
    let output = command.args(arguments).arg(filter).output().unwrap();
    let bytes = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn it_can_do_well_and_says_what_it_was_asked() {
    let stand_in = start(Mode::Well);
    let said = search(&stand_in, &[]);
    assert!(said.contains("mail: juliet@verona.example"), "{said}");
    assert!(!said.contains("romeo"), "{said}");
    assert_eq!(stand_in.binds(), [(JULIET.to_owned(), PASSWORD.to_owned())]);
    let searches = stand_in.searches();
    assert_eq!(searches[0].base, BASE);
    assert_eq!(searches[0].filter.values(), ["inetOrgPerson", "juliet"]);
    assert_eq!(stand_in.connections(), 1);
}

#[test]
fn each_mode_is_what_a_well_known_client_takes_it_for() {
    for (mode, arguments, expected) in [
        (
            Mode::ClosesInBind(Who::Everybody),
            &[][..],
            "Can't contact LDAP server",
        ),
        (Mode::CutsAnswers, &[], "Can't contact LDAP server"),
        (Mode::Result(52), &[], "Server is unavailable (52)"),
        (Mode::References, &[], "search reference"),
        (Mode::Referrals, &[], "Referral (10)"),
        (Mode::RefusesStartTls, &["-ZZ"], "Protocol error (2)"),
        (Mode::Disconnects, &[], "Can't contact LDAP server"),
        (Mode::Endless, &["-z", "5"], "uid: u4\n"),
        (Mode::WithoutAttributes, &[], "numEntries: 1"),
        (Mode::Twins, &[], "numEntries: 2"),
        (Mode::OtherBase, &[], "dn: uid=x,dc=mantua,dc=example"),
    ] {
        let said = search(&start(mode), arguments);
        assert!(said.contains(expected), "{mode:?}: {said}");
    }
}

/// What comes in answer to a bind, up to so many bytes; `None` is nothing within a moment.
fn raw(stand_in: &StandIn, count: usize) -> Option<Vec<u8>> {
    let mut socket = TcpStream::connect(("127.0.0.1", stand_in.port)).unwrap();
    let bind = b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00";
    socket.write_all(bind).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_millis(match count {
            1 => 500,
            // What comes takes its time on a busy machine.
            _ => 30_000,
        })))
        .unwrap();
    let mut bytes = vec![0; count];
    socket.read_exact(&mut bytes).ok().map(|()| bytes)
}

#[test]
fn on_the_wire_it_is_as_bad_as_it_says() {
    assert_eq!(raw(&start(Mode::Silent), 1), None);
    assert_eq!(raw(&start(Mode::Slow(Duration::from_secs(60))), 1), None);
    assert!(raw(&start(Mode::Slow(Duration::from_millis(10))), 10).is_some());
    assert_eq!(raw(&start(Mode::Garbage), 4).unwrap(), [0xff; 4]);
    let wrong = raw(&start(Mode::WrongIds), 20).unwrap();
    assert!(
        wrong.windows(4).any(|part| part == [2, 2, 0x03, 0xe9]),
        "{wrong:x?}"
    );
    let huge = start(Mode::HugeLength);
    assert!(
        raw(&huge, 1_000_000)
            .unwrap()
            .starts_with(b"\x30\x84\x7f\xff")
    );
    // What is on its way is counted when all of a piece is.
    assert!(huge.sent() > 900_000);
    let whole = nested();
    assert_eq!(raw(&start(Mode::Nested), whole.len()).unwrap(), whole);
    // A bind without a password, whose success proves nothing.
    let anybody = raw(&start(Mode::LetsAnybodyIn), 14).unwrap();
    assert!(anybody.windows(3).any(|part| part == [ENUMERATED, 1, 0]));
}

#[test]
fn cut_connections_end_and_new_ones_are_taken() {
    let stand_in = start(Mode::Silent);
    let mut socket = TcpStream::connect(("127.0.0.1", stand_in.port)).unwrap();
    while stand_in.connections() == 0 {
        thread::yield_now();
    }
    stand_in.cut();
    assert_eq!(socket.read(&mut [0]).unwrap(), 0);
    stand_in.set(Mode::Well);
    assert!(search(&stand_in, &[]).contains("numEntries: 1"));
}
