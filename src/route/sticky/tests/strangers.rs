//! Whoever has not been let in changes nothing.

use super::*;

async fn said(cache: &Cache, user: &str) -> Option<String> {
    let value = cache.get(&lease::key(MAIL, user)).await.unwrap()?;
    Some(String::from_utf8(value).unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_wrong_password_moves_no_lease_and_ends_no_session() {
    let cache = Cache::memory();
    let [mut one, mut two] = fleet(&cache, true);
    let user = user_at("a");
    one.log_in(&user).await;
    two.is("a", Stand::Shut);
    for _ in 0..40 {
        let (to, how) = two.place(&user).await.unwrap();
        assert!(to != "a" && how == How::Moved);
        assert_eq!(said(&cache, &user).await.as_deref(), Some("a"));
        wait(LEASE / 20).await;
    }
    assert_eq!(one.end_the_kicked(), 0);
    assert_eq!(one.place(&user).await, Some(("a", How::Local)));
    // The right one does.
    let placed = two.placed(&user).await.unwrap();
    two.let_in(&user, &placed).await;
    assert_eq!(said(&cache, &user).await.as_deref(), Some(&*placed.server));
    wait(LEASE / 3 + SECOND).await;
    assert_eq!(one.end_the_kicked(), 1);
}

#[tokio::test(start_paused = true)]
async fn whoever_was_not_let_in_keeps_a_place_for_half_a_minute_at_most() {
    let cache = Cache::memory();
    let [mut one, mut two] = fleet(&cache, true);
    let user = user_at("a");
    one.is("a", Stand::Shut);
    let (reserved, how) = one.place(&user).await.unwrap();
    assert!(reserved != "a" && how == How::First);
    assert_eq!(said(&cache, &user).await, Some(format!("?{reserved}")));
    let leased = two.sticky.where_is(&user).await.leases.remove(0).server;
    assert_eq!(leased, None, "nobody is there yet");
    // Two who are placed at once agree, and neither lengthens it.
    wait(RESERVATION - SECOND).await;
    assert_eq!(two.place(&user).await, Some((reserved, How::Lease)));
    wait(2 * SECOND).await;
    assert_eq!(said(&cache, &user).await, None);

    // Whoever is let in has it for its full time, however long that took.
    let placed = two.placed(&user).await.unwrap();
    wait(2 * RESERVATION).await;
    two.let_in(&user, &placed).await;
    two.log_off(&user);
    wait(LEASE - SECOND).await;
    assert_eq!(said(&cache, &user).await.as_deref(), Some("a"));
}

#[tokio::test(start_paused = true)]
async fn a_session_goes_before_a_reservation() {
    let cache = Cache::memory();
    let [mut one, two] = fleet(&cache, true);
    let user = user_at("a");
    one.is("a", Stand::Shut);
    let (at, _) = one.log_in(&user).await;
    // The cache has lost the lease, and a stranger comes before it is renewed.
    cache.delete(&lease::key(MAIL, &user)).await.unwrap();
    assert_eq!(two.place(&user).await, Some(("a", How::First)));
    wait(LEASE / 3 + SECOND).await;
    assert_eq!(one.end_the_kicked(), 0);
    assert_eq!(two.place(&user).await, Some((at, How::Lease)));
}

#[tokio::test(start_paused = true)]
async fn of_two_who_are_let_in_the_first_decides() {
    let cache = Cache::memory();
    let [mut one, mut two] = fleet(&cache, true);
    let user = user_at("a");
    one.log_in(&user).await;
    one.log_off(&user);
    // Each calls down what the other takes.
    one.is("a", Stand::Shut);
    one.is("b", Stand::Shut);
    two.is("a", Stand::Shut);
    two.is("c", Stand::Shut);
    let (first, second) = (one.placed(&user).await.unwrap(), two.placed(&user).await.unwrap());
    two.let_in(&user, &second).await;
    one.let_in(&user, &first).await;
    assert_eq!(said(&cache, &user).await.as_deref(), Some("b"));
    wait(LEASE / 3 + SECOND).await;
    assert_eq!((one.end_the_kicked(), two.end_the_kicked()), (1, 0));
}
