"""The `episome` command."""
