//! The table of calls: path, method, and what of [`Ops`] it comes to.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use serde::Serialize;

use super::api::{Asked, Lists, Nothing, Problem, Status, Subject};
use super::ops::Ops;

/// The longest answer, in bytes.
pub const MAX_ANSWER: usize = 4 << 20;

/// How long an answer may take; an examination waits for others' timeouts.
const WITHIN: Duration = Duration::from_secs(30);
const EXAMINED_WITHIN: Duration = Duration::from_secs(120);

type Run = for<'a> fn(
    &'a dyn Ops,
    Asked,
) -> Pin<Box<dyn Future<Output = Result<Bytes, Problem>> + Send + 'a>>;

/// One call.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// What is asked comes by GET; what changes or reaches out goes by POST.
    pub is_post: bool,
    pub path: &'static str,
    /// For `GET /v1`.
    pub what: &'static str,
    pub within: Duration,
    run: Run,
}

impl Call {
    pub fn method(&self) -> Method {
        if self.is_post { Method::POST } else { Method::GET }
    }

    pub async fn run(&self, ops: &dyn Ops, asked: Asked) -> Result<Bytes, Problem> {
        match tokio::time::timeout(self.within, (self.run)(ops, asked)).await {
            Ok(done) => done,
            Err(_) => Err(Problem::timed_out()),
        }
    }
}

/// `GET "/path" "what it is" |ops, ask| answer`.
macro_rules! call {
    (GET $($rest:tt)*) => { call!(@ false, WITHIN, $($rest)*) };
    (POST $($rest:tt)*) => { call!(@ true, WITHIN, $($rest)*) };
    (EXAMINE $($rest:tt)*) => { call!(@ true, EXAMINED_WITHIN, $($rest)*) };
    (@ $is_post:literal, $within:ident, $path:literal $what:literal |$ops:ident, $ask:pat_param| $answer:expr) => {
        Call {
            is_post: $is_post,
            path: $path,
            what: $what,
            within: $within,
            run: |$ops, asked| Box::pin(async move {
                let $ask = asked.read()?;
                written(&$answer.await?)
            }),
        }
    };
}

