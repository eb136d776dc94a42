//! Invitations when several come at once. What one at a time is told is played in `tests/scenarios/invitations.xmpp`.

#[path = "sim/mod.rs"]
mod sim;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use sim::{ConnId, Habits, World};

const OPEN: &str = "<?xml version='1.0'?><stream:stream to='localhost' version='1.0' xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams'>";

fn says(world: &mut World, conn: ConnId, xml: &str) -> String {
    world.write(conn, xml.as_bytes());
    world.settle();
    hears(world, conn)
}

fn hears(world: &mut World, conn: ConnId) -> String {
    String::from_utf8(world.read(conn)).expect("the server writes UTF-8")
}

/// A new account with one available resource.
fn user(world: &mut World, name: &str) -> ConnId {
    world.register(name, "secret");
    let conn = world.connect_secure(1);
    let plain = STANDARD.encode(format!("\0{name}\0secret"));
    says(world, conn, OPEN);
    let sasl = "urn:ietf:params:xml:ns:xmpp-sasl";
    let auth = format!("<auth xmlns='{sasl}' mechanism='PLAIN'>{plain}</auth>");
    assert!(says(world, conn, &auth).contains("<success"));
    says(world, conn, OPEN);
    let bind = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>";
    let xml = format!("<iq type='set' id='b'>{bind}</iq><presence/>");
    assert!(says(world, conn, &xml).contains("<jid>"));
    conn
}

fn token(world: &mut World) -> String {
    let made = world.operate("user invite\ncontact romeo@localhost");
    let lines = made.expect("there is such a contact").join("\n");
    let token = lines.split("preauth=").nth(1).expect("an address");
    let end = token.find(|c: char| !c.is_ascii_hexdigit());
    token[..end.unwrap_or(token.len())].to_owned()
}

#[test]
fn of_a_newcomer_and_a_contact_who_use_one_invitation_at_once_one_is_served() {
    let mut served = [0, 0];
    for seed in 0..60 {
        let config = sim::config("host.registration.mode = \"invited\"\n");
        let mut world = World::new(seed, 1, Habits::KIND, config.expect("valid options"));
        let romeo = user(&mut world, "romeo");
        let juliet = user(&mut world, "juliet");
        let token = token(&mut world);
        let preauth = format!("<preauth xmlns='urn:xmpp:pars:0' token='{token}'/>");
        let tybalt = world.connect_secure(1);
        says(&mut world, tybalt, OPEN);
        let shown = format!("<iq type='set' to='localhost' id='p'>{preauth}</iq>");
        assert!(says(&mut world, tybalt, &shown).contains("type='result'"));
        let wish = "<query xmlns='jabber:iq:register'><username>tybalt</username><password>secret</password></query>";
        let wish = format!("<iq type='set' id='r'>{wish}</iq>");
        let request =
            format!("<presence to='romeo@localhost' type='subscribe'>{preauth}</presence>");
        // One is up to twenty events ahead of the other.
        let mut both = [(tybalt, wish), (juliet, request)];
        both.rotate_left((seed % 2) as usize);
        let [(first, said), (second, answered)] = both;
        world.write(first, said.as_bytes());
        for _ in 0..seed / 2 % 20 {
            world.step();
        }
        world.write(second, answered.as_bytes());
        world.settle();
        world.end_turns();
        let is_registered = hears(&mut world, tybalt).contains("type='result'");
        // Who is not welcome is a stranger, of whom Romeo is asked.
        let heard = hears(&mut world, romeo);
        let is_welcome = !heard
            .contains("<presence to='romeo@localhost' from='juliet@localhost' type='subscribe'")
            && !heard.contains(
                "<presence from='juliet@localhost' to='romeo@localhost' type='subscribe'",
            );
        assert_eq!(
            (is_registered, is_welcome),
            (!is_welcome, !is_registered),
            "seed {seed}: {heard}"
        );
        served[usize::from(is_welcome)] += 1;
        world.assert_rest();
    }
    assert!(served[0] > 0 && served[1] > 0, "{served:?}");
}
