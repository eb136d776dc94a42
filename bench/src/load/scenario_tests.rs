//! Scenarios that are good, that make no sense, and that are changed.

use super::*;
use crate::load::span::Span;

fn error(text: &str) -> String {
    format!(
        "{:#}",
        Scenario::parse(text, &[]).expect_err("must be refused")
    )
}

#[test]
fn every_scenario_that_comes_with_the_program_is_good() {
    for (name, text) in BUILT_IN {
        let scenario = Scenario::parse(text, &[]).expect(name);
        assert!(!scenario.about.is_empty(), "{name} does not say what it is");
        let json = serde_json::to_string(&scenario).expect("scenarios are plain");
        let again: Scenario = serde_json::from_str(&json).expect("what parts are told");
        assert_eq!(again, scenario, "{name}");
    }
}

#[test]
fn an_unknown_key_is_named_with_its_line() {
    let said = error("scenario = 'chat'\n[users]\ncount = 10\n[chat]\nwindows = 4\n");
    assert!(
        said.contains("line 5") && said.contains("windows"),
        "{said}"
    );
    let said = error("scenario = 'chat'\n[time]\nmeasure = '10 days'\n");
    assert!(
        said.contains("line 3") && said.contains("10 days"),
        "{said}"
    );
}

#[test]
fn what_makes_no_sense_is_refused() {
    let day = |line: &str| {
        let users = "[users]\ncontacts = 2\ncommunity = 10";
        format!("scenario = 'day'\n{users}\n[connection]\nstream-management = true\n[day]\n{line}")
    };
    for (text, part) in [
        ("scenario = 'chat'\n[users]\ncount = 3", "multiple of 2"),
        (
            "scenario = 'idle'\n[chat]\nwindow = 1",
            "[chat] says nothing",
        ),
        ("scenario = 'presence'", "needs contacts"),
        (
            "scenario = 'day'\n[users]\ncontacts = 3\ncommunity = 10",
            "must be even",
        ),
        (
            "scenario = 'idle'\n[users]\ncount = 100\ndigits = 1",
            "digits",
        ),
        (
            "scenario = 'idle'\n[connection]\ntransport = 'plain'\nmechanism = 'fast'",
            "TLS",
        ),
        ("scenario = 'chat'\n[chat]\nrate = -1.0", "negative"),
        ("scenario = 'chat'\n[chat]\nrate = inf", "without end"),
        (&day("messages = inf"), "without end"),
        (&day("cuts = nan"), "without end"),
        (&day("surge = inf"), "have an end"),
        (&day("surge = 0"), "above 0"),
        (
            "scenario = 'idle'\n[time]\nmeasure = '0 s'",
            "longer than nothing",
        ),
        ("scenario = 'chat'\n[users]\nprefix = 'a@b'", "RFC 7622"),
    ] {
        let said = error(text);
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn changes_are_applied_and_checked_as_the_file_is() {
    let change = |change: &str| {
        let changes = [change.to_owned(), "users.prefix=x".to_owned()];
        Scenario::parse("scenario = 'chat'", &changes)
    };
    let scenario = change("chat.window=7").expect("a good change");
    assert_eq!(scenario.chat.map(|chat| chat.window), Some(7));
    assert_eq!(scenario.users.prefix, "x");
    let scenario = change("time.measure=90 s").expect("a text needs no quotes");
    assert_eq!(scenario.time.measure, Span::seconds(90));
    assert!(change("chat.windows=7").is_err());
    assert!(change("nonsense").is_err());
}
