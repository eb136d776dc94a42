//! The report page in a real browser (Chromium's kind; `BROWSER` names another): all plots are drawn, the
//! reading under the pointer works, nothing sticks out on a small screen, and the console says nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What looks at the page from inside and leaves its findings in the title.
const LOOK: &str = "<script>
addEventListener('load', () => {
  const plots = [...document.querySelectorAll('figure')];
  const lines = plots.map(p => p.querySelectorAll('polyline').length);
  let tips = 0;
  for (const plot of plots) {
    const svg = plot.querySelector('svg'), box = svg.getBoundingClientRect();
    svg.dispatchEvent(new PointerEvent('pointermove', { clientX: box.left + box.width / 2, clientY: box.top + 50 }));
    if (plot.querySelector('.tip') && plot.querySelector('.reading circle')) tips++;
    svg.dispatchEvent(new PointerEvent('pointerleave'));
    if (plot.querySelector('.tip')) tips = -1000;
  }
  const back = getComputedStyle(document.body).backgroundColor;
  const wide = document.documentElement.scrollWidth > innerWidth;
  const small = [...document.querySelectorAll('svg text')].map(t => t.getBoundingClientRect().height);
  document.title = JSON.stringify({ plots: plots.length, empty: lines.filter(n => n == 0).length, tips, wide, back,
    smallest: Math.round(Math.min(...small)), fetched: performance.getEntriesByType('resource').length });
});
</script>";

fn browser() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("BROWSER") {
        return Some(named.into());
    }
    let names = [
        "chromium",
        "chromium-browser",
        "google-chrome",
        "google-chrome-stable",
    ];
    let path = std::env::var_os("PATH")?;
    let places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let mut all = names
        .iter()
        .flat_map(|name| places.iter().map(move |place| place.join(name)));
    all.find(|program| program.is_file())
}

/// For the page and the browser's profile; it goes with its test.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("stonechat-page-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The title that the page gave itself, and what the browser said.
fn look(browser: &Path, page: &Path, width: u32, more: &[&str]) -> (serde_json::Value, String) {
    let profile = page.with_extension("profile");
    // It gets its minute, and is not left behind.
    let output = Command::new("timeout")
        .args(["--kill-after=5", "60"])
        .arg(browser)
        // Besides its profile it writes caches and crash reports.
        .env("HOME", &profile)
        .env_remove("XDG_CONFIG_HOME")
        .env_remove("XDG_CACHE_HOME")
        .args([
            "--headless=new",
            // Root has none.
            "--no-sandbox",
            // A container's /dev/shm is small.
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--enable-logging=stderr",
        ])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(format!("--window-size={width},900"))
        .args(more)
        .arg("--dump-dom")
        .arg(format!("file://{}", page.display()))
        .output()
        .expect("the browser starts");
    let dom = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let title = dom
        .split_once("<title>")
        .and_then(|(_, rest)| rest.split_once("</title>"));
    let title = title.unwrap_or_else(|| panic!("no page: {said}")).0;
    let found = serde_json::from_str(title);
    (
        found.unwrap_or_else(|_| panic!("the page did not look at itself: {title}\n{said}")),
        said,
    )
}

#[test]
fn the_page_shows_its_plots_on_every_screen_and_says_nothing_to_the_console() {
    let browser = browser().expect("no browser is installed (scripts/test packages does it)");
    let directory = Directory::new();
    let page = directory.0.join("page.html");
    let output = Command::new(env!("CARGO_BIN_EXE_stonechat-load"))
        .args(["report", "tests/result.json", "--out"])
        .arg(&page)
        .output()
        .expect("the tool was just built");
    assert!(output.status.success(), "{output:?}");
    let html = fs::read_to_string(&page).expect("a page");
    fs::write(&page, html.replace("</body>", &format!("{LOOK}</body>"))).expect("written");

    let (wide, said) = look(&browser, &page, 1_400, &[]);
    assert_eq!(wide["plots"], 7, "{wide}");
    assert_eq!(
        (&wide["empty"], &wide["tips"], &wide["fetched"]),
        (&0.into(), &7.into(), &0.into()),
        "{wide}"
    );
    assert!(!said.contains("CONSOLE"), "{said}");
    // Chromium's window is never narrower than 500.
    let (small, said) = look(&browser, &page, 500, &[]);
    assert_eq!(small["wide"], false, "{small}");
    assert!(small["smallest"].as_u64() >= Some(9), "{small}");
    assert!(!said.contains("CONSOLE"), "{said}");
    let (dark, _) = look(
        &browser,
        &page,
        1_400,
        &["--blink-settings=preferredColorScheme=0"],
    );
    assert_ne!(dark["back"], wide["back"], "dark and light look different");
}
