//! What a gatepost says of itself, so that a run can tell which tier has answered and need not believe it.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Result;

/// Those that are told of: the counter, and the labels that tell its rows apart.
const TOLD: &[(&str, &[&str])] = &[
    ("gatepost_route_cache_requests_total", &["tier", "result"]),
    ("gatepost_route_sticky_total", &["result"]),
];

/// By what is counted, how often.
pub type Counts = BTreeMap<String, f64>;

/// The counters as they are now.
pub async fn read(at: SocketAddr) -> Result<Counts> {
    let mut stream = TcpStream::connect(at).await?;
    let question = format!("GET /metrics HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n");
    stream.write_all(question.as_bytes()).await?;
    let mut text = Vec::new();
    stream.read_to_end(&mut text).await?;
    let mut counts = Counts::new();
    for (name, value) in String::from_utf8_lossy(&text).lines().filter_map(row) {
        *counts.entry(name).or_default() += value;
    }
    Ok(counts)
}

/// What has come since `before`, each as a part of `done`, in words; nothing where nothing has.
pub fn shares(before: &Counts, after: &Counts, done: f64) -> String {
    let grown = after.iter().filter_map(|(name, value)| {
        let more = value - before.get(name).copied().unwrap_or_default();
        (more > 0.0).then(|| format!("{name} {:.1}%", more / done * 100.0))
    });
    grown.collect::<Vec<_>>().join(", ")
}

/// A row of Prometheus' text, if it is one that is told of: `name{label="value",…} 12`.
fn row(line: &str) -> Option<(String, f64)> {
    let (name, rest) = line.split_once('{')?;
    let (labels, value) = rest.rsplit_once("} ")?;
    let (_, wanted) = TOLD.iter().find(|(told, _)| *told == name)?;
    let words: Option<Vec<&str>> = wanted
        .iter()
        .map(|label| {
            let (_, from) = labels.split_once(&format!("{label}=\""))?;
            Some(from.split_once('"')?.0)
        })
        .collect();
    Some((words?.join(" "), value.trim().parse().ok()?))
}
