//! Every bound on memory and time, with its reason, in one place. What an operator may want to change is an
//! option in `config/file/` whose default is the constant here.

// ---- Elements, as they come in (peers.md section 7.1, rows 3 and 4) ----

/// Largest top-level element before authentication: the longest legitimate one is a SASL response with a
/// client certificate's name or a Kerberos ticket, below 4 KiB.
pub const PRE_AUTH_ELEMENT_BYTES_MAX: usize = 8 * 1024;
/// Most elements inside one top-level element before authentication: SASL2 with Bind 2, carbons, stream
/// management and a user agent needs about 12.
pub const PRE_AUTH_ELEMENT_COUNT_MAX: usize = 32;
/// Largest top-level element of an authenticated client: room for a vCard with an avatar (XEP-0153 asks for
/// 8 KiB, common clients send 100).
pub const ELEMENT_BYTES_MAX: usize = 256 * 1024;
/// Most elements inside one stanza: a roster of 10,000 items is never sent by a client in one piece.
pub const ELEMENT_COUNT_MAX: usize = 10_000;
/// Deepest nesting: no known payload exceeds 20; ours is never recursive, but somebody's parser is.
pub const ELEMENT_DEPTH_MAX: usize = 64;
/// Most attributes of one element, namespace declarations not counted.
pub const ATTRIBUTE_COUNT_MAX: usize = 64;
/// Most namespace declarations of one element.
pub const NAMESPACE_COUNT_MAX: usize = 32;
/// Longest stream header or XML declaration: attributes of a header fit in 1 KiB by far.
pub const STREAM_HEADER_BYTES_MAX: usize = 4 * 1024;

/// Longest language tag of a stream that its stanzas inherit: RFC 5646 section 4.4.1 reckons with 35, and with
/// private ones a little beyond.
pub const LANGUAGE_BYTES_MAX: usize = 64;

// ---- Streams ----

/// Bytes read from one socket in one turn: more would let one fast writer hold up its worker.
pub const READ_PER_TURN_BYTES: usize = 64 * 1024;
/// The same while the client has not proved who it is, which bounds what may be kept for it: this and the one TLS
/// record (16 KiB of plaintext) that these bytes complete. No step of a login is longer.
pub const READ_UNPROVED_BYTES: usize = 4 * 1024;
/// Bytes that were read but not yet taken by the core (a stream that waits takes nothing).
pub const UNREAD_BYTES_MAX: usize = 64 * 1024;
/// Time from the connection to a bound session.
pub const NEGOTIATION_TIMEOUT_MS: u64 = 30_000;
/// Time for the TLS handshake alone (peers.md row 20).
pub const HANDSHAKE_TIMEOUT_MS: u64 = 10_000;
/// The same once half of [`HANDSHAKES_MAX`] is taken: two round trips of the slowest honest network fit, and
/// those who stall give their places to others soon.
pub const HANDSHAKE_CROWDED_MS: u64 = 2_000;
/// Connections of one address (or IPv6 /64) that have not logged in: room for a company behind one address that
/// reconnects after a restart, and little for an attacker, who needs twenty addresses to fill a server.
pub const UNPROVED_PER_PREFIX_MAX: u32 = 1_000;
/// Time a closed stream waits for the peer's `</stream:stream>` (RFC 6120 section 4.4).
pub const CLOSE_TIMEOUT_MS: u64 = 3_000;
/// SASL attempts on one stream; RFC 6120 section 6.4.5 recommends at least 2 and no more than 5.
pub const SASL_ATTEMPTS_MAX: u8 = 3;
/// Outbound queue of a client's stream: above it for [`OUTBOUND_SOFT_MS`] the connection is closed.
pub const OUTBOUND_SOFT_BYTES: usize = 256 * 1024;
/// How long the soft bound may be exceeded.
pub const OUTBOUND_SOFT_MS: u64 = 30_000;
/// Outbound queue of a client's stream: above it the connection is closed at once.
pub const OUTBOUND_HARD_BYTES: usize = 1024 * 1024;
/// Below this a cursor (offline messages, later archive pages) puts its next chunk into the queue.
pub const CURSOR_REFILL_BYTES: usize = 128 * 1024;
/// Silence after which a client is pinged (XEP-0199, or an ack request where XEP-0198 is on).
pub const PING_AFTER_MS: u64 = 180_000;
/// Time a pinged client has to send anything.
pub const PING_TIMEOUT_MS: u64 = 60_000;

/// Stanzas a second that one client may send for long; people type two, a busy bot sends thirty.
pub const RATE_STANZAS_PER_S: u32 = 100;
/// Stanzas that one client may send at once: a login with a large roster and a hundred rooms.
pub const RATE_STANZAS_BURST: u32 = 1_000;
/// Bytes a second that one client may send for long.
pub const RATE_BYTES_PER_S: u64 = 256 * 1024;
/// Bytes that one client may send at once: a few avatars.
pub const RATE_BYTES_BURST: u64 = 1024 * 1024;

// ---- Stream management (XEP-0198) ----

/// Unacknowledged stanzas of one session.
pub const UNACKED_COUNT_MAX: usize = 500;
/// Bytes of unacknowledged stanzas of one session.
pub const UNACKED_BYTES_MAX: usize = 1024 * 1024;
/// How long a session waits for its client after the connection is lost.
pub const RESUME_TIMEOUT_MS: u64 = 300_000;
/// Sessions that are over whose count of handled stanzas one worker still knows, about 200 bytes each: what a
/// worker with many phones loses in half an hour.
pub const ENDED_COUNT_MAX: usize = 8_192;
/// How long it knows it: who comes back later than this begins anew anyway.
pub const ENDED_MS: u64 = 3_600_000;
/// Stanzas sent before the server asks for an acknowledgement by itself.
pub const ACK_REQUEST_AFTER: u32 = 5;
/// An unsettled stanza is bounced after this (DESIGN section 20).
pub const SETTLE_TIMEOUT_MS: u64 = 10_000;
/// Marks of inbound stanzas that one session may hold unsettled; beyond it the client is not read.
pub const UNSETTLED_COUNT_MAX: usize = 1_000;

/// Bytes rendered and written to a stream at a time: enough to fill a TLS record, and a socket's buffer in few calls; little
/// enough that every stream gets its turn.
pub const RENDER_CHUNK_BYTES: usize = 16 * 1024;

// ---- Compression (XEP-0138) ----

/// How many times its compressed size what a client sends may have altogether: stanzas that repeat each other reach 10 to
/// 20, a bomb 1,000.
pub const INFLATE_RATIO_MAX: u64 = 100;
/// Memory of one codec: 12 KiB to compress, 7 and the client's window of up to 32 to decompress.
pub const COMPRESSED_STREAM_BYTES: usize = 52 * 1024;

