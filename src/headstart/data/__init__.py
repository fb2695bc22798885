"""Images and labels: where they are, how they are read, how they are split. PIL and numpy; never torch."""
