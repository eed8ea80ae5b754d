"""What `chatness mailroom` runs, put together from its rooms."""

import threading
from email.utils import parseaddr

from ops import processes
from ops import settings as ops_settings
from services.mailroom import authenticity, domain, door, room
from services.mailroom.settings import Settings
from shared import config, health, mail, metrics, rpc_client
from shared.clock import Clock


def run() -> int:
    """Take the support mailbox's mail until SIGTERM."""
    common, settings = ops_settings.load(), config.load(Settings)
    processes.begin("mailroom", common, settings)
    check(settings, sandbox=common.sandbox)
    rpc_client.check_broker(common.amqp_uri)
    accounts, looker = rpc_client.BlockingClient(common.amqp_uri), rpc_client.BlockingClient(common.amqp_uri)
    ours = furnished(settings, accounts, ops_settings.business_clock(common))
    is_open = threading.Event()
    metrics.describe("mailroom")
    health.serve(common.health_port, {"running": is_open.is_set, "rpc": looker.stands}, host=common.health_host)
    door.run(settings, ours.receive, listening=lambda opened: is_open.set() if opened else is_open.clear())
    return 0


def check(settings: Settings, *, sandbox: bool) -> None:
    """:raises BadConfiguration: for settings that are good only one by one"""
    if settings.dkim_keys is not None and not sandbox:
        raise config.BadConfiguration("MAILROOM_DKIM_KEYS is for the sandbox only (CHATNESS_SANDBOX=1)")
    if settings.authserv_id and not settings.mail_servers:
        raise config.BadConfiguration("MAILROOM_AUTHSERV_ID needs MAILROOM_MAIL_SERVERS: whose word is believed")
    if settings.tls_key is not None and settings.tls_certificate is None:
        raise config.BadConfiguration("MAILROOM_TLS_KEY needs MAILROOM_TLS_CERTIFICATE")
    door.tls(settings)
    if settings.forward_to.lower() == settings.support_address.lower():
        raise config.BadConfiguration("SUPPORT_FORWARD_TO is SUPPORT_ADDRESS itself, whose mail comes here")


def furnished(settings: Settings, accounts: room.Accounts, clock: Clock) -> room.Room:
    """The room where mails are dealt with, as the settings say."""
    mailer = mail.Mailer(settings.smtp_url, settings.mail_from)
    ours = {settings.support_address.lower(), parseaddr(settings.mail_from)[1].lower()}
    return room.Room(
        house=domain.House(support_address=settings.support_address, ours=frozenset(ours)),
        is_authentic=_check_of(settings),
        accounts=accounts,
        pass_on=lambda passed, sender: mailer.pass_on(passed, sender=sender, to=settings.forward_to),
        now=clock.now,
    )


def _check_of(settings: Settings) -> authenticity.Check:
    if settings.authserv_id:
        return authenticity.by_own_server(settings.authserv_id, settings.mail_servers)
    keys = settings.dkim_keys
    return authenticity.by_dkim(authenticity.from_file(keys) if keys else authenticity.from_dns)