// ---- Client state (XEP-0352) ----

/// Stanzas that may wait for an inactive client before they go out all the same: the newest presence of as many contacts.
pub const CSI_HELD_COUNT_MAX: u32 = 500;
/// Bytes of the same.
pub const CSI_HELD_BYTES_MAX: u64 = 64 * 1024;

// ---- Accounts ----

/// Stanzas that an account's own clients may have waiting in its mailbox; beyond it they are not read.
pub const MAILBOX_OWN_COUNT_MAX: usize = 64;
/// Stanzas from elsewhere that may wait in an account's mailbox before presence coalesces.
pub const MAILBOX_COUNT_MAX: usize = 1_000;
/// Bytes of them; beyond it messages and IQs bounce. Some thousand messages come while the rows of an account are read
/// that was not in memory.
pub const MAILBOX_BYTES_MAX: usize = 1024 * 1024;
/// Stanzas that a worker has read and not yet given to those for whom they are: fewer than a mailbox holds of any kind, or that would
/// be full although its account does not wait.
pub const UNDRIVEN_COUNT_MAX: usize = 32;
/// The same in bytes; the last may be as large as a stanza may.
pub const UNDRIVEN_BYTES_MAX: usize = 64 * 1024;
const _: () = assert!(UNDRIVEN_COUNT_MAX < MAILBOX_OWN_COUNT_MAX);
const _: () =
    assert!(UNDRIVEN_COUNT_MAX < PROBES_WAIT_MAX && UNDRIVEN_COUNT_MAX < REQUESTS_WAIT_MAX);
const _: () = assert!(8 * UNDRIVEN_BYTES_MAX < MAILBOX_BYTES_MAX);
/// Stanzas from elsewhere in a mailbox from which on strangers' probes are answered without waiting there.
pub const PROBES_WAIT_MAX: usize = 64;
/// Requests (IQ) of others in a mailbox from which on strangers' are refused without waiting there: what the owner asks
/// waits behind them.
pub const REQUESTS_WAIT_MAX: usize = 64;
/// Sessions of one account (peers.md row 63).
pub const SESSIONS_PER_ACCOUNT_MAX: usize = 10;
/// Offline messages kept for one account.
pub const PENDING_COUNT_MAX: usize = 1_000;
/// Senders that a session remembers while their messages are kept for it, so that what they say next waits behind them;
/// beyond it everybody's words wait. A page of names, and more people than talk to one at once.
pub const KEPT_SENDERS_MAX: usize = 64;
/// How long kept messages wait after a read that failed; twice as long after each further one.
pub const FLOOD_RETRY_MS: u64 = 1_000;
/// Reads that may fail in a row, half a minute in all. Then what came meanwhile goes out, and what is kept stays for the
/// next login.
pub const FLOOD_RETRIES_MAX: u32 = 5;
/// What part of an account's room for offline messages one stranger may take: who writes more than a hundred messages
/// to somebody who is away, and in no roster, is no loss.
pub const PENDING_SENDER_PART: usize = 10;
/// What part of it all strangers may take together, beyond what was there when nobody had to be asked who they are.
pub const PENDING_STRANGERS_PART: usize = 2;
/// What part of it strangers never get.
pub const PENDING_CONTACTS_PART: usize = 4;
/// Bytes of offline messages kept for one account.
pub const PENDING_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Contacts in one roster.
pub const ROSTER_ITEMS_MAX: u32 = 10_000;
/// Bytes of one roster: ten thousand contacts with a name and a group of ordinary length.
pub const ROSTER_BYTES_MAX: u64 = 1024 * 1024;
/// Most that an operator may allow, and most that is read at once: it is one stanza to the client.
pub const ROSTER_READ_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of a contact's name, and of a group's: as much as a resourcepart has, with which RFC 6121 section 2.1.2
/// compares them.
pub const ROSTER_NAME_BYTES_MAX: usize = 1_023;
/// Groups of one contact; people use one or two.
pub const ROSTER_GROUPS_MAX: usize = 32;
/// Contacts that are remembered because they were removed, so that clients with an older roster can be told.
pub const ROSTER_REMOVED_MAX: u32 = 64;
/// Changes of a roster that are told one by one to a client with an older version: each push takes room among what the
/// client has not acknowledged; beyond it the whole roster is one stanza.
pub const ROSTER_DELTA_MAX: usize = 64;
/// Requests for subscriptions, or withdrawals of them, that one user may send at once: each is a commit in a contact's
/// mailbox and one in the user's own.
pub const ACTS_BURST: u64 = 60;
/// How often one more may follow.
pub const ACTS_EVERY_MS: u64 = 2_000;
/// Requests to other servers that are sent again when the user comes (RFC 6121 section 3.1.2).
pub const ASKS_AGAIN_MAX: usize = 64;
/// How often that is done while the account is in memory.
pub const ASKS_AGAIN_EVERY_MS: u64 = 86_400_000;
/// Subscription requests that wait for one user's answer.
pub const REQUEST_COUNT_MAX: u32 = 100;
/// Bytes of one such request: "Hi, Juliet told me to add you" in any language, and a name card.
pub const REQUEST_BYTES_MAX: usize = 2_048;
/// Most requests that an operator may let wait: a client that becomes available is told of all of them at once.
pub const REQUEST_COUNT_LIMIT: u32 = 500;
/// Addresses in one blocklist: who meets more spammers than that blocks their servers.
pub const BLOCKLIST_ITEMS_MAX: u32 = 1_000;
/// Most that an operator may allow: a list is read and kept in memory as a whole.
pub const BLOCKLIST_ITEMS_LIMIT: u32 = 10_000;
/// Bytes of the addresses in one blocklist, whatever their number: it is one stanza to the client.
pub const BLOCKLIST_BYTES_MAX: usize = 256 * 1024;
/// Reports (XEP-0377) of one account within [`REPORTS_WINDOW_MS`]: more than somebody writes by hand. What they say is
/// in the audit file for ever.
pub const REPORTS_MAX: usize = 20;
/// See [`REPORTS_MAX`].
pub const REPORTS_WINDOW_MS: u64 = 3_600_000;
/// Bytes of the text in a report; what is beyond is cut off.
pub const REPORT_TEXT_BYTES_MAX: usize = 2_048;
/// Bytes of the reason, and of a message's id, in a report.
pub const REPORT_NAME_BYTES_MAX: usize = 256;
/// Messages named in a report.
pub const REPORT_MESSAGES_MAX: usize = 20;
/// Marks of messages received or sent lately that one account keeps for each of two days, about 20 bytes each in memory and
/// a row in the store; of what comes beyond it, a repetition is not recognised. People receive hundreds a day.
pub const ORIGINS_COUNT_MAX: usize = 16_384;
/// With so many marks of a day strangers' messages get no more: the rest is for what contacts say, and the account itself,
/// which no stranger can use up.
pub const ORIGINS_STRANGERS_MAX: usize = ORIGINS_COUNT_MAX / 2;
/// Bytes of the status that is kept when the last session of an account goes (XEP-0012): what people write in it.
pub const LAST_STATUS_BYTES_MAX: usize = 1_023;
/// Bytes of a namespace of private XML (XEP-0049): a part of a key, and longer than any that was ever thought of.
pub const PRIVATE_NAMESPACE_BYTES_MAX: usize = 1_023;
/// Namespaces in one account's private XML: every client that a user ever tried has three.
pub const PRIVATE_NAMESPACES_MAX: u32 = 100;
/// Bytes of one account's private XML: hundreds of bookmarks and notes.
pub const PRIVATE_BYTES_MAX: u64 = 256 * 1024;
/// Most that an operator may allow, and most that is read at once: a change looks at all of it.
pub const PRIVATE_READ_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of one vCard: a photo ten times as large as XEP-0153 section 4.6 wants it.
pub const VCARD_BYTES_MAX: u64 = 128 * 1024;
/// How far ahead of the numbers of rows the mark is from which the next process counts on: so long it may have to wait
/// before it begins, and twice as often one more row is written.
pub const NUMBERS_AHEAD_MS: u64 = 500;
/// How often marks that are too old are swept out of the store, and tells that nobody confirmed told again.
pub const SWEEP_EVERY_MS: u64 = 3_600_000;
/// From when a tell was turned away until it is told again: a full mailbox empties, a disk recovers.
pub const RETELL_AFTER_MS: u64 = 10_000;
/// Between two pages of tells that are told again.
pub const RETELL_PAUSE_MS: u64 = 1_000;
/// Contacts that get a presence before others have their turn (DESIGN section 4): some milliseconds' work.
pub const SPREAD_COUNT: usize = 512;
/// Bytes, addresses of contacts included, that an account may have waiting behind such a presence before its own clients
/// are read no further: its presence to some thousand contacts.
pub const SPREAD_BYTES_MAX: usize = 256 * 1024;
/// Bytes of the presence that a session has, which is kept while it is online: a status in many languages, capabilities,
/// the hash of a picture, a signature.
pub const PRESENCE_BYTES_MAX: usize = 16 * 1024;
/// Bytes of the addresses to which one session has sent directed presence.
pub const DIRECTED_BYTES_MAX: usize = 128 * 1024;
/// How many times faster than it runs a server's sweep of archives comes closer to a clock that jumped ahead: after a
/// month out of use it has caught up within ten days, and an operator has days to see that the clock is wrong.
pub const SWEEP_CATCH_UP: u64 = 4;
/// Receivers of one session's directed presence: rooms and contacts outside the roster.
pub const DIRECTED_COUNT_MAX: usize = 1_000;
/// Runs of one turn before it counts as a programming error: the first message for an account that is not in
/// memory reads ten rows or ranges if it retracts another, and [`ARCHIVE_NAME_READS`] lists.
pub const TURN_RUNS_MAX: u8 = 16;
/// Requests beside the mailbox that read for one account at a time, each of another session (peers.md section 5, row 25).
pub const ASIDES_MAX: usize = 2;
/// Those of one session with the ones that wait for their turn: clients that synchronise ask for a few conversations at
/// once.
pub const ASIDES_WAITING_MAX: usize = 16;
/// Runs of one step of such a request: a search reads a list for each of its words.
pub const ASIDE_RUNS_MAX: u8 = 16;
/// Stanzas of one step of such a request: with [`ASIDE_STEP_BYTES_MAX`] what a stream gets at a time.
pub const ASIDE_STEP_COUNT_MAX: usize = 100;
/// Rows' bytes of one step, unless one row alone is larger: with [`CURSOR_REFILL_BYTES`] below the soft bound.
pub const ASIDE_STEP_BYTES_MAX: usize = 96 * 1024;
/// Panics of one actor within [`PANIC_WINDOW_MS`] before it is closed.
pub const PANIC_COUNT_MAX: u8 = 3;
/// See [`PANIC_COUNT_MAX`].
pub const PANIC_WINDOW_MS: u64 = 60_000;
/// How long an account without sessions stays resident after its last turn.
pub const ACCOUNT_IDLE_MS: u64 = 60_000;

