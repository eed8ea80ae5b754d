"""
A random programme over the counters: commands, and everything that can happen to processes, connections, servers and
clocks, mixed by a seed. After each few rounds all that was acknowledged must have gone all the way, once, in order.

The seed fixes what is done; how far each process has got by then differs from run to run.
"""

import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import pika.exceptions

from sandbox.postgres import PostgresServer
from sandbox.rabbitmq import RabbitmqServer
from shared import failpoints, jobs
from tests.faults.fleet import Fleet, Member
from tests.faults.history import Tap
from tests.faults.proxy import Proxy
from tests.shared import broker

STREAMS = ("counter-org_1", "counter-org_2", "counter-org_3")
ROUNDS_BETWEEN_CHECKS = 10
DEATH_SECONDS = 40
SETTLE_SECONDS = 60
QUEUE = "listening.from.counting"
ROLE_OF = {"command": "serve", "outbox": "counting", "relay": "counting", "job": "counting", "inbox": "listening"}
PLACES = [place for place in failpoints.PLACES if place.partition(".")[0] in ROLE_OF]


@dataclass
class Programme:
    """
    :param database_proxy: between the processes and PostgreSQL, as `broker_proxy` is between them and RabbitMQ
    :param faults: how often each was done
    :param interruptions: how often that may have come between a job's effect and its mark
    """

    fleet: Fleet
    tap: Tap
    postgres: PostgresServer
    rabbitmq: RabbitmqServer
    database_proxy: Proxy
    broker_proxy: Proxy
    seed: int
    faults: Counter[str] = field(default_factory=Counter)
    round: int = 0
    interruptions: int = 0
    latest_seconds: float = 0.0

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)

    def run(self, rounds: int) -> None:
        """:raises AssertionError: naming the seed, the round, its fault and the first difference"""
        self.fleet.start()
        for self.round in range(1, rounds + 1):
            (fault,) = self.chance.choices([*FAULTS], weights=[*FAULTS.values()])
            name = fault.__name__.replace("_", " ")
            self.faults[name] += 1
            self.interruptions += fault not in LETS_JOBS_BE
            try:
                fault(self)
                self.restart_the_dead()
                if self.round % ROUNDS_BETWEEN_CHECKS == 0 or self.round == rounds:
                    self.check()
            except AssertionError as difference:
                raise AssertionError(f"seed {self.seed}, round {self.round}, {name}: {difference}") from difference

    def check(self) -> None:
        self.move_clock(self.latest_seconds + jobs.LEASE.total_seconds() + 3600)
        for stream in STREAMS:  # what a purge took without a trace is missed when the next one comes
            self.fleet.add_up(stream)
        self.fleet.history(self.tap).settle(seconds=SETTLE_SECONDS)
        self.fleet.assert_acknowledged_once()
        self.fleet.settle_jobs(most_repeats=self.interruptions, seconds=SETTLE_SECONDS)

    def load(self, least: int = 1, most: int = 5) -> None:
        for _ in range(self.chance.randint(least, most)):
            self.fleet.add_up(self.chance.choice(STREAMS), with_job=self.chance.random() < 0.3)

    def write(self) -> None:
        """As a command does whose process is not touched by the fault: there is something to publish meanwhile."""
        for _ in range(self.chance.randint(1, 3)):
            self.fleet.write(self.chance.choice(STREAMS))

    def restart_the_dead(self) -> None:
        """As a supervisor does: who hangs in a call for too long is ended by the watchdog."""
        for member in self.fleet.members.values():
            if not member.lives:
                member.restart()

    def somebody(self, *names: str) -> Member:
        return self.fleet.members[self.chance.choice(names or [*self.fleet.members])]

    def proxy(self) -> Proxy:
        return self.chance.choice([self.database_proxy, self.broker_proxy])

    def move_clock(self, offset_seconds: float) -> None:
        self.latest_seconds = max(self.latest_seconds, offset_seconds)
        self.fleet.counting.clock.set(offset_seconds=offset_seconds)


def a_crash_at_a_named_place(programme: Programme) -> None:
    place = programme.chance.choice(PLACES)
    victim = programme.fleet.members[ROLE_OF[place.partition(".")[0]]]
    victim.restart(fail_at=f"{place}:{programme.chance.randint(1, 4)}")
    spare = programme.fleet.add("serve 2", "serve") if victim.name == "serve" else None
    if spare:
        spare.start()
    deadline = time.monotonic() + DEATH_SECONDS
    while victim.lives:
        assert time.monotonic() < deadline, f"{place} was not reached"
        programme.fleet.add_up(programme.chance.choice(STREAMS), with_job=place.startswith("job"))
        programme.move_clock(programme.latest_seconds + jobs.LEASE.total_seconds())
    victim.restart()
    if spare:
        programme.load()
        spare.kill()
        del programme.fleet.members[spare.name]


