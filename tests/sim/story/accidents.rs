//! What befalls everybody: time, clocks, disks, the power, and administrators.

use std::sync::Arc;

use stonechat::actor::rows::StoreError;
use stonechat::shard::Control;

use super::Story;

impl Story {
    /// A worker has more or less to do than before.
    pub(super) fn load(&mut self) {
        let worker = self.loads.below(4) as usize;
        let ms = [0, 0, 200, 400, 800][self.loads.below(5) as usize];
        self.judge
            .say(|| format!("worker {worker} is {ms} ms behind"));
        self.world.waited_at(worker, ms);
    }

    pub(super) fn stall(&mut self, at: usize, stalled: bool) {
        let Some(link) = &mut self.devices[at].link else {
            return;
        };
        link.is_stalled = stalled;
        self.world.stall(link.conn, stalled);
    }

    pub(super) fn time_passes(&mut self) {
        let ms = match self.below(6) {
            0 => 90_000,
            1 => 11_000,
            2 => 3_000,
            _ => 1 + self.below(500) as u64,
        };
        self.judge.say(|| format!("{ms} ms pass"));
        self.world.advance(ms);
    }

    /// An administrator corrects the wall clock, by milliseconds or years.
    pub(super) fn set_clock(&mut self) {
        let most_ms = [5, 2_000, 7_200_000, 100_000_000_000][self.later.below(4) as usize];
        let ms = self.later.next_u64() % most_ms;
        let now_ms = self.world.now.wall_ms;
        let wall_ms = match self.later.below(2) {
            0 => now_ms + ms,
            _ => now_ms - ms,
        };
        self.judge
            .say(|| format!("the clock goes from {now_ms} to {wall_ms}"));
        self.world.set_wall_clock(wall_ms);
    }

    pub(super) fn fault(&mut self) {
        self.judge.had_faults = true;
        let which = self.below(6);
        self.judge.say(|| format!("fault {which}"));
        self.world.disk_is_asleep = which == 0;
        self.world.store.lock().set_fault(match which {
            1 => Some(StoreError::DiskFull),
            2 => Some(StoreError::Broken),
            _ => None,
        });
    }

    pub(super) fn crash(&mut self) {
        self.judge.say(|| "the power goes".to_string());
        for device in &mut self.devices {
            device.crashed(&mut self.world, &mut self.judge);
        }
        self.judge.life += 1;
        let seed = self.chance.next_u64();
        let world = std::mem::replace(&mut self.world, self.options.nowhere());
        world.store.lock().set_fault(None);
        self.world = world.crash(seed);
    }

    pub(super) fn reload(&mut self) {
        self.options.ask_after = 1 + self.below(6) as u32;
        if self.later.below(4) == 0 {
            self.options.keep = match self.options.keep {
                "always" => "offline-only",
                _ => "always",
            };
            self.judge.keeps_always = false;
        }
        let config = Arc::new(self.options.config());
        self.world.control(&Control::Reconfigure(config));
    }
}
