//! What a schema of the last version consists of.

/// Relations and their columns that statements of this crate name.
pub(super) const RELATIONS: [(&str, &str); 11] = [
    (
        "events",
        "position int8, stream text, version int8, type text, schema int8, id uuid, correlation_id uuid, \
         causation_id uuid, recorded_at int8, metadata text, payload bytea",
    ),
    (
        "commands",
        "key uuid, key_text text, fingerprint uuid, correlation_id uuid, first_position int8, events int4",
    ),
    ("log", "payload text"),
    ("projections", "name text, active int8"),
    (
        "projection_versions",
        "name text, version int8, id int8, partitions int4, divisions text",
    ),
    (
        "projection_partitions",
        "name text, version int8, partition int4, position int8, witness_position int8, witness_id uuid, \
         epoch int8, owner_id uuid, owner_label text, expires_at timestamptz",
    ),
    ("projection_locks", "name text"),
    ("documents", "projection int8, key text, body text"),
    ("views", "body text"),
    (
        "dead_letters",
        "name text, version int8, position int8, partition int4, stream text, event_id uuid, fate text, \
         attempts int8, error text, tried_at int8",
    ),
    ("append_order", ""),
];

/// Functions, by name and number of arguments.
const FUNCTIONS: [&str; 16] = [
    "schema_name/0",
    "log_id/0",
    "append/19",
    "append_one/15",
    "prepare_append/2",
    "older_key/1",
    "lock_order/0",
    "lock_projection/1",
    "claim_partition/10",
    "commit_unit/22",
    "reset_projection/2",
    "remove_projection/2",
    "field/2",
    "number/1",
    "payload_text/1",
    "grant_access/2",
];

const TRIGGERS: [&str; 4] = [
    "append_only on events",
    "append_only on commands",
    "append_by_function on events",
    "append_by_function on commands",
];

/// Lists what is not there of `{objects}`.
pub(super) const LACKING: &str = "
SELECT coalesce(string_agg(wanted, ', '), '') FROM unnest(ARRAY['{objects}']) AS wanted
WHERE wanted NOT IN (
    SELECT 'relation ' || c.relname FROM pg_catalog.pg_class c
    WHERE c.relnamespace = to_regnamespace('{schema}')
    UNION ALL
    SELECT 'column ' || c.relname || '.' || a.attname || ' ' || t.typname
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
    JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
    WHERE c.relnamespace = to_regnamespace('{schema}') AND NOT a.attisdropped
    UNION ALL
    SELECT 'function ' || p.proname || '/' || p.pronargs FROM pg_catalog.pg_proc p
    WHERE p.pronamespace = to_regnamespace('{schema}')
    UNION ALL
    SELECT 'trigger ' || t.tgname || ' on ' || c.relname
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_trigger t ON t.tgrelid = c.oid
    WHERE c.relnamespace = to_regnamespace('{schema}')
)";

/// Everything, in the words of [`LACKING`].
pub(super) fn all() -> Vec<String> {
    let relations = RELATIONS.iter().flat_map(|(name, columns)| {
        let columns = columns.split(", ").filter(|column| !column.is_empty());
        let column = move |column: &str| format!("column {name}.{column}");
        std::iter::once(format!("relation {name}")).chain(columns.map(column))
    });
    let functions = FUNCTIONS.iter().map(|name| format!("function {name}"));
    let triggers = TRIGGERS.iter().map(|name| format!("trigger {name}"));
    relations.chain(functions).chain(triggers).collect()
}
