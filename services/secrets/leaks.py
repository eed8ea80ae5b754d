"""
Values that were found in public: each is ended at once, and where it was found is kept for the people of its org.
That is free text, so it stands with the personal data, and goes with them.
"""

from collections.abc import Mapping, Sequence
from functools import partial

from sqlalchemy.orm import Session

from services.secrets import digests, domain, peppers, projections
from shared import database, personal, store


def end(session: Session, urls: Mapping[str, str], known: Sequence[peppers.Pepper]) -> None:
    """:param urls: where each was found, by the value's SHA-256"""
    now = database.now(session)
    for found in digests.find(session, urls, known):
        stream = projections.stream(found.org_id, found.secret_id)
        before = store.load(session, stream, projections.SECRET)
        after = store.execute(
            session, stream, projections.SECRET, partial(domain.end_leaked, is_former=found.is_former, now=now)
        )
        if after == before.state:
            continue
        if found.is_former:
            digests.end_former(session, found.secret_id)
        url = urls[found.sha256]
        if url and personal.keep(session, found.org_id):
            personal.put(session, projections.leak_of(found.secret_id), subject=found.org_id, url=url)
