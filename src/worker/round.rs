//! How long what clients send waits until this worker reads it, and what it has for them until it is written: the time of a
//! round of the loop, in which everybody has had a turn who was to have one when it began. Refuses to know what is done about
//! it.

/// The round at hand, and the one before it.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// On the monotonic clock.
    began_ms: u64,
    /// How many of those in line when it began have not had their turn: to be read, to be written, and such as the system has
    /// not announced. Of these nothing is known but that there are none where it announces fewer than it can.
    unread: usize,
    unwritten: usize,
    unheard: usize,
    /// How many it announced last, if those were as many as it can.
    crowd: usize,
    is_over: bool,
    before_ms: u64,
    /// What was said last.
    said_ms: u64,
}

impl Round {
    /// Before the turns of a turn of the loop: another round begins if the last one is over.
    pub fn begin(&mut self, now_ms: u64, unread: usize, unwritten: usize, connections: usize) {
        if self.is_over {
            self.is_over = false;
            self.began_ms = now_ms;
            self.unread = unread;
            self.unwritten = unwritten;
            self.unheard = match self.crowd {
                0 => 0,
                crowd => connections.saturating_sub(crowd),
            };
        }
    }

    /// The system has announced so many, of at most so many.
    pub fn heard(&mut self, count: usize, of: usize) {
        self.crowd = match count < of {
            true => 0,
            false => count,
        };
        self.unheard = match self.crowd {
            0 => 0,
            crowd => self.unheard.saturating_sub(crowd),
        };
    }

    /// Whether somebody has not had the turn that was due when it began, or may not have had it.
    pub fn is_at_hand(&self) -> bool {
        !self.is_over
    }

    /// So many were read.
    pub fn read(&mut self, count: usize) {
        self.unread = self.unread.saturating_sub(count);
    }

    /// So many were written.
    pub fn written(&mut self, count: usize) {
        self.unwritten = self.unwritten.saturating_sub(count);
    }

    /// Behind the turns of a turn of the loop: for how long somebody waits. A single long round is a stall, of the machine
    /// perhaps, and nothing that waiting logins would mend; the second one in a row says that there is too much to do.
    pub fn waited_ms(&mut self, now_ms: u64) -> u64 {
        let lasts_ms = now_ms.saturating_sub(self.began_ms);
        let waited_ms = lasts_ms.min(self.before_ms);
        if self.unread + self.unwritten + self.unheard == 0 {
            self.is_over = true;
            self.before_ms = lasts_ms;
            self.said_ms = waited_ms;
        }
        // Of a round at hand nothing is known that would be good news.
        self.said_ms = self.said_ms.max(waited_ms);
        self.said_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Turns of so many milliseconds each, in each of which one of `clients` is read, until all are; what is said last.
    fn round(round: &mut Round, clock_ms: &mut u64, clients: usize, turn_ms: u64) -> u64 {
        let mut said_ms = 0;
        for _ in 0..clients {
            round.begin(*clock_ms, clients, 0, 0);
            round.read(1);
            *clock_ms += turn_ms;
            said_ms = round.waited_ms(*clock_ms);
        }
        assert!(round.is_over);
        said_ms
    }

    fn fresh() -> Round {
        let mut fresh = Round::default();
        // Nothing is to be done at first.
        fresh.waited_ms(0);
        fresh
    }

    #[test]
    fn one_long_round_is_a_stall_and_two_say_that_there_is_too_much_to_do() {
        let (mut at, mut clock_ms) = (fresh(), 0);
        assert_eq!(round(&mut at, &mut clock_ms, 1, 1), 0);
        assert_eq!(round(&mut at, &mut clock_ms, 1, 5_000), 1);
        assert_eq!(round(&mut at, &mut clock_ms, 1, 1), 1);
        assert_eq!(round(&mut at, &mut clock_ms, 4, 100), 1);
        assert_eq!(round(&mut at, &mut clock_ms, 4, 200), 400);
        assert_eq!(round(&mut at, &mut clock_ms, 4, 300), 800);
        assert_eq!(round(&mut at, &mut clock_ms, 4, 1), 4);
    }

    #[test]
    fn a_round_that_lasts_says_so_before_it_is_over() {
        let (mut at, mut clock_ms) = (fresh(), 0);
        round(&mut at, &mut clock_ms, 10, 100);
        at.begin(clock_ms, 10, 0, 0);
        let said = [10, 500, 2_000].map(|after_ms| at.waited_ms(clock_ms + after_ms));
        assert_eq!(said, [10, 500, 1_000]);
    }

    #[test]
    fn what_is_to_be_written_and_what_the_system_has_not_announced_belong_to_the_round() {
        let mut at = fresh();
        at.heard(256, 256);
        at.begin(0, 0, 1, 600);
        at.waited_ms(1);
        assert!(at.is_at_hand());
        at.heard(256, 256);
        at.written(1);
        at.waited_ms(2);
        assert!(at.is_at_hand(), "88 may be left");
        at.heard(256, 256);
        at.waited_ms(3);
        assert!(!at.is_at_hand(), "what is announced now was before");
        at.begin(4, 0, 0, 600);
        at.waited_ms(5);
        assert!(at.is_at_hand());
        at.heard(255, 256);
        at.waited_ms(6);
        assert!(!at.is_at_hand(), "nobody is left");
        at.begin(7, 0, 0, 600);
        at.waited_ms(8);
        assert!(!at.is_at_hand(), "nobody was");
    }
}
