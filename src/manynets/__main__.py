"""`python -m manynets`."""

from manynets.cli import main

if __name__ == "__main__":
    main()
