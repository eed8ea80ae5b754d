"""The fixtures are in `tests/infrastructure.py`."""

from tests.infrastructure import (
    amqp_uri,
    backend,
    database_url,
    emptied,
    module_database_url,
    new_database,
    new_vhost,
    nobody_asks,
    open_database,
    postgres,
    rabbitmq,
    server_directory,
    service_template,
)

__all__ = [
    "amqp_uri",
    "backend",
    "database_url",
    "emptied",
    "module_database_url",
    "new_database",
    "new_vhost",
    "nobody_asks",
    "open_database",
    "postgres",
    "rabbitmq",
    "server_directory",
    "service_template",
]
