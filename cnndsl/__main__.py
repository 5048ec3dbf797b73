"""`python -m cnndsl` is `cnndsl`."""

from cnndsl.cli import main

if __name__ == "__main__":
    main()
