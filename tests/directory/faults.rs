//! Directories that are slow, gone, back, somebody else, or one of several.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::changes::{beside_with, until_said};
use crate::client::{Client, auth, plain};
use crate::house::{Authority, Files};
use crate::served::{house, is_failure, try_password};
use crate::slapd::{PASSWORD, Slapd, Wishes};
use crate::stand_in::{Entry, StandIn};

/// Seconds that a test waits for a directory which hangs, and longer than a busy machine keeps one waiting that does not.
pub const QUICK: &str =
    "connect_timeout = \"3 s\"\noperation_timeout = \"3 s\"\nqueue_timeout = \"3 s\"\n";

/// When whoever logs in with [`QUICK`] has heard something, whatever the directory does: `queue_timeout`, `operation_timeout` and one
/// operation more that was begun by then (conf/README.md), and on a machine that does much else some seconds later. Those are fewer
/// than the nine, so whoever waits twice as long as that is seen.
const ANSWERED: Duration = Duration::from_secs(3 + 3 + 3 + 8);

/// Tries until somebody comes in: a server that failed is left alone for a while.
pub fn until_let_in(server: &crate::server::Server) {
    let begun = Instant::now();
    loop {
        let heard = try_password(server, "juliet", PASSWORD);
        if heard.starts_with("<success") {
            return;
        }
        assert!(is_failure(&heard, "temporary-auth-failure"), "{heard}");
        assert!(begun.elapsed() < crate::slapd::PATIENCE, "it does not heal");
    }
}

#[test]
fn a_slow_directory_costs_logins_a_clear_word_in_time_and_sessions_nothing() {
    let directory = Slapd::start("slow");
    let house = house("slow", &directory, QUICK);
    let server = house.serve();
    let mut romeo = Client::session(&server, "romeo", "orchard");
    directory.hang();
    let begun = Instant::now();
    let heard = try_password(&server, "juliet", PASSWORD);
    let took = begun.elapsed();
    assert!(is_failure(&heard, "temporary-auth-failure"), "{heard}");
    assert!(took < ANSWERED, "{took:?}");
    // Who is here does not notice; who is asked for and known stays known.
    romeo.send(
        "<message to='romeo@localhost/orchard' type='chat' id='m'><body>Ay me</body></message>",
    );
    assert!(romeo.element().contains("Ay me"));
    // Of somebody whom nobody has asked for yet nothing can be said, and that is said.
    romeo.send("<message to='mercutio@localhost' type='chat' id='q'><body>Who</body></message>");
    let bounced = romeo.element();
    assert!(
        bounced.contains("type='error'") && bounced.contains("type='wait'"),
        "{bounced}"
    );
    directory.go_on();
    until_let_in(&server);
}

#[test]
fn for_whom_there_is_no_room_in_the_queue_hears_so_at_once_and_who_has_waited_too_long_in_the_end()
{
    let directory = Slapd::start("queue");
    let house = house(
        "queue",
        &directory,
        "search_connections = 1\nbind_connections = 1\nqueue = 1\nconnect_timeout = \"40 s\"\n\
         operation_timeout = \"40 s\"\nqueue_timeout = \"1 s\"\n",
    );
    let server = house.serve();
    until_let_in(&server);
    directory.hang();
    let [mut asked, mut waits, mut third] = ["juliet", "romeo", "tybalt"].map(|name| {
        let mut client = Client::secure(&server);
        client.open();
        client.send(&auth(&plain(name, PASSWORD)));
        // So that a thread has taken up the first when the second comes; if not, that one hears the same a little earlier.
        thread::sleep(Duration::from_millis(300));
        client
    });
    // It says so while the directory hangs.
    let heard = third.element();
    assert!(is_failure(&heard, "temporary-auth-failure"), "{heard}");
    // Longer than `queue_timeout`.
    thread::sleep(Duration::from_millis(1_500));
    directory.go_on();
    let heard = waits.element();
    assert!(is_failure(&heard, "temporary-auth-failure"), "{heard}");
    let heard = asked.element();
    assert!(heard.starts_with("<success"), "{heard}");
}

