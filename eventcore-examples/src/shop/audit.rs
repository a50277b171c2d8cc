//! Does the log say what the input says, no more and no less?

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{
    Input, Purchase, Tier, Totals,
    books::{Books, Problems},
};

/// The purchases that the shop's rules refused: line and reason.
pub(crate) type Refused = BTreeMap<u32, String>;

/// Compares the books with the input, line by line and in sum, and says what they had to sum up to.
///
/// `wanted` is the part of the input that was to be replayed. A store may hold more of the same input, from another
/// run; all that it holds is checked.
pub(crate) fn audit(
    books: &Books,
    input: &Input,
    wanted: &[Purchase],
    refused: &Refused,
) -> (Problems, Totals) {
    let mut problems = books.problems.clone();
    let mut expected = Totals::default();
    for purchase in wanted.iter().filter(|p| !refused.contains_key(&p.line)) {
        expected.add(purchase.cds, purchase.cents);
        if !books.holds(purchase.line) {
            problems.note(|| format!("line {} of the input is not in the log", purchase.line));
        }
    }

    let wanted: HashSet<u32> = wanted.iter().map(|purchase| purchase.line).collect();
    let by_line: HashMap<u32, &Purchase> = input.purchases.iter().map(|p| (p.line, p)).collect();
    let mut entries: Vec<_> = books.entries.iter().collect();
    entries.sort_unstable_by_key(|(line, _)| **line);
    for (line, entry) in entries {
        let Some(&&purchase) = by_line.get(line) else {
            problems.note(|| format!("line {line} is in the log and not a purchase of the input"));
            continue;
        };
        if !wanted.contains(line) {
            expected.add(purchase.cds, purchase.cents);
        }
        let Purchase { customer, date, .. } = purchase;
        if entry.of_customer != Some(purchase) {
            problems.note(|| format!("line {line} is not what customer {customer}'s stream has"));
        }
        if entry.of_ledger != Some(purchase) {
            problems.note(|| format!("line {line} is not what the ledger of {date} has"));
        }
    }

    let log = books.figures.totals;
    if log != expected {
        problems.note(|| {
            format!(
                "the log sums up to {} purchases, {} CDs, {}; the input to {}, {}, {}",
                log.purchases, log.cds, log.cents, expected.purchases, expected.cds, expected.cents
            )
        });
    }
    for (id, account) in &books.figures.customers {
        let due = Tier::reached_by(account.totals.cents);
        if account.tier != due {
            let (tier, spent) = (account.tier, account.totals.cents);
            problems.note(|| format!("customer {id} is {tier} and by {spent} should be {due}"));
        }
    }
    (problems, expected)
}

#[cfg(test)]
mod tests {
    use eventcore::{
        prelude::*,
        store::{AppendBatch, ReadFrom},
    };
    use eventcore_memory::InMemoryEventStore;

    use super::*;
    use crate::shop::{
        Cents, CustomerEvent, CustomerId, CustomerStream, Date, InputId, LedgerEvent, LedgerStream,
        RecordPurchase, Source,
    };

    fn purchase(line: u32, customer: u32, dollars: u64) -> Purchase {
        Purchase {
            line,
            customer: CustomerId(customer),
            date: Date::from_digits("19970101").unwrap(),
            cds: 1,
            cents: Cents::dollars(dollars),
        }
    }

    fn input(purchases: &[Purchase]) -> Input {
        Input {
            source: Source::BuiltIn,
            id: InputId::of(b""),
            purchases: purchases.to_vec(),
            bad_lines: 0,
            first_bad: Vec::new(),
        }
    }

    async fn record(store: &InMemoryEventStore, purchases: &[Purchase]) {
        for purchase in purchases {
            execute(RecordPurchase::from(*purchase), store)
                .await
                .unwrap();
        }
    }

    /// Appends an event past all rules.
    async fn forge(store: &InMemoryEventStore, stream: StreamId, event: impl Event) {
        let read = store.read(&[ReadFrom::start(stream.clone())]).await;
        let mut batch = AppendBatch::builder();
        batch
            .expect(stream.clone(), read.unwrap().versions[0])
            .unwrap();
        batch.event(&stream, event.encode().unwrap()).unwrap();
        store.append(batch.build().unwrap()).await.unwrap();
    }

