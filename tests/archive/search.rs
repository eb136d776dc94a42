//! What is archived is found by whom it was exchanged with and by its name, and pages go to whoever reads them.

use super::*;

#[test]
fn whatever_is_archived_is_found_by_its_contact_and_retracted_by_its_name() {
    for workers in [1, 4] {
        for seed in 0..4 {
            play_by_chance(workers, seed);
        }
    }
}

/// What was said to a contact, by its id, and whether it was retracted.
struct Said {
    id: String,
    to: &'static str,
    is_retracted: bool,
}

/// Messages to two contacts, searches, retractions, crashes and minutes in which nobody is in memory, by chance.
fn play_by_chance(workers: u8, seed: u8) {
    let mut rng = Rng::from_seed([seed; 32]);
    // The two are away and do not know romeo: what is beyond a stranger's share would be archived by nobody but him.
    let mut world = world_of(
        workers,
        "delivery.offline_count = 100000\ndelivery.offline_size = \"40 MiB\"\n",
    );
    for name in ["juliet", "nurse"] {
        world.register(name, "secret");
    }
    let mut romeo = user(&mut world, "romeo", "<presence/>");
    let mut said: Vec<Said> = Vec::new();
    let mut number = 0;
    for round in 0..80 {
        let to = ["juliet", "nurse"][rng.below(2) as usize];
        match rng.below(12) {
            0..=5 => {
                let count = [1, 3, 30][rng.below(3) as usize];
                says(&mut world, romeo, &chat(to, number, count));
                said.extend((number..number + count).map(|n| Said {
                    id: format!("m{n}"),
                    to,
                    is_retracted: false,
                }));
                number += count;
            }
            6 | 7 => {
                // Now and then one that nobody said.
                let of = rng.below(said.len() as u32 + 1) as usize;
                let (target, to) = match said.get_mut(of) {
                    Some(said) => {
                        said.is_retracted = true;
                        (said.id.clone(), said.to)
                    }
                    None => ("nothing".to_owned(), to),
                };
                let retraction = format!(
                    "<message to='{to}@localhost' type='chat' id='r{round}'>\
                     <retract xmlns='urn:xmpp:message-retract:1' id='{target}'/></message>"
                );
                says(&mut world, romeo, &retraction);
                world.end_turns();
                world.settle();
                said.push(Said {
                    id: format!("r{round}"),
                    to,
                    is_retracted: false,
                });
            }
            8 | 9 => {
                let expected: Vec<&str> = said
                    .iter()
                    .filter(|said| said.to == to)
                    .map(|said| &*said.id)
                    .collect();
                assert_eq!(found_with(&mut world, romeo, to), expected);
                let last = says(&mut world, romeo, &query_with(to, 7, "<before/>"));
                assert_eq!(
                    ids(&last),
                    expected[expected.len() - expected.len().min(7)..]
                );
            }
            10 => {
                world.end_turns();
                // Nobody is in the middle of anything for minutes.
                world.lose(romeo);
                world.advance(10 * 60_000);
                romeo = log_in(&mut world, "romeo", "<presence/>");
            }
            _ => {
                world.end_turns();
                world = world.crash(round);
                romeo = log_in(&mut world, "romeo", "<presence/>");
            }
        }
        for name in ["romeo", "juliet", "nurse"] {
            let archive = world.archive(name);
            let found = archive.iter().map(|xml| {
                let id = ids(xml).into_iter().next().expect("an id");
                (id, xml.contains("<retracted "))
            });
            let of_theirs = said
                .iter()
                .filter(|said| name == "romeo" || said.to == name);
            let expected = of_theirs.map(|said| (said.id.clone(), said.is_retracted));
            assert_eq!(
                found.collect::<Vec<_>>(),
                expected.collect::<Vec<_>>(),
                "{name} in round {round} of seed {seed}"
            );
        }
    }
    assert!(said.len() > 200, "{}", said.len());
    index(&world);
    world.assert_rest();
}

#[test]
fn a_page_for_a_client_that_does_not_read_stays_in_the_store() {
    let mut world = world("");
    let romeo = user(&mut world, "romeo", "<presence/>");
    for part in 0..5 {
        says(&mut world, romeo, &notes(part * 50, part * 50 + 50, 8_000));
    }
    world.stall(romeo, true);
    world.write(romeo, query(250).as_bytes());
    world.settle();
    assert!(
        world.queued_bytes() < 300_000,
        "{} bytes wait",
        world.queued_bytes()
    );
    // The mailbox goes on: whoever else asks is answered, and so is this client, behind what waits for it.
    world.write(
        romeo,
        b"<iq type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>",
    );
    world.settle();
    world.stall(romeo, false);
    world.settle();
    let heard = hears(&mut world, romeo);
    let results: Vec<&str> = heard.split("<body>note ").skip(1).collect();
    let numbers: Vec<usize> = results
        .iter()
        .map(|rest| {
            rest.split(' ')
                .next()
                .expect("a number")
                .parse()
                .expect("a number")
        })
        .collect();
    assert_eq!(numbers, (0..250).collect::<Vec<usize>>());
    assert!(heard.ends_with("</iq>") && heard.contains("complete='true'"));
    assert!(heard.contains("id='p'"));
    world.assert_rest();
}

#[test]
fn a_page_is_closed_even_when_its_account_has_a_full_mailbox() {
    let mut world = world("");
    let juliet = user(&mut world, "juliet", "<presence/>");
    let romeo = user(&mut world, "romeo", "<presence/>");
    says(&mut world, romeo, &notes(0, 50, 8_000));
    world.end_turns();
    world.stall(romeo, true);
    world.write(romeo, query(50).as_bytes());
    world.settle();
    // The mailbox waits for the disk, and fills with what is let into a full one longest.
    world.disk_is_asleep = true;
    let item = "<query xmlns='jabber:iq:roster'><item jid='nurse@localhost'/></query>";
    world.write(
        romeo,
        format!("<iq type='set' id='r'>{item}</iq>").as_bytes(),
    );
    world.settle();
    let answer = format!(
        "<iq type='result' id='x' to='romeo@localhost/nowhere'><x xmlns='urn:x'>{}</x></iq>",
        "y".repeat(200_000)
    );
    for _ in 0..20 {
        says(&mut world, juliet, &answer);
    }
    let ping = "<iq type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>";
    world.write(romeo, ping.as_bytes());
    world.stall(romeo, false);
    world.settle();
    let heard = hears(&mut world, romeo);
    assert_eq!(heard.matches("<result ").count(), 50);
    assert!(
        heard.contains("<fin ") && !heard.contains("id='p'"),
        "the mailbox waits"
    );
    world.disk_is_asleep = false;
    world.end_turns();
    assert!(hears(&mut world, romeo).contains("id='p'"));
    world.assert_rest();
}

#[test]
fn a_disk_that_cannot_be_read_rejects_the_query_and_nothing_else() {
    let mut world = world("");
    let romeo = user(&mut world, "romeo", "<presence/>");
    says(&mut world, romeo, &notes(0, 3, 0));
    world.end_turns();
    world.store.lock().set_fault(Some(StoreError::Broken));
    let heard = says(&mut world, romeo, &query(10));
    assert!(
        heard.contains("type='error'") && heard.contains("internal-server-error"),
        "{heard}"
    );
    world.store.lock().set_fault(None);
    let heard = says(&mut world, romeo, &query(10));
    assert_eq!(heard.matches("<result ").count(), 3);
    assert!(heard.contains("complete='true'"));
    world.assert_rest();
}
