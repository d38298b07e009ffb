//! An account by all its names.

use super::super::admin::Target;
use super::*;

/// What becomes of an attempt whose lookup says that `name` is `account`'s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Got {
    In,
    Failed,
    /// Not put to the test, and told the same.
    Unheard,
    Denied(By),
}

async fn attempt(node: &Node, ip: &str, (name, account): (&str, &str), is_right: bool) -> Got {
    let mut entry = match node.before(ip, name).await {
        Ok(entry) => entry,
        Err(denied) => return Got::Denied(denied.by),
    };
    assert!(entry.delay().is_zero());
    entry.begin();
    entry.shown();
    let may = entry.hold_to(account.as_bytes()).await;
    match may && is_right {
        true => entry.succeeded().await.unwrap(),
        false => drop(entry.failed(RefusedBy::Us).await),
    }
    settle().await;
    match (may, is_right) {
        (false, _) => Got::Unheard,
        (true, true) => Got::In,
        (true, false) => Got::Failed,
    }
}

const FEW: &str = "
    login_failures_address off; login_failures_prefix off;
    login_failures_user 8/60s free=2 delay=0s;
";
const ME: &str = "x@d.test";

fn ip(n: usize) -> String {
    format!("192.0.2.{n}")
}

#[tokio::test(start_paused = true)]
async fn aliases_of_an_account_are_no_more_guesses() {
    for cache in [Cache::off(), Cache::memory()] {
        let node = Node::new(FEW, &cache);
        let mut tested = 0;
        for guess in 0..40 {
            let alias = format!("alias{}@other.test", guess % 10);
            let got = attempt(&node, &ip(guess), (&alias, "X@d.test"), false).await;
            tested += u32::from(got == Got::Failed);
        }
        assert_eq!(tested, 8);
        // Another account has its own count, and the names that are nobody's have theirs.
        assert_eq!(attempt(&node, &ip(9), ("y", "y@d.test"), true).await, Got::In);
        // Until the time is over.
        tokio::time::sleep(61 * SECOND).await;
        assert_eq!(attempt(&node, &ip(9), ("alias1@other.test", ME), true).await, Got::In);
    }
}

#[tokio::test(start_paused = true)]
async fn aliases_are_no_more_guesses_at_many_nodes() {
    let cache = Cache::memory();
    let nodes = [Node::new(FEW, &cache), Node::new(FEW, &cache)];
    let mut tested = 0;
    for guess in 0..40 {
        let alias = format!("alias{guess}");
        let got = attempt(&nodes[guess % 2], &ip(guess), (&alias, ME), false).await;
        tested += u32::from(got == Got::Failed);
    }
    assert_eq!(tested, 8);
}

#[tokio::test(start_paused = true)]
async fn an_accounts_count_is_seen_by_no_name() {
    // Whether a name was counted to an account before changes nothing in what it hears: as often as
    // one that is nobody's it fails, and is then refused by its own count.
    let node = Node::new(FEW, &Cache::off());
    for guess in 0..8 {
        attempt(&node, &ip(guess), ("alias", ME), false).await;
    }
    for guess in 10..18 {
        let got = attempt(&node, &ip(guess), (ME, ME), true).await;
        assert_eq!(got, Got::Unheard, "as a wrong password");
    }
    assert_eq!(attempt(&node, &ip(19), (ME, ME), true).await, Got::Denied(By::User));
    assert_eq!(node.decisions("account", "deny"), 8);
    assert_eq!(node.decisions("account", "delay"), 0);
}

#[tokio::test(start_paused = true)]
async fn guesses_by_aliases_keep_nobody_out_where_he_is_known() {
    for cache in [Cache::off(), Cache::memory()] {
        let node = Node::new(FEW, &cache);
        assert_eq!(attempt(&node, &ip(200), ("mine", ME), true).await, Got::In);
        for guess in 0..30 {
            let alias = format!("alias{}", guess % 10);
            attempt(&node, &ip(guess), (&alias, ME), false).await;
        }
        // By the name that he has logged in by, by the account's own, and by another alias.
        for name in ["mine", ME, "third"] {
            assert_eq!(attempt(&node, &ip(200), (name, ME), true).await, Got::In, "{name}");
        }
        assert_eq!(attempt(&node, &ip(201), ("third", ME), true).await, Got::Unheard);
    }
}

#[tokio::test(start_paused = true)]
async fn a_hundred_guesses_at_once_by_aliases_are_no_more() {
    let node = Arc::new(Node::new(FEW, &Cache::off()));
    let mut all = tokio::task::JoinSet::new();
    for guess in 0..100 {
        let node = Arc::clone(&node);
        all.spawn(async move {
            let mut entry = node.before(&ip(guess), &format!("alias{guess}")).await.unwrap();
            entry.begin();
            let may = entry.hold_to(ME.as_bytes()).await;
            if may {
                tokio::time::sleep(SECOND).await;
            }
            entry.failed(RefusedBy::Upstream).await;
            may
        });
    }
    let tested = all.join_all().await.into_iter().filter(|tested| *tested).count();
    assert_eq!(tested, 8);
}

#[tokio::test(start_paused = true)]
async fn a_slip_by_an_alias_is_taken_back_with_the_login() {
    let node = Node::new(FEW, &Cache::off());
    for _ in 0..5 {
        for _ in 0..3 {
            assert_eq!(attempt(&node, &ip(1), ("alias", ME), false).await, Got::Failed);
        }
        assert_eq!(attempt(&node, &ip(1), ("alias", ME), true).await, Got::In);
    }
    // Who gives up before anybody is asked has failed nothing.
    for _ in 0..20 {
        let entry = node.before(&ip(2), "another").await.unwrap();
        assert!(entry.hold_to(ME.as_bytes()).await);
        entry.unknown();
    }
    assert_eq!(attempt(&node, &ip(2), ("another", ME), true).await, Got::In);
}

#[tokio::test(start_paused = true)]
async fn an_admin_forgives_an_account() {
    let node = Node::new(FEW, &Cache::off());
    for guess in 0..9 {
        attempt(&node, &ip(guess), (&format!("alias{guess}"), ME), false).await;
    }
    assert_eq!(attempt(&node, &ip(99), ("z", ME), true).await, Got::Unheard);
    let kinds: Vec<_> = node.ledger.status(99).iter().map(|one| one.kind).collect();
    assert!(kinds.contains(&"account"), "{kinds:?}");
    node.ledger.forgive(&Target::User(ME.to_owned())).await;
    assert_eq!(attempt(&node, &ip(99), ("z", ME), true).await, Got::In);
}
