-- Appends of the functions that are replaced here are waited for.
SELECT pg_advisory_xact_lock(hashtextextended('eventcore.order.{schema_text}', 0));

-- Their signatures change. Roles that could append by them are granted the new ones, see `functions/rights.sql`.
DROP FUNCTION IF EXISTS {schema}.append(
    integer[], text[], bigint[], integer[], bigint[], text[], bigint[], uuid[], bytea[], uuid[], text[], uuid[], uuid[],
    uuid[], bigint[], text[], integer[], integer[]
);
DROP FUNCTION IF EXISTS {schema}.append_one(
    text, bigint, bigint, text, bigint, uuid, bytea, uuid, text, uuid, uuid, uuid, bigint, text
);

-- The order lock. Always empty: it is locked, never read or written, and only the owner may. A vacuum of it takes the
-- same lock, and would have nothing to do.
CREATE TABLE {schema}.append_order () WITH (autovacuum_enabled = off);

-- The lock on a projection: a row for each name, which only the owner may lock.
CREATE TABLE {schema}.projection_locks (name text COLLATE "C" PRIMARY KEY);

-- What no append can have written; the last bit of a position is room for `position + 1`. The server reads the text of
-- a constraint for every statement, so it is a short one, and costs what two comparisons do. Rows that are there already
-- are not looked at: a log in which one is wrong can still be opened, and reads name that row.
ALTER TABLE {schema}.events ADD CONSTRAINT events_in_bounds
    CHECK (least(position, version, schema, 4611686018427387904 - position) > 0) NOT VALID;
