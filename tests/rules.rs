//! The tables of RFC 6121 from end to end: each cell of appendix A and of table 1 as the RFC prints it, played between
//! two users; and what a stranger may not learn from the choices that table 1 leaves.

#[path = "sim/mod.rs"]
mod sim;

use std::collections::BTreeSet;

use sim::plainly::hears;
use sim::{ConnId, Habits, World};
use stonechat::im::pending::PENDING;

const APPENDIX_A: &str = include_str!("../src/im/subscription/table/appendix_a.txt");
/// Section 8.5.4.
const TABLE_1: &str = include_str!("rules/table_1.txt");

fn world() -> World {
    world_with("roster.items = 2000\n")
}

fn world_with(options: &str) -> World {
    let rates = "c2s.rate_stanzas_per_s = 100000\nc2s.rate_stanzas_burst = 100000\n\
        c2s.rate_bytes_per_s = \"1 GiB\"\nc2s.rate_bytes_burst = \"1 GiB\"\n";
    let config = sim::config(&format!("{rates}{options}")).expect("valid options");
    World::new(1, 2, Habits::KIND, config)
}

fn says(world: &mut World, conn: ConnId, xml: &str) -> String {
    world.write(conn, xml.as_bytes());
    world.settle();
    world.end_turns();
    hears(world, conn)
}

/// A session of an account, which is interested and says this first.
fn session(world: &mut World, name: &str, resource: &str, first: &str) -> ConnId {
    let first = format!("{ROSTER}{first}");
    let conn = sim::plainly::session(world, name, Some(resource), &first);
    world.end_turns();
    hears(world, conn);
    conn
}

const ROSTER: &str = "<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>";

fn act(world: &mut World, conn: ConnId, act: &str, to: &str) -> String {
    let xml = format!("<presence type='{act}' to='{to}@localhost' id='act'/>");
    says(world, conn, &xml)
}

// ---- Appendix A ----

/// Two users, in the state of the first to the second by its name in appendix A.1.
struct Pair {
    world: World,
    juliet: ConnId,
    romeo: ConnId,
}

impl Pair {
    fn in_state(state: &str) -> Pair {
        let mut world = world();
        world.register("juliet", "secret");
        world.register("romeo", "secret");
        let juliet = session(&mut world, "juliet", "balcony", "<presence/>");
        let romeo = session(&mut world, "romeo", "orchard", "<presence/>");
        let (sees, is_seen) = match state {
            "None" => ("", ""),
            "None + Pending Out" => ("asks", ""),
            "None + Pending In" => ("", "asks"),
            "None + Pending Out+In" => ("asks", "asks"),
            "To" => ("sees", ""),
            "To + Pending In" => ("sees", "asks"),
            "From" => ("", "sees"),
            "From + Pending Out" => ("asks", "sees"),
            "Both" => ("sees", "sees"),
            other => panic!("{other} is no state"),
        };
        let mut pair = Pair {
            world,
            juliet,
            romeo,
        };
        for (asks, who) in [(sees, "juliet"), (is_seen, "romeo")] {
            let whom = if who == "juliet" { "romeo" } else { "juliet" };
            if !asks.is_empty() {
                pair.acts(who, "subscribe", whom);
            }
            if asks == "sees" {
                pair.acts(whom, "subscribed", who);
            }
        }
        assert_eq!(pair.state("juliet", "romeo").0, state);
        pair
    }

    fn acts(&mut self, who: &str, what: &str, whom: &str) {
        let conn = if who == "juliet" {
            self.juliet
        } else {
            self.romeo
        };
        act(&mut self.world, conn, what, whom);
        hears(&mut self.world, self.juliet);
        hears(&mut self.world, self.romeo);
    }

