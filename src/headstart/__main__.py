"""`python -m headstart` is the `headstart` command."""

from headstart.apps.main import run

if __name__ == "__main__":
    run()
