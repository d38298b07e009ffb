//! Figures over HTTP: `/metrics` for Prometheus, `/stub_status` as nginx shows it.

use std::sync::Arc;

use crate::http::server::{self, Limits, Page};
use crate::net::accept::Leave;
use crate::net::halt::{self, Trigger};
use crate::net::listen::Socket;
use crate::observe::metrics::CONTENT_TYPE;
use crate::observe::{Level, Log, Metrics, tasks};

/// Shows figures on `socket`, in the runtime that is current, until the trigger fires.
pub fn serve(socket: Socket, metrics: &Metrics, log: &Log) -> Trigger<Leave> {
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
