//! Streams that a command learns of while it reads.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail loudly"
)]

#[path = "support/seed.rs"]
mod seed;
#[path = "support/spy.rs"]
mod spy;

use eventcore::{prelude::*, store::AppendBatch};

use self::{
    seed::{given, one_more, stream, texts},
    spy::Spy,
};

/// An order names products, a product may name a replacement, and so on.
#[derive(Clone, Debug, Serialize, Deserialize, Event)]
#[event(prefix = "order")]
enum OrderEvent {
    Placed { products: Vec<String> },
    Shipped { total: u32 },
}

#[derive(Default, Clone)]
struct Order {
    products: Vec<String>,
}

impl Fold for Order {
    type Event = OrderEvent;
    fn apply(&mut self, event: &StoredEvent<OrderEvent>) {
        if let OrderEvent::Placed { products } = event.data() {
            self.products.clone_from(products);
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize, Event)]
#[event(prefix = "product")]
enum ProductEvent {
    Priced { price: u32 },
    Replaced { by: String },
    Reserved,
}

#[derive(Default, Clone)]
struct Product {
    price: u32,
    replaced_by: Option<String>,
}

impl Fold for Product {
    type Event = ProductEvent;
    fn apply(&mut self, event: &StoredEvent<ProductEvent>) {
        match event.data() {
            ProductEvent::Priced { price } => self.price = *price,
            ProductEvent::Replaced { by } => self.replaced_by = Some(by.clone()),
            ProductEvent::Reserved => {}
        }
    }
}

#[derive(Command)]
#[discover(products, fold = Product)]
#[discover(tariffs, fold = Product, read_only)]
struct Ship {
    #[stream(fold = Order)]
    order: StreamId,
    /// Asked for in `handle` without being discovered.
    ask_for: Option<&'static str>,
    /// Discovered as a tariff in the first round.
    tariff: Option<&'static str>,
}

impl CommandLogic for Ship {
    fn discover(
        &self,
        streams: &Streams<Self>,
        found: &mut Discovery<Self>,
    ) -> Result<(), CommandError> {
        for product in &streams.order.state().products {
            found.read(&streams.products, product.as_str())?;
        }
        for product in &streams.products {
            if let Some(by) = &product.state().replaced_by {
                found.read(&streams.products, by.as_str())?;
            }
        }
        if let Some(tariff) = self.tariff {
            found.read(&streams.tariffs, tariff)?;
        }
        Ok(())
    }

