//! Which purchase may start next, when many are on their way at once.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    slice,
};

use super::{CustomerId, Purchase};

/// How many purchases may wait for their customer while later ones of others go ahead.
const WAITING: usize = 1024;

/// Hands out purchases in order, but never two of one customer at the same time.
///
/// What a customer's purchase amounts to depends on those before it, and two tasks on their way finish in any order.
/// That they all want the same ledger is no reason to hold any of them back: it takes them in whatever order they come.
#[derive(Debug)]
pub(crate) struct Schedule<'p> {
    upcoming: slice::Iter<'p, Purchase>,
    /// Customers with a purchase on its way, and what waits for it.
    busy: HashMap<CustomerId, VecDeque<&'p Purchase>>,
    /// Purchases that have waited and may start; their customers count as busy.
    ready: VecDeque<&'p Purchase>,
    waiting: usize,
}

impl<'p> Schedule<'p> {
    pub(crate) fn new(purchases: &'p [Purchase]) -> Self {
        Self {
            upcoming: purchases.iter(),
            busy: HashMap::new(),
            ready: VecDeque::new(),
            waiting: 0,
        }
    }

    /// The next purchase to start, or `None` when all that is left waits for one that is on its way.
    pub(crate) fn start(&mut self) -> Option<&'p Purchase> {
        if let Some(purchase) = self.ready.pop_front() {
            return Some(purchase);
        }
        while self.waiting < WAITING {
            let purchase = self.upcoming.next()?;
            match self.busy.entry(purchase.customer) {
                Entry::Vacant(free) => {
                    free.insert(VecDeque::new());
                    return Some(purchase);
                }
                Entry::Occupied(mut line) => {
                    line.get_mut().push_back(purchase);
                    self.waiting += 1;
                }
            }
        }
        None
    }

    /// The customer's purchase has arrived; the next one of the same customer may start.
    pub(crate) fn finish(&mut self, customer: CustomerId) {
        let Some(line) = self.busy.get_mut(&customer) else {
            return;
        };
        match line.pop_front() {
            Some(next) => {
                self.waiting -= 1;
                self.ready.push_back(next);
            }
            None => {
                self.busy.remove(&customer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shop::{Cents, Date};

    fn purchases(customers: &[u32]) -> Vec<Purchase> {
        let purchase = |(line, &customer): (u32, &u32)| Purchase {
            line,
            customer: CustomerId(customer),
            date: Date::from_digits("19970101").unwrap(),
            cds: 1,
            cents: Cents::ZERO,
        };
        (1..).zip(customers).map(purchase).collect()
    }

    fn start(schedule: &mut Schedule<'_>) -> Option<u32> {
        schedule.start().map(|purchase| purchase.line)
    }

    #[test]
    fn purchases_start_in_order() {
        let purchases = purchases(&[1, 2, 3]);
        let mut schedule = Schedule::new(&purchases);
        let order: Vec<_> = std::iter::from_fn(|| start(&mut schedule)).collect();
        assert_eq!(order, [1, 2, 3]);
    }

    #[test]
    fn a_customer_has_one_purchase_on_its_way_and_others_go_ahead() {
        let purchases = purchases(&[1, 1, 1, 2]);
        let mut schedule = Schedule::new(&purchases);
        assert_eq!(start(&mut schedule), Some(1));
        assert_eq!(start(&mut schedule), Some(4));
        assert_eq!(start(&mut schedule), None);
        schedule.finish(CustomerId(2));
        assert_eq!(start(&mut schedule), None);
        for next in [Some(2), Some(3), None] {
            schedule.finish(CustomerId(1));
            assert_eq!(start(&mut schedule), next);
        }
        assert!(schedule.busy.is_empty());
    }

    #[test]
    fn others_do_not_go_ahead_without_bound() {
        let mut customers = vec![1; WAITING + 1];
        customers.push(2);
        let purchases = purchases(&customers);
        let mut schedule = Schedule::new(&purchases);
        assert_eq!(start(&mut schedule), Some(1));
        assert_eq!(start(&mut schedule), None);
        schedule.finish(CustomerId(1));
        assert_eq!(start(&mut schedule), Some(2));
        assert_eq!(start(&mut schedule), Some(1026), "one place became free");
    }
}
