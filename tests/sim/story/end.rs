//! How everything comes to rest, and what must be true then.

use std::collections::BTreeSet;

use stonechat::im::outgoing::OUTGOING;
use stonechat::im::pending::PENDING;

use crate::device::Device;
use crate::judge::{Entry, account_of, entry_in};

use super::Story;

impl Story {
    /// Everything happens that can happen without time.
    pub(super) fn calm(&mut self) {
        let mut rounds = 0;
        loop {
            self.world.settle();
            let mut any = false;
            for at in 0..self.devices.len() {
                any |= self.devices[at].read(&mut self.world, &mut self.judge, usize::MAX);
            }
            if !any {
                break;
            }
            rounds += 1;
            assert!(rounds < 1_000, "clients and server do not come to rest");
        }
    }

    /// Time with everybody awake.
    fn wait(&mut self, ms: u64) {
        let end_ms = self.world.now.mono_ms + ms;
        while self.world.now.mono_ms < end_ms {
            self.world.advance(10_000.min(ms));
            self.calm();
        }
    }

    /// Everybody comes back; then the judge speaks.
    pub(super) fn end(&mut self) {
        self.judge.say(|| "the end".to_string());
        self.world.store.lock().set_fault(None);
        self.world.disk_is_asleep = false;
        if self.has_loads {
            self.world.advance(10_000);
            self.world.waited(0);
        }
        for at in 0..self.devices.len() {
            self.stall(at, false);
        }
        self.calm();
        self.wait(11_000);
        if self.judge.had_faults {
            // What could not be read or removed stays "for the next login".
            for device in &mut self.devices {
                if device.is_ready() {
                    device.close(&mut self.world, &mut self.judge);
                } else {
                    device.lose(&mut self.world, &mut self.judge);
                    device.give_up_session(&mut self.judge);
                }
            }
            self.calm();
        }
        // A farewell behind many stanzas is heard when their rate allows.
        for round in 0..20 {
            if round >= 3 && self.devices.iter().all(Device::is_ready) {
                break;
            }
            for at in 0..self.devices.len() {
                if self.devices[at].link.is_none() {
                    let resumes = self.one_in(2);
                    self.devices[at].connect(&mut self.world, &mut self.judge, resumes);
                }
            }
            self.calm();
            self.wait(1_000);
        }
        for at in 0..self.devices.len() {
            let device = &self.devices[at];
            assert!(device.is_ready(), "{} cannot come back", device.title());
            self.devices[at].send_presence(&mut self.world, &mut self.judge, Some(1));
        }
        self.calm();
        // Whoever was kept away is seen again.
        let blockers: BTreeSet<usize> = self.judge.blocks.iter().map(|(by, _)| *by).collect();
        for by in blockers {
            let everybody: Vec<usize> = (0..self.accounts).filter(|&other| other != by).collect();
            let devices = self.devices.iter_mut();
            if let Some(device) = devices.into_iter().find(|device| device.account == by) {
                let (world, judge) = (&mut self.world, &mut self.judge);
                device.set_block(world, judge, "unblock", "", &everybody);
            }
        }
        self.calm();
        if self.judge.had_faults {
            // What was told while the disk failed is told again soon, or by the hour if nobody heard of it.
            self.wait(3_700_000);
        }
        // Sessions that nobody resumed end, after a ping where their connection still stands, and what they held
        // goes to others.
        self.wait(310_000);
        for device in &self.devices {
            assert!(device.is_ready(), "{} was sent away", device.title());
        }
        for at in 0..self.devices.len() {
            self.devices[at].request_ack(&mut self.world);
            self.devices[at].send_ack(&mut self.world);
            self.devices[at].ask(&mut self.world, &mut self.judge, None, false);
            self.devices[at].ask_roster(&mut self.world, &mut self.judge);
        }
        self.calm();
        self.rest();
        for account in 0..self.accounts {
            let requests = self.world.requests(&format!("u{account}"));
            let askers = requests.iter().filter_map(|jid| account_of(jid));
            self.judge
                .pending
                .extend(askers.map(|asker| (asker, account)));
        }
        self.judge.verdict();
        let archives: Vec<Vec<Entry>> = (0..self.accounts)
            .map(|account| self.world.archive(&format!("u{account}")))
            .map(|archive| archive.iter().map(|xml| entry_in(xml)).collect())
            .collect();
        self.judge.archives(&archives);
        for at in 0..self.devices.len() {
            self.devices[at].close(&mut self.world, &mut self.judge);
        }
        self.calm();
        self.world.advance(400_000);
        self.rest();
        assert_eq!(self.world.stream_count(), 0, "streams are left");
        assert_eq!(self.world.resident_accounts(), 0, "accounts are left");
    }

    fn rest(&self) {
        self.world.assert_rest();
        assert_eq!(self.world.row_count(&PENDING), 0, "rows are left");
        assert_eq!(self.world.row_count(&OUTGOING), 0, "tells are left");
    }
}
