use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::*;
use crate::tls::server::{self, Shared};
use crate::tls::suites::Protocols;
use crate::tls::support::{Desk, serving, shortly, soon};

/// Connects to an upstream that shows `config`, and says the name it was asked for.
async fn connect(
    connector: &Connector,
    host: &str,
    config: &Arc<server::Config>,
) -> (Result<Connected<tokio::io::DuplexStream>, Error>, Option<String>) {
    let (near, far) = duplex(64 * 1024);
    let ours = async {
        let mut connected = connector.connect(near, host, soon()).await?;
        // The ticket comes before the greeting.
        connected.stream.read_exact(&mut [0; 4]).await.unwrap();
        Ok(connected)
    };
    let theirs = async {
        let mut accepted =
            server::accept(far, None, |_| Some(config.clone()), soon()).await.ok()?;
        // An upstream that is not trusted is told so, and cannot greet.
        let _ = accepted.stream.write_all(b"* OK").await;
        let _ = accepted.stream.flush().await;
        accepted.sni
    };
    tokio::join!(ours, theirs)
}

fn connector(settings: &UpstreamSettings) -> Arc<Connector> {
    Connectors::default().connector(settings).unwrap()
}

#[tokio::test]
async fn an_upstream_must_be_trusted_and_have_its_name() {
    let (desk, shared) = (Desk::new(), Shared::new());
    let files =
        desk.make_signed("up", &["mail.example", "*.pool.example", "10.0.0.5", "2001:db8::5"]);
    let config = serving(&[files], &[], &shared);
    let trusting =
        UpstreamSettings { trusted: Some(desk.path("root.crt")), ..UpstreamSettings::default() };
    let named = UpstreamSettings { name: Some("mail.example".to_owned()), ..trusting.clone() };
    let off = UpstreamSettings { verify: false, ..UpstreamSettings::default() };
    let silent = UpstreamSettings { server_name: false, ..trusting.clone() };
    let stranger = desk.make("stranger", "other.example").certificate;
    let distrusting = UpstreamSettings { trusted: Some(stranger), ..trusting.clone() };
    for (settings, host, sni, want) in [
        (&trusting, "mail.example", Some("mail.example"), Ok(())),
        (&trusting, "mail.example.", Some("mail.example"), Ok(())),
        (&trusting, "x.pool.example", Some("x.pool.example"), Ok(())),
        (&trusting, "10.0.0.5", None, Ok(())),
        (&trusting, "2001:db8::5", None, Ok(())),
        (&trusting, "[2001:db8::5]", None, Ok(())),
        (&silent, "mail.example", None, Ok(())),
        (&named, "10.9.9.9", Some("mail.example"), Ok(())),
        (&off, "10.9.9.9", None, Ok(())),
        (&off, "unix:/run/imap.sock", None, Ok(())),
        (&trusting, "10.9.9.9", None, Err("set proxy_ssl_name to one of these")),
        (
            &trusting,
            "web.example",
            None,
            Err("not valid for \"web.example\" but for mail.example, *.pool.example, 10.0.0.5"),
        ),
        (&trusting, "unix:/run/imap.sock", None, Err("set proxy_ssl_name")),
        (&distrusting, "mail.example", None, Err("into proxy_ssl_trusted_certificate")),
    ] {
        let (connected, asked) = connect(&connector(settings), host, &config).await;
        match (connected, want) {
            (Ok(connected), Ok(())) => {
                assert_eq!(asked.as_deref(), sni, "{host}");
                assert_eq!(connected.protocol, "TLSv1.3");
                assert!(!connected.resumed);
            }
            (Err(Error::Untrusted(text)), Err(part)) => {
                assert!(text.contains(part), "{host}: {text}")
            }
            (got, _) => panic!("{host}: {got:?}"),
        }
    }
}

