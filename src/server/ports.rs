//! From a worker's questions to the threads that answer them. Refuses to know what is asked.

use std::sync::Arc;

use crate::actor::Ticket;
use crate::audit::Audit;
use crate::base::WorkerId;
use crate::directory::DirectoryService;
use crate::im::credentials::ACCOUNT;
use crate::shard::Ask;
use crate::store::{PortId, Reply, Saving, Store};
use crate::worker::Ports;

/// The ports of one worker. They hold the store, the auth service and the directories until the worker ends.
pub fn ports(
    worker: WorkerId,
    store: Store,
    directory: Arc<DirectoryService>,
    audit: Audit,
) -> Ports {
    Ports {
        ask: Box::new(move |asked| ask_all(worker, &store, &directory, asked)),
        audit: Box::new(move |now, event| audit.record(now.wall_ms, event)),
    }
}

/// Saves go together, for the price of one lock; a read goes behind the saves asked before it, which is
/// what its fence means.
fn ask_all(
    worker: WorkerId,
    store: &Store,
    directory: &DirectoryService,
    asked: &mut Vec<(Ticket, Ask)>,
) {
    let port = PortId(worker.0);
    let mut saves = Vec::new();
    for (ticket, ask) in asked.drain(..) {
        let reply = Reply { port, ticket };
        match ask {
            Ask::Save { writes, chain } => saves.push(Saving {
                ticket,
                writes,
                chain,
            }),
            Ask::Auth(ask) => directory.ask(worker, ticket, ask),
            Ask::Directory(ask) => directory.ask_about(worker, ticket, *ask),
            // Whether there is an account, a directory knows better where there is one. No worker writes this table.
            Ask::Row { table, key, .. }
                if table.name == ACCOUNT.name && directory.takes_row(worker, ticket, &key) => {}
            Ask::Row { table, key, fence } => {
                save(store, port, &mut saves);
                store.row(reply, table, key, fence);
            }
            Ask::Range {
                table,
                range,
                fence,
            } => {
                save(store, port, &mut saves);
                store.range(reply, table, range, fence);
            }
            Ask::Joined {
                table,
                range,
                join,
                fence,
            } => {
                save(store, port, &mut saves);
                store.joined(reply, table, (range, join), fence);
            }
            Ask::Pick { table, pick, fence } => {
                save(store, port, &mut saves);
                store.pick(reply, table, pick, fence);
            }
            Ask::Drop { table, before } => {
                save(store, port, &mut saves);
                store.drop_before(reply, table, before);
            }
        }
    }
    save(store, port, &mut saves);
}

fn save(store: &Store, port: PortId, saves: &mut Vec<Saving>) {
    if !saves.is_empty() {
        store.save_all(port, saves.drain(..));
    }
}
