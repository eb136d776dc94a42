//! One grep follows a message over workers.

use crate::client::Client;
use crate::server::House;

#[test]
fn one_trace_follows_a_message_over_workers_and_never_says_its_content() {
    let house = House::of_localhost("trace", "log.filter = \"warn,stonechat::shard=trace\"");
    let server = house.serve();
    house.add("juliet@localhost");
    // With two workers, one of these lives elsewhere but once in 65,536 runs.
    let names: Vec<String> = (0..16).map(|number| format!("friend{number}")).collect();
    for name in &names {
        house.add(&format!("{name}@localhost"));
    }
    let mut juliet = Client::session(&server, "juliet", "balcony");
    let mut friends: Vec<Client> = names
        .iter()
        .map(|name| Client::session(&server, name, "here"))
        .collect();
    for name in &names {
        juliet.send(&format!(
            "<message to='{name}@localhost' type='chat'><body>canary-77c1</body></message>"
        ));
    }
    for friend in &mut friends {
        assert!(friend.element().contains("canary-77c1"));
    }
    // And one that nobody can have.
    juliet.send("<message to='nobody@localhost' type='chat'><body>canary-77c1</body></message>");
    assert!(juliet.element().contains("type='error'"));
    drop((juliet, friends));
    let log = server.stop();
    assert!(!log.contains("canary-77c1"));
    let traces: Vec<&str> = log
        .lines()
        .filter(|line| line.contains(" stanza_in ") && line.contains("kind=message"))
        .map(|line| {
            line.split_once(" trace=")
                .unwrap()
                .1
                .split(' ')
                .next()
                .unwrap()
        })
        .collect();
    assert_eq!(traces.len(), names.len() + 1);
    let mut workers = std::collections::BTreeSet::new();
    for trace in &traces[..names.len()] {
        let path = followed(&log, trace);
        let events: Vec<&str> = path.iter().map(|(event, _)| *event).collect();
        for event in [
            "stanza_in",
            "stanza_routed",
            "stanza_kept",
            "stanza_delivered",
        ] {
            assert!(events.contains(&event), "{trace}: {path:?}");
        }
        let routed = path.iter().find(|(event, _)| *event == "stanza_routed");
        workers.insert(
            routed
                .unwrap()
                .1
                .split("to-worker=")
                .nth(1)
                .unwrap()
                .to_owned(),
        );
    }
    assert_eq!(workers.len(), 2, "{workers:?}");
    let path = followed(&log, traces[names.len()]);
    assert!(
        path.iter().any(|(event, _)| *event == "stanza_bounced"),
        "{path:?}"
    );
}

/// Events with this trace, and the lines that say so.
fn followed<'a>(log: &'a str, trace: &str) -> Vec<(&'a str, &'a str)> {
    let needle = format!(" trace={trace} ");
    let lines = log.lines().filter(|line| line.contains(&needle));
    lines
        .map(|line| (line.split(' ').nth(3).unwrap(), line))
        .collect()
}