#[test]
fn a_directory_that_dies_and_comes_back_is_found_again() {
    let mut directory = Slapd::start("dies");
    let house = house("dies", &directory, QUICK);
    let mut server = house.serve();
    until_let_in(&server);
    directory.kill();
    let begun = Instant::now();
    for _ in 0..3 {
        let heard = try_password(&server, "juliet", PASSWORD);
        assert!(is_failure(&heard, "temporary-auth-failure"), "{heard}");
    }
    // Three of them, each of whom would wait for that long if they waited at all.
    assert!(begun.elapsed() < ANSWERED, "nobody waits for it");
    server.until_logged("directory_fails server=");
    directory.start_again();
    until_let_in(&server);
    server.until_logged("directory_works server=");
}

#[test]
fn the_next_server_answers_for_the_first_which_is_asked_again_once_it_is_back() {
    let (mut first, mut second) = (Slapd::start("first"), Slapd::start("second"));
    let servers = format!("servers = [{:?}, {:?}]\n", first.url(), second.url());
    // Two directories that are no copies of each other have two entries for one person.
    let more = format!("{servers}verify = false\nunique = \"-\"\n{QUICK}");
    let house = house("failover", &first, &more);
    let server = house.serve();
    until_let_in(&server);
    assert_eq!(second.operations("(uid=juliet)"), 0);
    first.kill();
    until_let_in(&server);
    assert_eq!(second.operations("(uid=juliet)"), 1);
    first.start_again();
    let begun = Instant::now();
    while first.operations("(uid=juliet)") == 0 {
        until_let_in(&server);
        assert!(
            begun.elapsed() < crate::slapd::PATIENCE,
            "it does not go back"
        );
    }
    second.kill();
    until_let_in(&server);
}

#[test]
fn a_first_server_that_falls_silent_costs_logins_a_deadline_and_no_refusal() {
    let (first, second) = (Slapd::start("silent"), Slapd::start("speaks"));
    let servers = format!("servers = [{:?}, {:?}]\n", first.url(), second.url());
    // The search and the bind of one login may each find out; what they may not do is to add up to a refusal.
    let times = "connect_timeout = \"5 s\"\noperation_timeout = \"4 s\"\nqueue_timeout = \"4 s\"\n";
    let more = format!(
        "{servers}verify = false\nunique = \"-\"\nlisten = false\nsearch_connections = 1\nbind_connections = 1\n{times}"
    );
    let house = house("silent", &first, &more);
    let server = house.serve();
    // Both connections are there, to the first.
    until_let_in(&server);
    first.hang();
    let heard = try_password(&server, "juliet", PASSWORD);
    assert!(heard.starts_with("<success"), "{heard}");
    // From then on everybody knows.
    let heard = try_password(&server, "romeo", PASSWORD);
    assert!(heard.starts_with("<success"), "{heard}");
    first.go_on();
    let mut first = first;
    let begun = Instant::now();
    while first.operations("(uid=mercutio)") == 0 {
        let heard = try_password(&server, "mercutio", PASSWORD);
        assert!(heard.starts_with("<success"), "{heard}");
        assert!(
            begun.elapsed() < crate::slapd::PATIENCE,
            "it does not go back"
        );
    }
}

/// A port where whatever comes is dropped without a word: there are as many connections as its system may keep.
struct Unanswered {
    address: SocketAddr,
    _listener: Socket,
    _kept: Vec<TcpStream>,
}

