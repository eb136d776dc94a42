//! Invitations when several come at once. What one at a time is told is played in `tests/scenarios/invitations.xmpp`.

#[path = "sim/mod.rs"]
mod sim;

use sim::plainly::{HEADER, hears, says};
use sim::{ConnId, Habits, World};

/// A new account with one available resource.
fn user(world: &mut World, name: &str) -> ConnId {
    world.register(name, "secret");
    sim::plainly::session(world, name, None, "<presence/>")
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
        says(&mut world, tybalt, HEADER);
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