/// A worker whose disk was full asks so often whether it has room again.
pub const DISK_PROBE_MS: u64 = 1_000;
/// Removals that a disk without any room refused, and that are remembered: 60 MB. A worker whose clients get more than that
/// in the meantime gives them some of it again.
pub const REMOVALS_REFUSED_MAX: usize = 1_000_000;
/// How many of them are asked for at a time.
pub const REMOVALS_AT_ONCE: usize = 10_000;
/// Emptyings of archives that were called off and of which a disk without any room still says the contrary: owners end
/// them one by one, and all of them are one small save. What is more is asked for once, and goes on if that is refused.
pub const CALLED_OFF_MAX: usize = 1_000;
/// Emptyings of an account's archive that failed and that its sessions may call off: each is begun by hand. Of one more its
/// owner has heard that it failed, and it goes no further.
pub const EMPTYINGS_FAILED_MAX: usize = 16;

// ---- Archives (XEP-0313) ----

/// Messages of a page whose size the client does not say.
pub const ARCHIVE_PAGE_COUNT: u32 = 50;
/// Most messages of a page: clients page on, and a page is a promise to send all of it.
pub const ARCHIVE_PAGE_COUNT_MAX: u32 = 250;
/// Most messages that are counted for a client: beyond, it is told no number.
pub const ARCHIVE_COUNT_MAX: u32 = 10_000;
/// Messages asked for by id at once.
pub const ARCHIVE_IDS_MAX: usize = 250;
/// Bytes of a query: with as many ids as it may have it is a third as long. It is read whole before it waits.
pub const ARCHIVE_QUERY_BYTES_MAX: usize = 32 * 1024;
/// Bytes of what a client calls its query, which every result repeats.
pub const ARCHIVE_QUERY_ID_BYTES_MAX: usize = 1024;
/// Words of one message in the index: a page of a book has twice as many, a message has ten.
pub const ARCHIVE_WORDS_MAX: usize = 128;
/// The same of scripts without spaces, in which each character makes two: as many characters as a long paragraph has.
pub const ARCHIVE_PARTS_MAX: usize = 512;
/// Bytes of a message's texts whose words are indexed: what stands behind them is not found.
pub const ARCHIVE_TEXT_BYTES_MAX: usize = 16 * 1024;
/// Words of one search.
pub const ARCHIVE_SEARCH_WORDS_MAX: usize = 8;
/// Bytes of what is searched for.
pub const ARCHIVE_SEARCH_BYTES_MAX: usize = 1024;
/// Messages whose words one step indexes.
pub const ARCHIVE_INDEX_STEP: usize = 100;
/// Words behind which a step indexes no more of them: each is a row, of which the store's writer does a thousand in a few
/// milliseconds, and everybody's saves wait for that.
pub const ARCHIVE_INDEX_WORDS: usize = 500;
/// Writes behind which a step that removes messages removes no more of them, for the same reason. A removal costs the writer
/// less than a row does, and whoever searches has hundreds of them for a message.
pub const ARCHIVE_ERASE_WRITES: usize = 4_000;
/// Entries of one list that one step of a search reads.
pub const ARCHIVE_POSTINGS_MAX: usize = 512;
/// Addresses with archiving preferences of their own, of one account.
pub const ARCHIVE_PREFERENCES_MAX: usize = 1_000;
/// The count of an archive is kept once in so many messages, or so many bytes of them: what came since is read with the
/// account, in one answer of the store.
pub const ARCHIVE_TALLY_EVERY: u64 = 64;
/// See [`ARCHIVE_TALLY_EVERY`].
pub const ARCHIVE_TALLY_BYTES: u64 = 128 * 1024;
/// Lists in which the names of an archive's messages are: with [`ARCHIVE_TALLY_EVERY`], a row for eight messages, and of a
/// full archive 400 KB in each, which a retraction looks through if it names none of the newest.
pub const ARCHIVE_NAME_LISTS: u8 = 8;
/// Answers of the store that such a look takes at most: half a million messages.
pub const ARCHIVE_NAME_READS: usize = 4;
/// Messages removed at a time from an archive that holds too much, and from one that its owner empties.
pub const ARCHIVE_TRIM_COUNT: usize = 256;
/// Messages in one archive: ten years of fifty a day make 180,000.
pub const ARCHIVE_MESSAGES_MAX: u32 = 200_000;
/// Bytes of one archive: that many messages of 2.5 KB, which encrypted ones for a handful of devices have. Without such a
/// bound they could have 50 GB.
pub const ARCHIVE_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// How long archived messages are kept.
pub const ARCHIVE_RETENTION_MS: u64 = 365 * 24 * 3_600_000;