impl Unanswered {
    fn start() -> Unanswered {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        listener.bind(&any.into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        let mut kept = Vec::new();
        let error = loop {
            match TcpStream::connect_timeout(&address, Duration::from_secs(2)) {
                Ok(socket) => kept.push(socket),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        Unanswered {
            address,
            _listener: listener,
            _kept: kept,
        }
    }
}

/// The search and the bind of one login may each find out that a server is not reached, and have time for the next.
const UNREACHED: &str = "unique = \"-\"\nconnect_timeout = \"3 s\"\noperation_timeout = \"10 s\"\nqueue_timeout = \"10 s\"\n";

#[test]
fn a_server_that_is_never_reached_costs_logins_a_deadline_and_no_refusal_where_there_is_another() {
    let unanswered = Unanswered::start();
    let directory = StandIn::start(vec![Entry::person("juliet")]);
    let nowhere = format!("ldap://{}", unanswered.address);
    for (test, servers) in [
        ("unreached-only", format!("[{nowhere:?}]")),
        (
            "unreached-first",
            format!("[{nowhere:?}, {:?}]", directory.url()),
        ),
    ] {
        let files = Files::new(test);
        let house = beside_with(test, &directory, &files, UNREACHED);
        let text = std::fs::read_to_string(house.path("stonechat.toml")).unwrap();
        let one = format!("servers = [{:?}]", directory.url());
        assert!(text.contains(&one), "{text}");
        house.write_config(&text.replace(&one, &format!("servers = {servers}")));
        let mut server = house.serve();
        let begun = Instant::now();
        let heard = try_password(&server, "juliet", PASSWORD);
        let took = begun.elapsed();
        match test {
            "unreached-only" => assert!(is_failure(&heard, "temporary-auth-failure"), "{heard}"),
            _ => assert!(heard.starts_with("<success"), "{heard}"),
        }
        // A slow machine, too; a system would try for two minutes.
        assert!(took < crate::slapd::PATIENCE / 2, "{test}: {took:?}");
        until_said(&mut server, &format!("directory_fails server={nowhere} "));
    }
}

#[test]
fn a_server_that_cannot_prove_its_name_hears_no_password() {
    let wishes = Wishes {
        names: &["127.0.0.1"],
        ..Wishes::default()
    };
    let mut directory = Slapd::with("name", wishes);
    let files = Files::new("other-authority");
    let other = Authority::new(&files);
    let elsewhere = format!("servers = [\"ldap://localhost:{}\"]\n", directory.port);
    for (wrong, more) in [
        (
            "authority",
            format!("ca = {:?}\n{QUICK}", other.certificate),
        ),
        ("name", format!("{elsewhere}{QUICK}")),
    ] {
        let house = house(&format!("wrong-{wrong}"), &directory, &more);
        let server = house.serve();
        let heard = try_password(&server, "juliet", PASSWORD);
        assert!(is_failure(&heard, "temporary-auth-failure"), "{heard}");
        assert_eq!(directory.operations(" BIND dn="), 0);
        server.stop();
    }
    let house = house(
        "unverified",
        &directory,
        &format!("{elsewhere}verify = false\n"),
    );
    let server = house.serve();
    until_let_in(&server);
}

#[test]
fn tls_from_the_beginning_and_a_certificate_of_our_own_will_do() {
    let directory = Slapd::start("ldaps");
    let identity = directory.client_certificate("stonechat");
    let more = format!(
        "servers = [{:?}]\ncertificate = {:?}\nkey = {:?}\nbind_dn = \"\"\npassword_file = \"\"\n",
        // RFC 3986 section 3.1: "schemes are case-insensitive".
        directory.tls_url().replace("ldaps:", "LDAPS:"),
        identity.certificate,
        identity.key
    );
    let house = house("ldaps", &directory, &more);
    let server = house.serve();
    Client::session(&server, "juliet", "balcony");
}

#[test]
fn our_own_password_that_is_wrong_is_the_operators_matter() {
    let directory = Slapd::start("own");
    let password = directory.file("wrong-password", "wrong\n");
    let more = format!("password_file = {password:?}\n");
    let house = house("own", &directory, &more);
    let mut server = house.serve();
    let heard = try_password(&server, "juliet", PASSWORD);
    assert!(is_failure(&heard, "temporary-auth-failure"), "{heard}");
    let line = server.until_logged("directory_fails server=");
    assert!(
        line.contains("our own bind was refused (result 49)"),
        "{line}"
    );
    // A reload reads the file anew.
    directory.file("wrong-password", "secret-of-stonechat\n");
    let (fine, said) = house.tool(&["reload"], "");
    assert!(fine, "{said}");
    until_let_in(&server);
    // One whose files are gone changes nothing.
    std::fs::remove_file(&password).unwrap();
    let (fine, said) = house.tool(&["reload"], "");
    assert!(
        !fine && said.contains("host[0].directory.password_file"),
        "{said}"
    );
    until_let_in(&server);
}
