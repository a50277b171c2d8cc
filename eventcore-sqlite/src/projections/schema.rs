//! The tables of projections.

use crate::ledger::Tables;

/// What projections keep.
///
/// `eventcore_projections` has a row per version of a projection, with a number that stands for both in the other
/// tables. Its `epoch` is the last one granted; those of removed projections live on in `removed_epoch`, so that none
/// is ever granted twice. Documents and letters are kept in the order of their keys, without a row id: each is found,
/// and replaced, in one tree. One partial index says which version readers see, another which letters wait.
///
/// There are no foreign keys between them: every change of a document would pay for the check.
pub(crate) const PROJECTIONS: Tables = Tables {
    what: "projections",
    record: "eventcore_projection_schema",
    steps: &["
CREATE TABLE eventcore_projection_schema (
    version INTEGER NOT NULL,
    removed_epoch INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE eventcore_projections (
    projection INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    active INTEGER NOT NULL CHECK (active IN (0, 1)),
    partitions INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    divisions TEXT NOT NULL DEFAULT '[]',
    UNIQUE (name, version)
) STRICT;
CREATE UNIQUE INDEX eventcore_projections_active ON eventcore_projections (name) WHERE active = 1;

CREATE TABLE eventcore_projection_partitions (
    projection INTEGER NOT NULL,
    partition INTEGER NOT NULL,
    position INTEGER NOT NULL DEFAULT 0,
    witness_position INTEGER,
    witness_id BLOB,
    epoch INTEGER NOT NULL DEFAULT 0,
    owner BLOB,
    owner_label TEXT,
    ttl INTEGER NOT NULL DEFAULT 0,
    expires_at INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (projection, partition)
) STRICT, WITHOUT ROWID;

CREATE TABLE eventcore_documents (
    projection INTEGER NOT NULL,
    key TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (projection, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE eventcore_dead_letters (
    projection INTEGER NOT NULL,
    position INTEGER NOT NULL,
    partition INTEGER NOT NULL,
    stream TEXT NOT NULL,
    event BLOB NOT NULL,
    fate TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    error TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (projection, position, partition)
) STRICT, WITHOUT ROWID;
CREATE INDEX eventcore_dead_letters_waiting ON eventcore_dead_letters (projection, partition, position)
    WHERE fate <> 'skipped';
"],
};
