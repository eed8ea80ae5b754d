"""Others' software that we are measured against. Imported only where it is measured: `make bench` installs it."""
