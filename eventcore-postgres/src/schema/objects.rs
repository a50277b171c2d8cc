//! What a schema of the last version consists of.

/// Relations and their columns that statements of this crate name.
pub(super) const RELATIONS: [(&str, &str); 11] = [
    (
        "events",
        "position bigint, stream text, version bigint, type text, schema bigint, id uuid, correlation_id uuid, \
         causation_id uuid, recorded_at bigint, metadata text, payload bytea",
    ),
    (
        "commands",
        "key uuid, key_text text, fingerprint uuid, correlation_id uuid, first_position bigint, events integer",
    ),
    ("log", "payload text"),
    ("projections", "name text, active bigint"),
    (
        "projection_versions",
        "name text, version bigint, id bigint, partitions integer, divisions text",
    ),
    (
        "projection_partitions",
        "name text, version bigint, partition integer, position bigint, witness_position bigint, witness_id uuid, \
         epoch bigint, owner_id uuid, owner_label text, expires_at timestamp with time zone",
    ),
    ("projection_locks", "name text"),
    ("documents", "projection bigint, key text, body text"),
    ("views", "body text"),
    (
        "dead_letters",
        "name text, version bigint, position bigint, partition integer, stream text, event_id uuid, fate text, \
         attempts bigint, error text, tried_at bigint",
    ),
    ("append_order", ""),
];

/// Functions, by name and number of arguments.
const FUNCTIONS: [&str; 14] = [
    "append/19",
    "append_one/15",
    "prepare_append/1",
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
    SELECT 'column ' || c.relname || '.' || a.attname || ' ' || format_type(a.atttypid, NULL)
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
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
