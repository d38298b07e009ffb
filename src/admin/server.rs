//! Answering at a listener.

use std::sync::Arc;

use hyper::header::{CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use hyper::{HeaderMap, StatusCode};

use super::api::{Asked, MAX_BODY, Problem};
use super::calls;
use super::gate::{Access, Callers, Entry, refuse_browsers};
use super::ops::Ops;
use super::token::Shown;
use crate::http::server::{self, Answer, Limits, Pages, Request};
use crate::net::accept::Leave;
use crate::net::halt::{self, Trigger};
use crate::net::listen::Socket;
use crate::observe::{Level, Log, tasks};

/// The API as one listener offers it.
#[derive(Clone)]
pub struct Api {
    ops: Arc<dyn Ops>,
    entry: Entry,
}

impl Api {
    pub fn new(ops: Arc<dyn Ops>, entry: Entry) -> Self {
        Self { ops, entry }
    }

    /// What who does not show the listener's token is told, whatever is asked for; none for all
    /// others.
    pub fn bar(&self, headers: &HeaderMap) -> Option<Answer> {
        // RFC 6750 §3: who shows nothing is told no error.
        let challenge = match self.entry.token.as_ref()?.shown(headers) {
            Shown::Right => return None,
            Shown::Wrong => "Bearer realm=\"gatepost\", error=\"invalid_token\"",
            Shown::Nothing => "Bearer realm=\"gatepost\"",
        };
        let mut answer = told(&Problem::unauthorized());
        answer.headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        Some(answer)
    }

    /// Whether a path is the API's, if it is offered here at all.
    pub fn has(&self, path: &str) -> bool {
        self.entry.access != Access::Off && (path == "/v1" || path.starts_with("/v1/"))
    }

    async fn call(&self, request: Request) -> Result<bytes::Bytes, Problem> {
        self.entry.callers.admit(request.peer)?;
        refuse_browsers(&request.headers)?;
        let call = calls::find(&request.method, &request.path)?;
        let asked = if call.is_post {
            if self.entry.access != Access::Full {
                return Err(Problem::read_only());
            }
            if !request.query.is_empty() {
                return Err(Problem::bad("what is asked goes into the body, not the query"));
            }
            if !request.body.is_empty() && !is_json(&request.headers) {
                return Err(Problem::wrong_type());
            }
            Asked::Body(request.body)
        } else {
            if !request.body.is_empty() {
                return Err(Problem::bad("what is asked goes into the query, not a body"));
            }
            Asked::Query(request.query)
        };
        call.run(&*self.ops, asked).await
    }
}

impl Pages for Api {
    fn most_body(&self) -> usize {
        if self.entry.access == Access::Full { MAX_BODY } else { 0 }
    }

    async fn answer(&self, request: Request) -> Answer {
        if let Some(barred) = self.bar(&request.headers) {
            return barred;
        }
        let path = request.path.clone();
        match self.call(request).await {
            Ok(body) => json(StatusCode::OK, body),
            Err(problem) => {
                let answer = told(&problem);
                let call = calls::CALLS.iter().find(|call| call.path == path);
                let allow = call.map(|call| if call.is_post { "POST" } else { "GET" });
                let allow = allow.filter(|_| problem.status == StatusCode::METHOD_NOT_ALLOWED);
                Answer { allow, ..answer }
            }
        }
    }

    fn refuse(&self, status: StatusCode) -> Answer {
        // A body is not read where nothing may be told: that it is too long is not what is wrong.
        let is_told = status == StatusCode::PAYLOAD_TOO_LARGE && self.entry.access != Access::Full;
        told(&if is_told { Problem::read_only().with(status) } else { Problem::unread(status) })
    }
}

/// Parameters (`; charset=utf-8`) are no matter: JSON is UTF-8.
fn is_json(headers: &HeaderMap) -> bool {
    let written = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = written.map(|written| written.split(';').next().unwrap_or_default().trim());
    kind.is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"))
}

fn told(problem: &Problem) -> Answer {
    let mut body = serde_json::to_vec(&problem.told()).expect("a problem is plain data");
    body.push(b'\n');
    json(problem.status, body.into())
}

fn json(status: StatusCode, body: bytes::Bytes) -> Answer {
    Answer { content_type: "application/json", body, ..Answer::empty(status) }
}

/// Answers at the control socket, in the runtime that is current, until the trigger fires.
pub fn serve(socket: Socket, ops: Arc<dyn Ops>, callers: Callers, log: &Log) -> Trigger<Leave> {
    let (trigger, stop) = halt::halt();
    let api = Arc::new(Api::new(ops, Entry { access: Access::Full, callers, token: None }));
    let log = log.clone();
    tasks::spawn("control", async move {
        let notices = log.clone();
        let notice = move |notice| notices.line(Level::Crit, None, notice);
        if let Err(error) = server::serve(socket, api, Limits::default(), stop, notice).await {
            log.line(Level::Alert, None, format_args!("the control socket failed ({error})"));
        }
    });
    trigger
}
