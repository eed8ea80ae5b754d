"""The nameko class: what the gateway asks, what it hears, and the HTTP site it opens."""

from typing import Any

from nameko.dependency_providers import Config

from services.gateway import (
    admissions,
    app,
    authentication,
    coalescer,
    crowds,
    pictures,
    routes,
    server,
    streams,
    uses,
    webhooks,
)
from services.gateway.routes import usage
from shared import clock, metrics, rpc


class Gateway:
    name = "gateway"

    config = Config()
    accounts: Any = rpc.Client("accounts")
    billing = rpc.Client("billing")
    secrets = rpc.Client("secrets")
    quota = rpc.Client("quota")

    tokens = authentication.Memory()  # one for the process: what is revoked must be forgotten by every request

    admissions: coalescer.Coalescer
    webhooks: coalescer.Coalescer
    pictures: pictures.Pictures
    places: streams.Places
    streams: streams.Streams
    uses: uses.Uses

    @server.site
    def open(self) -> Any:
        settings = self.config["gateway"]
        now = clock.Clock(settings.clock_file).now
        self.accounts = crowds.Gate(self.accounts, doors=crowds.PASSWORD_DOORS, places=crowds.PLACES)
        self.uses = uses.Uses(uses.teller(self.secrets), now=now)
        identification = authentication.Authentication(
            verify_secret=self.secrets.verify_secret,
            verify_session=self.accounts.verify_session,
            note_use=self.uses.note,
            memory=self.tokens,
            secret_seconds=settings.secret_cache_seconds,
            session_seconds=settings.session_cache_seconds,
            now=now,
        )
        self.admissions = coalescer.Coalescer(
            admissions.sender(self.quota),
            unavailable=admissions.unavailable,
            max_waiting=settings.waiting_messages,
        )
        self.webhooks = webhooks.gathered(self.billing, max_waiting=settings.waiting_messages)
        metrics.MESSAGES_WAITING.set_function(lambda: self.admissions.waiting)
        self.pictures = pictures.Pictures()
        self.places = streams.Places(settings.connections // 2)
        self.streams = streams.Streams(usage.look(self.quota))
        self.tokens.on_secrets_forgotten = self.tokens.on_sessions_forgotten = self.streams.doubt
        metrics.STREAMS.set_function(lambda: self.places.taken)
        groups = routes.groups(settings)
        site = app.create(settings, services=self, authentication=identification, groups=groups)
        site.before_drain = self._prepare_to_stop
        return site

    def _prepare_to_stop(self) -> None:
        self.streams.stop()
        self.uses.tell()

    @rpc.on_broadcast("accounts", "accounts.OrgErased", on_subscribed=tokens.forget_sessions)
    @rpc.on_broadcast("accounts", "accounts.MemberRemoved", on_subscribed=tokens.forget_sessions)
    @rpc.on_broadcast("accounts", "accounts.OwnershipTransferred", on_subscribed=tokens.forget_sessions)
    def on_role_changed(self, _event: dict[str, Any]) -> None:
        self.tokens.forget_sessions()

    @rpc.on_broadcast("secrets", "secrets.SecretRevoked", on_subscribed=tokens.forget_secrets)
    def on_secret_revoked(self, event: dict[str, Any]) -> None:
        self.tokens.revoke_secret(event["data"]["secret_id"])

    @rpc.on_broadcast("secrets", "secrets.SecretRotated", on_subscribed=tokens.forget_secrets)
    @rpc.on_broadcast("secrets", "secrets.FormerValueEnded", on_subscribed=tokens.forget_secrets)
    def on_secret_changed(self, event: dict[str, Any]) -> None:
        self.tokens.forget_secret(event["data"]["secret_id"])
