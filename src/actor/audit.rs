//! Records of who did what: stub until merged.

use std::sync::Arc;

/// One record.
#[derive(Clone, Debug)]
pub enum AuditEvent {
    Login {
        account: String,
        mechanism: &'static str,
        peer: Arc<str>,
    },
    LoginFailed {
        account: String,
        peer: Arc<str>,
    },
}
