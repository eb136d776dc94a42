//! Parts and the way to them: processes of this machine, or others that join over the network; a line each way says one thing.
//! Refuses to know what is said.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::Sender;
use std::thread;

use anyhow::{Context, Result};

use super::division::Share;
use super::part::Line;

/// A part, wherever it runs.
pub(super) struct Part {
    orders: Box<dyn Write + Send>,
    child: Option<Child>,
    pub threads: usize,
    pub sessions: u64,
    /// Threads that are done.
    pub left: usize,
}

impl Drop for Part {
    fn drop(&mut self) {
        // It ends by itself when nobody gives orders any longer; who does not listen is ended.
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Part {
    pub fn say(&mut self, what: &impl serde::Serialize) -> Result<()> {
        let mut text = serde_json::to_string(what)?;
        text.push('\n');
        self.orders.write_all(text.as_bytes())?;
        Ok(self.orders.flush()?)
    }
}

pub(super) fn spawn(
    number: usize,
    share: &Share,
    sender: &Sender<(usize, Result<Line, String>)>,
) -> Result<Part> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg("part")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting a part")?;
    let orders = child.stdin.take().context("a pipe to the part")?;
    let out = child.stdout.take().context("a pipe from the part")?;
    listen(number, BufReader::new(out), sender.clone());
    Ok(Part {
        orders: Box::new(orders),
        child: Some(child),
        threads: share.threads.len(),
        sessions: share.sessions(),
        left: 0,
    })
}

/// A part that has joined.
pub(super) fn joined(
    number: usize,
    share: &Share,
    stream: TcpStream,
    sender: &Sender<(usize, Result<Line, String>)>,
) -> Result<Part> {
    let reader = BufReader::new(stream.try_clone()?);
    listen(number, reader, sender.clone());
    Ok(Part {
        orders: Box::new(stream),
        child: None,
        threads: share.threads.len(),
        sessions: share.sessions(),
        left: 0,
    })
}

pub(super) fn accept(address: SocketAddr, count: usize) -> Result<Vec<TcpStream>> {
    let listener = TcpListener::bind(address).with_context(|| format!("listening on {address}"))?;
    let address = listener.local_addr()?;
    eprintln!("waiting for {count} parts: stonechat-load part --join {address}");
    let mut all = Vec::new();
    while all.len() < count {
        let (stream, from) = listener.accept()?;
        stream.set_nodelay(true)?;
        eprintln!("{from} has joined");
        all.push(stream);
    }
    Ok(all)
}

fn listen(
    number: usize,
    mut reader: impl BufRead + Send + 'static,
    sender: Sender<(usize, Result<Line, String>)>,
) {
    thread::spawn(move || {
        loop {
            let mut text = String::new();
            let line = match reader.read_line(&mut text) {
                Ok(0) => Err("it closed its side".to_owned()),
                Ok(_) => serde_json::from_str(&text).map_err(|error| format!("{error}: {text}")),
                Err(error) => Err(error.to_string()),
            };
            let is_last = line.is_err();
            if sender.send((number, line)).is_err() || is_last {
                return;
            }
        }
    });
}
