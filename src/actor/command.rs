//! Commands as plain data: what they are called, who may run them, what they ask, what they do. A feature lists its own
//! ([`super::Feature::commands`]), and whoever offers commands to people reads them from the catalogue: XEP-0050 today,
//! an HTTP API and a console later. Refuses to know how any of these speak.

use std::borrow::Cow;

use super::turn::{Actor, Stop, Turn};
use crate::stanza::{Choice, FieldType, StanzaError, Submission};

/// One command.
pub struct Command<A: Actor> {
    /// Its name for programs, which never changes.
    pub node: &'static str,
    /// Its name for people.
    pub name: &'static str,
    /// Whether whoever is served in this turn may run it; others do not see it either.
    pub may_run: fn(&Turn<'_, A>) -> bool,
    /// What it asks, one page after the other. Without any it runs at once.
    pub pages: &'static [Page<A>],
    /// Carries it out. What it rejects changes nothing, and the last page may be answered again.
    pub run: fn(&mut Turn<'_, A>, &Answers) -> Result<Report, Stop>,
}

/// Questions that are asked together.
pub struct Page<A: Actor> {
    /// What people read above them.
    pub instructions: &'static str,
    pub fields: &'static [Field<A>],
}

/// One question.
pub struct Field<A: Actor> {
    pub var: &'static str,
    /// What people read.
    pub label: &'static str,
    pub type_: FieldType,
    /// Whether it must be answered.
    pub need: Necessity,
    /// What it can be answered with, for fields of type `list-single` and `list-multi`.
    pub choices: fn(&mut Turn<'_, A>) -> Result<Vec<Choice>, Stop>,
    /// What the answer is until it is changed.
    pub values: fn(&mut Turn<'_, A>) -> Result<Vec<String>, Stop>,
}

/// Whether a question must be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Necessity {
    Optional,
    Required,
}

impl<A: Actor> Field<A> {
    /// A question that must be answered, without choices and with no answer yet.
    pub const fn new(var: &'static str, label: &'static str, type_: FieldType) -> Field<A> {
        Field {
            var,
            label,
            type_,
            need: Necessity::Required,
            choices: |_| Ok(Vec::new()),
            values: |_| Ok(Vec::new()),
        }
    }
}

/// The answers to the pages so far, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers(pub Vec<Submission>);

impl Answers {
    /// The answer to a question that has one; none where it was left out or left empty.
    ///
    /// # Errors
    /// `bad-request` if there are several.
    pub fn value(&self, var: &str) -> Result<Option<&str>, StanzaError> {
        match self.page_of(var) {
            Some(page) => page.value(var),
            None => Ok(None),
        }
    }

    /// The answers to a question that may have many.
    pub fn values(&self, var: &str) -> &[String] {
        self.page_of(var).map_or(&[], |page| page.values(var))
    }

    /// Whether a boolean was answered with yes.
    ///
    /// # Errors
    /// `bad-request` if it is no boolean.
    pub fn says_yes(&self, var: &str) -> Result<bool, StanzaError> {
        let page = self.page_of(var);
        Ok(page.map(|page| page.boolean(var)).transpose()?.flatten() == Some(true))
    }

    fn page_of(&self, var: &str) -> Option<&Submission> {
        let mut pages = self.0.iter().rev();
        pages.find(|page| page.names().any(|name| name == var))
    }
}

/// What a command has to say when it is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub outcome: Outcome,
    /// A sentence for people; empty where the payload says everything.
    pub text: Cow<'static, str>,
    /// What it found, in normal form: forms of type `result`, or other elements with a namespace of their own.
    pub payload: String,
}

/// Whether a command did what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    Failed,
}

impl Report {
    /// It is done.
    pub fn done(text: impl Into<Cow<'static, str>>) -> Report {
        Report {
            outcome: Outcome::Done,
            text: text.into(),
            payload: String::new(),
        }
    }

    /// It cannot be done.
    pub fn failed(text: impl Into<Cow<'static, str>>) -> Report {
        Report {
            outcome: Outcome::Failed,
            ..Report::done(text)
        }
    }

    /// It found this.
    pub fn found(payload: String) -> Report {
        Report {
            payload,
            ..Report::done("")
        }
    }
}
