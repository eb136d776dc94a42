//! A real server and the load tool, as its tests start them. The server is the program that `STONECHAT` names, or else
//! `../target/debug/stonechat`.

use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use stonechat_bench::load::result::RunResult;
use stonechat_bench::process::unused_address;

/// A server in a directory of its own, with an encrypted port and a plain one. It ends with its test.
pub struct Server {
    child: Child,
    pub directory: PathBuf,
    pub starttls: SocketAddr,
    pub plain: SocketAddr,
    pub direct: SocketAddr,
}

impl Server {
    pub fn start(name: &str) -> Self {
        let directory =
            std::env::temp_dir().join(format!("stonechat-load-{name}-{}", std::process::id()));
        fs::create_dir_all(&directory).expect("a directory");
        let starttls = unused_address();
        let plain = unused_address();
        let direct = unused_address();
        // Where that is not what is tried, nothing is shed because the machine is busy.
        let overload = match name {
            "surge" => "",
            _ => "overload_after = '0 ms'\n",
        };
        let registration = match name {
            "closed" => "off",
            _ => "open",
        };
        let configuration = format!(
            "[server]\nworkers = 1\n{overload}[[host]]\nname = 'localhost'\n\
             [host.registration]\nmode = '{registration}'\nper_address = 1_000_000\nper_host = 1_000_000\n\
             [auth]\nscram_iterations = 4096\n\
             [[listener]]\naddress = '{starttls}'\nkind = 'c2s'\ntls = 'starttls'\n\
             [[listener]]\naddress = '{plain}'\nkind = 'c2s'\ntls = 'none'\n\
             [[listener]]\naddress = '{direct}'\nkind = 'c2s'\ntls = 'direct'\n\
             [c2s]\nrate_stanzas_per_s = 100_000\nrate_stanzas_burst = 100_000\n"
        );
        let file = directory.join("stonechat.toml");
        fs::write(&file, configuration).expect("a file");
        let program = program();
        let child = Command::new(&program)
            .arg("serve")
            .args(places(&directory))
            .stdout(Stdio::null())
            .stderr(fs::File::create(directory.join("log")).expect("a file"))
            .spawn()
            .unwrap_or_else(|error| {
                panic!(
                    "{}: {error}; build the server, or set STONECHAT",
                    program.display()
                )
            });
        let server = Self {
            child,
            directory,
            starttls,
            plain,
            direct,
        };
        let deadline = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(plain).is_err() {
            assert!(Instant::now() < deadline, "{}", server.log());
            thread::sleep(Duration::from_millis(20));
        }
        server
    }

    /// What an operator asks of it.
    pub fn tool(&self, arguments: &[&str]) {
        let mut command = Command::new(program());
        command.args(arguments).args(places(&self.directory));
        let output = command.output().expect("as the server");
        assert!(output.status.success(), "{arguments:?}: {}", told(&output));
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    pub fn load(&self, command: &str, address: SocketAddr, arguments: &[&str]) -> Output {
        load(command, address, arguments)
    }

    pub fn run(&self, arguments: &[&str]) -> RunResult {
        self.run_on(self.starttls, arguments)
    }

    pub fn run_on(&self, address: SocketAddr, arguments: &[&str]) -> RunResult {
        let json = self.directory.join("result.json");
        let page = self.directory.join("report.html");
        let pid = self.child.id().to_string();
        let mut all = arguments.to_vec();
        let (json_text, page_text) = (json.display().to_string(), page.display().to_string());
        all.extend([
            "--watch", &pid, "--parts", "2", "--json", &json_text, "--report", &page_text,
        ]);
        let output = self.load("run", address, &all);
        assert!(output.status.success(), "{arguments:?}: {}", told(&output));
        let html = fs::read_to_string(page).expect("a report page");
        assert!(html.starts_with("<!doctype html>") && html.contains("<svg"));
        RunResult::read(&json).expect("a result")
    }
}

fn program() -> PathBuf {
    std::env::var_os("STONECHAT").map_or("../target/debug/stonechat".into(), PathBuf::from)
}

/// Where a server in this directory has its configuration and its data.
fn places(directory: &Path) -> [OsString; 4] {
    let (file, data) = (directory.join("stonechat.toml"), directory.join("data"));
    ["--config".into(), file.into(), "--data".into(), data.into()]
}

/// Runs the tool, with short times.
pub fn load(command: &str, address: SocketAddr, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stonechat-load"))
        .arg(command)
        .args(["--set", "time.settle=0 s", "--set", "time.warm-up=100 ms"])
        .args(["--set", "time.measure=3 s", "--set", "time.patience=60 s"])
        .args(arguments)
        .args(["--server", &address.to_string()])
        .output()
        .expect("the tool was just built")
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

pub fn told(output: &Output) -> String {
    let texts = [&output.stdout, &output.stderr];
    texts
        .map(|text| String::from_utf8_lossy(text).into_owned())
        .concat()
}

const USERS: [&str; 6] = [
    "--set",
    "users.count=40",
    "--set",
    "users.community=10",
    "--set",
    "users.contacts=4",
];

pub fn with_users<'a>(scenario: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&[scenario], &USERS[..], more].concat()
}

/// What comes goes on, until either end has closed.
pub fn pipe(mut from: TcpStream, mut to: impl FnMut(&[u8]) -> std::io::Result<()>) {
    let mut bytes = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        if to(&bytes[..count]).is_err() {
            return;
        }
    }
}
