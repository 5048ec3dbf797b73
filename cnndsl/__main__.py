"""The program: `cnndsl`, and `python -m cnndsl`."""

import gc
import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line; an interrupt while it is still being loaded is quiet too."""
    # What is imported stays to the end. The collector would walk it again and again, and once
    # more on leaving: a fifth of the whole time of `check`.
    gc.set_threshold(100_000, 20, 20)
    try:
        from cnndsl.cli import main as program

        program()
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        gc.freeze()


if __name__ == "__main__":
    main()