    fn handle(
        &self,
        streams: &Streams<Self>,
        events: &mut NewEvents<Self>,
    ) -> Result<(), CommandError> {
        let mut total = 0;
        for tariff in &streams.tariffs {
            total += tariff.state().price;
        }
        for product in &streams.order.state().products {
            let mut product = streams.products.get(product.as_str())?;
            while let Some(by) = &product.state().replaced_by {
                product = streams.products.get(by.as_str())?;
            }
            total += product.state().price;
            emit!(events, product => ProductEvent::Reserved);
        }
        if let Some(unknown) = self.ask_for {
            streams.products.get(unknown)?;
        }
        emit!(events, streams.order => OrderEvent::Shipped { total });
        Ok(())
    }
}

fn ship() -> Ship {
    Ship {
        order: stream("order"),
        ask_for: None,
        tariff: None,
    }
}

async fn placed(products: &[&str]) -> Spy {
    let store = Spy::default();
    let products = products.iter().map(ToString::to_string).collect();
    given(&store.inner, "order", OrderEvent::Placed { products }).await;
    store
}

async fn priced(store: &Spy, product: &str, price: u32) {
    given(&store.inner, product, ProductEvent::Priced { price }).await;
}

async fn replaced(store: &Spy, product: &str, by: &str) {
    let by = by.to_owned();
    given(&store.inner, product, ProductEvent::Replaced { by }).await;
}

async fn another_price(store: &Spy, product: &str, price: u32) -> AppendBatch {
    let event = ProductEvent::Priced { price }.encode().unwrap();
    one_more(&store.inner, product, event).await
}

async fn total(store: &Spy) -> String {
    texts(&store.inner, "order").await.pop().unwrap()
}

#[tokio::test]
async fn what_a_stream_names_is_read_and_may_be_written() {
    let store = placed(&["cd", "lp"]).await;
    priced(&store, "cd", 10).await;
    priced(&store, "lp", 20).await;
    let receipt = execute(ship(), &store).await.unwrap();
    assert_eq!(total(&store).await, r#"order.shipped {"total":30}"#);
    let streams: Vec<_> = receipt.events.iter().map(|e| e.stream.as_str()).collect();
    assert_eq!(streams, ["cd", "lp", "order"]);
    assert_eq!(
        texts(&store.inner, "cd").await,
        [r#"product.priced {"price":10}"#, "product.reserved {}"]
    );
}

#[tokio::test]
async fn all_streams_known_at_a_step_are_read_in_one_call() {
    let store = placed(&["cd", "lp"]).await;
    replaced(&store, "cd", "cd2").await;
    replaced(&store, "cd2", "cd3").await;
    priced(&store, "cd3", 5).await;
    priced(&store, "lp", 20).await;
    execute(ship(), &store).await.unwrap();
    assert_eq!(total(&store).await, r#"order.shipped {"total":25}"#);
    let reads: Vec<Vec<String>> = vec![
        vec!["order".into()],
        vec!["order".into(), "cd".into(), "lp".into()],
        vec!["order".into(), "cd".into(), "lp".into(), "cd2".into()],
        vec![
            "order".into(),
            "cd".into(),
            "lp".into(),
            "cd2".into(),
            "cd3".into(),
        ],
    ];
    // The earlier ones take part again only to show that they have not moved.
    assert_eq!(store.reads(), reads);
}

#[tokio::test]
async fn the_events_of_each_stream_are_read_exactly_once() {
    let store = placed(&["cd", "lp"]).await;
    replaced(&store, "cd", "cd2").await;
    priced(&store, "cd2", 5).await;
    priced(&store, "lp", 20).await;
    priced(&store, "lp", 21).await;
    execute(ship(), &store).await.unwrap();
    assert_eq!(
        store.delivered(),
        [vec!["order"], vec!["cd", "lp", "lp"], vec!["cd2"]]
    );
}

#[tokio::test]
async fn a_command_that_discovers_nothing_reads_once() {
    let store = placed(&[]).await;
    execute(ship(), &store).await.unwrap();
    assert_eq!(store.reads().len(), 1);
}

#[tokio::test]
async fn a_stream_named_twice_in_one_place_is_one_stream() {
    let store = placed(&["cd", "lp"]).await;
    replaced(&store, "cd", "lp").await;
    priced(&store, "lp", 20).await;
    let receipt = execute(ship(), &store).await.unwrap();
    assert_eq!(total(&store).await, r#"order.shipped {"total":40}"#);
    assert_eq!(receipt.version_of(&stream("lp")).unwrap().get(), 3);
}

#[tokio::test]
async fn a_read_only_place_takes_part_and_is_guarded() {
    let store = placed(&["cd"]).await;
    priced(&store, "cd", 10).await;
    priced(&store, "tariff", 1).await;
    let dearer = another_price(&store, "tariff", 2).await;
    store.sneak_in_before_append(1, dearer);
    let command = Ship {
        tariff: Some("tariff"),
        ..ship()
    };
    let receipt = execute(command, &store).await.unwrap();
    assert_eq!(receipt.attempts, 2);
    assert_eq!(total(&store).await, r#"order.shipped {"total":12}"#);
}

#[tokio::test]
async fn a_discovered_stream_is_guarded_at_commit() {
    let store = placed(&["cd"]).await;
    priced(&store, "cd", 10).await;
    let dearer = another_price(&store, "cd", 11).await;
    store.sneak_in_before_append(1, dearer);
    let receipt = execute(ship(), &store).await.unwrap();
    assert_eq!(receipt.attempts, 2);
    assert_eq!(total(&store).await, r#"order.shipped {"total":11}"#);
}

#[tokio::test]
async fn a_discovered_stream_that_is_still_empty_is_guarded_too() {
    let store = placed(&["cd"]).await;
    let first = another_price(&store, "cd", 11).await;
    store.sneak_in_before_append(1, first);
    let receipt = execute(ship(), &store).await.unwrap();
    assert_eq!(receipt.attempts, 2);
    assert_eq!(total(&store).await, r#"order.shipped {"total":11}"#);
}

#[tokio::test]
async fn a_stream_that_moves_between_two_rounds_starts_the_attempt_again() {
    let store = placed(&["cd"]).await;
    priced(&store, "cd", 10).await;
    priced(&store, "lp", 20).await;
    let products = vec!["lp".to_owned()];
    let changed = OrderEvent::Placed { products }.encode().unwrap();
    let changed = one_more(&store.inner, "order", changed).await;
    store.sneak_in_before_read(2, changed);

    let receipt = execute(ship(), &store).await.unwrap();
    assert_eq!(receipt.attempts, 2);
    assert_eq!(total(&store).await, r#"order.shipped {"total":20}"#);
    assert_eq!(store.appends(), 1, "the torn view was never decided on");
}

#[tokio::test]
async fn a_torn_view_never_rejects() {
    let store = placed(&["cd"]).await;
    let products = vec![];
    let changed = OrderEvent::Placed { products }.encode().unwrap();
    let changed = one_more(&store.inner, "order", changed).await;
    store.sneak_in_before_read(2, changed);
    let once = RetryPolicy::none();
    let error = execute(ship(), &store).retry(once).await.unwrap_err();
    assert!(error.is_conflict(), "{error}");
    let source = std::error::Error::source(&error).unwrap();
    assert_eq!(
        source.to_string(),
        "version conflict: stream `order` expected at 1, is at 2"
    );
}

#[tokio::test]
async fn a_stream_that_was_not_discovered_cannot_be_looked_up() {
    let store = placed(&["cd"]).await;
    for (unknown, message) in [
        ("lp", "stream `lp` was not discovered as one of `products`"),
        (
            "order",
            "stream `order` was not discovered as one of `products`",
        ),
        (" ", "`products` does not name a stream"),
    ] {
        let command = Ship {
            ask_for: Some(unknown),
            ..ship()
        };
        let error = execute(command, &store).await.unwrap_err();
        assert_eq!(error.to_string(), message);
    }
    assert_eq!(store.appends(), 0);
}

#[tokio::test]
async fn a_declared_stream_cannot_be_discovered_again() {
    let store = placed(&["order"]).await;
    let error = execute(ship(), &store).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "stream `order` is named twice, by `order` and by `products`"
    );
}

#[tokio::test]
async fn two_places_cannot_share_a_stream() {
    let store = placed(&["cd"]).await;
    let command = Ship {
        tariff: Some("cd"),
        ..ship()
    };
    let error = execute(command, &store).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "stream `cd` is named twice, by `products` and by `tariffs`"
    );
}

#[tokio::test]
async fn discovery_ends_at_a_limit_that_can_be_set() {
    let store = placed(&["p:0"]).await;
    for number in 0..20 {
        let (product, by) = (format!("p:{number}"), format!("p:{}", number + 1));
        replaced(&store, &product, &by).await;
    }
    let error = execute(ship(), &store).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "discovery did not end after 8 rounds, the last one named stream `p:8`"
    );
    let exactly = execute(ship(), &store).discovery_limit(21).await;
    assert_eq!(exactly.unwrap().attempts, 1);
    let error = execute(ship(), &store).discovery_limit(20).await;
    assert!(
        matches!(error, Err(CommandError::DiscoveryTooDeep { limit: 20, .. })),
        "{error:?}"
    );
}
