//! Projections: what the log amounts to for readers, kept up to date, rebuilt at will.
//!
//! | you want to | look at |
//! |---|---|
//! | write a read model of documents | [`ReadModel`] |
//! | write to tables of your own, or anywhere else | [`Projection`] |
//! | run it | [`project`], [`run_projection`], [`RunningProjection`] |
//! | read documents | [`Documents`], [`DocumentQuery`] |
//! | watch it | [`ProjectionStatus`], [`ProjectionStore::standings`]; with the feature `metrics` the gauges `eventcore_projection_*` |
//! | say what happens to events that fail | [`FailurePolicy`] |
//! | write a backend | [`ProjectionStore`], [`UnitOfWork`] |

mod caught;
mod custom;
mod document;
mod documents;
mod failure;
mod gauges;
mod id;
mod inline;
mod lead;
mod leader;
mod lease;
mod letters;
mod read_model;
mod run;
mod running;
mod status;
mod store;
mod unit;
mod work;

pub use self::{
    custom::Projection,
    document::{
        DocumentChange, DocumentKey, DocumentKeyError, DocumentQuery, FieldPath, QueryError,
        RawDocument,
    },
    documents::{DocumentError, Documents},
    failure::{ApplyError, FailurePolicy, ProjectionError},
    id::{Partitions, PartitionsError, ProjectionId, ProjectionName, ProjectionNameError},
    inline::{Inline, InlineError},
    lease::{Checkpoint, Claim, Claimed, Divisions, Lease, Owner, Witness},
    letters::{DeadLetter, Fate},
    read_model::ReadModel,
    run::{ProjectionRun, project, run_projection},
    running::RunningProjection,
    status::{PartitionStatus, ProjectionState, ProjectionStatus},
    store::{ProjectionStore, ProjectionStoreError, Standing},
    unit::{Progress, UnitOfWork},
};
