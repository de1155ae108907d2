//! A receiver of the webhook, as an outside system would write it: it keeps its mark and what it was
//! sent, checks every signature, and can be made to fail.

use merit_gateway::push::webhook::signature;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

pub(crate) const SECRET: &[u8] = b"a secret of the two";

/// What the receiver has on its disk, so to speak.
#[derive(Debug, Default)]
pub(crate) struct Booked {
    pub(crate) epoch: u64,
    pub(crate) seq: u64,
    /// Digest by number.
    pub(crate) items: BTreeMap<u64, String>,
    /// (obligation, how often it was booked).
    pub(crate) obligations: BTreeMap<u64, u32>,
    pub(crate) bad_signatures: u32,
    /// Answers that are still to be lost: booked, and the connection closed.
    pub(crate) lose_answers: u32,
}

/// A running receiver.
pub(crate) struct Hook {
    pub(crate) url: String,
    pub(crate) booked: Arc<Mutex<Booked>>,
    task: JoinHandle<()>,
}

impl Drop for Hook {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Hook {
    /// Starts a receiver, on what another one had booked if there was one.
    pub(crate) async fn with(booked: Arc<Mutex<Booked>>, address: &str) -> Self {
        let listener = loop {
            match TcpListener::bind(address).await {
                Ok(listener) => break listener,
                // The one before has not let go of its port yet.
                Err(_) => tokio::task::yield_now().await,
            }
        };
        let url = format!("http://{}/obligations", listener.local_addr().unwrap());
        let shared = Arc::clone(&booked);
        let task = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                // An error is a connection that broke; the sender tries again.
                drop(answer(stream, &shared).await);
            }
        });
        Self { url, booked, task }
    }
}

async fn answer(mut stream: TcpStream, booked: &Mutex<Booked>) -> std::io::Result<()> {
    let (head, body) = read(&mut stream).await?;
    let header = |name: &str| {
        let prefix = format!("{name}: ");
        head.lines().find_map(|it| it.strip_prefix(prefix.as_str())).unwrap_or_default().to_owned()
    };
    let timestamp: i64 = header("merit-timestamp").parse().unwrap_or(0);
    let signed = header("merit-signature") == signature(SECRET, timestamp, &body);
    let (status, reply) = {
        let mut booked = booked.lock().unwrap();
        let mark = |it: &Booked| json!({"epoch": it.epoch, "seq": it.seq});
        if !signed {
            booked.bad_signatures += 1;
            ("401 Unauthorized", json!({}))
        } else if head.starts_with("GET ") {
            ("200 OK", mark(&booked))
        } else {
            let message: Value = serde_json::from_slice(&body).unwrap();
            let epoch = message["epoch"].as_u64().unwrap();
            if epoch < booked.epoch {
                ("409 Conflict", mark(&booked))
            } else {
                booked.epoch = epoch;
                for item in message["items"].as_array().unwrap() {
                    book(&mut booked, item);
                }
                if booked.lose_answers > 0 {
                    booked.lose_answers -= 1;
                    return Ok(());
                }
                ("200 OK", mark(&booked))
            }
        }
    };
    let reply = reply.to_string();
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{reply}", reply.len());
    stream.write_all(answer.as_bytes()).await
}

fn book(booked: &mut Booked, item: &Value) {
    let seq = item["seq"].as_u64().unwrap();
    if seq <= booked.seq {
        return;
    }
    assert_eq!(seq, booked.seq + 1, "no gap is delivered");
    booked.seq = seq;
    booked.items.insert(seq, item["digest"].as_str().unwrap().to_owned());
    for it in item["content"]["obligations"].as_array().into_iter().flatten() {
        *booked.obligations.entry(it["obligation_id"].as_u64().unwrap()).or_default() += 1;
    }
}

async fn read(stream: &mut TcpStream) -> std::io::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let end = bytes.windows(4).position(|it| it == b"\r\n\r\n");
        if let Some(end) = end {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let length = head.lines().find_map(|it| it.strip_prefix("content-length: "));
            let length: usize = length.and_then(|it| it.parse().ok()).unwrap_or(0);
            if bytes.len() >= end + 4 + length {
                return Ok((head, bytes[end + 4..].to_vec()));
            }
        }
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&buffer[..read]);
    }
}
