//! Reads a play: a file of scenes, each a title, what it quotes, and its directions in order. It
//! refuses to know what the directions mean; `vocabulary.rs` does.
//!
//! A scene begins with a `# ` line that is the first line of the file or the first after a line of
//! four or more dashes (blank lines do not count). That line is its title; the `# ` lines right
//! below are what it quotes. Any other line that begins with `#` is a remark, and so is what
//! follows two spaces and `# ` behind a direction. Indented lines belong to the direction above
//! them.

use super::SelfTest;
use super::direction::{Direction, HostOption};
use super::vocabulary;

/// One scene of a play: one test.
#[derive(Debug, Clone)]
pub struct Scene {
    /// The file's stem, `carbons`.
    pub file: String,
    pub title: String,
    /// The sentences of the specification that the scene enforces.
    pub quotes: Vec<String>,
    pub steps: Vec<Step>,
}

/// A direction and the line of the file where it stands, from 1.
#[derive(Debug, Clone)]
pub struct Step {
    pub line: usize,
    pub direction: Direction,
}

impl Scene {
    /// The name of the test.
    pub fn name(&self) -> String {
        format!("{}::{}", self.file, self.title)
    }

    /// Whether the scene is meant for this stage: everywhere, unless it says where.
    pub fn plays_on(&self, stage: &str) -> bool {
        self.steps.iter().all(|step| match &step.direction {
            Direction::OnlyOn(stages) => stages.iter().any(|s| s == stage),
            _ => true,
        })
    }

    /// The options it asks for, sorted, so that scenes with equal options share a server.
    pub fn options(&self) -> Vec<HostOption> {
        let mut options: Vec<_> = self
            .steps
            .iter()
            .filter_map(|step| match &step.direction {
                Direction::Option(option) => Some(option.clone()),
                _ => None,
            })
            .collect();
        options.sort();
        options
    }

    /// Whether it moves the clock, which others on the same server would notice.
    pub fn moves_time(&self) -> bool {
        self.steps
            .iter()
            .any(|step| matches!(step.direction, Direction::TimePasses { .. }))
    }
}

/// Reads a whole file; `file` is its stem.
///
/// # Errors
/// Every line that is not understood, as `file:line: why`.
pub fn read(file: &str, text: &str) -> Result<Vec<Scene>, Vec<String>> {
    let lines: Vec<&str> = text.lines().collect();
    let mut scenes: Vec<Scene> = Vec::new();
    let mut errors = Vec::new();
    let mut at_start = true;
    let mut i = 0;
    while i < lines.len() {
        let (line, number) = (lines[i].trim_end(), i + 1);
        i += 1;
        if line.is_empty() {
            continue;
        }
        if line.len() >= 4 && line.bytes().all(|b| b == b'-') {
            at_start = true;
            continue;
        }
        if at_start {
            at_start = false;
            match line.strip_prefix("# ") {
                Some(title) => {
                    let quotes = lines[i..].iter().map_while(|l| l.strip_prefix('#'));
                    let quotes: Vec<String> = quotes.map(|q| q.trim().to_string()).collect();
                    i += quotes.len();
                    let (file, title) = (file.to_string(), title.trim().to_string());
                    if scenes.iter().any(|s| s.title == title) {
                        errors.push(format!("{file}:{number}: a second scene of this title"));
                    }
                    scenes.push(Scene {
                        file,
                        title,
                        quotes,
                        steps: Vec::new(),
                    });
                    continue;
                }
                None => errors.push(format!(
                    "{file}:{number}: a scene begins with `# ` and its title"
                )),
            }
        }
        if line.starts_with('#') {
            continue;
        }
        let block: Vec<&str> = lines[i..]
            .iter()
            .copied()
            .take_while(|l| l.is_empty() || l.starts_with([' ', '\t']))
            .collect();
        i += block.len();
        let block = block.join("\n");
        let block = Some(block.trim_end()).filter(|b| !b.trim().is_empty());
        if line.starts_with([' ', '\t']) {
            errors.push(format!(
                "{file}:{number}: an indented line without a direction above it"
            ));
            continue;
        }
        let direction = line
            .split_once("  # ")
            .map_or(line, |(direction, _remark)| direction);
        match (vocabulary::understand(direction, block), scenes.last_mut()) {
            (Ok(direction), Some(scene)) => scene.steps.push(Step {
                line: number,
                direction,
            }),
            (Ok(_), None) => errors.push(format!(
                "{file}:{number}: a direction before the first scene"
            )),
            (Err(why), _) => errors.push(format!("{file}:{number}: {why}")),
        }
    }
    if errors.is_empty() {
        Ok(scenes)
    } else {
        Err(errors)
    }
}

/// Self-tests.
pub const TESTS: &[SelfTest] = &[
    ("script::a_file_holds_scenes_divided_by_dashes", || {
        let text = "# one\n# \"it MUST\" (1.2)\n\nRomeo has an account\n\n----\n# two\nRomeo has an account  # fresh\n";
        let scenes = read("f", text).unwrap();
        assert_eq!(scenes.len(), 2);
        assert_eq!(
            (scenes[0].name().as_str(), scenes[0].quotes.len()),
            ("f::one", 1)
        );
        assert_eq!((scenes[1].steps.len(), scenes[1].steps[0].line), (1, 8));
    }),
    (
        "script::an_indented_block_may_hold_blank_lines_and_ends_with_the_indentation",
        || {
            let text =
                "# t\nRomeo sends:\n    <a/>\n\n    <b/>\n\n# a remark\nRomeo receives nothing\n";
            let scenes = read("f", text).unwrap();
            let expected = Direction::Sends {
                who: "Romeo".into(),
                text: "    <a/>\n\n    <b/>".into(),
            };
            assert_eq!(scenes[0].steps[0].direction, expected);
            assert_eq!(scenes[0].steps[1].line, 8);
        },
    ),
    (
        "script::all_errors_are_told_at_once_with_their_lines",
        || {
            let errors = read("f", "# t\nRomeo dances\nRomeo sings\n").unwrap_err();
            assert_eq!(errors.len(), 2);
            assert!(errors[1].starts_with("f:3: "), "{errors:?}");
        },
    ),
    ("script::a_scene_without_a_title_is_refused", || {
        assert!(read("f", "Romeo has an account\n").is_err());
        assert!(
            read(
                "f",
                "# t\nRomeo has an account\n-----\nRomeo has an account\n"
            )
            .is_err()
        );
    }),
    (
        "script::a_scene_says_where_it_plays_and_what_it_needs",
        || {
            let text =
                "# t\nOnly on tcp, tls\nWith option b = 2\nWith option a = 1\n5 seconds pass\n";
            let scene = read("f", text).unwrap().remove(0);
            assert!(scene.plays_on("tls") && !scene.plays_on("world1"));
            assert_eq!(scene.options()[0].path, "a");
            assert!(scene.moves_time());
        },
    ),
];
