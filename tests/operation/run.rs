//! `scripts/run`, with this build of the program where cargo would have put its own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::server::{BINARY, House};

#[test]
fn the_script_builds_starts_the_server_and_lets_it_say_what_comes_next() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/run");
    let house = House::of_localhost("run", "");
    // It is the program under test that is served; building it again would take minutes.
    let tools = house.path("tools");
    fs::create_dir(&tools).unwrap();
    let cargo = tools.join("cargo");
    let stub = format!(
        "#!/bin/sh\n[ \"$*\" = 'build --release --locked' ] || exit 9\n\
         mkdir -p \"$CARGO_TARGET_DIR/release\" && cp '{BINARY}' \"$CARGO_TARGET_DIR/release/stonechat\"\n"
    );
    fs::write(&cargo, stub).unwrap();
    fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();
    let path = std::env::var("PATH").unwrap();
    let mut command = Command::new("bash");
    command
        .arg(script)
        .arg("--config")
        .arg(house.path("stonechat.toml"))
        .arg("--data")
        .arg(&house.data)
        .env("PATH", format!("{}:{path}", tools.display()))
        .env("CARGO_TARGET_DIR", house.path("built"))
        .stdin(Stdio::null());
    let server = house.serve_by(command);
    let printed = server.printed().to_owned();
    for said in [
        format!("listening on 127.0.0.1:{} (STARTTLS)", server.port),
        format!("listening on 127.0.0.1:{} (direct TLS)", server.tls_port),
        format!("data in {}", house.data.display()),
        "user add NAME@localhost".to_owned(),
    ] {
        assert!(printed.contains(&said), "no {said:?} in {printed}");
    }
    server.stop();
}

/// On a fresh Debian 12 with a Rust toolchain: what is installed there is that, and what the script itself needs.
#[test]
fn the_script_installs_a_c_compiler_where_there_is_none() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/run");
    let house = House::of_localhost("run-fresh", "");
    let tools = house.path("tools");
    fs::create_dir(&tools).unwrap();
    for program in ["bash", "cp", "dirname", "id", "mkdir", "sh", "chmod"] {
        let place = ["/usr/bin", "/bin"].map(|directory| Path::new(directory).join(program));
        let place = place.iter().find(|place| place.exists()).unwrap();
        std::os::unix::fs::symlink(place, tools.join(program)).unwrap();
    }
    let shown = tools.display();
    let stubs = [
        (
            "cargo",
            format!(
                "#!/bin/sh\ncommand -v cc >/dev/null || exit 8\n\
                 mkdir -p \"$CARGO_TARGET_DIR/release\" && cp '{BINARY}' \"$CARGO_TARGET_DIR/release/stonechat\"\n"
            ),
        ),
        (
            "apt-get",
            format!(
                "#!/bin/sh\necho \"$*\" >>'{shown}/asked'\n[ \"$1\" = install ] || exit 0\n\
                 cp '{shown}/sudo' '{shown}/cc'\n"
            ),
        ),
        ("sudo", "#!/bin/sh\nexec \"$@\"\n".to_owned()),
    ];
    for (name, text) in stubs {
        fs::write(tools.join(name), text).unwrap();
        fs::set_permissions(tools.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut command = Command::new(tools.join("bash"));
    command
        .arg(script)
        .arg("--config")
        .arg(house.path("stonechat.toml"))
        .arg("--data")
        .arg(&house.data)
        .env("PATH", &tools)
        .env("HOME", house.path("nobody"))
        .env("CARGO_TARGET_DIR", house.path("built"))
        .stdin(Stdio::null());
    house.serve_by(command).stop();
    let asked = fs::read_to_string(tools.join("asked")).unwrap();
    assert_eq!(asked, "update -q\ninstall -q -y build-essential\n");
}

/// The README names these ports; a test that listened there would find them taken.
#[test]
fn without_a_configuration_the_ports_are_those_that_the_readme_names() {
    let output = Command::new(BINARY).args(["config", "effective"]).output();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    for port in [":5222\"", ":5223\""] {
        assert!(said.contains(port), "{said}");
    }
}
