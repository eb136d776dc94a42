/// THROW-AWAY stand-in.
#[derive(Debug, Default)]
pub struct Config;
