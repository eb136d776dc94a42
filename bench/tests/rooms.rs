//! Rooms (XEP-0045): the load tool on a server that has them, and on one that has none.

#[allow(dead_code)] // Each of the tests that share it uses a part.
mod common;

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use stonechat_bench::load::result::RunResult;
use stonechat_bench::process::unused_address;

use common::{Server, load, told};

/// Debian's, with rooms. It ends with its test.
struct Prosody {
    child: Child,
    directory: PathBuf,
    address: SocketAddr,
}

impl Prosody {
    fn start() -> Self {
        let directory = std::env::temp_dir().join(format!("stonechat-muc-{}", std::process::id()));
        fs::create_dir_all(directory.join("data")).expect("a directory");
        let address = unused_address();
        let (certificate, key) = stonechat_bench::target::certificate().expect("a certificate");
        fs::write(directory.join("crt"), certificate).expect("a file");
        fs::write(directory.join("key"), key).expect("a file");
        let configuration = format!(
            "run_as_root = true\ndaemonize = false\npidfile = '{at}/pid'\ndata_path = '{at}/data'\n\
             log = {{ warn = '{at}/log' }}\nstorage = 'internal'\nauthentication = 'internal_hashed'\n\
             modules_enabled = {{ 'roster'; 'saslauth'; 'tls'; 'disco'; 'register' }}\n\
             modules_disabled = {{ 's2s' }}\nallow_registration = true\n\
             interfaces = {{ '127.0.0.1' }}\nc2s_ports = {{ {port} }}\nc2s_direct_tls_ports = {{ }}\ns2s_ports = {{ }}\n\
             VirtualHost 'localhost'\n ssl = {{ certificate = '{at}/crt'; key = '{at}/key' }}\n\
             Component 'conference.localhost' 'muc'\n",
            at = directory.display(),
            port = address.port(),
        );
        let file = directory.join("prosody.cfg.lua");
        fs::write(&file, configuration).expect("a file");
        let child = Command::new("prosody")
            .args(["-F", "--config"])
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("prosody is there (apt-get install prosody)");
        let deadline = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(address).is_err() {
            let log = fs::read_to_string(directory.join("log"));
            assert!(Instant::now() < deadline, "{log:?}");
            thread::sleep(Duration::from_millis(20));
        }
        Self {
            child,
            directory,
            address,
        }
    }
}

impl Drop for Prosody {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

#[test]
fn rooms_of_another_server_are_found_made_and_loaded() {
    let prosody = Prosody::start();
    let users = [
        "muc",
        "--set",
        "users.count=20",
        "--set",
        "users.community=5",
    ];
    let output = load("register", prosody.address, &users);
    assert!(output.status.success(), "{}", told(&output));
    let json = prosody.directory.join("muc.json");
    let json_text = json.display().to_string();
    let pid = prosody.child.id().to_string();
    let more = [
        "--parts",
        "2",
        "--set",
        "muc.rate=40",
        "--watch",
        &pid,
        "--json",
        &json_text,
    ];
    // The second time the rooms may be there already.
    for _ in 0..2 {
        let output = load(
            "run",
            prosody.address,
            &[&users[..], &more, &["--set", "time.measure=6 s"]].concat(),
        );
        assert!(output.status.success(), "{}", told(&output));
        let result = RunResult::read(&json).expect("a result");
        let (sent, received) = (result.counts.messages_sent, result.counts.messages_received);
        // That each was heard by all is what the run passed for; on a busy machine many are behind the window.
        assert!(sent > 60 && received > sent, "{:?}", result.counts);
        assert!(result.latency.messages.count > 0 && result.cpu_per_operation() > Some(0.0));
    }
}

#[test]
fn a_server_without_rooms_is_refused_with_a_word() {
    let server = Server::start("rooms");
    let output = server.load(
        "register",
        server.plain,
        &["chat", "--set", "users.count=10", "--transport", "plain"],
    );
    // RFC 6120 section 13.8: nobody registers in the clear here, which is what the tool has to say.
    assert!(!output.status.success());
    let output = server.load(
        "register",
        server.starttls,
        &["chat", "--set", "users.count=20"],
    );
    assert!(output.status.success(), "{}", told(&output));
    let output = server.load("run", server.starttls, &["muc", "--set", "users.count=20"]);
    assert!(!output.status.success());
    assert!(
        told(&output).contains("the server offers no rooms"),
        "{}",
        told(&output)
    );
}
