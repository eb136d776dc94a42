//! A shard with one account of one session, and handlers made for the tests of the engine.

use std::sync::Arc;

use crate::actor::rows::{Durability, Export, RowKey, Slices, StoreError, Table, Write};
use crate::actor::{Answer, Catalog, Feature, IqRoute, Outcome, Ticket, Turn};
use crate::base::{ActorKey, AddressPrefix, HashSeed, Now, SessionId, StreamKey, WorkerId};
use crate::config::{Outside, load};
use crate::im::acks::{Acks, Bounds};
use crate::im::{Account, Change, Session};
use crate::jid::Jid;
use crate::stanza::{Header, Iq, Kind, Payload, Stanza, Type};
use crate::stream::SessionRef;

use super::cell::Mail;
use super::input::{Input, Opened};
use super::output::{Ask, Output};
use super::route::Routes;
use super::shard::Seeds;
use super::{Place, Rendered, Shard};

pub const NOW: Now = Now {
    mono_ms: 1_000,
    wall_ms: 1_000_000,
};

/// Rows that have to be durable before anybody hears of them.
pub static CAREFUL: Table = Table {
    name: "careful",
    durability: Durability::BeforeReply,
    export: Export::Never,
    slices: Slices::Whole,
    about: "",
};

const TRAP: Feature<Account> = Feature {
    name: "trap",
    specs: &[],
    host_disco: &[],
    account_disco: &[],
    host: &[],
    account: &[
        IqRoute::get("urn:trap", "trap", spring),
        IqRoute::get("urn:trap", "safe", answer),
        IqRoute::get("urn:trap", "careful", write),
    ],
    commands: &[],
    portable: None,
};

fn spring(_: &mut Turn<'_, Account>, _: Iq<'_>) -> Outcome {
    panic!("a bug in a handler")
}

fn answer(turn: &mut Turn<'_, Account>, iq: Iq<'_>) -> Outcome {
    turn.out.send(iq.result(Payload::EMPTY));
    Ok(())
}

/// Writes a careful row and switches carbons on.
fn write(turn: &mut Turn<'_, Account>, iq: Iq<'_>) -> Outcome {
    turn.out.write.push(Write::Put {
        table: &CAREFUL,
        key: RowKey::new(b"key"),
        value: Arc::from(&b"value"[..]),
    });
    turn.out.change.push(Change::Carbons {
        session: SessionId(1),
        enabled: true,
    });
    answer(turn, iq)
}

/// A shard with one account of one session that counts what it is sent.
pub fn stage() -> (Shard, ActorKey) {
    stage_of(1)
}

/// The same as one of so many workers.
pub fn stage_of(worker_count: u8) -> (Shard, ActorKey) {
    let jid = Jid::parse("romeo@localhost").expect("valid");
    let mut shard = shard(routes(worker_count).home(&jid), worker_count);
    shard.switch(Catalog::new(&[&TRAP], |_| true));
    let actor = enter(&mut shard, &jid);
    (shard, actor)
}

/// An account of one session that counts what it is sent.
pub fn enter(shard: &mut Shard, jid: &Jid) -> ActorKey {
    let actor = shard.cell_at(NOW, jid);
    let full = jid.with_resource("orchard").expect("valid");
    let mut session = Session::new(SessionId(1), full, StreamKey::default());
    let bounds = Bounds {
        count_max: 100,
        bytes_max: 100_000,
    };
    session.acks = Some(Box::new(Acks::new(String::new(), 60_000, bounds)));
    session.stream = None;
    shard.cells[actor].account.sessions.push(session);
    actor
}

/// A shard without accounts: this one of so many workers.
pub fn shard(worker: WorkerId, worker_count: u8) -> Shard {
    let outside = Outside {
        features: &[],
        address: |_| Ok(()),
        log_filter: |_| Ok(()),
        cores: 1,
    };
    let config = Arc::new(load("", "", &outside).expect("the defaults are valid"));
    let place = Place {
        worker,
        worker_count,
    };
    let seeds = Seeds {
        maps: HashSeed(1, 2),
        rng: [0; 32],
        ids: [0; 16],
    };
    Shard::new(place, config, routes(worker_count), seeds, 0)
}

fn routes(worker_count: u8) -> Routes {
    Routes::new(HashSeed(3, 4), worker_count)
}

/// A new stream.
pub fn open(shard: &mut Shard) -> StreamKey {
    let opened = Opened {
        listener: 0,
        prefix: AddressPrefix::Local,
        address: None,
        peer: Arc::from("192.0.2.1:50123"),
        secured: None,
        waited_ms: 0,
    };
    shard.open(NOW, opened)
}

/// The session's client is there.
pub fn connect(shard: &mut Shard, actor: ActorKey) -> StreamKey {
    let key = open(shard);
    let session = &mut shard.cells[actor].account.sessions[0];
    session.stream = Some(key);
    let (at, jid) = (session.id, session.jid.clone());
    let at = SessionRef { actor, session: at };
    shard.streams[key].bound(at, jid);
    key
}

/// What the stream says next.
pub fn rendered(shard: &mut Shard, key: StreamKey) -> String {
    let mut bytes = Vec::new();
    while shard.render(NOW, key, &mut bytes) == Rendered::More {}
    String::from_utf8(bytes).expect("XML is UTF-8")
}

/// The session's client asks for this.
pub fn ask(shard: &mut Shard, actor: ActorKey, name: &str) {
    let payload = format!("<{name} xmlns='urn:trap'/>");
    say(shard, actor, Header::new(Kind::Iq, Type::Get), &payload);
}

/// The session's client says this.
pub fn say(shard: &mut Shard, actor: ActorKey, mut header: Header, payload: &str) {
    header.id = Some("1".into());
    header.from = Some(Jid::parse("romeo@localhost/orchard").expect("valid"));
    let payload = Payload::from_normal(payload);
    let mail = Mail::Outbound {
        session: SessionId(1),
        stanza: Stanza { header, payload },
        origin: None,
    };
    shard.post_to(actor, mail);
    shard.drive(NOW);
}

/// The types of what the session was sent.
pub fn answers(shard: &Shard, actor: ActorKey) -> Vec<Type> {
    held(shard, actor).map(|s| s.header.type_).collect()
}

/// What the session was sent.
pub fn held(shard: &Shard, actor: ActorKey) -> impl Iterator<Item = &Stanza> {
    let session = &shard.cells[actor].account.sessions[0];
    let acks = session.acks.as_ref().expect("set by the stage");
    acks.unacked().map(|held| &held.stanza)
}

/// The turn of the loop ends: what is saved, and the ticket of the save.
pub fn saved(shard: &mut Shard) -> Option<(Ticket, Vec<Write>)> {
    shard.end_turn(NOW);
    std::iter::from_fn(|| shard.poll_output()).find_map(|output| match output {
        Output::Ask(ticket, Ask::Save { writes, .. }) => Some((ticket, writes)),
        _ => None,
    })
}

/// The store answers a save.
pub fn commits(shard: &mut Shard, ticket: Ticket, outcome: Result<(), StoreError>) {
    let answer = outcome.map_or_else(Answer::Failed, |()| Answer::Saved);
    shard.handle(NOW, Input::Answer(ticket, answer));
}
