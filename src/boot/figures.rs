//! Figures over HTTP: `/metrics` for Prometheus, `/stub_status` as nginx shows it.

use std::collections::HashMap;
use std::sync::Arc;

use crate::http::server::{self, Limits, Page};
use crate::net::accept::Leave;
use crate::net::halt::{self, Trigger};
use crate::net::listen::{self, Listen, Socket};
use crate::observe::metrics::CONTENT_TYPE;
use crate::observe::{Level, Log, Metrics, tasks};

/// The addresses where figures are shown, as they are written. A trigger that fires ends one.
pub type Shown = HashMap<String, Vec<Trigger<Leave>>>;

/// Addresses that were opened and show nothing yet.
pub type Opened = Vec<(String, Vec<Socket>)>;

/// Opens the addresses of `metrics` that are not `shown` yet. While a binary is upgraded, both the
/// old and the new one show theirs.
pub fn open(places: &[String], shown: &Shown) -> Result<Opened, Vec<String>> {
    let mut opened = Vec::new();
    for place in places.iter().filter(|place| !shown.contains_key(*place)) {
        let listens = Listen::parse(&[place], None)
            .map_err(|error| vec![error.replace("\"listen\"", "\"metrics\"")])?;
        let mut sockets = Vec::new();
        for listen in &listens {
            let open = listen::open_beside(listen, 1).map_err(|error| vec![error.to_string()])?;
            sockets.extend(open);
        }
        opened.push((place.clone(), sockets));
    }
    Ok(opened)
}

/// Shows figures at what was opened, and no longer where `places` does not say so.
pub fn change(shown: &mut Shown, opened: Opened, places: &[String], metrics: &Metrics, log: &Log) {
    for (place, triggers) in shown.extract_if(|place, _| !places.contains(place)) {
        for trigger in triggers {
            trigger.fire(Leave::Drain);
        }
        log.line(Level::Notice, None, format_args!("figures are no longer shown at {place}"));
    }
    for (place, sockets) in opened {
        let triggers = sockets.into_iter().map(|socket| serve(socket, metrics, log)).collect();
        shown.insert(place, triggers);
    }
}

/// Shows figures on `socket`, in the runtime that is current, until the trigger fires.
fn serve(socket: Socket, metrics: &Metrics, log: &Log) -> Trigger<Leave> {
    let (trigger, stop) = halt::halt();
    let metrics = metrics.clone();
    let pages = Arc::new(move |path: &str| match path {
        "/metrics" => Some(Page { content_type: CONTENT_TYPE, body: metrics.render().into() }),
        "/stub_status" => {
            let body = metrics.stub_status().into();
            Some(Page { content_type: "text/plain; charset=utf-8", body })
        }
        _ => None,
    });
    let log = log.clone();
    tasks::spawn("figures", async move {
        let notices = log.clone();
        let notice = move |notice| notices.line(Level::Crit, None, notice);
        if let Err(error) = server::serve(socket, pages, Limits::default(), stop, notice).await {
            log.line(Level::Alert, None, format_args!("showing figures failed ({error})"));
        }
    });
    trigger
}
