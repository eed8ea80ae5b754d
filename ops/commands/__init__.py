"""
The command line's words, a module per group: options, help, and one call of the room of `ops` that does it.

Imports of those rooms stand inside the commands: `serve` must make the process green before anything is loaded.
"""