    /// The state of one to the other, and whether it approved a request beforehand.
    fn state(&mut self, who: &str, whom: &str) -> (String, bool) {
        let conn = if who == "juliet" {
            self.juliet
        } else {
            self.romeo
        };
        let roster = says(&mut self.world, conn, ROSTER);
        let item = roster
            .split("<item ")
            .find(|item| item.contains(&format!("jid='{whom}@localhost'")))
            .map_or("", |item| item.split("/>").next().unwrap_or_default());
        let is_asked = !self.world.requests(who).is_empty();
        let asks = item.contains("ask='subscribe'");
        let is = |subscription: &str| item.contains(&format!("subscription='{subscription}'"));
        let base = match (is("to"), is("from"), is("both")) {
            (true, ..) => "To",
            (_, true, _) => "From",
            (_, _, true) => "Both",
            _ => "None",
        };
        let pending = match (asks, is_asked) {
            (false, false) => "",
            (true, false) => " + Pending Out",
            (false, true) => " + Pending In",
            (true, true) => " + Pending Out+In",
        };
        (format!("{base}{pending}"), item.contains("approved='true'"))
    }
}

/// The same state from the other side.
fn mirror(state: &str) -> &'static str {
    match state {
        "None" => "None",
        "None + Pending Out" => "None + Pending In",
        "None + Pending In" => "None + Pending Out",
        "None + Pending Out+In" => "None + Pending Out+In",
        "To" => "From",
        "To + Pending In" => "From + Pending Out",
        "From" => "To",
        "From + Pending Out" => "To + Pending In",
        "Both" => "Both",
        other => panic!("{other} is no state"),
    }
}

/// Direction, act, state before, verdict and state after.
fn cells() -> Vec<[String; 5]> {
    let mut heading = (String::new(), String::new());
    let mut cells = Vec::new();
    for line in APPENDIX_A.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let ["Table", _, "Processing", "of", direction, act, "stanzas"] = words[..] {
            heading = (direction.to_string(), act.trim_matches('"').to_string());
            continue;
        }
        let row: Vec<String> = line
            .trim()
            .trim_matches('|')
            .split('|')
            .map(|cell| cell.trim().trim_matches('"').to_string())
            .collect();
        if let [state, verdict, next] = &row[..]
            && state != "EXISTING STATE"
        {
            let next = match next.as_str() {
                "no state change" | "no state change [1]" | "pre-approval [1]" => state,
                next => next,
            };
            let cell = [&heading.0, &heading.1, state, verdict, next];
            cells.push(cell.map(|text| text.to_string()));
        }
    }
    assert_eq!(cells.len(), 2 * 4 * 9);
    cells
}

#[test]
fn what_a_user_does_changes_both_halves_as_appendix_a_2_says() {
    for [direction, what, before, _, after] in cells() {
        if direction != "outbound" {
            continue;
        }
        let mut pair = Pair::in_state(&before);
        let said = act(&mut pair.world, pair.juliet, &what, "romeo");
        assert!(!said.contains("type='error'"), "{said}");
        hears(&mut pair.world, pair.romeo);
        let (state, is_approved) = pair.state("juliet", "romeo");
        assert_eq!(state, after, "{what} in {before}");
        assert_eq!(
            pair.state("romeo", "juliet").0,
            mirror(&after),
            "{what} in {before}"
        );
        // A.2.3 note 1.
        let approves =
            what == "subscribed" && ["None", "None + Pending Out", "To"].contains(&&*before);
        assert_eq!(is_approved, approves, "{what} in {before}");
    }
}

#[test]
fn what_a_contact_does_is_delivered_and_changes_the_state_as_appendix_a_3_says() {
    let all = cells();
    let mut played = 0;
    for [direction, what, before, verdict, after] in &all {
        if direction != "inbound" {
            continue;
        }
        // Its own server lets out what its own half allows.
        let leaves = all.iter().any(|[direction, act, state, verdict, _]| {
            direction == "outbound"
                && act == what
                && state == mirror(before)
                && verdict.starts_with("MUST")
        });
        let mut pair = Pair::in_state(before);
        act(&mut pair.world, pair.romeo, what, "juliet");
        let heard = hears(&mut pair.world, pair.juliet);
        let is_delivered = heard.contains(&format!("type='{what}'"));
        let is_due = leaves && verdict.starts_with("MUST");
        assert_eq!(is_delivered, is_due, "{what} in {before}: {heard}");
        let after = if leaves { after } else { before };
        assert_eq!(
            &pair.state("juliet", "romeo").0,
            after,
            "{what} in {before}"
        );
        played += usize::from(leaves);
    }
    assert!(played > 20, "{played}");
}

// ---- Table 1 ----

