"""PostgreSQL and RabbitMQ, from this machine's programs or in containers."""

from pathlib import Path

from sandbox import binaries, postgres, rabbitmq


def start_postgres(backend: binaries.Backend, directory: Path) -> postgres.PostgresServer:
    """
    Start the server whose data are in the directory.

    :param backend: what `binaries.ensure` found
    """
    if backend == "local":
        return postgres.start(directory)
    from sandbox import docker  # not needed, and slow to import, where the programs are installed

    container = docker.PostgresContainer(directory)
    container.start()
    return container


def start_rabbitmq(backend: binaries.Backend, directory: Path) -> rabbitmq.RabbitmqServer:
    """
    Start the server whose data are in the directory.

    :param backend: what `binaries.ensure` found
    """
    if backend == "local":
        return rabbitmq.start(directory)
    from sandbox import docker

    container = docker.RabbitmqContainer(directory)
    container.start()
    return container