// ---- Commands (XEP-0050) ----

/// Commands of one account that were begun and not ended; beyond it the one used longest ago is over.
pub const COMMAND_SESSIONS_MAX: usize = 4;
/// How long a command waits for its user's next answer.
pub const COMMAND_SESSION_MS: u64 = 600_000;
/// Bytes of one page of answers: a list of a thousand addresses.
pub const COMMAND_FORM_BYTES_MAX: usize = 64 * 1024;
/// Bytes of one export of several parts of an account's data, and of the messages in one. Any other part is as large as its
/// quota allows, and alone it leaves as it does when a client asks for it.
pub const EXPORT_BYTES_MAX: usize = 1024 * 1024;

// ---- Forms ----

/// Fields of one submitted form: the room configuration form, the largest known, has about 40.
pub const FORM_FIELDS_MAX: usize = 64;
/// Values of all fields of one submitted form together: a list of a thousand members is set in parts.
pub const FORM_VALUES_MAX: usize = 1_000;

// ---- Authentication ----

/// PBKDF2 iterations of new keys: the minimum of XEP-0438 section 7; 3 ms of CPU for three digests.
pub const SCRAM_ITERATIONS: u32 = 10_000;
/// Fewest iterations that an operator may choose (RFC 7677 section 4).
pub const SCRAM_ITERATIONS_MIN: u32 = 4_096;
/// Most iterations: clients refuse what would hold them up for seconds, and so would the auth thread.
pub const SCRAM_ITERATIONS_MAX: u32 = 1_000_000;
/// Different iteration counts that are remembered for one host: an operator changes it every few years.
pub const SCRAM_COUNTS_MAX: usize = 32;
/// Random bytes of a salt: the minimum of XEP-0438 section 6.2.
pub const SALT_BYTES: usize = 16;
/// Longest password: XEP-0438 section 8 allows a bound of 128 characters, which is 512 bytes of UTF-8.
pub const PASSWORD_BYTES_MAX: usize = 512;
/// Delay of the first failed attempt; each further one doubles it.
pub const PENALTY_FIRST_MS: u64 = 500;
/// Longest delay of a failed attempt.
pub const PENALTY_MAX_MS: u64 = 8_000;
/// Time in which one failure is forgotten.
pub const PENALTY_DECAY_MS: u64 = 60_000;
/// Failures remembered, per address prefixes and per accounts: 64 bytes each.
pub const PENALTY_COUNT_MAX: usize = 65_536;
/// Peers that wait for the verdict on a failed attempt; beyond it they hear at once. Above any sensible
/// number of streams in negotiation, 40 bytes each.
pub const PENALTY_WAITING_MAX: usize = 65_536;
/// Accounts that one address may make within [`REGISTRATION_WINDOW_MS`]: a family.
pub const REGISTRATIONS_PER_PREFIX_MAX: u32 = 3;
/// Attempts for each of them: people try names that are taken.
pub const REGISTRATION_ATTEMPTS_PER_ACCOUNT: u32 = 10;
/// Accounts that may be made on one host within [`REGISTRATION_WINDOW_MS`]: nobody floods a server in a night.
pub const REGISTRATIONS_PER_HOST_MAX: u32 = 100;
/// Time in which accounts are counted.
pub const REGISTRATION_WINDOW_MS: u64 = 3_600_000;
/// Newcomers of one host that wait for an operator (`host.registration.approval`): more than one reads in an evening.
pub const REGISTRATIONS_WAITING_MAX: usize = 1_000;
/// After what time one of them gives way to another: nobody has looked for a month.
pub const REGISTRATION_WAITING_MS: u64 = 30 * 24 * 3_600_000;
/// Address prefixes whose registrations are counted, 64 bytes each; the least recent are forgotten.
pub const REGISTRATION_PREFIXES_MAX: usize = 16_384;
/// Registrations that one stream may try: names that are taken, then somebody gives up.
pub const REGISTRATIONS_PER_STREAM_MAX: u8 = 5;
/// Characters of a name; no localpart has more bytes (RFC 7622 section 3.3).
pub const REGISTRATION_NAME_MAX: u32 = 1_023;
/// Bytes of one field that a newcomer fills in besides name and password.
pub const REGISTRATION_FIELD_BYTES_MAX: usize = 512;
/// Invitations of one account that may be open at a time.
pub const INVITATIONS_PER_ACCOUNT_MAX: u32 = 50;
/// The same of the operator, and the most that an operator may allow: they are read at once.
pub const INVITATIONS_READ_MAX: usize = 1_000;
/// How long an invitation is open: XEP-0379 section 6.2 suggests a week.
pub const INVITATION_EXPIRY_MS: u64 = 7 * 24 * 3_600_000;
/// Names that are taken and are asked for with one invitation, or by one user for an invitation, within [`REGISTRATION_WINDOW_MS`].
pub const INVITATION_NAME_TRIES: u32 = 10;
/// Names that the open invitations of one account keep for others: a family.
pub const INVITATION_NAMES_MAX: usize = 5;
/// How long an invitation that is over is remembered, for who has shown it in time: longer than any stream negotiates.
pub const INVITATION_GRACE_MS: u64 = 3_600_000;
const _: () = assert!(INVITATION_GRACE_MS > NEGOTIATION_TIMEOUT_MS);
/// How long the request is good that the server makes for a newcomer: it is told until it is confirmed.
pub const INVITATION_PROOF_MS: u64 = 7 * 24 * 3_600_000;
/// Most uses of one invitation: a class, a club.
pub const INVITATION_USES_MAX: u32 = 1_000;
/// How long a token for fast authentication is good (XEP-0484): a holiday, and a phone in a drawer.
pub const TOKEN_EXPIRY_MS: u64 = 28 * 24 * 3_600_000;
/// Clients of one account that may have tokens.
pub const TOKEN_CLIENTS_MAX: u32 = 32;
/// Most that an operator may allow: they are read at once.
pub const TOKEN_CLIENTS_LIMIT: u32 = 1_000;
/// Clients whose counts of attempts are remembered, 60 bytes each.
pub const TOKEN_COUNTS_MAX: usize = 65_536;
/// Questions about tokens that are answered by one commit.
pub const TOKEN_BATCH_COUNT: usize = 256;
/// Questions about tokens that wait for a commit.
pub const TOKENS_WAITING_MAX: usize = 8_192;
/// Accounts that wait to be purged; more are asked for again after [`PURGE_AGAIN_MS`].
pub const PURGES_WAITING_MAX: usize = 65_536;
/// After what time rows of a removed account are to be removed again, if too much waited for that.
pub const PURGE_AGAIN_MS: u64 = 10_000;
/// Changes of its password that an account may make from one address within [`PASSWORD_CHANGES_WINDOW_MS`]: a slip, and
/// another. Of an account one is under way at a time, and all of them on one thread.
pub const PASSWORD_CHANGES_MAX: u32 = 3;
/// Time in which changes of passwords are counted.
pub const PASSWORD_CHANGES_WINDOW_MS: u64 = 60_000;
/// Keys whose doings are counted, in each of the tables that do so, 100 bytes each.
pub const WINDOWS_MAX: usize = 16_384;
/// Changes of own accounts and registrations that wait for their thread: logins have others, so at 4 ms each the last
/// waits a second.
pub const OWN_WAITING_MAX: usize = 256;
/// And of one address, or one whose address is not known: of a host whose passwords take long to check, the last waits half a minute. Others' have their turn
/// between them.
pub const OWN_WAITING_OF_ADDRESS_MAX: usize = 64;
/// Key derivations that wait for a thread: at 1 ms each the last waits a second for two threads.
pub const DERIVATIONS_WAITING_MAX: usize = 2_048;
/// How long a removed name is not given to anybody else: a year (peers.md row 17).
pub const TOMBSTONE_MS: u64 = 365 * 24 * 3_600_000;

