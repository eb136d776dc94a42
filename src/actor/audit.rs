/// THROW-AWAY stand-in.
#[derive(Debug)]
pub struct AuditEvent;
