"""One package per service. This file must exist: a top-level `secrets` would shadow the standard library's."""
