//! How threads reach a worker: channels, and a knock when it sleeps. Refuses to know what is in what it
//! carries.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use mio::{Poll, Token, Waker};

use crate::actor::{Answer, Ticket};
use crate::base::{WorkerId, limits};
use crate::shard::Batch;

use super::admit::Newcomer;
use super::handover::Carried;
use super::order::Order;

/// The token under which a knock wakes a worker; a connection's key is never all ones.
pub const KNOCK: Token = Token(usize::MAX);

/// Wakes a worker, at most once per sleep: whoever flips `asleep` back writes the eventfd, all others
/// save themselves the system call.
#[derive(Debug)]
pub struct Knocker {
    asleep: AtomicBool,
    waker: Waker,
}

impl Knocker {
    /// To be called after something was put into one of the worker's channels.
    pub fn knock(&self) {
        // Orders the caller's send before the look at `asleep`, as `fall_asleep` orders the store before
        // the worker's last look at its channels: one of the two sees the other.
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::Relaxed) {
            // The eventfd can only be full of knocks, and then the worker wakes anyhow.
            if let Err(error) = self.waker.wake() {
                log::error!("knock_failed error={error}");
            }
        }
    }

    /// Before the last look at the channels.
    pub fn fall_asleep(&self) {
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// After `poll`, or when the last look found something.
    pub fn wake_up(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }
}

/// Where a worker is reached: what the doorman, the service threads, the administrator and the other
/// workers hold of it.
#[derive(Clone, Debug)]
pub struct Address {
    newcomers: Sender<Newcomer>,
    carried: Sender<Box<Carried>>,
    answers: Sender<(Ticket, Answer)>,
    orders: Sender<Order>,
    knocker: Arc<Knocker>,
}

impl Address {
    /// Wakes the worker after a batch was put into its inbox.
    pub fn knock(&self) {
        self.knocker.knock();
    }

    /// A connection was accepted. Unbounded: the door counts.
    pub fn welcome(&self, newcomer: Newcomer) {
        self.put(&self.newcomers, newcomer);
    }

    /// Whether the worker keeps up with who comes: one that does not look at them has enough to do with those inside.
    pub fn has_room_for_newcomers(&self) -> bool {
        self.newcomers.len() < limits::NEWCOMERS_WAITING_MAX
    }

    /// A connection moves here. Unbounded: the door counts.
    pub fn carry(&self, carried: Box<Carried>) {
        self.put(&self.carried, carried);
    }

    /// A service answers. Unbounded: the asker bounds what is outstanding.
    pub fn answer(&self, ticket: Ticket, answer: Answer) {
        self.put(&self.answers, (ticket, answer));
    }

    /// A service answers several questions: one knock for all.
    pub fn answer_all(&self, answers: Vec<(Ticket, Answer)>) {
        for answer in answers {
            // As in `put`.
            let _ = self.answers.send(answer);
        }
        self.knocker.knock();
    }

    /// The administrator orders.
    pub fn order(&self, order: Order) {
        self.put(&self.orders, order);
    }

    fn put<T>(&self, channel: &Sender<T>, value: T) {
        // A worker that is gone has ended with its process or is about to.
        if channel.send(value).is_ok() {
            self.knocker.knock();
        }
    }
}

/// The receiving ends of an [`Address`].
pub struct Inbox {
    pub newcomers: Receiver<Newcomer>,
    pub carried: Receiver<Box<Carried>>,
    pub answers: Receiver<(Ticket, Answer)>,
    pub orders: Receiver<Order>,
    /// One per other worker; bounded, so that a worker which cannot keep up is felt by its senders.
    pub batches: Vec<Receiver<Batch>>,
    /// How many of each are of this turn.
    pub due: Vec<usize>,
    pub knocker: Arc<Knocker>,
}

impl Inbox {
    /// A turn begins: what other workers have sent by now is of it, and what comes later is of the next. Whoever orders
    /// something of all workers (new groups) tells each before any of them says anything because of it: so a batch that is
    /// there before orders are taken comes behind the order that it follows from, and one that is not would come before it.
    pub fn begin_turn(&mut self) {
        self.due.clear();
        self.due.extend(self.batches.iter().map(Receiver::len));
    }

    /// The next batch of this turn.
    pub fn next_batch(&mut self) -> Option<Batch> {
        let at = self.due.iter().position(|count| *count > 0)?;
        self.due[at] -= 1;
        self.batches[at].try_recv().ok()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.newcomers.is_empty() && self.is_empty_but_for_newcomers()
    }