    async fn problems(store: &InMemoryEventStore, purchases: &[Purchase]) -> Vec<String> {
        let mut books = Books::default();
        books.catch_up(store).await.unwrap();
        let refused = Refused::new();
        audit(&books, &input(purchases), purchases, &refused)
            .0
            .first
    }

    #[tokio::test]
    async fn a_log_of_all_purchases_has_no_problem() {
        let purchases = [
            purchase(2, 1, 99),
            purchase(3, 2, 7),
            purchase(4, 1, 1),
            purchase(5, 2, 7),
        ];
        let store = InMemoryEventStore::new();
        record(&store, &purchases).await;
        assert_eq!(problems(&store, &purchases).await, [""; 0]);
    }

    #[tokio::test]
    async fn a_missing_purchase_is_named_and_the_sums_differ() {
        let purchases = [purchase(2, 1, 10), purchase(3, 2, 5)];
        let store = InMemoryEventStore::new();
        record(&store, &purchases[..1]).await;
        let expected = [
            "line 3 of the input is not in the log",
            "the log sums up to 1 purchases, 1 CDs, $10.00; the input to 2, 2, $15.00",
        ];
        assert_eq!(problems(&store, &purchases).await, expected);
    }

    #[tokio::test]
    async fn a_refused_purchase_is_not_missed() {
        let purchases = [purchase(2, 1, 10), purchase(3, 2, 5)];
        let store = InMemoryEventStore::new();
        record(&store, &purchases[..1]).await;
        let mut books = Books::default();
        books.catch_up(&store).await.unwrap();
        let refused = Refused::from([(3, "why".to_owned())]);
        let (problems, expected) = audit(&books, &input(&purchases), &purchases, &refused);
        assert_eq!((problems.count, expected.purchases), (0, 1));
    }

    #[tokio::test]
    async fn what_the_store_holds_beyond_the_wanted_part_is_checked_too() {
        let purchases = [purchase(2, 1, 10), purchase(3, 2, 5)];
        let store = InMemoryEventStore::new();
        record(&store, &purchases).await;
        let mut books = Books::default();
        books.catch_up(&store).await.unwrap();
        let (wanted, refused) = (&purchases[..1], Refused::new());
        let (problems, expected) = audit(&books, &input(&purchases), wanted, &refused);
        assert_eq!((problems.count, expected.purchases), (0, 2));
    }

    #[tokio::test]
    async fn a_purchase_of_another_price_or_of_nobody_is_found() {
        let store = InMemoryEventStore::new();
        record(&store, &[purchase(2, 1, 10), purchase(3, 2, 5)]).await;
        let expected = [
            "line 2 is not what customer 00001's stream has",
            "line 2 is not what the ledger of 1997-01-01 has",
            "line 3 is in the log and not a purchase of the input",
            "the log sums up to 2 purchases, 2 CDs, $15.00; the input to 1, 1, $11.00",
        ];
        assert_eq!(problems(&store, &[purchase(2, 1, 11)]).await, expected);
    }

    #[tokio::test]
    async fn half_a_purchase_a_second_one_a_gap_and_an_unearned_tier_are_found() {
        let only = purchase(2, 1, 10);
        let store = InMemoryEventStore::new();
        record(&store, &[only]).await;
        let Purchase {
            line,
            customer,
            date,
            cds,
            cents,
        } = only;
        let ledger = LedgerStream { date }.to_stream_id().unwrap();
        let sale = LedgerEvent::SaleRecorded {
            receipt: 3,
            line,
            customer,
            cds,
            cents,
        };
        forge(&store, ledger, sale).await;
        let stream = CustomerStream { id: customer }.to_stream_id().unwrap();
        let promoted = CustomerEvent::Promoted { tier: Tier::Gold };
        forge(&store, stream, promoted).await;
        let expected = [
            "line 2 is there twice, in the ledger of 1997-01-01",
            "receipt 3 follows receipt 1 in the ledger of 1997-01-01",
            "the log sums up to 2 purchases, 2 CDs, $20.00; the input to 1, 1, $10.00",
            "customer 00001 is gold and by $10.00 should be regular",
        ];
        assert_eq!(problems(&store, &[only]).await, expected);
    }
}
