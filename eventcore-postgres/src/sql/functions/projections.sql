-- Of projections. Run by `migrate` as `append.sql` is.

-- Whoever changes what a projection consists of (its versions, its partitions, the active version) is alone with it.
-- This lock comes before the locks of rows, and rows of partitions before all others, so nothing deadlocks.
CREATE OR REPLACE FUNCTION {schema}.lock_projection(p_name text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
BEGIN
    PERFORM FROM {schema}.projection_locks l WHERE l.name = p_name FOR UPDATE;
    IF NOT FOUND THEN
        -- Another one may be making it: that is waited for.
        INSERT INTO {schema}.projection_locks (name) VALUES (p_name) ON CONFLICT DO NOTHING;
        PERFORM FROM {schema}.projection_locks l WHERE l.name = p_name FOR UPDATE;
    END IF;
END $$;

-- Grants a lease on a partition, or says why not: `o_outcome` is `granted`, `held`, `divided`, `letters`, or `divide`.
--
-- `divide`: there is another number of partitions, and nothing stands against dividing anew. The caller works out the
-- new divisions and calls again, with what it saw; if that is not how things are any more, it is told anew.
CREATE OR REPLACE FUNCTION {schema}.claim_partition(
    p_name text, p_version bigint, p_partition integer, p_partitions integer, p_owner uuid, p_label text, p_ttl bigint,
    p_seen_positions bigint[], p_seen_divisions text, p_divisions text,
    OUT o_outcome text, OUT o_epoch bigint, OUT o_position bigint, OUT o_witness_position bigint, OUT o_witness_id uuid,
    OUT o_divisions text, OUT o_partitions integer, OUT o_positions bigint[], OUT o_waiting bigint, OUT o_owner uuid,
    OUT o_label text, OUT o_left bigint
) LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    led {schema}.projection_partitions;
    fence bigint;
BEGIN
    PERFORM {schema}.lock_projection(p_name);
    SELECT v.partitions, v.divisions INTO o_partitions, o_divisions
        FROM {schema}.projection_versions v WHERE v.name = p_name AND v.version = p_version;
    IF NOT FOUND THEN
        INSERT INTO {schema}.projections (name, active) VALUES (p_name, p_version) ON CONFLICT DO NOTHING;
        INSERT INTO {schema}.projection_versions AS v (name, version, partitions)
            VALUES (p_name, p_version, p_partitions) RETURNING v.partitions, v.divisions INTO o_partitions, o_divisions;
        INSERT INTO {schema}.projection_partitions (name, version, partition)
            SELECT p_name, p_version, generate_series(0, p_partitions - 1);
    END IF;

    IF o_partitions <> p_partitions THEN
        -- Leaders may be committing: what they write is waited for, and seen by the next statement.
        PERFORM FROM {schema}.projection_partitions p WHERE p.name = p_name AND p.version = p_version
            ORDER BY p.partition FOR UPDATE;
        IF EXISTS (
            SELECT FROM {schema}.projection_partitions p
            WHERE p.name = p_name AND p.version = p_version AND p.expires_at > clock_timestamp()
        ) THEN
            o_outcome := 'divided';
            RETURN;
        END IF;
        SELECT count(*) INTO o_waiting FROM {schema}.dead_letters l
            WHERE l.name = p_name AND l.version = p_version AND l.fate <> 'skipped';
        IF o_waiting > 0 THEN
            o_outcome := 'letters';
            RETURN;
        END IF;
        SELECT array_agg(p.position ORDER BY p.partition) INTO o_positions
            FROM {schema}.projection_partitions p WHERE p.name = p_name AND p.version = p_version;
        IF p_divisions IS NULL OR p_seen_positions <> o_positions OR p_seen_divisions <> o_divisions THEN
            o_outcome := 'divide';
            RETURN;
        END IF;
        fence := nextval('{schema}.projection_epochs');
        SELECT p.* INTO led FROM {schema}.projection_partitions p WHERE p.name = p_name AND p.version = p_version
            ORDER BY p.position, p.partition LIMIT 1;
        DELETE FROM {schema}.projection_partitions p WHERE p.name = p_name AND p.version = p_version;
        INSERT INTO {schema}.projection_partitions
            (name, version, partition, position, witness_position, witness_id, epoch)
            SELECT p_name, p_version, generate_series(0, p_partitions - 1), led.position, led.witness_position,
                led.witness_id, fence;
        UPDATE {schema}.projection_versions v SET partitions = p_partitions, divisions = p_divisions
            WHERE v.name = p_name AND v.version = p_version;
        o_divisions := p_divisions;
        o_partitions := p_partitions;
    END IF;

    SELECT p.* INTO led FROM {schema}.projection_partitions p
        WHERE p.name = p_name AND p.version = p_version AND p.partition = p_partition FOR UPDATE;
    IF led.expires_at > clock_timestamp() AND led.owner_id <> p_owner THEN
        o_outcome := 'held';
        o_owner := led.owner_id;
        o_label := led.owner_label;
        o_left := extract(epoch FROM led.expires_at - clock_timestamp()) * 1000000;
        RETURN;
    END IF;
    o_outcome := 'granted';
    o_epoch := nextval('{schema}.projection_epochs');
    o_position := led.position;
    o_witness_position := led.witness_position;
    o_witness_id := led.witness_id;
    UPDATE {schema}.projection_partitions p SET epoch = o_epoch, owner_id = p_owner, owner_label = p_label,
        expires_at = clock_timestamp() + p_ttl * interval '1 microsecond'
        WHERE p.name = p_name AND p.version = p_version AND p.partition = p_partition;
END $$;

-- Commits what a unit of work has done, if its lease is the last one that was granted; says whether it is.
--
-- d_*: documents, without a body where they go. l_*: letters, without a fate where they go.
--
-- The row of the partition is locked first. From then on nobody can be granted its lease before this is committed; and
-- whoever waits for a new leader to be written there sees its epoch afterwards, since at READ COMMITTED the row is
-- looked at again.
CREATE OR REPLACE FUNCTION {schema}.commit_unit(
    p_name text, p_version bigint, p_partition integer, p_epoch bigint, p_owner uuid, p_label text, p_ttl bigint,
    p_position bigint, p_witness_position bigint, p_witness_id uuid, p_activate boolean, p_unit text,
    d_key text[], d_body text[],
    l_position bigint[], l_partition integer[], l_stream text[], l_event uuid[], l_fate text[], l_attempts bigint[],
    l_error text[], l_tried bigint[]
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    kept_under bigint;
BEGIN
    IF p_unit <> coalesce(current_setting('eventcore.unit', true), '') THEN
        RAISE EXCEPTION 'the transaction of the unit was ended by a statement of the projection'
            USING ERRCODE = 'invalid_transaction_state';
    END IF;
    -- Whatever the role or the database prefers: what is said to be committed is on the disk.
    IF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
    IF p_activate THEN
        PERFORM {schema}.lock_projection(p_name);
    END IF;
    UPDATE {schema}.projection_partitions p SET position = p_position, witness_position = p_witness_position,
        witness_id = p_witness_id, owner_id = p_owner, owner_label = p_label,
        expires_at = clock_timestamp() + p_ttl * interval '1 microsecond'
        WHERE p.name = p_name AND p.version = p_version AND p.partition = p_partition AND p.epoch = p_epoch;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF p_activate THEN
        -- A version that was slower than its successor does not take readers back.
        UPDATE {schema}.projections SET active = p_version WHERE name = p_name AND active < p_version;
    END IF;
    IF d_key IS NOT NULL THEN
        SELECT v.id INTO kept_under FROM {schema}.projection_versions v WHERE v.name = p_name AND v.version = p_version;
        INSERT INTO {schema}.documents AS d (projection, key, body)
            SELECT kept_under, n.key, n.body
            FROM (SELECT unnest(d_key) AS key, unnest(d_body) AS body) n WHERE n.body IS NOT NULL
            ON CONFLICT (projection, key) DO UPDATE SET body = excluded.body;
        IF array_position(d_body, NULL) IS NOT NULL THEN
            DELETE FROM {schema}.documents d
                USING (SELECT unnest(d_key) AS key, unnest(d_body) AS body) n
                WHERE n.body IS NULL AND d.projection = kept_under AND d.key = n.key;
        END IF;
    END IF;
    IF l_position IS NOT NULL THEN
        DELETE FROM {schema}.dead_letters l USING unnest(l_position, l_partition) AS n (position, partition)
            WHERE l.name = p_name AND l.version = p_version AND l.position = n.position AND l.partition = n.partition;
        INSERT INTO {schema}.dead_letters
            (name, version, position, partition, stream, event_id, fate, attempts, error, tried_at)
            SELECT p_name, p_version, n.* FROM
                unnest(l_position, l_partition, l_stream, l_event, l_fate, l_attempts, l_error, l_tried)
                AS n (position, partition, stream, event_id, fate, attempts, error, tried_at)
            WHERE n.fate IS NOT NULL;
    END IF;
    RETURN true;
END $$;

-- Puts a version back to the start of the log.
CREATE OR REPLACE FUNCTION {schema}.reset_projection(p_name text, p_version bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    fence bigint;
BEGIN
    PERFORM {schema}.lock_projection(p_name);
    fence := nextval('{schema}.projection_epochs');
    -- First of all: what leaders are committing just now is waited for, and goes with the rest.
    UPDATE {schema}.projection_partitions SET epoch = fence, position = 0, witness_position = NULL, witness_id = NULL,
        owner_id = NULL, owner_label = NULL, expires_at = NULL WHERE name = p_name AND version = p_version;
    UPDATE {schema}.projection_versions SET divisions = '[]' WHERE name = p_name AND version = p_version;
    DELETE FROM {schema}.documents WHERE projection = (
        SELECT v.id FROM {schema}.projection_versions v WHERE v.name = p_name AND v.version = p_version
    );
    DELETE FROM {schema}.dead_letters WHERE name = p_name AND version = p_version;
END $$;

-- Forgets a version; says no if readers see it and there are others.
CREATE OR REPLACE FUNCTION {schema}.remove_projection(p_name text, p_version bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    PERFORM {schema}.lock_projection(p_name);
    IF EXISTS (SELECT FROM {schema}.projections WHERE name = p_name AND active = p_version) THEN
        IF EXISTS (SELECT FROM {schema}.projection_versions WHERE name = p_name AND version <> p_version) THEN
            RETURN false;
        END IF;
        DELETE FROM {schema}.projections WHERE name = p_name;
    END IF;
    DELETE FROM {schema}.projection_partitions WHERE name = p_name AND version = p_version;
    DELETE FROM {schema}.documents WHERE projection = (
        SELECT v.id FROM {schema}.projection_versions v WHERE v.name = p_name AND v.version = p_version
    );
    DELETE FROM {schema}.projection_versions WHERE name = p_name AND version = p_version;
    DELETE FROM {schema}.dead_letters WHERE name = p_name AND version = p_version;
    RETURN true;
END $$;

-- The JSON text of a field, if there is one. A path leads through objects only. What is no JSON has no fields.
CREATE OR REPLACE FUNCTION {schema}.field(body text, path text[]) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE
    slash CONSTANT text := chr(92);
    value json;
    doubled boolean := strpos(body, slash || 'u') > 0 AND body ~ (slash || slash || 'u(0000|[dD][89a-fA-F])');
    step text;
BEGIN
    -- PostgreSQL does not look into a text with `\u0000` or half of a surrogate pair anywhere. In such a one every
    -- backslash is written twice, and the escapes are plain characters; the control characters stand in meanwhile for
    -- what must not be taken apart, and are in no JSON.
    IF doubled THEN
        body := replace(replace(replace(replace(replace(body,
            slash || slash, chr(1)), slash || '"', chr(2)), slash, slash || slash),
            chr(2), slash || slash || slash || '"'), chr(1), repeat(slash, 4));
    END IF;
    value := body::json;
    FOREACH step IN ARRAY path LOOP
        value := value -> step;
    END LOOP;
    IF doubled AND json_typeof(value) = 'string' THEN
        RETURN '"' || (value #>> '{}') || '"';
    END IF;
    RETURN value::text;
EXCEPTION WHEN invalid_text_representation OR untranslatable_character OR statement_too_complex THEN
    RETURN NULL;
END $$;

-- A number of JSON, however large or small.
CREATE OR REPLACE FUNCTION {schema}.number(written text) RETURNS float8 LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
    RETURN written::float8;
EXCEPTION WHEN numeric_value_out_of_range THEN
    RETURN CASE
        WHEN written ~ '[eE]-' OR written ~ '^-?0[.]' THEN 0
        WHEN written LIKE '-%' THEN '-Infinity'::float8
        ELSE 'Infinity'::float8
    END;
END $$;
