//! An HTTP server that answers as a test tells it.

use pox_chain::Profile;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{sleep, spawn};
use std::time::Duration;

/// What the server does with one question.
pub enum Reply {
    Result(Value),
    Error(i64, &'static str, Value),
    /// An error as it is.
    Failure(Value),
    /// A whole body, with this HTTP status.
    Body(u16, Vec<u8>),
    /// Says that more bytes follow than do.
    CutShort,
    /// Says nothing until the client has gone.
    Silence,
}

type Answer = dyn Fn(&str, &Value) -> Reply + Send + Sync;

/// An HTTP server that answers as it is told; ends with this value.
pub struct Server {
    pub url: String,
    ended: Arc<AtomicBool>,
}

impl Server {
    pub fn start(answer: impl Fn(&str, &Value) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let ended = Arc::new(AtomicBool::new(false));
        let (stop, answer): (_, Arc<Answer>) = (ended.clone(), Arc::new(answer));
        spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let (answer, stop) = (answer.clone(), stop.clone());
                spawn(move || serve(stream, &*answer, &stop));
            }
        });
        Self { url, ended }
    }

    pub fn profile(&self) -> Profile {
        Profile::generic(8995, self.url.parse().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.url.trim_start_matches("http://"));
    }
}

fn serve(mut stream: TcpStream, answer: &Answer, stop: &AtomicBool) -> Option<()> {
    let question = question(&mut stream)?;
    let envelope = |part: Value| {
        let mut whole = json!({"jsonrpc": "2.0", "id": question["id"]});
        whole.as_object_mut().unwrap().extend(part.as_object().unwrap().clone());
        (200, whole.to_string().into_bytes())
    };
    let (status, body) = match answer(question["method"].as_str()?, &question["params"]) {
        Reply::Result(result) => envelope(json!({ "result": result })),
        Reply::Error(code, message, data) => {
            envelope(json!({"error": {"code": code, "message": message, "data": data}}))
        }
        Reply::Failure(error) => envelope(json!({ "error": error })),
        Reply::Body(status, body) => (status, body),
        Reply::CutShort => {
            let head = "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{\"jsonrpc\":";
            return stream.write_all(head.as_bytes()).ok();
        }
        Reply::Silence => {
            while !stop.load(Ordering::Relaxed) {
                sleep(Duration::from_millis(10));
            }
            return None;
        }
    };
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nretry-after: 1\r\nlocation: http://127.0.0.1:1/\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(&body).ok()
}

fn question(stream: &mut TcpStream) -> Option<Value> {
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    loop {
        let read = stream.read(&mut part).ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&part[..read]);
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        let length =
            head.lines().find_map(|line| line.strip_prefix("content-length: "))?.parse::<usize>().ok()?;
        if bytes.len() >= end + 4 + length {
            return serde_json::from_slice(&bytes[end + 4..]).ok();
        }
    }
}
