"""What servers share: who may ask, how much at once, how requests are read, how the process ends."""
