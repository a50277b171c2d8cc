//! The ordinary course of things.

use std::time::Duration;

use eventcore::{
    GlobalPosition,
    projection::{
        DocumentQuery, Documents, ProjectionError, ProjectionState, ProjectionStore, project,
        run_projection,
    },
    store::PageSize,
};

use crate::{
    counters::{count, store},
    models::{Diary, SOON, Sums, sum, views},
};

#[tokio::test]
async fn a_read_model_holds_what_was_there_and_what_comes() {
    let (store, views) = (store(), views());
    count(&store, "counter:1", &[1, 2]).await;
    let running = project(Sums::<1>, &store, &views).start().unwrap();
    let last = count(&store, "counter:1", &[3]).await;
    running.wait_until(last, SOON).await.unwrap();
    let found = sum(&views, "counter:1").await.unwrap();
    assert_eq!((found.sum, found.versions), (6, vec![1, 2, 3]));
    running.stop().await.unwrap();
}

#[tokio::test]
async fn it_goes_on_where_it_was_stopped() {
    let (store, views) = (store(), views());
    for round in 0..3 {
        let last = count(&store, "counter:1", &[1, 1]).await;
        let running = project(Sums::<1>, &store, &views).start().unwrap();
        running.wait_until(last, SOON).await.unwrap();
        running.stop().await.unwrap();
        assert_eq!(sum(&views, "counter:1").await.unwrap().sum, 2 * (round + 1));
    }
}

#[tokio::test]
async fn many_pages_come_to_the_same_as_one() {
    let store = store();
    for number in 0..50 {
        count(&store, &format!("counter:{}", number % 7), &[number, 1]).await;
    }
    let mut results = Vec::new();
    for size in [1, 3, 1000] {
        let views = views();
        let running = project(Sums::<1>, &store, &views)
            .page_size(PageSize::try_new(size).unwrap())
            .start()
            .unwrap();
        running.wait_until_live(SOON).await.unwrap();
        running.stop().await.unwrap();
        let sums = Documents::<Sums, _>::new(&views).unwrap();
        results.push(sums.find(&DocumentQuery::all()).await.unwrap());
    }
    assert_eq!(results[0].len(), 7);
    assert_eq!(results[0], results[1]);
    assert_eq!(results[0], results[2]);
}

#[tokio::test]
async fn events_that_do_not_concern_it_move_it_on() {
    let (store, views) = (store(), views());
    count(&store, "counter:1", &[1]).await;
    let running = project(Sums::<1>, &store, &views).start().unwrap();
    running.wait_until_live(SOON).await.unwrap();
    crate::seed::given_stored(&store, "other:1", crate::seed::stored("other.thing", "{}")).await;
    running
        .wait_until(GlobalPosition::try_new(2).unwrap(), SOON)
        .await
        .unwrap();
    running.stop().await.unwrap();
    let name = "sums".parse().unwrap();
    let standings = views.standings(&name).await.unwrap();
    assert_eq!(standings[0].checkpoint.position.get(), 2);
    assert_eq!(standings[0].checkpoint.witness.unwrap().position.get(), 1);
}

#[tokio::test]
async fn waiting_for_what_never_comes_ends_in_time_and_says_where_it_is() {
    let (store, views) = (store(), views());
    count(&store, "counter:1", &[1]).await;
    let running = project(Sums::<1>, &store, &views).start().unwrap();
    let wanted = GlobalPosition::try_new(5).unwrap();
    let error = running
        .wait_until(wanted, Duration::from_millis(50))
        .await
        .unwrap_err();
    assert!(matches!(error, ProjectionError::TimedOut { .. }), "{error}");
    assert!(error.to_string().contains("sums v1"), "{error}");
}

#[tokio::test]
async fn the_status_tells_how_far_it_is() {
    let (store, views) = (store(), views());
    let last = count(&store, "counter:1", &[1; 30]).await;
    let running = project(Sums::<1>, &store, &views)
        .label("here")
        .start()
        .unwrap();
    running.wait_until_live(SOON).await.unwrap();
    let status = running.status();
    let partition = &status.partitions[0];
    assert!(status.is_live());
    assert_eq!(
        (status.position(), partition.log_end, partition.behind()),
        (last, last, 0)
    );
    assert_eq!(partition.state, ProjectionState::Live);
    assert_eq!(partition.leader.as_ref().unwrap().label, "here");
    assert!(partition.epoch > 0);
    assert!(partition.rate > 0.0);
    assert_eq!(partition.time_left(), Some(Duration::ZERO));
    running.stop().await.unwrap();
}

#[tokio::test]
async fn dropping_the_handle_stops_it_and_frees_the_lease() {
    let (store, views) = (store(), views());
    let running = project(Sums::<1>, &store, &views).start().unwrap();
    running.wait_until_live(SOON).await.unwrap();
    drop(running);
    let name = "sums".parse().unwrap();
    for _ in 0..1000 {
        if views.standings(&name).await.unwrap()[0].leader.is_none() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it still leads");
}

#[tokio::test]
async fn a_projection_that_writes_for_itself_sees_each_event_once_and_in_order() {
    let (store, views) = (store(), views());
    let diary = Diary::default();
    let running = run_projection(diary.clone(), &store, &views)
        .start()
        .unwrap();
    for _ in 0..20 {
        count(&store, "counter:1", &[1, 2]).await;
    }
    running
        .wait_until(GlobalPosition::try_new(40).unwrap(), SOON)
        .await
        .unwrap();
    running.stop().await.unwrap();
    let expected: Vec<String> = (1..=40)
        .map(|version| format!("counter:1@{version}"))
        .collect();
    assert_eq!(diary.pages(), expected);
}

#[tokio::test]
async fn a_name_that_is_none_is_refused_at_once() {
    struct Nameless;
    impl eventcore::projection::ReadModel for Nameless {
        type Event = crate::counters::Counted;
        type Document = ();
        const NAME: &'static str = "No Name";
        fn keys(
            &self,
            _: &eventcore::StoredEvent<Self::Event>,
        ) -> impl IntoIterator<Item = eventcore::projection::DocumentKey> {
            None
        }
        fn apply(
            &self,
            _: &eventcore::projection::DocumentKey,
            _: &mut Option<()>,
            _: &eventcore::StoredEvent<Self::Event>,
        ) {
        }
    }
    let error = project(Nameless, &store(), &views()).start().unwrap_err();
    assert!(error.to_string().contains("No Name"), "{error}");
}
