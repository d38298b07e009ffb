//! What hangs on how the client has proved itself.

use super::*;

const MASTER: (&str, &str) = ("Auth-Upstream-Master", "on");
const VERIFIER: (&str, &str) = ("Auth-Verifier", "SCRAM-SHA-256$4096:c2FsdA==$a:b");

#[tokio::test]
async fn what_the_handler_does_not_bring_is_not_there() {
    for (more, want) in [
        (None, "192.0.2.9:1143"),
        (Some(("Auth-Pass", "x")), "pass x 192.0.2.9:1143"),
        (Some(MASTER), "master 192.0.2.9:1143"),
        (Some(VERIFIER), "verifier SCRAM-SHA-256$4096:c2FsdA==$a:b 192.0.2.9:1143"),
    ] {
        let (_stub, address) = Stub::tcp(move |_, _, _| {
            head(200, &OK.iter().copied().chain(more).collect::<Vec<_>>())
        })
        .await;
        let router = router(&format!("auth_http {address};"));
        for mechanism in Mechanism::ALL {
            let attempt = Attempt::new(mechanism, *b"bob", Secret::default());
            let route = router.find(&attempt, &asker(), &nobody).await;
            assert_eq!(found(route).await, want, "{mechanism:?}");
        }
    }
}

#[tokio::test]
async fn a_handler_vouches_and_a_table_does_not() {
    let (_stub, address) = Stub::tcp(|_, _, _| head(200, &OK)).await;
    for (conf, is_checked) in
        [(format!("auth_http {address};"), true), ("route { default 192.0.2.9; }".into(), false)]
    {
        let route = router(&conf).find(&attempt("mrose", None), &asker(), &nobody).await.unwrap();
        assert_eq!(route.is_checked, is_checked, "{conf}");
        // Who is to be named, where the desk finds that something is lacking.
        let handler = is_checked.then(|| address.to_string());
        assert_eq!(route.handler.as_deref(), handler.as_deref());
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
    let (_stub, address) = Stub::tcp(|_, _, _| head(200, &OK)).await;
    let router = router(&format!("auth_http {address};"));
    for mechanism in Mechanism::ALL {
        let attempt = Attempt { mechanism, ..attempt("mrose", Some("victim")) };
        let is_own = mechanism.brings_password() || mechanism.brings_token();
        let want = if is_own { "192.0.2.9:1143" } else { "Forbidden None 0ns false" };
        let route = router.find(&attempt, &asker(), &nobody).await;
        assert_eq!(found(route).await, want, "{mechanism:?}");
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
