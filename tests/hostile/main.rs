//! Bad input against the real binary: two bystanders chat all the while and must notice nothing, the server's
//! memory is bounded, nothing in it panics.
//!
//! Every row of peers.md sections 7.1 and 7.2 that concerns issue 2, and what proves it. Names without a path
//! are tests of this crate; `*.xmpp` are scenes of `tests/scenarios`, played in the simulator and on the wire;
//! `fuzz` is `tests/fuzz`.
//!
//! | row | class | proved by |
//! |---|---|---|
//! | 1 | entities, DTD, PI, comments | `elements::what_is_no_restricted_xml_ends_the_stream_by_its_name`, `elements::a_connection_that_begins_with_something_else_hears_so`; split at every byte: `xml::frame_tests::any_split_of_any_bytes_gives_the_same_frames`, `what_streams_forbid_fails_between_and_inside_elements`; framing.xmpp |
//! | 2 | the second transport | there is one parser (`supplies::there_is_one_parser_of_xml`): STARTTLS, direct TLS and bound streams run through the same table in `elements`; stored rows: fuzz `row` |
//! | 3 | memory before authentication | `crowd::fifteen_thousand_half_open_connections_cost_what_they_sent_and_keep_nobody_out`, `crowd::endless_elements_from_many_at_once_are_cut_off`, `crowd::what_is_sent_behind_a_guess_is_left_in_the_socket`, `elements::half_a_piece_and_silence_is_waited_for_no_longer_than_the_deadline`; the cap per prefix: `crowd::strangers_of_one_address_are_few_and_who_has_logged_in_is_none`, `worker::door::one_prefix_cannot_fill_the_house` |
//! | 4 | amplification inside the limit | `elements::elements_beyond_the_limits_end_the_stream_with_policy_violation`; `xml::normal_tests::namespaces_do_not_amplify`, `limits_are_kept_to_the_element`, `xml::element_tests::depth_costs_no_stack`; fuzz `frame`, `stream`; allocated bytes per byte read: `tests/allocation.rs` (8 over the whole fuzz corpus, and for each of thirteen texts made for it; where the normal form is longer than what was sent, up to 8 times, 26) |
//! | 5 | hash flooding | `supplies::no_map_hashes_what_peers_choose_without_a_key` |
//! | 6 | smuggling, parser differential | `xml::normal_tests::what_is_accepted_means_the_same_before_and_after` (against roxmltree), elements of a stream inside others: hostile.xmpp, `names_that_some_parsers_refuse_are_not_passed_on`; against libxml2 and expat, through the server: `tests/interop/run differential`; hostile.xmpp, framing.xmpp |
//! | 7 | stream-level confusion | `elements::a_header_inside_the_stream_begins_nothing`, `elements::an_end_tag_of_another_name_is_not_well_formed`, `elements::what_stands_behind_the_end_of_a_stream_is_not_read`, `tls::what_was_pipelined_behind_starttls_is_not_processed`; hostile.xmpp, tls.xmpp |
//! | 8 | handlers that fail, queues that grow | fuzz `stream`; `crowd::a_full_mailbox_bounces_and_its_owner_finds_what_was_accepted`, `crowd::a_writer_that_is_too_fast_is_slowed_at_its_socket`, `logins::numbers_beyond_their_bounds_are_refused_or_read_as_absent` |
//! | 9 | slow readers | `crowd::a_reader_that_stops_is_cut_off_and_no_message_is_lost_unsaid`; `shell::a_slow_reader_leaves_others_alone_and_loses_nothing` |
//! | 10 | authzid | `logins::nobody_logs_in_as_another`; every mechanism: `sasl::exchange_tests::whatever_the_mechanism_one_acts_as_oneself_only` |
//! | 11 | identity bound to the host | `streams::who_authenticated_for_one_host_is_nobody_on_another`; streams.xmpp |
//! | 12 | enumeration, timing | `logins::hostile_names_fail_like_others`; `auth::tests::unknown_and_disabled_accounts_cost_and_look_like_a_wrong_password` counts reads and derivations, `a_fake_salt_is_stable_over_restarts_and_differs_by_name_host_and_digest`, `after_a_change_of_the_iteration_count_both_are_shown_by_accounts_and_by_others`. Time itself is not measured: the house asserts counts |
//! | 13 | downgrade | `sasl::exchange_tests::a_client_that_was_shown_no_plus_is_not_let_in_by_a_server_that_offers_it`, `a_shortened_list_of_mechanisms_shows_in_the_challenge`; on the wire: `identities::a_client_that_was_shown_less_than_was_offered_is_not_deceived`, `identities::a_proof_bound_to_its_channel_is_accepted_on_that_channel_only`; `sasl::scram_tests::a_proof_made_on_another_channel_is_refused` |
//! | 14 | weak mechanisms | `logins::sasl_out_of_order_authenticates_nobody` (DIGEST-MD5), `sasl::exchange_tests::plain_never_runs_on_an_open_channel_even_if_it_was_offered` |
//! | 15 | weak randomness | `sasl::exchange_tests::nonces_are_random_in_every_place_and_depend_on_the_seed`, `streams::ids_are_random_in_every_place_and_depend_on_the_seed`; `supplies::there_is_one_generator_and_the_system_seeds_it` |
//! | 16 | tokens outlive the password | fast.xmpp (XEP-0484), `auth::tests::tokens::whatever_changes_the_generation_ends_the_tokens`; resumption ids: `secrets` shows that a new password ends the session; `auth::tests::every_change_of_password_or_rights_is_a_new_generation` |
//! | 17 | names given again | register.xmpp; `auth::tests::own::nothing_is_left_of_who_removes_the_account_but_what_contacts_have_to_hear`; `auth::tests::a_removed_name_rests_and_never_gives_its_number_to_who_comes_after` |
//! | 18 | certificate identity | `sasl::exchange_tests::crafted_certificate_addresses_stand_for_nobody`, `a_certificate_with_two_accounts_here_needs_an_authzid`; `shell::a_client_certificate_proves_addresses_if_its_authority_is_known`; `worker::certificate::tests`; `identities::a_certificate_logs_its_owner_in_and_nobody_else` |
//! | 19 | LDAP | comes with the directory; the names are in `logins::hostile_names_fail_like_others` already |
//! | 20 | TLS | `tls::stalled_handshakes_keep_nobody_out_and_end_by_the_deadline`, `tls::a_peer_that_never_begins_its_handshake_is_sent_away`, `tls::records_of_one_byte_cost_time_and_nothing_else`, `tls::bytes_that_are_no_tls_end_the_connection_without_a_word_of_xml`; no early data, tickets of limited life that end with the certificate: `shell::nothing_is_taken_before_the_handshake_is_complete`, `shell::a_session_is_resumed_until_another_certificate_is_shown_and_binds_to_the_one_that_it_saw`, `worker::tls::tests` |
//! | 21 | brute force, lock-out | `lockout::any_number_of_guesses_waiting_for_their_verdict_keeps_nobody_out`; `auth::tests::others_failures_never_delay_who_knows_the_password`, `auth::penalty`; hanging up: `identities::a_guess_that_hangs_up_is_recorded_once_and_at_once`, `shell::who_hangs_up_before_the_verdict_keeps_its_place_until_then` |
//! | 29 | decompression bombs | `compression::bombs_are_cut_off_and_cost_nobody_anything`; `worker::deflate::tests` |
//! | 30 | compression before TLS | `compression::nobody_has_compression_who_may_not`; offered behind authentication only: compression.xmpp |
//! | 31 | CRIME | off by default; `worker::deflate::tests::a_dictionary_that_is_forgotten_gives_no_secret_away`, `stream::outbound::tests` |
//! | 33 | forged `from` | `logins::stanzas_before_login_and_in_anothers_name_are_not_processed`; hostile.xmpp |
//! | 54 | secrets in logs | `secrets::no_secret_is_in_the_log_or_in_the_audit_file` |
//! | 58 | PROXY where it is not asked for | `elements::a_connection_that_begins_with_something_else_hears_so`; `shell::elsewhere_a_header_is_garbage` |
//! | 61 | names that are not stable | `jid::tests`; fuzz `jid` |
//! | 63 | too many resources | `crowd::more_sessions_than_an_account_may_have_are_refused`; hostile.xmpp |
//! | 66 | storage | `crowd::a_full_mailbox_bounces_and_its_owner_finds_what_was_accepted`; offline.xmpp |

mod bystanders;
#[allow(dead_code)] // Some of it is for tests/operation.
mod client;
mod compression;
mod crowd;
mod elements;
mod export;
#[path = "../play/framer.rs"]
#[allow(dead_code)] // The theatre's self-tests run with the theatre.
mod framer;
mod identities;
mod lockout;
mod logins;
#[path = "../common/ports.rs"]
#[allow(dead_code)] // The server says where it listens; other programs cannot.
mod ports;
#[path = "../play/scram.rs"]
#[allow(dead_code)]
mod scram;
mod secrets;
mod server;
#[path = "../sim/mod.rs"]
mod sim;
mod storm;
mod streams;
mod supplies;
mod tls;

/// What the borrowed files of the theatre know as a test of themselves.
type SelfTest = (&'static str, fn());
