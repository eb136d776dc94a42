//! What a scene asks to be done, one line each, after its words were understood.
//! It refuses to know both the words (`vocabulary.rs`) and the doing (`perform.rs`).

/// One stage direction, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Direction {
    OnlyOn(Vec<String>),
    Option(HostOption),
    HasResources {
        who: String,
        resources: Vec<String>,
    },
    HasAccount(String),
    /// The first sees the presence of the second.
    IsSubscribed {
        who: String,
        to: String,
    },
    /// Both see each other's presence.
    AreContacts {
        who: String,
        other: String,
    },
    /// A name that nobody has yet.
    HasName(String),
    /// By whoever runs the server.
    Operates {
        command: &'static str,
        who: String,
    },
    /// By whoever runs the server: the contact of who comes, or the only name.
    Invites {
        contact: Option<String>,
        name: Option<String>,
    },
    Connects(String),
    LogsIn(String),
    LogsOut(String),
    LosesConnection(String),
    Resumes(String),
    BecomesAvailable {
        who: String,
        priority: i8,
    },
    BecomesUnavailable(String),
    EnablesCarbons(String),
    EnablesStreamManagement(String),
    Acknowledges {
        who: String,
        h: u32,
    },
    IsAcknowledged {
        who: String,
        count: u32,
    },
    Sends {
        who: String,
        text: String,
    },
    SendsBytes {
        who: String,
        text: String,
    },
    Receives {
        who: String,
        pattern: String,
        order: Order,
        scope: Scope,
    },
    ReceivesNothing(String),
    TimePasses {
        ms: u64,
    },
    OpensConnection(String),
    OpensStream(String),
    OpensSecureStream(String),
    SecuresConnection(String),
    Authenticates {
        who: String,
        account: String,
    },
    ClosesStream(String),
    StreamIsClosed(String),
    StreamFails {
        who: String,
        condition: String,
    },
    ConnectionIsClosed(String),
}

/// An option of the server: its path in TOML, and its value as TOML.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostOption {
    pub path: String,
    pub value: String,
}

/// Whether the stanzas of a `receives` block come in the order written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Written,
    Any,
}

/// Whether more than what is listed may be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    Listed,
    Exactly,
}
