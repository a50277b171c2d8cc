//! Projections: what the log amounts to for readers, kept up to date, rebuilt at will.
//!
//! | you want to | look at |
//! |---|---|
//! | write a read model of documents | [`ReadModel`] |
//! | write to tables of your own, or anywhere else | [`Projection`] |
//! | run it | [`project`], [`run_projection`], [`RunningProjection`] |
//! | read documents | [`Documents`], [`DocumentQuery`] |
//! | say what happens to events that fail | [`FailurePolicy`] |
//! | write a backend | [`ProjectionStore`], [`UnitOfWork`] |

mod document;
mod id;
mod lease;
mod letters;
mod store;

pub use self::{
    document::{
        DocumentChange, DocumentKey, DocumentKeyError, DocumentQuery, FieldPath, QueryError,
        RawDocument,
    },
    id::{Partitions, PartitionsError, ProjectionId, ProjectionName, ProjectionNameError},
    lease::{Checkpoint, Claim, Claimed, Divisions, Lease, Owner, Witness},
    letters::{DeadLetter, Fate},
    store::{Progress, ProjectionStore, ProjectionStoreError, Standing, UnitOfWork},
};
