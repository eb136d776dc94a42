//! The simulated world as a stage: the same plays, with virtual time and an order that a seed decides.

use super::direction::HostOption;
use super::stage::{Channel, Conn, Stage};
use crate::sim::{ConnId, Habits, World};

/// A world of its own for one scene.
pub struct WorldStage {
    world: World,
}

impl WorldStage {
    /// A world with so many workers in which `seed` decides.
    ///
    /// # Errors
    /// What is wrong with the scene's options.
    pub fn new(seed: u64, workers: u8, options: &[HostOption]) -> Result<WorldStage, String> {
        let habits = if workers == 1 {
            Habits::KIND
        } else {
            Habits::ROUGH
        };
        let config = crate::sim::config(
            &options
                .iter()
                .map(|o| format!("{} = {}\n", o.path, o.value))
                .collect::<String>(),
        )?;
        Ok(WorldStage {
            world: World::new(seed, workers, habits, config),
        })
    }
}

impl Stage for WorldStage {
    fn host(&self) -> &str {
        "localhost"
    }

    fn channel(&self) -> Channel {
        Channel::Secure
    }

    fn register(&mut self, localpart: &str, password: &str) -> Result<(), String> {
        self.world.register(localpart, password);
        Ok(())
    }

    fn operate(&mut self, command: &str) -> Result<Vec<String>, String> {
        self.world.settle();
        self.world.operate(command)
    }

    fn connect(&mut self) -> Result<Conn, String> {
        Ok(self.world.connect_secure(1).0)
    }

    fn start_tls(&mut self, conn: Conn) -> Result<(), String> {
        self.world.settle();
        self.world.start_tls(ConnId(conn))
    }

    fn write(&mut self, conn: Conn, bytes: &[u8]) {
        self.world.write(ConnId(conn), bytes);
    }

    fn read(&mut self, conn: Conn) -> Vec<u8> {
        self.world.settle();
        let bytes = self.world.read(ConnId(conn));
        if !bytes.is_empty() || self.world.is_closed(ConnId(conn)) {
            return bytes;
        }
        // A failure that the auth thread holds back is all that comes by itself.
        while let Some(at_ms) = self.world.next_release() {
            let wait_ms = at_ms.saturating_sub(self.world.now.mono_ms);
            self.world.advance(wait_ms);
            let bytes = self.world.read(ConnId(conn));
            if !bytes.is_empty() {
                return bytes;
            }
        }
        Vec::new()
    }

    fn is_closed(&self, conn: Conn) -> bool {
        self.world.is_closed(ConnId(conn))
    }

    fn lose(&mut self, conn: Conn) {
        self.world.settle();
        self.world.lose(ConnId(conn));
    }

    fn catch_up(&mut self) -> Result<(), String> {
        self.world.settle();
        Ok(())
    }

    fn advance(&mut self, ms: u64) -> Result<(), String> {
        self.world.advance(ms);
        Ok(())
    }
}
