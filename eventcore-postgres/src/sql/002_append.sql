-- Appends a group of batches, each whole or not at all.
--
-- e_*: the expectations of all batches; n_*: their new events, each with the ordinal of its stream's expectation;
-- b_*: one element for each batch; an array of nothing but NULLs may be NULL itself.
-- Result: the position before the first new event, and then two numbers for whatever kept a batch from being appended:
-- the ordinal of an expectation and the version found instead, or the batch's number below zero, and 0, when its key is
-- known already.
--
-- Order is decided here and in `append_one`, nowhere else. The lock comes first. Whoever holds it sees everything that
-- was committed before, since at READ COMMITTED each statement of a volatile function has a snapshot of its own, taken
-- after the lock was granted. So positions follow commits without a hole, and every expectation is judged against what
-- is really there.
CREATE FUNCTION {schema}.append(
    e_batch integer[], e_stream text[], e_version bigint[],
    n_expectation integer[], n_version bigint[], n_type text[], n_schema bigint[], n_id uuid[], n_payload bytea[],
    b_key uuid[], b_key_text text[], b_fingerprint uuid[], b_correlation uuid[], b_causation uuid[],
    b_recorded bigint[], b_metadata text[], b_events integer[], b_before integer[]
) RETURNS bigint[]
-- A session plans once and keeps the plan. Made while the tables were small, it would read all of them for ever.
LANGUAGE plpgsql SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    base bigint;
    refused integer[];
    verdict bigint[];
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'append needs READ COMMITTED, the transaction has %', current_setting('transaction_isolation')
            USING ERRCODE = 'invalid_transaction_state';
    END IF;
    -- A condition costs less than a statement.
    IF pg_advisory_xact_lock(hashtextextended('eventcore.order.{schema_text}', 0)) IS NULL THEN
    END IF;

    -- Most often everything is in order, and one statement judges and writes: each costs the server a start and a stop.
    -- Functions that return rows stand in SELECT lists, where they need no temporary storage.
    WITH fine AS MATERIALIZED (
        SELECT coalesce((SELECT max(position) FROM {schema}.events), 0) AS base
        WHERE NOT EXISTS (
            SELECT FROM (SELECT unnest(e_stream) AS stream, unnest(e_version) AS version) e
            WHERE e.version <> coalesce((
                SELECT v.version FROM {schema}.events v WHERE v.stream = e.stream ORDER BY v.version DESC LIMIT 1
            ), 0)
        ) AND NOT EXISTS (
            SELECT FROM (SELECT unnest(b_key) AS key) b
            -- With LIMIT it stays one look into the index per key.
            CROSS JOIN LATERAL (SELECT FROM {schema}.commands c WHERE c.key = b.key LIMIT 1) c
        )
    ), remembered AS (
        INSERT INTO {schema}.commands (key, key_text, fingerprint, correlation_id, first_position, events)
        SELECT b.key, b.key_text, b.fingerprint, b.correlation, fine.base + 1 + b.before, b.events
        FROM fine, (
            SELECT unnest(b_key) AS key, unnest(b_key_text) AS key_text, unnest(b_fingerprint) AS fingerprint,
                unnest(b_correlation) AS correlation, unnest(b_before) AS before, unnest(b_events) AS events
        ) b
        WHERE b.key IS NOT NULL
    ), written AS (
        INSERT INTO {schema}.events (position, stream, version, type, schema, id, correlation_id, causation_id,
            recorded_at, metadata, payload)
        SELECT fine.base + n.ordinal, e_stream[n.expectation], n.version, n.type, n.schema, n.id,
            b_correlation[e_batch[n.expectation]], b_causation[e_batch[n.expectation]],
            b_recorded[e_batch[n.expectation]], b_metadata[e_batch[n.expectation]], n.payload
        FROM fine, (
            SELECT generate_subscripts(n_id, 1) AS ordinal, unnest(n_expectation) AS expectation,
                unnest(n_version) AS version, unnest(n_type) AS type, unnest(n_schema) AS schema, unnest(n_id) AS id,
                unnest(n_payload) AS payload
        ) n
    )
    SELECT fine.base INTO base FROM fine;
    IF base IS NOT NULL THEN
        RETURN ARRAY[base];
    END IF;

    SELECT p.position, k.refused || s.refused, k.verdict || s.verdict INTO base, refused, verdict
    FROM (
        SELECT coalesce(max(position), 0) AS position FROM {schema}.events
    ) p, (
        SELECT coalesce(array_agg(b.batch::integer), '{}') AS refused,
            coalesce(array_agg(ARRAY[-b.batch, 0]), '{}') AS verdict
        FROM unnest(b_key) WITH ORDINALITY AS b (key, batch)
        CROSS JOIN LATERAL (SELECT FROM {schema}.commands c WHERE c.key = b.key LIMIT 1) c
    ) k, (
        SELECT coalesce(array_agg(e.batch), '{}') AS refused,
            coalesce(array_agg(ARRAY[e.ordinal, h.version]), '{}') AS verdict
        FROM unnest(e_batch, e_stream, e_version) WITH ORDINALITY AS e (batch, stream, version, ordinal)
        CROSS JOIN LATERAL (
            SELECT coalesce((
                SELECT v.version FROM {schema}.events v WHERE v.stream = e.stream ORDER BY v.version DESC LIMIT 1
            ), 0) AS version
        ) h
        WHERE h.version <> e.version
    ) s;

    -- What is left takes the places of what was refused.
    WITH remembered AS (
        INSERT INTO {schema}.commands (key, key_text, fingerprint, correlation_id, first_position, events)
        SELECT b.key, b_key_text[b.batch], b_fingerprint[b.batch], b_correlation[b.batch],
            base + 1 + sum(b.events) OVER (ORDER BY b.batch) - b.events, b.events
        FROM unnest(b_key, b_events) WITH ORDINALITY AS b (key, events, batch)
        WHERE b.batch <> ALL (refused) AND b.key IS NOT NULL
    )
    INSERT INTO {schema}.events (position, stream, version, type, schema, id, correlation_id, causation_id,
        recorded_at, metadata, payload)
    SELECT base + row_number() OVER (ORDER BY n.ordinal), e_stream[n.expectation], n.version, n.type, n.schema, n.id,
        b_correlation[e_batch[n.expectation]], b_causation[e_batch[n.expectation]],
        b_recorded[e_batch[n.expectation]], b_metadata[e_batch[n.expectation]], n.payload
    FROM unnest(n_expectation, n_version, n_type, n_schema, n_id, n_payload)
        WITH ORDINALITY AS n (expectation, version, type, schema, id, payload, ordinal)
    WHERE e_batch[n.expectation] <> ALL (refused);

    -- Pairs become a plain list.
    RETURN ARRAY[base] || ARRAY(SELECT unnest(verdict));
