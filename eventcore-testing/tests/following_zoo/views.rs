//! Stores of projections that get wrong what only readers and runners together show.

use std::sync::Mutex;

use async_trait::async_trait;
use eventcore::projection::{
    DeadLetter, DocumentQuery, ProjectionName, ProjectionStore, RawDocument, Standing,
};

use crate::cage::{Inner, Open, Outcome, Specimen, specimens};

specimens! {
    /// Answers as it was when it was asked the last time, as a replica does that lags behind.
    AnswersLate { last: Mutex<Vec<RawDocument>> } => {
        async fn query(&self, name: &ProjectionName, query: &DocumentQuery) -> Outcome<Vec<RawDocument>> {
            let now = self.inner.query(name, query).await?;
            Ok(std::mem::replace(&mut *self.last.lock().unwrap(), now))
        }
    }

    /// Shows partitions where they are about to be.
    StandsAhead {} => {
        async fn standings(&self, name: &ProjectionName) -> Outcome<Vec<Standing>> {
            let mut standings = self.inner.standings(name).await?;
            for standing in &mut standings {
                standing.checkpoint.position = standing.checkpoint.position.advanced(3);
            }
            Ok(standings)
        }
    }

    /// Gives events up without a word.
    BuriesNothing {} => {
        async fn bury(&self, _: &mut Open, _: Vec<DeadLetter>) -> Outcome<()> {
            Ok(())
        }
    }
}
