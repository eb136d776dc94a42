//! Blocklists over crashes, before a disk that refuses, and where reports of abuse go. What clients see of blocking is
//! played in `tests/scenarios/blocking.xmpp`, and judged under every accident in `tests/sim`.

#[path = "sim/mod.rs"]
mod sim;

use sim::plainly::{hears, says};
use sim::{ConnId, Habits, World};
use stonechat::actor::audit::AuditEvent;
use stonechat::actor::rows::StoreError;
use stonechat::base::limits;
use stonechat::im::blocking::BLOCKLIST;

const LIST: &str = "<iq type='get' id='l'><blocklist xmlns='urn:xmpp:blocking'/></iq>";

fn world(options: &str) -> World {
    World::new(
        1,
        1,
        Habits::KIND,
        sim::config(options).expect("valid options"),
    )
}

fn log_in(world: &mut World, name: &str) -> ConnId {
    sim::plainly::session(world, name, None, "<presence/>")
}

fn user(world: &mut World, name: &str) -> ConnId {
    world.register(name, "secret");
    log_in(world, name)
}

/// A command that blocks one address.
fn block(jid: &str, report: &str) -> String {
    format!(
        "<iq type='set' id='s'><block xmlns='urn:xmpp:blocking'><item jid='{jid}'>{report}</item></block></iq>"
    )
}

fn message(to: &str) -> String {
    format!("<message type='chat' id='m' to='{to}@localhost'><body>Soft</body></message>")
}

#[test]
fn who_is_blocked_stays_so_when_the_power_goes() {
    let mut world = world("");
    let juliet = user(&mut world, "juliet");
    assert!(says(&mut world, juliet, &block("romeo@localhost", "")).contains("type='result'"));
    let mut world = world.crash(2);
    let romeo = user(&mut world, "romeo");
    let answer = says(&mut world, romeo, &message("juliet"));
    assert!(answer.contains("<service-unavailable "), "{answer}");
    let juliet = log_in(&mut world, "juliet");
    let list = says(&mut world, juliet, LIST);
    assert!(list.contains("<item jid='romeo@localhost'/>"), "{list}");
    let unblock = "<iq type='set' id='u'><unblock xmlns='urn:xmpp:blocking'/></iq>";
    assert!(says(&mut world, juliet, unblock).contains("type='result'"));
    assert_eq!(world.row_count(&BLOCKLIST), 0, "an empty list needs no row");
}

#[test]
fn what_the_disk_refuses_blocks_nobody() {
    let mut world = world("");
    let juliet = user(&mut world, "juliet");
    let romeo = user(&mut world, "romeo");
    world.store.lock().set_fault(Some(StoreError::DiskFull));
    let answer = says(&mut world, juliet, &block("romeo@localhost", ""));
    assert!(answer.contains("<resource-constraint "), "{answer}");
    world.store.lock().set_fault(None);
    // A worker looks once a second whether there is room again.
    world.advance(1_000);
    assert_eq!(says(&mut world, romeo, &message("juliet")), "");
    assert!(hears(&mut world, juliet).contains("Soft"));
    assert!(says(&mut world, juliet, LIST).contains("<blocklist xmlns='urn:xmpp:blocking'/>"));
}

#[test]
fn a_removed_account_leaves_no_blocklist() {
    use stonechat::actor::rows::Export;
    assert_eq!(BLOCKLIST.export, Export::WithAccount);
    assert!(
        stonechat::server::rows::TABLES
            .iter()
            .any(|table| table.name == BLOCKLIST.name)
    );
}

fn reports(world: &World) -> usize {
    let is_report = |event: &&AuditEvent| matches!(event, AuditEvent::AbuseReported { .. });
    world.audit.iter().filter(is_report).count()
}

#[test]
fn a_report_goes_into_the_audit_file_and_to_the_operator() {
    let mut world = world("blocking.report_to = \"nurse@localhost\"\n");
    let nurse = user(&mut world, "nurse");
    let juliet = user(&mut world, "juliet");
    let report = "<report xmlns='urn:xmpp:reporting:1' reason='urn:xmpp:reporting:spam'>\
        <text xml:lang='en'>Never came &lt;trouble&gt;</text>\
        <stanza-id xmlns='urn:xmpp:sid:0' by='juliet@localhost' id='7'/></report>";
    says(&mut world, juliet, &block("romeo@localhost", report));
    let filed = world.audit.iter().find_map(|event| match event {
        AuditEvent::AbuseReported {
            account,
            reported,
            reason,
            text,
            messages,
        } => Some((account, reported, reason, text, messages)),
        _ => None,
    });
    let (account, reported, reason, text, messages) = filed.expect("a record");
    assert_eq!(&**account, "juliet@localhost");
    assert_eq!(&**reported, "romeo@localhost");
    assert_eq!(&**reason, "urn:xmpp:reporting:spam");
    assert_eq!(text.as_deref(), Some("Never came <trouble>"));
    assert_eq!(messages.len(), 1);
    let told = hears(&mut world, nurse);
    for part in [
        "<message from='localhost' to='nurse@localhost'",
        "juliet@localhost blocked romeo@localhost: urn:xmpp:reporting:spam\nNever came &lt;trouble&gt;",
        "<report xmlns='urn:xmpp:reporting:1' reason='urn:xmpp:reporting:spam'>",
        "<stanza-id xmlns='urn:xmpp:sid:0' by='juliet@localhost' id='7'/>",
    ] {
        assert!(told.contains(part), "{part} is not in {told}");
    }
    // Who reports without end is not heard for an hour, and blocks all the same.
    for number in 0..limits::REPORTS_MAX + 5 {
        let answer = says(&mut world, juliet, &block(&format!("u{number}@h"), report));
        assert!(answer.contains("type='result'"), "{answer}");
    }
    assert_eq!(reports(&world), limits::REPORTS_MAX);
    hears(&mut world, nurse);
    // Who blocks without a word, or with a refused command, reports nothing.
    let friar = user(&mut world, "friar");
    says(&mut world, friar, &block("tybalt@localhost", ""));
    says(&mut world, friar, &block("@@", report));
    assert_eq!(reports(&world), limits::REPORTS_MAX);
    assert_eq!(hears(&mut world, nurse), "");
}
