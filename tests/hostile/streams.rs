//! What streams promise beyond one exchange, in the simulated world: ids that never come twice, an identity that
//! stays with its host, features of streams without TLS, farewells.

use std::collections::BTreeSet;

use base64::prelude::{BASE64_STANDARD, Engine};
use stonechat::config::ScramHash;
use stonechat::shard::Control;

use crate::client::{HEADER, STARTTLS, auth, plain};
use crate::sim::{ConnId, Habits, World, config};

/// Listeners of the world, in front of its own: the options come first.
const LAX: &str =
    "[[listener]]\naddress = \"127.0.0.1:5225\"\ntls = \"starttls\"\nrequire_tls = false\n";
const SASL2: &str = "<authenticate xmlns='urn:xmpp:sasl:2'";

fn world(options: &str) -> World {
    let mut world = World::new(1, 1, Habits::KIND, config(options).unwrap());
    world.register("juliet", "pencil");
    world
}

/// Says something; what comes back.
fn ask(world: &mut World, conn: ConnId, text: &str) -> String {
    world.write(conn, text.as_bytes());
    world.settle();
    String::from_utf8_lossy(&world.read(conn)).into_owned()
}

fn header(from: &str, to: &str) -> String {
    format!(
        "<stream:stream from='{from}' to='{to}' version='1.0' xmlns='jabber:client' \
         xmlns:stream='http://etherx.jabber.org/streams'>"
    )
}

fn id_of(said: &str) -> String {
    let header = &said[said.find("<stream:stream").expect("a header")..];
    let id = header.split(" id='").nth(1).expect("an id");
    id.split('\'').next().unwrap().to_owned()
}

/// What a world of this seed calls the streams of so many guests.
fn ids_of(seed: u64, count: usize) -> Vec<String> {
    let mut world = World::new(seed, 1, Habits::KIND, config("").unwrap());
    let mut one = || {
        let conn = world.connect(0);
        id_of(&ask(&mut world, conn, HEADER))
    };
    (0..count).map(|_| one()).collect()
}

// RFC 6120 section 4.7.3: "The value of the 'id' attribute MUST be both unpredictable and non-repeating".
#[test]
fn ids_are_random_in_every_place_and_depend_on_the_seed() {
    let (one, other) = (ids_of(1, 64), ids_of(2, 64));
    for ids in [&one, &other] {
        // 128 bits in characters of six.
        assert!(ids.iter().all(|id| id.len() >= 22), "{ids:?}");
        for place in 0..ids[0].len() {
            let values: BTreeSet<u8> = ids.iter().map(|id| id.as_bytes()[place]).collect();
            // Of 64 random ones some 40; a counter, a clock or a prefix has a few.
            assert!(values.len() > 16, "place {place} of {ids:?}");
        }
    }
    assert!(one.iter().all(|id| !other.contains(id)));
    assert_eq!(one, ids_of(1, 64), "they come from nowhere else");
}

// RFC 6120 section 4.3.3: "it MUST generate a new stream ID (instead of reusing the old stream ID)".
#[test]
fn every_restart_has_an_id_of_its_own() {
    let mut world = world("");
    let mut ids = Vec::new();
    for _ in 0..3 {
        let conn = world.connect(0);
        ids.push(id_of(&ask(&mut world, conn, HEADER)));
        let proceed = ask(&mut world, conn, STARTTLS);
        assert!(proceed.starts_with("<proceed"), "{proceed}");
        world.start_tls(conn).unwrap();
        ids.push(id_of(&ask(&mut world, conn, HEADER)));
        let success = ask(&mut world, conn, &auth(&plain("juliet", "pencil")));
        assert!(success.contains("<success"), "{success}");
        ids.push(id_of(&ask(&mut world, conn, HEADER)));
    }
    let count = ids.len();
    assert!(ids.iter().all(|id| id.len() >= 16), "{ids:?}");
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count, "{ids:?}");
}

