"""The entry points: one module for each thing that headstart does with a data set."""