def a_kill(programme: Programme) -> None:
    victim = programme.somebody("counting", "listening")
    victim.kill()
    programme.load()
    victim.start()


def a_kill_of_the_doors(programme: Programme) -> None:
    programme.fleet.members["serve"].restart()
    programme.load()


def a_pause(programme: Programme) -> None:
    with programme.somebody("counting", "listening").paused():
        programme.load()


def two_at_once(programme: Programme) -> None:
    """A second listener or publisher beside the first, which then dies."""
    first = programme.somebody("counting", "listening")
    second = programme.fleet.add(f"{first.name} 2", first.name)
    second.start()
    programme.load(3, 8)
    first.kill()
    programme.load()
    first.start()
    second.kill()
    del programme.fleet.members[second.name]


def connections_that_are_reset(programme: Programme) -> None:
    programme.load()
    programme.proxy().reset()
    programme.load()


def a_connection_that_is_cut_in_the_middle(programme: Programme) -> None:
    programme.proxy().cut_after(programme.chance.randint(1, 20_000))
    programme.load(3, 8)
    programme.write()


def a_connection_that_is_cut_at_commit(programme: Programme) -> None:
    programme.database_proxy.cut_at(
        b"COMMIT", passes=programme.chance.random() < 0.5, times=programme.chance.randint(1, 4)
    )
    programme.load(3, 8)


def a_network_that_stalls(programme: Programme) -> None:
    with programme.proxy().stalled():
        programme.write()
        time.sleep(programme.chance.uniform(0.1, 0.8))
    programme.load()


def a_network_that_stalls_for_long(programme: Programme) -> None:
    """Longer than every patience: that of a statement, of a connection, of the watchdog."""
    with programme.proxy().stalled():
        programme.write()
        time.sleep(programme.chance.uniform(12, 35))
    programme.restart_the_dead()
    programme.load()


def a_network_that_is_slow(programme: Programme) -> None:
    proxy = programme.proxy()
    proxy.delay(programme.chance.uniform(0.001, 0.02))
    programme.load()
    proxy.delay(0)


def a_server_that_refuses(programme: Programme) -> None:
    with programme.proxy().refusing():
        programme.write()
        time.sleep(programme.chance.uniform(0.1, 0.8))
    programme.load()


def sessions_that_the_database_ends(programme: Programme) -> None:
    with programme.postgres.administer() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'chatness%%'"
            " AND datname = ANY(%s)",
            [[home.engine.url.database for home in (programme.fleet.counting, programme.fleet.listening)]],
        )
    programme.load()


def a_clock_that_jumps(programme: Programme) -> None:
    programme.move_clock(programme.latest_seconds + programme.chance.uniform(-40 * 86_400, 86_400))
    programme.load()


def a_queue_that_is_emptied_or_deleted(programme: Programme) -> None:
    programme.load()
    disturb = programme.chance.choice(["queue_purge", "queue_delete"])
    with (
        suppress(pika.exceptions.ChannelClosedByBroker),  # nobody has declared it again yet
        broker.channel(programme.fleet.amqp_uri) as channel,
    ):
        getattr(channel, disturb)(QUEUE)
    programme.load()


def a_database_that_stops_at_once(programme: Programme) -> None:
    programme.load()
    programme.postgres.kill()
    programme.postgres.start()
    programme.load()


def a_broker_that_is_killed(programme: Programme) -> None:
    programme.load()
    programme.rabbitmq.kill()
    programme.write()
    programme.rabbitmq.start()
    programme.load()


FAULTS: dict[Callable[[Programme], None], float] = {
    a_crash_at_a_named_place: 8,
    a_kill: 2,
    a_kill_of_the_doors: 1,
    a_pause: 2,
    two_at_once: 2,
    connections_that_are_reset: 2,
    a_connection_that_is_cut_in_the_middle: 2,
    a_connection_that_is_cut_at_commit: 2,
    a_network_that_stalls: 1,
    a_network_that_is_slow: 1,
    a_network_that_stalls_for_long: 0.2,
    a_server_that_refuses: 1,
    sessions_that_the_database_ends: 1,
    a_clock_that_jumps: 1,
    a_queue_that_is_emptied_or_deleted: 1,
    a_database_that_stops_at_once: 0.4,
    a_broker_that_is_killed: 0.2,
}
LETS_JOBS_BE = {
    *(a_kill_of_the_doors, a_pause, a_network_that_is_slow, a_clock_that_jumps),
    *(a_queue_that_is_emptied_or_deleted, a_broker_that_is_killed),
}
