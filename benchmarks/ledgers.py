"""
Months with any number of messages, made inside PostgreSQL: every row that quota's doors would have left, with valid
hash chains, so that `chatness quota check` and `chatness events verify` have nothing to say against them.

What is told to the others stands in the outbox, where the worker of a stack finds it.
"""

import json
import os
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import psycopg2

EVENTS_AT_ONCE = 200_000
PATIENCE_SECONDS = 3600.0
PLAN = "benchmark"
TABLES = ("events", "streams", "messages", "usage_months", "usage_days", "activity", "orgs")


@dataclass(frozen=True, kw_only=True)
class Month:
    """
    :param messages: all counted, evenly through what has passed of the month; below 80 % of the limit, or all of it
    :param is_open: whether it is the one that the org is in
    """

    org_id: str
    period: str
    message_limit: int
    messages: int
    is_open: bool = True

    @property
    def events(self) -> int:
        return 1 + self.messages


def fill(home: Any, months: Iterable[Month]) -> None:
    """
    :param home: quota's database, a `shared.database.Database`
    :param months: in the order of org and period, which is that of the indexes
    """
    from dataclasses import replace

    patient = replace(home, pool_size=1, statement_timeout_seconds=PATIENCE_SECONDS)
    prefix, number = f"0{secrets.token_hex(3)[1:]}", 0
    for some in _batches(months):
        with patient.begin(durable=False) as session:
            rows = _numbered(some, number)
            _fill(session, rows, prefix)
            number += sum(month.events for month in some)
    patient.close()
    _tidy(home.url)


def _batches(months: Iterable[Month]) -> Iterator[list[Month]]:
    batch: list[Month] = []
    for month in months:
        batch.append(month)
        if sum(each.events for each in batch) >= EVENTS_AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


def _numbered(months: list[Month], number: int) -> list[dict[str, Any]]:
    rows = []
    for month in months:
        rows.append({**asdict(month), "first": number})
        number += month.events
    return rows


def _fill(session: Any, rows: list[dict[str, Any]], prefix: str) -> None:
    from shared import database

    bound = {"months": json.dumps(rows), "prefix": prefix, "plan": PLAN, "now": database.now(session)}
    for statement in (_LINK, _NO_CHAIN, _CHAIN, _MONTHS, _FACTS, *_ROWS):
        session.connection().exec_driver_sql(statement, bound)


def _tidy(url: str) -> None:
    """
    As autovacuum does a while later, when it would disturb what is measured. And what was written without waiting
    goes to the disk now, or the first checkpoint would make every commit wait for all of it.
    """
    connection = psycopg2.connect(url.replace("+psycopg2", ""))
    connection.autocommit = True  # a vacuum stands in no transaction
    with connection.cursor() as cursor:
        cursor.execute(f"VACUUM (FREEZE, ANALYZE) {', '.join(TABLES)}")
    connection.close()
    os.sync()


# The sum of `shared.events.chained`: each part behind its length, behind the sum of the event before.
_LINK = """
CREATE OR REPLACE FUNCTION pg_temp.link(before bytea, content bytea) RETURNS bytea IMMUTABLE LANGUAGE plpgsql AS
$$ BEGIN RETURN sha256(before || content); END $$
"""
_NO_CHAIN = "DROP AGGREGATE IF EXISTS pg_temp.chain(bytea)"
_CHAIN = f"""
CREATE AGGREGATE pg_temp.chain(bytea) (SFUNC = pg_temp.link, STYPE = bytea, INITCOND = '\\x{"00" * 32}')
"""

_MONTHS = """
CREATE TEMPORARY TABLE months_to_fill ON COMMIT DROP AS
SELECT *, 'bot_' || substr(org_id, 5) AS bot_id, (period || '-01')::timestamptz AS began_at,
    floor(extract(epoch FROM
        least(%(now)s, (period || '-01')::timestamptz + interval '1 month') - (period || '-01')::timestamptz
    ))::bigint AS seconds
FROM json_to_recordset(%(months)s)
    AS month (org_id text, period text, message_limit bigint, messages bigint, is_open boolean, first bigint)
"""

