//! What contacts hear of each other's presence while people come and go: what comes twice, and who was not told the last. A
//! server may pass over what is out of date, and tells whoever logs in how things stand. It knows nothing of who is there.

use super::super::ledger::Faults;

#[derive(Debug)]
pub struct Seen {
    each: usize,
    /// By speaker: the number of the last change, from 1 on, and when it was meant.
    said: Vec<(u32, u64)>,
    /// By hearer and place of the speaker.
    heard: Vec<Heard>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Heard {
    number: u32,
    /// How things stood at the login may still be told, and cross a change, which then comes twice. So of each session and
    /// contact one repetition is no fault.
    may_repeat: bool,
}

impl Seen {
    /// Of nobody yet; each will have so many contacts.
    pub fn new(each: usize) -> Self {
        Self {
            each,
            said: Vec::new(),
            heard: Vec::new(),
        }
    }

    /// A session begins or goes on, of so many seats.
    pub fn entered(&mut self, hearer: usize, seats: usize) {
        self.said.resize(seats, (0, 0));
        self.heard.resize(seats * self.each, Heard::default());
        for heard in &mut self.heard[hearer * self.each..(hearer + 1) * self.each] {
            heard.may_repeat = true;
        }
    }

    /// The number of what is said now.
    pub fn say(&mut self, speaker: usize, at: u64) -> u32 {
        let said = &mut self.said[speaker];
        *said = (said.0 + 1, at);
        said.0
    }

    /// How things stood when the hearer came: perhaps at a change.
    pub fn stood(&mut self, hearer: usize, place: usize, number: u32) {
        let heard = &mut self.heard[hearer * self.each + place];
        heard.number = heard.number.max(number);
    }

    /// A change has come; false when it should not have.
    pub fn hear(
        &mut self,
        hearer: usize,
        place: usize,
        speaker: usize,
        number: u32,
        faults: &mut Faults,
    ) -> bool {
        let heard = &mut self.heard[hearer * self.each + place];
        if number > self.said[speaker].0 {
            faults.misrouted += 1;
            return false;
        }
        if number <= heard.number {
            // Twice, or after one that was said later.
            faults.duplicated += u64::from(!heard.may_repeat);
            heard.may_repeat = false;
            return false;
        }
        heard.number = number;
        true
    }

    /// Whether a change that was meant after a time, the speaker's last, has not been heard.
    pub fn is_behind(&self, hearer: usize, place: usize, speaker: usize, after: u64) -> bool {
        let (number, at) = self.said[speaker];
        at > after && self.heard[hearer * self.each + place].number < number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> (Seen, Faults) {
        let mut seen = Seen::new(1);
        seen.entered(0, 2);
        seen.entered(1, 2);
        (seen, Faults::default())
    }

    #[test]
    fn the_last_change_has_to_be_heard_and_those_before_may_be_passed_over() {
        let (mut seen, mut faults) = two();
        assert!(!seen.is_behind(1, 0, 0, 0));
        assert_eq!(
            [seen.say(0, 10), seen.say(0, 20), seen.say(0, 30)],
            [1, 2, 3]
        );
        assert!(seen.hear(1, 0, 0, 1, &mut faults) && seen.is_behind(1, 0, 0, 0));
        assert!(
            !seen.is_behind(1, 0, 0, 30),
            "who came later was told otherwise"
        );
        assert!(seen.hear(1, 0, 0, 3, &mut faults) && !seen.is_behind(1, 0, 0, 0));
        assert!(faults.is_clean());
    }

    #[test]
    fn once_more_is_how_things_stood_and_what_comes_again_is_a_fault() {
        let (mut seen, mut faults) = two();
        seen.say(0, 10);
        assert!(seen.hear(1, 0, 0, 1, &mut faults));
        assert!(!seen.hear(1, 0, 0, 1, &mut faults) && faults.is_clean());
        assert!(!seen.hear(1, 0, 0, 1, &mut faults));
        assert_eq!(faults.duplicated, 1);
        seen.entered(1, 2);
        seen.stood(1, 0, 1);
        assert!(!seen.hear(1, 0, 0, 1, &mut faults));
        assert_eq!(faults.duplicated, 1, "a session of its own");
        assert!(!seen.hear(1, 0, 0, 2, &mut faults));
        assert_eq!(faults.misrouted, 1, "it was never said");
    }
}