END $$;

-- The same for a batch of one event in one stream, which is the most frequent: single values cost the server less
-- than arrays.
CREATE FUNCTION {schema}.append_one(
    e_stream text, e_version bigint, n_version bigint, n_type text, n_schema bigint, n_id uuid, n_payload bytea,
    b_key uuid, b_key_text text, b_fingerprint uuid, b_correlation uuid, b_causation uuid, b_recorded bigint,
    b_metadata text
) RETURNS bigint[]
LANGUAGE plpgsql SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    base bigint;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'append needs READ COMMITTED, the transaction has %', current_setting('transaction_isolation')
            USING ERRCODE = 'invalid_transaction_state';
    END IF;
    IF pg_advisory_xact_lock(hashtextextended('eventcore.order.{schema_text}', 0)) IS NULL THEN
    END IF;

    INSERT INTO {schema}.events (position, stream, version, type, schema, id, correlation_id, causation_id,
        recorded_at, metadata, payload)
    SELECT coalesce((SELECT max(position) FROM {schema}.events), 0) + 1, e_stream, n_version, n_type, n_schema,
        n_id, b_correlation, b_causation, b_recorded, b_metadata, n_payload
    WHERE e_version = coalesce((
        SELECT v.version FROM {schema}.events v WHERE v.stream = e_stream ORDER BY v.version DESC LIMIT 1
    ), 0) AND NOT EXISTS (SELECT FROM {schema}.commands c WHERE c.key = b_key)
    RETURNING position - 1 INTO base;
    IF base IS NULL THEN
        RETURN {schema}.append(
            ARRAY[1], ARRAY[e_stream], ARRAY[e_version], ARRAY[1], ARRAY[n_version], ARRAY[n_type],
            ARRAY[n_schema], ARRAY[n_id], ARRAY[n_payload], ARRAY[b_key], ARRAY[b_key_text], ARRAY[b_fingerprint],
            ARRAY[b_correlation], ARRAY[b_causation], ARRAY[b_recorded], ARRAY[b_metadata], ARRAY[1], ARRAY[0]
        );
    END IF;
    IF b_key IS NOT NULL THEN
        INSERT INTO {schema}.commands (key, key_text, fingerprint, correlation_id, first_position, events)
        VALUES (b_key, b_key_text, b_fingerprint, b_correlation, base + 1, 1);
    END IF;
    RETURN ARRAY[base];
END $$;
