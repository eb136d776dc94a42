//! What a comparison has measured so far, in a file: half an hour of figures is not lost because something breaks off.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::Extent;
use crate::figures::Figure;

#[derive(Serialize, Deserialize)]
pub struct Saved {
    commit: String,
    extent: Extent,
    /// Names of measures that are over, well or not.
    done: Vec<String>,
    pub figures: Vec<Figure>,
    pub notes: Vec<String>,
    #[serde(skip)]
    file: PathBuf,
}

impl Saved {
    /// What the file holds, if it is of the same commit and of the same wishes; else nothing.
    pub fn open(file: &Path, extent: &Extent, commit: &str) -> Result<Self> {
        if let Some(parent) = file.parent() {
            fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
        }
        let former = fs::read_to_string(file).ok();
        let former = former.and_then(|text| serde_json::from_str::<Self>(&text).ok());
        let same = former.filter(|saved| saved.commit == commit && saved.extent == *extent);
        if let Some(saved) = &same {
            let count = saved.done.len();
            eprintln!("{} goes on: {count} measures are done", file.display());
        }
        let mut saved = same.unwrap_or_else(|| Self {
            commit: commit.to_owned(),
            extent: extent.clone(),
            done: Vec::new(),
            figures: Vec::new(),
            notes: Vec::new(),
            file: PathBuf::new(),
        });
        saved.file = file.to_owned();
        Ok(saved)
    }

    pub fn has(&self, name: &str) -> bool {
        self.done.iter().any(|done| done == name)
    }

    pub fn done(&mut self, name: String) -> Result<()> {
        self.done.push(name);
        let text = serde_json::to_string_pretty(self)?;
        fs::write(&self.file, text).with_context(|| format!("writing {}", self.file.display()))
    }

    /// For the document, once.
    pub fn note(&mut self, text: &str) {
        if !self.notes.iter().any(|note| note == text) {
            self.notes.push(text.to_owned());
        }
    }

    /// All is measured and told; the next run begins anew.
    pub fn forget(self) {
        // When it stays, the next run finds everything done, and says so.
        let _ = fs::remove_file(self.file);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_broke_off_goes_on_unless_something_else_is_wanted() {
        let file = std::env::temp_dir().join(format!("stonechat-saved-{}", std::process::id()));
        let extent = super::super::document::tests::extent();
        let mut saved = Saved::open(&file, &extent, "c0ffee").expect("a new one");
        saved.figures.push(Figure::new("m".to_owned(), "p", "us"));
        saved.note("once");
        saved.note("once");
        saved.done("round 1".to_owned()).expect("written");
        let again = Saved::open(&file, &extent, "c0ffee").expect("read");
        assert!(again.has("round 1") && !again.has("round 2"));
        assert_eq!((again.figures.len(), again.notes.len()), (1, 1));
        let other = Saved::open(&file, &extent, "decade").expect("read");
        assert!(!other.has("round 1"), "of another commit");
        let mut longer = extent.clone();
        longer.seconds += 1;
        let other = Saved::open(&file, &longer, "c0ffee").expect("read");
        assert!(!other.has("round 1"), "of other wishes");
        again.forget();
        assert!(!file.exists());
    }
}
