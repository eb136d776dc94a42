//! The worked set-ups of `conf/README.md` as they stand there, for tests that do what an operator types in. It refuses to know
//! what they mean.

use std::fs;
use std::process::{Command, Stdio};

use crate::house::{Files, repository};

/// A chapter of the page.
pub struct Page(String);

impl Page {
    /// That with this heading, up to the next one of its level or above.
    pub fn read(heading: &str) -> Page {
        let page = fs::read_to_string(repository("conf/README.md")).unwrap();
        let start = format!("\n{heading}\n");
        let (_, rest) = page.split_once(&start).expect("there is such a chapter");
        let level = heading.bytes().take_while(|byte| *byte == b'#').count();
        let ends = (1..=level).filter_map(|level| rest.find(&format!("\n{} ", "#".repeat(level))));
        Page(rest[..ends.min().unwrap_or(rest.len())].to_owned())
    }

    /// What is to be typed in, block by block.
    pub fn blocks(&self) -> Vec<String> {
        let mut blocks = vec![String::new()];
        for line in self.0.lines() {
            match line.strip_prefix("    ") {
                Some(line) => {
                    let block = blocks.last_mut().expect("one is begun");
                    block.push_str(line);
                    block.push('\n');
                }
                None => blocks.push(String::new()),
            }
        }
        blocks.retain(|block| !block.is_empty());
        blocks
    }

    /// The command that holds this, without what is said of it.
    pub fn command(&self, text: &str) -> String {
        let blocks = self.blocks().concat();
        let mut lines = blocks.lines().filter(|line| line.contains(text));
        let line = lines.next().expect("there is such a command");
        assert_eq!(lines.next(), None, "which one is meant?");
        let command = line.split(" #").next().expect("at least one part");
        command.trim_end().to_owned()
    }

    /// The configuration of a host, with these in the place of what is the operator's own.
    pub fn host(&self, own: &[(&str, String)]) -> String {
        let blocks = self.blocks().into_iter();
        let mut hosts = blocks.filter(|block| block.starts_with("[[host]]\n"));
        let mut text = hosts.next().expect("there is such a block");
        for (option, value) in own {
            let (before, rest) = text
                .split_once(&format!("\n{option} = "))
                .unwrap_or_else(|| panic!("the page has no {option}"));
            let (_, behind) = rest.split_once('\n').expect("a line has an end");
            text = format!("{before}\n{option} = {value}\n{behind}");
        }
        text
    }
}

/// Makes the file with the password as the page says, in this directory; its path.
pub fn password_file(files: &Files) -> String {
    let command = Page::read("## Directories, set up").command("/dev/stdin");
    // Nobody but root gives files away.
    let command = command.replace(" -o stonechat", "");
    let own = files.path("").display().to_string();
    let command = command.replace("/etc/stonechat/", &own);
    let mut shell = Command::new("sh");
    let done = shell.args(["-c", &command]).stdin(Stdio::null()).status();
    assert!(done.unwrap().success(), "{command}");
    let path = files.path("directory-password");
    path.display().to_string()
}
