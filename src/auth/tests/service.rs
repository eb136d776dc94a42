//! The threads: every question answered once, and guessing keeps nobody out.

use std::time::Duration;

use crossbeam_channel::{Receiver, unbounded};

use super::*;
use crate::actor::{Answer, Ticket};
use crate::auth::service::{AnswerPort, AuthService};
use crate::base::WorkerId;

/// The service with one worker, whose clock moves by `step_ms` each time that it is read.
fn service(house: &House, step_ms: u64) -> (AuthService, Receiver<(Ticket, Answer)>) {
    let (sender, answers) = unbounded();
    let port: AnswerPort = Arc::new(move |ticket, answer| {
        // The test may have ended.
        let _ = sender.send((ticket, answer));
    });
    let time = AtomicU64::new(0);
    let clock = Arc::new(move || Now {
        mono_ms: time.fetch_add(step_ms, Ordering::Relaxed),
        wall_ms: 0,
    });
    let service = AuthService::start(&house.accounts, vec![port], clock, Arc::new(|| {})).unwrap();
    (service, answers)
}

fn next(answers: &Receiver<(Ticket, Answer)>) -> (Ticket, AuthAnswer) {
    match answers
        .recv_timeout(Duration::from_secs(30))
        .expect("an answer comes")
    {
        (ticket, Answer::Auth(answer)) => (ticket, answer),
        (_, other) => panic!("the auth thread does not say {other:?}"),
    }
}

#[test]
fn a_panic_of_a_thread_is_told_for_nobody_could_log_in_behind_it() {
    let house = house();
    let (tell, told) = unbounded();
    let port: AnswerPort = Arc::new(|_, _| panic!("a bug behind the auth thread"));
    for ask in [
        keys_ask("juliet", ScramHash::Sha256),
        password_ask("juliet", "pencil"),
    ] {
        let tell = tell.clone();
        let on_panic = Arc::new(move || tell.send(()).unwrap());
        let clock = Arc::new(Now::default);
        let ports = vec![Arc::clone(&port)];
        let service = AuthService::start(&house.accounts, ports, clock, on_panic).unwrap();
        service.ask(WorkerId(0), Ticket(1), ask);
        told.recv_timeout(Duration::from_secs(30))
            .expect("it is told");
    }
}

#[test]
fn every_question_is_answered_once_under_its_ticket() {
    let house = house();
    let (service, answers) = service(&house, 1_000);
    let worker = WorkerId(0);
    service.ask(worker, Ticket(1), keys_ask("juliet", ScramHash::Sha256));
    service.ask(worker, Ticket(2), password_ask("juliet", "pencil"));
    service.ask(worker, Ticket(3), password_ask("juliet", "wrong"));
    service.ask(worker, Ticket(4), failed_ask("juliet"));
    let mut heard = BTreeMap::new();
    for _ in 0..4 {
        let (ticket, answer) = next(&answers);
        assert!(heard.insert(ticket, answer).is_none());
    }
    assert!(matches!(
        heard[&Ticket(1)],
        AuthAnswer::ScramKeys {
            account: Some(_),
            ..
        }
    ));
    assert!(admitted(&heard[&Ticket(2)]));
    assert!(matches!(heard[&Ticket(3)], AuthAnswer::Refused));
    assert!(matches!(heard[&Ticket(4)], AuthAnswer::Released));
    drop(service);
    assert!(answers.try_recv().is_err());
}

#[test]
fn failures_that_wait_take_nobodys_seat() {
    let house = house();
    // Time stands still: no failure is ever released.
    let (service, answers) = service(&house, 0);
    let worker = WorkerId(0);
    for index in 0..2 * limits::AUTH_OUTSTANDING_MAX as u64 {
        service.ask(worker, Ticket(index), failed_ask("juliet"));
    }
    service.ask(worker, Ticket(u64::MAX), password_ask("juliet", "pencil"));
    let (ticket, answer) = next(&answers);
    assert_eq!(ticket, Ticket(u64::MAX));
    assert!(admitted(&answer));
}

#[test]
fn more_questions_than_seats_are_turned_away_at_once() {
    let house = house();
    // Nobody reads a row while the test holds the disk.
    let held = house.disk.rows.lock();
    let (service, answers) = service(&house, 0);
    let worker = WorkerId(0);
    for index in 0..limits::AUTH_OUTSTANDING_MAX as u64 {
        service.ask(worker, Ticket(index), keys_ask("juliet", ScramHash::Sha1));
    }
    service.ask(
        worker,
        Ticket(u64::MAX),
        keys_ask("juliet", ScramHash::Sha1),
    );
    let (ticket, answer) = next(&answers);
    assert_eq!(ticket, Ticket(u64::MAX));
    assert!(matches!(answer, AuthAnswer::Unavailable));
    drop(held);
    for _ in 0..limits::AUTH_OUTSTANDING_MAX {
        assert!(matches!(next(&answers).1, AuthAnswer::ScramKeys { .. }));
    }
    // And the seats are free again.
    service.ask(worker, Ticket(7), keys_ask("juliet", ScramHash::Sha1));
    assert!(matches!(next(&answers).1, AuthAnswer::ScramKeys { .. }));
}

#[test]
fn passwords_to_be_tried_take_nobodys_seat_and_are_bounded() {
    let house = house();
    let held = house.disk.rows.lock();
    let (service, answers) = service(&house, 0);
    let worker = WorkerId(0);
    let more = 100;
    let guesses = (limits::DERIVATIONS_WAITING_MAX + more) as u64;
    for index in 0..guesses {
        service.ask(worker, Ticket(index), password_ask("juliet", "guess"));
    }
    service.ask(
        worker,
        Ticket(u64::MAX),
        keys_ask("juliet", ScramHash::Sha256),
    );
    drop(held);
    let (mut turned_away, mut refused, mut served) = (0, 0, 0);
    for _ in 0..=guesses {
        match next(&answers) {
            (
                Ticket(u64::MAX),
                AuthAnswer::ScramKeys {
                    account: Some(_), ..
                },
            ) => served += 1,
            (_, AuthAnswer::Unavailable) => turned_away += 1,
            (_, AuthAnswer::Refused) => refused += 1,
            other => panic!("nobody guessed right: {other:?}"),
        }
    }
    assert_eq!(served, 1);
    // Each thread had at most one in its hands.
    assert!(
        turned_away >= more - 2,
        "{turned_away} turned away, {refused} refused"
    );
}
