-- Run by `migrate` whenever the version or the name of the schema has changed, so these functions may name both. To
-- change one, add a step: the version says that they are to be replaced.
--
-- Functions that write run with the rights of their owner, and see nothing of what the caller's session has in its
-- search path. The path of those that append (`{appending}`) ends with a name that no schema can have, by which the
-- trigger on `events` knows them, see `rights.sql`.

-- The name that these functions were made for.
CREATE OR REPLACE FUNCTION {schema}.schema_name() RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT '{schema_text}' $$;

-- What tells this log from every other that may come to have the same name.
CREATE OR REPLACE FUNCTION {schema}.log_id() RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT '{log_id}'::uuid $$;

-- Where a program of version 3 kept a key whose text is a UUID of version 5: under that very UUID.
CREATE OR REPLACE FUNCTION {schema}.older_key(key_text text) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN key_text ~ '^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$' THEN key_text::uuid
    END
$$;

-- What stands against an append, or is to be put right before it. The function that calls says which log it was made
-- for: when schemas have changed names with each other, this one may be the other's.
CREATE OR REPLACE FUNCTION {schema}.prepare_append(p_log uuid, own uuid) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'append needs READ COMMITTED, the transaction has %', current_setting('transaction_isolation')
            USING ERRCODE = 'invalid_transaction_state';
    END IF;
    IF p_log <> own THEN
        RAISE EXCEPTION 'the schema holds log %, the one that was opened is %', own, p_log
            USING ERRCODE = 'EC001';
    END IF;
    IF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
END $$;

