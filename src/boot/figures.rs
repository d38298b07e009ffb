//! Figures over HTTP: `/metrics` for Prometheus, `/stub_status` as nginx shows it, and, where it is
//! allowed, the API beside them.

use std::sync::Arc;

use hyper::StatusCode;

use crate::admin::Api;
use crate::http::server::{self, Answer, Limits, Page, Pages, Request, Shown};
use crate::net::accept::Leave;
use crate::net::halt::{self, Trigger};
use crate::net::listen::Socket;
use crate::observe::metrics::CONTENT_TYPE;
use crate::observe::{Level, Log, Metrics, tasks};

/// The API where a path is its, figures elsewhere.
struct Both<F> {
    figures: Shown<F>,
    api: Api,
}

impl<F> Pages for Both<F>
where
    F: Fn(&str) -> Option<Page> + Send + Sync + 'static,
{
    fn most_body(&self) -> usize {
        self.api.most_body()
    }

    async fn answer(&self, request: Request) -> Answer {
        match self.api.has(&request.path) {
            true => self.api.answer(request).await,
            false => match self.api.bar(&request.headers) {
                Some(barred) => barred,
                None => self.figures.answer(request).await,
            },
        }
    }

    fn refuse(&self, status: StatusCode) -> Answer {
        self.api.refuse(status)
    }
}

/// Shows figures on `socket`, in the runtime that is current, until the trigger fires.
pub fn serve(socket: Socket, metrics: &Metrics, api: Api, log: &Log) -> Trigger<Leave> {
    let (trigger, stop) = halt::halt();
    let metrics = metrics.clone();
    let figures = Shown(move |path: &str| match path {
        "/metrics" => Some(Page { content_type: CONTENT_TYPE, body: metrics.render().into() }),
        "/stub_status" => {
            let body = metrics.stub_status().into();
            Some(Page { content_type: "text/plain; charset=utf-8", body })
        }
        _ => None,
    });
    let (pages, log) = (Arc::new(Both { figures, api }), log.clone());
    tasks::spawn("figures", async move {
        let notices = log.clone();
        let notice = move |notice| notices.line(Level::Crit, None, notice);
        if let Err(error) = server::serve(socket, pages, Limits::default(), stop, notice).await {
            log.line(Level::Alert, None, format_args!("showing figures failed ({error})"));
        }
    });
    trigger
}
