//! A process that serves nothing yet, and what several calls have in common.

use super::*;
use crate::admin::api::{Health, Password};

fn running() -> Running {
    Running::new(&Kept::new())
}

fn servers(upstream: &str) -> ServersAsk {
    ServersAsk { upstream: upstream.into(), server: None, end: false }
}

#[tokio::test]
async fn before_it_serves_it_answers_all_the_same() {
    let ops = running();
    let status = ops.status().await.unwrap().judged();
    assert_eq!((status.state, status.generation), (Health::Ok, 0));
    assert_eq!((status.caches[0].state, status.upstreams.len()), (Health::Off, 0));
    assert_eq!(ops.figures().await.unwrap().cache.state, Health::Off);
    assert_eq!(ops.sessions(SessionsAsk::default()).await.unwrap().total, 0);
    let user = || UserAsk { user: "Ann".into() };
    let found = ops.where_is(user()).await.unwrap();
    assert_eq!((&*found.user, found.route, found.lease), ("ann", None, None));
    let kicked = ops.kick(user()).await.unwrap();
    assert_eq!((kicked.sessions, kicked.told_fleet, kicked.problems.len()), (0, false, 0));
    assert!(ops.upstreams().await.unwrap().upstreams.is_empty());
    assert!(ops.lookups().await.unwrap().handlers.is_empty());
    assert!(ops.caches().await.unwrap().servers.is_empty());
    assert_eq!(ops.cached(ListAsk::default()).await.unwrap().total, 0);
    let all = PurgeAsk { all: true, ..PurgeAsk::default() };
    let purged = ops.purge(all).await.unwrap();
    assert_eq!((purged.told_fleet, purged.problems.len()), (false, 0));
    assert_eq!(ops.offenders(OffendersAsk::default()).await.unwrap().total, 0);
    assert_eq!(ops.report(ReportAsk::default()).await.unwrap().total, 0);
    assert!(!ops.addresses().await.unwrap().addresses.is_empty());
    for refused in [
        ops.drain(servers("x")).await.unwrap_err(),
        ops.undrain(servers("x")).await.unwrap_err(),
        ops.remove(servers("x")).await.unwrap_err(),
        ops.lock(servers("x")).await.unwrap_err(),
        ops.unlock(servers("x")).await.unwrap_err(),
    ] {
        assert_eq!((refused.code, &*refused.text), ("not_found", "there is no upstream \"x\""));
    }
    let to = MoveAsk { user: "ann".into(), to: Some("192.0.2.1:143".into()) };
    assert_eq!(ops.relocate(to).await.unwrap_err().code, "not_found");
    let handler = HandlerAsk { handler: "x".into(), lookup: None };
    assert_eq!(ops.disable_handler(handler).await.unwrap_err().code, "not_found");
    for (subject, code) in [
        (Subject::Upstream, "not_found"),
        (Subject::Lookup, "not_found"),
        (Subject::ClientIp, "bad_request"),
    ] {
        let password = Some(Password::new("secret"));
        let ask = DoctorAsk { name: "x".into(), login: Some("ann".into()), password };
        assert_eq!(ops.examine(subject, ask).await.unwrap_err().code, code);
    }
}

#[tokio::test]
async fn maintenance_begins_and_ends_by_hand() {
    let ops = running();
    let off = || EndAsk { domain: Some("A.example".into()) };
    assert_eq!(ops.end_maintenance(off()).await.unwrap_err().code, "conflict");
    let ask = |text: &str| MaintainAsk {
        domain: Some("A.example".into()),
        until: None,
        text: Some(text.into()),
    };
    assert_eq!(ops.maintain(ask("[ALERT] no")).await.unwrap_err().code, "bad_request");
    let on = ops.maintain(ask("back at nine")).await.unwrap().maintenance;
    assert_eq!((on.len(), on[0].domain.as_deref()), (1, Some("a.example")));
    assert!(on[0].by_hand && on[0].text.as_deref() == Some("back at nine"));
    assert_eq!(ops.status().await.unwrap().judged().state, Health::Degraded);
    assert!(ops.end_maintenance(off()).await.unwrap().maintenance.is_empty());
    let report = ops.report(ReportAsk::default()).await.unwrap();
    assert!(report.episodes[0].ended.is_some() && report.episodes[0].by_hand);
}

#[tokio::test]
async fn what_is_let_alone_and_what_failed_to_reload_is_told() {
    let ops = running();
    let ask = |network: &str, off| SpareAsk { network: network.into(), off, for_s: None };
    let spared = ops.spare(ask("192.0.2.0/24", false)).await.unwrap();
    assert_eq!((spared.networks, spared.problems), (vec!["192.0.2.0/24".to_owned()], vec![]));
    assert!(ops.spare(ask("192.0.2.0/24", true)).await.unwrap().networks.is_empty());
    assert_eq!(ops.spare(ask("x", false)).await.unwrap_err().code, "bad_request");
    ops.did_not_reload(&["unknown directive \"x\"".to_owned()]);
    let status = ops.status().await.unwrap().judged();
    assert_eq!(status.state, Health::Degraded);
    assert!(status.problems[0].ends_with("unknown directive \"x\""), "{:?}", status.problems);
}

#[test]
fn a_list_comes_in_pages() {
    let all = || (0..5).collect::<Vec<_>>();
    assert_eq!(page(all(), None, Some(2)), (vec![0, 1], 5, Some(2)));
    assert_eq!(page(all(), Some(2), Some(2)), (vec![2, 3], 5, Some(4)));
    assert_eq!(page(all(), Some(4), Some(2)), (vec![4], 5, None));
    assert_eq!(page(all(), Some(u64::MAX), Some(u64::MAX)), (vec![], 5, None));
}

#[test]
fn only_a_fleet_that_is_there_can_miss_an_order() {
    let down = || Told::of(Some(memcached::Error::Down("a:1".into())));
    let words = "other gateposts were not told: memcached server a:1 is down";
    assert_eq!(down(), Told { fleet: false, problems: vec![words.to_owned()] });
    assert_eq!(Told::of(Some(memcached::Error::Off)), Told::default());
    assert!(Told::of(None).fleet);
    assert_eq!(Told::of(None).and(down()).and(down()), down());
}
