//! What was in a mailbox and waits for a directory, which may take seconds: it leaves the mailbox, which goes on, and comes
//! back to its head with the answer. Refuses to know what is asked.

use crate::actor::directory::{DirectoryAnswer, DirectoryAsk};
use crate::actor::rows::StoreError;
use crate::actor::{Answer, Loaded};
use crate::base::{ActorKey, Now, limits};

use super::Shard;
use super::cell::{Cell, Mail};
use super::output::{Ask, Output};
use super::refuse::store_error;
use super::seats::Seat;

/// What of an account is outside its mailbox.
#[derive(Default)]
pub(super) struct Outside {
    /// How many wait.
    waiting: usize,
    /// Those that have been answered, in the order of the answers.
    answered: Vec<(Mail, Loaded)>,
}

impl Outside {
    /// Bytes that it holds; what waits is in the seats.
    pub fn charge(&self) -> usize {
        self.answered.iter().map(|(mail, _)| mail.charge()).sum()
    }
}

impl Shard {
    /// The head of the mailbox wants to know something of a directory.
    pub(super) fn ask_directory(&mut self, now: Now, actor: ActorKey, ask: DirectoryAsk) {
        let Some(mail) = self.finish_mail(actor) else {
            return;
        };
        let outside = self.cells[actor].outside.get_or_insert_default();
        if outside.waiting + outside.answered.len() >= limits::DIRECTORY_WAITING_MAX {
            let error = store_error(StoreError::Overloaded);
            return self.reject(now, actor, Some(mail), &error);
        }
        outside.waiting += 1;
        let asked = Ask::Directory(Box::new(ask.clone()));
        match self.seats.take(Seat::Outside(actor, Box::new((mail, ask)))) {
            Ok(ticket) => self.outputs.push_back(Output::Ask(ticket, asked)),
            Err(Seat::Outside(_, waiting)) => {
                outside_of(&mut self.cells[actor]).waiting -= 1;
                let error = store_error(StoreError::Overloaded);
                self.reject(now, actor, Some(waiting.0), &error);
            }
            Err(_) => {}
        }
    }

    /// It has answered. An account waits here for what is outside its mailbox, so it is still here.
    pub(super) fn directory_answered(
        &mut self,
        actor: ActorKey,
        (mail, ask): (Mail, DirectoryAsk),
        answer: Answer,
    ) {
        if let Answer::Directory(DirectoryAnswer::Groups(groups)) = &answer {
            self.learn_groups(actor, groups);
        }
        let Some(cell) = self.cells.get_mut(actor) else {
            return;
        };
        let answer = match answer {
            Answer::Directory(answer) => answer,
            _ => DirectoryAnswer::Unavailable,
        };
        let ask = Box::new(ask);
        let outside = outside_of(cell);
        outside.waiting -= 1;
        outside
            .answered
            .push((mail, Loaded::Directory { ask, answer }));
        self.wake(actor);
    }

    /// Brings what was answered back to the head of the mailbox, if no turn is under way there.
    pub(super) fn take_up(&mut self, actor: ActorKey) {
        let Some(cell) = self.cells.get_mut(actor) else {
            return;
        };
        if cell.outside.is_none() || cell.waits() || cell.runs > 0 || !cell.loaded.is_empty() {
            return;
        }
        let outside = outside_of(cell);
        if !outside.answered.is_empty() {
            let (mail, loaded) = outside.answered.remove(0);
            cell.mailbox.push_front(mail);
            cell.loaded.push(loaded);
        } else if outside.waiting == 0 {
            cell.outside = None;
        }
    }
}

fn outside_of(cell: &mut Cell) -> &mut Outside {
    cell.outside.get_or_insert_default()
}