// ---- Directory ----

/// How long making a connection to a directory may take: a server in the same house answers in milliseconds.
pub const DIRECTORY_CONNECT_MS: u64 = 2_000;
/// How long one answer of it may take.
pub const DIRECTORY_OPERATION_MS: u64 = 3_000;
/// How long a question waits for a connection: longer than one answer may take, so that whoever waits behind a question to
/// a server that has fallen silent is answered by the next one.
pub const DIRECTORY_QUEUE_MS: u64 = 4_000;
const _: () = assert!(DIRECTORY_QUEUE_MS > DIRECTORY_OPERATION_MS);
/// The most that an operator may allow for each of these: a client has to authenticate in the meantime.
pub const DIRECTORY_TIMEOUT_MS_MAX: u64 = 60_000;
const _: () = assert!(
    DIRECTORY_CONNECT_MS + DIRECTORY_QUEUE_MS + 2 * DIRECTORY_OPERATION_MS < NEGOTIATION_TIMEOUT_MS
);
/// Connections that search: one does some thousand look-ups a second (CRATES.md section 7).
pub const DIRECTORY_SEARCH_CONNECTIONS: u32 = 2;
/// Connections that try passwords, for directories whose hashes take long.
pub const DIRECTORY_BIND_CONNECTIONS: u32 = 4;
/// The most of each: a thread and a socket.
pub const DIRECTORY_CONNECTIONS_MAX: u32 = 64;
/// Questions that wait for a connection: at 4,000 binds a second the last waits half a second.
pub const DIRECTORY_QUEUE_MAX: u32 = 2_048;
/// The most that an operator may allow, 500 bytes each.
pub const DIRECTORY_QUEUE_LIMIT: u32 = 65_536;
/// Questions of one worker whether there is somebody, which wait for a directory: they have seats among those of the
/// store ([`STORE_OUTSTANDING_MAX`]), which users of other hosts need, too.
pub const DIRECTORY_OUTSTANDING_MAX: usize = 1_024;
const _: () = assert!(DIRECTORY_OUTSTANDING_MAX * 4 <= STORE_OUTSTANDING_MAX);
/// Logins of one account that wait while its password is changed: somebody's clients, all of which come back at once.
pub const DIRECTORY_POSTPONED_MAX: usize = 32;
const _: () = assert!(DIRECTORY_POSTPONED_MAX >= SESSIONS_PER_ACCOUNT_MAX);
/// Changes of passwords of which is remembered what entries said before, for [`DIRECTORY_LOOK_MS`]: 100 bytes each, and more
/// than thirty in a second.
pub const DIRECTORY_REPLACED_MAX: usize = 10_000;
/// How long it is believed that there is a user.
pub const DIRECTORY_FRESH_MS: u64 = 60_000;
/// How long it is believed that there is none: who was just made waits for that long at most.
pub const DIRECTORY_FRESH_UNKNOWN_MS: u64 = 30_000;
/// Names about which that is remembered, 200 bytes each.
pub const DIRECTORY_CACHE_MAX: u32 = 100_000;
/// The most that an operator may allow.
pub const DIRECTORY_CACHE_LIMIT: u32 = 10_000_000;
/// How long a server that failed is left alone, doubled with each failure.
pub const DIRECTORY_BACK_OFF_FIRST_MS: u64 = 500;
/// The longest of these: so long after it is back it is noticed at the latest.
pub const DIRECTORY_BACK_OFF_MAX_MS: u64 = 15_000;
/// A connection that was idle for longer is made anew: whatever is between may have forgotten it.
pub const DIRECTORY_IDLE_MS: u64 = 60_000;
/// Servers to which one question may be sent on. RFC 4511 section 4.1.10: "Clients that follow referrals MUST ensure that they
/// do not loop between servers ... Clients MUST be able to handle at least ten nested referrals"; and some that are dead.
pub const DIRECTORY_REFERRALS_MAX: usize = 16;
/// Servers of which an operator is told that questions are sent on to them, and whether that works: more than any organisation
/// has, and no end of the log where a directory names others each time.
pub const DIRECTORY_REFERRED_MAX: usize = 64;
const _: () = assert!(DIRECTORY_REFERRED_MAX > DIRECTORY_REFERRALS_MAX);
/// An address to which a question may be sent on: a long name, a long filter, and each byte of them escaped. A longer
/// one is ignored.
pub const DIRECTORY_REFERRAL_BYTES_MAX: usize = 4 * 1024;
/// Parentheses in parentheses of a filter: who reads one goes down the stack with each of them, and directories may write
/// some. Administrators' filters have three or four.
pub const DIRECTORY_FILTER_DEPTH_MAX: usize = 32;
/// How long an operator is not told again that several entries have a name, which anybody may try as often as they like.
pub const DIRECTORY_COLLISION_MS: u64 = 3_600_000;
/// Names of which this is remembered: of more than these nobody reads, and the base is too wide.
pub const DIRECTORY_COLLISIONS_MAX: usize = 1_000;
/// How often it is looked whether everybody is still there: 100,000 accounts keep a directory busy for two seconds.
pub const DIRECTORY_POLL_MS: u64 = 300_000;
/// Names that one question is about: fifty cost little more than one (CRATES.md section 7).
pub const DIRECTORY_SWEEP_NAMES: usize = 50;
/// Names read from the store at a time.
pub const DIRECTORY_SWEEP_PAGE: usize = 1_000;
/// Accounts that may be missing at once, if there are not twice as many: more than that is a wrong base, or an empty copy
/// of the directory, and ends nobody's sessions.
pub const DIRECTORY_GONE_AT_ONCE: usize = 20;
/// Values of one attribute that are read: a group has as many as members.
pub const DIRECTORY_VALUES_MAX: usize = 100_000;
/// Bytes of an entry that are read: a group of 80,000 whose names have fifty.
pub const DIRECTORY_ENTRY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Groups of one host that are read, 3 KiB each with fifty members.
pub const DIRECTORY_GROUPS_MAX: usize = 100_000;
/// People in the groups of one host: 60 bytes each for all workers, and 300 where they are read.
pub const DIRECTORY_PEOPLE_MAX: usize = 2_000_000;
/// Bytes of what one search finds, page by page: all groups of a host, and half as much again.
pub const DIRECTORY_ANSWER_BYTES_MAX: usize = 512 * 1024 * 1024;
const _: () = assert!(DIRECTORY_ANSWER_BYTES_MAX / DIRECTORY_GROUPS_MAX > 3 * 1024);
/// How deep groups are in groups: organisations have fewer levels.
pub const DIRECTORY_GROUP_DEPTH_MAX: u32 = 10;
/// The most that an operator may allow.
pub const DIRECTORY_GROUP_DEPTH_LIMIT: u32 = 100;
/// Members of a contact list: a roster of so many is a megabyte on the wire, and their presence as many stanzas.
pub const DIRECTORY_LIST_MEMBERS_MAX: u32 = 10_000;
/// The most that an operator may allow.
pub const DIRECTORY_LIST_MEMBERS_LIMIT: u32 = 100_000;
/// Members of a contact list who are told of its changes one by one: a thousand members online, and who joins is told by
/// a thousand stanzas.
pub const DIRECTORY_LIST_PUSHES_MAX: u32 = 1_000;
/// Accounts of one worker that learn of new groups in one turn of its loop, about a millisecond: three hundred thousand know
/// within a second, and nobody's stanzas wait for that.
pub const GROUPS_ACCOUNTS_PER_TURN: usize = 500;
/// Bytes of the name of somebody in rosters, or of a list.
pub const DIRECTORY_NAME_BYTES_MAX: usize = 256;
const _: () = assert!(DIRECTORY_NAME_BYTES_MAX <= ROSTER_NAME_BYTES_MAX);
/// One in so many of those who are known is looked for again each time: so many looks a change of name may wait.
pub const DIRECTORY_PEOPLE_ROUNDS: u64 = 10;
/// Of more people than this it is cheaper to have everybody told than to ask for them by name.
pub const DIRECTORY_LOOK_AT_ALL: usize = 1_000;
/// How long groups are not read again after they were, however often they change: a change is seen so much later at most.
pub const DIRECTORY_GROUPS_PAUSE_MS: u64 = 1_000;
/// And so many times as long as reading took: three quarters of a connection's time are others'.
pub const DIRECTORY_GROUPS_PAUSE_TIMES: u32 = 3;
/// Until groups that could not be read are read again.
pub const DIRECTORY_GROUPS_AGAIN_MS: u64 = 5_000;
/// Entries of one page (RFC 2696): half of what Active Directory gives at once, and what OpenLDAP gives without an operator's
/// word.
pub const DIRECTORY_PAGE_ENTRIES: i32 = 500;
/// How long nothing may happen in a part of a directory that tells of changes before it is asked anew: so soon it is
/// noticed that it is gone, and what it costs is one question.
pub const DIRECTORY_LISTEN_MS: u64 = 30_000;
const _: () = assert!(DIRECTORY_LISTEN_MS < DIRECTORY_IDLE_MS);
/// Bytes of a state (RFC 4533 section 2.1.2) that are kept for the next time: OpenLDAP's have some fifty for each server.
pub const DIRECTORY_COOKIE_BYTES_MAX: usize = 16 * 1024;
/// Entries whose changes are followed, some 500 bytes each.
pub const DIRECTORY_WATCHED_MAX: u32 = 1_000_000;
/// The most that an operator may allow.
pub const DIRECTORY_WATCHED_LIMIT: u32 = 20_000_000;
/// How long a look at a part of a directory may take altogether, page by page.
pub const DIRECTORY_LOOK_MS: u64 = 300_000;
/// How much later a copy of a directory may hear of a change than it was made.
pub const DIRECTORY_LOOK_OVERLAP_MS: i64 = 600_000;
/// Bytes of a photo in an entry: ten times as large as XEP-0153 section 4.6 wants it.
pub const DIRECTORY_PHOTO_BYTES_MAX: u64 = 80 * 1024;
/// The most that an operator may allow.
pub const DIRECTORY_PHOTO_BYTES_LIMIT: u64 = 512 * 1024;
/// How long what an entry says of somebody is believed.
pub const DIRECTORY_CARD_FRESH_MS: u64 = 300_000;
/// Bytes of vCards that are remembered for that long: some hundred with photos, or some ten thousand without.
pub const DIRECTORY_CARD_CACHE_BYTES: u64 = 16 * 1024 * 1024;
/// Requests of one account that wait for a directory: clients ask for many vCards at once, and some of everybody's
/// ([`DIRECTORY_OUTSTANDING_MAX`]) is left to others.
pub const DIRECTORY_WAITING_MAX: usize = 16;
/// A refused login is answered at a multiple of this after it was asked, so that nobody learns from the time whether the
/// name or the password was wrong: above what a look-up and a bind take.
pub const DIRECTORY_REFUSAL_MS: u64 = 250;
/// Iterations of keys in a directory that we would have a client derive: RFC 5803 section 3 warns of "big iteration
/// counts".
pub const DIRECTORY_ITERATIONS_MAX: u32 = 1_000_000;

