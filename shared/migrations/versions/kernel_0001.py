"""
The kernel's tables, and the three rules that PostgreSQL itself keeps.

Written as SQL, because what matters here (triggers, a function, index choice) has no other spelling.
"""

from alembic import op

revision = "kernel_0001"
down_revision = None
branch_labels = ("kernel",)
depends_on = None

TABLES = """
CREATE TABLE events (
    stream text NOT NULL,
    version bigint NOT NULL,
    id text NOT NULL UNIQUE,
    name text NOT NULL,
    schema bigint NOT NULL,
    data bytea NOT NULL,
    meta bytea NOT NULL,
    recorded_at timestamptz NOT NULL,
    hash bytea NOT NULL,
    PRIMARY KEY (stream, version)
);
CREATE TABLE streams (
    stream text PRIMARY KEY,
    version bigint NOT NULL,
    hash bytea NOT NULL,
    erased_at timestamptz
) WITH (fillfactor = 70);
CREATE TABLE snapshots (
    stream text NOT NULL,
    fold_version bigint NOT NULL,
    version bigint NOT NULL,
    state bytea NOT NULL,
    PRIMARY KEY (stream, fold_version)
);
CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stream text NOT NULL,
    version bigint NOT NULL,
    event_hash bytea NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
CREATE TABLE log (
    position bigint PRIMARY KEY,
    epoch text NOT NULL,
    stream text NOT NULL,
    version bigint NOT NULL,
    event_hash bytea NOT NULL,
    hash bytea NOT NULL,
    sequenced_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (stream, version)
);
CREATE TABLE log_head (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    epoch text NOT NULL,
    position bigint NOT NULL,
    hash bytea NOT NULL,
    published bigint NOT NULL
) WITH (fillfactor = 50);
INSERT INTO log_head (epoch, position, hash, published)
    VALUES (gen_random_uuid()::text, 0, decode(repeat('00', 32), 'hex'), 0);
CREATE TABLE inbox (
    producer text PRIMARY KEY,
    epoch text NOT NULL,
    position bigint NOT NULL,
    hash bytea NOT NULL,
    attempting bigint NOT NULL DEFAULT 0,
    attempts bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
CREATE TABLE inbox_streams (
    producer text NOT NULL,
    stream text NOT NULL,
    version bigint NOT NULL,
    PRIMARY KEY (producer, stream)
) WITH (fillfactor = 70);
CREATE TABLE parked (
    producer text NOT NULL,
    position bigint NOT NULL,
    stream text NOT NULL,
    version bigint NOT NULL,
    name text NOT NULL,
    envelope bytea NOT NULL,
    reason text NOT NULL,
    parked_at timestamptz NOT NULL,
    PRIMARY KEY (producer, position)
);
CREATE INDEX parked_by_stream ON parked (producer, stream, version);
CREATE TABLE commands (
    actor text NOT NULL,
    route text NOT NULL,
    key text NOT NULL,
    fingerprint bytea NOT NULL,
    outcome jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (actor, route, key)
);
CREATE INDEX commands_by_age ON commands (created_at);
CREATE TABLE jobs (
    id text PRIMARY KEY,
    kind text NOT NULL,
    subject text NOT NULL,
    state text NOT NULL CHECK (state IN ('waiting', 'running', 'done', 'failed')),
    payload jsonb,
    attempts bigint NOT NULL DEFAULT 0,
    due_at timestamptz NOT NULL,
    last_error text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL
);
CREATE INDEX jobs_to_do ON jobs (due_at) WHERE state IN ('waiting', 'running');
CREATE INDEX jobs_waiting ON jobs (subject, kind) WHERE state = 'waiting';
CREATE TABLE personal (
    id text NOT NULL,
    version bigint NOT NULL,
    subject text NOT NULL,
    data jsonb NOT NULL,
    PRIMARY KEY (id, version)
);
CREATE INDEX personal_by_subject ON personal (subject);
CREATE TABLE erased (
    id text PRIMARY KEY,
    erased_at timestamptz NOT NULL
);
CREATE TABLE read_models (
    service text PRIMARY KEY,
    version bigint NOT NULL
);
"""

# Rule one: what was recorded stays as it is. Erasing a stream is the only exception, and goes through `erase_stream`.
INSERT_ONLY = """
CREATE FUNCTION refuse_to_change_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND TG_TABLE_NAME = 'events' THEN
        IF OLD.stream = current_setting('chatness.erasing', true) THEN
            RETURN OLD;
        END IF;
    END IF;
    RAISE EXCEPTION '% is insert only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER insert_only BEFORE UPDATE OR DELETE ON events
    FOR EACH ROW EXECUTE FUNCTION refuse_to_change_history();
CREATE TRIGGER insert_only_whole BEFORE TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_change_history();
CREATE TRIGGER insert_only BEFORE UPDATE OR DELETE ON log
    FOR EACH ROW EXECUTE FUNCTION refuse_to_change_history();
CREATE TRIGGER insert_only_whole BEFORE TRUNCATE ON log
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_change_history();
"""

# Rule two: a private stream can be erased; its row in `streams` keeps how long it was and the hash it ended with.
ERASE_STREAM = """
CREATE FUNCTION erase_stream(gone text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    erased bigint;
BEGIN
    PERFORM 1 FROM streams WHERE stream = gone FOR UPDATE;
    IF EXISTS (SELECT FROM log WHERE stream = gone) OR EXISTS (SELECT FROM outbox WHERE stream = gone) THEN
        RAISE EXCEPTION 'stream % has public events', gone USING ERRCODE = 'restrict_violation';
    END IF;
    PERFORM set_config('chatness.erasing', gone, true);
    DELETE FROM events WHERE stream = gone;
    GET DIAGNOSTICS erased = ROW_COUNT;
    DELETE FROM snapshots WHERE stream = gone;
    UPDATE streams SET erased_at = clock_timestamp() WHERE stream = gone;
    PERFORM set_config('chatness.erasing', '', true);
    RETURN erased;
END $$;
"""

# Rule three: order is decided here and nowhere else. The head row's lock makes two sequencers harmless; a
# transaction that commits late is simply sequenced later, so there are no gaps to reason about.
SEQUENCE_OUTBOX = """
CREATE FUNCTION sequence_outbox(batch integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    head log_head%ROWTYPE;
    waiting record;
    moved integer := 0;
BEGIN
    SELECT * INTO head FROM log_head FOR UPDATE;
    FOR waiting IN
        WITH taken AS (
            DELETE FROM outbox WHERE id = ANY (ARRAY(SELECT id FROM outbox ORDER BY id LIMIT batch)) RETURNING *
        )
        SELECT * FROM taken ORDER BY id
    LOOP
        head.position := head.position + 1;
        head.hash := sha256(head.hash || int8send(head.position) || waiting.event_hash);
        INSERT INTO log (position, epoch, stream, version, event_hash, hash)
            VALUES (head.position, head.epoch, waiting.stream, waiting.version, waiting.event_hash, head.hash);
        moved := moved + 1;
    END LOOP;
    IF moved > 0 THEN
        UPDATE log_head SET position = head.position, hash = head.hash;
    END IF;
    RETURN moved;
END $$;
"""


def upgrade() -> None:
    for statement in (TABLES, INSERT_ONLY, ERASE_STREAM, SEQUENCE_OUTBOX):
        op.execute(statement)
