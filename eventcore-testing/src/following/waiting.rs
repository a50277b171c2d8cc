//! A caller can wait for its own write.

use std::time::Duration;

use eventcore::projection::{ProjectionError, ProjectionStore};

use super::{
    Harness,
    kit::{SOON, Writers, stream, tallies, tally, walk},
};

/// Whoever waits for the position of its receipt finds what it wrote, through its own handles: who leads and who stands
/// by, through the handles of the writer and through others.
pub async fn a_caller_reads_its_own_write<V: ProjectionStore>(harness: Harness<V>) {
    let (here, there) = (harness.handles(), harness.another().await);
    let writers = Writers::start(
        std::slice::from_ref(&here.store),
        3,
        Duration::from_millis(10),
    );
    let ttl = Duration::from_secs(30);
    let first = tally::<1, V>(&here.store, &here.views, ttl);
    first.wait_until_live(SOON).await.unwrap();
    let second = tally::<1, V>(&there.store, &there.views, ttl);
    for number in 1..=15_u64 {
        let mine = if number % 2 == 0 { &here } else { &there };
        let position = walk(&mine.store, "mine:1", &[7]).await;
        let mut ways = [(&first, &here), (&second, &there), (&first, &there)];
        // Who stands by is asked first in every other round.
        ways.rotate_left(usize::from(number % 2 == 0));
        for (running, handles) in ways {
            running.wait_until(position, SOON).await.unwrap();
            let found = tallies(&*handles.views).await;
            let found = found
                .get(stream("mine:1").as_str())
                .map_or(0, |tally| tally.count);
            assert_eq!(
                found, number,
                "position {position} was waited for, and its event is not there"
            );
        }
    }
    writers.stop().await;
    for running in [first, second] {
        running.stop().await.unwrap();
    }
}

/// A position that does not exist is waited for as long as was said.
pub async fn who_waits_too_long_is_told_where_it_is<V: ProjectionStore>(harness: Harness<V>) {
    let (here, there) = (harness.handles(), harness.another().await);
    let ttl = Duration::from_secs(30);
    let first = tally::<1, V>(&here.store, &here.views, ttl);
    first.wait_until_live(SOON).await.unwrap();
    let second = tally::<1, V>(&there.store, &there.views, ttl);
    let end = walk(&here.store, "walk:1", &[1, 2]).await;
    for running in [&first, &second] {
        running.wait_until(end, SOON).await.unwrap();
        let late = running
            .wait_until(end.advanced(1), Duration::from_millis(100))
            .await;
        assert!(
            matches!(&late, Err(ProjectionError::TimedOut { wanted, reached, .. })
                if (*wanted, *reached) == (end.advanced(1), end)),
            "it is at {end}, and not at the next position: {late:?}"
        );
    }
    for running in [first, second] {
        running.stop().await.unwrap();
    }
}
