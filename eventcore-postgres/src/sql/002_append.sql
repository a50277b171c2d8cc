-- Appends a group of batches, each whole or not at all, and is the only place where order is decided.
--
-- e_*: the expectations of all batches; n_*: their new events; b_*: one element for each batch.
-- Result: the position before the first new event; the batches whose key is known already; the expectations (their
-- ordinals) that do not hold, with the versions found. Everything that is not named there was appended.
--
-- The lock comes first. Whoever holds it sees everything that was committed before, since at READ COMMITTED each
-- statement of a volatile function has a snapshot of its own, taken after the lock was granted. So positions follow
-- commits without a hole, and every expectation is judged against what is really there.
CREATE FUNCTION {schema}.append(
    e_batch integer[], e_stream text[], e_version bigint[],
    n_batch integer[], n_stream text[], n_version bigint[], n_type text[], n_schema bigint[], n_id uuid[],
    n_payload bytea[],
    b_key uuid[], b_key_text text[], b_fingerprint uuid[], b_correlation uuid[], b_causation uuid[],
    b_recorded bigint[], b_metadata text[], b_events integer[],
    OUT base bigint, OUT known integer[], OUT stale bigint[], OUT actual bigint[]
)
-- A session plans once and keeps the plan. Made while the tables were small, it would read all of them for ever.
LANGUAGE plpgsql SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    refused integer[] := '{}';
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'append needs READ COMMITTED, the transaction has %', current_setting('transaction_isolation')
            USING ERRCODE = 'invalid_transaction_state';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('eventcore.order.{schema_text}', 0));

    -- Everything is judged by one statement, and written by another: each costs the server a start and a stop.
    SELECT k.known, s.stale, s.actual, s.batches || k.known, p.position
    INTO known, stale, actual, refused, base
    FROM (
        SELECT coalesce(array_agg(b.batch::integer), '{}') AS known
        FROM unnest(b_key) WITH ORDINALITY AS b (key, batch)
        -- With LIMIT it stays one look into the index per key.
        CROSS JOIN LATERAL (SELECT FROM {schema}.commands c WHERE c.key = b.key LIMIT 1) c
    ) k, (
        SELECT coalesce(array_agg(e.ordinal), '{}') AS stale, coalesce(array_agg(h.version), '{}') AS actual,
            coalesce(array_agg(e.batch), '{}') AS batches
        FROM unnest(e_batch, e_stream, e_version) WITH ORDINALITY AS e (batch, stream, version, ordinal)
        CROSS JOIN LATERAL (
            SELECT coalesce((
                SELECT v.version FROM {schema}.events v WHERE v.stream = e.stream ORDER BY v.version DESC LIMIT 1
            ), 0) AS version
        ) h
        WHERE h.version <> e.version
    ) s, (
        SELECT coalesce(max(position), 0) AS position FROM {schema}.events
    ) p;

    WITH remembered AS (
        INSERT INTO {schema}.commands (key, key_text, fingerprint, correlation_id, first_position, events)
        SELECT b.key, b.key_text, b.fingerprint, b.correlation,
            base + 1 + sum(b.events) OVER (ORDER BY b.batch) - b.events, b.events
        FROM unnest(b_key, b_key_text, b_fingerprint, b_correlation, b_events)
            WITH ORDINALITY AS b (key, key_text, fingerprint, correlation, events, batch)
        WHERE b.batch <> ALL (refused) AND b.key IS NOT NULL
    )
    INSERT INTO {schema}.events (position, stream, version, type, schema, id, correlation_id, causation_id,
        recorded_at, metadata, payload)
    SELECT base + row_number() OVER (ORDER BY n.ordinal), n.stream, n.version, n.type, n.schema, n.id,
        b_correlation[n.batch], b_causation[n.batch], b_recorded[n.batch], b_metadata[n.batch], n.payload
    FROM unnest(n_batch, n_stream, n_version, n_type, n_schema, n_id, n_payload)
        WITH ORDINALITY AS n (batch, stream, version, type, schema, id, payload, ordinal)
    WHERE n.batch <> ALL (refused);
END $$;