// ---- Workers ----

/// Memory of everything that waits in queues, of the whole server; each worker has its share.
pub const QUEUE_MEMORY_BYTES: u64 = 1024 * 1024 * 1024;
/// Share of a worker's queue memory from which new logins wait.
pub const LOAD_LOGINS_PERCENT: usize = 70;
/// Share of a worker's queue memory that codecs (XEP-0138) may have altogether: who asks for one beyond is refused, and goes on
/// without. Half of what stops logins, because a codec is not given back while its connection lasts.
pub const LOAD_CODECS_PERCENT: usize = 35;
/// From here what accounts say to many waits, the newest of each session, and is told a few at a time.
pub const LOAD_PRESENCE_PERCENT: usize = 80;
/// From here archives are not read, and kept messages stay in the store.
pub const LOAD_ARCHIVE_PERCENT: usize = 85;
/// From here the slowest readers lose their connections.
pub const LOAD_READERS_PERCENT: usize = 90;
/// How long nobody is looked for who could be shed, where there was nobody: a look visits all streams and sessions of
/// the worker, which takes milliseconds with a hundred thousand.
pub const LOAD_NOBODY_MS: u64 = 100;
/// From here sockets are not read.
pub const LOAD_SOCKETS_PERCENT: usize = 97;

/// How long what clients send may wait for a worker to read it before new logins wait: a turn of the loop visits 256 streams
/// in 5 ms at most (DESIGN section 4), ten thousand in this time. It is not yet what a person notices.
pub const OVERLOAD_AFTER_MS: u64 = 200;
/// From this many times as long on new logins wait.
pub const LAG_LOGINS: u64 = 1;
/// From this many times as long on what accounts say to many waits as well.
pub const LAG_PRESENCE: u64 = 2;
/// From this many times as long on archives are not read either.
pub const LAG_ARCHIVE: u64 = 4;
/// A lag counts as this many times as long at most, or one that was very long would be remembered for long.
pub const LAG_MOST: u64 = 8;
/// How fast a lag is forgotten once it is shorter: to a third in this time.
pub const LAG_FALL_MS: u64 = 150;
/// How long a worker has to keep up before its log says that it does.
pub const LAG_CALM_MS: u64 = 5_000;
/// Between two parts of what is said to many while that waits: some five thousand hear of somebody in a second, which is a
/// hundredth of a worker's time, and nobody is forgotten.
pub const SPREAD_PRESSED_MS: u64 = 100;

