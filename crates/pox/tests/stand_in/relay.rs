//! Stands before a server, passes everything on as it is, and keeps account of it.

use std::io::{BufRead, BufReader, Read, Write, copy};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// One request that was passed on.
#[derive(Debug, Clone)]
pub struct Passed {
    pub method: String,
    pub path: String,
    pub range: Option<String>,
    /// Bytes of the answer, its head included.
    pub bytes: u64,
}

/// Passes on until the test ends.
pub struct Relay {
    pub port: u16,
    passed: Arc<Mutex<Vec<Passed>>>,
}

impl Relay {
    /// Stands before a port of this machine.
    pub fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let passed = Arc::new(Mutex::new(Vec::new()));
        let (own, kept) = (listener.local_addr().unwrap().port(), Arc::clone(&passed));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let kept = Arc::clone(&kept);
                thread::spawn(move || pass(&stream.unwrap(), port, &kept));
            }
        });
        Self { port: own, passed }
    }

    /// What was passed on since this was asked last, of one object.
    pub fn passed(&self, object: &str) -> Vec<Passed> {
        let mut passed = std::mem::take(&mut *self.passed.lock().unwrap());
        passed.retain(|one| one.path.split('?').next().unwrap().ends_with(object));
        passed
    }
}

/// Passes one exchange on, and closes.
fn pass(client: &TcpStream, port: u16, kept: &Mutex<Vec<Passed>>) -> Option<()> {
    let mut reader = BufReader::new(client);
    let (mut head, mut line) = (String::new(), String::new());
    let (mut length, mut range) = (0, None);
    while reader.read_line(&mut line).ok()? > 2 {
        let (name, value) = line.split_once(':').unwrap_or_default();
        match name.to_lowercase().as_str() {
            "content-length" => length = value.trim().parse().ok()?,
            "range" => range = Some(value.trim().to_owned()),
            _ => {}
        }
        if !name.eq_ignore_ascii_case("connection") {
            head += &line;
        }
        line.clear();
    }
    let mut words = head.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let mut server = TcpStream::connect(("127.0.0.1", port)).ok()?;
    server.write_all(format!("{head}connection: close\r\n\r\n").as_bytes()).ok()?;
    copy(&mut reader.take(length), &mut server).ok()?;
    let (mut client, mut buffer, mut bytes) = (client, vec![0; 64 << 10], 0);
    loop {
        let len = server.read(&mut buffer).ok()?;
        bytes += len as u64;
        // Who has enough goes away, and has been sent that much all the same.
        if len == 0 || client.write_all(&buffer[..len]).is_err() {
            break;
        }
    }
    kept.lock().unwrap().push(Passed { method, path, range, bytes });
    Some(())
}
