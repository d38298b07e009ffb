//! What hangs on how the client has proved itself.

use super::*;

const MASTER: (&str, &str) = ("Auth-Upstream-Master", "on");
const VERIFIER: (&str, &str) = ("Auth-Verifier", "SCRAM-SHA-256$4096:c2FsdA==$a:b");

/// The route of bob, who comes by `mechanism`.
async fn find_by(reply: Reply, mechanism: Mechanism, protocol: &'static str) -> String {
    let (_stub, address) = Stub::tcp(move |_, _, _| reply.clone()).await;
    let router = router(&format!("auth_http {address};"));
    let attempt = Attempt::new(mechanism, *b"bob", Secret::default());
    let asker = Asker { protocol, ..asker() };
    let route = found(router.find(&attempt, &asker, &nobody).await).await;
    route.replace(&address.to_string(), "A")
}

#[tokio::test]
async fn who_brings_no_password_needs_the_handlers() {
    use Mechanism as M;
    let lacks = "Unavailable None 0ns false (error: auth http server A did not send password)";
    for mechanism in Mechanism::ALL {
        let proves_otherwise =
            matches!(mechanism, M::Apop | M::CramMd5 | M::External | M::ScramSha256 | M::Gssapi);
        if mechanism == M::Unasked {
            continue;
        }
        for protocol in ["imap", "pop3", "sieve", "smtp"] {
            let is_lacking = proves_otherwise && protocol != "smtp";
            let want = if is_lacking { lacks } else { "192.0.2.9:1143" };
            assert_eq!(find_by(head(200, &OK), mechanism, protocol).await, want, "{mechanism:?}");
        }
    }
    for (more, want) in [
        (("Auth-Pass", "x"), "pass x 192.0.2.9:1143"),
        (MASTER, "master 192.0.2.9:1143"),
        (VERIFIER, lacks),
    ] {
        let reply = head(200, &[&OK[..], &[more]].concat());
        assert_eq!(find_by(reply, M::ScramSha256, "imap").await, want);
    }
    let reply = head(200, &[&OK[..], &[VERIFIER, ("Auth-Pass", "x")]].concat());
    let want = format!("verifier {} pass x 192.0.2.9:1143", VERIFIER.1);
    assert_eq!(find_by(reply, M::ScramSha256, "imap").await, want);
    assert_eq!(find_by(head(200, &OK), M::Unasked, "lmtp").await, "192.0.2.9:1143");
}

#[tokio::test]
async fn a_handler_vouches_and_a_table_does_not() {
    let (_stub, address) = Stub::tcp(|_, _, _| head(200, &OK)).await;
    for (conf, is_checked) in
        [(format!("auth_http {address};"), true), ("route { default 192.0.2.9; }".into(), false)]
    {
        let route = router(&conf).find(&attempt("mrose", None), &asker(), &nobody).await.unwrap();
        assert_eq!(route.is_checked, is_checked, "{conf}");
    }
}

#[tokio::test]
async fn nobody_acts_for_another_by_the_handlers_means() {
    for more in [MASTER, ("Auth-User", "x"), ("Auth-Pass", "x")] {
        let (_stub, address) =
            Stub::tcp(move |_, _, _| head(200, &[&OK[..], &[more]].concat())).await;
        let router = router(&format!("auth_http {address};"));
        let route = router.find(&attempt("mrose", Some("victim")), &asker(), &nobody).await;
        assert_eq!(found(route).await, "Forbidden None 0ns false", "{more:?}");
    }
}

#[tokio::test]
async fn a_refusal_brings_its_code_and_its_challenge() {
    let no = [
        ("Auth-Status", "No"),
        ("Auth-Error-Code", "451 4.3.0"),
        ("Auth-Error-SASL", "e30="),
        ("Auth-Wait", "2"),
    ];
    let (_stub, address) = Stub::tcp(move |_, _, _| head(200, &no)).await;
    let router = router(&format!("auth_http {address};"));
    for (mechanism, sasl) in [
        (Mechanism::XOauth2, Some("e30=")),
        (Mechanism::OauthBearer, Some("e30=")),
        (Mechanism::Plain, None),
        (Mechanism::ScramSha256, None),
    ] {
        let attempt = Attempt::new(mechanism, *b"bob", Secret::new("x"));
        let refusal = router.find(&attempt, &asker(), &nobody).await.unwrap_err().refusal;
        assert_eq!((refusal.code.as_deref(), refusal.sasl.as_deref()), (Some("451 4.3.0"), sasl));
        assert_eq!((refusal.wait, refusal.close), (Duration::from_secs(2), false));
    }
}

#[tokio::test]
async fn what_is_found_shows_no_secret() {
    let more = [VERIFIER, ("Auth-Pass", "tanstaaf")];
    let (_stub, address) = Stub::tcp(move |_, _, _| head(200, &[&OK[..], &more].concat())).await;
    let router = router(&format!("auth_http {address};"));
    let route = router.find(&attempt("mrose", None), &asker(), &nobody).await.unwrap();
    let shown = format!("{route:?}");
    assert!(!shown.contains("tanstaaf") && !shown.contains("c2FsdA"), "{shown}");
}
