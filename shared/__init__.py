"""The kernel: everything the services share, and nothing that knows a service by name."""
