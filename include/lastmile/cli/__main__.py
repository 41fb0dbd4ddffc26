"""`python -m lastmile.cli` is `lastmile`."""

from lastmile.cli.main import main

if __name__ == "__main__":
    main()