// peers.md row 11: both hosts are served, so only the binding of the identity to its host refuses.
#[test]
fn who_authenticated_for_one_host_is_nobody_on_another() {
    let mut world = world("[[host]]\nname = \"verona.example\"\n");
    let conn = world.connect_secure(1);
    ask(&mut world, conn, &header("juliet@localhost", "localhost"));
    let success = ask(&mut world, conn, &auth(&plain("juliet", "pencil")));
    assert!(success.contains("<success"), "{success}");
    let other = ask(
        &mut world,
        conn,
        &header("juliet@verona.example", "verona.example"),
    );
    assert!(other.contains("<host-unknown"), "{other}");
    assert!(!other.contains(":features"), "{other}");
    assert!(world.is_closed(conn));
    // And neither address can be smuggled in beside the other, before SASL or behind it.
    for (from, to) in [
        ("juliet@verona.example", "localhost"),
        ("juliet@localhost", "verona.example"),
    ] {
        let conn = world.connect_secure(1);
        let said = ask(&mut world, conn, &header(from, to));
        assert!(said.contains("<invalid-from"), "{said}");
        assert!(!said.contains(from), "it is said back: {said}");
    }
    let conn = world.connect_secure(1);
    ask(&mut world, conn, &header("juliet@localhost", "localhost"));
    ask(&mut world, conn, &auth(&plain("juliet", "pencil")));
    let said = ask(
        &mut world,
        conn,
        &header("juliet@verona.example", "localhost"),
    );
    assert!(said.contains("<invalid-from"), "{said}");
}

// RFC 6120 section 4.9.3.9: "The data provided in a 'from' attribute does not match an authorized JID or validated domain
// as negotiated ... between a client and a server via SASL authentication and resource binding."
#[test]
fn who_authenticated_is_nobody_else_when_the_stream_begins_anew() {
    let mut world = world("");
    world.register("romeo", "pencil");
    let mut begin_anew = |from: &str| {
        let conn = world.connect_secure(1);
        ask(&mut world, conn, HEADER);
        let success = ask(&mut world, conn, &auth(&plain("juliet", "pencil")));
        assert!(success.contains("<success"), "{success}");
        let said = ask(&mut world, conn, &header(from, "localhost"));
        (said, world.is_closed(conn))
    };
    for from in ["romeo@localhost", "romeo@localhost/balcony", "localhost"] {
        let (said, closed) = begin_anew(from);
        assert!(said.contains("<invalid-from") && closed, "{from}: {said}");
        assert!(
            !said.contains(&format!("to='{from}")),
            "it is said back: {said}"
        );
    }
    for from in ["juliet@localhost", "Juliet@LOCALHOST/balcony"] {
        let (said, closed) = begin_anew(from);
        assert!(said.contains(":features") && !closed, "{from}: {said}");
        assert!(said.contains(" to='juliet@localhost'"), "{said}");
    }
}

// XEP-0388 section 6: "SASL2 MUST only be used by Clients or offered by Servers after TLS negotiation".
#[test]
fn without_tls_there_is_no_sasl2_whatever_the_listener_allows() {
    let mut world = world(LAX);
    // The lax one, and the one without TLS.
    for listener in [0, 3] {
        let conn = world.connect(listener);
        let features = ask(&mut world, conn, HEADER);
        assert!(
            features.contains("urn:ietf:params:xml:ns:xmpp-sasl"),
            "{features}"
        );
        assert!(features.contains("<mechanism>SCRAM-SHA-256</mechanism>"));
        assert_eq!(features.contains("<starttls"), listener == 0, "{features}");
        for absent in [
            "urn:xmpp:sasl:2",
            "urn:xmpp:bind:0",
            "-PLUS",
            "PLAIN",
            "sasl-cb",
            "idle-seconds",
        ] {
            assert!(!features.contains(absent), "{absent} in {features}");
        }
        let first = BASE64_STANDARD.encode("n,,n=juliet,r=abcdefgh");
        let attempt = format!(
            "{SASL2} mechanism='SCRAM-SHA-256'><initial-response>{first}</initial-response></authenticate>"
        );
        let failure = ask(&mut world, conn, &attempt);
        assert!(failure.contains("<encryption-required"), "{failure}");
    }
    // With it there is.
    let conn = world.connect_secure(2);
    let features = ask(&mut world, conn, HEADER);
    assert!(features.contains("urn:xmpp:sasl:2"), "{features}");
}

