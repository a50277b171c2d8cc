//! The rules of the shop, as given, when and then.
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use eventcore_examples::shop::{
    Cents, CustomerEvent, CustomerId, CustomerStream, Date, LedgerEvent, LedgerStream,
    RecordPurchase, Refusal, Tier,
};
use eventcore_memory::InMemoryEventStore;
use eventcore_testing::scenario::{Scenario, event};

const ANN: CustomerStream = CustomerStream { id: CustomerId(1) };

fn shop() -> Scenario<InMemoryEventStore> {
    Scenario::on(InMemoryEventStore::new())
}

fn day(text: &str) -> Date {
    text.parse().unwrap()
}

fn ledger(date: &str) -> LedgerStream {
    LedgerStream { date: day(date) }
}

/// Ann has bought.
fn bought(date: &str, cds: u32, cents: u64) -> CustomerEvent {
    CustomerEvent::Purchased {
        line: 2,
        date: day(date),
        cds,
        cents: Cents::new(cents),
        points: 0,
    }
}

/// Ann buys.
fn buy(date: &str, cds: u32, cents: u64) -> RecordPurchase {
    RecordPurchase {
        customer: ANN,
        ledger: ledger(date),
        line: 7,
        cds,
        cents: Cents::new(cents),
    }
}

fn purchased(date: &str, cds: u32, cents: u64, points: u64) -> CustomerEvent {
    CustomerEvent::Purchased {
        line: 7,
        date: day(date),
        cds,
        cents: Cents::new(cents),
        points,
    }
}

fn sale(receipt: u32, cds: u32, cents: u64) -> LedgerEvent {
    LedgerEvent::SaleRecorded {
        receipt,
        line: 7,
        customer: ANN.id,
        cds,
        cents: Cents::new(cents),
    }
}

#[tokio::test]
async fn a_purchase_goes_to_the_customer_and_to_the_ledger_of_the_day() {
    shop().when(buy("1997-01-12", 5, 7_700)).await.then([
        event(ANN, purchased("1997-01-12", 5, 7_700, 77)),
        event(ledger("1997-01-12"), sale(1, 5, 7_700)),
    ]);
}

#[tokio::test]
async fn receipts_of_a_day_are_numbered_on() {
    let other = LedgerEvent::SaleRecorded {
        receipt: 41,
        line: 2,
        customer: CustomerId(9),
        cds: 1,
        cents: Cents::ZERO,
    };
    shop()
        .given(ledger("1997-01-12"), [other])
        .when(buy("1997-01-12", 1, 0))
        .await
        .then([
            event(ANN, purchased("1997-01-12", 1, 0, 0)),
            event(ledger("1997-01-12"), sale(42, 1, 0)),
        ]);
}

#[tokio::test]
async fn the_purchase_that_reaches_a_hundred_dollars_makes_silver() {
    shop()
        .given(ANN, [bought("1997-01-01", 1, 9_000)])
        .when(buy("1997-01-12", 1, 1_000))
        .await
        .then([
            event(ANN, purchased("1997-01-12", 1, 1_000, 10)),
            event(ANN, CustomerEvent::Promoted { tier: Tier::Silver }),
            event(ledger("1997-01-12"), sale(1, 1, 1_000)),
        ]);
}

#[tokio::test]
async fn one_large_purchase_makes_gold_at_once() {
    shop().when(buy("1997-01-12", 9, 50_000)).await.then([
        event(ANN, purchased("1997-01-12", 9, 50_000, 500)),
        event(ANN, CustomerEvent::Promoted { tier: Tier::Gold }),
        event(ledger("1997-01-12"), sale(1, 9, 50_000)),
    ]);
}

#[tokio::test]
async fn a_silver_customer_earns_twice_the_points_for_whole_dollars() {
    let silver = CustomerEvent::Promoted { tier: Tier::Silver };
    shop()
        .given(ANN, [bought("1997-01-01", 1, 10_000), silver])
        .when(buy("1997-01-12", 1, 1_099))
        .await
        .then([
            event(ANN, purchased("1997-01-12", 1, 1_099, 20)),
            event(ledger("1997-01-12"), sale(1, 1, 1_099)),
        ]);
}

#[tokio::test]
async fn history_is_not_written_backwards() {
    shop()
        .given(ANN, [bought("1997-01-12", 1, 100)])
        .when(buy("1997-01-11", 1, 100))
        .await
        .then_rejected_with(|refusal: &Refusal| {
            *refusal
                == Refusal::OutOfOrder {
                    date: day("1997-01-11"),
                    last_visit: day("1997-01-12"),
                }
        });
}

#[tokio::test]
async fn a_customer_may_come_twice_a_day_for_a_hundred_cds_in_all() {
    shop()
        .given(ANN, [bought("1997-01-12", 60, 100)])
        .when(buy("1997-01-12", 40, 100))
        .await
        .then([
            event(ANN, purchased("1997-01-12", 40, 100, 1)),
            event(ledger("1997-01-12"), sale(1, 40, 100)),
        ]);
}

#[tokio::test]
async fn more_than_a_hundred_cds_a_day_are_for_resellers() {
    let too_many = |wanted, already| {
        move |refusal: &Refusal| *refusal == Refusal::TooManyCds { wanted, already }
    };
    shop()
        .given(ANN, [bought("1997-01-12", 60, 100)])
        .when(buy("1997-01-12", 41, 100))
        .await
        .then_rejected_with(too_many(41, 60))
        .when(buy("1997-01-13", u32::MAX, 100))
        .await
        .then_rejected_with(too_many(u32::MAX, 0));
}

#[tokio::test]
async fn a_new_day_counts_from_zero() {
    shop()
        .given(ANN, [bought("1997-01-12", 100, 100)])
        .when(buy("1997-01-13", 100, 100))
        .await
        .then([
            event(ANN, purchased("1997-01-13", 100, 100, 1)),
            event(ledger("1997-01-13"), sale(1, 100, 100)),
        ]);
}

#[tokio::test]
async fn no_cds_are_no_purchase() {
    shop()
        .when(buy("1997-01-12", 0, 100))
        .await
        .then_rejected_with(|refusal: &Refusal| *refusal == Refusal::NoCds);
}

#[tokio::test]
async fn ten_thousand_dollars_are_the_most() {
    shop()
        .when(buy("1997-01-12", 1, 1_000_001))
        .await
        .then_rejected("$10,000.01 is more than a purchase may cost, $10,000.00");
}
