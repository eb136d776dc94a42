//! Threads as the defaults make them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread;

use crate::server::{House, LOCALHOST};

/// What a line of a `status` file of `/proc` says behind `key`.
fn said(status: &str, key: &str) -> String {
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    line.unwrap_or_else(|| panic!("no {key} in {status}"))
        .trim()
        .to_owned()
}

#[test]
fn by_default_there_is_one_worker_for_each_core_and_each_stays_on_its_own() {
    let house = House::of_localhost("workers", "");
    let listener = "[[listener]]\naddress = \"127.0.0.1:0\"\n";
    house.write_config(&format!("{listener}{listener}{LOCALHOST}"));
    let server = house.serve();
    // Each worker answers, so it has its name and its core.
    house.until_connected(0);
    let tasks = Path::new("/proc")
        .join(server.pid().to_string())
        .join("task");
    let mut names = BTreeSet::new();
    let mut cores = BTreeSet::new();
    for task in fs::read_dir(tasks).unwrap() {
        let Ok(status) = fs::read_to_string(task.unwrap().path().join("status")) else {
            // A thread that has ended meanwhile.
            continue;
        };
        let name = said(&status, "Name:");
        if !name.starts_with("worker-") {
            continue;
        }
        let on = said(&status, "Cpus_allowed_list:");
        assert!(on.parse::<u32>().is_ok(), "{name} runs on {on}");
        assert!(cores.insert(on), "{name} shares its core");
        names.insert(name);
    }
    let count = thread::available_parallelism().unwrap().get();
    let expected: BTreeSet<String> = (0..count).map(|index| format!("worker-{index}")).collect();
    assert_eq!(names, expected);
    server.stop();
}
