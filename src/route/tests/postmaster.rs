//! The postmaster gets in whatever routes say.

use std::fs;

use super::*;

const NAMES: &[&str] = &["postmaster@postmaster.local", "x@postmaster.local", "X@Postmaster.Local"];

const PLACE: &str = "upstream evil { server 192.0.2.66; } upstream home { server 192.0.2.1; }
    postmaster home login=postmaster@example.com;";

const HOME: &str = "user postmaster@example.com group home 192.0.2.1:143";

async fn of(router: &Router, user: &str, authzid: Option<&str>) -> String {
    found(router.find(&attempt(user, authzid), &asker(), &nobody).await).await
}

#[tokio::test]
async fn no_row_and_no_file_takes_the_postmasters_names() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("routes");
    fs::write(&file, "x@postmaster.local evil\npostmaster@postmaster.local evil\n").unwrap();
    let file = format!("route_file claims {};", file.display());
    for claim in [
        "route { x@postmaster.local evil; }",
        "route { @postmaster.local evil; postmaster@postmaster.local evil login=me; }",
        "route { ~*postmaster evil; }",
        "route { default evil; }",
        &file,
        "",
    ] {
        let router = router(&format!("{PLACE} {claim}"));
        for name in NAMES {
            assert_eq!(of(&router, name, None).await, HOME, "{claim} {name}");
            let reason = Reason::LoginRefused;
            let again = router.find_anew(&attempt(name, None), &asker(), &nobody, reason).await;
            assert_eq!(found(again).await, HOME, "{claim} {name}");
        }
        // Who acts for him keeps the name that the password is of.
        let acting = of(&router, "boss", Some("x@postmaster.local")).await;
        assert_eq!(acting, "authzid postmaster@example.com group home 192.0.2.1:143");
        for name in ["mrose", "x@postmaster.local.example.com", "postmaster@example.com"] {
            assert!(!of(&router, name, None).await.contains("home"), "{claim} {name}");
        }
    }
}

#[tokio::test]
async fn no_handler_is_asked_about_him() {
    let (stub, address) = Stub::tcp(|_, _, _| head(200, &OK)).await;
    for claim in [
        format!("auth_http {address};"),
        format!("lookup z {{ handler {address}; }}"),
        format!("lookup z {{ handler {address}; protocol nle; }}"),
    ] {
        let router = router(&format!("{PLACE} {claim}"));
        for name in NAMES {
            assert_eq!(of(&router, name, None).await, HOME, "{claim}");
        }
    }
    assert_eq!(stub.heads().len(), 0);
}

#[tokio::test]
async fn nothing_that_is_kept_of_him_is_believed() {
    let (stub, address) = Stub::tcp(|_, _, _| head(200, &OK)).await;
    let fleet = Fleet::new(Cache::memory(), Metrics::new());
    let lookup = format!("lookup z {{ handler {address}; protocol nle; }}");
    let names: Names = Book::of(&[]);
    let routers = [lookup.clone(), format!("{PLACE} {lookup}")].map(|conf| {
        let settings = Settings::read(&Block::parse(&conf), &Settings::default());
        Router::new(&settings, &names, &mut Connectors::default(), &fleet).unwrap()
    });
    for name in NAMES.iter().chain(&["mrose"]) {
        // It says so, is believed, and is kept.
        for (status, router) in [("MISS", &routers[0]), ("HIT", &routers[0])] {
            let route = router.find(&attempt(name, None), &asker(), &nobody).await.unwrap();
            assert_eq!(route.cache_status(), status);
            router.keep(&attempt(name, None), &asker(), &route);
        }
        if *name != "mrose" {
            assert_eq!(of(&routers[1], name, None).await, HOME);
        }
    }
    let kept = routers[1].find(&attempt("mrose", None), &asker(), &nobody).await.unwrap();
    assert_eq!(kept.cache_status(), "HIT", "what is kept is for both");
    assert_eq!(stub.heads().len(), NAMES.len() + 1, "one question each, by the one that asks");
}

#[tokio::test]
async fn nobody_is_the_postmaster_for_having_proved_a_name_of_his() {
    let router = router(&format!("{PLACE} route {{ default evil; }}"));
    for mechanism in Mechanism::ALL.into_iter().chain([Mechanism::Login]) {
        let attempt = Attempt { mechanism, ..attempt("x@postmaster.local", None) };
        let found = found(router.find(&attempt, &asker(), &nobody).await).await;
        let want = match mechanism {
            // What a recipient is called upstream names no sender.
            Mechanism::Unasked => "group home 192.0.2.1:143",
            _ if mechanism.brings_password() || mechanism.brings_token() => HOME,
            _ => {
                "BadCredentials None 0ns false (info: the postmaster logs in by a password or a \
                 token)"
            }
        };
        assert_eq!(found, want, "{mechanism:?}");
    }
}

#[tokio::test]
async fn without_the_directive_his_names_are_like_any_other() {
    let settings = Settings::read(&Block::parse(PLACE), &Settings::default());
    let inner = Settings::read(&Block::parse(""), &settings);
    assert!(inner.postmaster.is_some() && inner.trusts_upstreams());
    let inner = Settings::read(&Block::parse("postmaster off;"), &settings);
    assert!(inner.postmaster.is_none());
    let router = router("upstream evil { server 192.0.2.66; } route { default evil; }");
    assert_eq!(of(&router, "x@postmaster.local", None).await, "group evil 192.0.2.66:143");
}