/// Envelopes that may wait for one other worker.
pub const OUTBOX_COUNT_MAX: usize = 4_096;
/// Batches in the channel between two workers.
pub const MESH_BATCH_COUNT_MAX: usize = 64;
/// Requests of one worker that the store has not answered.
pub const STORE_OUTSTANDING_MAX: usize = 8_192;
/// Share of [`STORE_OUTSTANDING_MAX`] from which new logins wait: some thousand saves and reads, a disk that stands still for a
/// second. Each login reads ten rows, and who is there already shall not be refused a read for them.
pub const STORE_LOGINS_PERCENT: usize = 25;
/// From here what accounts say to many waits as well: whom it reaches may have to be read.
pub const STORE_PRESENCE_PERCENT: usize = 50;
/// From here archives are not read either.
pub const STORE_ARCHIVE_PERCENT: usize = 75;
/// Requests of one worker that the auth thread has not answered.
pub const AUTH_OUTSTANDING_MAX: usize = 1_024;
/// How long a login that is right waits for room in the queues of its worker; then the client is told to come back.
pub const LOGIN_PATIENCE_MS: u64 = 10_000;
/// How many of those who have waited are let in at a time, and how long after these the next are. What a login makes to do comes
/// when its client has heard of it: whoever waited for ten seconds, all let in at once, would fill again what has just become
/// empty. 6,400 in a second are more than a worker verifies; those of a twentieth of a second read half of what
/// [`STORE_OUTSTANDING_MAX`] leaves above [`STORE_LOGINS_PERCENT`].
pub const LOGINS_LET_IN_COUNT: usize = 64;
pub const LOGINS_LET_IN_MS: u64 = 10;
/// Newcomers that the doorman puts before one worker which has not looked at them yet: as many as it takes in one turn of
/// its loop, twice. Beyond it they wait in the system's backlog, at no cost.
pub const NEWCOMERS_WAITING_MAX: usize = 128;
/// Those of them that a worker with too much to do has looked at, and that hear from it after [`LOGIN_PATIENCE_MS`] that they
/// shall come back later: six in a second, so that refusing costs next to nothing. The others wait in the backlog.
pub const ANTEROOM_MAX: usize = 64;
/// How soon a worker with too much to do looks again whether it still has, when nothing else wakes it.
pub const PRESSED_LOOK_MS: u64 = 50;
/// TLS handshakes in progress on one worker: each costs 25 KB until it ends (CRATES.md section 2).
pub const HANDSHAKES_MAX: usize = 256;
/// What a client says it can do (XEP-0115) when asked: the longest that it is believed. Gajim, of which most is known,
/// needs 6 KB.
pub const CAPABILITIES_BYTES_MAX: usize = 16 * 1024;
/// What one worker remembers of what clients can do, by verification string: some hundred versions of clients.
pub const CAPABILITIES_KNOWN_BYTES: u64 = 2 * 1024 * 1024;
/// The longest node of a client's capabilities: an address of its maker.
pub const CAPABILITIES_NODE_BYTES_MAX: usize = 512;
/// Rows' bytes in one answer of the store.
pub const RANGE_BYTES_MAX: usize = 256 * 1024;
/// How long the store's writer collects before it commits.
pub const COMMIT_COLLECT_MS: u64 = 5;

