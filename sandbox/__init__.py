"""
Stand-ins for the outside world, for a laptop and for tests: a private PostgreSQL and RabbitMQ (`infrastructure`),
the processes of the stack (`processes`), and what they must leave behind, which is nothing (`clean`).

Everything listens on 127.0.0.1, on ports of its own, and keeps its files under one directory.
"""
