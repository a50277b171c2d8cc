-- Who may do what. Run by `migrate` as `append.sql` is.

-- What is no call of a function above is refused, for the owner too. Such a function's search path is gone when it
-- returns; a setting of another name only superusers can give to a function. Since the path names the log, functions of
-- a schema that was renamed cannot write to another one that has come to its name.
--
-- For every append, so: no condition of the trigger, which the server reads anew each time; no setting of the function;
-- names in full instead.
CREATE OR REPLACE FUNCTION {schema}.refuse_insert() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    context text;
BEGIN
    IF pg_catalog.current_setting('search_path') OPERATOR(pg_catalog.=) '{appending}' THEN
        RETURN NULL;
    END IF;
    GET DIAGNOSTICS context = PG_CONTEXT;
    IF context OPERATOR(pg_catalog.~) 'function [^ ]*append(_one)?[(]' THEN
        RAISE EXCEPTION 'the functions that append were replaced meanwhile; nothing was appended'
            USING ERRCODE = 'serialization_failure';
    END IF;
    RAISE EXCEPTION 'events are appended by the functions append and append_one only: % into %.% is refused', TG_OP,
        TG_TABLE_SCHEMA, TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;

CREATE OR REPLACE TRIGGER append_by_function BEFORE INSERT ON {schema}.events
    FOR EACH STATEMENT EXECUTE FUNCTION {schema}.refuse_insert();
CREATE OR REPLACE TRIGGER append_by_function BEFORE INSERT ON {schema}.commands
    FOR EACH STATEMENT EXECUTE FUNCTION {schema}.refuse_insert();
CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {schema}.events
    FOR EACH STATEMENT EXECUTE FUNCTION {schema}.refuse_change();
CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {schema}.commands
    FOR EACH STATEMENT EXECUTE FUNCTION {schema}.refuse_change();

-- The order lock by itself, for a transaction that makes projections inline ones.
CREATE OR REPLACE FUNCTION {schema}.lock_order() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    LOCK TABLE {schema}.append_order IN SHARE UPDATE EXCLUSIVE MODE;
END $$;

-- A payload as text; NULL for one that is none.
CREATE OR REPLACE FUNCTION {schema}.payload_text(payload bytea) RETURNS text LANGUAGE plpgsql STABLE STRICT AS $$
BEGIN
    RETURN convert_from(payload, 'UTF8');
EXCEPTION WHEN character_not_in_repertoire OR untranslatable_character THEN
    RETURN NULL;
END $$;

CREATE OR REPLACE VIEW {schema}.log AS
SELECT position, stream, version, type, schema, {schema}.payload_text(payload) COLLATE "C" AS payload, metadata,
    to_timestamp(recorded_at / 1000000.0) AS recorded_at, correlation_id, causation_id, payload AS payload_bytes
FROM {schema}.events;

-- Gives a role what it needs for one kind of work: `read`, `append` (with `read`), or `project` (with `read`). May be
-- repeated, and called for several kinds.
CREATE OR REPLACE FUNCTION {schema}.grant_access(role name, access text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    grantee text := CASE role WHEN 'public' THEN 'PUBLIC' ELSE quote_ident(role) END;
    granted text;
    rights text[] := ARRAY[
        'USAGE ON SCHEMA {schema}',
        'SELECT ON {schema}.events, {schema}.commands, {schema}.log, {schema}.migrations, {schema}.projections, '
            '{schema}.projection_versions, {schema}.projection_partitions, {schema}.documents, {schema}.views, '
            '{schema}.dead_letters'
    ];
BEGIN
    CASE access
    WHEN 'read' THEN
        NULL;
    WHEN 'append' THEN
        rights := rights || ARRAY['EXECUTE ON FUNCTION {schema}.append, {schema}.append_one, {schema}.lock_order'];
    WHEN 'project' THEN
        rights := rights || ARRAY[
            'UPDATE ON {schema}.projections, {schema}.projection_partitions',
            'INSERT, UPDATE, DELETE ON {schema}.documents, {schema}.dead_letters',
            'EXECUTE ON FUNCTION {schema}.claim_partition, {schema}.commit_unit, {schema}.reset_projection, '
                '{schema}.remove_projection'
        ];
    ELSE
        RAISE EXCEPTION 'access is `read`, `append` or `project`, not %', coalesce(quote_literal(access), 'NULL')
            USING ERRCODE = 'invalid_parameter_value';
    END CASE;
    FOREACH granted IN ARRAY rights LOOP
        EXECUTE format('GRANT %s TO %s', granted, grantee);
    END LOOP;
END $$;

REVOKE EXECUTE ON FUNCTION {schema}.append, {schema}.append_one, {schema}.prepare_append, {schema}.lock_order,
    {schema}.lock_projection, {schema}.claim_partition, {schema}.commit_unit, {schema}.reset_projection,
    {schema}.remove_projection, {schema}.grant_access FROM PUBLIC;

-- Before version 4 those who append or project needed the right to write to the tables. They keep what they could do.
DO $$
DECLARE
    held record;
BEGIN
    FOR held IN
        SELECT DISTINCT c.oid, c.relname, coalesce(r.rolname, 'public') AS grantee
        FROM pg_class c
        CROSS JOIN LATERAL aclexplode(c.relacl) a
        LEFT JOIN pg_roles r ON r.oid = a.grantee
        WHERE c.oid IN ('{schema}.events'::regclass, '{schema}.commands'::regclass, '{schema}.documents'::regclass)
            AND a.privilege_type = 'INSERT' AND a.grantee <> c.relowner
    LOOP
        IF held.relname = 'events' THEN
            PERFORM {schema}.grant_access(held.grantee, 'append');
        END IF;
        IF held.relname = 'documents' THEN
            PERFORM {schema}.grant_access(held.grantee, 'project');
        ELSE
            EXECUTE format('REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON %s FROM %s', held.oid::regclass,
                CASE held.grantee WHEN 'public' THEN 'PUBLIC' ELSE quote_ident(held.grantee) END);
        END IF;
    END LOOP;
END $$;
