//! What a session says, seen from the server's end of its connection.

use std::io::Read;
use std::net::{TcpListener, TcpStream};

use mio::Poll;

use super::super::people::People;
use super::super::tls::trusting_config;
use super::*;

/// A session that has got so far, and the server's end of its connection.
fn session(phase: Phase) -> (Session, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let poll = Poll::new().expect("epoll");
    let address = listener.local_addr().expect("an address");
    let session = Session::connect(0, address, poll.registry(), Token(0));
    let mut session = session.expect("a connection");
    session.phase = phase;
    let (server, _) = listener.accept().expect("the connection");
    (session, server)
}

fn plan(mechanism: Mechanism) -> LoginPlan {
    let tls = trusting_config().expect("a configuration");
    LoginPlan::new(People::of_bench(), Transport::Plain, mechanism, tls)
}

/// Everything up to an element and with it.
fn heard(server: &mut TcpStream, last: &str) -> String {
    let (mut text, mut bytes) = (String::new(), [0; 4096]);
    while !text.contains(last) {
        let count = server.read(&mut bytes).expect("the client is there");
        assert!(count > 0, "{text}");
        text.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
    text
}

const BOUND: &str =
    "<iq type='result' id='bench-bind'><bind><jid>u00000@localhost/b</jid></bind></iq>";

#[test]
fn client_states_are_seen_behind_the_success_of_sasl2() {
    let (mut session, _server) = session(Phase::Success2);
    let mut plan = plan(Mechanism::Plain);
    plan.sasl2 = true;
    let success = "<success xmlns='urn:xmpp:sasl:2'><bound xmlns='urn:xmpp:bind:0'/></success>";
    let features = "<stream:features><csi xmlns='urn:xmpp:csi:0'/></stream:features>";
    let roster = "<iq type='result' id='bench-roster'/>";
    session.input = format!("{success}{features}{roster}").into_bytes();
    session.advance(&mut plan).expect("a good login");
    assert!(session.is_ready() && plan.offers_client_state);
}

/// XEP-0198 section 4: acknowledgements count stanzas in the order in which they were sent.
#[test]
fn what_a_lost_stream_left_is_sent_before_all_else_as_it_stands_in_the_queue() {
    let (mut session, mut server) = session(Phase::Resumed);
    let mut management = Management::default();
    management.enabled(&Stanza {
        bytes: b"<enabled id='1'/>",
    });
    management.sent(b"<message>1</message>");
    session.management = Some(Box::new(management));
    let mut plan = plan(Mechanism::Plain);
    plan.manages = true;
    session.input = format!("<failed/>{BOUND}<enabled id='2'/>").into_bytes();
    session.advance(&mut plan).expect("a good login");
    let said = heard(&mut server, "<presence/>");
    let queue = session.management.expect("it has one").unacknowledged();
    let queue = String::from_utf8(queue).expect("text");
    assert!(
        said.ends_with(&queue),
        "{said} is not in the order of {queue}"
    );
}

#[test]
fn whoever_has_an_account_gets_in_where_nobody_is_registered() {
    let closed = "<iq type='error' id='bench-register'><error type='cancel'>\
        <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>";
    let (mut session, mut server) = session(Phase::Registered);
    let mut plan = plan(Mechanism::Plain);
    plan.registers = true;
    session.input = closed.into();
    session.advance(&mut plan).expect("it goes on");
    assert!(heard(&mut server, "</auth>").contains("mechanism='PLAIN'"));
    // Who has none hears of both.
    session.input =
        "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>".into();
    let error = session.advance(&mut plan).expect_err("nobody gets in");
    let error = format!("{error:#}");
    assert!(
        error.contains("service-unavailable") && error.contains("not-authorized"),
        "{error}"
    );
}
