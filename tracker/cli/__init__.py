"""The command line: one small file a command; commands hold no logic."""