#[tokio::test]
async fn a_certificate_given_as_trusted_is_trusted_itself() {
    let (desk, shared) = (Desk::new(), Shared::new());
    // What `openssl req -x509` makes: self-signed, CA:TRUE, a common name and no subjectAltName.
    desk.make_by_openssl("self", "mail.example");
    desk.openssl(
        "req -new -newkey rsa:2048 -nodes -keyout v1.key -out v1.csr -subj /CN=mail.example",
    );
    desk.openssl("x509 -req -in v1.csr -signkey v1.key -days 10 -out v1.crt");
    desk.openssl("x509 -req -in v1.csr -signkey v1.key -days -1 -out old.crt");
    std::fs::copy(desk.path("v1.key"), desk.path("old.key")).unwrap();
    for (name, host, want) in [
        ("self", "mail.example", Ok(())),
        ("self", "MAIL.example", Ok(())),
        ("self", "web.example", Err("not valid for \"web.example\" but for mail.example")),
        ("v1", "mail.example", Ok(())),
        ("v1", "10.9.9.9", Err("proxy_ssl_name")),
        ("old", "mail.example", Err("expired")),
    ] {
        let config = serving(&[desk.files(name)], &[], &shared);
        let trusted = Some(desk.files(name).certificate);
        let settings = UpstreamSettings { trusted, ..UpstreamSettings::default() };
        let (connected, _) = connect(&connector(&settings), host, &config).await;
        match (connected, want) {
            (Ok(_), Ok(())) => {}
            (Err(Error::Untrusted(text)), Err(part)) => {
                assert!(text.contains(part), "{name}: {text}")
            }
            (got, _) => panic!("{name} {host}: {got:?}"),
        }
        // Without verification all of them will do, in either version.
        for protocols in [Protocols::Tls12, Protocols::Tls13] {
            let off = UpstreamSettings { verify: false, protocols, ..UpstreamSettings::default() };
            let (connected, _) = connect(&connector(&off), host, &config).await;
            assert!(connected.is_ok(), "{name}: {connected:?}");
        }
    }
}

#[tokio::test]
async fn sessions_with_upstreams_are_resumed() {
    let (desk, shared) = (Desk::new(), Shared::new());
    let config = serving(&[desk.make_signed("up", &["mail.example"])], &[], &shared);
    let settings =
        UpstreamSettings { trusted: Some(desk.path("root.crt")), ..UpstreamSettings::default() };
    let mut connectors = Connectors::default();
    for resumed in [false, true] {
        let connector = connectors.connector(&settings).unwrap();
        let (connected, _) = connect(&connector, "mail.example", &config).await;
        assert_eq!(connected.unwrap().resumed, resumed);
    }
}

#[tokio::test]
async fn a_silent_upstream_is_given_up_at_the_deadline() {
    let off = UpstreamSettings { verify: false, ..UpstreamSettings::default() };
    let (near, _far) = duplex(64 * 1024);
    let outcome = connector(&off).connect(near, "mail.example", shortly()).await;
    assert!(matches!(outcome, Err(Error::Silent)), "{outcome:?}");
}

#[tokio::test]
async fn an_upstream_that_speaks_no_tls_is_told_apart() {
    let off = UpstreamSettings { verify: false, ..UpstreamSettings::default() };
    let (near, mut far) = duplex(64 * 1024);
    far.write_all(b"* OK IMAP4rev1 ready\r\n").await.unwrap();
    let outcome = connector(&off).connect(near, "mail.example", soon()).await;
    assert!(matches!(outcome, Err(Error::Misbehaved(_))), "{outcome:?}");
}

#[test]
fn a_file_of_roots_that_cannot_be_used_is_a_fault() {
    let desk = Desk::new();
    desk.write("empty.crt", "");
    for name in ["none.crt", "empty.crt"] {
        let trusted = Some(desk.path(name));
        let settings = UpstreamSettings { trusted, ..UpstreamSettings::default() };
        let fault = Connectors::default().connector(&settings).unwrap_err();
        assert_eq!(fault.file, desk.path(name));
    }
}
