"""`python -m tltk` is `tltk`."""

from tltk.cli.main import main

if __name__ == "__main__":
    main()
