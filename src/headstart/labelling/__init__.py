"""Labels that people give and correct: the queues that ask for them, the model that follows them, the map of the pictures."""