-- Appends a group of batches, each whole or not at all.
--
-- e_*: the expectations of all batches; n_*: their new events, each with the ordinal of its stream's expectation;
-- b_*: one element for each batch; an array of nothing but NULLs may be NULL itself.
-- Result: the position before the first new event, and then two numbers for whatever kept a batch from being appended:
-- the ordinal of an expectation and the version found instead; or the batch's number below zero, and 0 when its key is
-- known already, or the position of its first event when it has no key and that event is at its place already.
--
-- p_log: the log that the caller has opened; not compared when it is NULL, as programs of version 3 call it.
--
-- Order is decided here and in `append_one`, nowhere else. The lock comes first. Whoever holds it sees everything that
-- was committed before, since at READ COMMITTED each statement of a volatile function has a snapshot of its own, taken
-- after the lock was granted. So positions follow commits without a hole, and every expectation is judged against what
-- is really there.
CREATE OR REPLACE FUNCTION {schema}.append(
    e_batch integer[], e_stream text[], e_version bigint[],
    n_expectation integer[], n_version bigint[], n_type text[], n_schema bigint[], n_id uuid[], n_payload bytea[],
    b_key uuid[], b_key_text text[], b_fingerprint uuid[], b_correlation uuid[], b_causation uuid[],
    b_recorded bigint[], b_metadata text[], b_events integer[], b_before integer[],
    p_log uuid DEFAULT NULL
) RETURNS bigint[]
-- A session plans once and keeps the plan. Made while the tables were small, it would read all of them for ever.
LANGUAGE plpgsql SECURITY DEFINER SET search_path = {appending}
SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    -- A key is kept where it was before version 4.
    older boolean := false;
    base bigint;
    refused integer[];
    verdict bigint[];
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' OR p_log <> '{log_id}'
        OR current_setting('synchronous_commit') = 'off' THEN
        PERFORM {schema}.prepare_append(p_log, '{log_id}');
    END IF;
    LOCK TABLE {schema}.append_order IN SHARE UPDATE EXCLUSIVE MODE;

    IF b_key_text IS NOT NULL THEN
        older := EXISTS (
            SELECT FROM (SELECT {schema}.older_key(t.key_text) AS key FROM (SELECT unnest(b_key_text) AS key_text) t) b
            CROSS JOIN LATERAL (
                SELECT FROM {schema}.commands c WHERE c.key = b.key AND c.key_text IS NULL LIMIT 1
            ) c
        );
    END IF;

    -- Most often everything is in order, and one statement judges and writes: each costs the server a start and a stop.
    -- Functions that return rows stand in SELECT lists, where they need no temporary storage.
    WITH fine AS MATERIALIZED (
        SELECT coalesce((SELECT max(position) FROM {schema}.events), 0) AS base
        WHERE NOT older AND NOT EXISTS (
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

    SELECT p.position, k.refused || o.refused || s.refused, k.verdict || o.verdict || s.verdict
    INTO base, refused, verdict
    FROM (
        SELECT coalesce(max(position), 0) AS position FROM {schema}.events
    ) p, (
        SELECT coalesce(array_agg(b.batch::integer), '{}') AS refused,
            coalesce(array_agg(ARRAY[-b.batch, 0]), '{}') AS verdict
        FROM unnest(b_key, b_key_text) WITH ORDINALITY AS b (key, key_text, batch)
        WHERE EXISTS (
            SELECT FROM {schema}.commands c WHERE c.key = b.key
        ) OR EXISTS (
            SELECT FROM {schema}.commands c WHERE c.key = {schema}.older_key(b.key_text) AND c.key_text IS NULL
        )
    ) k, (
        SELECT coalesce(array_agg(b.batch::integer), '{}') AS refused,
            coalesce(array_agg(ARRAY[-b.batch, v.position]), '{}') AS verdict
        FROM unnest(b_key, b_events, b_before) WITH ORDINALITY AS b (key, events, before, batch)
        JOIN {schema}.events v ON v.stream = e_stream[n_expectation[b.before + 1]]
            AND v.version = n_version[b.before + 1] AND v.id = n_id[b.before + 1]
        WHERE b.key IS NULL AND b.events > 0
    ) o, (
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
CREATE OR REPLACE FUNCTION {schema}.append_one(
    e_stream text, e_version bigint, n_version bigint, n_type text, n_schema bigint, n_id uuid, n_payload bytea,
    b_key uuid, b_key_text text, b_fingerprint uuid, b_correlation uuid, b_causation uuid, b_recorded bigint,
    b_metadata text, p_log uuid DEFAULT NULL
) RETURNS bigint[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = {appending}
SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    older boolean := false;
    base bigint;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' OR p_log <> '{log_id}'
        OR current_setting('synchronous_commit') = 'off' THEN
        PERFORM {schema}.prepare_append(p_log, '{log_id}');
    END IF;
    LOCK TABLE {schema}.append_order IN SHARE UPDATE EXCLUSIVE MODE;
    IF b_key_text IS NOT NULL THEN
        older := EXISTS (
            SELECT FROM {schema}.commands c WHERE c.key = {schema}.older_key(b_key_text) AND c.key_text IS NULL
        );
    END IF;

    INSERT INTO {schema}.events (position, stream, version, type, schema, id, correlation_id, causation_id,
        recorded_at, metadata, payload)
    SELECT coalesce((SELECT max(position) FROM {schema}.events), 0) + 1, e_stream, n_version, n_type, n_schema,
        n_id, b_correlation, b_causation, b_recorded, b_metadata, n_payload
    WHERE NOT older AND e_version = coalesce((
        SELECT v.version FROM {schema}.events v WHERE v.stream = e_stream ORDER BY v.version DESC LIMIT 1
    ), 0) AND NOT EXISTS (
        SELECT FROM {schema}.commands c WHERE c.key = b_key
    )
    RETURNING position - 1 INTO base;
    IF base IS NULL THEN
        RETURN {schema}.append(
            ARRAY[1], ARRAY[e_stream], ARRAY[e_version], ARRAY[1], ARRAY[n_version], ARRAY[n_type],
            ARRAY[n_schema], ARRAY[n_id], ARRAY[n_payload], ARRAY[b_key], ARRAY[b_key_text], ARRAY[b_fingerprint],
            ARRAY[b_correlation], ARRAY[b_causation], ARRAY[b_recorded], ARRAY[b_metadata], ARRAY[1], ARRAY[0], p_log
        );
    END IF;
    IF b_key IS NOT NULL THEN
        INSERT INTO {schema}.commands (key, key_text, fingerprint, correlation_id, first_position, events)
        VALUES (b_key, b_key_text, b_fingerprint, b_correlation, base + 1, 1);
    END IF;
    RETURN ARRAY[base];
END $$;