/// Every call.
pub const CALLS: &[Call] = &[
    call!(GET "/v1" "what can be asked" |_ops, Nothing {}| index()),
    call!(GET "/v1/status" "is all well?" |ops, Nothing {}| judged(ops)),
    call!(GET "/v1/figures" "counters and gauges of this instant" |ops, Nothing {}| ops.figures()),
    call!(GET "/v1/sessions" "who is here" |ops, ask| ops.sessions(ask)),
    call!(GET "/v1/users/where" "where a user is, and would go" |ops, ask| ops.where_is(ask)),
    call!(POST "/v1/users/kick" "end a user's sessions" |ops, ask| ops.kick(ask)),
    call!(POST "/v1/users/move" "send a user to another server" |ops, ask| ops.relocate(ask)),
    call!(GET "/v1/upstreams" "upstreams and their servers" |ops, Nothing {}| ops.upstreams()),
    call!(POST "/v1/upstreams/drain" "send no new sessions there" |ops, ask| ops.drain(ask)),
    call!(POST "/v1/upstreams/undrain" "send sessions there again" |ops, ask| ops.undrain(ask)),
    call!(POST "/v1/upstreams/remove" "drain, and end what is there" |ops, ask| ops.remove(ask)),
    call!(POST "/v1/upstreams/lock" "set a server aside until it is unlocked" |ops, ask| ops.lock(ask)),
    call!(POST "/v1/upstreams/unlock" "use a locked server again" |ops, ask| ops.unlock(ask)),
    call!(GET "/v1/lookups" "lookup handlers" |ops, Nothing {}| ops.lookups()),
    call!(POST "/v1/lookups/enable" "ask a handler again" |ops, ask| ops.enable_handler(ask)),
    call!(POST "/v1/lookups/disable" "ask a handler no more" |ops, ask| ops.disable_handler(ask)),
    call!(GET "/v1/caches" "what is kept, and the shared cache" |ops, Nothing {}| ops.caches()),
    call!(GET "/v1/cache/list" "entries, of a user or all" |ops, ask| ops.cached(ask)),
    call!(POST "/v1/cache/purge" "forget users, a domain or all" |ops, ask| ops.purge(ask)),
    call!(GET "/v1/throttle" "who is kept waiting or out" |ops, ask| ops.offenders(ask)),
    call!(POST "/v1/throttle/forgive" "forget what somebody did" |ops, ask| ops.forgive(ask)),
    call!(GET "/v1/throttle/whitelist" "networks let alone by order" |ops, Nothing {}| ops.spared()),
    call!(POST "/v1/throttle/spare" "let a network alone, or no more" |ops, ask| ops.spare(ask)),
    call!(GET "/v1/maintenance" "maintenance in force" |ops, Nothing {}| ops.maintenance()),
    call!(POST "/v1/maintenance/on" "begin maintenance by hand" |ops, ask| ops.maintain(ask)),
    call!(POST "/v1/maintenance/off" "end it" |ops, ask| ops.end_maintenance(ask)),
    call!(GET "/v1/report" "episodes of maintenance, and locks that are on" |ops, ask| ops.report(ask)),
    call!(GET "/v1/log/levels" "log levels set by hand" |ops, Nothing {}| ops.levels()),
    call!(POST "/v1/log/level" "set a log level, or take it back" |ops, ask| ops.set_level(ask)),
    call!(POST "/v1/log/reopen" "open the logs anew" |ops, Nothing {}| ops.reopen()),
    call!(POST "/v1/log/rotate" "turn logs now" |ops, ask| ops.turn(ask)),
    call!(GET "/v1/diag" "metrics, listeners and the last warnings" |ops, Nothing {}| ops.vitals()),
    call!(GET "/v1/addresses" "local addresses and their domains" |ops, Nothing {}| ops.addresses()),
    call!(GET "/v1/zimbra" "the lists of garpu, garpb, gamau, gamcs" |ops, Nothing {}| zimbra(ops)),
    call!(EXAMINE "/v1/doctor/upstream" "which step towards an upstream fails" |ops, ask| {
        ops.examine(Subject::Upstream, ask)
    }),
    call!(EXAMINE "/v1/doctor/lookup" "which step of a lookup fails" |ops, ask| {
        ops.examine(Subject::Lookup, ask)
    }),
    call!(EXAMINE "/v1/doctor/clientip" "what a client's address meets" |ops, ask| {
        ops.examine(Subject::ClientIp, ask)
    }),
];

/// The call at `path`.
pub fn find(method: &Method, path: &str) -> Result<&'static Call, Problem> {
    let call = CALLS.iter().find(|call| call.path == path).ok_or_else(|| {
        Problem::unknown("there is no such call").hint("GET /v1 lists what can be asked")
    })?;
    let wanted = call.method();
    match *method == wanted {
        true => Ok(call),
        false => Err(Problem::wrong_method(wanted.as_str(), call.path)),
    }
}

async fn judged(ops: &dyn Ops) -> Result<Status, Problem> {
    Ok(ops.status().await?.judged())
}

async fn zimbra(ops: &dyn Ops) -> Result<Lists, Problem> {
    Ok(Lists::of(&ops.lookups().await?, &ops.upstreams().await?, &ops.caches().await?))
}

#[derive(Serialize)]
struct Index {
    version: &'static str,
    calls: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    method: &'static str,
    path: &'static str,
    what: &'static str,
}

async fn index() -> Result<Index, Problem> {
    let calls = CALLS.iter().map(|call| {
        let method = if call.is_post { "POST" } else { "GET" };
        Row { method, path: call.path, what: call.what }
    });
    Ok(Index { version: env!("CARGO_PKG_VERSION"), calls: calls.collect() })
}

fn written<T: Serialize>(answer: &T) -> Result<Bytes, Problem> {
    let mut text = serde_json::to_vec(answer).expect("the shapes are plain data");
    if text.len() >= MAX_ANSWER {
        return Err(Problem::too_much());
    }
    text.push(b'\n');
    Ok(text.into())
}
