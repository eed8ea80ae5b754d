"""Databases of the services that tests empty and use again: making one costs ten times as much."""

from collections import defaultdict
from collections.abc import Callable

import psycopg2
from sqlalchemy import make_url

from sandbox.postgres import PostgresServer

# By the superuser, with the triggers off that protect history and tables that refer to others.
EMPTY = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid();
SET lock_timeout TO '5s';
SET session_replication_role TO replica;
DO $$
DECLARE
    one record;
BEGIN
    FOR one IN SELECT oid::regclass AS name, pg_relation_size(oid) AS bytes FROM pg_class
                WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
                  AND relname NOT IN ('alembic_version', 'log_head')
    LOOP
        IF one.bytes > 1000000 THEN
            EXECUTE format('TRUNCATE %s CASCADE', one.name);
        ELSIF one.bytes > 0 THEN
            EXECUTE format('DELETE FROM %s', one.name);
        END IF;
    END LOOP;
    FOR one IN SELECT oid::regclass AS name FROM pg_class
                WHERE relnamespace = 'public'::regnamespace AND relkind = 'S'
    LOOP
        EXECUTE format('ALTER SEQUENCE %s RESTART', one.name);
    END LOOP;
END $$;
UPDATE log_head SET epoch = gen_random_uuid(), position = 0, published = 0, hash = decode(repeat('00', 32), 'hex');
"""
# What a test may have left of its own: other tables, columns, indexes, triggers, revisions.
SHAPE = """
SELECT md5(string_agg(part, E'\n' ORDER BY part)) FROM (
    SELECT format('%s %s %s', attrelid::regclass, attname, atttypid) AS part FROM pg_attribute
      JOIN pg_class ON pg_class.oid = attrelid AND relnamespace = 'public'::regnamespace WHERE NOT attisdropped
    UNION ALL SELECT format('%s %s %s', tgrelid::regclass, tgname, tgenabled) FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT version_num FROM alembic_version
) AS parts
"""


class Databases:
    """
    Those of one server, by the service that they were migrated for.

    :param make: makes one, given the service
    """

    def __init__(self, server: PostgresServer, make: Callable[[str], str]) -> None:
        self._server = server
        self._make = make
        self._stock: dict[str, list[str]] = defaultdict(list)
        self._shapes: dict[str, str] = {}

    def take(self, service: str) -> str:
        """The URL of one that is empty."""
        if self._stock[service]:
            return self._stock[service].pop()
        url = self._make(service)
        if service not in self._shapes:
            self._shapes[service] = self._ask(url, SHAPE)
        return url

    def give_back(self, service: str, url: str) -> None:
        """Whoever still uses it loses the connection. One that the test has changed in shape is dropped."""
        self._ask(url, EMPTY)
        if self._ask(url, SHAPE) == self._shapes[service]:
            self._stock[service].append(url)
        else:
            self._server.drop_database(str(make_url(url).database))

    def _ask(self, url: str, statement: str) -> str:
        place = make_url(self._server.admin_url).set(drivername="postgresql", database=make_url(url).database)
        connection = psycopg2.connect(place.render_as_string(hide_password=False))
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return str(cursor.fetchone()[0]) if cursor.description else ""
        finally:
            connection.close()
