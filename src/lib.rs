//! Stonechat: an XMPP server for large public services. This page is its architecture, kept true to the code;
//! what each part does in detail stands at the part.
//!
//! # In one breath
//!
//! **A core that knows XMPP and nothing else, inside a shell that knows Linux and nothing else.** The core is
//! one type, [`shard::Shard`]: everything that one worker owns, driven by values in ([`shard::Input`]) and
//! values out ([`shard::Output`]), with time ([`base::Now`]) as an argument. The shell is one loop per core
//! around a `Shard` (`worker/loop.rs`), and service threads (store, auth, audit) that answer questions. A bare
//! JID has exactly one *home*, a worker ([`shard::Routes::home`]); its account, its sessions and *its
//! connections* live there.
//!
//! # Four nouns
//!
//! | noun | what it is | type | ends when |
//! |---|---|---|---|
//! | **connection** | socket, TLS, compression; bytes | `worker/connection.rs` | the socket closes |
//! | **stream** | XML stream: framing, negotiation, SASL | [`stream::StreamState`] | `</stream:stream>`, or the connection is lost |
//! | **session** | a bound resource: full JID, presence, ack queue | [`im::Session`] | unbound, or not resumed in time (XEP-0198) |
//! | **account** | a bare JID and its sessions | [`im::Account`] | idle for a minute; removed |
//!
//! A session outlives its stream; a stream outlives its worker, because a connection is handed over to the
//! home of its account. Code that holds two of these in one struct is wrong.
//!
//! # Eleven doors, in reading order
//!
//! 1. [`base`]: time, ids, hashes, randomness, and [`base::limits`], every bound with its reason.
//! 2. [`jid`] and [`xml`]: addresses and their preparation; bytes to checked elements and back.
//! 3. [`stanza`] and [`config`]: the vocabulary; the declared options.
//! 4. [`actor`]: the contract. How a handler runs, what it may wait for, what it may cause.
//! 5. [`im`]: accounts, sessions, rosters, subscriptions, presence, messages, what is kept for whom (RFC 6121).
//! 6. [`stream`]: the endpoint of a client's stream (RFC 6120), SASL under both of its profiles.
//! 7. [`features`]: one XEP, one file: a table of plain data and the functions that it names. What several of them
//!    stand on is in [`engine`].
//! 8. [`shard`]: the composition. `input.rs`, `output.rs` and [`shard::PIPELINES`] fit on a screen each.
//! 9. [`store`], [`auth`], [`directory`], [`audit`]: servants that may wait for a disk, a derivation or a network, asked in
//!    writing.
//! 10. [`worker`]: sockets, TLS, channels between workers, the loop.
//! 11. [`server`] and [`tool`]: the process from start to drain, and the operator's command line.
//!
//! Behind none of them: a lock in the core, an async runtime, a callback that waits, a macro of our own, a
//! table that two workers write.
//!
//! # The path of a stanza
//!
//! Juliet (home: worker 3) sends a chat message to Romeo (home: worker 9).
//!
//! 1. `Worker::read_sockets` on 3 gives her connection its share of the turn (`serve`, `read_stream`): at most
//!    [`base::limits::READ_PER_TURN_BYTES`], decrypted into one buffer that all connections share.
//! 2. [`shard::Shard::take_in`] says how many of them it took. What it did not take stays in `Connection::unread` and is
//!    offered again after [`shard::Output::Resume`].
//! 3. `Shard::read` asks `may_read` (rate, mailbox, outboxes, unsettled stanzas), then
//!    [`stream::StreamState::take`]: [`xml::Framer`] finds the end of an element, [`xml::normalise`] checks it and
//!    writes it once in normal form, and a [`stanza::Stanza`] comes out as [`stream::Event::Stanza`].
//! 4. `Shard::stanza` stamps her full JID as `from` (RFC 6120 section 8.1.2.1), counts the stanza
//!    ([`im::acks::Acks::receive`]) and puts it into the mailbox of her account (`Mailbox` in `shard/cell.rs`).
//! 5. `Shard::run_sender` runs her account at once; `attempt` runs the head of the mailbox through the stages of
//!    the outbound pipeline. All that they cause gathers in [`actor::Effects`]. Whom it reaches on this worker is run by
//!    `Shard::drive` when some of them are together (`drive_soon`), or when all connections have been read ([`shard::Shard::hand_out`]).
//! 6. `Shard::apply` carries the effects out. Carbons go to her other sessions (`deliver`); the message goes to
//!    its home (`route`): here that is the outbox for worker 9.
//! 7. `Worker::flush_mesh` sends everything in it as one [`shard::Batch`], and knocks if 9 sleeps.
//! 8. On 9, [`shard::Input::Mesh`] and `route` lead to `post`: Romeo's mailbox, and the stages of the inbound
//!    pipeline: recognise a repetition, choose sessions, keep a row, copy, deliver.
//! 9. `Shard::push` puts it into the ack queue of each chosen session, if that has one, and into
//!    [`stream::Outbound`] of its stream: a shared pointer, nothing rendered. [`shard::Output::Flush`] says so.
//! 10. `Worker::flush_streams` asks [`shard::Shard::render`] for bytes, compresses (where the client asked
//!     for that), encrypts and writes them, and says [`shard::Input::Written`]. If the socket is full, the rest waits and is not rendered yet.
//! 11. [`shard::Shard::end_turn`] sends the row that was kept to the store, with those of the whole turn. When it
//!     is durable (`saved`), [`actor::Envelope::Settled`] goes back to worker 3, where [`im::acks::Acks::settle`]
//!     moves her `h` on.
//!
//! One thread crossing for a message between users, none within a user. The turn of a worker has a fixed order
//! (`Worker::turn`), which is the back-pressure policy, finish what is inside before admitting more:
//!
//! ```text
//! orders -> answers -> mesh inbox -> connections -> timers -> sockets -> flush streams -> end_turn
//!        -> questions to services -> flush mesh -> sleep
//! ```
//!
//! A login takes the same path with one step more. The worker that accepted the connection verifies the client
//! ([`actor::auth::AuthAsk`]) and says nothing; [`stream::Event::Verified`] makes `bring_home` hand stream and
//! connection over ([`shard::Output::HandOver`], [`shard::Shard::arrive`]), and the home, if it has room (`admit`),
//! answers the client (`complete_login`) and lets the shell know ([`shard::Output::Proved`]), for its address counts as a stranger's until
//! then. Before, it is read in pieces of [`base::limits::READ_UNPROVED_BYTES`], and not at all while an attempt has no
//! verdict ([`shard::Shard::lets_go`]): a stranger costs little memory, and guessing behind a guess buys nothing. So
//! resumption (XEP-0198) is a look-up in one account, without a message or a race.
//!
//! By a token (XEP-0484) it is the same with another question, which two reads of the store answer and no write: the store
//! keeps numbers and times, and the token is a MAC over them and the account's generation (`auth/tokens.rs`).
//!
//! # Layers
//!
//! A layer imports only lower ones, never a sibling; `tests/tidy.rs` proves it.
//!
//! | | layer | refuses to know |
//! |---|---|---|
//! | 1 | [`base`] | XMPP |
//! | 2 | [`jid`], [`xml`] | what lives at an address; what an element means |
//! | 3 | [`stanza`], [`config`] | what a stanza causes; files |
//! | 4 | [`actor`] | any protocol; who carries effects out |
//! | 5 | [`im`], [`stream`] | how bytes became a stanza; accounts |
//! | 6 | [`engine`] | any feature; who carries effects out |
//! | 7 | [`features`] | each other; the shard |
//! | 8 | [`shard`] | sockets, threads, files, clocks |
//! | | *the operating system begins here* | |
//! | 9 | [`store`], [`auth`], [`directory`], [`audit`] | what a row means; streams; who waits |
//! | 10 | [`worker`] | XMPP; what services do |
//! | 11 | `cluster` (later) | |
//! | 12 | [`server`] | XMPP |
//! | 13 | [`tool`] | what the server does not do itself |
//!
//! # What is deliberately absent
//!
//! 1. Layers 1 to 8 name no socket, thread, file, lock, clock or random source of the system, nor a crate that
//!    is one (`FORBIDDEN_IN_CORE` in `tests/tidy.rs`); they build without the `shell` feature, which is all the
//!    rest. So one seed replays a whole world of shards.
//! 2. Hash maps of the core take their seed as an argument ([`base::KeyedMap`]); an order that reaches the wire
//!    comes from a `Vec` or a `BTreeMap`. The partition hash is keyed with a secret of the data directory, so
//!    that nobody can choose names that load one worker.
//! 3. A connection knows no transport but its socket: programs built with the feature `trunk` take connections as lanes of
//!    one descriptor (`worker/trunk.rs`), so that the same loop can be measured with a million of them. No other
//!    program has that door.
//! 4. Features never name the shard or each other. What two of them share moves down.
//! 5. There is one place that orders stages: `shard/pipelines.rs`. No priorities, no registration at run time.
//! 6. No shortcut to a session: what comes for a full JID takes the mailbox of its account, as what comes for
//!    the bare JID does. RFC 6120 section 10.1 asks for that order.
//! 7. Nothing is rendered while it waits. Queues hold shared payloads; bytes exist when a socket takes them.
//! 8. No worker waits for anything but `poll`, and no service thread waits for a worker. Sending between workers
//!    is `try_send`; what does not fit stays with the sender.
//! 9. No password is stored, only what SCRAM needs; no derivation runs on a worker; nothing secret can be
//!    logged ([`base::Secret`] prints a length).
//! 10. No actor asks another actor. They tell; only services are asked. Hence no cycle of waits.
//!
//! # Waiting
//!
//! There is no async. A handler sees its actor immutably and reads what it needs with [`actor::Turn::load`]; a row
//! that is not there is an error value, [`actor::Stop::Need`], which `?` carries out. `Shard::park` asks the
//! store ([`shard::Ask`]) under a [`actor::Ticket`], and when the answer comes the mailbox's head is *run again
//! from its start*, with the rows fetched so far. Effects of an unfinished run are dropped, so nothing
//! half-happens; the same makes a panic in a turn harmless (`attempt` catches it, the stanza is answered with
//! `internal-server-error`, the third within a minute ends the account's sessions). A turn runs at most
//! [`base::limits::TURN_RUNS_MAX`] times. While it is parked the mailbox waits behind it, which keeps the order.
//!
//! A request that only reads leaves the mailbox, which goes on ([`actor::Stop::Aside`], `shard/aside.rs`): it runs in
//! steps, each of them a run like any other, with the progress of those before it as a value
//! ([`actor::Turn::aside`], [`actor::Effects::go_on`]). A step begins when the stream of who asked has room for what
//! it delivers, so a page of the archive is a cursor and not a queue. Two of an account's requests read at a time; one whose client reads
//! nothing is none of them.
//!
//! Writing waits, too, where a table says so ([`actor::rows::Durability::BeforeReply`]: rosters, subscriptions,
//! blocklists, vCards, private XML). Such a turn runs to its end, but all that it causes is held (`shard/held.rs`) until the group commit answers; the
//! mailbox waits behind it. A refused commit leaves nothing half-changed: the effects are dropped, and the sender hears
//! the store's error.
//!
//! Two halves of a change that live in two accounts cannot be one commit. The first writes, with its own half, a row
//! of the table [`im::outgoing::OUTGOING`], and *tells* the other ([`actor::Envelope::Tell`]); the row goes when the
//! other has committed its half ([`actor::Envelope::Told`]). What is found there when the server starts, or an hour
//! later, or ten seconds after it was turned away for want of room, goes through its teller's mailbox and is told again
//! if it still stands (`shard/replay.rs`). A tell has a number and names the one that it answers, so whoever hears it twice,
//! late, or behind what was to come after it finds that it changes nothing (`im/subscription/half.rs`). So an account that is
//! removed (XEP-0077, `auth/purge.rs`) can still be told of: what its contacts have to hear outlives its rows.
//!
//! What only the keeper of the credentials can do, a password that is changed or an account that is removed, is a need
//! like a row ([`actor::Turn::ask_account`]), but the last one of its turn: it stays done, whatever becomes of the rest.
//! So what follows from it, a record and sessions that end, follows from the answer and not from the turn (`shard/part.rs`).
//!
//! Of a host whose users live in a directory the same questions go to threads that speak LDAP (`directory/host.rs`), each
//! with a connection of its own, some that search and some on which passwords are tried. Whether an account exists is such a
//! question, too, though it looks like a row (`server/ports.rs`): who is in the directory and was never here gets an account's
//! row when somebody asks for it, so nothing above knows of directories. What does not come in time is answered with that.
//! What only a directory can say of somebody (their vCard) may take seconds: the request leaves the mailbox
//! ([`actor::Turn::ask_directory`], `shard/outside.rs`), and comes back to its head with the answer. What groups say is asked by
//! nobody: one thread of each directory reads them now and then, and tells all workers what is in force from now on, one shared
//! value ([`actor::groups::Groups`]); an account knows its place in it ([`im::Account::membership`]), and `im/roster/shared.rs`
//! merges contacts of lists into what clients see, and no further. Accounts learn of a new value some at a time (`shard/groups.rs`),
//! each before it hears anything from others. What is read again, and when: `directory/due.rs`, `directory/lists.rs`.
//! A thread for each part of a directory (its people, its rooms) keeps a copy of it, as far as it takes to know what has
//! changed (`directory/content.rs`): the server tells (RFC 4533, `directory/pool/sync.rs`), or it is looked (`directory/polled.rs`,
//! `directory/poll.rs`); `directory/watch.rs` is the thread's life, and its `Follower` says what follows from a change.
//! What a directory sends goes through a parser with bounds (`src/vendor/lber`), for it may mean no good.
//!
//! A ticket is a seat (`Seats` in `shard/seats.rs`) whose number says nothing outside its shard: an answer for a
//! seat that was given up is dropped. Seats are bounded per worker *and per service*
//! ([`base::limits::STORE_OUTSTANDING_MAX`], [`base::limits::AUTH_OUTSTANDING_MAX`]): beyond it, that service's
//! requests fail at once with their own error. Streams wait for the auth thread the same way
//! ([`stream::StreamState::asked`], [`stream::StreamState::answered`]).
//!
//! A request to an account says in its feature's table who may ask besides the owner, and what everybody else hears
//! ([`actor::Askers`], `refusal`): `im/iq.rs` decides before anything is looked up, so that an account that does not
//! exist and one that is none of the asker's business look the same.
//!
//! What people may tell the server to do is data, too ([`actor::Command`]): a name, who may run it, questions page by
//! page, a function. Features list their own, the catalogue holds them all, and `features/commands.rs` speaks XEP-0050
//! with them; whatever else comes to offer commands reads the same list.
//!
//! # Order and back-pressure
//!
//! Order is a chain of plain queues with one writer rule each: stream to mailbox on the same thread; the mailbox
//! strictly first in, first out; an outbox is appended only behind what waits; batches of one worker arrive in
//! their order ([`shard::Batch::number`] counts them); kept messages come before what arrived meanwhile. A hand-over
//! takes unread and unsent bytes along.
//!
//! Kept messages and what waits for them are one order, that of their numbers ([`im::flood::Flood`]): a cursor reads the
//! rows, and what came between two of them goes out between them. All messages wait behind a cursor; presence, IQs and
//! errors only if their sender has something there, in a backlog or in the store ([`im::flood::Senders`]), which is what RFC
//! 6120 section 10.1 asks. A session that is owed a row has a cursor from that moment on, however full it is. Two things are
//! not in this order: who said something *before* a session became available is not remembered, so its presence passes its
//! offline messages; and what another session leaves behind comes when it comes, with its stamp.
//!
//! Pressure is charged to its source. A stream is not read while its account's mailbox is full of its own
//! stanzas, while its envelopes wait for a full outbox (`shard/mesh.rs`), while too much of what it sent is unsettled, or while it is faster than its
//! rate; taking fewer bytes than offered *is* the pause. What comes from elsewhere for a full mailbox bounces
//! with `resource-constraint`; presence coalesces to the newest of each sender ([`stanza::Newcomer`]). A client that
//! reads or acknowledges nothing for too long loses its connection, not its session (`check_outbound`,
//! `drop_connection`); a session whose ack queue is full takes no more messages that can be kept, and they are kept for
//! it; what else it takes then `shard/overfull.rs` judges, so that no stranger can end it by sending much. Offline
//! messages are a cursor over rows that the stream pulls when it has room, not a queue; one that the store refuses is tried
//! again, for half a minute while nothing passes it, before they are left for the next login. Every bound, its owner and
//! its verdict: [`base::limits`].
//!
//! The bounds of single queues do not bound their sum; a worker's share of `server.queue_memory` does
//! (`shard/load.rs`). Everything that waits counts: mailboxes, ack queues, what is to be written, what was read and not
//! taken, outboxes and the channels behind them, presence on its way to many, and codecs (XEP-0138), which get no more
//! than a share. As it fills, new logins wait, then presence for many does, then archives are not read and kept messages stay in
//! the store, then the slowest readers lose their connections and, if that is not enough, the sessions that hold most end; at the
//! very top nothing more is read.
//!
//! Time runs short in the same order (`shard/lag.rs`). The shell measures how long a round of the loop takes, in which everybody
//! has had a turn (`worker/round.rs`), and says with each turn how long that makes clients wait ([`shard::Input::Waited`]); from
//! `server.overload_after` on new logins wait, from twice as long on presence for many, from four times as long on archives are
//! not read. That gives time back, and the level falls by itself. A store that is behind counts as a lack of time as well
//! (`Shard::backlog`). Messages are read whatever it is: what waits is put behind them,
//! and where a contact is told of a presence before a message, that presence goes with it (`shard/spread.rs`). Newcomers stay with
//! the worker ([`shard::Shard::admits`]) unless it has some already, then with the doorman, then in the system's backlog; those of
//! the first who have waited ten seconds are opened to hear so, at the cost of a stream header ([`shard::Opened`]).
//!
//! With thousands of sessions what a message costs is mostly the way to memory: forty cache lines on either side, none of
//! which is in the processor's caches when its turn comes. The worker knows whose turn comes next, so it has them fetched for
//! eight at once: connections with their TLS before they are read or written ([`shard::Shard::look_ahead`]), accounts with their
//! sessions before they get their mail, which therefore waits until there is some for eight (`shard/look.rs`).
//!
//! A client at which nobody looks (XEP-0352) has what may wait held in its session (`shard/client_state.rs`), before the
//! ack queue and uncounted, until something comes that may not wait; then it goes out in its order. It is not more than a
//! few dozen kilobytes, and moves to the ack queue when the stream is lost.
//!
//! Presence is told to many at once ([`actor::Envelope::Group`]): one envelope for each worker, whose accounts get a
//! copy each if somebody uses them (`shard/spread.rs`). Beyond a few hundred contacts the rest are told in turns with
//! other accounts; until then a newer presence of the same session takes the place of what waits, and of whom too much
//! waits nothing more is read (`shard/spreads.rs`).
//!
//! # The promise: acknowledged means kept
//!
//! With the default configuration, what the server acknowledged survives `kill -9` and power loss.
//!
//! - A message for a local account gets a row ([`im::pending::PENDING`]), removed when the client acknowledged the
//!   message, or without XEP-0198 when it was written to the socket. If the account archives it, the row only marks it
//!   there. Delivery does not wait for the disk.
//! - A message that is owed carries its number wherever it waits for a client ([`actor::Kept`]), with a row or without
//!   (`delivery.keep`). When one client has it, whoever else holds it owes it to nobody any more (`Shard::release`). When a
//!   session ends with it, it is a leftover, and the *last* holder's leftover finds it another way
//!   ([`im::pending::leftover`]): to sessions that have room, else into the store under the number that it has had from
//!   the beginning, from where a cursor brings it in its order.
//! - Numbers of rows never come again and never go back, whatever a process finds on the wall clock when it starts:
//!   saves carry a mark along that is ahead of them, and the next process begins above it ([`shard::NUMBERS`]),
//!   when the clock has passed it, so that none is of the future.
//! - A stanza is *settled* when what it promises is durable or its sender was told otherwise. Its
//!   [`actor::Origin`] travels with it, and whoever takes it sends [`actor::Envelope::Settled`] back.
//! - The `h` of a session is the contiguous settled prefix ([`im::acks::Acks::handled`]); `<resumed/>` counts all
//!   that the living process holds ([`im::acks::Acks::resume`]), so a resumption repeats nothing; and no later
//!   `<a/>` says less than a `<resumed/>` did ([`im::acks::Acks::told`]), because to a client it would be too much.
//! - A client that comes too late to resume still hears how far the server got (`<failed h=''/>`). That count lives at
//!   the worker (`shard/ended.rs`), bounded in number and time: accounts without sessions leave memory.
//! - An IQ promises nothing that a disk would keep, and is settled when it is at its home.
//! - What is not settled after ten seconds is bounced, and so settled (`bounce_overdue`); what still waits in its
//!   own account's mailbox is answered when its turn comes.
//! - A message that its client sends again after a crash, not having seen the acknowledgement, is recognised by
//!   its sender and origin-id (XEP-0359) for 24 hours ([`im::origin`]) and stored once ([`actor::Stop::Done`]).
//! - What both archives keep of a message (XEP-0313, [`engine::archive`]) is part of the promise: the recipient's rows are
//!   in the save of its pending row, and a sender's own rows are awaited beside them
//!   ([`im::acks::Acks::await_one_more`]). Rows of archives are kept apart by month ([`actor::rows::Slices`]), and a month
//!   that nobody keeps leaves the disk whole, by a clock that is not believed at once (`shard/retention.rs`); an archive
//!   over its bound loses its oldest, by a count that a crash does not make wrong ([`im::archive::ArchiveTally`]). What
//!   messages are found by is written for dozens of them at a time (`engine/archive/list.rs`); until then the account
//!   remembers it, and who is read again finds it in the messages' own rows ([`im::archive::Tail`]). A sender's
//!   archive knows by origin-id, too, what is sent again ([`im::origin::recall_sent`]), and stores it once.
//! - Saves of one turn of the loop are one save, and the store's writer commits many workers' saves at once. A row
//!   that is kept and delivered within one turn never leaves the shard (`unsave`), nor one that comes and goes
//!   within the writer's collection the store's memory. Counts and lists of an archive rest on the saves before them, which
//!   nobody has answered yet: behind one that is refused they are refused, too (`store/chain.rs`).
//! - What is written waits in memory, and in the journal, until there is enough of it for a table of the engine: up to three
//!   times 16 MiB of each busy table. When nothing has been written for ten seconds that memory is given back
//!   ([`store::StoreOptions::rest_after`]), and a start has nothing to replay.
//! - A server that stops reads nothing more, waits until what it has read is settled, and says the count before the
//!   farewell (`shard/drain.rs`): no client need send anything again after a planned restart.
//! - A disk without room refuses writes with `resource-constraint` and goes on reading. A worker that learned of it refuses
//!   messages that would have to be stored before anybody sees them, in the same words whoever they are for, and asks once
//!   a second whether there is room again (`shard/disk.rs`). What neither side archives goes on to who is there: it has no row,
//!   so it is not settled before a client has it, or before it gets its row because there is room again
//!   (`shard/unstored.rs`), and where no client is there it is refused. What only
//!   removes rows may use the reserve, and so may an operator's word about an account; what clients have and even so could
//!   not be removed is not given to them again.
//! - What an owner or an operator wants removed is removed though the power goes meanwhile: a row says so until it is done
//!   ([`im::archive::Emptying`], [`im::credentials::PURGE`]).
//! - Nothing that is owed is left out silently while a session is there or can be resumed: when there is no room for it beside
//!   the archive, the session ends, and its client logs in anew and reads the archive. What a stranger sends beyond
//!   his share of that room is bounced and not archived either.
//!
//! # Timers
//!
//! Deadlines are plain fields (`ends_at_ms`, `throttled_until_ms`, `pinged_at_ms`, ...). `arm_stream` and
//! `arm_actor` compute an owner's earliest and put it into one ordered set; [`shard::Shard::next_deadline`] is its
//! first entry, and on [`shard::Input::Tick`] the owner says what is due. A deadline that moves away fires early and
//! is armed again, which costs less than moving it with every byte. The shell has its own few (handshakes,
//! lingering) in `worker/deadlines.rs`. In tests time is an argument, or moved over the control socket
//! (`--test-clock`).
//!
//! # Errors: the type says who hears of it
//!
//! | type | who is told | then |
//! |---|---|---|
//! | [`stanza::StreamError`] | the peer, once | the stream closes |
//! | [`stream::sasl::SaslFailure`] | the peer, later the more often it failed | it may try again, counted |
//! | [`stanza::StanzaError`] in [`actor::Stop::Reject`] | the sender of this stanza | life goes on |
//! | [`actor::Need`] in [`actor::Stop::Need`] | the engine | park and run again |
//! | [`actor::rows::StoreError`] | the operator by the log, the user as a stanza error | the stanza is bounced |
//! | [`config::ConfigError`] | the administrator, all of them at once | no start, or the old configuration stays |
//! | a panic in a turn | the sender, as `internal-server-error` | the actor is as it was |
//! | a panic of a worker, an auth thread or the doorman | the operator | the store is flushed, the process ends with status 70 |
//! | a panic of a directory's thread | the operator; who asked, as if the directory did not answer | the thread begins anew |
//!
//! # Where this differs from the first design
//!
//! Decided otherwise while building, each for the reason given:
//!
//! - **The outbound queue lives in the core's stream, and the shell pulls.** [`shard::Output::Flush`] names a stream,
//!   [`shard::Shard::render`] makes at most about 16 KiB of bytes, [`shard::Input::Written`] says that they are in
//!   the socket. The design had `Output::Write(Render)` and a queue in the shell; then the core could not know
//!   what was written, nor take back what was not when a session loses its stream.
//! - **[`shard::Shard::open`] and [`shard::Shard::arrive`] are functions that return the stream's key**, not
//!   inputs: the shell needs the key at once. `Shard::handle` returns a number of bytes, not a `Consumed`.
//! - **There is no `Output::Pause`**: a stream that takes less than it was offered is paused.
//! - **[`shard::Shard::end_turn`]** ends a turn of the loop after its streams were flushed: the turn's writes
//!   become one save, and rows that were kept and delivered within it are none. A read asked in the turn takes the
//!   saves before it along ([`actor::rows::Fence::AfterSaves`]).
//! - **[`auth`] is a shell sibling of [`store`]**: verification needs threads, a penalty table and accounts' rows, and
//!   its questions ([`actor::auth`]) are the front for back ends to come.
//! - **Timers are an ordered set of each owner's earliest deadline**, not a hierarchical wheel with an array per
//!   owner: there are a handful of kinds, and most entries are never moved.
//! - **[`worker::Core`] is a trait** with two implementations: `Shard`, and the echo that tests the shell alone
//!   (`tests/shell/echo.rs`). **[`actor::Actor`] is one with one** so far: rooms are the second.
//! - **Keys are slotmap's** ([`base::StreamKey`], [`base::ActorKey`]), and a [`actor::Ticket`] is one of them as a
//!   number, instead of `{ worker, owner, turn }`.
//! - **Routes are made once at start** from secret and worker count; which domains are served is read from the
//!   configuration snapshot, which replaces the design's replicated domain table.
//! - **The roster is a row for each contact** and packed only in memory ([`im::roster::Roster`]), without names and
//!   groups: a change of one contact among ten thousand writes one row, and a roster of fifty takes 700 bytes.
//! - **There is no generic mechanism for resident tables.** The account holds what it read ([`im::Account::roster`])
//!   and forgets it when it leaves memory; what a refused commit may have left behind is read again
//!   ([`im::Account::distrust`]).
//! - **A roster is one stanza, not a cursor**: its size is bounded (`roster.size`), and what it exceeds the largest
//!   element by does not make its reader a slow one (`Stanza::excess`).
//! - **Presence counts in the ack queue** like everything else; once that is full it coalesces there
//!   (`shard/overfull.rs`), and in a full mailbox. The exception for `muc#user` holds for entities that the session told
//!   of its presence, or any stranger could fill a queue with it.
//! - **A worker closes no intake of the whole server**: what it lacks stops its own newcomers, logins and sockets, because
//!   another worker may have room.
//! - **Time is a budget beside bytes**: what waits in sockets is in no queue of ours, so too much to do need not fill any.
//! - **A step of a request beside the mailbox may write**, and the next begins when that is durable; else the request is
//!   refused. A session has one of the account's places, and they take turns (`shard/aside.rs`).
//! - **`Side` is [`actor::Stop::Aside`]**: not another kind of question but another place to run in, so that a
//!   handler is written as any other is, and reads with the same functions.
//! - **A pending row remains beside the archive's row**, as a mark of 13 bytes under the same number
//!   ([`im::pending::MARK`]): the message itself is stored once, and the store joins the two where a cursor reads them
//!   ([`shard::Ask::Joined`]). Before the archive lets a row go, its mark becomes a row with the text
//!   ([`engine::archive::rescue`], [`actor::rows::Write::Replace`]). So what is owed depends neither on retention nor on
//!   anybody's wishes about archives, and in a server that keeps only what nobody could take the archive's row is no promise.
//! - **Words are indexed when somebody searches** ([`engine::archive::INDEXED`]): a row for each word of each message in two
//!   archives was most of what a message cost.
//! - **Names**: `wheel.rs` and `queue.rs` of `base` never
//!   came; `c2s.rs` is `stream/state.rs`; intake and mailbox of the shard are `streams.rs` and `cell.rs`.
//! - **[`tool`] is a layer of its own above [`server`]**: it starts, asks and checks servers, and nothing imports it.
//! - **TLS 1.3 has two forms behind its handshake** (`worker/tls/`): rustls', and with `tls.compact` bare keys under a record
//!   layer of ours. There is one form of handshakes and of TLS 1.2.
//! - **Scenarios run on four stages, not three**: one and four workers simulated, STARTTLS, direct TLS.
//!
//! Not built yet, because nothing needs it so far:
//!
//! - `Effects::timer` and `Effects::archive`.
//! - Everything between servers.

pub mod base;

pub mod jid;
pub mod xml;

pub mod config;
pub mod stanza;

pub mod actor;

pub mod im;
pub mod stream;

pub mod engine;

pub mod features;

pub mod shard;

#[cfg(feature = "shell")]
pub mod audit;
#[cfg(feature = "shell")]
pub mod auth;
#[cfg(feature = "shell")]
pub mod directory;
#[cfg(feature = "shell")]
pub mod store;

#[cfg(feature = "shell")]
pub mod worker;

#[cfg(feature = "shell")]
pub mod server;
#[cfg(feature = "shell")]
pub mod tool;
