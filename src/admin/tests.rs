//! The API from outside: what is asked at a listener and what comes back.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;

use hyper::header::{HeaderMap, HeaderValue};
use hyper::{Method, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::api::{Kicked, MAX_BODY, Nothing, Status, UserAsk};
use super::directives::Settings;
use super::fake::Fake;
use super::gate::{Access, Callers, Entry};
use super::server::Api;
use super::socket::{Control, Error};
use super::{Client, ClientError, calls, serve};
use crate::http::server::{Answer, Pages, Peer, Request};
use crate::net::accept::Leave;
use crate::observe::Log;

fn request(method: &str, path: &str, query: &str, body: &str) -> Request {
    let mut headers = HeaderMap::new();
    headers.insert("host", HeaderValue::from_static("localhost"));
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    Request {
        method: Method::from_bytes(method.as_bytes()).unwrap(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers,
        body: body.to_owned().into(),
        peer: Peer::Network,
        from: crate::net::Endpoint::Unix(std::path::PathBuf::new()),
    }
}

fn api(access: Access) -> Api {
    Api::new(Arc::new(Fake::default()), Entry { access, ..Entry::default() })
}

async fn asked(access: Access, request: Request) -> (u16, String, Option<&'static str>) {
    let Answer { status, content_type, allow, body, .. } = api(access).answer(request).await;
    assert_eq!(content_type, "application/json");
    (status.as_u16(), String::from_utf8(body.to_vec()).unwrap(), allow)
}

/// The file has a question in each line that begins with `> `, and its answer below it. `BLESS=1`
/// writes the answers anew.
#[tokio::test]
async fn every_call_is_answered_as_the_transcript_has_it() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts/admin/api.txt");
    let kept = std::fs::read_to_string(&path).unwrap();
    let mut fresh = String::new();
    for line in kept.lines().filter(|line| line.starts_with("> ") || line.starts_with('#')) {
        let Some(question) = line.strip_prefix("> ") else {
            fresh.push_str(&format!("{line}\n"));
            continue;
        };
        let mut words = question.splitn(3, ' ');
        let (method, target) = (words.next().unwrap(), words.next().unwrap());
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let request = request(method, path, query, words.next().unwrap_or(""));
        let (status, body, allow) = asked(Access::Full, request).await;
        let allow = allow.map(|allow| format!(" (Allow: {allow})")).unwrap_or_default();
        fresh.push_str(&format!("{line}\n< {status}{allow} {body}"));
    }
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &fresh).unwrap();
    }
    for (kept, fresh) in kept.lines().zip(fresh.lines()) {
        assert_eq!(kept, fresh);
    }
    assert_eq!(kept.len(), fresh.len());
    for call in calls::CALLS {
        let question = format!("> {} {}", call.method(), call.path);
        let is_asked = |line: &str| {
            let rest = line.strip_prefix(&question);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '?']))
        };
        assert!(kept.lines().any(is_asked), "nobody asks {question:?}");
    }
}

#[test]
fn every_call_is_in_the_manual() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/control.md");
    let manual = std::fs::read_to_string(path).unwrap();
    for call in calls::CALLS {
        let row = format!("| `{} {}` |", call.method(), call.path);
        assert!(manual.contains(&row), "docs/control.md lacks {row}");
    }
}

