CREATE TABLE {schema}.events (
    position bigint PRIMARY KEY,
    stream text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    type text COLLATE "C" NOT NULL,
    schema bigint NOT NULL,
    id uuid NOT NULL,
    correlation_id uuid NOT NULL,
    causation_id uuid,
    recorded_at bigint NOT NULL,
    metadata text COLLATE "C",
    payload bytea NOT NULL,
    CONSTRAINT events_by_stream UNIQUE (stream, version)
);

CREATE INDEX events_by_type ON {schema}.events (type, position);
CREATE INDEX events_by_category ON {schema}.events (split_part(stream, ':', 1), position);

CREATE TABLE {schema}.commands (
    key uuid PRIMARY KEY,
    key_text text COLLATE "C",
    fingerprint uuid NOT NULL,
    correlation_id uuid NOT NULL,
    first_position bigint NOT NULL,
    events integer NOT NULL
);

CREATE FUNCTION {schema}.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'events are never changed: % of %.% is refused', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {schema}.events
    FOR EACH STATEMENT EXECUTE FUNCTION {schema}.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {schema}.commands
    FOR EACH STATEMENT EXECUTE FUNCTION {schema}.refuse_change();

CREATE VIEW {schema}.log AS
SELECT position, stream, version, type, schema, convert_from(payload, 'UTF8') AS payload, metadata,
    to_timestamp(recorded_at / 1000000.0) AS recorded_at, correlation_id, causation_id
FROM {schema}.events;
