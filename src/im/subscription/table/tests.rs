//! Every cell of appendix A against the text of the RFC (`appendix_a.txt` holds its tables as they stand there).

use super::*;

const APPENDIX_A: &str = include_str!("appendix_a.txt");
const STATES: [(&str, State); 9] = [
    ("\"None\"", State::None),
    ("\"None + Pending Out\"", State::NonePendingOut),
    ("\"None + Pending In\"", State::NonePendingIn),
    ("\"None + Pending Out+In\"", State::NonePendingOutIn),
    ("\"To\"", State::To),
    ("\"To + Pending In\"", State::ToPendingIn),
    ("\"From\"", State::From),
    ("\"From + Pending Out\"", State::FromPendingOut),
    ("\"Both\"", State::Both),
];
const ACTS: [(&str, Act); 4] = [
    ("\"subscribe\"", Act::Subscribe),
    ("\"unsubscribe\"", Act::Unsubscribe),
    ("\"subscribed\"", Act::Subscribed),
    ("\"unsubscribed\"", Act::Unsubscribed),
];

/// A row of a table as it is printed.
struct Printed {
    direction: &'static str,
    act: Act,
    state: State,
    verdict: &'static str,
    next: &'static str,
}

fn named<T: Copy>(names: &[(&str, T)], name: &str) -> T {
    let found = names.iter().find(|(known, _)| *known == name);
    found.unwrap_or_else(|| panic!("{name} is not known")).1
}

fn printed() -> Vec<Printed> {
    let mut heading = ("", Act::Subscribe);
    let mut rows = Vec::new();
    for line in APPENDIX_A.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let ["Table", _, "Processing", "of", direction, act, "stanzas"] = words[..] {
            heading = (direction, named(&ACTS, act));
            continue;
        }
        let cells: Vec<&str> = line
            .trim()
            .trim_matches('|')
            .split('|')
            .map(str::trim)
            .collect();
        let [state, verdict, next] = cells[..] else {
            panic!("not three cells: {line}");
        };
        if state == "EXISTING STATE" {
            continue;
        }
        rows.push(Printed {
            direction: heading.0,
            act: heading.1,
            state: named(&STATES, state),
            verdict,
            next,
        });
    }
    rows
}

#[test]
fn every_cell_for_stanzas_that_the_user_sends_is_that_of_appendix_a_2() {
    let rows = printed();
    let rows: Vec<_> = rows.iter().filter(|r| r.direction == "outbound").collect();
    assert_eq!(rows.len(), 4 * 9);
    for row in rows {
        let ours = OUTBOUND[row.act as usize][row.state as usize];
        let route = match row.verdict {
            "MUST" | "MUST [1]" => true,
            "M.N." | "S.N." => false,
            other => panic!("{other}"),
        };
        let next = match row.next {
            "no state change" => Next::Same,
            "pre-approval [1]" => Next::PreApproval,
            "no state change [1]" => Next::NoPreApproval,
            state => Next::State(named(&STATES, state)),
        };
        assert_eq!(
            ours,
            Outgoing { route, next },
            "{:?} in {:?}",
            row.act,
            row.state
        );
    }
}

#[test]
fn every_cell_for_stanzas_that_come_for_the_user_is_that_of_appendix_a_3() {
    let rows = printed();
    let rows: Vec<_> = rows.iter().filter(|r| r.direction == "inbound").collect();
    assert_eq!(rows.len(), 4 * 9);
    for row in rows {
        let ours = INBOUND[row.act as usize][row.state as usize];
        // The notes: A.3.1 [2] "SHOULD auto-reply with "subscribed"", A.3.2 [1] "SHOULD auto-reply with
        // "unsubscribed""; A.3.1 [1] is about pre-approval, which is no state.
        let (deliver, reply) = match (row.act, row.verdict) {
            (Act::Subscribe, "MUST" | "MUST [1]") => (true, None),
            (Act::Subscribe, "S.N. [2]") => (false, Some(Act::Subscribed)),
            (Act::Unsubscribe, "MUST [1]") => (true, Some(Act::Unsubscribed)),
            (_, "MUST") => (true, None),
            (_, "S.N.") => (false, None),
            (_, other) => panic!("{other}"),
        };
        let next = match row.next {
            "no state change" => Next::Same,
            state => Next::State(named(&STATES, state)),
        };
        let expected = Incoming {
            deliver,
            next,
            reply,
        };
        assert_eq!(ours, expected, "{:?} in {:?}", row.act, row.state);
    }
}

#[test]
fn a_state_is_shown_as_appendix_a_1_says_and_survives_the_way_through_a_standing() {
    for (name, state) in STATES {
        let standing = state.put_into(Standing {
            approved: true,
            listed: true,
            ..Standing::default()
        });
        assert_eq!(State::of(standing), state);
        assert!(standing.approved && standing.listed);
        let (shown, ask) = match name.trim_matches('"') {
            "None" | "None + Pending In" => ("none", false),
            "None + Pending Out" | "None + Pending Out+In" => ("none", true),
            "To" | "To + Pending In" => ("to", false),
            "From" => ("from", false),
            "From + Pending Out" => ("from", true),
            _ => ("both", false),
        };
        assert_eq!(
            (standing.subscription(), standing.ask),
            (shown, ask),
            "{name}"
        );
    }
}

#[test]
fn what_one_side_asks_and_grants_is_what_the_other_side_sees() {
    // Two accounts, every order of four acts: what is routed is heard at once. The halves never contradict.
    let all = ACTS.map(|(_, act)| act);
    let mut seen = 0;
    for steps in 0..8_usize.pow(5) {
        let mut sides = [Standing::default(); 2];
        let mut steps = steps;
        for _ in 0..5 {
            let (who, act) = (steps % 2, all[steps / 2 % 4]);
            steps /= 8;
            let rule = OUTBOUND[act as usize][State::of(sides[who]) as usize];
            if let Next::State(next) = rule.next {
                sides[who] = next.put_into(sides[who]);
            }
            if rule.route {
                let other = &mut sides[1 - who];
                let rule = INBOUND[act as usize][State::of(*other) as usize];
                if let Next::State(next) = rule.next {
                    *other = next.put_into(*other);
                }
            }
            seen += 1;
            let [a, b] = sides;
            assert_eq!((a.to, a.from), (b.from, b.to), "{sides:?}");
            assert_eq!((a.ask, b.ask), (b.pending_in, a.pending_in), "{sides:?}");
        }
    }
    assert_eq!(seen, 5 * 8_usize.pow(5));
}