#[tokio::test]
async fn a_listener_that_may_only_be_asked_changes_nothing() {
    let (status, body, _) =
        asked(Access::Read, request("POST", "/v1/users/kick", "", r#"{"user":"bob"}"#)).await;
    assert!(status == 403 && body.contains("read_only"), "{body}");
    // An examination reaches out, with a password even.
    let (status, ..) =
        asked(Access::Read, request("POST", "/v1/doctor/upstream", "", r#"{"name":"x"}"#)).await;
    assert_eq!(status, 403);
    let (status, ..) = asked(Access::Read, request("GET", "/v1/status", "", "")).await;
    assert_eq!(status, 200);
    assert_eq!((api(Access::Read).most_body(), api(Access::Full).most_body()), (0, MAX_BODY));
    assert!(!api(Access::Off).has("/v1/status") && api(Access::Read).has("/v1"));
    assert!(!api(Access::Read).has("/v10/status"));
}

#[tokio::test]
async fn pages_and_strangers_are_not_answered() {
    let status = || request("GET", "/v1/status", "", "");
    let with = |name: &'static str, value: &'static str| {
        let mut request = status();
        request.headers.insert(name, HeaderValue::from_static(value));
        request
    };
    let stranger = Request { peer: Peer::Local { uid: 4_000_001, gid: 4_000_001 }, ..status() };
    let form = {
        let mut kick = request("POST", "/v1/users/kick", "", r#"{"user":"bob"}"#);
        kick.headers.insert("content-type", HeaderValue::from_static("text/plain"));
        kick
    };
    let mut charset = request("POST", "/v1/users/kick", "", r#"{"user":"bob"}"#);
    let json = HeaderValue::from_static("Application/JSON; charset=utf-8");
    charset.headers.insert("content-type", json);
    for (request, want, code) in [
        (status(), 200, ""),
        (charset, 200, ""),
        (with("host", "rebound.example"), 403, "forbidden"),
        (with("origin", "null"), 403, "forbidden"),
        (stranger, 403, "forbidden"),
        (form, 415, "wrong_type"),
        (request("GET", "/v1/status", "", "{}"), 400, "bad_request"),
        (request("POST", "/v1/users/kick", "user=bob", ""), 400, "bad_request"),
    ] {
        let (status, body, _) = asked(Access::Full, request).await;
        assert_eq!(status, want, "{body}");
        assert!(body.contains(code), "{body}");
    }
}

fn settings(path: &Path) -> Settings {
    Settings { path: Some(path.to_owned()), is_configured: true, ..Settings::beside(path) }
}

fn open(path: &Path) -> Result<Control, Error> {
    Control::open(path, &settings(path), false)
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn the_socket_is_ours_alone_and_goes_with_us() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("g.sock");
    let control = open(&path).unwrap();
    let found = std::fs::symlink_metadata(&path).unwrap();
    assert_eq!(found.permissions().mode() & 0o7777, 0o600);
    assert_eq!(found.uid(), nix::unistd::Uid::effective().as_raw());
    assert_eq!(names(folder.path()), ["g.sock"]);
    assert!(control.is_at(&path, &settings(&path)));
    drop(control);
    assert_eq!(names(folder.path()), [""; 0]);

    // Wider than the umask lets it be.
    let wide = Settings { mode: 0o666, ..settings(&path) };
    let control = Control::open(&path, &wide, false).unwrap();
    let found = std::fs::symlink_metadata(&path).unwrap();
    assert_eq!(found.permissions().mode() & 0o777, 0o666);
    assert!(!control.is_at(&path, &settings(&path)));
}

#[test]
fn a_socket_that_a_crash_left_is_replaced_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("g.sock");
    // Nobody listens any more.
    drop(UnixListener::bind(&path).unwrap());
    let stale = std::fs::symlink_metadata(&path).unwrap().ino();
    let control = open(&path).unwrap();
    assert!(UnixStream::connect(&path).is_ok());
    let _ = stale;

    // Somebody does.
    assert!(matches!(open(&path), Err(Error::Taken(_))));
    assert!(UnixStream::connect(&path).is_ok());
    // We do: the new one takes its place, and the old one leaves it there as it goes.
    let next = Control::open(&path, &settings(&path), true).unwrap();
    drop(control);
    assert!(UnixStream::connect(&path).is_ok());
    drop(next);

    let file = folder.path().join("secrets");
    std::fs::write(&file, "kept").unwrap();
    assert!(matches!(open(&file), Err(Error::Occupied(_))));
    symlink(&file, &path).unwrap();
    assert!(matches!(open(&path), Err(Error::Occupied(_))));
    // To nowhere, too: it is not ours to fill.
    std::fs::remove_file(&path).unwrap();
    symlink(folder.path().join("nowhere"), &path).unwrap();
    assert!(matches!(open(&path), Err(Error::Occupied(_))));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "kept");
    assert_eq!(names(folder.path()), ["g.sock", "secrets"]);
}

#[test]
fn nothing_is_overwritten_on_the_way_to_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("g.sock");
    let fresh = folder.path().join(format!("g.sock.{}", std::process::id()));
    // A process of our number crashed on the way.
    drop(UnixListener::bind(&fresh).unwrap());
    drop(open(&path).unwrap());
    assert_eq!(names(folder.path()), [""; 0]);
    symlink(folder.path().join("elsewhere"), &fresh).unwrap();
    assert!(matches!(open(&path), Err(Error::Call { call: "bind()", .. })));
    assert_eq!(names(folder.path()).len(), 1);
    let long = folder.path().join("x".repeat(120));
    assert!(open(&long).unwrap_err().to_string().contains("too long"));
}

/// A gatepost at a real socket.
struct Served {
    _folder: tempfile::TempDir,
    client: Client,
    _control: Control,
    stop: crate::net::halt::Trigger<Leave>,
    fake: Fake,
}

fn served(callers: Callers) -> Served {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("g.sock");
    let control = open(&path).unwrap();
    let fake = Fake::default();
    let ops = Arc::new(fake.clone());
    let stop = serve(control.socket().unwrap(), ops, callers, &Log::silent());
    Served { client: Client::new(&path), _folder: folder, _control: control, stop, fake }
}

#[tokio::test]
async fn the_client_asks_and_is_told() {
    let served = served(Callers::default());
    let status: Status = served.client.get("/v1/status", &Nothing {}).await.unwrap();
    assert_eq!(status.pid, 4711);
    let user = || UserAsk { user: "m&r=ü %@a.example".into() };
    let kicked: Kicked = served.client.post("/v1/users/kick", &user()).await.unwrap();
    assert_eq!((kicked.sessions, &*kicked.user), (2, "m&r=ü %@a.example"));
    let found: super::api::Whereabouts =
        served.client.get("/v1/users/where", &user()).await.unwrap();
    assert_eq!(found.user, user().user);
    let no = served.client.post::<Kicked>("/v1/users/kick", &Nothing {}).await.unwrap_err();
    assert!(matches!(&no, ClientError::Refused(words) if words.code == "bad_request"), "{no:?}");
    assert_eq!(served.fake.told(), ["kick m&r=ü %@a.example"]);

    served.stop.fire(Leave::Queue);
    drop(served._control);
    let gone = served.client.get::<Status>("/v1/status", &Nothing {}).await.unwrap_err();
    assert!(matches!(gone, ClientError::NotRunning { .. }), "{gone:?}");
}

#[tokio::test]
async fn a_body_that_is_too_long_is_told_so_in_json() {
    let served = served(Callers::default());
    let mut stream = tokio::net::UnixStream::connect(served.client.path()).await.unwrap();
    let head = format!(
        "POST /v1/users/kick HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n",
        MAX_BODY + 1
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut heard = String::new();
    stream.read_to_string(&mut heard).await.unwrap();
    assert!(heard.starts_with("HTTP/1.1 413 ") && heard.contains("\"too_large\""), "{heard}");
    // Where nothing may be told no body is read, and its length is not what is wrong.
    let told = api(Access::Read).refuse(StatusCode::PAYLOAD_TOO_LARGE);
    assert!(told.status == 413 && String::from_utf8_lossy(&told.body).contains("read_only"));
    let told = api(Access::Full).refuse(StatusCode::REQUEST_TIMEOUT);
    assert!(String::from_utf8_lossy(&told.body).contains("timed_out"));
}

#[tokio::test]
async fn what_is_no_gatepost_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("g.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let liar = async {
        for answer in ["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", "nonsense\r\n\r\n", ""] {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = [0; 512];
            let _ = stream.read(&mut asked).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    };
    let client = Client::new(&path);
    let asker = async {
        let ask = || client.get::<Status>("/v1/status", &Nothing {});
        assert!(matches!(ask().await, Err(ClientError::Garbled(_))));
        assert!(matches!(ask().await, Err(ClientError::Left(_))));
        assert!(matches!(ask().await, Err(ClientError::Left(_))));
    };
    tokio::join!(liar, asker);
}