    /// Whether nothing waits that comes from within.
    pub fn is_empty_but_for_newcomers(&self) -> bool {
        self.carried.is_empty()
            && self.answers.is_empty()
            && self.orders.is_empty()
            && self.batches.iter().all(Receiver::is_empty)
    }
}

/// A worker's place, made before anybody works there: services and doorman need its address first.
pub struct Seat {
    pub worker: WorkerId,
    pub poll: Poll,
    pub inbox: Inbox,
    /// To each other worker, by its place; none to itself.
    pub outboxes: Vec<Option<Sender<Batch>>>,
    /// Where this worker is reached.
    pub address: Address,
}

/// As many seats as workers, each with a channel to every other.
pub fn seats(count: u8) -> io::Result<Vec<Seat>> {
    let mut seats = Vec::with_capacity(usize::from(count));
    for index in 0..count {
        seats.push(seat(WorkerId(index))?);
    }
    for from in 0..usize::from(count) {
        for to in 0..usize::from(count) {
            let sender = (from != to).then(|| {
                let (sender, receiver) = bounded(limits::MESH_BATCH_COUNT_MAX);
                seats[to].inbox.batches.push(receiver);
                sender
            });
            seats[from].outboxes.push(sender);
        }
    }
    Ok(seats)
}

fn seat(worker: WorkerId) -> io::Result<Seat> {
    let poll = Poll::new()?;
    let knocker = Arc::new(Knocker {
        asleep: AtomicBool::new(false),
        waker: Waker::new(poll.registry(), KNOCK)?,
    });
    let (newcomers_in, newcomers) = unbounded();
    let (carried_in, carried) = unbounded();
    let (answers_in, answers) = unbounded();
    let (orders_in, orders) = unbounded();
    Ok(Seat {
        worker,
        poll,
        inbox: Inbox {
            newcomers,
            carried,
            answers,
            orders,
            batches: Vec::new(),
            due: Vec::new(),
            knocker: Arc::clone(&knocker),
        },
        outboxes: Vec::new(),
        address: Address {
            newcomers: newcomers_in,
            carried: carried_in,
            answers: answers_in,
            orders: orders_in,
            knocker,
        },
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use mio::Events;

    /// Knocks that the worker has heard since it was last asked. Several at once are heard as one, so it is asked behind
    /// each that might be there.
    fn knocks(seat: &mut Seat) -> usize {
        let mut events = Events::with_capacity(8);
        let heard = seat.poll.poll(&mut events, Some(Duration::ZERO));
        heard.expect("epoll works");
        events.iter().filter(|event| event.token() == KNOCK).count()
    }

    /// Puts many envelopes in and asks behind each.
    fn knocks_of_a_hundred(seat: &mut Seat) -> usize {
        let mut count = 0;
        for number in 0..100 {
            seat.address.answer(Ticket(number), Answer::Saved);
            count += knocks(seat);
        }
        count
    }

    #[test]
    fn a_sleeping_worker_is_woken_once_for_many_envelopes_and_a_waking_one_never() {
        let mut seats = seats(1).expect("descriptors are left");
        let seat = &mut seats[0];
        assert_eq!(knocks_of_a_hundred(seat), 0);
        seat.inbox.knocker.fall_asleep();
        assert_eq!(knocks_of_a_hundred(seat), 1);
        seat.inbox.knocker.fall_asleep();
        assert_eq!(knocks_of_a_hundred(seat), 1);
        seat.inbox.knocker.wake_up();
        assert_eq!(knocks_of_a_hundred(seat), 0);
        assert_eq!(seat.inbox.answers.len(), 400);
    }

    #[test]
    fn what_another_worker_sends_while_orders_are_taken_is_of_the_next_turn() {
        let mut seats = seats(2).expect("descriptors are left");
        let Seat {
            mut inbox, address, ..
        } = seats.pop().expect("two");
        let outbox = seats[0].outboxes[1].as_ref().expect("to the second");
        let send = |number| {
            let batch = Batch {
                from: WorkerId(0),
                number,
                envelopes: Vec::new(),
            };
            outbox.try_send(batch).expect("there is room");
        };
        send(1);
        inbox.begin_turn();
        assert!(inbox.orders.try_recv().is_err());
        // Both are told, and the other is faster.
        address.order(Order::LookAtClock);
        send(2);
        assert!(inbox.next_batch().is_some_and(|batch| batch.number == 1));
        assert!(inbox.next_batch().is_none(), "it follows from the order");
        assert!(!inbox.is_empty(), "nobody sleeps");
        inbox.begin_turn();
        assert!(inbox.orders.try_recv().is_ok() && inbox.next_batch().is_some());
        assert!(inbox.is_empty());
    }
}