# A month that ended at its limit is told of in the moment of its last message.
_FACTS = """
CREATE TEMPORARY TABLE facts ON COMMIT DROP AS
WITH facts AS (
    SELECT month.*, number AS version, 'ledger-' || org_id || '-' || period AS stream,
        %(prefix)s || lpad(to_hex(first + number), 20, '0') AS id,
        CASE number WHEN 1 THEN 'quota.PeriodOpened' ELSE 'quota.MessageRecorded' END AS name
    FROM months_to_fill AS month, generate_series(1, messages + 1) AS number
    UNION ALL
    SELECT month.*, number, 'quota-' || org_id, %(prefix)s || 'f' || number || lpad(to_hex(first + 1), 18, '0'),
        CASE number WHEN 1 THEN 'quota.UsageThresholdReached' ELSE 'quota.BotsStopped' END
    FROM months_to_fill AS month, generate_series(1, 2) AS number WHERE messages = message_limit
), events AS (
    SELECT *, 'evt_' || id AS event_id, CASE name WHEN 'quota.MessageRecorded' THEN 2 ELSE 1 END AS schema,
        began_at + make_interval(secs => CASE name
            WHEN 'quota.PeriodOpened' THEN 0
            WHEN 'quota.MessageRecorded' THEN seconds * (version - 1) / (messages + 1)
            ELSE seconds * messages / (messages + 1) END) AS at,
        CASE name
            WHEN 'quota.PeriodOpened' THEN '{"limit":' || message_limit || ',"max_resets":2,"period":"' || period
                || '","plan":"' || %(plan)s || '","subscription_version":1}'
            WHEN 'quota.MessageRecorded' THEN '{"bot_id":"' || bot_id || '","credit_id":"","message_id":"msg_' || id
                || '"}'
            WHEN 'quota.UsageThresholdReached' THEN '{"credits_remaining":0,"limit":' || message_limit
                || ',"org_id":"' || org_id || '","period":"' || period || '","threshold":100,"used":' || messages
                || '}'
            ELSE '{"org_id":"' || org_id || '","period":"' || period || '","reason":"limit"}' END AS data,
        '{"actor":{"id":"gateway","kind":"service"},"causation_id":"","correlation_id":"benchmark"}' AS meta
    FROM facts
), written AS (
    SELECT *, to_char(at, 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS moment FROM events
)
SELECT *, pg_temp.chain(convert_to(concat(
        length(stream), ':', stream, length(version::text), ':', version, length(event_id), ':', event_id,
        length(name), ':', name, 1, ':', schema, length(moment), ':', moment,
        length(data), ':', data, length(meta), ':', meta
    ), 'UTF8')) OVER (PARTITION BY stream ORDER BY version) AS hash
FROM written
"""

_ROWS = (
    """
INSERT INTO events (stream, version, id, name, schema, data, meta, recorded_at, hash)
SELECT stream, version, event_id, name, schema, convert_to(data, 'UTF8'), convert_to(meta, 'UTF8'), at, hash
FROM facts ORDER BY stream, version
""",
    """
INSERT INTO streams (stream, version, hash)
SELECT DISTINCT ON (stream) stream, version, hash FROM facts ORDER BY stream, version DESC
""",
    """
INSERT INTO outbox (stream, version, event_hash)
SELECT stream, version, hash FROM facts WHERE stream = 'quota-' || org_id ORDER BY stream, version
""",
    """
INSERT INTO messages (org_id, message_id, bot_id, period, generation, used, message_limit, recorded_at)
SELECT org_id, 'msg_' || id, bot_id, period, 0, version - 1, message_limit, at
FROM facts WHERE name = 'quota.MessageRecorded' ORDER BY org_id, id
""",
    """
INSERT INTO usage_months (org_id, period, plan, message_limit, resets, reset_used, credits)
SELECT org_id, period, %(plan)s, message_limit, 0, 0, 0 FROM months_to_fill
""",
    """
INSERT INTO usage_days (org_id, period, day, bot_id, messages, from_credits, refunded, given_back)
SELECT org_id, period, to_char(at, 'YYYY-MM-DD'), bot_id, count(*), 0, 0, 0
FROM facts WHERE name = 'quota.MessageRecorded' GROUP BY 1, 2, 3, 4
""",
    """
INSERT INTO activity (source, version, event_id, org_id, at, what, actor_kind, actor_id, session_id, subject_kind,
    subject_id, details)
SELECT stream, version, event_id, org_id, at,
    CASE version WHEN 1 THEN 'usage_threshold_reached' ELSE 'bots_stopped' END,
    'service', 'gateway', '', '', '', data::jsonb - 'org_id' - 'credits_remaining'
FROM facts WHERE stream = 'quota-' || org_id ORDER BY stream, version
""",
    """
INSERT INTO orgs (org_id, period, plan, message_limit, bot_limit, max_resets, subscription_version, generation, used,
    stopped, threshold, credits, ledger_version, ledger_hash)
SELECT org_id, period, %(plan)s, message_limit, 1, 2, 1, 0, messages, messages = message_limit,
    CASE messages WHEN message_limit THEN 100 ELSE 0 END, '[]', version, hash
FROM months_to_fill JOIN streams ON stream = 'ledger-' || org_id || '-' || period WHERE is_open
""",
)