/// Most workers: a worker's number is one byte, and one value is kept for "nobody".
pub const WORKERS_MAX: u32 = 255;
/// Memory in which the store keeps blocks that it has read.
pub const STORE_CACHE_BYTES: u64 = 256 * 1024 * 1024;
/// Space on the disk that the store leaves alone, so that it can still remove and compact when writes are refused.
pub const STORE_RESERVE_BYTES: u64 = 64 * 1024 * 1024;
/// How long a stopping server waits for its clients to take their goodbye.
pub const DRAIN_TIMEOUT_MS: u64 = 10_000;
/// Audit records that may wait for the disk; beyond it `audit.when_full` decides.
pub const AUDIT_SPOOL_COUNT_MAX: usize = 10_000;
/// How long the end of the process waits for the audit file: a full spool is three megabytes, and a disk that
/// does not take them in this time is broken. A supervisor waits longer before it kills (systemd: 90 s).
pub const AUDIT_STOP_MS: u64 = 5_000;
/// How long a stopping server waits for its workers to store what sessions held that are over: the store's queue
/// is answered within a second or two on a disk that is alive.
pub const SETTLE_ON_STOP_MS: u64 = 10_000;

const _: () = assert!(ROSTER_BYTES_MAX <= ROSTER_READ_BYTES_MAX as u64);
const _: () = assert!(PRIVATE_BYTES_MAX <= PRIVATE_READ_BYTES_MAX as u64);
const _: () = assert!(VCARD_BYTES_MAX <= ELEMENT_BYTES_MAX as u64);
const _: () = assert!(REQUEST_COUNT_MAX as usize * REQUEST_BYTES_MAX <= OUTBOUND_SOFT_BYTES);
const _: () = assert!(REQUEST_COUNT_LIMIT as usize * REQUEST_BYTES_MAX <= ROSTER_READ_BYTES_MAX);
const _: () = assert!(CSI_HELD_BYTES_MAX < OUTBOUND_SOFT_BYTES as u64);
const _: () = assert!(BLOCKLIST_ITEMS_MAX <= BLOCKLIST_ITEMS_LIMIT);
const _: () = assert!(BLOCKLIST_BYTES_MAX <= RANGE_BYTES_MAX);
const _: () = assert!(READ_UNPROVED_BYTES < READ_PER_TURN_BYTES);
const _: () = assert!(RATE_BYTES_BURST >= ELEMENT_BYTES_MAX as u64);
const _: () = assert!(RATE_STANZAS_BURST >= RATE_STANZAS_PER_S);
const _: () = assert!(SCRAM_ITERATIONS_MIN <= SCRAM_ITERATIONS);
const _: () = assert!(SCRAM_ITERATIONS <= SCRAM_ITERATIONS_MAX);
const _: () = assert!(PRE_AUTH_ELEMENT_BYTES_MAX <= ELEMENT_BYTES_MAX);
const _: () = assert!(2 * ELEMENT_BYTES_MAX <= OUTBOUND_HARD_BYTES);
const _: () = assert!(2 * ELEMENT_BYTES_MAX <= UNACKED_BYTES_MAX);
const _: () = assert!(CURSOR_REFILL_BYTES + ASIDE_STEP_BYTES_MAX < OUTBOUND_SOFT_BYTES);
const _: () = assert!(OUTBOUND_SOFT_BYTES < OUTBOUND_HARD_BYTES);
const _: () = assert!(2 * LOAD_CODECS_PERCENT <= LOAD_LOGINS_PERCENT);
const _: () = assert!(LOAD_LOGINS_PERCENT < LOAD_PRESENCE_PERCENT);
const _: () = assert!(LOAD_PRESENCE_PERCENT < LOAD_ARCHIVE_PERCENT);
const _: () = assert!(LOAD_ARCHIVE_PERCENT < LOAD_READERS_PERCENT);
const _: () = assert!(LAG_LOGINS < LAG_PRESENCE && LAG_PRESENCE < LAG_ARCHIVE);
const _: () = assert!(STORE_LOGINS_PERCENT < STORE_PRESENCE_PERCENT);
const _: () =
    assert!(STORE_PRESENCE_PERCENT < STORE_ARCHIVE_PERCENT && STORE_ARCHIVE_PERCENT < 100);
const _: () = assert!(LAG_ARCHIVE < LAG_MOST);
const _: () = assert!(ANTEROOM_MAX < NEWCOMERS_WAITING_MAX);
const _: () = assert!(LOAD_READERS_PERCENT < LOAD_SOCKETS_PERCENT);
// A search of a contact, which reads two lists and where the archive begins, and as many words as it may have, which
// read a list each, reads the messages, then ends.
const _: () = assert!(ARCHIVE_SEARCH_WORDS_MAX + 6 < ASIDE_RUNS_MAX as usize);
const _: () = assert!(ARCHIVE_TALLY_BYTES < RANGE_BYTES_MAX as u64);
const _: () = assert!(PING_TIMEOUT_MS < PING_AFTER_MS);
const _: () = assert!(RESUME_TIMEOUT_MS < ENDED_MS);
// However often a peer failed before, it hears of its last permitted attempt before it is cut off.
const _: () = assert!(PENALTY_MAX_MS * (SASL_ATTEMPTS_MAX as u64) < NEGOTIATION_TIMEOUT_MS);
const _: () = assert!(PENALTY_FIRST_MS < PENALTY_MAX_MS);
const _: () = assert!(HANDSHAKE_TIMEOUT_MS < NEGOTIATION_TIMEOUT_MS);
const _: () = assert!(LOGIN_PATIENCE_MS < NEGOTIATION_TIMEOUT_MS);
const _: () = assert!(HANDSHAKE_CROWDED_MS < HANDSHAKE_TIMEOUT_MS);
const _: () = assert!(STREAM_HEADER_BYTES_MAX <= PRE_AUTH_ELEMENT_BYTES_MAX);
const _: () = assert!(PRE_AUTH_ELEMENT_BYTES_MAX <= UNREAD_BYTES_MAX);
