/// THROW-AWAY stand-in.
#[derive(Debug)]
pub struct Batch(pub Vec<String>);