/// Who is there, by the headings of table 1: resources with their priorities; none if there is no such account.
fn cast(heading: &str) -> Option<&'static [(&'static str, i8)]> {
    match heading {
        "ACCOUNT DOES NOT EXIST" => None,
        "ACCOUNT EXISTS, BUT NO ACTIVE RESOURCES" => Some(&[]),
        "1+ NEGATIVE RESOURCES BUT ZERO NON-NEGATIVE RESOURCES" => {
            Some(&[("balcony", -1), ("chamber", -2)])
        }
        "1 NON-NEGATIVE RESOURCE" => Some(&[("balcony", 0)]),
        "1+ NON-NEGATIVE RESOURCES" => Some(&[("balcony", 0), ("chamber", 5)]),
        other => panic!("{other} is no heading"),
    }
}

/// Juliet as a heading of the table wants her, and Romeo, who may see her or not.
struct Scene {
    world: World,
    juliet: Vec<(ConnId, &'static str, i8)>,
    romeo: ConnId,
    sent: usize,
}

impl Scene {
    fn of(heading: &str, is_friend: bool) -> Scene {
        let mut world = world();
        world.register("romeo", "secret");
        let romeo = session(&mut world, "romeo", "orchard", "<presence/>");
        let cast = cast(heading);
        if cast.is_some() {
            world.register("juliet", "secret");
            if is_friend {
                let juliet = session(&mut world, "juliet", "hall", "");
                act(&mut world, romeo, "subscribe", "juliet");
                act(&mut world, juliet, "subscribed", "romeo");
                says(&mut world, juliet, "</stream:stream>");
                world.lose(juliet);
                world.settle();
            }
        }
        let mut juliet = Vec::new();
        for &(resource, priority) in cast.into_iter().flatten() {
            let first = format!("<presence><priority>{priority}</priority></presence>");
            let conn = session(&mut world, "juliet", resource, &first);
            juliet.push((conn, resource, priority));
        }
        let mut scene = Scene {
            world,
            juliet,
            romeo,
            sent: 0,
        };
        scene.is_quiet();
        scene
    }

    fn is_quiet(&mut self) {
        for (conn, ..) in &self.juliet {
            hears(&mut self.world, *conn);
        }
        hears(&mut self.world, self.romeo);
    }