// RFC 6120 section 6.5.10; nothing is told of the account.
#[test]
fn while_the_store_fails_a_login_fails_for_now() {
    let mut world = world("");
    world.break_store();
    for name in ["juliet", "nobody"] {
        let conn = world.connect_secure(1);
        ask(&mut world, conn, HEADER);
        let failure = ask(&mut world, conn, &auth(&plain(name, "pencil")));
        assert!(failure.contains("<temporary-auth-failure"), "{failure}");
    }
}

// RFC 6120 section 4.9.3.19.
#[test]
fn a_drain_says_where_to_go() {
    let mut world = world("server.see_other_host = \"other.example:5222\"\n");
    let conn = world.connect_secure(1);
    ask(&mut world, conn, HEADER);
    world.control(&Control::Drain);
    world.settle();
    let said = String::from_utf8_lossy(&world.read(conn)).into_owned();
    assert!(
        said.contains(
            "<see-other-host xmlns='urn:ietf:params:xml:ns:xmpp-streams'>other.example:5222</see-other-host>"
        ),
        "{said}"
    );
    assert!(said.ends_with("</stream:stream>"), "{said}");
}

// RFC 6120 section 4.7.4: "the receiving entity MUST remember that value as the default xml:lang for all stanzas
// sent by the initiating entity"; what is no language tag is none, however long.
#[test]
fn a_language_of_the_stream_is_that_of_its_stanzas_if_it_is_one() {
    for (said, stamped) in [
        ("it", true),
        ("pt-BR", true),
        (&*"x".repeat(3_000), false),
        ("e&lt;", false),
    ] {
        let mut world = world("");
        let conn = world.connect_secure(1);
        let header = HEADER.replace(" to=", &format!(" xml:lang='{said}' to="));
        let ours = ask(&mut world, conn, &header);
        assert!(ours.contains(" xml:lang='en'"), "{ours}");
        ask(&mut world, conn, &auth(&plain("juliet", "pencil")));
        ask(&mut world, conn, &header);
        let bind = "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
            <resource>r</resource></bind></iq>";
        assert!(ask(&mut world, conn, bind).contains("type='result'"));
        let message = "<message to='juliet@localhost/r' type='chat'><body>Ciao</body></message>";
        let message = ask(&mut world, conn, message);
        assert!(message.contains("<body>Ciao</body>"), "{message}");
        assert_eq!(message.contains(" xml:lang="), stamped, "{message}");
        if stamped {
            assert!(
                message.contains(&format!(" xml:lang='{said}'")),
                "{message}"
            );
        }
    }
}

/// What is offered follows what the back end of the host can verify, whatever others can.
#[test]
fn a_host_offers_what_its_back_end_can_verify() {
    let mut config = config("").unwrap();
    let mut host = (*config.hosts[0]).clone();
    host.scram = vec![ScramHash::Sha256];
    config.hosts[0] = std::sync::Arc::new(host);
    let mut world = World::new(1, 1, Habits::KIND, config);
    let conn = world.connect_secure(1);
    let features = ask(&mut world, conn, HEADER);
    assert!(
        features.contains("<mechanism>SCRAM-SHA-256</mechanism>"),
        "{features}"
    );
    for other in ["SCRAM-SHA-1", "SCRAM-SHA-512"] {
        assert!(!features.contains(other), "{features}");
        let auth = format!(
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='{other}'>biwsbj1qLHI9MTIzNDU2Nzg5MA==</auth>"
        );
        let refused = ask(&mut world, conn, &auth);
        assert!(refused.contains("<invalid-mechanism"), "{refused}");
    }
}
