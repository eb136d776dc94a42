//! What can be measured, and what has no figure.

use super::*;

fn wishes() -> Million {
    Million {
        server: PathBuf::new(),
        core_program: PathBuf::new(),
        server_core: 0,
        directory: PathBuf::new(),
        levels: vec![1_000, 100_000],
        contacts: 10,
        is_encrypted: true,
        compact_tls: CompactTls::Off,
        archive: Archive::Off,
        seconds: 10,
    }
}

#[test]
fn slices_in_which_nothing_was_delivered_are_an_error_and_no_figure() {
    let second = Duration::from_secs(1);
    let slices = |count, cpu_ms| Slices {
        count,
        cpu: Duration::from_millis(cpu_ms),
        time: second,
    };
    assert_eq!(slices(1_000, 10).us().expect("a figure"), 10.0);
    for (slices, reason) in [
        (slices(0, 0), "nothing was delivered"),
        (slices(0, 10), "nothing was delivered"),
        // What grows would have no end beside it.
        (slices(1_000, 0), "too little of its processor"),
    ] {
        let error = slices.us().expect_err(reason);
        assert!(error.to_string().contains(reason), "{error}");
    }
}

#[test]
fn what_would_be_measured_of_nothing_is_refused_before_anything_starts() {
    wishes().check().expect("what the command line has");
    let plain = Million {
        contacts: 0,
        levels: vec![2],
        ..wishes()
    };
    plain.check().expect("a pair");
    for (refused, reason) in [
        (
            Million {
                levels: vec![1_000, 1_000],
                ..wishes()
            },
            "rise",
        ),
        (
            Million {
                levels: vec![10, 1_000],
                ..wishes()
            },
            "nobody to talk to",
        ),
        (
            Million {
                contacts: 5,
                ..wishes()
            },
            "even number",
        ),
        (
            Million {
                seconds: 0,
                ..wishes()
            },
            "at least a second",
        ),
    ] {
        let error = refused.check().expect_err(reason);
        assert!(error.to_string().contains(reason), "{error}");
    }
}