    /// Sends a message; which resources got it, whether the sender got an error, and whether it was stored.
    fn sends(
        &mut self,
        type_: &str,
        to: &str,
        payload: &str,
    ) -> (Vec<(&'static str, i8)>, bool, bool) {
        self.sent += 1;
        let rows = self.world.row_count(&PENDING);
        let id = format!("m{}", self.sent);
        let xml = format!("<message type='{type_}' to='{to}' id='{id}'>{payload}</message>");
        let answer = says(&mut self.world, self.romeo, &xml);
        self.world.end_turns();
        let mut got = Vec::new();
        for (conn, resource, priority) in &self.juliet {
            if hears(&mut self.world, *conn).contains(&format!("id='{id}'")) {
                got.push((*resource, *priority));
            }
        }
        self.world.settle();
        self.world.end_turns();
        let is_bounced = answer.contains("type='error'");
        (got, is_bounced, self.world.row_count(&PENDING) > rows)
    }
}

const HEADINGS: [&str; 5] = [
    "ACCOUNT DOES NOT EXIST",
    "ACCOUNT EXISTS, BUT NO ACTIVE RESOURCES",
    "1+ NEGATIVE RESOURCES BUT ZERO NON-NEGATIVE RESOURCES",
    "1 NON-NEGATIVE RESOURCE",
    "1+ NON-NEGATIVE RESOURCES",
];

#[test]
fn a_message_goes_where_table_1_lets_it_go() {
    for is_friend in [false, true] {
        let mut scene = None;
        let mut columns: Vec<String> = Vec::new();
        let mut checked = 0;
        for line in TABLE_1.lines().map(str::trim) {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            match &cells[..] {
                [heading] if heading.starts_with(|c: char| c.is_ascii_alphanumeric()) => {
                    scene = Some(Scene::of(heading, is_friend));
                }
                ["Condition", types @ ..] => {
                    columns = types.iter().map(|it| it.to_lowercase()).collect();
                }
                [address, allowed @ ..] if allowed.len() == 4 => {
                    let scene = scene.as_mut().expect("a heading stands before its rows");
                    for (type_, allowed) in columns.iter().zip(allowed) {
                        let to = match *address {
                            "bare" => "juliet@localhost",
                            "full match" => "juliet@localhost/balcony",
                            _ => "juliet@localhost/crypt",
                        };
                        let outcome = scene.sends(type_, to, "<body>Hush</body>");
                        let letter = letter(&outcome, scene, address);
                        // A note: "SHOULD NOT act in accordance with option (A)".
                        let mut choices = allowed.split('/');
                        assert!(
                            choices.any(|choice| letter.contains(&choice)),
                            "{type_} to {address}: {outcome:?} is {letter:?}, not {allowed}"
                        );
                        checked += 1;
                    }
                }
                _ => {}
            }
        }
        assert_eq!(checked, 13 * 4);
    }
}

/// What happened in the letters of the table; one outcome may be several.
fn letter(
    (got, is_bounced, is_stored): &(Vec<(&'static str, i8)>, bool, bool),
    scene: &Scene,
    address: &str,
) -> Vec<&'static str> {
    if *is_bounced || *is_stored || got.is_empty() {
        assert!(got.is_empty() && !(*is_bounced && *is_stored));
        return vec![match (is_bounced, is_stored) {
            (true, _) => "E",
            (_, true) => "O",
            _ => "S",
        }];
    }
    let willing = scene.juliet.iter().filter(|(.., priority)| *priority >= 0);
    let willing: Vec<_> = willing
        .map(|(_, resource, priority)| (*resource, *priority))
        .collect();
    let best = willing.iter().map(|(_, priority)| *priority).max();
    let mut letters = Vec::new();
    if (address == "full match" && got[..] == [("balcony", scene.juliet[0].2)])
        || (willing.len() == 1 && *got == willing)
    {
        letters.push("D");
    }
    if *got == willing {
        letters.push("A");
    }
    if got.len() == 1 && Some(got[0].1) == best {
        letters.extend(["M", "M*"]);
    }
    letters
}

/// Section 11: what a stranger hears says neither who is there nor, where an account says nothing, that it exists.
#[test]
fn what_a_stranger_hears_of_a_message_does_not_say_who_is_there() {
    let payloads = [
        "<body>Hush</body>",
        "<active xmlns='http://jabber.org/protocol/chatstates'/>",
        "<x xmlns='urn:example:x'/><no-store xmlns='urn:xmpp:hints'/>",
        "<body>Hush</body><no-store xmlns='urn:xmpp:hints'/>",
        "",
    ];
    let mut scenes = HEADINGS.map(|heading| Scene::of(heading, false));
    for payload in payloads {
        for type_ in ["normal", "chat", "groupchat", "headline", "error"] {
            for to in ["juliet@localhost", "juliet@localhost/balcony"] {
                let mut heard = [false; 5];
                let mut was_stored = false;
                for (scene, heard) in scenes.iter_mut().zip(&mut heard) {
                    let (_, is_bounced, is_stored) = scene.sends(type_, to, payload);
                    *heard = is_bounced;
                    was_stored |= is_stored;
                }
                let [nobody, existing @ ..] = heard;
                let existing: BTreeSet<bool> = existing.into_iter().collect();
                assert_eq!(existing.len(), 1, "{type_} {payload} to {to}: {heard:?}");
                // What is kept for somebody comes back from nobody.
                assert!(
                    was_stored || existing.contains(&nobody),
                    "{type_} {payload} to {to}: {heard:?}"
                );
            }
        }
    }
}

/// A friend hears it.
#[test]
fn who_may_see_an_account_hears_that_nobody_took_a_message() {
    let mut scene = Scene::of(HEADINGS[1], true);
    let away = "<body>Hush</body><no-store xmlns='urn:xmpp:hints'/>";
    assert!(scene.sends("chat", "juliet@localhost", away).1);
    assert!(
        scene
            .sends("normal", "juliet@localhost/crypt", "<body>Hush</body>")
            .1
    );
}

// ---- Mailboxes and bounds ----

#[test]
fn a_contact_that_goes_is_seen_to_go_whatever_strangers_send_before() {
    let mut world = world();
    for name in ["juliet", "romeo", "tybalt"] {
        world.register(name, "secret");
    }
    let juliet = session(&mut world, "juliet", "balcony", "<presence/>");
    let romeo = session(&mut world, "romeo", "orchard", "<presence/>");
    let tybalt = session(&mut world, "tybalt", "street", "<presence/>");
    act(&mut world, juliet, "subscribe", "romeo");
    act(&mut world, romeo, "subscribed", "juliet");
    assert!(hears(&mut world, juliet).contains("from='romeo@localhost/orchard'"));
    // Her mailbox waits for the disk.
    world.disk_is_asleep = true;
    let item = "<item jid='nurse@localhost'/>";
    let set = format!("<iq type='set' id='s'><query xmlns='jabber:iq:roster'>{item}</query></iq>");
    world.write(juliet, set.as_bytes());
    world.settle();
    for part in 0..5 {
        let mut xml = String::new();
        for number in 0..300 {
            xml +=
                &format!("<message to='juliet@localhost' type='headline' id='h{part}.{number}'/>");
            xml += "<presence to='juliet@localhost' type='probe'/>";
        }
        world.write(tybalt, xml.as_bytes());
        world.settle();
        hears(&mut world, tybalt);
    }
    world.write(romeo, b"<presence type='unavailable'/>");
    world.settle();
    world.disk_is_asleep = false;
    world.settle();
    world.end_turns();
    let heard = hears(&mut world, juliet);
    let mut presences = heard.split("<presence");
    assert!(presences.any(|it| {
        it.contains("from='romeo@localhost/orchard'") && it.contains("type='unavailable'")
    }));
}

#[test]
fn a_request_that_finds_no_room_comes_when_there_is_some() {
    let mut world = world_with("roster.requests = 1\n");
    for name in ["juliet", "romeo", "tybalt"] {
        world.register(name, "secret");
    }
    let juliet = session(&mut world, "juliet", "balcony", "<presence/>");
    let romeo = session(&mut world, "romeo", "orchard", "<presence/>");
    let tybalt = session(&mut world, "tybalt", "street", "<presence/>");
    act(&mut world, tybalt, "subscribe", "juliet");
    act(&mut world, romeo, "subscribe", "juliet");
    assert_eq!(world.requests("juliet"), ["tybalt@localhost"]);
    act(&mut world, juliet, "unsubscribed", "tybalt");
    world.advance(3_700_000);
    world.settle();
    assert_eq!(world.requests("juliet"), ["romeo@localhost"]);
}

#[test]
fn nobody_asks_faster_than_people_do() {
    let mut world = world();
    world.register("romeo", "secret");
    let romeo = session(&mut world, "romeo", "orchard", "<presence/>");
    let mut refused = 0;
    for number in 0..100 {
        let said = act(&mut world, romeo, "subscribe", &format!("girl-{number}"));
        refused += usize::from(said.contains("resource-constraint"));
    }
    assert!((35..=40).contains(&refused), "{refused}");
    // Later there is room again.
    world.advance(60_000);
    assert!(!act(&mut world, romeo, "subscribe", "rosaline").contains("type='error'"));
}

#[test]
fn a_roster_that_changed_much_is_told_whole() {
    let mut world = world();
    world.register("juliet", "secret");
    let juliet = session(&mut world, "juliet", "balcony", "");
    let mut ver = String::new();
    for number in 0..300 {
        let item = format!("<item jid='c{number}@localhost'/>");
        let set =
            format!("<iq type='set' id='s'><query xmlns='jabber:iq:roster'>{item}</query></iq>");
        let push = says(&mut world, juliet, &set);
        if number == 199 {
            let from = push.split(" ver='").nth(1).expect("a push has a version");
            ver = from.split('\'').next().expect("it ends").to_string();
        }
    }
    let get = format!("<iq type='get' id='g'><query xmlns='jabber:iq:roster' ver='{ver}'/></iq>");
    let heard = says(&mut world, juliet, &get);
    assert_eq!(heard.matches("<item ").count(), 300);
    assert_eq!(heard.matches("<iq ").count(), 1);
}
