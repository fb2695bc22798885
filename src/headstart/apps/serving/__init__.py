"""Models over HTTP: what is read, how it is answered in batches, what limits it."""
