"""`python -m preprocess`: the commands of this service, and any of them by name."""

import sys

from shared.command.commands import main

if __name__ == "__main__":
    sys.exit(main("preprocess"))
